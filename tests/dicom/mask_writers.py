"""Masks as other programs write them: highdicom, pydicom by hand, nibabel and SimpleITK.

Truth is analytic: a shape is a function of LPS millimetres, and a voxel is inside when its centre
is. Centres are computed here from spacing, origin and direction, not by hoimg.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.pixels.utils import pack_bits
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from hoimg.geometry import Grid

FRAME = "1.2.826.0.1.3680043.8.498.1"
OTHER_FRAME = "1.2.826.0.1.3680043.8.498.2"
Shape = Callable[[np.ndarray], np.ndarray]


def rotation(a: float, b: float, c: float) -> np.ndarray:
    """Turns about x, y and z, radians."""
    ca, sa, cb, sb, cc, sc = np.cos(a), np.sin(a), np.cos(b), np.sin(b), np.cos(c), np.sin(c)
    x = np.array([[1, 0, 0], [0, ca, -sa], [0, sa, ca]])
    y = np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
    z = np.array([[cc, -sc, 0], [sc, cc, 0], [0, 0, 1]])
    return z @ y @ x


def make_grid(
    size: Sequence[int],
    spacing: Sequence[float],
    centre: Sequence[float],
    direction: np.ndarray | None = None,
) -> Grid:
    """A grid whose middle lies at ``centre`` (size and spacing zyx)."""
    matrix = np.eye(3) if direction is None else direction
    half = (np.array(size[::-1]) - 1) / 2 * np.array(spacing[::-1])
    origin = np.asarray(centre) - matrix @ half
    rows = tuple(tuple(float(v) for v in row) for row in matrix)
    return Grid(tuple(size), tuple(spacing), tuple(float(v) for v in origin), rows)


def centres(grid: Grid) -> np.ndarray:
    """Voxel centres, ``[z, y, x, 3]``, LPS mm."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in grid.size_zyx), indexing="ij")
    steps = np.stack([x, y, z], axis=-1) * np.array(grid.spacing_zyx_mm[::-1])
    return steps @ np.array(grid.direction).T + np.array(grid.origin_lps_mm)


def ellipsoid(centre: Sequence[float], radii: Sequence[float]) -> Shape:
    def inside(points: np.ndarray) -> np.ndarray:
        return (((points - np.asarray(centre)) / np.asarray(radii)) ** 2).sum(axis=-1) < 1

    return inside


def volume_mm3(radii: Sequence[float]) -> float:
    return float(4 / 3 * np.pi * np.prod(radii))


def ct_images(grid: Grid, frame: str = FRAME) -> list[Dataset]:
    """Headers of a CT on the grid, as far as highdicom looks at them."""
    study, series = generate_uid(), generate_uid()
    direction = np.array(grid.direction)
    out = []
    for k in range(grid.size_zyx[0]):
        ds = FileDataset("", {}, file_meta=FileMetaDataset())
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, generate_uid()
        ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
        ds.FrameOfReferenceUID = frame
        ds.PatientID, ds.PatientName, ds.PatientBirthDate, ds.PatientSex = "p", "n", "", ""
        ds.StudyID, ds.StudyDate, ds.StudyTime, ds.AccessionNumber = "", "", "", ""
        ds.ReferringPhysicianName, ds.PositionReferenceIndicator = "", ""
        ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "CT", 1, k + 1
        ds.Rows, ds.Columns = grid.size_zyx[1:]
        place = np.array(grid.origin_lps_mm) + direction[:, 2] * k * grid.spacing_zyx_mm[0]
        ds.ImagePositionPatient = [f"{v:.8g}" for v in place]
        ds.ImageOrientationPatient = [f"{v:.10f}" for v in [*direction[:, 0], *direction[:, 1]]]
        ds.PixelSpacing = [f"{v:.8g}" for v in grid.spacing_zyx_mm[1:]]
        ds.SliceThickness = f"{grid.spacing_zyx_mm[0]:.8g}"
        out.append(ds)
    return out


def describe(number: int, label: str, kind: Any, **more: Any) -> hd.seg.SegmentDescription:
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=codes.SCT.Tissue,
        segmented_property_type=kind,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        **more,
    )


def segmentation(
    grid: Grid,
    masks: Sequence[np.ndarray],
    *,
    kind: str = "BINARY",
    labels: Sequence[str] | None = None,
    types: Sequence[Any] | None = None,
    frame: str = FRAME,
    **more: Any,
) -> Dataset:
    """A SEG by highdicom, one segment per mask (zyx)."""
    labels = labels or [f"segment {n}" for n in range(1, len(masks) + 1)]
    types = types or [codes.SCT.Tissue] * len(masks)
    if kind == "LABELMAP":
        array = sum(m.astype(np.uint8) * n for n, m in enumerate(masks, 1))
    else:
        array = np.stack(masks, axis=-1)
        array = array.astype(np.float32 if kind == "FRACTIONAL" else np.uint8)
    return hd.seg.Segmentation(
        source_images=ct_images(grid, frame),
        pixel_array=array,
        segmentation_type=kind,
        segment_descriptions=[
            describe(n, name, t) for n, (name, t) in enumerate(zip(labels, types, strict=True), 1)
        ],
        series_instance_uid=generate_uid(),
        series_number=9,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
        **more,
    )


def reordered(seg: Dataset, order: Sequence[int]) -> Dataset:
    """The same SEG with its frames in another order."""
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)[list(order)]
    groups = [seg.PerFrameFunctionalGroupsSequence[i] for i in order]
    seg.PerFrameFunctionalGroupsSequence = groups
    seg.NumberOfFrames = len(groups)
    bits = seg.BitsAllocated
    seg.PixelData = pack_bits(frames, pad=True) if bits == 1 else frames.tobytes()
    return seg


def save(dataset: Dataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def structure_set(
    structures: Sequence[dict[str, Any]], *, frame: str = FRAME, frame_per_roi: bool = True
) -> Dataset:
    """An RTSTRUCT by hand.

    Each structure: ``name``, ``contours`` (each ``(n, 3)`` LPS mm), and optionally ``number``,
    ``kind`` (contour type), ``interpreted``, ``frame``.
    """
    ds = FileDataset("", {}, file_meta=FileMetaDataset())
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = RTStructureSetStorage, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.Modality, ds.PatientID, ds.PatientName = "RTSTRUCT", "p", "n"
    referenced = Dataset()
    referenced.FrameOfReferenceUID = frame
    ds.ReferencedFrameOfReferenceSequence = [referenced]
    rois, contours, observations = [], [], []
    for position, given in enumerate(structures, 1):
        number = given.get("number", position)
        roi = Dataset()
        roi.ROINumber, roi.ROIName = number, given.get("name", "")
        if frame_per_roi:
            roi.ReferencedFrameOfReferenceUID = given.get("frame", frame)
        rois.append(roi)
        item = Dataset()
        item.ReferencedROINumber = number
        item.ContourSequence = []
        for points in given["contours"]:
            contour = Dataset()
            contour.ContourGeometricType = given.get("kind", "CLOSED_PLANAR")
            contour.NumberOfContourPoints = len(points)
            contour.ContourData = [f"{v:.6f}" for v in np.ravel(points)]
            item.ContourSequence.append(contour)
        contours.append(item)
        seen = Dataset()
        seen.ObservationNumber, seen.ReferencedROINumber = position, number
        seen.RTROIInterpretedType = given.get("interpreted", "")
        if "code" in given:
            value, scheme, meaning = given["code"]
            code = Dataset()
            code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
            seen.RTROIIdentificationCodeSequence = [code]
        observations.append(seen)
    ds.StructureSetROISequence = rois
    ds.ROIContourSequence = contours
    ds.RTROIObservationsSequence = observations
    return ds


def circle(
    grid: Grid, plane: float, row_mm: float, column_mm: float, radius: float, points: int = 720
) -> np.ndarray:
    """A circle in a plane of the grid, ``(n, 3)`` LPS mm; centre in mm from the first pixel."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    local = np.stack(
        [
            column_mm + radius * np.cos(angle),
            row_mm + radius * np.sin(angle),
            np.full(points, plane * grid.spacing_zyx_mm[0]),
        ],
        axis=1,
    )
    return local @ np.array(grid.direction).T + np.array(grid.origin_lps_mm)
