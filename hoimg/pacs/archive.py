"""What pull and push ask of an archive, whichever way it is reached."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from hoimg.errors import UsageError
from hoimg.pacs.errors import PacsError

STUDY = (
    "StudyInstanceUID",
    "PatientID",
    "IssuerOfPatientID",
    "AccessionNumber",
    "StudyDate",
    "ModalitiesInStudy",
    "NumberOfStudyRelatedInstances",
)
"""What is asked of a study; a value that an archive does not give is empty."""
_UID = re.compile(r"[0-9]+(\.[0-9]+)+")


@dataclass(frozen=True, order=True)
class Instance:
    """One DICOM object in an archive, by its three UIDs as the archive states them."""

    study_uid: str
    series_uid: str
    sop_uid: str


@dataclass(frozen=True)
class Query:
    """Which studies are wanted; what is None does not matter, the rest has to hold together.

    Attributes:
        patient_id: PatientID, exactly.
        study_uid: StudyInstanceUID.
        accession: AccessionNumber, exactly.
        since: First StudyDate.
        until: Last StudyDate.
        modality: One of the study's modalities, such as ``CT``.

    Raises:
        UsageError: when nothing is given, or a wildcard: it would fetch the studies of others.
    """

    patient_id: str | None = None
    study_uid: str | None = None
    accession: str | None = None
    since: datetime.date | None = None
    until: datetime.date | None = None
    modality: str | None = None

    def __post_init__(self) -> None:
        if not (self.keys() or self.since or self.until or self.modality):
            raise UsageError("say what to pull: --patient, --study, --accession or --dates")
        for value in (*self.keys().values(), *([] if self.modality is None else [self.modality])):
            if not value.strip() or any(c in "*?\\" or not c.isprintable() for c in value):
                raise UsageError(
                    "a patient, study, accession number or modality is empty or has wildcards"
                )
        if self.study_uid is not None and not is_uid(self.study_uid):
            raise UsageError("--study: give a Study Instance UID, numbers with dots between them")
        if self.since and self.until and self.since > self.until:
            raise UsageError("--dates: the first day is after the last")

    def keys(self) -> dict[str, str]:
        """The exact values that are asked for, by DICOM keyword."""
        given = {
            "PatientID": self.patient_id,
            "StudyInstanceUID": self.study_uid,
            "AccessionNumber": self.accession,
        }
        return {keyword: value for keyword, value in given.items() if value is not None}

    def asked(self) -> dict[str, str]:
        """What an archive is asked, by DICOM keyword."""
        more = {"StudyDate": self.date_range(), "ModalitiesInStudy": self.modality}
        return self.keys() | {k: value for k, value in more.items() if value is not None}

    def date_range(self) -> str | None:
        """The range as DICOM writes it (``20240101-20240630``), open ends left empty."""
        if self.since is None and self.until is None:
            return None
        return f"{_day(self.since)}-{_day(self.until)}"

    def matches(self, answer: dict[str, str]) -> bool:
        """Whether a study that an archive names is one that was asked for.

        Archives may ignore a key that they do not know, and then name everyone's studies.

        Args:
            answer: Values of the study by keyword; one that is missing does not match.
        """
        if any(answer.get(k, "").strip() != v.strip() for k, v in self.keys().items()):
            return False
        if self.modality not in (None, *answer.get("ModalitiesInStudy", "").split("\\")):
            return False
        date = answer.get("StudyDate", "").replace(".", "").strip()
        if self.since is None and self.until is None:
            return True
        return len(date) == 8 and (_day(self.since) or "0") <= date <= (_day(self.until) or "9")


class Archive(Protocol):
    """An archive; used as a context, which ends its connections."""

    def __enter__(self) -> Archive: ...

    def __exit__(self, *_: object) -> None: ...

    def studies(self, query: Query) -> list[dict[str, str]]:
        """The studies that it names: values by keyword of :data:`STUDY`, and of what was asked.

        Some may not match, see :meth:`Query.matches`; several values have backslashes between.
        """

    def instances(self, study_uid: str) -> tuple[list[Instance], int]:
        """Every object of a study, each once; and how many there are by the archive's count.

        The count is that of the names where the archive gives none.
        """

    def fetch(self, wanted: Sequence[Instance]) -> Iterator[tuple[Instance, bytes | PacsError]]:
        """Part 10 files as the archive holds them, in any order.

        Args:
            wanted: Objects of one series.

        Yields:
            An object and its bytes, or why this one could not be had.

        Raises:
            PacsError: when none of the rest can be had.
        """

    def store(self, data: bytes) -> None:
        """Put a Part 10 file into the archive.

        Raises:
            PacsError: when it is not taken.
        """


def chosen(archive: Archive, query: Query) -> tuple[list[str], int]:
    """UIDs of an archive's studies that match, and how many it named although they do not."""
    answers = archive.studies(query)
    wanted = [study for study in answers if query.matches(study)]
    uids = dict.fromkeys(study["StudyInstanceUID"] for study in wanted)
    return list(uids), len(answers) - len(wanted)


def is_uid(text: str) -> bool:
    """Whether a text is a DICOM UID."""
    return len(text) <= 64 and bool(_UID.fullmatch(text))


def _day(date: datetime.date | None) -> str:
    return "" if date is None else f"{date:%Y%m%d}"
