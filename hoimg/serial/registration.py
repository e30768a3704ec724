"""One exam placed onto another one by their bones, and checked afterwards.

The transform is used for matching lesions only; every number is measured on the native grid.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hoimg.image import CTVolume, Mask, to_sitk
from hoimg.serial.align import align, cost
from hoimg.serial.surface import (
    Bones,
    Matrix4,
    inside,
    move,
    overlap,
    prepare,
    resample,
    sample,
    thin,
)
from hoimg.settings import SerialSettings

if TYPE_CHECKING:
    import SimpleITK as sitk

LOW_HU, HIGH_HU = 150.0, 1200.0
"""Bone's range: soft tissue, which moves, is flat below it, and metal saturates above it."""
NEAR_BONE_MM = 4.0
"""Intensities count up to this distance from the bone masks: lesions and table do not pull."""
MAX_REFINEMENT_MM = 4.0
"""Refinement by intensity that moves a bone farther than this has left the bones: not taken."""


@dataclass(frozen=True, eq=False)
class Registration:
    """How the fixed exam lies in the moving one.

    Attributes:
        matrix_lps: 4x4 rigid matrix that maps FIXED LPS points to MOVING LPS points, mm.
        accepted: Whether it may be used for matching.
        bone_overlap: Dice of the bones in the common view, or None without common view.
        residual_mm: Median distance between the bone surfaces in the common view, mm, or None.
        reason: Why it was rejected: ``no_bone``, ``no_common_view``, ``bones_do_not_overlap``,
            ``surfaces_too_far_apart``, ``bones_unlike`` (mirrored, or another patient); None when
            accepted.
    """

    matrix_lps: NDArray[np.floating[Any]] = field(default_factory=lambda: np.eye(4))
    accepted: bool = False
    bone_overlap: float | None = None
    residual_mm: float | None = None
    reason: str | None = None

    def inverse(self) -> Registration:
        """The same placement from the moving exam's side."""
        return Registration(
            np.linalg.inv(self.matrix_lps),
            self.accepted,
            self.bone_overlap,
            self.residual_mm,
            self.reason,
        )


def register(
    fixed: CTVolume,
    fixed_bone: Mask,
    moving: CTVolume,
    moving_bone: Mask,
    settings: SerialSettings | None = None,
) -> Registration:
    """Rigid registration of two exams of one patient, driven by native bone.

    Bone surfaces are aligned from many starts, the best is refined by mutual information of the
    bone's intensities, and the outcome is verified by overlap and surface distance. It repeats
    exactly: nothing is random, and one thread is used where the order of sums matters.

    Args:
        fixed: The exam whose points are mapped.
        fixed_bone: Its native skeleton, filled, without lesions and metal, on its own grid.
        moving: The exam they are mapped into.
        moving_bone: Its native skeleton.
        settings: Limits; defaults when None.

    Returns:
        The registration; when rejected it carries a reason and must not be used for matching.

    Raises:
        ValueError: when a mask is not on its volume's grid.
    """
    settings = settings or SerialSettings()
    for volume, bone in ((fixed, fixed_bone), (moving, moving_bone)):
        if not volume.grid.same_as(bone.grid):
            raise ValueError("a bone mask must lie on its volume's grid")
    voxel = settings.registration_voxel_mm
    ours, theirs = prepare(fixed_bone, voxel), prepare(moving_bone, voxel)
    if ours is None or theirs is None:
        return Registration(reason="no_bone")
    images = _Images(_bone_image(fixed, ours), _bone_image(moving, theirs))
    rough = verify(ours, theirs, images, _settled(align(ours, theirs)), settings)
    if rough.bone_overlap is None or rough.bone_overlap < settings.min_bone_overlap / 2:
        return rough  # hopeless: refinement would only cost time
    matrix = refine(ours, theirs, images, rough.matrix_lps, settings)
    if matrix is rough.matrix_lps:
        return rough
    return verify(ours, theirs, images, _settled(matrix), settings)


def _settled(matrix: Matrix4) -> Matrix4:
    """Rounded far below any meaning (1e-6 mm), where the order of sums on threads would show."""
    return np.round(matrix, 9) + 0.0


@dataclass(frozen=True, eq=False)
class _Images:
    """Both exams' bone intensities, clamped, on the working grids."""

    fixed: sitk.Image
    moving: sitk.Image


def verify(
    fixed: Bones, moving: Bones, images: _Images, matrix: Matrix4, settings: SerialSettings
) -> Registration:
    """Measure overlap, residual and likeness of a placement and accept or reject it."""
    dice, common = overlap(fixed, moving, matrix)
    residual = _residual(fixed, moving, matrix)
    likeness = _correlation(fixed, moving, images, matrix)
    reason = None
    if dice is None or residual is None or common < settings.min_common_bone_mm3:
        reason = "no_common_view"
    elif dice < settings.min_bone_overlap:
        reason = "bones_do_not_overlap"
    elif residual > settings.max_residual_mm:
        reason = "surfaces_too_far_apart"
    elif likeness is None or likeness < settings.min_bone_correlation:
        reason = "bones_unlike"
    return Registration(matrix, reason is None, dice, residual, reason)


def refine(
    ours: Bones, theirs: Bones, images: _Images, start: Matrix4, settings: SerialSettings
) -> Matrix4:
    """Mutual information of the bones' intensities, from a start that is already close."""
    import SimpleITK as sitk

    centre = ours.points_lps_mm.mean(axis=0)
    transform = sitk.Euler3DTransform()
    transform.SetCenter(centre.tolist())
    transform.SetMatrix(start[:3, :3].ravel().tolist(), 1e-6)
    transform.SetTranslation((start[:3, 3] + start[:3, :3] @ centre - centre).tolist())
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(40)
    near = to_sitk(ours.distance_mm < NEAR_BONE_MM, ours.grid)
    method.SetMetricFixedMask(near)
    method.SetMetricSamplingStrategy(method.REGULAR)
    share = float((ours.distance_mm < NEAR_BONE_MM).mean())
    wanted = 20_000 / max(share * ours.distance_mm.size, 1.0)
    method.SetMetricSamplingPercentage(min(1.0, max(wanted, 0.02)), settings.seed)
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


def _bone_image(volume: CTVolume, bones: Bones) -> sitk.Image:
    import SimpleITK as sitk

    image = sitk.Cast(
        resample(to_sitk(volume.hu, volume.grid), bones.grid, LOW_HU), sitk.sitkFloat32
    )
    clamped = sitk.Clamp(image, sitk.sitkFloat32, LOW_HU, HIGH_HU)
    near = to_sitk(bones.distance_mm < 2 * NEAR_BONE_MM, bones.grid)
    masked: sitk.Image = sitk.Mask(clamped, near, LOW_HU)
    return masked


def _residual(fixed: Bones, moving: Bones, matrix: Matrix4) -> float | None:
    """Median distance of either surface to the other one in the common view, mm."""
    gaps = []
    for start, end, way in (
        (fixed, moving, matrix),
        (moving, fixed, np.linalg.inv(matrix)),
    ):
        moved = move(way, start.points_lps_mm)
        gaps.append(np.abs(sample(end, moved[inside(end.view, moved)])))
    together = np.concatenate(gaps)
    return float(np.median(together)) if together.size else None


def _correlation(fixed: Bones, moving: Bones, images: _Images, matrix: Matrix4) -> float | None:
    """Correlation of the clamped HU in and just round the fixed exam's bones, common view only."""
    import SimpleITK as sitk
    from scipy.ndimage import map_coordinates

    index = thin(np.argwhere(fixed.distance_mm < NEAR_BONE_MM), 60_000)
    moved = move(matrix, fixed.grid.to_lps_mm(index))
    seen = inside(moving.view, moved)
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
