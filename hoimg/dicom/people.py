"""Who the images are of: one patient per PatientID and issuer, and doubts about it said aloud.

Two patients are never joined, whatever speaks for it, and one is never parted: a wrong join
compares the scans of two people, a wrong split costs the user a moment. What looks wrong becomes
a finding on each patient concerned, which names the other by the keyed hash.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from hoimg.dicom.clean import patient_key
from hoimg.dicom.findings import finding
from hoimg.dicom.header import Header
from hoimg.results import Finding

MAX_NAMED = 3
"""Other patients that one finding names; the rest is counted."""


def identity_of(header: Header) -> str:
    """What stands for the patient of a header, see :func:`identity`."""
    return identity(header.patient_id, header.issuer, header.study_uid)


def identity(patient_id: str, issuer: str, study_uid: str) -> str:
    """What stands for the patient: without a PatientID, exams cannot be joined.

    The same ID from two issuers (two hospitals) may be two people, so the issuer is part of it.
    """
    if not patient_id:
        return f"study:{study_uid}"
    if issuer:
        return f"id:{patient_id}|issuer:{issuer}"
    return f"id:{patient_id}"


@dataclass
class _Seen:
    """What one identity's files say; a set holds what should be one value."""

    patient_id: str
    people: set[tuple[str, str]] = field(default_factory=set)
    traits: set[tuple[str, str]] = field(default_factory=set)


# What two identities may have in common, in the order in which it is told.
_TRAITS = {
    "person": "the same name, birth date and sex",
    "study": "images of the same study",
    "frame": "the same frame of reference",
    "id": "an ID that differs only in case, spaces, leading zeros or issuer",
}


class People:
    """Collects identities file by file."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def add(self, header: Header) -> None:
        """Note one file."""
        identity = identity_of(header)
        seen = self._seen.get(identity)
        if seen is None:
            seen = self._seen[identity] = _Seen(header.patient_id)
            if header.patient_id:
                plain = "".join(header.patient_id.split()).casefold().lstrip("0")
                seen.traits.add(("id", plain))
        seen.people.add(header.person)
        seen.traits.add(("study", header.study_uid))
        if header.person_key:
            seen.traits.add(("person", header.person_key))
        if header.frame_of_reference:
            seen.traits.add(("frame", header.frame_of_reference))

    def patient_ids(self) -> dict[str, str]:
        """Patient key to PatientID, for messages on the terminal."""
        return {patient_key(identity): seen.patient_id for identity, seen in self._seen.items()}

    def findings(self) -> dict[str, tuple[Finding, ...]]:
        """Patient key to what is odd about the patient's identity."""
        found: dict[str, list[Finding]] = defaultdict(list)
        for identity, seen in self._seen.items():
            # Several people under one ID, unless there is no ID that could be wrong.
            if seen.patient_id and any(
                len({person[i] for person in seen.people if person[i]}) > 1 for i in (0, 1)
            ):
                said = "Birth date or sex differ under one patient ID."
                found[patient_key(identity)].append(finding("identity_conflict", said))
        for identity, others in self._alike().items():
            keys = sorted(patient_key(other) for other in others)
            named = ", ".join(keys[:MAX_NAMED])
            more = f" and {len(keys) - MAX_NAMED} more" if len(keys) > MAX_NAMED else ""
            shared = [
                text for name, text in _TRAITS.items() if name in set().union(*others.values())
            ]
            own_id = self._seen[identity].patient_id
            if own_id and any(self._seen[other].patient_id == own_id for other in others):
                said = f"Another issuer uses the same patient ID ({named}{more}); kept apart."
                found[patient_key(identity)].append(finding("one_id_two_issuers", said))
                shared = [text for text in shared if text != _TRAITS["id"]]
            if shared:
                said = f"Another patient ID ({named}{more}) has {', and '.join(shared)}."
                found[patient_key(identity)].append(finding("same_person_two_ids", said))
        return {key: tuple(notes) for key, notes in found.items()}

    def _alike(self) -> dict[str, dict[str, set[str]]]:
        """Identity to the others it has something in common with, and what."""
        holders: dict[tuple[str, str], list[str]] = defaultdict(list)
        for identity, seen in self._seen.items():
            for trait in seen.traits:
                holders[trait].append(identity)
        alike: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for (name, _), identities in holders.items():
            # Of many alike, each names only the nearest few: an export with one frame of
            # reference for all its thousand patients must not cost a million pairs.
            for place, identity in enumerate(identities):
                start = max(0, min(place - MAX_NAMED, len(identities) - 2 * MAX_NAMED - 1))
                for other in identities[start : start + 2 * MAX_NAMED + 1]:
                    if other != identity:
                        alike[identity][other].add(name)
        return alike
