"""Where each lesion of a report lies: a point inside of it in every exam that shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from hoimg.errors import InputRefused, UsageError
from hoimg.geometry import Triple

if TYPE_CHECKING:
    from hoimg.report.saved import SavedReport
    from hoimg.results import Exam


@dataclass(frozen=True)
class Place:
    """A lesion in one exam.

    Attributes:
        exam_id: The exam.
        label: Value in its label map (on a film: of its region).
        point_lps_mm: The middle of a voxel inside, LPS mm; None on a film.
        point_px: X, Y of a pixel inside; None on a CT.
    """

    exam_id: str
    label: int
    point_lps_mm: Triple | None = None
    point_px: tuple[float, float] | None = None


@dataclass(frozen=True)
class Places:
    """Of every lesion of a report.

    Attributes:
        by_lesion: lesion_id to its places in date order; of what was redrawn or cannot be read
            there is none.
    """

    by_lesion: Mapping[str, tuple[Place, ...]] = field(default_factory=dict)

    def of(self, lesion_id: str) -> tuple[Place, ...]:
        """The places of a lesion; empty for one that the report does not have."""
        return self.by_lesion.get(lesion_id, ())


def places_of(saved: SavedReport) -> Places:
    """Find them in the report's label maps, as they are now."""
    inside: dict[tuple[str, int], Place] = {}
    for exam in saved.report.exams:
        if exam.labelmap is None:
            continue
        try:
            found = _on_ct(saved, exam) if exam.film is None else _on_film(saved, exam)
        except (InputRefused, UsageError):
            continue  # measuring again says why; here its lesions cannot be decided upon
        inside.update({(exam.exam_id, place.label): place for place in found})
    made: dict[str, tuple[Place, ...]] = {}
    for lesion in saved.report.lesions:
        keys = [(o.exam_id, o.label or o.region_label or 0) for o in lesion.observations]
        made[lesion.lesion_id] = tuple(inside[key] for key in keys if key in inside)
    return Places(made)


def _on_ct(saved: SavedReport, exam: Exam) -> list[Place]:
    from scipy.ndimage import find_objects

    from hoimg.segment.draft import middle_and_inside

    grid = saved.grid(exam.exam_id)
    labels = saved.lesions(exam.exam_id, grid).array
    found = []
    for label, box in enumerate(find_objects(labels), start=1):
        if box is not None:
            _, point = middle_and_inside(labels[box] == label, box, grid)
            x, y, z = (round(v, 2) + 0.0 for v in point)
            found.append(Place(exam.exam_id, label, point_lps_mm=(x, y, z)))
    return found


def _on_film(saved: SavedReport, exam: Exam) -> list[Place]:
    drawn, asked = saved.film_labels(exam.exam_id), saved.film_regions(exam.exam_id)
    found = []
    for label in sorted({*np.unique(drawn).tolist(), *np.unique(asked).tolist()} - {0}):
        # What others cover wholly has no pixel of its own in the map.
        own = np.argwhere(drawn == label)
        pixels = own if len(own) else np.argwhere(asked == label)
        away = ((pixels - pixels.mean(axis=0)) ** 2).sum(axis=1)
        y, x = pixels[int(np.argmin(away))].tolist()
        found.append(Place(exam.exam_id, int(label), point_px=(float(x), float(y))))
    return found
