"""Pictures of a lesion in three planes: a slice as PNG, its outline as a vector path over it.

All places are in millimetres of the picture's own frame (origin in its upper left corner), so
that the browser scales voxels of any shape to their true aspect ratio.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Box, label_boxes
from hoimg.image import Mask
from hoimg.report.planes import PlaneName, plane_of
from hoimg.results import ExamImages

WINDOW_CENTER_HU = 400.0
WINDOW_WIDTH_HU = 1800.0
MAX_PIXELS = {"large": 288, "small": 144, "thumb": 96}
"""Longest side of an embedded slice; a larger cut-out is averaged down to it."""

Size = Literal["large", "small", "thumb"]
Encoding = Literal["png", "jpeg"]


@dataclass(frozen=True)
class Picture:
    """One slice with outlines, ready for the page.

    Attributes:
        plane: Name of the plane.
        letters: Patient directions at the left, right, top and bottom edge.
        tilt_deg: How far the grid is turned against the patient's axes, degrees.
        side_mm: Side of the square picture, mm.
        box_mm: Left, top, width and height of the pixels inside the picture, mm.
        uri: The pixels as a data URI.
        outline: SVG path of the lesion's outline, mm; empty when it is not in this slice.
        others: SVG path of other lesions' outlines in the slice, mm.
        bar_mm: Length of the scale bar, mm.
        slice_number: Which slice of the array, counted from 1.
        slice_count: How many slices there are in this direction.
    """

    plane: PlaneName
    letters: tuple[str, str, str, str]
    tilt_deg: float
    side_mm: float
    box_mm: tuple[float, float, float, float]
    uri: str
    outline: str
    others: str
    bar_mm: int
    slice_number: int
    slice_count: int

    @property
    def bytes(self) -> int:
        """About how many bytes the picture adds to the page."""
        return len(self.uri) + len(self.outline) + len(self.others)


def find_lesions(images: ExamImages) -> dict[int, Box]:
    """Bounding box of every label in the exam's label map."""
    return label_boxes(images.lesions.array)


def inner_voxel(labels_zyx: NDArray[Any], box: Box, label: int) -> tuple[int, int, int]:
    """The lesion's voxel nearest to its centroid, zyx.

    A curved plaque does not hold its own centroid; slices through this voxel always cut it.
    """
    voxels = np.argwhere(labels_zyx[box] == label)
    nearest = voxels[np.argmin(((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1))]
    z, y, x = (int(v) + s.start for v, s in zip(nearest, box, strict=True))
    return z, y, x


def side_for(extent_mm: float) -> float:
    """Side of a picture for a lesion this large: the lesion with its surroundings, mm."""
    return float(np.clip(np.ceil((1.6 * extent_mm + 20) / 10) * 10, 80, 420))


def extent_mm(box: Box, spacing_zyx_mm: tuple[float, float, float]) -> float:
    """Longest side of a bounding box, mm."""
    return max(float(s.stop - s.start) * step for s, step in zip(box, spacing_zyx_mm, strict=True))


def draw(
    images: ExamImages,
    name: PlaneName,
    center_zyx: tuple[float, float, float],
    side_mm: float,
    *,
    label: int | None,
    size: Size = "large",
    encoding: Encoding = "png",
    labels: Mask | None = None,
) -> Picture:
    """Draw the slice through a voxel in one plane.

    Args:
        images: Volume and label map of the exam, on one grid.
        name: The plane.
        center_zyx: Voxel in the middle of the picture (may be fractional).
        side_mm: Side of the square that is shown, mm; beyond the scan it stays black.
        label: The lesion to outline; None outlines none.
        size: ``large``, ``small`` or ``thumb``, see :data:`MAX_PIXELS`.
        encoding: ``png`` (lossless) or ``jpeg`` where the page must stay small.
        labels: The map that ``label`` speaks of, on the exam's grid; its lesions when None.
    """
    grid = images.volume.grid
    plane = plane_of(grid, name)
    count = grid.size_zyx[plane.normal_axis]
    index = int(np.clip(round(center_zyx[plane.normal_axis]), 0, count - 1))
    hu = plane.take(images.volume.hu, index)
    here = plane.take((labels or images.lesions).array, index)
    across, down = plane.place_mm(center_zyx, grid.size_zyx)
    corner = (down - side_mm / 2, across - side_mm / 2)
    rows, columns = (
        _cut(corner[axis], side_mm, plane.pixel_mm[axis], hu.shape[axis]) for axis in (0, 1)
    )
    offset = (
        rows.start * plane.pixel_mm[0] - corner[0],
        columns.start * plane.pixel_mm[1] - corner[1],
    )
    part, cut = hu[rows, columns], here[rows, columns]
    mine = np.zeros(cut.shape, bool) if label is None else cut == label
    return Picture(
        plane=name,
        letters=plane.letters,
        tilt_deg=plane.tilt_deg,
        side_mm=side_mm,
        box_mm=(
            offset[1],
            offset[0],
            part.shape[1] * plane.pixel_mm[1],
            part.shape[0] * plane.pixel_mm[0],
        ),
        uri=_encode(part, MAX_PIXELS[size], encoding),
        outline=outline_path(mine, plane.pixel_mm, offset),
        others=outline_path((cut != 0) & ~mine, plane.pixel_mm, offset),
        bar_mm=max(b for b in (5, 10, 20, 50, 100) if b <= side_mm / 4),
        slice_number=index + 1,
        slice_count=count,
    )


def _cut(corner_mm: float, side_mm: float, pixel_mm: float, count: int) -> slice:
    """Voxels that touch the picture along one axis; at least one, also when it lies outside."""
    first = int(np.clip(np.floor(corner_mm / pixel_mm), 0, count - 1))
    last = int(np.clip(np.ceil((corner_mm + side_mm) / pixel_mm), first + 1, count))
    return slice(first, last)


def _encode(hu: NDArray[Any], longest: int, encoding: Encoding) -> str:
    from PIL import Image

    low = WINDOW_CENTER_HU - WINDOW_WIDTH_HU / 2
    grey = np.clip((hu.astype(np.float32) - low) * (255.0 / WINDOW_WIDTH_HU), 0, 255)
    image = Image.fromarray(np.rint(grey).astype(np.uint8))
    # One pixel size for both axes is only needed when shrinking: the page stretches to mm itself.
    shrink = max(image.size) / longest
    if shrink > 1:
        width, height = (max(1, round(n / shrink)) for n in image.size)
        image = image.resize((width, height), Image.Resampling.BOX)
    buffer = io.BytesIO()
    if encoding == "png":
        image.save(buffer, "PNG", optimize=False, compress_level=6)
    else:
        image.save(buffer, "JPEG", quality=82)
    return f"data:image/{encoding};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def outline_path(
    mask: NDArray[np.bool_],
    pixel: tuple[float, float],
    offset: tuple[float, float] = (0.0, 0.0),
    digits: int = 2,
) -> str:
    """Outline of a mask as an SVG path; empty for an empty mask.

    Args:
        mask: ``[row, column]``.
        pixel: Height and width of a pixel in the path's unit.
        offset: Where the mask's corner lies (down, right).
        digits: Decimals of the path.
    """
    if not mask.any():
        return ""
    from skimage.measure import find_contours

    # Only its box is searched: a film has millions of pixels, and a lesion few of them.
    rows, columns = (np.flatnonzero(mask.any(axis=1 - axis)) for axis in (0, 1))
    corner = (int(rows[0]), int(columns[0]))
    cut = mask[corner[0] : rows[-1] + 1, corner[1] : columns[-1] + 1]
    parts = []
    padded = np.pad(cut, 1).astype(np.float32)  # so that a mask at the border closes its outline
    for contour in find_contours(padded, 0.5):
        # Index 0 of the padded array is pixel -1, and a pixel's centre lies half a pixel in.
        points = (contour - 0.5 + corner) * pixel + offset
        words = (f"{x:.{digits}f} {y:.{digits}f}" for y, x in points[:-1])
        parts.append("M" + "L".join(words) + "Z")
    return "".join(parts)
