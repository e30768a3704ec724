"""The JSON file beside a NIfTI file (``scan.json`` for ``scan.nii.gz``), as dcm2niix writes it.

Names are those of dcm2niix and BIDS. Nothing in it is trusted: texts are cleaned, numbers that
are none become None, and only the named fields are looked at.
"""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hoimg.dicom.clean import clean_text, parse_date

MAX_BYTES = 2**20
"""A sidecar has a few thousand bytes."""
_LINE = re.compile(r'^\s*"(\w{1,64})"\s*:\s*(.+?),?\s*$')


def sidecar_path(path: Path) -> Path:
    """Where the sidecar of a volume file lies."""
    name = path.name
    for suffix in (".nii.gz", ".nii", ".nrrd", ".nhdr"):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    return path.with_name(f"{name}.json")


def read_sidecar(path: Path) -> tuple[dict[str, Any], bool] | None:
    """Fields of the sidecar of a volume file, and whether all of it could be read.

    dcm2niix has written files that are no valid JSON (a kernel name that ends in a backslash);
    their lines are then read one by one, and those that make no sense are left out.

    Returns:
        None when there is no sidecar.
    """
    file = sidecar_path(path)
    try:
        if not file.is_file() or file.stat().st_size > MAX_BYTES:
            return None
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return _by_lines(text), False
    return (content, True) if isinstance(content, dict) else ({}, False)


def _by_lines(text: str) -> dict[str, Any]:
    fields = {}
    for line in text.splitlines():
        if match := _LINE.match(line):
            try:
                fields[match[1]] = json.loads(match[2])
            except (ValueError, RecursionError):
                continue  # the line that broke the file
    return fields


def text_of(fields: Mapping[str, Any], *names: str) -> str:
    """The first of the named fields that holds a text or number, cleaned; else empty."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return clean_text(str(value))
    return ""


def number_of(fields: Mapping[str, Any], *names: str) -> float | None:
    """The first of the named fields that is a positive number."""
    for name in names:
        try:
            value = float(str(fields.get(name)))
        except ValueError:
            continue
        if math.isfinite(value) and value > 0:
            return value
    return None


def texts_of(fields: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A list of texts (``ImageType``)."""
    value = fields.get(name)
    items = value if isinstance(value, list) else [value]
    return tuple(clean_text(v, 32).upper() for v in items[:32] if isinstance(v, str))


def date_of(fields: Mapping[str, Any]) -> datetime.date | None:
    """Date of the study, else of the acquisition."""
    names = (
        *("StudyDate", "AcquisitionDate", "AcquisitionDateTime", "SeriesDate", "ContentDate"),
        "StudyDateTime",
    )
    for name in names:
        raw = text_of(fields, name)[:10].replace("-", "")
        if (day := parse_date(raw[:8])) is not None:
            return day
    return None


def time_of(fields: Mapping[str, Any]) -> str:
    """Six digits of the study's time; may be empty."""
    raw = text_of(fields, "StudyTime") or text_of(fields, "AcquisitionDateTime").partition("T")[2]
    return re.sub(r"[^0-9]", "", (raw or text_of(fields, "AcquisitionTime")).split(".")[0])[:6]
