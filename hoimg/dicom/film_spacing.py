"""How large a film's pixels are, and in which plane: the rule of PS3.3 10.7.1, made strict.

A length on a film is a length in the detector's plane, longer than in the patient by the
magnification. PixelSpacing is meant for the patient, but writers copy the detector's value into it,
or placeholders; it is believed only with a calibration type that says how it was found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hoimg.dicom.film import SpacingSource
from hoimg.dicom.findings import finding
from hoimg.results import Finding
from hoimg.settings import IntakeSettings

CALIBRATED = ("GEOMETRY", "FIDUCIAL")
"""PixelSpacingCalibrationType that is trusted (PS3.3 10.7.1.2)."""
SAME = 1e-3
"""Spacings that differ by less (relative) are one value, printed with another number of digits."""

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class SpacingTags:
    """What the header states. Lists of numbers as they are: empty when absent, NaN when unreadable.

    Attributes:
        pixel: PixelSpacing, rows then columns, mm.
        calibration: PixelSpacingCalibrationType, upper case; empty when absent.
        imager: ImagerPixelSpacing, mm at the detector.
        scanned: NominalScannedPixelSpacing, mm on the film that was digitised.
        aspect: PixelAspectRatio, vertical then horizontal.
        ermf: EstimatedRadiographicMagnificationFactor.
        sid_mm: DistanceSourceToDetector.
        sod_mm: DistanceSourceToPatient.
    """

    pixel: Numbers = ()
    calibration: str = ""
    imager: Numbers = ()
    scanned: Numbers = ()
    aspect: Numbers = ()
    ermf: float | None = None
    sid_mm: float | None = None
    sod_mm: float | None = None


@dataclass(frozen=True)
class FilmSpacing:
    """The outcome.

    Attributes:
        spacing_yx_mm: Rows, columns; None when nothing can be trusted.
        source: Which plane it holds in, and how it was found.
        magnification: By which the detector's spacing was divided; None when it was not.
        findings: What was refused, and what is uncertain.
    """

    spacing_yx_mm: tuple[float, float] | None
    source: SpacingSource
    magnification: float | None
    findings: tuple[Finding, ...]


def film_spacing(
    tags: SpacingTags, shape_yx: tuple[int, int], settings: IntakeSettings
) -> FilmSpacing:
    """Decide on the pixel size of a film.

    In this order: a PixelSpacing with a trusted calibration type; the detector's (or digitiser's)
    spacing divided by the magnification, or as it is; a lone PixelSpacing as
    ``detector_uncorrected``, because if nobody corrected it, it holds at the detector, and if
    somebody did, lengths are at most what it says. A lone one is never divided by a magnification:
    that would correct twice.

    Args:
        tags: As stated.
        shape_yx: Rows, columns.
        settings: The limits.
    """
    found: list[Finding] = []
    named = (
        ("ImagerPixelSpacing", tags.imager),
        ("NominalScannedPixelSpacing", tags.scanned),
        ("PixelSpacing", tags.pixel),
    )
    kept: dict[str, tuple[float, float]] = {}
    for name, values in named:
        why = why_refused(values, tags.aspect, shape_yx, settings) if values else None
        if why is not None:
            found.append(finding("spacing_refused", f"{name} {why}."))
        elif values:
            kept[name] = (values[0], values[1])
    detector = kept.get("ImagerPixelSpacing") or kept.get("NominalScannedPixelSpacing")
    pixel = kept.get("PixelSpacing")
    if pixel is not None and tags.calibration in CALIBRATED:
        why = _why_not_calibrated(pixel, detector, settings)
        if why is None:
            return FilmSpacing(pixel, "calibrated", None, tuple(found))
        found.append(finding("spacing_refused", f"Calibrated PixelSpacing {why}."))
    if detector is not None:
        if pixel is not None and tags.calibration not in CALIBRATED and not _same(pixel, detector):
            found.append(
                finding(
                    "spacing_ambiguous",
                    "PixelSpacing differs from the detector's and states no calibration; "
                    "the detector's was taken.",
                )
            )
        factor, doubt = _magnification(tags, settings)
        found += doubt
        if factor is not None:
            y, x = detector
            corrected = (y / factor, x / factor)
            return FilmSpacing(corrected, "detector_corrected", factor, tuple(found))
        found.append(finding("spacing_uncorrected", "The magnification is not stated."))
        return FilmSpacing(detector, "detector_uncorrected", None, tuple(found))
    if pixel is not None and tags.calibration not in CALIBRATED:
        found.append(
            finding(
                "spacing_ambiguous",
                "PixelSpacing is the only one stated, without a calibration: it was taken as the "
                "detector's.",
            )
        )
        return FilmSpacing(pixel, "detector_uncorrected", None, tuple(found))
    found.append(finding("spacing_missing", "No pixel size that can be trusted is stated."))
    return FilmSpacing(None, "none", None, tuple(found))


def why_refused(
    values: Numbers, aspect: Numbers, shape_yx: tuple[int, int], settings: IntakeSettings
) -> str | None:
    """Why a stated spacing cannot be one; None when it can.

    Args:
        values: As stated; NaN for what is no number.
        aspect: PixelAspectRatio; empty when absent.
        shape_yx: Rows, columns.
        settings: The limits.
    """
    if len(values) != 2 or not all(map(math.isfinite, values)):
        return "is unreadable"
    y, x = values
    if min(y, x) <= 0:
        return "is zero or negative"
    if abs(y - 1.0) < 1e-6 and abs(x - 1.0) < 1e-6:
        return "is the placeholder 1.0"
    low, high = settings.film_spacing_min_mm, settings.film_spacing_max_mm
    if min(y, x) < low or max(y, x) > high:
        return f"lies outside {low:g} to {high:g} mm"
    if max(y * shape_yx[0], x * shape_yx[1]) > settings.film_side_max_mm:
        return f"makes the film longer than {settings.film_side_max_mm:g} mm"
    stated = 1.0
    if len(aspect) == 2 and all(map(math.isfinite, aspect)) and min(aspect) > 0:
        stated = aspect[0] / aspect[1]
    if abs(y / x / stated - 1.0) > settings.film_aspect_tolerance:
        if stated != 1.0:
            return "contradicts PixelAspectRatio"
        return "differs between rows and columns, and PixelAspectRatio does not"
    return None


def _why_not_calibrated(
    pixel: tuple[float, float], detector: tuple[float, float] | None, settings: IntakeSettings
) -> str | None:
    if detector is None:
        return None
    if _same(pixel, detector):
        return "is the detector's, so that nothing was corrected"
    factor = detector[0] / pixel[0]
    if not 1.0 < factor <= settings.film_magnification_max:
        return f"would mean a magnification of {factor:.3g}"
    return None


def _same(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return all(abs(p / q - 1.0) <= SAME for p, q in zip(a, b, strict=True))


def _magnification(
    tags: SpacingTags, settings: IntakeSettings
) -> tuple[float | None, list[Finding]]:
    """The factor from the header: ERMF, else SID / SOD. Exactly 1 is how writers say nothing."""
    stated: dict[str, float] = {}
    if tags.ermf is not None:
        stated["ERMF"] = tags.ermf
    if tags.sid_mm and tags.sod_mm and tags.sod_mm > 0:
        stated["SID / SOD"] = tags.sid_mm / tags.sod_mm
    found = []
    kept = []
    for name, factor in stated.items():
        if abs(factor - 1.0) <= SAME:
            continue
        if not 1.0 < factor <= settings.film_magnification_max:
            said = f"{name} would mean a magnification of {factor:.3g}."
            found.append(finding("magnification_refused", said))
        else:
            kept.append(factor)
    if len(kept) == 2 and abs(kept[0] / kept[1] - 1.0) > settings.film_magnification_tolerance:
        said = f"ERMF states a magnification of {kept[0]:.3g}, SID / SOD one of {kept[1]:.3g}."
        return None, [*found, finding("magnification_refused", said)]
    return (kept[0] if kept else None), found
