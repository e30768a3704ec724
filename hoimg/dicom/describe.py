"""One group of images to a series: every check, the grid, and how the images were made."""

from __future__ import annotations

from collections.abc import Sequence

from hoimg.dicom.copies import drop_identical
from hoimg.dicom.enhanced import Frames, read_frames
from hoimg.dicom.findings import finding
from hoimg.dicom.groups import ENHANCED, identity_of, kind_of
from hoimg.dicom.header import Header, patient_key
from hoimg.dicom.slices import check_geometry
from hoimg.dicom.types import SeriesInfo, SliceSource, Stack
from hoimg.geometry import Grid
from hoimg.results import Acquisition, Finding
from hoimg.settings import IntakeSettings


def describe(members: Sequence[Header], settings: IntakeSettings) -> SeriesInfo:
    """Check one group of headers and say what it is."""
    kind = kind_of(members[0])
    findings: list[Finding] = []
    grid: Grid | None = None
    frames: Frames | None = None
    kept = list(members)
    order: Sequence[int] = ()
    if kind == "volume":
        kept, copies = drop_identical(members)
        if copies:
            findings.append(
                finding("identical_copies", f"{copies} file(s) are identical copies of others.")
            )
        findings += _check_content(kept)
        if all(h.position_lps_mm and h.orientation for h in kept) and kept[0].spacing_yx_mm:
            geometry = check_geometry(
                [h.position_lps_mm or () for h in kept],
                [h.orientation or () for h in kept],
                kept[0].spacing_yx_mm,
                (kept[0].rows or 1, kept[0].columns or 1),
                kept[0].thickness_mm,
                settings,
            )
            grid = geometry.grid
            findings += geometry.findings
            kept = [kept[i] for i in geometry.order]
        elif len(kept) < settings.min_slices:
            findings.append(finding("too_few_slices", f"Only {len(kept)} slice(s)."))
    elif kind == "multiframe":
        frames, grid, order, found = _check_enhanced(members, settings)
        findings += found
    else:
        findings.append(_why_no_volume(members[0], kind, len(members)))
    if any(h.made_up_uids for h in members):
        findings.append(
            finding("missing_uids", "Study or series UID is missing or malformed; one was derived.")
        )
    kind = "volume" if frames is not None else kind
    usable = kind == "volume" and not any(f.level == "error" for f in findings)
    first = kept[0]
    return SeriesInfo(
        patient_key=patient_key(identity_of(first)),
        study_uid=first.study_uid,
        series_uid=first.series_uid,
        modality=first.modality,
        description=first.description,
        date=next((h.date for h in kept if h.date), None),
        files=tuple(h.path for h in kept),
        grid=grid if usable else None,
        acquisition=_acquisition(kept, grid if usable else None, frames),
        findings=tuple(findings),
        usable=usable,
        kind=kind,
        original=_is_original(first),
        study_time=first.study_time,
        bad_files=tuple(h.path for h in members if h.truncated),
        stack=_stack(kept, grid, frames, order) if usable else None,
    )


def _stack(
    members: Sequence[Header], grid: Grid | None, frames: Frames | None, order: Sequence[int]
) -> Stack | None:
    """Where the slices of a regular volume lie, in order of the grid's z axis."""
    if grid is None or any(h.stored is None for h in members):
        return None
    slices = []
    for k in range(grid.size_zyx[0]):
        header = members[k if frames is None else 0]
        assert header.stored is not None
        if frames is None:
            slope, intercept, number = header.slope or 1.0, header.intercept or 0.0, 0
        else:
            number = order[k]
            slope, intercept = frames.slopes[number], frames.intercepts[number]
        slices.append(SliceSource(header.path, number, slope, intercept, header.stored))
    step = grid.spacing_zyx_mm[0]
    return Stack(
        slices=tuple(slices),
        along_mm=tuple(k * step for k in range(len(slices))),
        shift_yx_mm=((0.0, 0.0),) * len(slices),
    )


def _why_no_volume(header: Header, kind: str, count: int) -> Finding:
    what = f"{count} image(s)"
    if kind == "object":
        return finding("not_an_image", f"{count} object(s) of modality {header.modality or '?'}.")
    if kind == "radiograph":
        return finding("radiograph_not_measured", f"{what} of modality {header.modality}.")
    if kind == "other_image":
        return finding("modality_not_supported", f"{what} of modality {header.modality or '?'}.")
    names = {
        "localizer": "localizer",
        "secondary_capture": "screen capture",
        "derived_image": "projection or map",
    }
    return finding(kind, f"{count} {names[kind]} image(s).")


def _is_original(header: Header) -> bool:
    words = set(header.image_type)
    return "ORIGINAL" in words and "MPR" not in words


def _check_content(members: Sequence[Header]) -> list[Finding]:
    """Checks of a CT group that concern its pixels and tags rather than its geometry."""
    found = []
    count = len(members)
    for code, bad, what in (
        ("truncated_files", [h for h in members if h.truncated], "are cut off"),
        ("bad_image", [h for h in members if not h.plain], "are no single-channel CT images"),
        ("no_pixel_spacing", [h for h in members if not h.spacing_yx_mm], "state no pixel spacing"),
        (
            "no_position",
            [h for h in members if not (h.position_lps_mm and h.orientation)],
            "state no position or orientation",
        ),
        ("no_rescale", [h for h in members if not h.has_rescale], "state no linear rescale to HU"),
        (
            "not_hounsfield",
            [h for h in members if h.rescale_type not in ("", "HU", "US")],
            "are not in Hounsfield units",
        ),
        ("unspecified_units", [h for h in members if h.rescale_type == "US"], "state no unit"),
        ("lossy_compression", [h for h in members if h.lossy], "were compressed with loss"),
    ):
        if bad:
            found.append(finding(code, f"{len(bad)} of {count} image(s) {what}."))
    tilts = {round(h.tilt_deg, 1) for h in members if h.tilt_deg and abs(h.tilt_deg) > 0.5}
    cosines = members[0].orientation
    if tilts and cosines and max(abs(abs(c) - round(abs(c))) for c in cosines) < 1e-3:
        found.append(
            finding("gantry_tilt_tag", f"The header states a tilt of {min(tilts)} degrees.")
        )
    return found


def _check_enhanced(
    members: Sequence[Header], settings: IntakeSettings
) -> tuple[Frames | None, Grid | None, Sequence[int], list[Finding]]:
    """Checks of an enhanced CT file; one that is spread over several files is refused."""
    header = members[0]
    refused = [finding("multiframe_not_supported", "A multi-frame CT object of unknown layout.")]
    if len(members) > 1 or header.sop_class not in ENHANCED or not header.plain:
        return None, None, (), refused
    try:
        frames = read_frames(header.path)
    except Exception:  # a damaged sequence may raise anything; the file is refused by name
        frames = None
    if frames is None:
        return None, None, (), refused
    found = []
    if header.truncated:
        found.append(finding("truncated_files", "The multi-frame file is cut off."))
    if header.lossy:
        found.append(finding("lossy_compression", "The frames were compressed with loss."))
    geometry = frames.geometry((header.rows or 1, header.columns or 1), settings)
    return frames, geometry.grid, geometry.order, [*found, *geometry.findings]


def _acquisition(
    members: Sequence[Header], grid: Grid | None, frames: Frames | None
) -> Acquisition:
    first = members[0]
    currents = sorted(h.tube_current_ma for h in members if h.tube_current_ma)
    return Acquisition(
        kvp=first.kvp if frames is None else frames.kvp,
        kernel=first.kernel if frames is None else frames.kernel,
        slice_thickness_mm=first.thickness_mm if frames is None else frames.thickness_mm,
        spacing_zyx_mm=None if grid is None else grid.spacing_zyx_mm,
        size_zyx=None if grid is None else grid.size_zyx,
        contrast=any(h.contrast for h in members) if first.modality == "CT" else None,
        manufacturer=first.manufacturer,
        model=first.model,
        tube_current_ma=currents[len(currents) // 2] if currents else None,
        patient_position=first.patient_position,
        body_part=first.body_part,
    )
