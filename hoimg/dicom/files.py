"""Paths to files: folders are walked, links to folders are not, each file counts once."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hoimg.errors import UsageError


@dataclass(frozen=True)
class Listing:
    """What lies under some paths.

    Attributes:
        files: Regular files, each once by its real path, sorted.
        named: Those of them that were named themselves rather than found in a folder.
        closed_folders: Number of folders that could not be listed (no permission, path too long).
    """

    files: tuple[Path, ...]
    named: frozenset[Path] = frozenset()
    closed_folders: int = 0


def list_files(paths: Iterable[Path]) -> Listing:
    """Every regular file under the paths.

    A link to a file stands for that file, which counts once however many links lead to it; the
    path that is no link is the one reported. Links to folders are followed only when they are
    named themselves, so that loops and links out of the tree lead nowhere. Pipes, sockets and
    devices are never opened. No folder is too deep, as nothing recurs.

    Raises:
        UsageError: when a path does not exist or is neither file nor folder.
    """
    found: dict[str, tuple[bool, Path]] = {}
    named: set[Path] = set()
    closed = 0
    for path in paths:
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: no such file or folder") from error
        if stat.S_ISDIR(mode):
            walk = _Walk(str(path))
            for file, real in walk:
                known = found.get(real)
                link = file != real and os.path.islink(file)  # noqa: PTH114 - a plain string
                if known is None or (known[0] and not link):
                    found[real] = (link, Path(file))
            closed += walk.closed
        elif stat.S_ISREG(mode):
            named.add(path)
            found[os.path.realpath(path)] = (False, path)
        else:
            raise UsageError(f"{path}: neither a file nor a folder; give files or folders")
    files = sorted((path for _, path in found.values()), key=lambda p: str(p.absolute()))
    return Listing(tuple(files), frozenset(named), closed)


class _Walk:
    """The regular files under one folder, as (path, real path); counts folders that stay shut."""

    def __init__(self, root: str) -> None:
        self._open = [(root, os.path.realpath(root))]
        self.closed = 0

    def __iter__(self) -> Iterator[tuple[str, str]]:
        while self._open:
            folder, real = self._open.pop()
            try:
                with os.scandir(folder) as entries:
                    yield from self._files(list(entries), real)
            except OSError:
                self.closed += 1

    def _files(self, entries: list[os.DirEntry[str]], real: str) -> Iterator[tuple[str, str]]:
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    self._open.append((entry.path, os.path.join(real, entry.name)))  # noqa: PTH118
                elif entry.is_file(follow_symlinks=False):
                    yield entry.path, os.path.join(real, entry.name)  # noqa: PTH118
                elif entry.is_symlink() and entry.is_file():
                    yield entry.path, os.path.realpath(entry.path)
            except OSError:
                continue  # a dangling or looping link
