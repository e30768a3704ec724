"""Which DICOM objects can be de-identified, and the marks that say how it was done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import hoimg
from hoimg.deidentify.table import EDITION

if TYPE_CHECKING:
    from pydicom import Dataset

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_IMAGES = frozenset(
    _STORAGE + n
    for n in (
        *("2", "2.1", "2.2"),  # CT
        *("1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1"),  # CR, DX, MG, IO
        *("12.1", "12.1.1", "12.2", "12.2.1", "13.1.1", "13.1.2"),  # XA, RF, 3D
        *("4", "4.1", "4.3", "4.4", "20", "128", "128.1", "130"),  # MR, NM, PET
        *("66.4", "66.7", "481.3"),  # SEG, label map SEG, RTSTRUCT
    )
)
_STATE = _STORAGE + "11.1"
"""Grayscale presentation state."""
_SCREENS = frozenset(
    _STORAGE + n for n in ("7", "7.1", "7.2", "7.3", "7.4", "3", "3.1", "6", "6.1", "6.2", "6.3")
)
"""Secondary capture and ultrasound: as a rule the patient's name is part of the picture."""
REPORTS = frozenset(_STORAGE + f"88.{n}" for n in (11, 22, 33, 34, 35, 59, 67))
"""Structured reports, key object selections, dose reports."""

_CODES = {
    "113100": "Basic Application Confidentiality Profile",
    "113103": "Clean Graphics Option",
    "113104": "Clean Structured Content Option",
    "113105": "Clean Descriptors Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
}


def why_not(dataset: Dataset) -> str:
    """Why an object is refused, in words without anything of its values; empty when it is not."""
    from pydicom.uid import UID

    sop_class = str(dataset.get("SOPClassUID", ""))
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        if not str(dataset.get(keyword, "") or "").strip():
            return f"states no {keyword}, so that nothing can refer to it"
    if sop_class in _SCREENS:
        if dataset.get("BurnedInAnnotation") == "NO" or dataset.get("ConversionType") == "DF":
            return ""
        return (
            "is a screen capture or ultrasound that does not state that its picture holds no text "
            "(BurnedInAnnotation)"
        )
    if sop_class in _IMAGES | REPORTS or sop_class == _STATE:
        return ""
    if not UID(sop_class).type:
        return "is a private kind of object"
    return f"is {UID(sop_class).name}, which cannot be cleaned here"


def mark(new: Dataset, source: Dataset) -> None:
    """Say in the data set what was done (PS3.15 E.1.1, PS3.3 C.12).

    BurnedInAnnotation stays as the source states it, since pixels are not looked at. Dates that an
    earlier program removed cannot have been kept here, so that mark stays too.

    Args:
        new: The cleaned data set; changed.
        source: What it was made of.
    """
    from pydicom import Dataset

    codes = ["113100", "113105", "113107"]
    if new.get("SOPClassUID") in REPORTS:
        codes.insert(1, "113104")
    if new.get("SOPClassUID") == _STATE:
        codes.insert(1, "113103")
    new.PatientIdentityRemoved = "YES"
    new.DeidentificationMethod = [
        f"hoimg {hoimg.__version__}, {EDITION} Basic Profile",
        "Dates moved by one shift per patient; descriptions cut to known",
        "words; pixels unchanged",
    ]
    new.DeidentificationMethodCodeSequence = []
    for code in codes:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "DCM", _CODES[code]
        new.DeidentificationMethodCodeSequence.append(item)
    removed = source.get("LongitudinalTemporalInformationModified") == "REMOVED"
    new.LongitudinalTemporalInformationModified = "REMOVED" if removed else "MODIFIED"
