"""Files and folders to series: find the DICOM files, group them, check each group.

Only headers are read. A group is one series, split further where one series number holds things
that cannot be one volume (a localizer among axial slices, two image sizes, two phases).
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from hoimg.dicom.checks import ORIENTATION_TOLERANCE, check_geometry, duplicate_positions
from hoimg.dicom.copies import drop_identical
from hoimg.dicom.enhanced import Frames, read_frames
from hoimg.dicom.findings import finding
from hoimg.dicom.header import DamagedFile, Header, patient_key, quiet_pydicom, read_header
from hoimg.dicom.types import Inventory, SeriesInfo
from hoimg.errors import UsageError
from hoimg.geometry import Grid
from hoimg.results import Acquisition, Finding
from hoimg.settings import IntakeSettings, Settings

Progress = Callable[[int, int], None]

_ENHANCED = (
    "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT
    "1.2.840.10008.5.1.4.1.1.2.2",  # Legacy Converted Enhanced CT
)
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_RADIOGRAPHS = ("CR", "DX", "RG", "PX", "MG", "RF", "XA")
_IMAGES = ("CT", "MR", "PT", "NM", "US", "OT", "SC", "ES", "OP", "XC", "IO", *_RADIOGRAPHS)
_LOCALIZER = {"LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW", "SCANOGRAM"}
_NO_VOLUME = {
    *("MIP", "MINIP", "RAYSUM", "VRT", "SSD", "VOLREN", "PERFUSION", "RCBF", "RCBV", "MTT", "TTP"),
    *("DOSE", "DOSE_INFO", "SCREEN SAVE", "REF_SURVIEW", "CT_SOM5 PROT", "CT_SOM5 MIP"),
}


def list_files(paths: Iterable[Path]) -> list[Path]:
    """Every regular file under the paths, each once, sorted; links to folders are not followed.

    Raises:
        UsageError: when a path does not exist or cannot be listed.
    """
    found: dict[str, Path] = {}
    for path in paths:
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: no such file or folder") from error
        listed = _walk(path) if stat.S_ISDIR(mode) else iter([path])
        for file in listed:
            found.setdefault(str(file.absolute()), file)
    return [found[key] for key in sorted(found)]


def scan(
    paths: Path | Sequence[Path],
    settings: Settings | None = None,
    *,
    on_progress: Progress | None = None,
) -> Inventory:
    """Find every series under files and folders, whatever the files are called.

    Args:
        paths: One path or several; folders are searched recursively.
        settings: ``settings.intake`` holds the limits; the defaults when None.
        on_progress: Called with (files read, files to read).

    Returns:
        All series with their findings. Files that are no DICOM are counted, damaged ones listed.

    Raises:
        UsageError: when a path does not exist.
    """
    intake = (settings or Settings()).intake
    files = list_files([paths] if isinstance(paths, Path) else paths)
    headers: list[Header] = []
    damaged: list[Path] = []
    skipped = 0
    with quiet_pydicom():
        for number, file in enumerate(files, 1):
            try:
                header = read_header(file)
            except (DamagedFile, OSError):
                damaged.append(file)
                continue
            finally:
                if on_progress is not None:
                    on_progress(number, len(files))
            if header is None:
                skipped += 1
            else:
                headers.append(header)
        series = [info for group in group_headers(headers) for info in [describe(group, intake)]]
    findings = []
    if damaged:
        findings.append(
            finding("unreadable_files", f"{len(damaged)} file(s) are damaged and were left out.")
        )
    if skipped:
        findings.append(finding("skipped_files", f"{skipped} file(s) are no DICOM images."))
    series.sort(key=lambda s: (s.patient_key, str(s.date), s.study_time, s.study_uid, s.series_uid))
    return Inventory(
        series=tuple(series),
        findings=tuple(findings),
        files_seen=len(files),
        files_skipped=skipped,
        unreadable=tuple(damaged),
        patient_findings=_identity_conflicts(headers),
        patient_ids={patient_key(_identity(h)): h.patient_id for h in headers},
    )


def group_headers(headers: Iterable[Header]) -> list[list[Header]]:
    """Split headers into groups of which each may be one volume."""
    by_series: dict[tuple[str, ...], list[Header]] = defaultdict(list)
    for header in headers:
        form = (str(header.rows), str(header.columns), _spacing_key(header))
        kind = _kind(header)
        if kind != "volume":
            form = ("", "", "")
        series = (_identity(header), header.study_uid, header.series_uid, header.modality)
        by_series[(*series, kind, *form)].append(header)
    groups: list[list[Header]] = []
    for key, members in by_series.items():
        members.sort(key=lambda h: str(h.path))
        groups += _split_volume(members) if key[4] == "volume" else [members]
    return groups


def describe(members: Sequence[Header], settings: IntakeSettings) -> SeriesInfo:
    """Check one group of headers and say what it is."""
    kind = _kind(members[0])
    findings: list[Finding] = []
    grid: Grid | None = None
    frames: Frames | None = None
    kept = list(members)
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
        frames, grid, found = _check_enhanced(members, settings)
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
        patient_key=patient_key(_identity(first)),
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
    )


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            file = Path(root) / name
            try:
                if stat.S_ISREG(file.stat().st_mode):
                    yield file
            except OSError:
                continue  # a dangling link


def _identity(header: Header) -> str:
    """What stands for the patient: without a PatientID, exams cannot be joined."""
    return f"id:{header.patient_id}" if header.patient_id else f"study:{header.study_uid}"


def _spacing_key(header: Header) -> str:
    if header.spacing_yx_mm is None:
        return "none"
    return "/".join(f"{v:.4f}" for v in header.spacing_yx_mm)


def _kind(header: Header) -> str:
    words = set(header.image_type)
    if header.rows is None or header.modality not in ("", *_IMAGES):
        return "object"  # CT raw data and vendor reports carry the modality CT without pixels
    if header.sop_class.startswith(_SECONDARY_CAPTURE):
        return "secondary_capture"
    if header.modality in _RADIOGRAPHS:
        return "radiograph"
    if header.modality != "CT":
        return "other_image"
    if words & _LOCALIZER:
        return "localizer"
    if words & _NO_VOLUME:
        return "derived_image"
    if header.sop_class in _ENHANCED or header.frames > 1:
        return "multiframe"
    return "volume"


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


def _split_volume(members: list[Header]) -> list[list[Header]]:
    """Set single odd images apart, and phases that were stored under one series number."""
    placed = [h for h in members if h.position_lps_mm and h.orientation]
    if len(placed) != len(members) or len(members) < 2:
        return [members]
    planes: list[list[Header]] = []
    for header in members:
        for plane in planes:
            assert header.orientation is not None
            assert plane[0].orientation is not None
            pairs = zip(header.orientation, plane[0].orientation, strict=True)
            if max(abs(a - b) for a, b in pairs) <= ORIENTATION_TOLERANCE:
                plane.append(header)
                break
        else:
            planes.append([header])
    planes.sort(key=len, reverse=True)
    # One or two images across the stack are a localizer that the header does not call so.
    if len(planes) > 1 and len(planes[0]) >= 5 and all(len(p) <= 2 for p in planes[1:]):
        return _split_phases(planes[0]) + planes[1:]
    return _split_phases(members) if len(planes) == 1 else [members]


def _split_phases(members: list[Header]) -> list[list[Header]]:
    """Split by acquisition number, kernel, kVp or time point where that parts doubled slices."""
    orientation = members[0].orientation
    assert orientation is not None
    if not duplicate_positions([h.position_lps_mm or () for h in members], orientation):
        return [members]
    for field in range(len(members[0].split_keys)):
        parts: dict[str, list[Header]] = defaultdict(list)
        for header in members:
            parts[header.split_keys[field]].append(header)
        if len(parts) > 1 and all(
            len(part) > 2
            and not duplicate_positions([h.position_lps_mm or () for h in part], orientation)
            for part in parts.values()
        ):
            return [parts[key] for key in sorted(parts)]
    return [members]


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
) -> tuple[Frames | None, Grid | None, list[Finding]]:
    """Checks of an enhanced CT file; one that is spread over several files is refused."""
    header = members[0]
    refused = [finding("multiframe_not_supported", "A multi-frame CT object of unknown layout.")]
    if len(members) > 1 or header.sop_class not in _ENHANCED or not header.plain:
        return None, None, refused
    try:
        frames = read_frames(header.path)
    except Exception:  # a damaged sequence may raise anything; the file is refused by name
        frames = None
    if frames is None:
        return None, None, refused
    found = []
    if header.truncated:
        found.append(finding("truncated_files", "The multi-frame file is cut off."))
    if header.lossy:
        found.append(finding("lossy_compression", "The frames were compressed with loss."))
    geometry = frames.geometry((header.rows or 1, header.columns or 1), settings)
    return frames, geometry.grid, [*found, *geometry.findings]


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


def _identity_conflicts(headers: Sequence[Header]) -> dict[str, tuple[Finding, ...]]:
    """By patient key: one PatientID with several birth dates or sexes, perhaps two people."""
    people: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for header in headers:
        if header.patient_id:
            people[patient_key(_identity(header))].add(header.person)
    note = finding("identity_conflict", "Birth date or sex differ under one patient ID.")
    return {
        key: (note,)
        for key, seen in people.items()
        if any(len({person[i] for person in seen if person[i]}) > 1 for i in (0, 1))
    }
