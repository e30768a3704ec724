"""DICOM segmentations: binary, fractional or label map, in any order, with empty frames left out.

Frames are put in place one by one, as each states its own position; nothing rests on their order
or on even steps between them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hoimg.dicom.clean import clean_text, clean_uid
from hoimg.dicom.convert import MAX_SIDE
from hoimg.dicom.masks.given import GivenMask, Region
from hoimg.dicom.masks.planes import Piece, Planes
from hoimg.dicom.masks.skeleton import bone_by_code, bone_by_name
from hoimg.errors import InputRefused
from hoimg.geometry import ORTHONORMAL_TOLERANCE, bounding_box

if TYPE_CHECKING:
    from pydicom import Dataset

SEG_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation Storage and Label Map Segmentation Storage."""
SAME_PLANE_MM = 0.01
"""Frames closer than this along their normal lie in one plane (positions are printed to 0.01)."""
WHOLE_STEPS = 0.05
"""A stated slice spacing is believed when the least step is a whole multiple of it within this."""
UPRIGHT = 0.01
"""Share of a pixel by which planes may lie beside each other and still count as straight."""
_NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.99")


def read_segmentation(dataset: Dataset, path: Path, fraction: float) -> GivenMask:
    """The segments of a segmentation object.

    Args:
        dataset: The whole object, pixels included.
        path: Where it came from, for messages.
        fraction: A pixel of a fractional segment is inside from this share on.

    Returns:
        One region per segment, with its number as label. What a plane stands for is the stated
        spacing between slices where frames agree with it; else the least step between frames,
        but no more than the stated slice thickness.

    Raises:
        InputRefused: ``mask_no_geometry`` when frames state no place in a patient's space (made
            on a radiograph or a slide), ``mask_unreadable`` for one that contradicts itself.
    """
    frames = _frames(dataset, path)
    planes, plane_of = _planes(frames, path)
    regions = tuple(
        region
        for item in dataset.get("SegmentSequence") or ()
        if (region := _region(item)).label not in _background(dataset)
    )
    numbers = [r.label for r in regions]
    if len(set(numbers)) != len(numbers) or not numbers or min(numbers) < 1:
        raise _refused(path, "does not number its segments one by one")
    found: dict[int, dict[int, _Crop]] = {}
    for index, pixels in _pixels(dataset, path, len(frames)):
        for number, inside in _segments_of(dataset, frames[index], pixels, fraction, path):
            if number not in numbers:
                raise _refused(path, f"has a frame of segment {number}, which it does not list")
            crop = _Crop.of(inside)
            if crop is not None:
                planes_of = found.setdefault(number, {})
                before = planes_of.get(plane_of[index])
                planes_of[plane_of[index]] = crop if before is None else before.joined(crop)
    return GivenMask(
        source="segmentation",
        regions=regions,
        pieces=tuple(_piece(number, crops, planes) for number, crops in sorted(found.items())),
        frame_of_reference_uid=str(dataset.get("FrameOfReferenceUID", "")) or None,
    )


class _Frame:
    """Place and segment of one frame."""

    def __init__(self, shared: Dataset | None, own: Dataset | None, path: Path) -> None:
        groups = [g for g in (own, shared) if g is not None]

        def item(name: str) -> Any:
            return next((g[name].value[0] for g in groups if g.get(name)), {})

        measures = item("PixelMeasuresSequence")
        position = item("PlanePositionSequence").get("ImagePositionPatient")
        orientation = item("PlaneOrientationSequence").get("ImageOrientationPatient")
        spacing = measures.get("PixelSpacing")
        if not (position and orientation and spacing):
            raise InputRefused(
                f"{path}: the segmentation states no place in the patient's space (was it made "
                "on a radiograph?); give one made on a CT",
                "mask_no_geometry",
            )
        self.position = np.array([float(v) for v in position])
        self.orientation = np.array([float(v) for v in orientation])
        self.spacing_yx = (float(spacing[0]), float(spacing[1]))
        self.thickness = _positive(measures.get("SliceThickness"))
        self.between = _positive(measures.get("SpacingBetweenSlices"))
        number = item("SegmentIdentificationSequence").get("ReferencedSegmentNumber")
        self.segment = None if number is None else int(number)


def _frames(dataset: Dataset, path: Path) -> list[_Frame]:
    rows, columns = int(dataset.get("Rows", 0)), int(dataset.get("Columns", 0))
    count = int(dataset.get("NumberOfFrames", 1))
    if not (0 < rows <= MAX_SIDE and 0 < columns <= MAX_SIDE and count > 0):
        raise _refused(path, "states no sensible size")
    if dataset.get("ConcatenationUID"):
        raise _refused(path, "is one part of an object spread over several files")
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    if len(per_frame) not in (count, 0) or (not per_frame and count > 1):
        raise _refused(path, f"has {count} frames and describes {len(per_frame)}")
    try:
        return [_Frame(shared, own, path) for own in per_frame or [None]]
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise _refused(path, "describes its frames with values that are no numbers") from error


def _planes(frames: Sequence[_Frame], path: Path) -> tuple[Planes, list[int]]:
    """The stack that all frames lie in, and each frame's plane."""
    first = frames[0]
    row, column = first.orientation[:3], first.orientation[3:]
    matrix = np.stack([row, column, np.cross(row, column)], axis=1)
    values = [*first.orientation, *first.spacing_yx, *(v for f in frames for v in f.position)]
    if (
        not np.isfinite(values).all()
        or np.abs(matrix.T @ matrix - np.eye(3)).max() > ORTHONORMAL_TOLERANCE
        or min(first.spacing_yx) <= 0
    ):
        raise _refused(path, "states an orientation or pixel size that makes no sense")
    for frame in frames:
        turned = np.abs(frame.orientation - first.orientation).max()
        if turned > ORTHONORMAL_TOLERANCE or not np.allclose(frame.spacing_yx, first.spacing_yx):
            raise _refused(path, "holds frames of several orientations or pixel sizes")
    local = np.array([f.position for f in frames]) - first.position
    local = local @ matrix  # x, y, along
    order = np.argsort(local[:, 2], kind="stable")
    along: list[float] = []
    shift: list[tuple[float, float]] = []
    plane_of = [0] * len(frames)
    for index in order:
        x, y, here = (float(v) for v in local[index])
        if not along or here - along[-1] > SAME_PLANE_MM:
            along.append(here)
            shift.append((y, x))
        elif np.abs(np.subtract(shift[-1], (y, x))).max() > SAME_PLANE_MM:
            raise _refused(path, "holds frames of one plane at two places")
        plane_of[index] = len(along) - 1
    upright = np.abs(shift).max() <= UPRIGHT * min(first.spacing_yx)
    a, b, c = (float(v) for v in first.position)
    slab, certain = _slab(along, first, path)
    planes = Planes(
        origin_lps_mm=(a, b, c),
        direction=tuple(tuple(float(v) for v in r) for r in matrix),  # type: ignore[arg-type]
        spacing_yx_mm=first.spacing_yx,
        along_mm=tuple(along),
        slab_mm=slab,
        shift_yx_mm=() if upright else tuple(shift),
        certain=certain,
    )
    return planes, plane_of


def _slab(along: Sequence[float], first: _Frame, path: Path) -> tuple[float, bool]:
    """What a plane stands for, mm, and whether that is certain.

    Frames without a voxel are left out, so that steps between frames may be skips.
    """
    every = np.diff(along)
    step = float(every.min()) if len(every) else None
    if first.between is not None:
        steps = 1.0 if step is None else step / first.between
        if round(steps) >= 1 and abs(steps - round(steps)) <= WHOLE_STEPS * round(steps):
            return first.between if step is None else step / round(steps), True
    known = [v for v in (step, first.thickness) if v is not None]
    if not known:
        raise _refused(path, "has one plane and does not state how thick it is")
    even = int(np.count_nonzero(every <= (1 + WHOLE_STEPS) * (step or 0.0)))
    return min(known), len(every) > 1 and 2 * even > len(every)


def _pixels(dataset: Dataset, path: Path, count: int) -> Iterator[tuple[int, NDArray[Any]]]:
    """Number and pixels of the frames, one by one, so that no more than one is held unpacked.

    Compressed frames are decoded in a child process, whatever the file does to the decoder.
    """
    from hoimg.dicom.header import read_header
    from hoimg.dicom.pixels import decoded_frames

    bits = dataset.get("BitsAllocated")
    if bits not in (1, 8, 16) or dataset.get("SamplesPerPixel", 1) != 1:
        raise _refused(path, f"stores pixels of {bits} bits")
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        header = read_header(path)
        if header is None or header.stored is None:
            raise _refused(path, "has pixels that cannot be decoded")
        yield from decoded_frames(path, header.stored)
        return
    size = int(dataset.Rows) * int(dataset.Columns)
    packed = np.frombuffer(dataset.get("PixelData", b""), dtype=np.uint8)
    if len(packed) < -(-count * size * bits // 8):
        raise _refused(path, "ends before its pixels do")
    little = dataset.file_meta.TransferSyntaxUID.is_little_endian
    for frame in range(count):
        first, last = frame * size * bits, (frame + 1) * size * bits
        stored = packed[first // 8 : -(-last // 8)]
        if bits == 1:
            pixels = np.unpackbits(stored, bitorder="little")[first % 8 : first % 8 + size]
        else:
            pixels = stored.view(np.dtype(f"u{bits // 8}").newbyteorder("<" if little else ">"))
        yield frame, pixels.reshape(int(dataset.Rows), int(dataset.Columns))


def _segments_of(
    dataset: Dataset, frame: _Frame, pixels: NDArray[Any], fraction: float, path: Path
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Segment numbers and their pixels in one frame."""
    kind = str(dataset.get("SegmentationType", "")).upper()
    if kind == "LABELMAP":
        for number in np.unique(pixels):
            if int(number) not in _background(dataset):
                yield int(number), pixels == number
        return
    if frame.segment is None:
        raise _refused(path, "has a frame that names no segment")
    if kind == "BINARY":
        yield frame.segment, pixels != 0
    elif kind == "FRACTIONAL":
        most = dataset.get("MaximumFractionalValue")
        if not isinstance(most, int) or most < 1:
            raise _refused(path, "does not state its largest fractional value")
        yield frame.segment, pixels >= max(math.ceil(fraction * most - 1e-9), 1)
    else:
        raise _refused(path, "is neither binary, fractional nor a label map")


def _background(dataset: Dataset) -> frozenset[int]:
    """Values of a label map that are no segment; it may list its background as one."""
    if str(dataset.get("SegmentationType", "")).upper() != "LABELMAP":
        return frozenset()
    padding = dataset.get("PixelPaddingValue", 0)
    return frozenset({0, padding} if isinstance(padding, int) else {0})


def _region(item: Dataset) -> Region:
    kind = (item.get("SegmentedPropertyTypeCodeSequence") or [{}])[0]
    name = clean_text(str(item.get("SegmentLabel", "")))
    value, scheme = str(kind.get("CodeValue", "")), str(kind.get("CodingSchemeDesignator", ""))
    meaning = clean_text(str(kind.get("CodeMeaning", "")))
    bone = bone_by_code(value, scheme) or bone_by_name(meaning, name)
    uid, made_up = clean_uid(str(item.get("TrackingUID", "")), "")
    return Region(int(item.get("SegmentNumber", 0)), name, bone, None if made_up else uid)


class _Crop:
    """The box of a frame that holds something."""

    def __init__(self, pixels: NDArray[np.bool_], row: int, column: int) -> None:
        self.pixels, self.row, self.column = pixels, row, column

    @classmethod
    def of(cls, inside: NDArray[np.bool_]) -> _Crop | None:
        box = bounding_box(inside[None])
        if box is None:
            return None
        return cls(inside[box[1:]].copy(), box[1].start, box[2].start)

    @property
    def ends(self) -> tuple[int, int]:
        return self.row + self.pixels.shape[0], self.column + self.pixels.shape[1]

    def joined(self, other: _Crop) -> _Crop:
        """Both of them: two frames may show one segment in one plane."""
        row, column = min(self.row, other.row), min(self.column, other.column)
        ends = np.maximum(self.ends, other.ends)
        pixels = np.zeros((ends[0] - row, ends[1] - column), dtype=bool)
        for crop in (self, other):
            crop.draw(pixels, row, column)
        return _Crop(pixels, row, column)

    def draw(self, pixels: NDArray[Any], row: int, column: int, value: int = 1) -> None:
        """Into an array whose first pixel is ``row``, ``column`` of the frame."""
        bottom, right = self.ends
        view = pixels[self.row - row : bottom - row, self.column - column : right - column]
        view[self.pixels] = value


def _piece(number: int, crops: dict[int, _Crop], planes: Planes) -> Piece:
    """One segment on the box of planes and pixels that holds it."""
    row, column = min(c.row for c in crops.values()), min(c.column for c in crops.values())
    bottom, right = np.max([c.ends for c in crops.values()], axis=0)
    start, stop = min(crops), max(crops) + 1
    dtype = np.uint8 if number < 256 else np.uint16
    labels = np.zeros((stop - start, bottom - row, right - column), dtype=dtype)
    for plane, crop in crops.items():
        crop.draw(labels[plane - start], row, column, number)
    box = (slice(start, stop), slice(row, bottom), slice(column, right))
    return Piece(labels, planes.crop(box))


def _positive(value: Any) -> float | None:
    number = None if value is None or value == "" else float(value)
    return number if number is not None and math.isfinite(number) and number > 0 else None


def _refused(path: Path, why: str) -> InputRefused:
    return InputRefused(
        f"{path}: the segmentation {why}; save it again from the program that made it",
        "mask_unreadable",
    )
