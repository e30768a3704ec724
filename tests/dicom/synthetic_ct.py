"""DICOM CT written for tests, straight from the standard's formula, without hoimg's geometry.

The centre of pixel (row r, column c) of slice k lies at
``origin + c * dx * row_cosine + r * dy * column_cosine + k * step * normal`` (PS3.3 C.7.6.2.1.1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

STUDY = "1.2.826.0.1.3680043.8.498.11"
SERIES = "1.2.826.0.1.3680043.8.498.12"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def normal_of(cosines: Sequence[float]) -> np.ndarray:
    return np.cross(cosines[:3], cosines[3:])


def stack(
    n: int,
    step: float = 1.0,
    cosines: Sequence[float] = AXIAL,
    origin: Sequence[float] = (-10.0, 20.0, 30.0),
) -> list[np.ndarray]:
    """Origins of n slices along the normal."""
    return [np.asarray(origin, float) + k * step * normal_of(cosines) for k in range(n)]


def noise(n: int = 6, rows: int = 10, columns: int = 12, seed: int = 0) -> np.ndarray:
    """Stored values between 0 and 3000 in which every voxel is its own."""
    return np.random.default_rng(seed).integers(0, 3000, (n, rows, columns))


def write_slice(
    path: Path,
    stored: np.ndarray,
    position: Sequence[float] | None,
    *,
    cosines: Sequence[float] | None = AXIAL,
    number: int = 1,
    study: str = STUDY,
    series: str = SERIES,
    signed: bool = False,
    implicit: bool = False,
    drop: Sequence[str] = (),
    **tags: Any,
) -> Path:
    """Write one CT image; ``tags`` override or add elements, ``drop`` removes them."""
    uid = str(tags.pop("SOPInstanceUID", f"{series}.{number}"))
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = tags.get("SOPClassUID", CTImageStorage)
    meta.MediaStorageSOPInstanceUID = uid if len(uid) < 64 else "1.2.3"
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    ds = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, uid
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
    ds.PatientID, ds.PatientName = "ID-7", "Secret^Name"
    ds.Modality, ds.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.StudyDate, ds.StudyTime = "20240110", "101500"
    ds.SliceThickness, ds.KVP, ds.ConvolutionKernel = "1.0", "120", "STANDARD"
    ds.InstanceNumber, ds.SeriesNumber = number, 3
    ds.Rows, ds.Columns = stored.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
    ds.PixelRepresentation = int(signed)
    ds.PixelSpacing = ["0.7", "0.9"]  # rows 0.7 mm apart, columns 0.9 mm apart
    ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = "1", "-1024", "HU"
    if position is not None:
        ds.ImagePositionPatient = [f"{v:.8f}"[:16] for v in position]
    if cosines is not None:
        ds.ImageOrientationPatient = [f"{v:.10f}"[:16] for v in cosines]
    for keyword, value in tags.items():
        setattr(ds, keyword, value)
    for keyword in drop:
        delattr(ds, keyword)
    ds.PixelData = stored.astype(np.int16 if signed else np.uint16).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def write_ct(
    folder: Path,
    stored: np.ndarray | None = None,
    positions: Sequence[Sequence[float]] | None = None,
    *,
    cosines: Sequence[float] = AXIAL,
    series: str = SERIES,
    **tags: Any,
) -> list[Path]:
    """A series whose file names do not sort by position and have no suffix; paths by slice k."""
    if stored is None:
        stored = noise(6 if positions is None else len(positions))
    if positions is None:
        positions = stack(len(stored), cosines=cosines)
    files = []
    for k, (pixels, position) in enumerate(zip(stored, positions, strict=True)):
        name = hashlib.sha256(f"{series}{k}".encode()).hexdigest()[:10]
        files.append(
            write_slice(
                folder / name,
                pixels,
                position,
                cosines=cosines,
                number=k + 1,
                series=series,
                **tags,
            )
        )
    return files
