"""What the page's viewer shows: for each lesion a box of every CT, within a budget of bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hoimg.geometry import Box
from hoimg.report import words
from hoimg.report.hu_codes import decode_table
from hoimg.report.reasons import reason_text
from hoimg.report.tiles import checksum, columns_for, tiled_png
from hoimg.report.view_box import MOST_NUMBERS, ViewBox, box_about, corners_of, sample
from hoimg.results import Exam, ExamImages, Lesion, Link, Links, Report

CHARACTERS_A_VOXEL = 0.6
"""Of base64, of HU and marks together, for the first lesion; the next go by those before them."""
MOST_VOXELS, LEAST_VOXELS = 1_400_000, 200_000
"""Voxels of one box at most and at least; rather than go below, lesions are left out."""
_FIRST = ("immature", "indeterminate", "mature")


@dataclass
class ViewerData:
    """The viewer's lesions, and those that found no room.

    Attributes:
        content: As the page's script reads it; empty where there is nothing to show.
        left_out: lesion_id of those that a CT shows but the budget does not hold.
        shown: lesion_id of those in it.
        step_mm: Least and largest side of their voxels, mm.
    """

    content: dict[str, Any] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    step_mm: tuple[float, float] = (0.0, 0.0)


def viewer_data(
    report: Report,
    images: Mapping[str, ExamImages],
    links: Mapping[str, Links],
    boxes: Mapping[str, Mapping[int, Box]],
    budget: int,
) -> ViewerData:
    """Collect it.

    Args:
        report: The numbers.
        images: CT exams by ``exam_id``; those without any are not shown.
        links: By tracking UID; a lesion without any is shown in its reference exam alone.
        boxes: Of each label of each exam.
        budget: Characters that all boxes may take. Immature lesions come first, then
            indeterminate ones, the larger ones first.
    """
    exams = [e for e in report.exams if e.exam_id in images]
    made: dict[int, dict[str, Any]] = {}
    made_for = _Maker(report, exams, images, boxes)
    order = sorted(
        (k for k, le in enumerate(report.lesions) if made_for.reference(le, links)),
        key=lambda k: (*_urgency(report.lesions[k]), k),
    )
    left_out: list[str] = []
    rate = CHARACTERS_A_VOXEL
    for done, k in enumerate(order):
        share = budget / (len(order) - done)
        entry = None if left_out else _within(made_for, k, links, share, rate * len(exams))
        if entry is None or entry.characters > budget:
            left_out.append(report.lesions[k].lesion_id)
            continue
        budget -= entry.characters
        rate = entry.characters / max(1, entry.voxels)
        made[k] = entry.content
    if not made:
        return ViewerData(left_out=left_out)
    entries = [made[k] for k in sorted(made)]
    steps = [e["step"] for e in entries]
    content = {
        "hu": decode_table(),
        "exams": [
            {"id": e.exam_id, "day": e.days_from_baseline, "modality": e.modality} for e in exams
        ],
        "names": [{"id": x.lesion_id, "label": x.maturity.label} for x in report.lesions],
        "lesions": entries,
    }
    return ViewerData(content, left_out, [e["id"] for e in entries], (min(steps), max(steps)))


@dataclass(frozen=True)
class _Entry:
    content: dict[str, Any]
    characters: int
    voxels: int


def _within(
    maker: _Maker, index: int, links: Mapping[str, Links], share: float, characters: float
) -> _Entry:
    """A lesion as fine as its share allows; made again, coarser, where its scans are noisier.

    Args:
        maker: Makes it.
        index: Of the lesion.
        links: By tracking UID.
        share: Characters that it may take.
        characters: Expected for a voxel in all exams together.
    """
    voxels = float(np.clip(share / characters, LEAST_VOXELS, MOST_VOXELS))
    entry = maker.entry(index, links, voxels)
    if entry.characters > share and voxels > LEAST_VOXELS:
        # Steps are rounded up, so that a tenth less is sure to be enough.
        voxels = max(LEAST_VOXELS, 0.9 * voxels * share / entry.characters)
        entry = maker.entry(index, links, voxels)
    return entry


def _urgency(lesion: Lesion) -> tuple[int, float]:
    sizes = [o.volume_mm3 for o in lesion.observations if o.volume_mm3 is not None]
    return _FIRST.index(lesion.maturity.label), -(sizes[-1] if sizes else 0.0)


class _Maker:
    """Makes the entries of one report's lesions."""

    def __init__(
        self,
        report: Report,
        exams: Sequence[Exam],
        images: Mapping[str, ExamImages],
        boxes: Mapping[str, Mapping[int, Box]],
    ) -> None:
        self._report, self._exams, self._images, self._boxes = report, exams, images, boxes

    def reference(self, lesion: Lesion, links: Mapping[str, Links]) -> str | None:
        """The exam whose place the box has; None where no CT shows the lesion."""
        shown = [o.exam_id for o in lesion.observations if self._box(lesion, o.exam_id) is not None]
        linked = links.get(lesion.tracking_uid)
        wanted = lesion.maturity.exam_id if linked is None else linked.exam_id
        return wanted if wanted in shown else next(reversed(shown), None)

    def entry(self, index: int, links: Mapping[str, Links], voxels: float) -> _Entry:
        """One lesion as the script reads it, in boxes of at most about so many voxels."""
        lesion = self._report.lesions[index]
        here = self.reference(lesion, links)
        assert here is not None
        linked = links.get(lesion.tracking_uid)
        to = linked.to if linked is not None and linked.exam_id == here else {}
        view = self._view(lesion, here, to, voxels)
        statuses = {o.exam_id: words.STATUSES[o.status] for o in lesion.observations}
        shown = []
        for exam in self._exams:
            link = Link(np.eye(4), None) if exam.exam_id == here else to.get(exam.exam_id)
            cut = self._cut(exam, link, index, view)
            planes = [] if cut is None else [tiled_png(part) for part in cut[0]]
            shown.append(
                {
                    "planes": planes,
                    "sums": [] if cut is None else [checksum(part) for part in cut[0]],
                    "numbers": [] if cut is None else cut[1],
                    "status": statuses.get(exam.exam_id, ""),
                    "how": _how(link, exam.exam_id == here, bool(planes)),
                }
            )
        content = {
            "id": lesion.lesion_id,
            "name": index,
            "label": lesion.maturity.label,
            "label_text": words.LABELS[lesion.maturity.label],
            "step": view.step_mm,
            "size": view.size_zyx,
            "columns": columns_for(view.size_zyx),
            "origin": view.origin_lps_mm,
            "reference": [e.exam_id for e in self._exams].index(here),
            "exams": shown,
        }
        parts = [planes for entry in shown if (planes := entry["planes"])]
        characters = sum(len(part) for planes in parts for part in planes)
        return _Entry(content, characters, len(parts) * int(np.prod(view.size_zyx)))

    def _box(self, lesion: Lesion, exam_id: str) -> Box | None:
        for seen in lesion.observations:
            if seen.exam_id == exam_id and seen.label is not None:
                return self._boxes.get(exam_id, {}).get(seen.label)
        return None

    def _view(self, lesion: Lesion, here: str, to: Mapping[str, Link], voxels: float) -> ViewBox:
        """The box about the lesion in every exam that shows it, carried to the reference exam."""
        grid = self._images[here].volume.grid
        corners = []
        for exam_id, link in [(here, Link(np.eye(4), None)), *to.items()]:
            box = self._box(lesion, exam_id)
            if box is not None and link.matrix_lps is not None:
                back = np.linalg.inv(link.matrix_lps)
                there = corners_of(box, self._images[exam_id].volume.grid)
                corners.append(there @ back[:3, :3].T + back[:3, 3])
        return box_about(np.concatenate(corners), voxels, min(grid.spacing_zyx_mm), grid)

    def _cut(self, exam: Exam, link: Link | None, index: int, view: ViewBox) -> Any:
        """Codes, marks and the numbers in them, of the lesions' positions in the report."""
        if link is None or link.matrix_lps is None:
            return None
        numbers: dict[int, int] = {}
        positions: list[int] = []
        # This lesion first, so that a label which two lesions share after merging is its own.
        every = [index, *(k for k in range(len(self._report.lesions)) if k != index)]
        for k in every:
            for seen in self._report.lesions[k].observations:
                if (
                    seen.exam_id == exam.exam_id
                    and seen.label is not None
                    and seen.label not in numbers
                    and len(positions) < MOST_NUMBERS
                ):
                    positions.append(k)
                    numbers[seen.label] = len(positions)
        found = sample(self._images[exam.exam_id], view, link.matrix_lps, numbers)
        return None if found is None else (found, positions)


def _how(link: Link | None, reference: bool, shown: bool) -> str:
    """How the exam was laid beside the reference, in words."""
    if reference:
        return ""
    why = f" ({reason_text(link.reason)})" if link is not None and link.reason else ""
    if link is None or link.matrix_lps is None:
        return f"not shown: the lesion's place in this exam is not known{why}"
    if not shown:
        return "not shown: the lesion's place is outside of this exam"
    if link.by == "centres":
        return f"laid by the lesion's centre alone, not turned: no registration leads here{why}"
    return "laid by the registration"
