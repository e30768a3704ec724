"""One group of images to series: every check, the grid, and how the images were made."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import numpy as np

from hoimg.dicom.checks import Facts, check_files, check_slices, with_acquisition
from hoimg.dicom.copies import drop_identical
from hoimg.dicom.describe_enhanced import describe_enhanced
from hoimg.dicom.film import FilmInfo
from hoimg.dicom.film_header import film_findings, read_films
from hoimg.dicom.findings import finding
from hoimg.dicom.groups import ENHANCED, identity_of, kind_of
from hoimg.dicom.header import Header, patient_key
from hoimg.dicom.kinds import check_reformat, is_original
from hoimg.dicom.slices import Geometry, check_geometry
from hoimg.dicom.tilt import check_tag
from hoimg.dicom.types import SeriesInfo, SliceSource, Stack
from hoimg.results import Acquisition, Finding
from hoimg.settings import IntakeSettings

MENTIONED = 3
"""Films that the message of a series describes one by one."""


def describe(members: Sequence[Header], settings: IntakeSettings) -> tuple[SeriesInfo, ...]:
    """Check one group of headers and say what it is; a multi-frame group may hold several."""
    kind = kind_of(members[0])
    if kind == "multiframe" and members[0].sop_class in ENHANCED:
        return describe_enhanced(members, settings)
    findings: list[Finding] = []
    kept = list(members)
    films: tuple[FilmInfo, ...] = ()
    if kind == "radiograph":
        films = tuple(film for h in members for film in read_films(h, settings))
    geometry: Geometry | None = None
    if kind == "volume":
        kept, copies = drop_identical(members)
        if copies:
            findings.append(
                finding("identical_copies", f"{copies} file(s) are identical copies of others.")
            )
        findings += [*check_files(kept, settings), *check_slices(kept, settings)]
        if all(h.position_lps_mm and h.orientation for h in kept) and kept[0].spacing_yx_mm:
            geometry = check_geometry(
                [h.position_lps_mm or () for h in kept],
                [h.orientation or () for h in kept],
                kept[0].spacing_yx_mm,
                (kept[0].rows or 1, kept[0].columns or 1),
                kept[0].thickness_mm,
                settings,
            )
            findings += geometry.findings
            kept = [kept[i] for i in geometry.order]
            tilts = {round(h.tilt_deg, 1) for h in kept if h.tilt_deg}
            findings += check_tag(tilts, geometry.tilt_deg, np.asarray(kept[0].orientation))
            if geometry.grid is not None:
                findings += check_reformat(kept[0], geometry.grid.spacing_zyx_mm[0])
        elif len(kept) < settings.min_slices:
            findings.append(finding("too_few_slices", f"Only {len(kept)} slice(s)."))
    elif kind == "multiframe":
        said = "A multi-frame CT object of unknown layout."
        findings.append(finding("multiframe_not_supported", said))
    else:
        findings.append(_why_no_volume(members[0], kind, len(members), films))
        findings += film_findings(films)
    if any(h.made_up_uids for h in members):
        findings.append(
            finding("missing_uids", "Study or series UID is missing or malformed; one was derived.")
        )
    acquisition = _acquisition(kept, geometry)
    date = next((h.date for h in kept if h.date), None)
    if kind == "volume":
        findings = list(with_acquisition(findings, _facts(kept[0], acquisition, date), settings))
    usable = kind == "volume" and not any(f.level == "error" for f in findings)
    grid = geometry.grid if usable and geometry is not None else None
    first = kept[0]
    return (
        SeriesInfo(
            patient_key=patient_key(identity_of(first)),
            study_uid=first.study_uid,
            series_uid=first.series_uid,
            modality=first.modality,
            description=first.description,
            date=date,
            files=tuple(h.path for h in kept),
            grid=grid,
            acquisition=acquisition
            if usable
            else acquisition.model_copy(update={"spacing_zyx_mm": None, "size_zyx": None}),
            findings=tuple(findings),
            usable=usable,
            kind=kind,
            original=is_original(first),
            study_time=first.study_time,
            bad_files=tuple(h.path for h in members if h.truncated),
            stack=_stack(kept, geometry) if usable and geometry is not None else None,
            frame_of_reference_uid=first.frame_of_reference or None,
            films=films,
        ),
    )


def _stack(members: Sequence[Header], geometry: Geometry) -> Stack | None:
    """Where the slices of a volume are stored and lie; members in order along the normal."""
    if geometry.grid is None:
        return None
    slices = [
        SliceSource(h.path, 0, h.slope or 1.0, h.intercept or 0.0, h.stored)
        for h in members
        if h.stored is not None
    ]
    if len(slices) < len(members):
        return None
    return geometry.stack(slices)


def _why_no_volume(header: Header, kind: str, count: int, films: Sequence[FilmInfo]) -> Finding:
    what = f"{count} image(s)"
    if kind == "object":
        return finding("not_an_image", f"{count} object(s) of modality {header.modality or '?'}.")
    if kind == "radiograph":
        read = "; ".join(f.summary for f in films[:MENTIONED])
        more = f"; and {len(films) - MENTIONED} more" if len(films) > MENTIONED else ""
        said = f"{what} of modality {header.modality or '?'}{f' ({read}{more})' if read else ''}."
        return finding("radiograph" if films else "radiograph_not_measured", said)
    if kind == "other_image":
        return finding("modality_not_supported", f"{what} of modality {header.modality or '?'}.")
    names = {
        "localizer": "localizer",
        "secondary_capture": "screen capture",
        "derived_image": "projection or map",
    }
    return finding(kind, f"{count} {names[kind]} image(s).")


def _facts(first: Header, acquisition: Acquisition, date: datetime.date | None) -> Facts:
    """What the checks of an acquisition look at."""
    return Facts(
        acquisition,
        (first.description, *first.image_type),
        date,
        first.orientation if is_original(first) else None,
    )


def _acquisition(members: Sequence[Header], geometry: Geometry | None) -> Acquisition:
    first = members[0]
    grid = None if geometry is None else geometry.grid
    currents = sorted(h.tube_current_ma for h in members if h.tube_current_ma)
    return Acquisition(
        kvp=first.kvp,
        kernel=first.kernel,
        slice_thickness_mm=first.thickness_mm,
        spacing_zyx_mm=None if grid is None else grid.spacing_zyx_mm,
        size_zyx=None if grid is None else grid.size_zyx,
        contrast=any(h.contrast for h in members) if first.modality == "CT" else None,
        manufacturer=first.manufacturer,
        model=first.model,
        tube_current_ma=currents[len(currents) // 2] if currents else None,
        patient_position=first.patient_position,
        body_part=first.body_part,
    )
