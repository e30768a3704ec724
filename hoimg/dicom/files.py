"""Paths to files: folders are walked, links to folders are not."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from hoimg.errors import UsageError


def list_files(paths: Iterable[Path]) -> list[Path]:
    """Every regular file under the paths, each once, sorted; links to folders are not followed.

    Raises:
        UsageError: when a path does not exist or cannot be listed.
    """
    found: dict[str, Path] = {}
    for path in paths:
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: no such file or folder") from error
        listed = _walk(path) if stat.S_ISDIR(mode) else iter([path])
        for file in listed:
            found.setdefault(str(file.absolute()), file)
    return [found[key] for key in sorted(found)]


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            file = Path(root) / name
            try:
                if stat.S_ISREG(file.stat().st_mode):
                    yield file
            except OSError:
                continue  # a dangling link
