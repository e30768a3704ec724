"""Where each bone is expected from the patient's other side: the mirrored scan, laid on the scan.

The scan is flipped left to right, registered to itself (affine, then a smooth deformable step on
bone alone) and its bone, brought over, is what the native skeleton should be on this side. After
the first trial in ``docs/methods/segment.md``: registering bone-only intensity leaves 2.4 % of the
bone farther than 3 mm from its partner, against 4.1 % with all intensities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.image import to_sitk
from hoimg.segment.morphology import close_mm, distance_mm, fill_holes, smooth_mm
from hoimg.segment.working import Working
from hoimg.settings import SegmentSettings
from hoimg.side_threads import side_threads

REGISTRATION_SPACING_MM = 4.0
"""A further 2 mm level costs four times as much for 0.2 % of the bone."""
ROUGH_ROUNDS, FINE_ROUNDS = 40, 10
"""Iterations of the deformable step at twice the spacing and at it. Thirty fine ones explain no
more of the bone (four tuning and varied cases: 0.936, 0.828, 0.966, 0.947; ten 0.934, 0.830, 0.966,
0.948)."""
PARTNER_SPACING_MM = 2.5
BONE_HU = 160.0
OWN_BONE_HU = 250.0
"""This side's bone, dense enough to be cortex; of the other side all above the one before."""
MIN_REACH_MM = 34.0
"""Least root mean square distance of bone from the mirror plane: one limb (a shaft has 9 mm, an arm
13 mm, a knee 22 mm, a hip 22-32 mm) is its own mirror image, which says nothing of what is normal.
A chest has 55 mm, a pelvis 80 mm."""
MAX_STRETCH = 1.5
"""Both sides are of one person, so that neither is stretched onto the other. Of 68 scans with two
sides (tuning and varied) one in seven, of chests and upper abdomens, is stretched or squeezed by
1.25 to 1.50; one hip, laid on its own mirror image, by 1.3 to 30. What stretches less and is one
side all the same, a half of a pelvis as a rule, fails by its reach."""
MUSCLE_HU = 50.0
SAMPLING_SEED = 20260101
SURE_AGREEMENT = 0.93
"""From here on no other start of the registration is tried."""
SAME_PLACE_MM = 1.0
"""Two starts whose affine transforms lay bone this near to each other (mean), a quarter of the
grid's spacing, lead to the same place. Of 17 scans (tuning and varied) in which a second start is
asked, it comes to within 1 mm in 13 and explains at most 0.2 % more of the bone; in the others up
to 3 % more."""
MIN_AGREEMENT = 0.65
"""Least fraction of this side's bone that must lie within 4 mm of mirrored bone; below it the scan
has no usable other side (one limb, a rotated or one-sided field of view)."""


@dataclass(frozen=True, eq=False)
class Mirror:
    """The mirrored skeleton on the working grid.

    Attributes:
        distance_mm: float32, distance to mirrored solid bone (cortex and marrow).
        faint_distance_mm: float32, distance to anything that is denser than soft tissue on the
            other side (> 90 HU smoothed): calcified cartilage, enhanced vessel, weak bone.
        agreement: Fraction of this scan's bone within 4 mm of mirrored bone.
    """

    distance_mm: NDArray[np.float32]
    faint_distance_mm: NDArray[np.float32]
    agreement: float

    def known_to_mm(self, settings: SegmentSettings, spacing_zyx_mm: Sequence[float]) -> float:
        """How exactly mirrored bone is known: the settings' tolerance, at least 1.5 voxels, mm."""
        return max(settings.mirror_tolerance_mm, 1.5 * max(spacing_zyx_mm))


def mirror_skeleton(
    working: Working,
    body: NDArray[np.bool_],
    metal: NDArray[np.bool_],
    lesions: NDArray[np.bool_] | None = None,
) -> Mirror | None:
    """Register the scan's mirror image to it and bring its bone over.

    Args:
        working: The exam at about 1.5 mm.
        body: The patient on the same grid.
        metal: Metal on the same grid; it is painted as bone, so that a nail in one femur does not
            pull the registration.
        lesions: What is known to be no bone of the skeleton; painted as muscle, so that it
            neither pulls the other side over itself nor explains a lesion there.

    Returns:
        The mirrored skeleton, or None where there is no usable other side.
    """

    cleaned = np.where(body, np.minimum(working.hu, 1500), -1000).astype(np.float32)
    cleaned[metal] = 400
    if lesions is not None:
        cleaned[lesions] = MUSCLE_HU
    full = to_sitk(cleaned, working.grid)
    del cleaned
    axis = _left_right_axis(working)
    fine = resample_to(full, PARTNER_SPACING_MM)
    coarse = resample_to(fine, REGISTRATION_SPACING_MM)
    bone_mm = _bone_points_mm(fine)
    best: _Partner | None = None
    for start in ("MOMENTS", "GEOMETRY"):
        # Arms in view or a patient off the middle can lead one start astray.
        affine = _usable_affine(coarse, axis, start, bone_mm)
        if affine is None or (
            best is not None and _apart_mm(bone_mm, affine, best.affine) < SAME_PLACE_MM
        ):
            break
        made = _laid_over(fine, coarse, axis, affine)
        if made is not None and (best is None or made.agreement > best.agreement):
            best = made
        # A start that finds nothing like the other side is not helped by another one.
        if best is None or best.agreement < MIN_AGREEMENT or best.agreement >= SURE_AGREEMENT:
            break
    if best is None or best.agreement < MIN_AGREEMENT:
        return None
    step = tuple(fine.GetSpacing()[::-1])
    with side_threads(1) as beside:
        solid = beside.submit(_onto, best.to_solid, fine, full)
        faint = smooth_mm(best.partner, 2.0, step) > 90
        return Mirror(solid.result(), _onto(distance_mm(faint, step), fine, full), best.agreement)


@dataclass(frozen=True, eq=False)
class _Partner:
    """The other side, laid over the scan at ``PARTNER_SPACING_MM``: HU, and mm to its bone.

    ``affine`` is the first step of the way there.
    """

    partner: NDArray[np.float32]
    to_solid: NDArray[np.float32]
    agreement: float
    affine: Any


def _usable_affine(coarse, axis: int, start: str, bone_mm: NDArray[np.float64]):  # type: ignore[no-untyped-def]
    """The affine step from one start; None where it leads to no other side."""
    if not len(bone_mm):
        return None
    try:
        affine = _affine(coarse, _flipped(coarse, axis), start)
    except RuntimeError:  # ITK: no overlap, singular metric, too few slices
        return None
    if _stretch(affine) > MAX_STRETCH or _reach_mm(bone_mm, coarse, affine, axis) < MIN_REACH_MM:
        return None
    return affine


def _laid_over(fine, coarse, axis: int, affine) -> _Partner | None:  # type: ignore[no-untyped-def]
    """The other side from one affine step; None where there is none."""
    import SimpleITK as sitk

    try:
        moved = sitk.Resample(_flipped(coarse, axis), coarse, affine, sitk.sitkLinear, -1000.0)
        field = _demons(coarse, moved)
    except RuntimeError:  # ITK: too few slices
        return None
    flipped = _flipped(fine, axis)
    warp = sitk.DisplacementFieldTransform(field)
    both = sitk.CompositeTransform([affine, warp])  # applied last to first: warp, then affine
    partner = sitk.GetArrayFromImage(sitk.Resample(flipped, fine, both, sitk.sitkLinear, -1000.0))
    step = tuple(fine.GetSpacing()[::-1])
    solid = fill_holes(close_mm(partner > BONE_HU, 3.0, step), per_slice=True)
    if not solid.any():
        return None
    to_solid = distance_mm(solid, step)
    own = sitk.GetArrayViewFromImage(fine) > OWN_BONE_HU
    return _Partner(partner, to_solid, float((to_solid[own] <= 4.0).mean()), affine)


def _bone_points_mm(image) -> NDArray[np.float64]:  # type: ignore[no-untyped-def]
    """LPS mm of at most some thousand voxels of bone, spread over the scan."""
    import SimpleITK as sitk

    own = sitk.GetArrayViewFromImage(image) > OWN_BONE_HU
    index = np.argwhere(own)[:: max(1, int(own.sum()) // 2000), ::-1].astype(float)
    points = [image.TransformContinuousIndexToPhysicalPoint(k.tolist()) for k in index]
    return np.asarray(points).reshape(-1, 3)


def _moved_mm(points_mm: NDArray[np.float64], affine) -> NDArray[np.float64]:  # type: ignore[no-untyped-def]
    """Where an affine transform takes points."""
    origin = np.asarray(affine.TransformPoint((0.0, 0.0, 0.0)))
    axes = [np.asarray(affine.TransformPoint(tuple(axis))) - origin for axis in np.eye(3)]
    moved: NDArray[np.float64] = points_mm @ np.array(axes) + origin
    return moved


def _apart_mm(points_mm: NDArray[np.float64], one, other) -> float:  # type: ignore[no-untyped-def]
    """How far apart two affine transforms take points, mean."""
    return float(
        np.linalg.norm(_moved_mm(points_mm, one) - _moved_mm(points_mm, other), axis=1).mean()
    )


def _stretch(affine) -> float:  # type: ignore[no-untyped-def]
    """By how much an affine transform stretches or squeezes at most; 1 for a rigid one."""
    axes = _moved_mm(np.eye(3), affine) - _moved_mm(np.zeros((1, 3)), affine)
    widths = np.linalg.svd(axes, compute_uv=False)
    return float(max(widths[0], 1 / max(widths[-1], 1e-9)))


def _reach_mm(bone_mm: NDArray[np.float64], image, affine, axis: int) -> float:  # type: ignore[no-untyped-def]
    """Root mean square distance of bone from the mirror plane, half of that to its own image."""
    last = image.GetSize()[axis] - 1
    partners = []
    for moved_mm in _moved_mm(bone_mm, affine):
        index = list(image.TransformPhysicalPointToContinuousIndex(moved_mm.tolist()))
        index[axis] = last - index[axis]
        partners.append(image.TransformContinuousIndexToPhysicalPoint(index))
    return float(np.sqrt((((np.asarray(partners) - bone_mm) ** 2).sum(axis=1) / 4).mean()))


def _left_right_axis(working: Working) -> int:
    """The array's xyz axis that runs closest to the patient's left-right."""
    return int(np.argmax(np.abs(np.asarray(working.grid.direction)[0])))


def resample_to(image, target_mm):  # type: ignore[no-untyped-def]
    """The image on a grid of about ``target_mm``, never finer than its own, smoothed to fit."""
    import SimpleITK as sitk
    from scipy.ndimage import gaussian_filter

    spacing = [max(target_mm, s) for s in image.GetSpacing()]
    size = [
        max(1, round(n * s / t))
        for n, s, t in zip(image.GetSize(), image.GetSpacing(), spacing, strict=True)
    ]
    exact = [n * s / m for n, s, m in zip(image.GetSize(), image.GetSpacing(), size, strict=True)]
    start = image.TransformContinuousIndexToPhysicalPoint(
        [0.5 * (e / s - 1) for e, s in zip(exact, image.GetSpacing(), strict=True)]
    )
    smooth = sitk.GetImageFromArray(
        gaussian_filter(
            sitk.GetArrayViewFromImage(image),
            [0.4 * e / s for e, s in zip(exact[::-1], image.GetSpacing()[::-1], strict=True)],
            truncate=3.0,
            mode="nearest",
        )
    )
    smooth.CopyInformation(image)
    return sitk.Resample(
        smooth, size, sitk.Transform(), sitk.sitkLinear, start, exact, image.GetDirection(), -1000.0
    )


def _flipped(image, axis):  # type: ignore[no-untyped-def]
    """The image reversed along one of its axes, on the same grid."""
    import SimpleITK as sitk

    array = sitk.GetArrayFromImage(image)
    out = sitk.GetImageFromArray(np.ascontiguousarray(np.flip(array, axis=2 - axis)))
    out.CopyInformation(image)
    return out


def _affine(fixed, moving, start_from="MOMENTS"):  # type: ignore[no-untyped-def]
    import SimpleITK as sitk

    def clipped(image):  # type: ignore[no-untyped-def]
        return sitk.Clamp(image, sitk.sitkFloat32, -200.0, 700.0)

    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.1, SAMPLING_SEED)  # even REGULAR samples are jittered
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 0.01, 80, 0.5)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2])
    method.SetSmoothingSigmasPerLevel([4.0, 2.0])
    method.SetSmoothingSigmasAreSpecifiedInPhysicalUnits(True)
    start = sitk.CenteredTransformInitializer(
        clipped(fixed) + 200.0,
        clipped(moving) + 200.0,
        sitk.AffineTransform(3),
        getattr(sitk.CenteredTransformInitializerFilter, start_from),
    )
    method.SetInitialTransform(start, inPlace=False)
    # The order of a sum must not depend on how many cores there are. (SetNumberOfThreads does not
    # see to it: sums are made by work unit.)
    method.SetNumberOfWorkUnits(2)
    return method.Execute(clipped(fixed), clipped(moving))


def _demons(fixed, moving):  # type: ignore[no-untyped-def]
    """A smooth displacement field (physical mm) by symmetric-forces demons on bone alone."""
    import SimpleITK as sitk

    def bone(image):  # type: ignore[no-untyped-def]
        return sitk.Clamp(image, sitk.sitkFloat32, 100.0, 350.0)

    demons = sitk.FastSymmetricForcesDemonsRegistrationFilter()
    demons.SetStandardDeviations(1.3)
    demons.SetSmoothDisplacementField(True)
    demons.SetNumberOfIterations(ROUGH_ROUNDS)
    half = resample_to(bone(fixed), 2 * REGISTRATION_SPACING_MM)
    half_moving = sitk.Resample(bone(moving), half, sitk.Transform(), sitk.sitkLinear, 100.0)
    rough = demons.Execute(half, half_moving)
    demons.SetNumberOfIterations(FINE_ROUNDS)
    start = sitk.Resample(
        rough, fixed, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkVectorFloat64
    )
    return demons.Execute(bone(fixed), bone(moving), start)


def _onto(array: NDArray[np.float32], coarse, full) -> NDArray[np.float32]:  # type: ignore[no-untyped-def]
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.minimum(array, 100).astype(np.float32))
    image.CopyInformation(coarse)
    out: NDArray[np.float32] = sitk.GetArrayFromImage(
        sitk.Resample(image, full, sitk.Transform(), sitk.sitkLinear, 100.0)
    )
    return out
