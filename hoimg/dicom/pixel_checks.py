"""The battery of checks on pixels, run once a volume is read. See :mod:`hoimg.dicom.checks`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hoimg.dicom.checks import judge
from hoimg.dicom.pixel_sample import Sample, sample_of
from hoimg.dicom.pixel_scale import check_range, check_scale
from hoimg.dicom.pixel_slices import check_empty, check_order, check_repeated
from hoimg.dicom.pixel_view import check_field_of_view, check_metal, check_noise
from hoimg.image import CTVolume
from hoimg.results import Finding
from hoimg.settings import IntakeSettings

PixelCheck = Callable[[Sample, IntakeSettings], Iterator[Finding]]

PIXEL_CHECKS: tuple[PixelCheck, ...] = (
    check_empty,
    check_scale,
    check_range,
    check_repeated,
    check_order,
    check_field_of_view,
    check_noise,
    check_metal,
)


def check_volume(volume: CTVolume, settings: IntakeSettings | None = None) -> tuple[Finding, ...]:
    """Run every check of the pixels of one CT volume.

    Args:
        volume: In HU.
        settings: Section ``intake``; the defaults when None.

    Returns:
        Findings, those at or above ``settings.refuse_at`` as errors: the volume must then not be
        measured. A volume that holds one value throughout gets that finding alone.
    """
    settings = settings or IntakeSettings()
    sample = sample_of(volume)
    found: list[Finding] = []
    for check in PIXEL_CHECKS:
        found += check(sample, settings)
        if any(f.code == "empty_volume" for f in found):
            break
    return judge(found, settings)
