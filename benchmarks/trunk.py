"""A whole trunk of 512 x 512 x 400 voxels, or a shorter or longer one, for benchmarks.

The pixels are TotalSegmentator's sample CT (``example_ct.nii.gz``) resampled over the same patient
with noise of our own, so that there is a whole trunk to segment. A longer one goes on with the
trunk mirrored, slice by slice as thick as before.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIZE_XYZ = (512, 512, 400)
NOISE_HU = 12.0


def make_series(
    source: Path,
    folder: Path,
    *,
    day: dt.date = dt.date(2026, 1, 1),
    seed: int = 1,
    turn_deg: float = 0.0,
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    bodies: Sequence[tuple[tuple[float, float, float], float]] = (),
    slices: int = SIZE_XYZ[2],
) -> None:
    """Write the trunk as a DICOM series.

    Args:
        source: ``example_ct.nii.gz``.
        folder: Where the slices go.
        day: Date of the study.
        seed: Of the noise and of the study's UIDs.
        turn_deg: Turn of the patient about the long axis through the volume's middle.
        shift_mm: Shift of the patient, LPS.
        bodies: Balls of mineral to plant: centre (LPS mm in the unmoved patient) and diameter, mm.
        slices: How many; the thickness stays that of 400 over the whole trunk.
    """
    import SimpleITK as sitk

    from hoimg.image import CTVolume, from_sitk
    from hoimg.simulate.dicom_writer import SeriesSpec, StudySpec, write_study

    image = sitk.ReadImage(str(source), sitk.sitkFloat32)
    spacing = [
        n * s / m for n, s, m in zip(image.GetSize(), image.GetSpacing(), SIZE_XYZ, strict=True)
    ]
    middle = image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()])
    size = (*SIZE_XYZ[:2], slices)
    if slices > SIZE_XYZ[2]:
        more = round(image.GetSize()[2] * (slices / SIZE_XYZ[2] - 1)) + 1
        image = sitk.MirrorPad(image, (0, 0, 0), (0, 0, more))
    # A resampling transform leads from the moved patient back to the source.
    moved = sitk.Euler3DTransform(middle, 0.0, 0.0, np.radians(turn_deg), shift_mm)
    fine = sitk.Resample(
        image,
        size,
        moved.GetInverse(),
        sitk.sitkLinear,
        image.TransformContinuousIndexToPhysicalPoint(
            [0.5 * (t / s - 1) for t, s in zip(spacing, image.GetSpacing(), strict=True)]
        ),
        spacing,
        image.GetDirection(),
        -1000.0,
    )
    array, grid = from_sitk(fine)
    rng = np.random.default_rng(seed)
    hu = np.empty(array.shape, dtype=np.int16)
    for k, plane in enumerate(array):
        hu[k] = np.rint(plane + rng.normal(0, NOISE_HU, plane.shape))
    for centre, diameter in bodies:
        at = np.asarray(moved.TransformPoint(centre))
        _plant(hu, grid.to_index_zyx(at[None])[0], grid.spacing_zyx_mm, diameter)
    spec = StudySpec(
        [SeriesSpec(CTVolume(hu, grid))], day, seed=str(seed), localizer=False, compression="none"
    )
    write_study(spec, folder)


def muscle_places(
    source: Path, count: int, apart_mm: float = 50.0
) -> list[tuple[float, float, float]]:
    """Places deep in soft tissue, LPS mm, so far apart at least, the deepest first."""
    import SimpleITK as sitk
    from scipy.ndimage import distance_transform_edt

    image = sitk.ReadImage(str(source))
    hu, spacing = sitk.GetArrayFromImage(image), image.GetSpacing()[::-1]
    depth = distance_transform_edt((hu > 0) & (hu < 120), sampling=spacing)
    axes = [np.arange(n) * s for n, s in zip(depth.shape, spacing, strict=True)]
    found = []
    while len(found) < count and depth.any():
        at = np.unravel_index(int(np.argmax(depth)), depth.shape)
        found.append(image.TransformIndexToPhysicalPoint([int(k) for k in at[::-1]]))
        z, y, x = ((axis - axis[k]) ** 2 for axis, k in zip(axes, at, strict=True))
        depth[z[:, None, None] + y[:, None] + x < apart_mm**2] = 0
    return found


def _plant(
    hu: NDArray[np.int16],
    centre: NDArray[np.floating],
    spacing_mm: tuple[float, float, float],
    diameter_mm: float,
) -> None:
    """A ball with a dense rim, its border one voxel soft."""
    reach = np.ceil((diameter_mm / 2 + 2) / np.asarray(spacing_mm)).astype(int)
    low = np.maximum(np.rint(centre).astype(int) - reach, 0)
    high = np.minimum(np.rint(centre).astype(int) + reach + 1, hu.shape)
    axes = [
        (np.arange(a, b) - c) * s for a, b, c, s in zip(low, high, centre, spacing_mm, strict=True)
    ]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    depth = diameter_mm / 2 - np.sqrt(z**2 + y**2 + x**2)
    inside = np.clip(depth + 0.5, 0, 1)
    rim = np.clip(2.5 - depth, 0, 1)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    added = inside * (150 + 750 * rim)
    hu[box] = np.rint(np.clip(hu[box] * (1 - inside) + 50 * inside + added, -1024, 3071))
