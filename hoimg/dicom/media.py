"""DICOMDIR: the index of a disc, and the files it names, as far as they lie on that disc.

A DICOMDIR is an input from outside: a record may name ``../../etc/passwd``. Only names that stay
within the folder of the DICOMDIR, also after links were followed, become paths.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from hoimg.dicom.elements import DamagedFile

MAX_DICOMDIR = 64 * 2**20
"""Bytes of a DICOMDIR; one of 100,000 images has about 40 MB."""
MAX_NAME = 255
"""Characters of one component of a file name; the standard allows 8."""
MAX_COMPONENTS = 32
"""Folders above a file within the disc; the standard allows 8."""


@dataclass(frozen=True)
class Disc:
    """What a DICOMDIR leads to.

    Attributes:
        files: Files it names that exist within its folder, each once, in its order.
        missing: Number of names without a file.
        refused: Number of names that lead out of the folder or are no file names.
    """

    files: tuple[Path, ...]
    missing: int = 0
    refused: int = 0


def read_dicomdir(path: Path) -> Disc:
    """The files that a DICOMDIR refers to.

    Raises:
        DamagedFile: when its records cannot be read.
        OSError: when it cannot be opened.
    """
    from pydicom import dcmread

    with path.open("rb") as stream:
        content = stream.read(MAX_DICOMDIR + 1)
    if len(content) > MAX_DICOMDIR:
        raise DamagedFile("larger than 64 MB")
    names: list[tuple[str, ...]] = []
    try:
        dataset = dcmread(BytesIO(content), specific_tags=["DirectoryRecordSequence"])
        for record in dataset.get("DirectoryRecordSequence") or ():
            value = record.get("ReferencedFileID")
            if value:
                names.append((value,) if isinstance(value, str) else tuple(map(str, value)))
    except Exception as error:  # a parser fed with garbage may raise anything
        raise DamagedFile(type(error).__name__) from error
    root = Path(os.path.realpath(path.parent))
    files: dict[Path, None] = {}
    missing = refused = 0
    listings: dict[Path, dict[str, str]] = {}
    for name in names:
        if not _is_safe(name):
            refused += 1
            continue
        file = _find(root, name, listings)
        if file is None:
            missing += 1
        elif not Path(os.path.realpath(file)).is_relative_to(root):
            refused += 1
        else:
            files[file] = None
    return Disc(tuple(files), missing, refused)


def _is_safe(name: tuple[str, ...]) -> bool:
    """Whether each component is a plain name of one file or folder."""
    return 0 < len(name) <= MAX_COMPONENTS and all(
        0 < len(part) <= MAX_NAME
        and part not in (".", "..")
        and part.isprintable()
        and not any(c in part for c in "/\\:")
        for part in name
    )


def _find(root: Path, name: tuple[str, ...], listings: dict[Path, dict[str, str]]) -> Path | None:
    """The file of that name; discs that were copied often changed case or gained ``;1``."""
    place = root
    for part in name:
        if place not in listings:
            try:
                found = sorted(entry.name for entry in place.iterdir())
            except OSError:
                return None
            folded = {entry.split(";")[0].casefold(): entry for entry in reversed(found)}
            listings[place] = folded | {entry: entry for entry in found}
        entries = listings[place]
        entry = entries.get(part) or entries.get(part.split(";")[0].casefold())
        if entry is None:
            return None
        place = place / entry
    return place if place.is_file() else None
