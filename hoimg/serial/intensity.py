"""Bone's own intensities: what refines a placement by surfaces, and what tells strangers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hoimg.image import CTVolume, to_sitk
from hoimg.serial.align import cost
from hoimg.serial.surface import Bones, Matrix4, move, resample, telling, thin

if TYPE_CHECKING:
    import SimpleITK as sitk

LOW_HU, HIGH_HU = 150.0, 1200.0
"""Bone's range: soft tissue, which moves, is flat below it, and metal saturates above it."""
NEAR_BONE_MM = 4.0
"""Intensities count up to this distance from the bone masks: lesions and table do not pull."""
MAX_REFINEMENT_MM = 4.0
"""Refinement by intensity that moves a bone farther than this has left the bones: not taken."""

Blind = tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None]
"""See :class:`Images`."""


@dataclass(frozen=True, eq=False)
class Images:
    """Both exams' bone intensities, clamped, on the working grids.

    Attributes:
        fixed: Of the fixed exam.
        moving: Of the moving exam.
        blind: Voxels of the fixed and of the moving working grid whose HU tell nothing of bone,
            because metal is near; None where there is none.
    """

    fixed: sitk.Image
    moving: sitk.Image
    blind: Blind = (None, None)


def refine(
    ours: Bones, theirs: Bones, images: Images, start: Matrix4, near: NDArray[np.bool_], seed: int
) -> Matrix4:
    """Mutual information of the bones' intensities, from a start that is already close.

    Args:
        ours: The fixed bones.
        theirs: The moving bones.
        images: Both exams' intensities.
        start: Where the surfaces put it.
        near: The voxels of the fixed working grid that count.
        seed: Of the sampling, which is regular.
    """
    import SimpleITK as sitk

    centre = ours.points_lps_mm.mean(axis=0)
    transform = sitk.Euler3DTransform()
    transform.SetCenter(centre.tolist())
    transform.SetMatrix(start[:3, :3].ravel().tolist(), 1e-6)
    transform.SetTranslation((start[:3, 3] + start[:3, :3] @ centre - centre).tolist())
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfWorkUnits(1)  # two would add up in whichever order they end
    method.SetMetricAsMattesMutualInformation(40)
    method.SetMetricFixedMask(to_sitk(near, ours.grid))
    method.SetMetricSamplingStrategy(method.REGULAR)
    wanted = 20_000 / max(int(np.count_nonzero(near)), 1)
    method.SetMetricSamplingPercentage(min(1.0, max(wanted, 0.02)), seed)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=0.5,
        minStep=0.01,
        numberOfIterations=60,
        relaxationFactor=0.5,
        gradientMagnitudeTolerance=1e-8,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(images.fixed, images.moving)
    except RuntimeError:
        # ITK raises when too few samples fall into the moving image: keep the surface alignment.
        return start
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(transform.GetMatrix()).reshape(3, 3)
    matrix[:3, 3] = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    points = thin(ours.points_lps_mm, 2000)
    moved = np.linalg.norm(move(matrix, points) - move(start, points), axis=1).max()
    worse = cost(points, theirs, matrix) > cost(points, theirs, start) + 0.3
    return start if moved > MAX_REFINEMENT_MM or worse else matrix


def bone_image(volume: CTVolume, bones: Bones) -> sitk.Image:
    """HU in and just round the bones on their working grid, clamped; ``LOW_HU`` elsewhere."""
    import SimpleITK as sitk

    image = sitk.Cast(
        resample(to_sitk(volume.hu, volume.grid), bones.grid, LOW_HU), sitk.sitkFloat32
    )
    clamped = sitk.Clamp(image, sitk.sitkFloat32, LOW_HU, HIGH_HU)
    near = to_sitk(bones.distance_mm < 2 * NEAR_BONE_MM, bones.grid)
    masked: sitk.Image = sitk.Mask(clamped, near, LOW_HU)
    return masked


def correlation(
    fixed: Bones, moving: Bones, images: Images, matrix: Matrix4, index: NDArray[np.intp]
) -> float | None:
    """Correlation of the clamped HU of fixed voxels with where they lie in the moving exam.

    Args:
        fixed: The fixed bones.
        moving: The moving bones.
        images: Both exams' intensities.
        matrix: Fixed LPS to moving LPS.
        index: Voxels zyx ``(n, 3)`` of the fixed working grid, in and just round the bones.

    Returns:
        None with less than 100 of them where both exams tell of bone, or without contrast.
    """
    import SimpleITK as sitk
    from scipy.ndimage import map_coordinates

    index = thin(index, 60_000)
    moved = move(matrix, fixed.grid.to_lps_mm(index))
    seen = telling(moving, moved)
    blind_here, blind_there = images.blind
    if blind_here is not None:
        seen &= ~blind_here[tuple(index.T)]
    if blind_there is not None:
        place = np.rint(moving.grid.to_index_zyx(moved)).astype(int)
        place = np.clip(place, 0, np.asarray(blind_there.shape) - 1)
        seen &= ~blind_there[tuple(place.T)]
    if np.count_nonzero(seen) < 100:
        return None
    here = sitk.GetArrayViewFromImage(images.fixed)[tuple(index[seen].T)]
    there = map_coordinates(
        sitk.GetArrayViewFromImage(images.moving),
        moving.grid.to_index_zyx(moved[seen]).T,
        order=1,
        cval=LOW_HU,
    )
    if here.std() == 0 or there.std() == 0:
        return None
    return float(np.corrcoef(here, there)[0, 1])
