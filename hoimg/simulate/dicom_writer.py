"""Write a scan as a DICOM study as scanners and archives do.

Several series in one folder, file names that neither sort nor end in ``.dcm``, a localizer, and
losslessly compressed pixels. Everything (UIDs, names of files, order) comes from the seed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Grid
from hoimg.image import CTVolume

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
JPEG_LS_LOSSLESS = "1.2.840.10008.1.2.4.80"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
RLE_LOSSLESS = "1.2.840.10008.1.2.5"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"

COMPRESSIONS = {
    "jpeg-ls": JPEG_LS_LOSSLESS,
    "jpeg-2000": JPEG_2000_LOSSLESS,
    "rle": RLE_LOSSLESS,
    "none": EXPLICIT_LITTLE,
}
"""Names of the pixel compressions that can be written; all are lossless."""

_UID_ROOT = "1.2.826.0.1.3680043.8.498."
_INTERCEPT = -1024


@dataclass(frozen=True)
class SeriesSpec:
    """One axial series of a study.

    Attributes:
        volume: Pixels and grid.
        description: SeriesDescription.
        kernel: ConvolutionKernel.
        kvp: Tube voltage, kV.
        slice_thickness_mm: None: the grid's slice spacing.
        contrast: ContrastBolusAgent; None: the attribute is left out.
    """

    volume: CTVolume
    description: str = "Axial thin"
    kernel: str = "B30f"
    kvp: float = 120.0
    slice_thickness_mm: float | None = None
    contrast: str | None = None


@dataclass(frozen=True)
class StudySpec:
    """A study of one invented patient.

    Attributes:
        series: Axial series; the localizer is made from the first one.
        study_date: Date of the exam.
        patient_id: An invented identifier.
        patient_name: An invented name, ``Family^Given``.
        seed: Seed of UIDs and file names; the study's place in the patient belongs in it.
        localizer: Whether to write one.
        compression: One of :data:`COMPRESSIONS`.
    """

    series: Sequence[SeriesSpec]
    study_date: dt.date
    patient_id: str = "SIM-0001"
    patient_name: str = "Simulated^Patient"
    seed: str = "0"
    localizer: bool = True
    compression: str = "jpeg-ls"


@dataclass(frozen=True)
class WrittenStudy:
    """UIDs of what was written."""

    study_uid: str
    series_uids: tuple[str, ...]
    files: int


def write_study(spec: StudySpec, folder: Path) -> WrittenStudy:
    """Write one study into a folder (made if needed; files in it are not removed).

    HU are stored as unsigned 16 bit with intercept -1024, so values below -1024 are clipped.

    Raises:
        ValueError: for an unknown compression or a study without series.
    """
    if spec.compression not in COMPRESSIONS or not spec.series:
        raise ValueError(f"need a series and a compression out of {sorted(COMPRESSIONS)}")
    folder.mkdir(parents=True, exist_ok=True)
    study_uid = _uid(spec.patient_id, spec.seed, "study")
    frame_uid = _uid(spec.patient_id, spec.seed, "frame")
    datasets = []
    series_uids = []
    if spec.localizer:
        datasets.append(_localizer(spec, study_uid, frame_uid))
    for number, series in enumerate(spec.series, start=2):
        series_uid = _uid(spec.patient_id, spec.seed, "series", str(number))
        series_uids.append(series_uid)
        for index in range(series.volume.hu.shape[0]):
            datasets.append(_slice(spec, series, number, index, study_uid, series_uid, frame_uid))
    rng = np.random.default_rng(int(_digest(spec.patient_id, spec.seed), 16) % 2**63)
    names = rng.choice(16**7, size=len(datasets), replace=False)
    for dataset, name in zip(datasets, names, strict=True):
        _save(dataset, folder / f"I{int(name):07X}", COMPRESSIONS[spec.compression])
    return WrittenStudy(study_uid, tuple(series_uids), len(datasets))


def _slice(
    spec: StudySpec,
    series: SeriesSpec,
    number: int,
    index: int,
    study_uid: str,
    series_uid: str,
    frame_uid: str,
) -> Any:
    """One axial image."""
    grid = series.volume.grid
    ds = _common(spec, study_uid, series_uid, frame_uid, number)
    ds.SOPInstanceUID = _uid(series_uid, str(index))
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SeriesDescription = series.description
    # Acquired from the head downwards, as many scanners do: numbers run against position.
    ds.InstanceNumber = series.volume.hu.shape[0] - index
    ds.AcquisitionNumber = number
    ds.KVP = _number(series.kvp)
    ds.ConvolutionKernel = series.kernel
    if series.contrast is not None:
        ds.ContrastBolusAgent = series.contrast
    ds.SliceThickness = _number(series.slice_thickness_mm or grid.spacing_zyx_mm[0])
    ds.SpacingBetweenSlices = _number(grid.spacing_zyx_mm[0])
    _place(ds, grid, grid.to_lps_mm((index, 0, 0)))
    _pixels(ds, series.volume.hu[index])
    return ds


def _localizer(spec: StudySpec, study_uid: str, frame_uid: str) -> Any:
    """A coronal scout: the mean along y, which lies upright in the patient."""
    first = spec.series[0]
    grid = first.volume.grid
    uid = _uid(spec.patient_id, spec.seed, "series", "1")
    ds = _common(spec, study_uid, uid, frame_uid, 1)
    ds.SOPInstanceUID = _uid(uid, "0")
    ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    ds.SeriesDescription = "Topogram"
    ds.InstanceNumber = 1
    ds.AcquisitionNumber = 1
    ds.KVP = _number(first.kvp)
    ds.ConvolutionKernel = "T20f"
    ds.SliceThickness = _number(1.0)
    mean = first.volume.hu.mean(axis=1, dtype=np.float32)[::-1]
    x_axis = np.asarray(grid.direction)[:, 0]
    z_axis = np.asarray(grid.direction)[:, 2]
    ds.ImageOrientationPatient = [_number(v) for v in (*x_axis, *-z_axis)]
    corner = grid.to_lps_mm((grid.size_zyx[0] - 1, grid.size_zyx[1] // 2, 0))
    ds.ImagePositionPatient = [_number(v) for v in corner]
    ds.PixelSpacing = [_number(grid.spacing_zyx_mm[0]), _number(grid.spacing_zyx_mm[2])]
    _pixels(ds, mean)
    return ds


def _common(
    spec: StudySpec, study_uid: str, series_uid: str, frame_uid: str, series_number: int
) -> Any:
    """What every image of the study carries."""
    from pydicom.dataset import Dataset

    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID = CT_IMAGE_STORAGE
    day = spec.study_date.strftime("%Y%m%d")
    for name in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
        setattr(ds, name, day)
    for name in ("StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime"):
        setattr(ds, name, "101500")
    ds.AccessionNumber = ""
    ds.Modality = "CT"
    ds.Manufacturer = "hoimg simulate"
    ds.ManufacturerModelName = "digital"
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = "Simulated CT"
    ds.PatientName = spec.patient_name
    ds.PatientID = spec.patient_id
    ds.PatientBirthDate = ""
    ds.PatientSex = "O"
    ds.StudyInstanceUID = study_uid
    ds.SeriesInstanceUID = series_uid
    ds.StudyID = "1"
    ds.SeriesNumber = series_number
    ds.FrameOfReferenceUID = frame_uid
    ds.PositionReferenceIndicator = ""
    ds.PatientPosition = "HFS"
    ds.Laterality = ""  # may not be missing where the body part could be one of a pair
    ds.ImageComments = "simulated or planted; not a patient's record"
    return ds


def _place(ds: Any, grid: Grid, corner_lps_mm: NDArray[Any]) -> None:
    """Position, orientation and spacing of an axial image."""
    axes = np.asarray(grid.direction)
    ds.ImageOrientationPatient = [_number(v) for v in (*axes[:, 0], *axes[:, 1])]
    ds.ImagePositionPatient = [_number(v) for v in corner_lps_mm]
    ds.SliceLocation = _number(float(corner_lps_mm @ axes[:, 2]))
    ds.PixelSpacing = [_number(grid.spacing_zyx_mm[1]), _number(grid.spacing_zyx_mm[2])]


def _pixels(ds: Any, hu: NDArray[Any]) -> None:
    """Pixels and what describes them."""
    stored = np.clip(np.rint(hu) - _INTERCEPT, 0, 65535).astype("<u2")
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = stored.shape
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 0
    ds.WindowCenter, ds.WindowWidth = "300", "1500"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = str(_INTERCEPT), "1", "HU"
    ds.PixelData = stored.tobytes()
    ds["PixelData"].VR = "OW"


def _save(ds: Any, path: Path, transfer_syntax: str) -> None:
    """Write one file with its meta header, compressed when asked."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(CT_IMAGE_STORAGE)
    meta.MediaStorageSOPInstanceUID = UID(ds.SOPInstanceUID)
    meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE)
    meta.ImplementationClassUID = UID(_uid("implementation"))
    meta.ImplementationVersionName = "HOIMG_SIM"
    ds.file_meta = meta
    # OpenJPEG's wavelet needs 32 pixels a side; a smaller image stays as it is.
    small = transfer_syntax == JPEG_2000_LOSSLESS and min(ds.Rows, ds.Columns) < 32
    if transfer_syntax != EXPLICIT_LITTLE and not small:
        ds.compress(UID(transfer_syntax), generate_instance_uid=False)
    ds.save_as(path, enforce_file_format=True)


def _number(value: float) -> str:
    """A decimal string of at most 16 characters."""
    text = f"{float(value):.8f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text[:16]


def _uid(*parts: str) -> str:
    """A valid UID that depends on its parts alone."""
    from pydicom.uid import generate_uid

    return str(generate_uid(prefix=_UID_ROOT, entropy_srcs=["hoimg-simulate", *parts]))


def _digest(*parts: str) -> str:
    import hashlib

    return hashlib.sha256("|".join(parts).encode()).hexdigest()
