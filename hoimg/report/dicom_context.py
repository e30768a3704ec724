"""What the DICOM objects of one exam share: UIDs, equipment, dates and their patient."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hoimg.results import Exam, Lesion, Observation, Report

if TYPE_CHECKING:
    from pydicom import Dataset

    from hoimg.report.dicom_header import Source

MANUFACTURER = "hoimg"
MODEL = "hoimg"
SERIAL_NUMBER = "0"
SERIES_NUMBERS = {"SEG": 9001, "SR": 9002, "SC": 9003, "PR": 9005}
"""High enough not to collide with a scanner's own series."""

RESEARCH_USE = "Research use only; not a medical device"
CHARACTER_SET = "ISO_IR 192"


def derive_uid(*parts: str) -> str:
    """A UID that is the same for the same parts, on every machine.

    A name-based UUID (RFC 9562, version 5) under the root ``2.25`` (PS3.5 B.2), so no registered
    root is needed.

    Args:
        parts: What the UID stands for; order matters.

    Returns:
        At most 44 characters.
    """
    name = "\x1f".join(("hoimg", *(str(part) for part in parts)))
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}"


@dataclass(frozen=True)
class Segment:
    """One segment of the SEG object.

    Attributes:
        number: Segment number, from 1.
        label: Value in the exam's label map.
        lesion_id: As in the report.
        tracking_uid: As in the report.
    """

    number: int
    label: int
    lesion_id: str
    tracking_uid: str


@dataclass(frozen=True, eq=False)
class ObjectContext:
    """One exam about to be written as DICOM objects.

    Attributes:
        report: The whole report.
        exam: The exam in it.
        source: The series or film that it was read from.
        images: Clean headers of the source images that the objects cite.
        segments: Lesions that have voxels in this exam, in order of their number.
        content_sha256: Hash of everything that the objects say, so that another content never goes
            out under the same instance UID.
        instance_number: Among the objects of its kind that one source series has.
    """

    report: Report
    exam: Exam
    source: Source
    images: tuple[Dataset, ...]
    segments: tuple[Segment, ...]
    content_sha256: str
    instance_number: int = 1

    def series_uid(self, kind: str) -> str:
        """Series Instance UID of the objects of a kind (``SEG``, ``SR``, ``SC``, ``PR``)."""
        return derive_uid(
            "series",
            kind,
            self.source.study_uid,
            self.source.series_uid,
            self.report.config_sha256,
        )

    def instance_uid(self, kind: str) -> str:
        """SOP Instance UID of the object of a kind."""
        return derive_uid("instance", kind, self.series_uid(kind), self.content_sha256)

    def observations(self) -> list[tuple[Lesion, Observation]]:
        """Each lesion that the report has something to say of at this exam."""
        return [
            (lesion, seen)
            for lesion in self.report.lesions
            for seen in lesion.observations
            if seen.exam_id == self.exam.exam_id
        ]

    def maturity_here(self, lesion: Lesion) -> bool:
        """Whether the lesion's label speaks of this exam.

        A label is of one exam (the latest); copied onto earlier ones it would say that they showed
        what only the later one did.
        """
        named = lesion.maturity.exam_id
        return self.exam.exam_id == (named or self.report.exams[-1].exam_id)

    def equipment(self) -> dict[str, Any]:
        """Arguments of highdicom's constructors that name series, instance and software."""
        return {
            "instance_number": self.instance_number,
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": MODEL,
            "software_versions": self.report.software[:64],
            "device_serial_number": SERIAL_NUMBER,
            "specific_character_set": CHARACTER_SET,
        }

    def naming(self, kind: str) -> dict[str, Any]:
        """Arguments of highdicom's constructors that name the series and the instance."""
        return {
            "series_instance_uid": self.series_uid(kind),
            "series_number": SERIES_NUMBERS[kind],
            "sop_instance_uid": self.instance_uid(kind),
        }

    def place_in_study(self, dataset: Dataset, kind: str) -> None:
        """Give a finished object its patient, its study and dates that do not depend on today.

        Patient and study go in last and as they are: highdicom would check them, and its messages
        quote what they reject. Today's date would make two runs differ, so the date is the study's.
        """
        for item in dataset.get("ContributingEquipmentSequence", []):
            if "ContributionDateTime" in item:
                del item.ContributionDateTime
        for keyword in ("InstanceCreationDate", "InstanceCreationTime"):
            if keyword in dataset:
                delattr(dataset, keyword)
        for keyword in ("DateOfSecondaryCapture", "TimeOfSecondaryCapture"):
            if keyword in dataset:
                delattr(dataset, keyword)
        dataset.ContentDate, dataset.ContentTime = self.source.date, self.source.time
        if "PresentationCreationDate" in dataset:
            dataset.PresentationCreationDate = self.source.date
            dataset.PresentationCreationTime = self.source.time
        dataset.SeriesDate, dataset.SeriesTime = self.source.date, self.source.time
        dataset.SeriesDescription = f"hoimg {kind}, research use only"
        dataset.SpecificCharacterSet = CHARACTER_SET
        for element in self.source.identity:
            dataset[element.tag] = element
