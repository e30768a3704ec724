"""A film's mirror image, or an earlier film, laid on the film.

Affine first, then a smooth deformation whose knots stand farther apart than a lesion is wide: legs
lie a little differently, a lesion must not be explained away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import SimpleITK as sitk

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

KNOTS_MM = 40.0
LEAST_BODY_MM2 = 10_000.0
SAMPLES, SEED = 0.3, 20260101
ROUGH_ROUNDS, FINE_ROUNDS = 80, 20


@dataclass(frozen=True, eq=False)
class LaidFilm:
    """The other side, or the other film.

    Attributes:
        values: On the film's grid, float32.
        body: Where it has body.
        agreement: Correlation with the film where both have body.
    """

    values: Floats
    body: Bools
    agreement: float


def mirrored_film(values: Floats, body: Bools, step_mm: float) -> LaidFilm | None:
    """Lay the left-right mirrored film on the film.

    Args:
        values: ``[y, x]``, made even.
        body: Where the patient is.
        step_mm: Pixel size.

    Returns:
        The mirror image; None where there is no body, or nothing that would fit.
    """
    return laid_on(values, body, values[:, ::-1], body[:, ::-1], step_mm)


def laid_on(
    values: Floats, body: Bools, other: Floats, other_body: Bools, step_mm: float
) -> LaidFilm | None:
    """Lay another picture of the same part on a film, middle on middle to begin with.

    Args:
        values: The film ``[y, x]``, made even.
        body: Where the patient is on it.
        other: To be laid on it, likewise; of any size.
        other_body: Where the patient is on that.
        step_mm: Pixel size of both.

    Returns:
        The other picture; None where there is no body, or nothing that would fit.
    """
    import SimpleITK as sitk

    if min(body.sum(), other_body.sum()) * step_mm**2 < LEAST_BODY_MM2 or not np.ptp(values):
        return None
    fixed, moving = _image(values, step_mm), _image(other, step_mm)
    mask = sitk.Cast(_image(body, step_mm), sitk.sitkUInt8)
    affine = sitk.AffineTransform(2)
    affine.SetCenter([0.5 * step_mm * (n - 1) for n in values.shape[::-1]])
    apart = zip(values.shape[::-1], other.shape[::-1], strict=True)
    affine.SetTranslation([0.5 * step_mm * (theirs - ours) for ours, theirs in apart])
    size = [max(round(n * step_mm / KNOTS_MM), 2) for n in values.shape[::-1]]
    bends = sitk.BSplineTransformInitializer(fixed, size, 3)
    try:
        rough = _method(mask)
        rough.SetInitialTransform(affine, inPlace=True)
        rough.SetOptimizerAsRegularStepGradientDescent(2.0, 1e-3, ROUGH_ROUNDS)
        rough.SetOptimizerScalesFromPhysicalShift()
        rough.Execute(fixed, moving)
        fine = _method(mask)
        fine.SetMovingInitialTransform(affine)
        fine.SetInitialTransform(bends, inPlace=True)
        fine.SetOptimizerAsLBFGSB(1e-5, FINE_ROUNDS, 5, 200, 1e7)
        fine.Execute(fixed, moving)
    except RuntimeError:  # too little overlap
        return None
    whole = sitk.CompositeTransform([affine, bends])
    laid = _laid(moving, fixed, whole)
    covered = _laid(_image(other_body, step_mm), fixed, whole) > 0.99
    both = body & covered
    if both.sum() < 100:
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        agreement = float(np.corrcoef(values[both], laid[both])[0, 1])
    if not np.isfinite(agreement):  # one of them is the same everywhere
        return None
    return LaidFilm(laid, covered, agreement)


def _method(mask: sitk.Image) -> sitk.ImageRegistrationMethod:
    import SimpleITK as sitk

    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetMetricFixedMask(mask)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(SAMPLES, SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel([2, 1])
    method.SetSmoothingSigmasPerLevel([4.0, 2.0])
    # The order of a sum must not depend on how many cores there are; the metric sums by work units,
    # and takes no notice of SetNumberOfThreads.
    method.SetNumberOfWorkUnits(1)
    return method


def _image(array: NDArray[np.generic], step_mm: float) -> sitk.Image:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(array, np.float32))
    image.SetSpacing((step_mm, step_mm))
    return image


def _laid(moving: sitk.Image, fixed: sitk.Image, transform: sitk.Transform) -> Floats:
    import SimpleITK as sitk

    image = sitk.Resample(moving, fixed, transform, sitk.sitkLinear, 0.0)
    return np.asarray(sitk.GetArrayFromImage(image), np.float32)
