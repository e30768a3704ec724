"""``validation.json`` and ``validation.html``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hoimg.validate.pictures import Scene, choose
from hoimg.validate.score import FOUND_DICE
from hoimg.validate.types import Estimate, FalseLesion, LesionScore, Validation

JSON_NAME = "validation.json"
PAGE_NAME = "validation.html"

_GUIDANCE = {
    "none": "without any help",
    "seed": "with one seed in each true lesion",
    "skeleton": "with the skeleton that the cases name",
}


def write_validation(validation: Validation, scenes: Sequence[Scene], output: Path) -> Path:
    """Write both files into a folder (made if needed).

    Returns:
        Path of the page.
    """
    output.mkdir(parents=True, exist_ok=True)
    text = validation.model_dump_json(indent=1)
    (output / JSON_NAME).write_text(text + "\n", encoding="utf-8")
    page = output / PAGE_NAME
    page.write_text(page_html(validation, scenes), encoding="utf-8")
    return page


def page_html(validation: Validation, scenes: Sequence[Scene]) -> str:
    """The page: one self-contained document that runs no script; every text is escaped."""
    from jinja2 import Environment, PackageLoader, PrefixLoader, StrictUndefined

    loader = PrefixLoader(
        {
            "validate": PackageLoader("hoimg.validate", "templates"),
            "report": PackageLoader("hoimg.report", "templates"),
        }
    )
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("validate/validation.html.j2").render(
        context(validation, scenes)
    )


def context(validation: Validation, scenes: Sequence[Scene]) -> dict[str, Any]:
    """What the template is given."""
    labels = sorted({given for row in validation.confusion.values() for given in row})
    return {
        "v": validation,
        "guidance": _GUIDANCE.get(validation.guidance, validation.guidance),
        "headline": headline(validation),
        "groups": [
            {
                "name": group.name,
                "cells": [
                    f"{group.found} of {group.lesions}",
                    span(group.sensitivity, 2),
                    span(group.dice, 2),
                    number(group.dice_p10, 2),
                    span(group.surface_mean_mm, 2),
                    span(group.surface_p95_mm, 1),
                    span(group.volume_error_pct, 0),
                    span(group.volume_bias_pct, 0, sign=True),
                    f"{group.split} / {group.merged}",
                ],
            }
            for group in validation.groups
        ],
        "false_groups": [
            {
                "name": group.name,
                "cells": [
                    str(group.scans),
                    str(group.false_lesions),
                    span(group.per_scan, 2),
                    number(None if group.largest_mm3 is None else group.largest_mm3 / 1000, 2),
                ],
            }
            for group in validation.false_groups
        ],
        "labels": labels,
        "confusion": [
            {"truth": truth, "counts": [row.get(given, 0) for given in labels]}
            for truth, row in validation.confusion.items()
        ],
        "failed": validation.failed,
        "skipped": sum(case.skipped is not None for case in validation.cases),
        "scenes": [{"scene": scene, "words": scene_words(scene)} for scene in choose(scenes)],
        "found_dice": FOUND_DICE,
    }


def headline(validation: Validation) -> str:
    """The result in one line."""
    whole = next((group for group in validation.groups if group.name == "all"), None)
    scans = len(validation.exams)
    count = sum(len(exam.false_lesions) for exam in validation.exams)
    false = f"{count} false {'lesion' if count == 1 else 'lesions'}"
    where = f"in {scans} {'scan' if scans == 1 else 'scans'}"
    if whole is None:
        return f"No true lesion; {false} {where}"
    return f"{whole.found} of {whole.lesions} lesions found, {false} {where}"


def scene_words(scene: Scene) -> str:
    """What is wrong in a scene, in words."""
    one = scene.lesion
    size = f"{scene.volume_mm3 / 1000:.2f} mL"
    if isinstance(one, FalseLesion):
        return f"false lesion of {size}"
    parts = [f"lesion {one.lesion}", size]
    if one.where is not None:
        parts.append(one.where)
    if one.stage is not None:
        parts.append(f"stage {one.stage:.2f}")
    words = ", ".join(parts)
    return f"{words}: {_fate(one)}"


def _fate(one: LesionScore) -> str:
    if not one.found:
        near = "" if one.called is None else f" (best overlap has Dice {one.dice:.2f})"
        why = "" if one.left_out is None else f", left out as {one.left_out.replace('_', ' ')}"
        return f"missed{near}{why}"
    error = "" if one.volume_error_pct is None else f", volume {one.volume_error_pct:+.0f} %"
    return f"Dice {one.dice:.2f}{error}"


def number(value: float | None, digits: int, sign: bool = False) -> str:
    """A number, or a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"


def span(value: Estimate, digits: int, sign: bool = False) -> str:
    """A number with its interval in brackets."""
    text = number(value.value, digits, sign)
    if value.low is None or value.high is None:
        return text
    return f"{text} ({number(value.low, digits, sign)} to {number(value.high, digits, sign)})"
