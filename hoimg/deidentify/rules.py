"""One data set to a new one that holds nothing of a person.

Nothing is copied unless a rule says so: private and unknown elements, texts without a rule and
binary values without one never reach the new data set, whatever the table says of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hoimg.deidentify import table, texts
from hoimg.deidentify.dates import Shift
from hoimg.deidentify.texts import Known

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset

REMOVED = "REMOVED"
"""Dummy text where the table asks for one."""
MAX_DEPTH = 32
"""Levels of sequences that are followed; real objects have fewer than ten."""

_DATES = frozenset({"DA", "DT", "TM"})
_TEXTS = frozenset({"LO", "SH", "LT", "ST", "UT", "UC", "UR", "AE", "AS"})
_NUMBERS = frozenset({"AT", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"})
_BULK = frozenset(
    {"OB", "OD", "OF", "OL", "OV", "OW", "UN", "OB or OW", "US or SS or OW", "US or OW"}
)
_CLASS_UIDS = re.compile(r"1\.2\.840\.10008(\.\d{1,4}){1,10}")
_SCHEME_UIDS = re.compile(r"2\.16\.840\.1\.113883(\.\d{1,5}){1,6}")
_NO_AGENT = frozenset({"NONE", "NO", "N", "0", "UNKNOWN"})
_PATIENT = frozenset({"PatientName", "PatientID", "PatientBirthDate", "PatientSex"})
_IDENTITY_MARKS = frozenset({
    "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence",
    "LongitudinalTemporalInformationModified",
})  # fmt: skip


@dataclass(frozen=True)
class Patient:
    """What stands for the patient and the persons around, and how dates move.

    Attributes:
        name: Written as PatientName and PatientID.
        shift: Moves dates and times.
        uid: Gives the UID that stands for one.
        known: Names and identifiers that the file states.
        has_id: Whether the source has a PatientID; without one the new file has none either.
    """

    name: str
    shift: Shift
    uid: Callable[[str], str]
    known: Known
    has_id: bool


def cleaned(dataset: Dataset, patient: Patient, depth: int = 0) -> Dataset:
    """A new data set with what may stay of one.

    Args:
        dataset: As read; not changed.
        patient: Whose it is.
        depth: Level of nesting.

    Raises:
        ValueError: when sequences are nested deeper than :data:`MAX_DEPTH`.
    """
    from pydicom import Dataset

    if depth > MAX_DEPTH:
        raise ValueError("sequences are nested too deeply")
    new = Dataset()
    for tag in sorted(dataset.keys()):
        if tag.is_private or tag.element == 0 or tag.group in table.GONE_GROUPS:
            continue
        try:
            element = dataset[tag]
        except Exception:  # a value that cannot be read is not copied
            continue
        kept = _element(element, dataset, patient, depth)
        if kept is not None:
            new.add(kept)
    return new


def _element(
    element: DataElement, dataset: Dataset, patient: Patient, depth: int
) -> DataElement | None:
    """The element that takes this one's place; None when nothing does."""
    from pydicom import DataElement

    keyword, vr = element.keyword, str(element.VR)
    if not keyword or keyword in _IDENTITY_MARKS or keyword == "SpecificCharacterSet":
        return None
    if element.tag.group == 0x0010 and keyword not in _PATIENT:
        return None
    action = table.actions().get(int(element.tag), "")
    if vr == "SQ":
        items = _sequence(element, action, dataset, patient, depth)
        return None if items is None else DataElement(element.tag, "SQ", items)
    if vr in _BULK:
        return element if keyword in table.BINARY_KEPT else None
    if vr == "UI":
        value = _uids(element, action, patient)
    elif vr in _DATES:
        value = _dates(element, action, patient.shift)
    elif vr == "PN":
        value = _person(keyword, action, element, patient)
    elif vr in _TEXTS:
        value = _text(element, action, dataset, patient)
    elif action:
        value = None if "X" in action else (REMOVED if action == "D" and vr == "CS" else "")
    elif vr in ("DS", "IS"):
        value = [text if _is_number(text) else "" for text in _values(element)]
    elif vr == "CS":
        value = ["" if _is_told(text, patient.known) else text for text in _values(element)]
    else:
        # Numbers as such; those of an ambiguous VR are settled when the file is written.
        value = element.value if vr in _NUMBERS or vr == "US or SS" else None
    if value is None:
        return None
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else value or ""
    return DataElement(element.tag, vr, value)


def _values(element: DataElement) -> list[str]:
    value = element.value
    if value is None or value == "":
        return []
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        return [str(getattr(value, "original_string", value))]
    return [str(getattr(part, "original_string", part)) for part in value]


def _is_number(text: str) -> bool:
    return re.fullmatch(r" *[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)? *", text) is not None


def _is_told(code: str, known: Known) -> bool:
    """Whether a coded string tells something of a person: no code, or one that names somebody."""
    return (
        not (code.isascii() and code.isprintable())
        or len(code) > 32
        or known.in_code(code)
        or known.is_name(code)
    )


def _sequence(
    element: DataElement, action: str, dataset: Dataset, patient: Patient, depth: int
) -> list[Dataset] | None:
    if element.keyword in table.GRAPHICS:
        return _graphics(element, patient, depth) if _is_own(dataset) else None
    if element.keyword == "PersonIdentificationCodeSequence":
        return [_nobody()]
    if action and element.keyword not in table.SEQUENCES_KEPT:
        return [] if action in ("Z", "X/Z") or element.keyword in table.EMPTIED else None
    return [cleaned(item, patient, depth + 1) for item in element.value or []]


def _is_own(dataset: Dataset) -> bool:
    """Whether an object says that hoimg made it."""
    return str(dataset.get("Manufacturer", "")) == "hoimg"


def _graphics(element: DataElement, patient: Patient, depth: int) -> list[Dataset] | None:
    """What hoimg draws on a film, on its own layers: outlines, and of its texts the short labels.

    What others have drawn may be handwriting.
    """
    own = [item for item in element.value or [] if item.get("GraphicLayer") in table.OWN_LAYERS]
    made = [cleaned(item, patient, depth + 1) for item in own]
    for item in made:
        told = [
            text
            for text in item.get("TextObjectSequence", [])
            if text.get("UnformattedTextValue") != REMOVED
        ]
        if told:
            item.TextObjectSequence = told
        else:
            item.pop("TextObjectSequence", None)
    return made or None


def _nobody() -> Dataset:
    """The code of a person whose identity was removed."""
    from pydicom import Dataset

    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = REMOVED, "99HOIMG", REMOVED
    return code


def _uids(element: DataElement, action: str, patient: Patient) -> Any:
    if "X" in action or element.keyword in table.CONTEXT_OF_CODES:
        return None
    return [_uid(element.keyword, uid.strip(" \0"), patient) for uid in _values(element)]


def _uid(keyword: str, uid: str, patient: Patient) -> str:
    from pydicom.uid import UID

    stays = (
        not uid
        or UID(uid).type  # registered by DICOM
        or (keyword.endswith("ClassUID") and _CLASS_UIDS.fullmatch(uid))
        or (keyword == "CodingSchemeUID" and _SCHEME_UIDS.fullmatch(uid))
    )
    return uid if stays else patient.uid(uid)


def _dates(element: DataElement, action: str, shift: Shift) -> Any:
    keyword = element.keyword
    if keyword == "PatientBirthDate":
        return ""
    if any(part in keyword for part in table.UNIVERSAL_DATES):
        return "" if action.startswith("Z") else None
    move = {"DA": shift.date, "TM": shift.time, "DT": shift.datetime}[str(element.VR)]
    return [move(text) for text in _values(element)]


def _person(keyword: str, action: str, element: DataElement, patient: Patient) -> Any:
    if keyword == "PatientName":
        return patient.name
    if action == "D" and element.value:
        return REMOVED
    return "" if action in ("Z", "Z/D", "X/Z") or keyword in table.EMPTIED else None


def _text(element: DataElement, action: str, dataset: Dataset, patient: Patient) -> Any:
    keyword, known = element.keyword, patient.known
    said = _values(element)
    if keyword == "PatientID":
        return patient.name if patient.has_id else ""
    if keyword == "ContrastBolusAgent":
        agent = said[0].strip().upper() if said else ""
        return agent if not agent or agent in _NO_AGENT else REMOVED
    if keyword in ("TextValue", "UnformattedTextValue"):
        return texts.report_text(" ".join(said), known) or REMOVED
    if keyword == "AlgorithmParameters":
        return [texts.report_text(text, known) or REMOVED for text in said]
    if keyword in table.TEXTS_OF_WORDS:
        return _words(element, dataset, patient)
    if keyword == "DeviceSerialNumber" or action == "D":
        return REMOVED if said else ""
    if action:
        return "" if action in ("Z", "Z/D", "X/Z") else None
    if keyword in table.EMPTIED:
        return ""
    if keyword not in table.TEXTS_KEPT or keyword in table.CONTEXT_OF_CODES:
        return None
    return _code_or_plain(keyword, said, dataset, known)


def _words(element: DataElement, dataset: Dataset, patient: Patient) -> str | None:
    """What stays of a description; a segment that loses its name is called by its number."""
    cut = texts.only_words(" ".join(_values(element)), patient.known)
    if element.keyword == "SegmentLabel" and not cut:
        return f"Segment {int(dataset.get('SegmentNumber', 0) or 0)}"
    if element.keyword == "TrackingID" and not cut:
        return REMOVED
    return cut if cut or element.keyword == "ROIName" else None


def _code_or_plain(keyword: str, said: list[str], dataset: Dataset, known: Known) -> Any:
    if keyword in ("CodeValue", "LongCodeValue"):
        text = " ".join(said)
        return REMOVED if not text.isascii() or known.is_code(text) else text
    kept = [texts.plain_text(text, known) for text in said]
    if keyword == "CodeMeaning":
        public = str(dataset.get("CodingSchemeDesignator", "")) in texts.PUBLIC_SCHEMES
        return kept[0] if public and kept and kept[0] else REMOVED
    if keyword == "CodingSchemeDesignator":
        return kept[0] if kept and kept[0] else REMOVED
    if any(kept) or not said:
        return kept
    return REMOVED if keyword in table.TEXTS_NEEDED else None
