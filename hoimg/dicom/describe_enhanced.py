"""The enhanced CT files of a series to one series per stack of frames, with every check."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hoimg.dicom.checks import Facts, check_files, check_slices, with_acquisition
from hoimg.dicom.copies import drop_identical
from hoimg.dicom.enhanced import Frame, Part, missing_parts, read_frames, stacks_of
from hoimg.dicom.findings import finding
from hoimg.dicom.groups import LOCALIZER_WORDS, NO_VOLUME_WORDS, identity_of
from hoimg.dicom.header import Header, patient_key
from hoimg.dicom.slices import Geometry, check_geometry
from hoimg.dicom.tilt import check_tag
from hoimg.dicom.types import SeriesInfo, SliceSource, Stack
from hoimg.results import Acquisition, Finding
from hoimg.settings import IntakeSettings


def describe_enhanced(
    members: Sequence[Header], settings: IntakeSettings
) -> tuple[SeriesInfo, ...]:
    """Check the enhanced CT files of one series, and say what each stack of frames in them is.

    Frames that are localizers, projections or maps (FrameType) are left aside.
    """
    kept, copies = drop_identical(members)
    findings: list[Finding] = []
    if copies:
        findings.append(
            finding("identical_copies", f"{copies} file(s) are identical copies of others.")
        )
    if any(h.made_up_uids for h in members):
        findings.append(
            finding("missing_uids", "Study or series UID is missing or malformed; one was derived.")
        )
    findings += check_files(kept, settings)
    frames: list[Frame] = []
    parts: list[Part] = []
    unknown: list[Header] = []
    for header in kept:
        try:
            read = read_frames(header) if header.plain else None
        except Exception:  # a damaged sequence may raise anything; the file is refused by name
            read = None
        if read is None:
            unknown.append(header)
            continue
        frames += read[0]
        parts.append(read[1])
    if unknown:
        said = f"{len(unknown)} multi-frame file(s) do not describe each of their frames."
        findings.append(finding("multiframe_not_supported", said))
    missing = missing_parts(parts)
    if missing:
        code = "gaps_allowed" if settings.allow_gaps else "missing_slices"
        findings.append(finding(code, f"{missing} file(s) of a concatenation are missing."))
    own = []
    for kind, words in (("localizer", LOCALIZER_WORDS), ("derived_image", NO_VOLUME_WORDS)):
        apart = [f for f in frames if f.words & words]
        frames = [f for f in frames if not f.words & words]
        if apart:
            own.append(_no_volume(apart, kind))
    if unknown or not frames:
        stacks = [_refused(kept, findings)] if unknown or not own else []
    else:
        stacks = [_describe_stack(stack, findings, settings) for stack in stacks_of(frames)]
    return (*stacks, *own)


def _describe_stack(
    stack: Sequence[Frame], given: Sequence[Finding], settings: IntakeSettings
) -> SeriesInfo:
    findings = [*given, *check_slices(stack, settings)]
    frames = list(stack)
    first = frames[0]
    geometry: Geometry | None = None
    spacing = first.spacing_yx_mm
    if spacing and all(f.position_lps_mm and f.orientation for f in frames):
        geometry = check_geometry(
            [f.position_lps_mm or () for f in frames],
            [f.orientation or () for f in frames],
            (spacing[0], spacing[1]),
            (first.header.rows or 1, first.header.columns or 1),
            first.thickness_mm,
            settings,
        )
        findings += geometry.findings
        frames = [frames[i] for i in geometry.order]
        tilts = {round(f.tilt_deg, 1) for f in frames if f.tilt_deg}
        findings += check_tag(tilts, geometry.tilt_deg, np.asarray(frames[0].orientation))
    headers = [f.header for f in frames]
    words = frames[0].words
    original = "ORIGINAL" in words and "MPR" not in words
    facts = Facts(
        _acquisition(headers, frames, geometry),
        (first.header.description, *sorted(words)),
        next((h.date for h in headers if h.date), None),
        frames[0].orientation if original else None,
    )
    findings = list(with_acquisition(findings, facts, settings))
    usable = not any(f.level == "error" for f in findings)
    return _series(frames, "volume", findings, geometry if usable else None)


def _stack(frames: Sequence[Frame], geometry: Geometry) -> Stack:
    slices = []
    for frame in frames:
        stored = frame.header.stored
        assert stored is not None  # a file with rows and columns has them
        slope, intercept = frame.slope or 1.0, frame.intercept or 0.0
        slices.append(SliceSource(frame.header.path, frame.number, slope, intercept, stored))
    return geometry.stack(slices)


def _no_volume(frames: Sequence[Frame], kind: str) -> SeriesInfo:
    names = {"localizer": "localizer", "derived_image": "projection or map"}
    said = finding(kind, f"{len(frames)} {names[kind]} frame(s).")
    return _series(frames, kind, [said], None)


def _refused(members: Sequence[Header], findings: Sequence[Finding]) -> SeriesInfo:
    """Files whose frames are not known."""
    first = members[0]
    return SeriesInfo(
        patient_key=patient_key(identity_of(first)),
        study_uid=first.study_uid,
        series_uid=first.series_uid,
        modality=first.modality,
        description=first.description,
        date=next((h.date for h in members if h.date), None),
        files=tuple(h.path for h in members),
        grid=None,
        acquisition=_acquisition(members, (), None),
        findings=tuple(findings),
        usable=False,
        kind="multiframe",
        study_time=first.study_time,
        bad_files=tuple(h.path for h in members if h.truncated),
    )


def _series(
    frames: Sequence[Frame], kind: str, findings: Sequence[Finding], geometry: Geometry | None
) -> SeriesInfo:
    """A series of the given frames, in that order; usable when there is a geometry."""
    headers = list({f.header.path: f.header for f in frames}.values())
    first = headers[0]
    words = frames[0].words
    return SeriesInfo(
        patient_key=patient_key(identity_of(first)),
        study_uid=first.study_uid,
        series_uid=first.series_uid,
        modality=first.modality,
        description=first.description,
        date=next((h.date for h in headers if h.date), None),
        files=tuple(h.path for h in headers),
        grid=None if geometry is None else geometry.grid,
        acquisition=_acquisition(headers, frames, geometry),
        findings=tuple(findings),
        usable=geometry is not None,
        kind=kind,
        original="ORIGINAL" in words and "MPR" not in words,
        study_time=first.study_time,
        bad_files=tuple(h.path for h in headers if h.truncated),
        stack=None if geometry is None else _stack(frames, geometry),
        frame_of_reference_uid=first.frame_of_reference or None,
    )


def _acquisition(
    headers: Sequence[Header], frames: Sequence[Frame], geometry: Geometry | None
) -> Acquisition:
    first = headers[0]
    grid = None if geometry is None else geometry.grid
    currents = sorted(f.tube_current_ma for f in frames if f.tube_current_ma)
    return Acquisition(
        kvp=frames[0].kvp if frames else None,
        kernel=frames[0].kernel if frames else None,
        slice_thickness_mm=frames[0].thickness_mm if frames else None,
        spacing_zyx_mm=None if grid is None else grid.spacing_zyx_mm,
        size_zyx=None if grid is None else grid.size_zyx,
        contrast=any(f.contrast for f in frames) or any(h.contrast for h in headers),
        manufacturer=first.manufacturer,
        model=first.model,
        tube_current_ma=currents[len(currents) // 2] if currents else None,
        patient_position=first.patient_position,
        body_part=first.body_part,
    )
