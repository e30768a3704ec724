"""Pixels with a grid that cannot go stale; the only place that knows ITK and NIfTI frames."""

from __future__ import annotations

import struct
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hoimg.errors import InputRefused
from hoimg.geometry import Box, Grid, Matrix, Triple

if TYPE_CHECKING:
    import SimpleITK as sitk

SLICES_AT_ONCE = 64
"""Slices that are packed in one go: between two the thread waits for Python's lock."""


@dataclass(frozen=True, eq=False)
class CTVolume:
    """A CT volume in Hounsfield units.

    Attributes:
        hu: Array ``[z, y, x]``, int16 or float32, HU. Read-only by convention.
        grid: Where the voxels lie.
        valid: Optional boolean array of the same shape, false where the scanner wrote padding
            (outside the reconstruction circle), where no slice reaches, and in gap planes; None
            means that every voxel was measured.
        gap_planes: Planes (array z) that no slice imaged: filled by interpolation, for the eye.

    Raises:
        ValueError: when array and grid have different shapes or the dtype is another one.
    """

    hu: NDArray[Any]
    grid: Grid
    valid: NDArray[np.bool_] | None = None
    gap_planes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.hu.shape != self.grid.size_zyx:
            raise ValueError(f"array {self.hu.shape} does not fit grid {self.grid.size_zyx}")
        if self.hu.dtype not in (np.dtype(np.int16), np.dtype(np.float32)):
            raise ValueError(f"HU must be int16 or float32, got {self.hu.dtype}")
        if self.valid is not None and self.valid.shape != self.hu.shape:
            raise ValueError(f"valid {self.valid.shape} does not fit array {self.hu.shape}")

    @classmethod
    def from_array(
        cls,
        hu_zyx: NDArray[Any],
        spacing_zyx_mm: Triple,
        origin_lps_mm: Triple = (0.0, 0.0, 0.0),
    ) -> CTVolume:
        """Make a volume from a plain array in HU; other number types become float32."""
        kept = hu_zyx if hu_zyx.dtype == np.int16 else np.asarray(hu_zyx, dtype=np.float32)
        z, y, x = kept.shape
        return cls(kept, Grid((z, y, x), spacing_zyx_mm, origin_lps_mm))

    def crop(self, box: Box) -> CTVolume:
        """The part of the volume in ``box`` (a view, not a copy)."""
        valid = None if self.valid is None else self.valid[box]
        start, stop = int(box[0].start), int(box[0].stop)
        gaps = tuple(k - start for k in self.gap_planes if start <= k < stop)
        return CTVolume(self.hu[box], self.grid.crop(box), valid, gaps)


@dataclass(frozen=True, eq=False)
class Mask:
    """A binary mask or label map on a grid.

    Attributes:
        array: Array ``[z, y, x]``, bool or an unsigned integer type; 0 is background.
        grid: Where the voxels lie.

    Raises:
        ValueError: when array and grid have different shapes or the dtype is another one.
    """

    array: NDArray[Any]
    grid: Grid

    def __post_init__(self) -> None:
        if self.array.shape != self.grid.size_zyx:
            raise ValueError(f"array {self.array.shape} does not fit grid {self.grid.size_zyx}")
        if self.array.dtype.kind not in "bu":
            raise ValueError(f"a mask is bool or unsigned, got {self.array.dtype}")

    def crop(self, box: Box) -> Mask:
        """The part of the mask in ``box`` (a view, not a copy)."""
        return Mask(self.array[box], self.grid.crop(box))


@dataclass(frozen=True, eq=False)
class Radiograph:
    """A projection image.

    Attributes:
        pixels: Array ``[y, x]``, float32; larger is *more attenuating* (MONOCHROME1 inverted).
        spacing_yx_mm: Pixel spacing in mm, or None when the file gives none that can be trusted.
        spacing_source: ``calibrated``, ``detector_corrected``, ``detector_uncorrected``, ``none``.
        valid: Optional boolean array of the same shape, false where nothing was exposed (padding,
            outside of the stated collimator); None means that every pixel counts.

    Raises:
        ValueError: when ``pixels`` is not a 2D float32 array, or ``valid`` has another shape.
    """

    pixels: NDArray[np.float32]
    spacing_yx_mm: tuple[float, float] | None
    spacing_source: str
    valid: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or self.pixels.dtype != np.float32:
            raise ValueError(f"a film is 2D float32, got {self.pixels.shape} {self.pixels.dtype}")
        if self.valid is not None and self.valid.shape != self.pixels.shape:
            raise ValueError(f"valid {self.valid.shape} does not fit pixels {self.pixels.shape}")


def to_sitk(array_zyx: NDArray[Any], grid: Grid) -> sitk.Image:
    """A SimpleITK image (xyz, LPS) of an array; bool becomes uint8."""
    import SimpleITK as sitk

    kept = array_zyx.astype(np.uint8) if array_zyx.dtype == bool else array_zyx
    image = sitk.GetImageFromArray(np.ascontiguousarray(kept))
    image.SetSpacing(grid.spacing_zyx_mm[::-1])
    image.SetOrigin(grid.origin_lps_mm)
    image.SetDirection([v for row in grid.direction for v in row])
    return image


def grid_of_sitk(image: sitk.Image | sitk.ImageFileReader) -> Grid:
    """The grid of a 3D SimpleITK image, or of a file whose header a reader has read."""
    x, y, z = image.GetSize()
    sx, sy, sz = image.GetSpacing()
    flat = image.GetDirection()
    direction: Matrix = (
        (flat[0], flat[1], flat[2]),
        (flat[3], flat[4], flat[5]),
        (flat[6], flat[7], flat[8]),
    )
    return Grid((z, y, x), (sz, sy, sx), image.GetOrigin(), direction)


def grid_of_affine(
    affine_xyz: NDArray[np.float64], size_zyx: tuple[int, int, int], frame: str
) -> Grid:
    """The grid of an affine in the frame of another format.

    Args:
        affine_xyz: 4x4 matrix from voxel index ``(x, y, z, 1)`` to mm in ``frame``.
        size_zyx: Voxels along the array axes.
        frame: Where the frame's axes point, e.g. ``RAS`` (NIfTI: towards the patient's right,
            front and head) or ``LPS``; letters L/R, P/A, S/I in this order.

    Raises:
        ValueError: when the voxel axes are not orthogonal, or of no length; or for other letters.
    """
    if len(frame) != 3 or not (frame[0] in "LR" and frame[1] in "PA" and frame[2] in "SI"):
        raise ValueError(f"unknown frame {frame!r}")
    signs = np.array([1.0 if c in "LPS" else -1.0 for c in frame])
    columns = signs[:, None] * np.asarray(affine_xyz, dtype=float)[:3]
    lengths = np.linalg.norm(columns[:, :3], axis=0)
    if not (np.isfinite(columns).all() and lengths.min() > 0):
        raise ValueError("the affine is singular")
    rows = [tuple(float(v) for v in row) for row in columns[:, :3] / lengths]
    sx, sy, sz = (float(v) for v in lengths)
    a, b, c = (float(v) for v in columns[:, 3])
    return Grid(size_zyx, (sz, sy, sx), (a, b, c), (rows[0], rows[1], rows[2]))  # type: ignore[arg-type]


def from_sitk(image: sitk.Image) -> tuple[NDArray[Any], Grid]:
    """Array zyx and grid of a 3D SimpleITK image."""
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(image), grid_of_sitk(image)


def resample_mask(mask: Mask, grid: Grid) -> Mask:
    """Put a mask or label map onto another grid by physical position (nearest neighbour)."""
    import SimpleITK as sitk

    if mask.grid.same_as(grid):
        return mask
    target = sitk.Image(list(grid.size_zyx[::-1]), sitk.sitkUInt8)
    target.SetSpacing(grid.spacing_zyx_mm[::-1])
    target.SetOrigin(grid.origin_lps_mm)
    target.SetDirection([v for row in grid.direction for v in row])
    moved = sitk.Resample(
        to_sitk(mask.array, mask.grid), target, sitk.Transform(), sitk.sitkNearestNeighbor, 0
    )
    array = sitk.GetArrayFromImage(moved).astype(mask.array.dtype)
    return Mask(array, grid)


def write_nifti(path: Path, array_zyx: NDArray[Any], grid: Grid) -> None:
    """Write an array as ``.nii.gz``, placed correctly in physical space (ITK converts to RAS).

    A few slices at a time, as ITK needs a copy of the whole array first.

    Raises:
        OSError: when the file is not whole.
    """
    kept = array_zyx.view(np.uint8) if array_zyx.dtype == bool else array_zyx
    # Label maps are runs: other ways of packing take twice as long.
    packed = zlib.compressobj(6, wbits=16 + zlib.MAX_WBITS, strategy=zlib.Z_RLE)
    try:
        with path.open("wb") as stream:
            stream.write(packed.compress(_nifti_header(kept, grid)))
            for first in range(0, len(kept), SLICES_AT_ONCE):
                some = np.ascontiguousarray(kept[first : first + SLICES_AT_ONCE])
                stream.write(packed.compress(some.data))
            stream.write(packed.flush())
    except OSError as error:
        told = "was not written whole; is the disk full?"
        raise OSError(error.errno, told, str(path)) from error


def _nifti_header(array_zyx: NDArray[Any], grid: Grid) -> bytes:
    """What ITK writes before the voxels: that of the first few, with the whole array's size."""
    import SimpleITK as sitk

    first = to_sitk(array_zyx[:2, :2, :2], grid)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "first.nii"
        sitk.WriteImage(first, str(path))
        header = bytearray(path.read_bytes()[: -array_zyx[:2, :2, :2].nbytes])
    struct.pack_into("<3h", header, 42, *array_zyx.shape[::-1])  # dim[1] to dim[3]
    return bytes(header)


def read_mask(path: Path) -> Mask:
    """Read a NIfTI, NRRD or MetaImage label map; whole, non-negative numbers only.

    Raises:
        InputRefused: when the file cannot be read, is not 3D or is no label map.
    """
    import SimpleITK as sitk

    try:
        array, grid = from_sitk(sitk.ReadImage(str(path)))
    except (RuntimeError, ValueError) as error:
        raise _unreadable(path) from error
    whole = array.dtype.kind in "iu"  # rounding would make another copy, four bytes a voxel
    rounded = array if whole else np.rint(array)
    if array.min() < 0 or array.max() > 65535 or not (whole or np.array_equal(rounded, array)):
        raise InputRefused(
            f"{path}: is no label map (values are not whole numbers from 0 to 65535)",
            "mask_not_labels",
        )
    return Mask(rounded.astype(np.uint16, copy=False), grid)


def read_grid(path: Path) -> Grid:
    """The grid of a NIfTI, NRRD or MetaImage file; only its header is read.

    Raises:
        InputRefused: when the file cannot be read or is not 3D.
    """
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        return grid_of_sitk(reader)
    except (RuntimeError, ValueError) as error:
        raise _unreadable(path) from error


def _unreadable(path: Path) -> InputRefused:
    return InputRefused(
        f"{path}: cannot be read as a 3D mask; give a .nii.gz or .nrrd label map",
        "mask_unreadable",
    )
