"""Radiographs written for tests with pydicom, tag by tag, without hoimg's reading."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)

from hoimg.dicom.film import FilmInfo
from hoimg.dicom.film_header import read_films
from hoimg.dicom.header import read_header
from hoimg.dicom.quiet import quiet_pydicom
from hoimg.settings import Settings

SOP = {"CR": ComputedRadiographyImageStorage, "DX": DigitalXRayImageStorageForPresentation}


def ramp(rows: int = 8, columns: int = 16) -> np.ndarray:
    """Stored values 0, 1, 2 ... row by row."""
    return np.arange(rows * columns, dtype=np.uint16).reshape(rows, columns)


def write_film(
    path: Path,
    stored: np.ndarray | None = None,
    *,
    modality: str = "CR",
    bits: int = 12,
    signed: bool = False,
    syntax: str = ExplicitVRLittleEndian,
    drop: Sequence[str] = (),
    **tags: Any,
) -> Path:
    """Write one film (16 bits allocated, or 8 for a byte array); a 3D array makes frames."""
    stored = ramp() if stored is None else stored
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = tags.get("SOPClassUID", SOP.get(modality, SOP["CR"]))
    meta.MediaStorageSOPInstanceUID = tags.get("SOPInstanceUID", "1.2.3.4.5")
    meta.TransferSyntaxUID = syntax
    ds = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID = meta.MediaStorageSOPClassUID
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3.1", "1.2.3.2"
    ds.PatientID, ds.PatientName = "ID-9", "Secret^Name"
    ds.Modality, ds.StudyDate = modality, "20240110"
    ds.Rows, ds.Columns = stored.shape[-2:]
    if stored.ndim == 3:
        ds.NumberOfFrames = len(stored)
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    allocated = 8 * stored.dtype.itemsize
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = allocated, min(bits, allocated), bits - 1
    ds.PixelRepresentation = int(signed)
    for keyword, value in tags.items():
        setattr(ds, keyword, value)
    for keyword in drop:
        delattr(ds, keyword)
    ds.PixelData = stored.tobytes() + b"\0" * (stored.nbytes % 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def films_of(path: Path) -> tuple[FilmInfo, ...]:
    """What the package reads from a file's header."""
    with quiet_pydicom():
        header = read_header(path)
    assert header is not None
    return read_films(header, Settings().intake)


def film_of(path: Path, stored: np.ndarray | None = None, **tags: Any) -> FilmInfo:
    """Write a film and read its header."""
    [film] = films_of(write_film(path, stored, **tags))
    return film


def table(entries: Sequence[int], first: int = 0, bits: int = 16, words: bool = True) -> Dataset:
    """An item of a LUT sequence, with its data as words (US) or as bytes (OW)."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries) % 65536, first % 65536, bits])
    if words:
        item.add_new("LUTData", "US", list(entries))
    else:
        item.add_new("LUTData", "OW", np.asarray(entries, np.uint8).tobytes())
    return item


def codes(film: FilmInfo) -> list[str]:
    return [f.code for f in film.findings]
