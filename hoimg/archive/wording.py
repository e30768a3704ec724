"""Messages of errors without the paths and names that they quote."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from hoimg.errors import HoimgError, InputRefused

_SHORT = 3
"""Parts of paths below this length are no names, and would be found in any text."""


def safe_message(error: HoimgError, paths: Iterable[Path]) -> str:
    """What an error says, without the paths of the input, which may name the patient.

    What an :class:`~hoimg.errors.InputRefused` may say in a report is taken where it has any. Of
    other messages the path at the beginning is left away; where a part of a path still stands in
    the rest, its code alone is told.

    Args:
        error: Of one patient.
        paths: The files and folders that were given.
    """
    code = error.code if isinstance(error, InputRefused) else "usage"
    if isinstance(error, InputRefused) and error.findings:
        return " ".join(f"{f.message} {f.fix or ''}".strip() for f in error.findings)
    text, known = str(error), sorted({str(p) for p in paths}, key=len, reverse=True)
    parts: set[str] = set()
    for path in known:
        text = text.replace(path, "input")
        parts.update(part for part in Path(path).parts if len(part) >= _SHORT)
    # "input and 3 more: the file is truncated" or "input: holds no DICOM images": what follows.
    _, colon, rest = text.partition(": ")
    said = rest if colon and text.startswith("input") else text
    if any(part in said for part in parts) or os.sep in said:
        return f"The input was refused ({code}); run hoimg report on it to see why."
    return said[:1].upper() + said[1:] + ("" if said.endswith(".") else ".")
