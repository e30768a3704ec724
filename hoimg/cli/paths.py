"""The paths that a command is given; ``-`` stands for a list of them on standard input."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from hoimg.errors import UsageError

MAX_LIST = 256 * 2**20
"""Characters of a list on standard input; a million long paths."""


def named_paths(paths: Sequence[Path], stream: TextIO | None = None) -> list[Path]:
    """The paths, with ``-`` replaced by those on standard input.

    One path a line, as ``find`` prints them; NUL between them (``find -print0``) lets names hold
    line breaks. A file that is called ``-`` is named ``./-``.

    Args:
        paths: As given on the command line.
        stream: Standard input by default.

    Raises:
        UsageError: ``-`` twice, or a list without a path.
    """
    dashes = sum(str(path) == "-" for path in paths)
    if not dashes:
        return list(paths)
    if dashes > 1:
        raise UsageError("-: standard input can be read once only")
    text = (stream or sys.stdin).read(MAX_LIST + 1)
    if len(text) > MAX_LIST:
        raise UsageError("-: the list of paths on standard input is too long; name a folder")
    lines = text.split("\0") if "\0" in text else text.splitlines()
    listed = [Path(line) for line in lines if line.strip()]
    if not listed:
        raise UsageError("-: no paths on standard input; give one a line")
    return [p for path in paths for p in (listed if str(path) == "-" else [path])]
