"""Put a scan onto another grid, as another exam of the same patient would see it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Grid, Triple
from hoimg.image import CTVolume, to_sitk

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
    transform = sitk.AffineTransform(3)
    if exam_to_patient_lps is not None:
        matrix = np.asarray(exam_to_patient_lps, float)
        transform.SetMatrix(matrix[:3, :3].ravel().tolist())
        transform.SetTranslation(matrix[:3, 3].tolist())
    reference = to_sitk(np.zeros(grid.size_zyx, np.uint8), grid)
    moved = sitk.Resample(image, reference, transform, sitk.sitkBSpline, AIR_HU)
    hu = np.clip(sitk.GetArrayFromImage(moved), float(volume.hu.min()), float(volume.hu.max()))
    if volume.hu.dtype == np.int16:
        hu = np.rint(hu)
    return CTVolume(hu.astype(volume.hu.dtype), grid)


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
