"""The table of numbers of one lesion: which rows it has, and each cell as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hoimg.report import words
from hoimg.report.reasons import missing_reason
from hoimg.results import Exam, Observation


@dataclass(frozen=True)
class Row:
    """One row of the numbers table.

    Attributes:
        title: Name with unit.
        fields: The observation's fields behind it; the first one decides whether it is missing.
        text: Makes the cell.
        optional: Left out when no exam has a value.
    """

    title: str
    fields: tuple[str, ...]
    text: Callable[[Observation], str]
    optional: bool = False


def volume_text(seen: Observation) -> str:
    """``4.19 (3.98 to 4.40)`` in cm3; ``not measured`` for none."""
    if seen.volume_mm3 is None:
        return words.NOT_MEASURED
    text = words.number(words.cm3(seen.volume_mm3))
    if seen.volume_ci95_mm3 is None:
        return f"{text} (interval {words.NOT_MEASURED})"
    low, high = (words.number(words.cm3(v)) for v in seen.volume_ci95_mm3)
    return f"{text} ({low} to {high})"


def _plain(field: str, digits: int = 3, scale: float = 1.0) -> Callable[[Observation], str]:
    def text(seen: Observation) -> str:
        return words.number(getattr(seen, field) * scale, digits)

    return text


def _mean(seen: Observation) -> str:
    spread = "" if seen.sd_hu is None else f" (SD {words.number(seen.sd_hu)})"
    return words.number(seen.mean_hu) + spread


def _milligrams(material: str) -> Callable[[Observation], str]:
    """``62.1 (51.9 to 72.3)``, and that it was estimated where no phantom stands behind it."""

    def text(seen: Observation) -> str:
        mass = getattr(seen, f"mineral_mass{material}_mg")
        value = words.with_interval(mass, getattr(seen, f"mineral_mass{material}_ci95_mg"))
        return value + (", phantomless" if "calibration_phantomless" in seen.flags else "")

    return text


def _yes_no(field: str) -> Callable[[Observation], str]:
    return lambda seen: "yes" if getattr(seen, field) else "no"


def _contact(seen: Observation) -> str:
    """``1.20``, with the places where there are several: ``1.20 (0.80 + 0.40)``."""
    assert seen.bone_contact_area_mm2 is not None
    text = words.number(seen.bone_contact_area_mm2 * 1e-2)
    if len(seen.bone_contacts) < 2:
        return text
    return f"{text} ({' + '.join(words.number(c.area_mm2 * 1e-2) for c in seen.bone_contacts)})"


def _interval(name: str, unit: str, digits: int = 3) -> Callable[[Observation], str]:
    def text(seen: Observation) -> str:
        ci95 = getattr(seen, f"{name}_ci95{unit}")
        return words.with_interval(getattr(seen, name + unit), ci95, digits)

    return text


ROWS: tuple[Row, ...] = (
    Row("Volume, cm³ (95 % interval)", ("volume_mm3",), volume_text),
    Row("Volume above the fixed threshold, cm³", ("threshold_volume_mm3",),
        _plain("threshold_volume_mm3", scale=1e-3)),
    Row("Mineral mass, HU·cm³", ("mineral_mass_hu_mm3",),
        _plain("mineral_mass_hu_mm3", scale=1e-3)),
    Row("Mineral mass, mg hydroxyapatite (95 % interval)", ("mineral_mass_mg",),
        _milligrams(""), True),
    Row("Mineral mass, mg K2HPO4 (95 % interval)", ("mineral_mass_k2hpo4_mg",),
        _milligrams("_k2hpo4"), True),
    Row("Density: mean of mineral, mg hydroxyapatite per cm³", ("mean_mg_cm3",),
        _plain("mean_mg_cm3"), True),
    Row("Density: mean of mineral, HU", ("mean_hu",), _mean),
    Row("Density: mean ÷ own cortex", ("mean_over_cortex",), _plain("mean_over_cortex", 2), True),
    Row("Density: median, HU", ("median_hu",), _plain("median_hu")),
    Row("Density: 95th percentile, HU", ("p95_hu",), _plain("p95_hu")),
    Row("Local background, HU", ("background_hu",), _plain("background_hu")),
    Row("Rim: cortex-like part of the surface", ("rim_fraction",), _plain("rim_fraction", 2)),
    Row("Margin: edge width ÷ own cortex", ("edge_ratio",), _plain("edge_ratio")),
    Row("Zone: shell minus core, HU", ("zone_contrast_hu",), _plain("zone_contrast_hu")),
    Row("Core: marrow-like part", ("core_marrow_fraction",), _plain("core_marrow_fraction", 2)),
    Row("Longest diameter, mm", ("max_diameter_mm",), _plain("max_diameter_mm")),
    Row("Surface, cm²", ("surface_area_mm2",), _plain("surface_area_mm2", scale=1e-2)),
    Row("Sphericity", ("sphericity",), _plain("sphericity", 2)),
    Row("Distance to native bone, mm", ("distance_to_bone_mm",), _plain("distance_to_bone_mm")),
    Row("Touches native bone", ("touches_bone",), _yes_no("touches_bone")),
    Row("Lies on native bone, cm²", ("bone_contact_area_mm2",), _contact),
    Row("Bridges two bones", ("bridges_bones",), _yes_no("bridges_bones"), True),
    Row("Cleft to bone: part of the facing surface", ("cleft_fraction",),
        _plain("cleft_fraction", 2), True),
    Row("Cleft to bone: width, mm", ("cleft_width_mm",), _plain("cleft_width_mm", 2), True),
    Row("Gap to a second bone, mm", ("gap_to_second_bone_mm",),
        _plain("gap_to_second_bone_mm"), True),
    Row("Cut by the field of view", ("touches_fov",), _yes_no("touches_fov")),
    Row("Distance to metal, mm", ("distance_to_metal_mm",), _plain("distance_to_metal_mm"), True),
)  # fmt: skip
FILM_ROWS: tuple[Row, ...] = (
    Row("Projected area, mm² (95 % interval)", ("area_mm2",), _interval("area", "_mm2")),
    Row("Projected area, px² (95 % interval)", ("area_px2",), _interval("area", "_px2")),
    Row("Longest dimension, mm (95 % interval)", ("length_mm",), _interval("length", "_mm")),
    Row("Longest dimension, px", ("length_px",), _plain("length_px")),
    Row("Corticated part of the outline", ("corticated_fraction",),
        _interval("corticated_fraction", "", 2)),
    Row("Margin: edge width ÷ cortex on the same film", ("edge_ratio",),
        _interval("edge_ratio", "", 2)),
    Row("Density index, ordinal, this film only", ("density_index",),
        _interval("density_index", "", 2)),
    Row("Contrast ÷ unevenness around it", ("contrast_to_noise",), _plain("contrast_to_noise", 2)),
)  # fmt: skip
"""Rows of a film. What only a CT gives (volume, HU, mass) has none: a null with its reason stands
in report.json."""


def number_rows(
    observations: Sequence[Observation], exams: Mapping[str, Exam]
) -> Iterator[dict[str, Any]]:
    """The rows of a lesion's table: numbers of CT, then of films.

    A cell of the other kind of exam is a dash.

    Args:
        observations: Of the lesion, a column each.
        exams: By ``exam_id``.
    """
    kinds = [exams[o.exam_id].film is not None for o in observations]
    for rows, of_film in ((ROWS, False), (FILM_ROWS, True)):
        if of_film not in kinds:
            continue
        for row in rows:
            values = [getattr(seen, row.fields[0]) for seen in observations]
            if row.optional and all(value is None for value in values):
                continue
            yield {
                "title": row.title,
                "cells": [
                    {"text": "–", "why": ""}
                    if kind is not of_film
                    else {"text": row.text(seen), "why": ""}
                    if value is not None
                    else {"text": _absent(seen), "why": missing_reason(row.fields[0], seen)}
                    for seen, value, kind in zip(observations, values, kinds, strict=True)
                ],
            }


def _absent(seen: Observation) -> str:
    return words.STATUSES["absent"] if seen.status == "absent" else words.NOT_MEASURED
