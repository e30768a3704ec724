"""What an earlier report of the same patient called its lesions, so that a new one does so too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hoimg.errors import InputRefused, UsageError
from hoimg.image import Mask, read_mask

if TYPE_CHECKING:
    from hoimg.results import Report
    from hoimg.serial import Known

SAME_PLACE = 0.5
"""Two outlines of one exam are the same lesion when they share this much of the smaller one."""


@dataclass(frozen=True)
class NamesBefore:
    """The lesions of a report that lies in a folder.

    Attributes:
        folder: Where it lies.
        report: Its numbers.
    """

    folder: Path
    report: Report

    @property
    def lesion_ids(self) -> frozenset[str]:
        """Every lesion_id of it."""
        return frozenset(lesion.lesion_id for lesion in self.report.lesions)

    @property
    def by_tracking_uid(self) -> dict[str, str]:
        """Its lesion_ids by tracking UID."""
        return {lesion.tracking_uid: lesion.lesion_id for lesion in self.report.lesions}

    def known(self, series_uid: str, lesions: Mask) -> dict[int, Known]:
        """How the report called the lesions of an exam, by the label that they have now.

        A lesion is the same when it lies at the same place of the same series. Nothing is known
        where the series was not in the report, or its label map is gone or lies on other voxels.

        Args:
            series_uid: SeriesInstanceUID of the exam.
            lesions: Its label map now.
        """
        for exam in self.report.exams:
            if exam.series_instance_uid != series_uid or exam.labelmap is None:
                continue
            try:
                before = read_mask(self.folder / exam.labelmap)
            except (InputRefused, UsageError, OSError):
                return {}
            if not before.grid.same_as(lesions.grid):
                return {}
            named = labelled(self.report).get(exam.exam_id, {})
            pairs = _same_place(lesions.array, before.array)
            return {now: named[old] for now, old in pairs.items() if old in named}
        return {}


def names_in(folder: Path, patient_key: str) -> NamesBefore | None:
    """The report of this patient that a folder holds; None when there is none that can be read."""
    from hoimg.report.saved import read_report

    try:
        report = read_report(folder)
    except UsageError:
        return None  # whether it may be replaced is for the writer to say
    return NamesBefore(folder, report) if report.patient_key == patient_key else None


def labelled(report: Report) -> dict[str, dict[int, Known]]:
    """How a report calls its lesions, by exam and label."""
    from hoimg.serial import Known

    found: dict[str, dict[int, Known]] = {}
    for lesion in report.lesions:
        for seen in lesion.observations:
            if seen.label is not None:
                name = Known(lesion.tracking_uid, lesion.lesion_id)
                found.setdefault(seen.exam_id, {})[seen.label] = name
    return found


def _same_place(now: np.ndarray, before: np.ndarray) -> Mapping[int, int]:
    """Label now to label before, one to one, the largest common parts first."""
    both = (now > 0) & (before > 0)
    pairs, common = np.unique(
        np.stack([now[both], before[both]]).astype(np.int64), axis=1, return_counts=True
    )
    sizes = [np.bincount(a[a > 0].astype(np.int64)) for a in (now, before)]
    found: dict[int, int] = {}
    for k in np.argsort(-common, kind="stable"):
        new, old = int(pairs[0, k]), int(pairs[1, k])
        enough = common[k] >= SAME_PLACE * min(sizes[0][new], sizes[1][old])
        if enough and new not in found and old not in found.values():
            found[new] = old
    return found
