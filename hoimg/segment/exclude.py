"""Why a candidate is not called ossification: rules on physical features, first match decides.

Each rule is an engineering default found on the tuning cases; each exclusion carries its numbers
so that a reader can overrule it. The names are those of ``report.json``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isnan

from hoimg.segment.features import Features
from hoimg.settings import SegmentSettings

BESIDE_MM = 4.0
"""Faint mineral is found from a voxel or so beyond the bone that it grows on."""
STONE_MM3 = 1500.0
SKIN_MM = 1.6
"""Least inscribed radius of what stands on a given skeleton, or on that of an earlier exam: their
own error is thinner."""


@dataclass(frozen=True)
class Place:
    """Where a candidate lies, beside its own features.

    Attributes:
        attached: It stands on native bone.
        shell: It has a closed shell of its own with soft tissue around.
        metal_mm: Distance to metal, mm; inf where there is none within 5 mm.
        scan_end_mm: Distance to the first or last slice, mm.
        inward_mm: How far it reaches into the scan from there, mm.
        mirror_mm: Median distance of its voxels to mirrored bone, mm; nan without another side.
        mirrored: Fraction of it that lies within the loose tolerance of mirrored bone.
        agreed: Fraction of the bone within 12 mm that lies on mirrored bone: how well the other
            side explains this place.
        outside_body: Fraction outside of the body mask.
        lumen: Fraction of it within 3 mm of an enhanced vessel.
        contrast: Whether a contrast agent was given.
        streaked: Fraction inside a streak zone.
        given_mm: Distance to a skeleton that was given, mm; nan without one. What a reader's or a
            model's skeleton leaves out is no native bone by its form alone.
        contact: Fraction of the layer round it that is kept native bone.
        standing: Fraction of it beyond the cortex round about, of what is near a marrow; else nan.
        cortex_known: Fraction of it near enough to a native bone's marrow to tell.
        agreement: How well the other side explains the scan's bone; nan without another side.
        faint_partner: Fraction of it within 4 mm of anything dense on the other side; else nan.
        unpaired: Fraction of it farther from mirrored bone than that is known; else nan.
        kneecap: It lies where only a kneecap does (see :mod:`hoimg.segment.kneecap`).
    """

    attached: bool
    shell: bool
    metal_mm: float
    scan_end_mm: float
    inward_mm: float
    mirror_mm: float
    mirrored: float
    agreed: float
    outside_body: float
    contrast: bool
    lumen: float
    streaked: float
    given_mm: float = float("nan")
    fresh: float = 0.0
    contact: float = 0.0
    standing: float = float("nan")
    cortex_known: float = 0.0
    agreement: float = float("nan")
    faint_partner: float = float("nan")
    unpaired: float = float("nan")
    kneecap: bool = False

    @property
    def on_bone(self) -> bool:
        """It stands on native bone, or grows beside a given skeleton's."""
        return self.attached or self.given_mm <= BESIDE_MM

    @property
    def beside_given(self) -> bool:
        """It stands on, or grows beside, a skeleton that somebody gave."""
        return not isnan(self.given_mm) and self.on_bone


Rule = Callable[[Features, Place, SegmentSettings], str | None]


def outside_body(_f: Features, p: Place, _s: SegmentSettings) -> str | None:
    """Table, clothing, electrodes."""
    if p.outside_body > 0.5:
        return f"{100 * p.outside_body:.0f} % lies outside of the body"
    return None


def metal(_f: Features, p: Place, _s: SegmentSettings) -> str | None:
    """Metal, or so close to it that HU cannot be trusted to say what it is."""
    if p.metal_mm < 2.0 or p.streaked > 0.5:
        return f"{p.metal_mm:.0f} mm from metal, {100 * p.streaked:.0f} % in its streak zone"
    return None


def too_small(f: Features, _p: Place, s: SegmentSettings) -> str | None:
    """Below the size at which shape can be judged."""
    if f.volume_mm3 < s.min_lesion_mm3:
        return f"{f.volume_mm3:.0f} mm3, less than {s.min_lesion_mm3:.0f}"
    return None


def scan_end(f: Features, p: Place, s: SegmentSettings) -> str | None:
    """Cut off by the first or last slice, and not clearly more than that: unassessed."""
    if p.attached:
        slight = p.inward_mm < 20.0 or f.volume_mm3 < 1000.0
    else:
        slight = p.inward_mm < 15.0 or f.volume_mm3 < 2000.0 or f.soft_shell < 0.8
    if p.scan_end_mm <= s.scan_end_mm and slight:
        return f"reaches {p.inward_mm:.0f} mm into the scan from its end: unassessed, not negative"
    return None


def native_bone(f: Features, p: Place, _s: SegmentSettings) -> str | None:
    """A piece with a partner on the other side; ribs and processes; a thin skin on bone."""
    if p.shell:
        return None  # its form has said already that it is no native bone
    if not isnan(p.given_mm):
        return skin_of_given(f, p)
    if p.fresh >= 0.5:
        return None
    length_ratio = f.length_mm / max(f.breadth_mm, 1.0)
    if p.mirrored > 0.95 and f.volume_mm3 < 1000.0:
        return f"small, {100 * p.mirrored:.0f} % within 8 mm of mirrored bone"
    if not p.attached and p.agreed < 0.5 and p.mirror_mm < 15.0:
        return f"other side explains only {100 * p.agreed:.0f} % of the bone around"
    if p.mirrored > 0.8 and f.length_mm > 20 and length_ratio > 2.5:
        return f"long and thin, {100 * p.mirrored:.0f} % within 8 mm of mirrored bone"
    slender = f.inscribed_mm <= 3.9 and length_ratio > 3.0 and f.length_mm > 25
    shaft = length_ratio > 4.0 and f.length_mm > 60
    if (slender or shaft) and f.mean_hu > 180:
        return f"rib-like: {f.length_mm:.0f} mm long, {length_ratio:.1f} times its breadth"
    if p.attached and (p.mirrored > 0.9 or (p.mirrored > 0.68 and f.inscribed_mm < 5.0)):
        return f"follows mirrored bone: {100 * p.mirrored:.0f} % within 8 mm of it"
    if p.attached and p.agreed < 0.8:
        return f"other side explains only {100 * p.agreed:.0f} % of the bone around"
    if p.attached and f.inscribed_mm < 3.5 and length_ratio > 2.5:
        return f"slender process: {f.length_mm:.0f} mm long, {length_ratio:.1f} times its breadth"
    if p.attached and f.inscribed_mm < 3.0:
        return f"thin layer on bone ({2 * f.inscribed_mm:.0f} mm)"
    if p.attached and f.soft_shell < 0.5:
        return f"only {100 * f.soft_shell:.0f} % of its surroundings is soft tissue"
    return None


def contrast(f: Features, p: Place, _s: SegmentSettings) -> str | None:
    """Enhanced lumen: large or evenly dense, without rim or marrow, below 500 HU."""
    even = f.core_sd_hu < 0.16 * f.core_hu and f.core_hu >= 0.95 * f.rim_hu
    if p.contrast and 110 < f.core_hu < 500 and even and f.inscribed_mm > 2.5:
        return f"evenly dense ({f.core_hu:.0f} +- {f.core_sd_hu:.0f} HU) under contrast"
    return None


def stone_or_bowel(f: Features, p: Place, _s: SegmentSettings) -> str | None:
    """Dense small body with its densest part in the middle, or dense content next to gas."""
    if f.gas_near > 0.12 and not p.attached:
        return f"{100 * f.gas_near:.0f} % gas around"
    small = f.volume_mm3 < 1500.0 and not p.on_bone
    if small and f.peak_hu > 450 and f.core_hu > 1.02 * f.rim_hu and f.centre_hu > 0.6 * f.peak_hu:
        return f"{f.volume_mm3:.0f} mm3 with centre {f.centre_hu:.0f} over rim {f.rim_hu:.0f} HU"
    compact = f.length_mm < 15.0 and f.length_mm < 2.2 * max(f.breadth_mm, 1.0)
    if small and f.peak_hu > 450 and compact and f.inscribed_mm < 2.5:
        return f"{f.volume_mm3:.0f} mm3, compact, peak {f.peak_hu:.0f} HU, no room for a core"
    return None


def vascular(f: Features, p: Place, _s: SegmentSettings) -> str | None:
    """Plates and tubes of wall calcium: too thin to hold a core, free of bone."""
    if p.lumen > 0.6 and f.volume_mm3 < 5000.0:
        return f"{100 * p.lumen:.0f} % within 3 mm of an enhanced vessel"
    if p.on_bone:
        return None
    if f.volume_mm3 < 1500.0 and f.inscribed_mm < 1.9:
        return f"thin plate ({2 * f.inscribed_mm:.1f} mm), {f.length_mm:.0f} mm long"
    return None


def soft_tissue(f: Features, p: Place, _s: SegmentSettings) -> str | None:
    """Faint and thin: bowel wall, cartilage, enhanced tissue; no floccule is that flat."""
    # Bowel and mesentery lie in fat, muscle does not; a speck needs more to be believed.
    speck = f.volume_mm3 < 600.0 and f.peak_hu < 360.0
    limit = 3.3 if speck else 3.0 if f.fat_near > 0.28 else 2.0
    if not p.on_bone and f.inscribed_mm < limit and f.mean_hu < 165:
        return f"thin ({2 * f.inscribed_mm:.1f} mm) and faint (mean {f.mean_hu:.0f} HU)"
    if f.surround_hu > 90 and f.mean_hu < f.surround_hu + 80:
        return f"mean {f.mean_hu:.0f} in surroundings of {f.surround_hu:.0f} HU"
    return None


RULES: dict[str, Rule] = {
    "outside_body": outside_body,
    "metal": metal,
    "scan_end": scan_end,
    "stone_or_bowel": stone_or_bowel,
    "vascular": vascular,
    "too_small": too_small,
    "soft_tissue": soft_tissue,
    "contrast": contrast,
    "native_bone": native_bone,
}
"""In the order in which they are asked."""


HARD = ("outside_body", "metal", "scan_end", "too_small", "contrast")
"""Rules that hold whatever a candidate looks like: there it cannot be judged, or is no mineral."""
SOFT = ("stone_or_bowel", "vascular", "soft_tissue", "native_bone")
"""Rules that name what a candidate with a low score probably is."""


def exclusion(
    f: Features, p: Place, settings: SegmentSettings, names: Iterable[str]
) -> tuple[str, str] | None:
    """The first of some rules that excludes a candidate: ``(reason, numbers)``, or None."""
    for reason in names:
        note = RULES[reason](f, p, settings)
        if note is not None:
            return reason, note
    return None


def hard_exclusion(f: Features, p: Place, settings: SegmentSettings) -> tuple[str, str] | None:
    """The first of the :data:`HARD` rules that excludes a candidate, or None."""
    said = exclusion(f, p, settings, HARD)
    if said is not None:
        return said
    if p.kneecap:
        return "native_bone", "a kneecap: under the skin, and in front of a much broader bone"
    note = densest_inside(f, p)
    if note is not None:
        return "stone_or_bowel", note
    note = skin_of_given(f, p)
    return None if note is None else ("native_bone", note)


def densest_inside(f: Features, p: Place) -> str | None:
    """A small free body that is densest in its middle: a stone, or calcium without any zoning.

    Ossification has its mineral at the rim first; a core that is denser than its rim is no sign
    of it, and in a larger one a warning sign. Below a radius of 3 mm blur fills the middle.
    """
    small = f.volume_mm3 < STONE_MM3 and not p.on_bone
    if small and f.peak_hu > 450 and f.inscribed_mm >= 3.0 and f.centre_hu >= 0.85 * f.peak_hu:
        return f"{f.volume_mm3:.0f} mm3, densest in its middle ({f.centre_hu:.0f} HU)"
    return None


def skin_of_given(f: Features, p: Place) -> str | None:
    """A layer on a skeleton that was given, no thicker than what its outline may have left out."""
    if not isnan(p.given_mm) and p.attached and not p.shell and f.inscribed_mm < SKIN_MM:
        return f"thin layer on known bone ({2 * f.inscribed_mm:.0f} mm)"
    return None


def likely_reason(f: Features, p: Place, settings: SegmentSettings) -> tuple[str, str]:
    """What a candidate that is not called probably is, by the first rule that knows it."""
    said = exclusion(f, p, settings, SOFT)
    if said is not None:
        return said
    if p.attached or p.mirrored > 0.5:
        return "native_bone", f"looks like the skeleton around, {f.volume_mm3:.0f} mm3"
    if f.mean_hu < 200.0:
        return "soft_tissue", f"faint, mean {f.mean_hu:.0f} HU"
    return "stone_or_bowel", f"{f.volume_mm3:.0f} mm3 apart from bone, peak {f.peak_hu:.0f} HU"
