"""What the template is given of the viewer and of the 3D view: their data, and words about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from hoimg.geometry import Box
from hoimg.report import words
from hoimg.report.hu_codes import steps_text
from hoimg.report.scene_3d import scene_3d
from hoimg.report.scripted import json_in_page
from hoimg.report.viewer_data import viewer_data
from hoimg.results import ExamImages, Links, Report

VIEWER_BUDGET = 5_200_000
SCENE_BUDGET = 700_000
PAGE_SIZE = 9_600_000
A_LESION, AN_EXCLUSION = 30_000, 600
"""Characters: of the viewer, of the 3D view, of the whole page, and of what it says in words of a
lesion and of something left out."""


def viewers(
    report: Report,
    images: Mapping[str, ExamImages],
    links: Mapping[str, Links],
    boxes: Mapping[str, Mapping[int, Box]],
    spent: int,
) -> dict[str, Any]:
    """``viewer`` and ``scene`` of the template; each None where there is nothing to show.

    Args:
        report: The numbers.
        images: CT exams by ``exam_id``.
        links: By tracking UID.
        boxes: Of each label of each exam.
        spent: Characters that still pictures take already.
    """
    scene = scene_3d(report, images, boxes, SCENE_BUDGET)
    scene_json = json_in_page(scene)
    said = A_LESION * len(report.lesions) + AN_EXCLUSION * len(report.excluded)
    left = min(VIEWER_BUDGET, PAGE_SIZE - spent - said - len(scene_json))
    found = viewer_data(report, images, links, boxes, left)
    viewer = None
    if found.content or found.left_out:
        low, high = (f"{step:.3g}" for step in found.step_mm)
        viewer = {
            "shown": found.shown,
            "left_out": words.join(found.left_out),
            "step": low if low == high else f"{low} to {high}",
            "hu": steps_text(),
            # Escaped by json_in_page for where it stands: inside of a script element.
            "json": Markup(json_in_page(found.content)) if found.content else "",
        }
    return {
        "viewer": viewer,
        "scene": None if scene is None else {**_scene_words(scene), "json": Markup(scene_json)},
    }


def _scene_words(scene: Mapping[str, Any]) -> dict[str, Any]:
    lesions = [part for part in scene["parts"] if part["kind"] == "lesion"]
    what = words.count(len(lesions), "lesion")
    return {
        "day": scene["day"],
        "lesions": lesions,
        "bone": scene["bone"],
        "metal": any(part["kind"] == "metal" for part in scene["parts"]),
        "missing": scene["missing"],
        "what": f"{what} and the skeleton" if scene["bone"] else what,
    }
