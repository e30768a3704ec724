"""The worst results of a validation in pictures: truth and result outlined over the slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask
from hoimg.report.pictures import Picture, draw, extent_mm, find_lesions, inner_voxel, side_for
from hoimg.report.planes import PLANES
from hoimg.results import ExamImages
from hoimg.validate.types import ExamScore, FalseLesion, LesionScore

WORST = 10
"""Scenes on the page."""

PER_EXAM = 4
"""Scenes drawn of one exam, so that one bad exam does not hide the others."""

GOOD_DICE = 0.95
"""A lesion at or above this Dice is not drawn."""


@dataclass(frozen=True)
class Shot:
    """One plane: the picture with the truth, and the results' outlines over it.

    Attributes:
        picture: Slice; its ``outline`` is the truth in question, ``others`` other truths.
        result: SVG path of all called lesions, mm.
    """

    picture: Picture
    result: str


@dataclass(frozen=True)
class Scene:
    """A missed, false or badly outlined lesion.

    Attributes:
        case: Name of the case.
        exam: Index of the exam.
        kind: ``missed``, ``false`` or ``outline``.
        badness: 1 for missed and false, else 1 - Dice.
        volume_mm3: Of the truth, or of the false lesion.
        lesion: The scored lesion, or the false one.
        shots: Axial, coronal, sagittal.
    """

    case: str
    exam: int
    kind: str
    badness: float
    volume_mm3: float
    lesion: LesionScore | FalseLesion
    shots: tuple[Shot, ...]


def scenes_of(
    volume: CTVolume, truth: Mask, called: Mask, score: ExamScore, labels: dict[str, int]
) -> list[Scene]:
    """Draw what is worst in one exam.

    Args:
        volume: The exam.
        truth: True lesions on the exam's grid.
        called: Called lesions on the exam's grid.
        score: The exam's score.
        labels: True label by lesion.
    """
    empty = Mask(np.zeros((1, 1, 1), np.uint16), _point_grid(volume))
    drawn = ExamImages("", volume, truth, empty)
    result = ExamImages("", volume, called, empty)
    boxes = (find_lesions(drawn), find_lesions(result))
    made: list[Scene] = []
    for kind, badness, size, item in _worst(score)[:PER_EXAM]:
        if isinstance(item, LesionScore):
            label, source, which = labels[item.lesion], truth, 0
        else:
            label, source, which = item.called, called, 1
        box = boxes[which][label]
        centre = inner_voxel(source.array, box, label)
        side = side_for(extent_mm(box, volume.grid.spacing_zyx_mm))
        shots = []
        for name in PLANES:
            truth_label = label if which == 0 else None
            picture = draw(drawn, name, centre, side, label=truth_label, encoding="jpeg")
            over = draw(result, name, centre, side, label=None, size="small", encoding="jpeg")
            shots.append(Shot(picture, over.others))
        made.append(Scene(score.case, score.exam, kind, badness, size, item, tuple(shots)))
    return made


def choose(scenes: Sequence[Scene], count: int = WORST) -> list[Scene]:
    """The worst scenes of all exams: worst first, the larger one of equals; kinds take turns.

    Without turns, a program that calls much would show nothing but false lesions.
    """
    kinds = [sorted((s for s in scenes if s.kind == k), key=_order) for k in _KINDS]
    chosen: list[Scene] = []
    while len(chosen) < count and any(kinds):
        chosen += [kind.pop(0) for kind in kinds if kind]
    return sorted(chosen[:count], key=_order)


_KINDS = ("missed", "false", "outline")


def _order(scene: Scene) -> tuple[float, float, str, int]:
    return (-scene.badness, -scene.volume_mm3, scene.case, scene.exam)


def _worst(score: ExamScore) -> list[tuple[str, float, float, LesionScore | FalseLesion]]:
    made: list[tuple[str, float, float, LesionScore | FalseLesion]] = []
    for one in score.lesions:
        if not one.found:
            made.append(("missed", 1.0, one.truth_mm3, one))
        elif one.dice < GOOD_DICE:
            made.append(("outline", 1.0 - one.dice, one.truth_mm3, one))
    made += [("false", 1.0, one.volume_mm3, one) for one in score.false_lesions]
    return sorted(made, key=lambda item: (-item[1], -item[2]))


def _point_grid(volume: CTVolume) -> Grid:
    return volume.grid.crop((slice(0, 1), slice(0, 1), slice(0, 1)))
