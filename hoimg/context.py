"""What a reader tells about a patient in a file: aetiology, laboratory values, bone scans.

It is put beside the results after every label is made, so that no label can depend on it. There is
no free text and no name in it, so that nothing of the patient's identity can get into a report.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hoimg.errors import UsageError
from hoimg.results import Context

LARGEST_BYTES = 1_000_000


def read_context(path: Path, baseline: date | None) -> Context:
    """Read a context file.

    JSON: ``{"aetiology": "spinal_cord_injury", "laboratory": [{"name": "alkaline_phosphatase",
    "value": 310, "unit": "U/L", "upper_limit": 129, "date": "2024-03-01"}], "bone_scans":
    [{"day": -20, "uptake": "increased"}]}``. Each entry has a ``date``, or a ``day`` from the
    first exam. The words that may stand there are those of :class:`hoimg.results.Context`.

    Args:
        path: The file.
        baseline: Date of the first exam; None when unknown, and then only ``day`` is understood.

    Returns:
        Days instead of dates, entries in order of day.

    Raises:
        UsageError: when the file cannot be read, is no such JSON, or names something unknown; the
            message names the place, never the content.
    """
    import json

    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise UsageError(f"{path}: is too large for a context file")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: context cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: is no JSON file of a context") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: is no context: a JSON object is needed")
    try:
        for name in ("laboratory", "bone_scans"):
            entries = content.get(name, [])
            if isinstance(entries, list):
                content[name] = [
                    _dated(e, baseline, f"{path}: {name}.{k}") for k, e in enumerate(entries)
                ]
        found = Context.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{path}: context '{where}': {first['msg']}") from error
    return found.model_copy(
        update={
            "laboratory": sorted(found.laboratory, key=lambda lab: (lab.day, lab.name)),
            "bone_scans": sorted(found.bone_scans, key=lambda scan: scan.day),
        }
    )


def _dated(entry: Any, baseline: date | None, where: str) -> Any:
    """The entry with a day instead of a date."""
    if not isinstance(entry, dict) or "date" not in entry:
        return entry
    if "day" in entry:
        raise UsageError(f"{where}: give a date or a day, not both")
    if baseline is None:
        raise UsageError(f"{where}: the first exam has no date; give a day from it instead")
    try:
        when = date.fromisoformat(entry["date"])
    except (TypeError, ValueError) as error:
        raise UsageError(f"{where}: give the date as YYYY-MM-DD") from error
    return {**{k: v for k, v in entry.items() if k != "date"}, "day": (when - baseline).days}
