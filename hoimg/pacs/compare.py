"""Whether an archive holds an object as it was made, though it may have touched its envelope."""

from __future__ import annotations

import hashlib
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.tag import BaseTag

RECONCILED = frozenset(
    {
        *("SpecificCharacterSet", "TimezoneOffsetFromUTC", "OriginalAttributesSequence"),
        *("InstanceCreationDate", "InstanceCreationTime", "InstanceCreatorUID"),
        *("PatientName", "PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence"),
        *("OtherPatientIDs", "OtherPatientIDsSequence", "PatientBirthDate", "PatientSex"),
        *("PatientAge", "StudyDate", "StudyTime", "StudyID", "StudyDescription"),
        *("AccessionNumber", "IssuerOfAccessionNumberSequence", "ReferringPhysicianName"),
        *("InstitutionName", "StationName", "RetrieveAETitle", "InstanceAvailability"),
    }
)
"""Patient and study attributes that an archive may put right when it files an object (IHE Patient
Information Reconciliation), and what it adds of its own. All else has to be as it was sent."""


def differences(sent: bytes, held: bytes) -> list[str] | None:
    """What an archive changed of an object.

    Args:
        sent: The file as it was made.
        held: The file as the archive gives it.

    Returns:
        Keywords of changed attributes of :data:`RECONCILED`: none when all is the same, apart
        from the file meta information (group 0002), which says who wrote the file. None when
        anything else differs, so that it is another object.
    """
    from pydicom.datadict import keyword_for_tag

    if hashlib.sha256(sent).digest() == hashlib.sha256(held).digest():
        return []
    ours, theirs = _parsed(sent), _parsed(held)
    if ours is None or theirs is None:
        return None
    # Group lengths (element 0) and private elements (odd groups) are the archive's own business.
    tags = sorted(t for t in {*ours.keys(), *theirs.keys()} if t.element and not t.is_private)
    keywords = [keyword_for_tag(tag) for tag in tags if not _same(ours, theirs, tag)]
    return keywords if set(keywords) <= RECONCILED else None


def _same(ours: Dataset, theirs: Dataset, tag: BaseTag) -> bool:
    one, other = ours.get(tag), theirs.get(tag)
    if one is None or other is None:
        return False
    return bool(one.VR == other.VR and one.value == other.value)


def _parsed(data: bytes) -> Dataset | None:
    from pydicom import dcmread

    from hoimg.dicom.quiet import quiet_pydicom

    try:
        with quiet_pydicom():
            found = dcmread(BytesIO(data))
            found.decode()
            return found
    except Exception:  # a file of an archive may be anything
        return None
