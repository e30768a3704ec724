"""What was not there before: an earlier CT of the same patient, laid on the scan.

Dense voxels that had no bone under them at the earlier date are suspects, even where the other side
or a bone's form would explain them. The earlier exam only ever adds suspects: a lesion that was
there already is not made native by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Grid, margin_voxels
from hoimg.image import CTVolume, to_sitk
from hoimg.segment.body import body_mask
from hoimg.segment.morphology import (
    close_mm,
    dilate_mm,
    distance_mm,
    fill_holes,
    label_components,
    open_mm,
    remove_small,
    smooth_mm,
)
from hoimg.segment.skeletons import UNKNOWN, ProvidedSkeleton, by_distance
from hoimg.segment.symmetry import resample_to
from hoimg.segment.working import Working, make_working
from hoimg.settings import SegmentSettings

Bool = NDArray[np.bool_]

COARSE_MM = 4.0
"""Spacing of the registration; its first, rigid step and the first deformable one use 8 mm."""
KEPT_MM = 1.5
"""Spacing of the copy of the earlier exam; at 2.5 mm thin bone of 220 HU was lost in it."""
FINE_MM = 2.0
"""Spacing on which the earlier bone is brought over."""
STIFFNESS_VOXELS = 2.0
"""Width of the smoothing of the displacements. The mirrored side is another bone and gets 1.3; the
same bone at another date only has moved, and a softer field would stretch it over a new lesion."""
ITERATIONS = (20, 10)
"""Of the deformable step at 8 and at 4 mm."""
BONE_HU = 130.0
"""Bone at the earlier date, lower than what counts as dense now: a doubtful voxel was there."""
SMOOTH_MM = 1.5
SMOOTHED_HU = 100.0
"""Spongy bone, smoothed over this width; muscle is half as dense."""
CLIPPED_HU = 200.0
"""Before: else dense cortex would grow by 2.5 mm when smoothed."""
HARD_HU = 250.0
AGREE_MM = 3.0
LOCAL_MM = 15.0
"""The bone this close to a suspect must lie on earlier bone, or the exams do not match there."""
LOCAL_FIT_MM = 2.0
OPENED_MM = 1.6
"""Suspects thinner than twice this are the error of the registration."""
LEAST_MM3 = 180.0
ABSENT_HU = -2000.0
SEED = 20260101


@dataclass(frozen=True, eq=False)
class PriorScan:
    """An earlier CT of the patient, small enough to be handed to several exams.

    Attributes:
        hu: int16 zyx at about 1.5 mm, HU; -1000 outside of the body, 1500 at most.
        grid: Its place in the patient space of that exam.
        name: What the report calls it.
    """

    hu: NDArray[np.int16]
    grid: Grid
    name: str = "an earlier exam"


@dataclass(frozen=True, eq=False)
class Prior:
    """The earlier bone on the working grid of the exam at hand.

    Attributes:
        distance_mm: float32, distance to earlier solid bone (cortex and marrow).
        seen: Voxels inside of the earlier field of view; of others nothing is known.
        agreement: Fraction of this exam's bone in there within 3 mm of earlier bone.
        name: What the report calls the earlier exam.
        why: Why it is not usable; None where it is.
    """

    distance_mm: NDArray[np.float32]
    seen: Bool
    agreement: float
    name: str
    why: str | None = None

    def provided(self, settings: SegmentSettings) -> ProvidedSkeleton:
        """The earlier bone as a provider of the native skeleton.

        That bone was there says little, as ossification may have been; that none was says much.
        """
        said = by_distance(
            f"{self.name} (its bone explains {100 * self.agreement:.0f} %)",
            self.distance_mm,
            settings.prior_tolerance_mm,
            agreement=self.agreement,
            why=self.why,
            known=self.seen,
        )
        return replace(said, confidence=np.minimum(said.confidence, UNKNOWN))


def make_prior_scan(volume: CTVolume, name: str = "an earlier exam") -> PriorScan:
    """The small copy of an earlier CT that :func:`prior_skeleton` needs."""
    working = make_working(volume, KEPT_MM)
    body = body_mask(working.hu, working.spacing_zyx_mm)
    hu = np.where(body, np.clip(working.hu, -1000, 1500), -1000)
    return PriorScan(np.rint(hu).astype(np.int16), working.grid, name)


def prior_skeleton(
    scan: PriorScan, working: Working, body: Bool, metal: Bool, settings: SegmentSettings
) -> Prior:
    """Lay an earlier CT on the exam and bring its bone over.

    Rigid (started as the scanners say, and by moments and ends of the bone), then a stiff
    deformable step on bone alone, for joints that were bent differently.

    Args:
        scan: The earlier CT.
        working: The exam at about 1.5 mm.
        body: The patient on the same grid.
        metal: Metal on the same grid; painted as bone.
        settings: Section ``segment``.

    Returns:
        The earlier bone; ``why`` tells where the two could not be laid on each other.
    """
    import SimpleITK as sitk

    cleaned = np.where(body, np.minimum(working.hu, 1500), -1000).astype(np.float32)
    cleaned[metal] = 400
    full = to_sitk(cleaned, working.grid)
    moving = sitk.Cast(to_sitk(scan.hu, scan.grid), sitk.sitkFloat32)
    fine = resample_to(full, FINE_MM)
    coarse, coarse_moving = resample_to(fine, COARSE_MM), resample_to(moving, COARSE_MM)
    try:
        rigid = _rigid(
            resample_to(coarse, 2 * COARSE_MM), resample_to(coarse_moving, 2 * COARSE_MM)
        )
        moved = sitk.Resample(coarse_moving, coarse, rigid, sitk.sitkLinear, -1000.0)
        field = _demons(coarse, moved)
    except RuntimeError:  # ITK: no overlap, singular metric, too few slices
        return _unusable(scan, working, "it could not be laid on this exam")
    both = sitk.CompositeTransform([rigid, sitk.DisplacementFieldTransform(field)])
    there = sitk.GetArrayFromImage(sitk.Resample(moving, fine, both, sitk.sitkLinear, ABSENT_HU))
    step = tuple(float(s) for s in fine.GetSpacing()[::-1])
    seen = there > ABSENT_HU + 1
    # Thin bone is lost when smoothed, spongy bone and thin cortex come apart when not.
    even = smooth_mm(np.clip(there, -100, CLIPPED_HU), SMOOTH_MM, step)
    bone = (there > BONE_HU) | (even > SMOOTHED_HU)
    solid = fill_holes(close_mm(bone, 3.0, step), per_slice=True)
    to_solid = distance_mm(solid, step)
    own = (sitk.GetArrayFromImage(fine) > HARD_HU) & seen
    if own.sum() * np.prod(step) < settings.cut_bone_mm3:
        return _unusable(scan, working, "the two exams share no bone")
    agreement = float((to_solid[own] <= AGREE_MM).mean())
    why = None
    if agreement < settings.prior_agreement:
        why = f"only {100 * agreement:.0f} % of the bone lies on its bone"
    far, near_view = _onto(np.minimum(to_solid, 100), fine, full), _onto(seen, fine, full)
    return Prior(far, near_view > 0.99, agreement, scan.name, why)


def fresh_bone(prior: Prior, dense: Bool, working: Working, settings: SegmentSettings) -> Bool:
    """Lumps of dense voxels where the earlier exam had no bone, vouched for by the bone around.

    Args:
        prior: The earlier bone.
        dense: Dense voxels, native or not, without metal.
        working: The exam at about 1.5 mm.
        settings: Section ``segment``.

    Returns:
        The lumps with the cores that they and earlier bone enclose, without the skin of bones;
        empty where the prior is not usable.
    """
    from scipy import ndimage as ndi

    out = np.zeros_like(dense)
    if prior.why is not None:
        return out
    spacing = working.spacing_zyx_mm
    # The earlier bone is known to about one voxel of either exam.
    tolerance = max(settings.prior_tolerance_mm, 1.2 * max(spacing))
    near = prior.distance_mm <= tolerance
    far = dense & prior.seen & ~near
    opened = max(OPENED_MM, 1.01 * min(spacing))  # a ball of one voxel would open nothing
    labels, count = label_components(far)
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * working.voxel_mm3
    margin = margin_voxels(LOCAL_MM + 1, spacing)
    for label, part in enumerate(ndi.find_objects(labels, max_label=count), start=1):
        if part is None or sizes[label] < LEAST_MM3:
            continue
        box = tuple(
            slice(max(s.start - m, 0), min(s.stop + m, n))
            for s, m, n in zip(part, margin, dense.shape, strict=True)
        )
        piece = labels[box] == label
        # A thin shell with its marrow is a lump too.
        whole = fill_holes(piece | near[box]) & ~near[box] & dilate_mm(piece, LOCAL_MM, spacing)
        lumps = remove_small(open_mm(whole, opened, spacing), LEAST_MM3 / working.voxel_mm3)
        around = dense[box] & ~far[box] & prior.seen[box] & (working.hu[box] > HARD_HU)
        for lump in _each(lumps):
            there = around & dilate_mm(lump, LOCAL_MM, spacing)
            fits = (prior.distance_mm[box][there] <= LOCAL_FIT_MM).mean() if there.any() else 1.0
            if fits >= settings.prior_agreement:
                out[box] |= whole & dilate_mm(lump, opened, spacing)
    return out


def _each(mask: Bool) -> Iterator[Bool]:
    labels, count = label_components(mask)
    for label in range(1, count + 1):
        yield labels == label


def _unusable(scan: PriorScan, working: Working, why: str) -> Prior:
    shape = working.hu.shape
    far = np.full(shape, 100, dtype=np.float32)
    return Prior(far, np.zeros(shape, dtype=bool), 0.0, scan.name, why)


def _rigid(fixed, moving):  # type: ignore[no-untyped-def]
    """The best rigid transform from a few starts, by correlation of the clipped HU."""
    import SimpleITK as sitk

    def clipped(image):  # type: ignore[no-untyped-def]
        return sitk.Clamp(image, sitk.sitkFloat32, -200.0, 700.0)

    here, there = clipped(fixed), clipped(moving)
    tried: list[tuple[float, int, Any]] = []
    for start in _starts(fixed, moving):
        method = _method(sitk)
        method.SetInitialTransform(start, inPlace=False)
        try:
            tried.append((method.MetricEvaluate(here, there), len(tried), start))
        except RuntimeError:  # no overlap from this start
            continue
    if not tried:
        raise RuntimeError("no start overlaps")
    tried.sort(key=lambda item: item[:2])
    best = None
    for _, number, start in tried[:2]:
        method = _method(sitk)
        method.SetInitialTransform(sitk.Euler3DTransform(start), inPlace=False)
        found = method.Execute(here, there)
        value = (method.GetMetricValue(), number)
        if best is None or value < best[0]:
            best = (value, found)
    if best is None:
        return None
    # With the number of threads the last digits still change, far below a voxel.
    found = best[1]
    found.SetParameters([round(p, 9) for p in found.GetParameters()])
    return found


def _method(sitk):  # type: ignore[no-untyped-def]
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.25, SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 0.01, 80, 0.5)
    method.SetOptimizerScalesFromPhysicalShift()
    # The order of a sum must not depend on how many cores there are. (SetNumberOfThreads does not
    # see to it: sums are made by work unit.)
    method.SetNumberOfWorkUnits(2)
    return method


def _starts(fixed, moving):  # type: ignore[no-untyped-def]
    """As the scanners say; bone centre on bone centre; first and last slices on each other."""
    import SimpleITK as sitk

    centres = []
    for image in (fixed, moving):
        array = sitk.GetArrayViewFromImage(image)
        index = np.argwhere(array > BONE_HU)
        if not len(index):
            raise RuntimeError("no bone")
        to_lps = image.TransformContinuousIndexToPhysicalPoint
        centres.append(np.asarray(to_lps(index.mean(axis=0)[::-1].tolist())))
    middle, shift = centres[0], centres[1] - centres[0]
    shifts = [np.zeros(3), shift]
    ends = [_ends(image) for image in (fixed, moving)]
    for k in (0, 1):
        shifts.append(np.array([shift[0], shift[1], ends[1][k] - ends[0][k]]))
    out = []
    for each in shifts:
        start = sitk.Euler3DTransform()
        start.SetCenter(middle.tolist())
        start.SetTranslation(each.tolist())
        out.append(start)
    return out


def _ends(image) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    """Lowest and highest z of the image's corners, LPS mm."""
    size = image.GetSize()
    z = [
        image.TransformContinuousIndexToPhysicalPoint(
            [float(k * (n - 1)) for k, n in zip(corner, size, strict=True)]
        )[2]
        for corner in np.ndindex(2, 2, 2)
    ]
    return min(z), max(z)


def _demons(fixed, moving):  # type: ignore[no-untyped-def]
    """A stiff displacement field (physical mm) on bone alone; where either ends, nothing pulls."""
    import SimpleITK as sitk

    def bone(image):  # type: ignore[no-untyped-def]
        return sitk.Clamp(image, sitk.sitkFloat32, 100.0, 350.0)

    demons = sitk.FastSymmetricForcesDemonsRegistrationFilter()
    demons.SetStandardDeviations(STIFFNESS_VOXELS)
    demons.SetSmoothDisplacementField(True)
    demons.SetNumberOfIterations(ITERATIONS[0])
    half = resample_to(bone(fixed), 2 * COARSE_MM)
    half_moving = sitk.Resample(bone(moving), half, sitk.Transform(), sitk.sitkLinear, 100.0)
    rough = demons.Execute(half, half_moving)
    demons.SetNumberOfIterations(ITERATIONS[1])
    start = sitk.Resample(
        rough, fixed, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkVectorFloat64
    )
    return demons.Execute(bone(fixed), bone(moving), start)


def _onto(array, coarse, full):  # type: ignore[no-untyped-def]
    """An array of the coarse grid on the full one, as float32; 0 where it does not reach."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(array, dtype=np.float32))
    image.CopyInformation(coarse)
    return sitk.GetArrayFromImage(
        sitk.Resample(image, full, sitk.Transform(), sitk.sitkNearestNeighbor, 0.0)
    )
