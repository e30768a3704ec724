"""``measurements_long.csv``: one number a row, for R and pandas.

Spreadsheets of many columns (``lesions.csv``) suit people; statistics want one value a row with
its interval, its unit and, where it is missing, the reason.
"""

from __future__ import annotations

import csv
import io

from hoimg.report.files import csv_cell
from hoimg.report.reasons import missing_reason
from hoimg.results import Exam, Observation, Report

COLUMNS = (
    "patient_key", "exam_id", "modality", "days_from_baseline", "lesion_id", "tracking_uid",
    "quantity", "value", "lower", "upper", "unit", "reason",
)  # fmt: skip

UNITS: tuple[tuple[str, str], ...] = (
    ("_hu_mm3", "HU.mm3"), ("_mg_cm3", "mg/cm3"), ("_mm3", "mm3"), ("_mm2", "mm2"),
    ("_px2", "px2"), ("_mm", "mm"), ("_px", "px"), ("_mg", "mg"), ("_hu", "HU"),
)  # fmt: skip
"""Ending of a quantity's name to its unit; the first that fits. All others are ratios, unit 1."""

OF_FILMS = (
    "area_mm2", "area_px2", "length_mm", "length_px", "corticated_fraction", "edge_ratio",
    "density_index", "contrast_to_noise",
)  # fmt: skip
_NO_NUMBERS = frozenset(
    {"exam_id", "status", "label", "region_label", "rim_profiles", "centroid_lps_mm",
     "bone_contacts", "spacing_source", "flags"}
)  # fmt: skip
OF_CT = tuple(
    name
    for name in Observation.model_fields
    if name not in _NO_NUMBERS
    and "_ci95" not in name
    and name not in set(OF_FILMS) - {"edge_ratio"}
)
"""Quantities by their names in ``report.json``; a yes is 1, a no is 0."""
_INTERVAL_OF = {n.replace("_ci95", ""): n for n in Observation.model_fields if "_ci95" in n}
_STATUS_WORDS = {"absent": "absent at this exam", "not_measurable": "not measurable"}


def measurements_long_csv(report: Report) -> str:
    """A row for each quantity of each lesion at each exam that speaks of it.

    Args:
        report: The report.

    Returns:
        CSV with a header line. ``value``, ``lower`` and ``upper`` (95 % interval) are numbers or
        empty; an empty value has a ``reason``, and only an empty one.
    """
    exams = {exam.exam_id: exam for exam in report.exams}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for lesion in report.lesions:
        for seen in lesion.observations:
            exam = exams[seen.exam_id]
            start = (
                report.patient_key, exam.exam_id, exam.modality, exam.days_from_baseline,
                lesion.lesion_id, lesion.tracking_uid,
            )  # fmt: skip
            for cells in _numbers(seen, exam):
                writer.writerow([csv_cell(cell) for cell in (*start, *cells)])
    return text.getvalue()


def unit_of(quantity: str) -> str:
    """The unit that a quantity's name states."""
    return next((unit for ending, unit in UNITS if quantity.endswith(ending)), "1")


def _numbers(seen: Observation, exam: Exam) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for quantity in OF_CT if exam.film is None else OF_FILMS:
        value = getattr(seen, quantity)
        lower, upper = (
            getattr(seen, _INTERVAL_OF[quantity]) if quantity in _INTERVAL_OF else None
        ) or (None, None)
        reason = None if value is not None else _reason(quantity, seen)
        if isinstance(value, bool):
            value = int(value)
        rows.append((quantity, value, lower, upper, unit_of(quantity), reason))
    return rows


def _reason(quantity: str, seen: Observation) -> str:
    told = missing_reason(quantity, seen)
    if told == "see flags":
        told = "; ".join(seen.flags)
    return told or _STATUS_WORDS.get(seen.status) or "not measured"
