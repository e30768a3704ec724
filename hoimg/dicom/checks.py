"""The battery of checks on what headers say: each check is a function, all run, one limit refuses.

A check looks at one subject (files, slices, or the facts of an acquisition) and yields findings: a
code, its level, what was seen and what to do. A check never decides whether a series is used;
:func:`judge` does, by the one threshold ``intake.refuse_at``. To add a check, write the function,
put it into its battery, and its code into :mod:`hoimg.dicom.findings`.

Checks of geometry lie in :mod:`hoimg.dicom.slices` and :mod:`hoimg.dicom.tilt`, those of pixels in
:mod:`hoimg.dicom.pixel_checks`.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hoimg.dicom.choose import kernel_class
from hoimg.dicom.findings import finding
from hoimg.dicom.header import Header
from hoimg.results import Acquisition, Finding, Level
from hoimg.settings import IntakeSettings

LEVELS: tuple[Level, ...] = ("info", "warning", "error")
"""From harmless to grave."""

_MATERIAL = re.compile(
    r"\bVNC(A)?\b|VIRTUAL[ -]?(NON|UNENH|NATIVE)|NON[ -]?CALCIUM|CALCIUM[ -]?SUPP|\bCA[ -]?SUPP"
    r"|IODINE ?(MAP|DENSITY|OVERLAY|NO )|\bIODMAP|\((WATER|IODINE|CALCIUM|FAT|HAP|URIC ACID)\)"
    r"|MATERIAL ?(DENSITY|MAP|BASIS)|\bMD (IODINE|WATER|CALCIUM|HAP)\b|EFFECTIVE ?Z|\bZ ?EFF"
    r"|ELECTRON ?DENSITY|PERFUSED ?BLOOD|URIC ?ACID"
)
_MONOENERGETIC = re.compile(r"\bKEV\b|\d ?KEV\b|MONO ?ENERG|\bMONO E\b|MONOCHROMATIC")
_CONE_BEAM = re.compile(
    r"\bCBCT|CONE[ -]?BEAM|DYNA ?CT|XPER ?CT|\bO[ -]ARM\b|\bOBI\b|\bXVI\b|NEWTOM|\bI-CAT\b"
    r"|ACCUITOMO|PROMAX|ORTHOPHOS|GALILEOS|\bARTIS\b"
)
_SYNTHETIC = re.compile(r"SYNTHETIC ?CT|\bSYN ?CT\b|PSEUDO ?-?CT|\bMRCAT\b|MR[ -]BASED CT")
# Signs along the patient's x of a row and y of a column that a scanner writes for axial images:
# as the gantry sees the patient, or turned into the usual view.
_UPRIGHT = (1, 1)
_VIEWS = {
    "HFS": {_UPRIGHT},
    "HFP": {(-1, -1), _UPRIGHT},
    "FFS": {(-1, 1), _UPRIGHT},
    "FFP": {(1, -1), _UPRIGHT},
}


@dataclass(frozen=True)
class Facts:
    """What is known of an acquisition, whichever format it came in.

    Attributes:
        acquisition: Kernel, tube voltage, thickness, contrast, position.
        words: Descriptions and image type, for maps that are called CT and hold no HU.
        date: Of the study.
        orientation: Six direction cosines of an original axial image; None for others.
    """

    acquisition: Acquisition
    words: tuple[str, ...] = ()
    date: datetime.date | None = None
    orientation: tuple[float, ...] | None = None


class SliceFacts(Protocol):
    """What the header checks look at in one image of a series, or one frame of a file."""

    @property
    def spacing_yx_mm(self) -> tuple[float, ...] | None:
        """PixelSpacing."""

    @property
    def position_lps_mm(self) -> tuple[float, ...] | None:
        """ImagePositionPatient."""

    @property
    def orientation(self) -> tuple[float, ...] | None:
        """ImageOrientationPatient."""

    @property
    def has_rescale(self) -> bool:
        """Whether a linear rescale is stated."""

    @property
    def slope(self) -> float | None:
        """RescaleSlope."""

    @property
    def intercept(self) -> float | None:
        """RescaleIntercept."""

    @property
    def rescale_type(self) -> str:
        """RescaleType in capitals; empty when there is none."""

    @property
    def kernel(self) -> str | None:
        """ConvolutionKernel."""

    @property
    def kvp(self) -> float | None:
        """KVP."""

    @property
    def thickness_mm(self) -> float | None:
        """SliceThickness."""


FileCheck = Callable[[Sequence[Header], IntakeSettings], Iterator[Finding]]
SliceCheck = Callable[[Sequence[SliceFacts], IntakeSettings], Iterator[Finding]]
AcquisitionCheck = Callable[[Facts, IntakeSettings], Iterator[Finding]]


def check_files(members: Sequence[Header], settings: IntakeSettings) -> list[Finding]:
    """Run every check of the files that are to become one volume (at least one)."""
    return [f for check in FILE_CHECKS for f in check(members, settings)]


def check_slices(members: Sequence[SliceFacts], settings: IntakeSettings) -> list[Finding]:
    """Run every check of the images or frames that are to become one volume (at least one)."""
    return [f for check in SLICE_CHECKS for f in check(members, settings)]


def check_acquisition(facts: Facts, settings: IntakeSettings) -> list[Finding]:
    """Run every check of how a CT volume was made, whichever format it came in."""
    return [f for check in ACQUISITION_CHECKS for f in check(facts, settings)]


def judge(findings: Iterable[Finding], settings: IntakeSettings) -> tuple[Finding, ...]:
    """Turn findings at or above ``settings.refuse_at`` into errors, which keep a volume out."""
    limit = LEVELS.index(settings.refuse_at)
    return tuple(
        f.model_copy(update={"level": "error"}) if LEVELS.index(f.level) >= limit else f
        for f in findings
    )


def with_acquisition(
    findings: Sequence[Finding], facts: Facts, settings: IntakeSettings
) -> tuple[Finding, ...]:
    """Findings of a series with those of how it was made, judged.

    What only weakens the numbers of a series that is measured is left out for one that is refused.
    """
    made = check_acquisition(facts, settings)
    if any(f.level == "error" for f in findings):
        made = [f for f in made if f.level == "error"]
    return judge([*findings, *made], settings)


# --- files of a CT volume -----------------------------------------------------------------------


def _of(total: Sequence[Any], bad: Sequence[Any], code: str, what: str) -> Iterator[Finding]:
    if bad:
        yield finding(code, f"{len(bad)} of {len(total)} image(s) {what}.")


def check_whole(members: Sequence[Header], _: IntakeSettings) -> Iterator[Finding]:
    """Files that end before their pixels."""
    yield from _of(members, [h for h in members if h.truncated], "truncated_files", "are cut off")


def check_image(members: Sequence[Header], _: IntakeSettings) -> Iterator[Finding]:
    """Colour, odd bit depth, absurd size."""
    bad = [h for h in members if not h.plain]
    yield from _of(members, bad, "bad_image", "are no single-channel CT images")


def check_lossy(members: Sequence[Header], _: IntakeSettings) -> Iterator[Finding]:
    """Pixels changed by lossy compression."""
    bad = [h for h in members if h.lossy]
    yield from _of(members, bad, "lossy_compression", "were compressed with loss")


FILE_CHECKS: tuple[FileCheck, ...] = (check_whole, check_image, check_lossy)


# --- slices of a CT volume: classic images, or frames of an enhanced one --------------------------


def check_place(members: Sequence[SliceFacts], _: IntakeSettings) -> Iterator[Finding]:
    """Tags without which no voxel has a place."""
    bad = [h for h in members if not h.spacing_yx_mm]
    yield from _of(members, bad, "no_pixel_spacing", "state no pixel spacing")
    bad = [h for h in members if not (h.position_lps_mm and h.orientation)]
    yield from _of(members, bad, "no_position", "state no position or orientation")


def check_rescale(members: Sequence[SliceFacts], _: IntakeSettings) -> Iterator[Finding]:
    """Whether stored values become HU, and by one rule."""
    bad = [h for h in members if not h.has_rescale]
    yield from _of(members, bad, "no_rescale", "state no linear rescale to HU")
    bad = [h for h in members if h.rescale_type not in ("", "HU", "US")]
    yield from _of(members, bad, "not_hounsfield", "are not in Hounsfield units")
    bad = [h for h in members if h.rescale_type == "US"]
    yield from _of(members, bad, "unspecified_units", "state no unit")
    if len({(h.slope, h.intercept) for h in members if h.has_rescale}) > 1:
        yield finding("rescale_varies", "Slices have rescales of their own.")


def check_uniform(members: Sequence[SliceFacts], _: IntakeSettings) -> Iterator[Finding]:
    """Slices that were not all made alike."""
    names: dict[str, set[Any]] = {
        "kernel": {h.kernel for h in members},
        "tube voltage": {h.kvp for h in members},
        "slice thickness": {h.thickness_mm for h in members},
    }
    mixed = [name for name, values in names.items() if len(values) > 1]
    if mixed:
        yield finding("mixed_acquisition", f"Slices differ in {', '.join(mixed)}.")


SLICE_CHECKS: tuple[SliceCheck, ...] = (check_place, check_rescale, check_uniform)


# --- how a volume was made ----------------------------------------------------------------------


def check_kernel(facts: Facts, _: IntakeSettings) -> Iterator[Finding]:
    """A sharp kernel, which overshoots at the edges of bone."""
    kernel = facts.acquisition.kernel
    if kernel_class(kernel) == "sharp":
        yield finding(
            "sharp_kernel",
            f"Kernel {kernel} is sharp: edges overshoot, noise rises, and volumes at a fixed "
            "threshold come out larger (26 % on one phantom).",
        )


def check_kvp(facts: Facts, settings: IntakeSettings) -> Iterator[Finding]:
    """Tube voltage, on which the HU of mineral depends."""
    kvp = facts.acquisition.kvp
    if kvp is None:
        yield finding("missing_kvp", "The tube voltage is not stated; 120 kV is taken.")
    elif not settings.kvp_low <= kvp <= settings.kvp_high:
        yield finding("unusual_kvp", f"A tube voltage of {kvp:g} kV is stated.")


def check_thickness(facts: Facts, _: IntakeSettings) -> Iterator[Finding]:
    """Slice thickness, without which only the spacing tells how far slices blur."""
    if facts.acquisition.slice_thickness_mm is None:
        yield finding("missing_thickness", "The slice thickness is not stated.")


def check_contrast(facts: Facts, _: IntakeSettings) -> Iterator[Finding]:
    """Contrast agent, which is as bright as faint mineral."""
    if facts.acquisition.contrast:
        yield finding("contrast_given", "The header names a contrast agent.")


def check_date(facts: Facts, _: IntakeSettings) -> Iterator[Finding]:
    """The date, without which an exam has no place in time."""
    if facts.date is None:
        yield finding("no_date", "No date is stated.")


def check_material(facts: Facts, _: IntakeSettings) -> Iterator[Finding]:
    """Images called CT whose numbers are no HU of what was scanned, or only nearly."""
    said = " ".join(facts.words).upper().replace("_", " ")
    if _MATERIAL.search(said):
        yield finding("material_map", "The header names a material map or virtual removal.")
    elif _MONOENERGETIC.search(said):
        yield finding("monoenergetic", "The header names a virtual monoenergetic image.")
    if _SYNTHETIC.search(said):
        yield finding("synthetic_ct", "The header names a CT computed from another modality.")
    made = facts.acquisition
    if _CONE_BEAM.search(f"{said} {made.manufacturer} {made.model}".upper()):
        yield finding("cone_beam", "The header names a cone-beam scanner.")


def check_position(facts: Facts, _: IntakeSettings) -> Iterator[Finding]:
    """The stated position of the patient against the orientation of original axial images."""
    cosines = facts.orientation
    views = _VIEWS.get((facts.acquisition.patient_position or "").upper())
    if cosines is None or views is None or len(cosines) != 6:
        return
    row, column = cosines[0], cosines[4]
    axial = min(abs(row), abs(column)) > 0.7  # within 45 degrees
    if axial and (1 if row > 0 else -1, 1 if column > 0 else -1) not in views:
        yield finding(
            "position_contradiction",
            f"Position {facts.acquisition.patient_position} does not go with the images' axes.",
        )


ACQUISITION_CHECKS: tuple[AcquisitionCheck, ...] = (
    check_kernel,
    check_kvp,
    check_thickness,
    check_contrast,
    check_date,
    check_material,
    check_position,
)
