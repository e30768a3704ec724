"""Messages of errors without the paths and names that they quote."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from hoimg.errors import HoimgError, InputRefused

_NO_NAMES = frozenset({
    "archive", "copy", "ct", "data", "dicom", "exam", "exams", "export", "file", "files", "film",
    "films", "folder", "image", "images", "input", "of", "patient", "scan", "scans", "series",
    "slice", "slices", "study", "studies", "the", "volume", "zip",
})  # fmt: skip
"""What folders are called that says nothing of a person, and messages speak of."""


def safe_message(error: HoimgError, paths: Iterable[Path], own: Path | None = None) -> str:
    """What an error says, without the paths of the input, which may name the patient.

    What an :class:`~hoimg.errors.InputRefused` may say in a report is taken where it has any. Of
    its other messages the path at the beginning is left away; where a word of a path still stands
    in the rest, its code alone is told. Of any other error nothing is quoted: it may list
    PatientIDs.

    Args:
        error: Of one patient.
        paths: The files and folders that were given.
        own: A folder of ours with the input, whose name tells of nobody.
    """
    if not isinstance(error, InputRefused):
        return _untold("usage")
    if error.findings:
        return " ".join(f"{f.message} {f.fix or ''}".strip() for f in error.findings)
    text, known = str(error), sorted({str(p) for p in paths}, key=len, reverse=True)
    for path in (*known, *([] if own is None else [str(own)])):
        text = text.replace(path, "input")
    # "input and 3 more: the file is truncated" or "input: holds no DICOM images": what follows.
    _, colon, rest = text.partition(": ")
    said = rest if colon and text.startswith("input") else text
    names = {name for path in known for name in _names(Path(path))}
    if os.sep in said or names & set(_words(said)):
        return _untold(error.code)
    return said[:1].upper() + said[1:] + ("" if said.endswith(".") else ".")


def _untold(code: str) -> str:
    return f"The input was refused ({code}); run hoimg report on it to see why."


def _names(path: Path) -> Iterator[str]:
    """Words of a path that may name somebody, however short (Li, Ng); lower case."""
    for part in path.parts:
        yield from (word for word in _words(part) if word not in _NO_NAMES)


def _words(text: str) -> list[str]:
    """Words of two letters or more, and numbers of three digits or more (an ID)."""
    return re.findall(r"[^\W\d_]{2,}|\d{3,}", text.lower())
