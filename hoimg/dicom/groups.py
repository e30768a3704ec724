"""Headers to groups of images that may be one volume.

A group is one series, split further where one series number holds things that cannot be one volume
(a localizer among axial slices, two image sizes, two phases).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from hoimg.dicom.header import Header
from hoimg.dicom.slices import ORIENTATION_TOLERANCE, duplicate_positions

ENHANCED = (
    "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT
    "1.2.840.10008.5.1.4.1.1.2.2",  # Legacy Converted Enhanced CT
)
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
RADIOGRAPHS = ("CR", "DX", "RG", "PX", "MG", "RF", "XA")
_IMAGES = ("CT", "MR", "PT", "NM", "US", "OT", "SC", "ES", "OP", "XC", "IO", *RADIOGRAPHS)
LOCALIZER_WORDS = {"LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW", "SCANOGRAM"}
NO_VOLUME_WORDS = {
    *("MIP", "MINIP", "RAYSUM", "VRT", "SSD", "VOLREN", "PERFUSION", "RCBF", "RCBV", "MTT", "TTP"),
    *("DOSE", "DOSE_INFO", "SCREEN SAVE", "REF_SURVIEW", "CT_SOM5 PROT", "CT_SOM5 MIP"),
}


def group_headers(headers: Iterable[Header]) -> list[list[Header]]:
    """Split headers into groups of which each may be one volume."""
    by_series: dict[tuple[str, ...], list[Header]] = defaultdict(list)
    for header in headers:
        form = (str(header.rows), str(header.columns), _spacing_key(header))
        kind = kind_of(header)
        if kind != "volume":
            form = ("", "", "")
        series = (identity_of(header), header.study_uid, header.series_uid, header.modality)
        by_series[(*series, kind, *form)].append(header)
    groups: list[list[Header]] = []
    for key, members in by_series.items():
        members.sort(key=lambda h: str(h.path))
        groups += _split_volume(members) if key[4] == "volume" else [members]
    return groups


def kind_of(header: Header) -> str:
    """What the header says an image is; the words are those of ``SeriesInfo.kind``."""
    words = set(header.image_type)
    if header.rows is None or header.modality not in ("", *_IMAGES):
        return "object"  # CT raw data and vendor reports carry the modality CT without pixels
    if header.sop_class.startswith(_SECONDARY_CAPTURE):
        # A film that was scanned is stored as a capture that says so.
        return "radiograph" if is_digitised_film(header) else "secondary_capture"
    if header.modality in RADIOGRAPHS:
        return "radiograph"
    if header.modality != "CT":
        return "other_image"
    if words & LOCALIZER_WORDS:
        return "localizer"
    if words & NO_VOLUME_WORDS:
        return "derived_image"
    if header.sop_class in ENHANCED or header.frames > 1:
        return "multiframe"
    return "volume"


def is_digitised_film(header: Header) -> bool:
    """Whether a film/screen exposure was scanned: modality RG, or a capture of a film (DF)."""
    capture = header.sop_class.startswith(_SECONDARY_CAPTURE)
    return header.modality == "RG" or (capture and header.conversion == "DF")


def identity_of(header: Header) -> str:
    """What stands for the patient: without a PatientID, exams cannot be joined."""
    return f"id:{header.patient_id}" if header.patient_id else f"study:{header.study_uid}"


def _spacing_key(header: Header) -> str:
    if header.spacing_yx_mm is None:
        return "none"
    return "/".join(f"{v:.4f}" for v in header.spacing_yx_mm)


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
