"""Put a scan onto another grid, as another exam of the same patient would see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Grid, Triple
from hoimg.image import CTVolume, Mask, to_sitk

if TYPE_CHECKING:
    import SimpleITK as sitk

AIR_HU = -1000.0


def regrid(grid: Grid, spacing_zyx_mm: Triple) -> Grid:
    """A grid over the same space with another spacing (same first corner, no larger extent)."""
    size = [
        int((n - 1) * s / t) + 1
        for n, s, t in zip(grid.size_zyx, grid.spacing_zyx_mm, spacing_zyx_mm, strict=True)
    ]
    return Grid((size[0], size[1], size[2]), spacing_zyx_mm, grid.origin_lps_mm, grid.direction)


def resample(
    volume: CTVolume, grid: Grid, exam_to_patient_lps: NDArray[Any] | None = None
) -> CTVolume:
    """Resample by cubic B-spline; air outside the scan.

    Args:
        volume: The scan, in the patient's frame.
        grid: Grid of the new exam. Where it is coarser than the scan, the scan is smoothed first
            (a Gaussian with the width of the new voxel), as a thicker slice averages.
        exam_to_patient_lps: 4x4 matrix from the new exam's LPS points to the patient's.

    Returns:
        Volume of the same number type, clipped to the scan's own range so that the spline cannot
        overshoot at metal and skin.
    """
    import SimpleITK as sitk

    image = to_sitk(volume.hu.astype(np.float32), volume.grid)
    for axis in range(3):
        new, old = grid.spacing_zyx_mm[2 - axis], volume.grid.spacing_zyx_mm[2 - axis]
        if new > 1.3 * old:
            sigma = 0.42 * float(np.sqrt(new**2 - old**2))
            image = sitk.RecursiveGaussian(
                image, sigma, False, sitk.RecursiveGaussianImageFilter.ZeroOrder, axis
            )
    transform = affine(exam_to_patient_lps)
    reference = to_sitk(np.zeros(grid.size_zyx, np.uint8), grid)
    moved = sitk.Resample(image, reference, transform, sitk.sitkBSpline, AIR_HU)
    hu = np.clip(sitk.GetArrayFromImage(moved), float(volume.hu.min()), float(volume.hu.max()))
    if volume.hu.dtype == np.int16:
        hu = np.rint(hu)
    return CTVolume(hu.astype(volume.hu.dtype), grid)


def resample_nearest(
    mask: Mask, grid: Grid, exam_to_patient_lps: NDArray[Any] | None = None
) -> Mask:
    """Resample a mask by nearest neighbour, so that it stays as coarse as its source; uint8 0/1.

    Args:
        mask: In the patient's frame.
        grid: Grid of the exam.
        exam_to_patient_lps: 4x4 matrix from the exam's LPS points to the patient's.
    """
    import SimpleITK as sitk

    moved = sitk.Resample(
        to_sitk((mask.array > 0).astype(np.uint8), mask.grid),
        to_sitk(np.zeros(grid.size_zyx, np.uint8), grid),
        affine(exam_to_patient_lps),
        sitk.sitkNearestNeighbor,
        0,
    )
    return Mask(np.asarray(sitk.GetArrayFromImage(moved), np.uint8), grid)


def resample_linear(
    array: NDArray[Any],
    source: Grid,
    grid: Grid,
    exam_to_patient_lps: NDArray[Any] | None = None,
    outside: float = 1000.0,
) -> NDArray[np.float32]:
    """Linear interpolation of any numbers (e.g. distances, mm) on another grid; float32.

    Args:
        array: Numbers on ``source``, in the patient's frame.
        source: Their grid.
        grid: Grid of the exam.
        exam_to_patient_lps: 4x4 matrix from the exam's LPS points to the patient's.
        outside: Value beyond ``source``.
    """
    import SimpleITK as sitk

    moved = sitk.Resample(
        to_sitk(array.astype(np.float32), source),
        to_sitk(np.zeros(grid.size_zyx, np.uint8), grid),
        affine(exam_to_patient_lps),
        sitk.sitkLinear,
        outside,
    )
    return np.asarray(sitk.GetArrayFromImage(moved), np.float32)


def average_slices(volume: CTVolume, thick_mm: float) -> CTVolume:
    """Average whole groups of slices to about ``thick_mm`` (two slices at least); int16."""
    dz = volume.grid.spacing_zyx_mm[0]
    count = max(2, round(thick_mm / dz))
    groups = volume.hu.shape[0] // count
    hu = volume.hu[: groups * count].reshape(groups, count, *volume.hu.shape[1:])
    origin = volume.grid.to_lps_mm(((count - 1) / 2, 0, 0))
    grid = Grid(
        (groups, *volume.hu.shape[1:]),
        (dz * count, *volume.grid.spacing_zyx_mm[1:]),
        (float(origin[0]), float(origin[1]), float(origin[2])),
        volume.grid.direction,
    )
    return CTVolume(np.rint(hu.mean(axis=1, dtype=np.float32)).astype(np.int16), grid)


def affine(matrix: NDArray[Any] | None) -> sitk.Transform:
    """ITK's transform of a 4x4 matrix of LPS points; None: identity."""
    import SimpleITK as sitk

    transform = sitk.AffineTransform(3)
    if matrix is not None:
        transform.SetMatrix(np.asarray(matrix, float)[:3, :3].ravel().tolist())
        transform.SetTranslation(np.asarray(matrix, float)[:3, 3].tolist())
    return transform


def rigid_matrix(
    degrees_xyz: tuple[float, float, float], shift_lps_mm: Triple, center_lps_mm: Triple
) -> NDArray[np.float64]:
    """4x4 rigid motion: rotations about x, y, z (in that order) through a centre, then a shift."""
    rotation = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees_xyz)):
        c, s = np.cos(angle), np.sin(angle)
        turn = np.eye(3)
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        turn[i, i] = turn[j, j] = c
        turn[i, j], turn[j, i] = -s, s
        rotation = turn @ rotation
    matrix = np.eye(4)
    center = np.asarray(center_lps_mm)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = center - rotation @ center + np.asarray(shift_lps_mm)
    return matrix
