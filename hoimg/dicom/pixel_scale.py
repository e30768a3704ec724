"""Whether numbers are Hounsfield units: air, fat and soft tissue must read what they must.

Air reads -1000, fat about -100 and muscle about 50 HU whatever the scanner. A missing rescale, one
that was applied twice, or a copy that was windowed for the eye moves or cuts these peaks of the
histogram. Air need not be in view: then fat and soft tissue alone must be in their place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hoimg.dicom.findings import finding
from hoimg.dicom.peaks import peaks_of
from hoimg.dicom.pixel_sample import LOW, PADDING_HU, SPIKE, Sample, bin_of, spikes
from hoimg.results import Finding
from hoimg.settings import IntakeSettings

AIR_HU = -1000.0
"""Air, by definition of the scale."""
FAT_HU = -100.0
"""Fat at 120 kV; -115 at 80 kV, -90 at 140 kV."""
FAT_TO_MUSCLE_HU = (100.0, 220.0)
"""Distance of the peaks of fat and muscle, with contrast agent at most the second."""
TISSUE_HU = (-150.0, 150.0)
"""Where the peak of soft tissue lies: fat to muscle with contrast agent, or a phantom's resin."""
GAS_HU = (-1060.0, -700.0)
"""Where the peak of air, of lungs, or of foam lies."""
GAS_TO_TISSUE_HU = (850.0, 1200.0)
"""Distance between the peaks of air and of soft tissue."""
VOID_HU = (-650.0, -250.0)
"""Hardly anything in or around a patient reads between lungs and fat."""
VOID_SHARE = 0.1
"""A peak there with this share of the voxels is air or tissue on a wrong scale."""
BELOW_AIR_SHARE = 0.02
"""Nothing but padding reads below air; a peak there that is no spike is on a wrong scale."""
BELOW_HU = -75
"""Fat lies below this, as does air on the true scale; nothing does where the rescale is missing."""
BELOW_SHARE = 0.01
"""Share of the voxels below it in any scan; noise of 30 HU around a zero puts 0.6 % there."""
MIN_SPAN_HU = 100
"""Noise alone spans more than this in any scan; fractions from 0 to 1 do not."""
SMOOTH_HU = 6.0
"""SD of the smoothing of the histogram."""
MODE_HALF_WIDTH_HU = 40
"""A peak's share is what lies this close to it."""
MIN_MODE_SHARE = 0.005
"""Peaks with a smaller share of the voxels are not looked at."""
MIN_PROMINENCE = 1e-4
"""Share of the voxels in one HU by which a peak has to stand out."""
MAX_AIR_WIDTH_HU = 110.0
"""Full width at half maximum of the peak of plain air; that of lungs is wider."""
MAX_AIR_OFFSET_HU = 100.0
"""A peak further from -1000 HU than this is lung or foam, not air."""
AGREE_HU = 25.0
"""Two offsets this close to each other are one."""
BESIDE_TOP_HU = 50
"""Range below the highest value with which its frequency is compared."""
NOISE_FREE_HU = 1.0
"""Less noise than this has no scan; a computed image may well hold one value many times."""


@dataclass(frozen=True)
class Mode:
    """A peak of the histogram: place, share of the voxels near it, full width at half maximum."""

    hu: float
    share: float
    width_hu: float


def check_scale(sample: Sample, settings: IntakeSettings) -> Iterator[Finding]:
    """Whether air, fat and soft tissue lie where Hounsfield units put them."""
    span = float(sample.top_hu.max()) - sample.floor_hu
    if span < MIN_SPAN_HU:
        yield finding("wrong_hu_scale", f"All values lie within {span:g} HU.")
        return
    modes = find_modes(sample)
    if not modes:
        return  # one value throughout; said elsewhere
    pair = _air_and_tissue(modes, sample)
    if pair is not None:
        air, tissue = pair
        placed = TISSUE_HU[0] <= tissue.hu <= TISSUE_HU[1] and GAS_HU[0] <= air.hu <= GAS_HU[1]
        if not placed:
            yield finding(
                "wrong_hu_scale",
                f"Air reads {air.hu:.0f} and soft tissue {tissue.hu:.0f} HU.",
            )
            return
        yield from _check_offset(air, modes, settings)
        return
    yield from _without_air(modes, settings)


def check_range(sample: Sample, settings: IntakeSettings) -> Iterator[Finding]:
    """Whether values end in a wall: at the scanner's limit, or within tissue or bone."""
    noise = sample.noise_hu
    computed = noise is None or noise < NOISE_FREE_HU
    if sample.floor_share and sample.floor_hu > settings.floor_hu:
        yield finding(
            "clipped_hu",
            f"{100 * sample.floor_share:.2g} % of the voxels hold the lowest value, "
            f"{sample.floor_hu} HU.",
        )
    elif not computed and sample.filled_hu is not None:
        yield finding("clipped_hu", f"Many voxels hold one value, {sample.filled_hu} HU.")
    if computed:
        return
    top = float(sample.top_hu.max())
    at_top = sample.count_above(top - 0.5)
    beside = sample.count_above(top - BESIDE_TOP_HU - 0.5) - at_top
    volume_mm3 = at_top * sample.volume.grid.voxel_volume_mm3
    # Where nothing was cut, the highest value is rarer than those below it.
    if volume_mm3 < settings.saturated_mm3 or at_top <= SPIKE * max(beside / BESIDE_TOP_HU, 1):
        return
    code = "clipped_hu" if top < settings.ceiling_hu else "saturated_hu"
    yield finding(code, f"{volume_mm3:.0f} mm3 hold the highest value, {top:.0f} HU.")


def find_modes(sample: Sample) -> list[Mode]:
    """Peaks of the histogram, lowest first, without the spike of padding at its floor."""
    from scipy.ndimage import gaussian_filter1d

    counts = sample.counts.astype(float)
    if sample.floor_share:
        counts[bin_of(sample.floor_hu)] = 0.0
    padding = counts[: PADDING_HU - LOW + 1]  # a view
    padding[[at for at in spikes(sample.counts) if at < padding.size]] = 0.0
    total = counts.sum()
    if total == 0:
        return []
    smooth = gaussian_filter1d(counts / total, SMOOTH_HU, mode="constant")
    sums = np.concatenate([[0.0], np.cumsum(counts / total)])
    found = []
    for peak, width in peaks_of(smooth, MIN_PROMINENCE):
        low, high = max(peak - MODE_HALF_WIDTH_HU, 0), peak + MODE_HALF_WIDTH_HU + 1
        share = float(sums[min(high, len(counts))] - sums[low])
        if share >= MIN_MODE_SHARE:
            found.append(Mode(float(peak + LOW), share, width))
    return found


def _air_and_tissue(modes: list[Mode], sample: Sample) -> tuple[Mode, Mode] | None:
    """The two peaks that lie apart like air and soft tissue and hold most voxels.

    Fat and a bladder full of contrast agent lie apart like that too. Where fat is seen to be fat,
    nothing above it is air.
    """
    low, high = GAS_TO_TISSUE_HU
    pairs = [(a, b) for a in modes for b in modes if low <= b.hu - a.hu <= high]
    if sample.share_below(BELOW_HU) - sample.padding_share >= BELOW_SHARE:
        pairs = [(a, b) for a, b in pairs if a.hu < TISSUE_HU[0]]
    return max(pairs, key=lambda p: min(p[0].share, p[1].share), default=None)


def _fat(modes: list[Mode]) -> Mode | None:
    """The peak of fat: it has that of muscle at its side."""
    low, high = FAT_TO_MUSCLE_HU
    near = [m for m in modes if TISSUE_HU[0] - 100 <= m.hu <= TISSUE_HU[1] + 200]
    pairs = [(a, b) for a in near for b in near if low <= b.hu - a.hu <= high]
    best = max(pairs, key=lambda p: min(p[0].share, p[1].share), default=None)
    return None if best is None else best[0]


def _check_offset(air: Mode, modes: list[Mode], settings: IntakeSettings) -> Iterator[Finding]:
    """Air that is a little off. Fat decides whether it is the scale, or foam that is no air."""
    offset = air.hu - AIR_HU
    if air.width_hu > MAX_AIR_WIDTH_HU or abs(offset) > MAX_AIR_OFFSET_HU:
        return  # lung or foam stands in for air
    fat = _fat(modes)
    if fat is not None and abs((fat.hu - FAT_HU) - offset) > AGREE_HU:
        return
    if fat is not None and abs(offset) > settings.hu_offset_error:
        yield finding("wrong_hu_scale", f"Air and fat read {air.hu:.0f} and {fat.hu:.0f} HU.")
    elif abs(offset) > settings.hu_offset_warning:
        yield finding("hu_offset", f"Air reads {air.hu:.0f} HU.")


def _without_air(modes: list[Mode], settings: IntakeSettings) -> Iterator[Finding]:
    """Fat and soft tissue alone: no air is in view."""
    top = max(modes, key=lambda m: m.share)
    void = [
        m
        for m in modes
        if (VOID_HU[0] <= m.hu <= VOID_HU[1] and m.share >= VOID_SHARE)
        or (m.hu < GAS_HU[0] and m.share >= BELOW_AIR_SHARE)
    ]
    if void:
        yield finding("wrong_hu_scale", f"Many voxels read about {void[0].hu:.0f} HU.")
        return
    if GAS_HU[0] <= top.hu <= GAS_HU[1]:
        return  # nearly nothing but air
    beyond = max(TISSUE_HU[0] - top.hu, top.hu - TISSUE_HU[1])
    fat = _fat(modes)
    if beyond > settings.hu_offset_error:
        yield finding("wrong_hu_scale", f"Most voxels read about {top.hu:.0f} HU.")
    elif beyond > 0:
        yield finding("hu_offset", f"Most voxels read about {top.hu:.0f} HU.")
    elif fat is not None and abs(fat.hu - FAT_HU) > settings.hu_offset_error:
        yield finding("hu_offset", f"Fat reads about {fat.hu:.0f} HU.")
