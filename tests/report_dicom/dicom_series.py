"""Small DICOM CT series with a planted label map, and the report that goes with them.

Everything here is written from the DICOM standard's own formula for a pixel's place (PS3.3
C.7.6.2.1.1), not from hoimg's grid: voxel (k, r, c) lies at
``origin + k*step*normal + r*dy*column + c*dx*row``.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian

from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask
from hoimg.results import (
    Change,
    Criterion,
    Exam,
    ExamImages,
    Lesion,
    Maturity,
    Observation,
    PatientResult,
    Report,
)

STUDY_UID = "1.2.826.0.1.3680043.8.498.1"
SERIES_UID = "1.2.826.0.1.3680043.8.498.2"
FRAME_UID = "1.2.826.0.1.3680043.8.498.3"


def _tilted() -> tuple[tuple[float, ...], tuple[float, ...]]:
    angle, lean = np.deg2rad(20.0), np.deg2rad(35.0)
    about_z = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    about_x = np.array(
        [[1, 0, 0], [0, np.cos(lean), -np.sin(lean)], [0, np.sin(lean), np.cos(lean)]]
    )
    turn = about_z @ about_x
    return tuple(np.round(turn[:, 0], 8)), tuple(np.round(turn[:, 1], 8))


ORIENTATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...], float]] = {
    # row cosines, column cosines, sign of the slice step along their cross product
    "axial": ((1, 0, 0), (0, 1, 0), 1.0),
    "axial_descending": ((1, 0, 0), (0, 1, 0), -1.0),
    "feet_first": ((-1, 0, 0), (0, 1, 0), 1.0),
    "sagittal": ((0, 1, 0), (0, 0, -1), 1.0),
    "coronal": ((1, 0, 0), (0, 0, -1), 1.0),
    "oblique": (*_tilted(), 1.0),
}


@dataclass
class Series:
    """A series on disk: files in order of k, and where its voxels lie."""

    files: list[Path]
    grid: Grid
    row: np.ndarray
    column: np.ndarray
    normal: np.ndarray
    origin: np.ndarray
    step: float
    spacing_yx: tuple[float, float]

    def place(self, k: int, r: int, c: int) -> np.ndarray:
        return (
            self.origin
            + k * self.step * self.normal
            + r * self.spacing_yx[0] * self.column
            + c * self.spacing_yx[1] * self.row
        )


@dataclass
class Look:
    """What a test may change of a series."""

    orientation: str = "axial"
    size: tuple[int, int, int] = (7, 11, 13)
    spacing_yx: tuple[float, float] = (0.7, 0.9)
    step: float = 2.5
    tags: dict[str, Any] = field(default_factory=dict)
    drop: tuple[str, ...] = ()


def header(series: Look, sop_class: str, uid: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SpecificCharacterSet = "ISO_IR 192"
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.SOPClassUID, data.SOPInstanceUID = sop_class, uid
    data.StudyInstanceUID, data.SeriesInstanceUID = STUDY_UID, SERIES_UID
    data.FrameOfReferenceUID, data.PositionReferenceIndicator = FRAME_UID, ""
    data.PatientName, data.PatientID = "Doe^Jane", "P-1"
    data.PatientBirthDate, data.PatientSex = "19700102", "F"
    data.StudyDate, data.StudyTime, data.StudyID = "20210304", "101112", "S1"
    data.AccessionNumber, data.ReferringPhysicianName = "A1", "House^Gregory"
    data.StudyDescription = "CT hip"
    data.Modality, data.Manufacturer, data.ManufacturerModelName = "CT", "Acme", "Scan 1"
    data.SeriesNumber, data.SliceThickness = 2, series.step
    data.Rows, data.Columns = series.size[1:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.RescaleSlope, data.RescaleIntercept, data.KVP = 1, 0, 120
    return data


def finish(data: FileDataset, look: Look, path: Path) -> Path:
    for keyword, value in look.tags.items():
        setattr(data, keyword, value)
    for keyword in look.drop:
        if keyword in data:
            delattr(data, keyword)
    data.save_as(path, enforce_file_format=True)
    return path


def geometry(look: Look) -> Series:
    row, column, sign = ORIENTATIONS[look.orientation]
    r, c = np.array(row, dtype=float), np.array(column, dtype=float)
    normal = np.cross(r, c) * sign
    origin = np.array([-31.0, 42.5, -107.25])
    direction = np.column_stack([r, c, normal])
    grid = Grid(
        look.size,
        (look.step, look.spacing_yx[0], look.spacing_yx[1]),
        tuple(origin),
        tuple(map(tuple, direction)),
    )
    return Series([], grid, r, c, normal, origin, look.step, look.spacing_yx)


def write_series(folder: Path, look: Look | None = None) -> Series:
    """One file per plane; file names do not sort in the order of the planes."""
    look = look or Look()
    series = geometry(look)
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(look.size[0]):
        data = header(look, CTImageStorage, f"{SERIES_UID}.{k + 1}")
        data.InstanceNumber = k + 1
        data.ImagePositionPatient = [f"{v:.6f}" for v in series.place(k, 0, 0)]
        data.ImageOrientationPatient = [f"{v:.8f}" for v in (*series.row, *series.column)]
        data.PixelSpacing = [str(v) for v in look.spacing_yx]
        data.PixelData = np.zeros(look.size[1:], np.int16).tobytes()
        name = hashlib.sha256(str(k).encode()).hexdigest()[:8]
        series.files.append(finish(data, look, folder / name))
    return series


def write_enhanced(folder: Path, look: Look, order: list[int]) -> Series:
    """One multi-frame file whose frame i shows plane ``order[i]``."""
    series = geometry(look)
    folder.mkdir(parents=True, exist_ok=True)
    data = header(look, EnhancedCTImageStorage, f"{SERIES_UID}.1")
    for keyword in ("SliceThickness", "RescaleSlope", "RescaleIntercept"):
        delattr(data, keyword)
    data.NumberOfFrames, data.InstanceNumber = len(order), 1
    shared, measures, turn = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = list(look.spacing_yx), look.step
    turn.ImageOrientationPatient = [f"{v:.8f}" for v in (*series.row, *series.column)]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [turn]
    data.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for k in order:
        frame, place = Dataset(), Dataset()
        place.ImagePositionPatient = [f"{v:.6f}" for v in series.place(k, 0, 0)]
        frame.PlanePositionSequence = [place]
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = frames
    data.PixelData = np.zeros((len(order), *look.size[1:]), np.int16).tobytes()
    series.files.append(finish(data, look, folder / "enhanced"))
    return series


def planted_labels(size: tuple[int, int, int]) -> np.ndarray:
    """Two irregular lesions, labels 4 and 2, that no flip or transposition maps onto itself."""
    labels = np.zeros(size, np.uint16)
    labels[1:3, 2:5, 1:9] = 4
    labels[2, 6, 2] = 4
    labels[2:5, 7:10, 5:7] = 2
    labels[4, 9, 10] = 2
    return labels


def lesion(lesion_id: str, seen: Observation, **more: Any) -> Lesion:
    number = int(hashlib.sha256(lesion_id.encode()).hexdigest()[:12], 16)
    given: dict[str, Any] = {
        "lesion_id": lesion_id,
        "tracking_uid": f"2.25.{number}",
        "observations": [seen],
        "changes": [],
        "maturity": Maturity(
            label="immature",
            exam_id=seen.exam_id,
            reasons=["r2_no_rim"],
            summary="Immature on imaging.",
            criteria=[
                Criterion(
                    id="R2",
                    value=0.2,
                    unit="1",
                    pass_at=">= 0.75",
                    fail_at="< 0.25",
                    result="fail",
                    evidence="default",
                )
            ],
        ),
    }
    return Lesion(**(given | more))


EXAM_ID = "day0090_ct_1a2b3c"


def observation(label: int | None, **more: Any) -> Observation:
    given: dict[str, Any] = {
        "exam_id": EXAM_ID,
        "status": "measured",
        "label": label,
        "volume_mm3": 1234.5678901234567,
        "volume_ci95_mm3": (1100.25, 1399.75),
        "threshold_volume_mm3": 987.125,
        "mineral_mass_hu_mm3": 345678.9012345,
        "mean_hu": 312.1,
        "sd_hu": 88.0,
        "median_hu": 0.0,
        "p95_hu": 512.5,
        "rim_fraction": 0.2,
        "edge_ratio": 2.75,
        "zone_contrast_hu": -31.5,
        "max_diameter_mm": 41.25,
        "surface_area_mm2": 2222.5,
        "sphericity": 0.61,
        "distance_to_bone_mm": 0.0,
        "flags": ["no_calibration"],
    }
    return Observation(**(given | more))


def default_lesions() -> list[Lesion]:
    change = Change(
        from_exam="day0000_ct_0f0f0f",
        to_exam=EXAM_ID,
        days=90,
        volume_change_pct=35.5,
        volume_rc_pct=12.0,
        density_change_hu=-4.0,
        category="enlarging",
    )
    return [
        lesion("L1", observation(4), changes=[change]),
        lesion("L2", observation(2, volume_mm3=77.0, mineral_mass_mg=12.5, median_hu=201.5)),
    ]


def make_result(
    series: Series, labels: np.ndarray, lesions: list[Lesion] | None = None, **more: Any
) -> PatientResult:
    volume = CTVolume(np.zeros(series.grid.size_zyx, np.int16), series.grid)
    report = Report(
        software="hoimg 0.0.test",
        config_sha256=hashlib.sha256(b"settings").hexdigest(),
        patient_key="k",
        baseline_date=dt.date(2021, 1, 1),
        exams=[
            Exam(
                exam_id=EXAM_ID,
                modality="CT",
                study_instance_uid=STUDY_UID,
                series_instance_uid=SERIES_UID,
                days_from_baseline=90,
            )
        ],
        lesions=default_lesions() if lesions is None else lesions,
        excluded=[],
    ).model_copy(update=more)
    images = ExamImages(
        exam_id=EXAM_ID,
        volume=volume,
        lesions=Mask(labels, series.grid),
        excluded=Mask(np.zeros_like(labels), series.grid),
        source_files=tuple(series.files),
    )
    return PatientResult(report, {EXAM_ID: images})
