"""Zip archives: what may be an image is unpacked under numbered names, within bounds.

Nothing that an archive claims is believed. Names in it are never used, sizes are counted while
inflating, and only a member whose first bytes look like an image is written at all.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hoimg.dicom.volume_files import SUFFIXES
from hoimg.settings import IntakeSettings

_CHUNK = 2**20
_PEEK = 264
_RATIO_FLOOR = 16 * 2**20
"""Bytes up to which a member may shrink to nothing: a small empty image is no attack."""
_ENTRY = 46
"""Least bytes of one member in an archive's directory."""


class BadArchive(Exception):
    """An archive that cannot be read or goes beyond a bound.

    Args:
        code: Of the finding: ``archive_damaged``, ``archive_encrypted`` or ``archive_limits``.
        said: What was seen, without a name.
    """

    def __init__(self, code: str, said: str) -> None:
        super().__init__(said)
        self.code = code


@dataclass
class Budget:
    """Bytes that may still be written; shared by all archives of one scan."""

    left: int

    def spend(self, count: int) -> None:
        """Take bytes away.

        Raises:
            BadArchive: when none are left.
        """
        self.left -= count
        if self.left < 0:
            raise BadArchive("archive_limits", "An archive would inflate beyond the limit.")


@dataclass(frozen=True)
class Member:
    """One file that was unpacked.

    Attributes:
        path: Where it lies now.
        number: Its place in the archive, from 1.
    """

    path: Path
    number: int


def unpack(
    archive: Path, place: Callable[[str], Path], budget: Budget, settings: IntakeSettings
) -> tuple[list[Member], list[BadArchive], int]:
    """Unpack what may be DICOM, a volume file or another archive.

    Args:
        archive: The zip file.
        place: Gives an unused path for a suffix (``""``, ``.nii.gz`` ...).
        budget: Bytes that may be written.
        settings: Section ``intake``: the limits ``zip_*``.

    Returns:
        The members unpacked, what went wrong with others, and the number of members seen.

    Raises:
        BadArchive: when the archive as a whole cannot be used.
        OSError: when a file cannot be read or written.
    """
    try:
        if _directory_bytes(archive) > settings.zip_max_members * _ENTRY * 8:
            raise BadArchive("archive_limits", "An archive has an absurdly long directory.")
        with zipfile.ZipFile(archive) as opened:
            infos = [info for info in opened.infolist() if not info.filename.endswith("/")]
            if len(infos) > settings.zip_max_members:
                raise BadArchive(
                    "archive_limits",
                    f"An archive has {len(infos)} members; at most "
                    f"{settings.zip_max_members} are looked at.",
                )
            members: list[Member] = []
            failed: list[BadArchive] = []
            for number, info in enumerate(infos, 1):
                try:
                    path = _unpack_one(opened, info, place, budget, settings)
                except BadArchive as error:
                    failed.append(error)
                    if budget.left < 0:
                        break
                    continue
                if path is not None:
                    members.append(Member(path, number))
            return members, failed, len(infos)
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RecursionError) as error:
        raise BadArchive("archive_damaged", "A zip archive is damaged.") from error


def _unpack_one(
    opened: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    place: Callable[[str], Path],
    budget: Budget,
    settings: IntakeSettings,
) -> Path | None:
    """One member to a file; None when it is nothing for us."""
    if info.flag_bits & 0x1:
        raise BadArchive("archive_encrypted", "A zip archive is encrypted.")
    # bzip2 and LZMA members inflate without a bound on the piece; nobody packs DICOM so.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BadArchive("archive_damaged", "A zip archive uses an unusual compression.")
    try:
        with opened.open(info) as stream:
            head = stream.read(_PEEK)
            suffix = _suffix(info.filename)
            if not (suffix or _may_be_image(head)):
                return None
            target = place(suffix)
            try:
                _write(head, stream, target, info, budget, settings)
            except BaseException:
                target.unlink(missing_ok=True)
                raise
            return target
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        raise BadArchive("archive_damaged", "A member of a zip archive is damaged.") from error


def _write(
    head: bytes,
    stream: IO[bytes],
    target: Path,
    info: zipfile.ZipInfo,
    budget: Budget,
    settings: IntakeSettings,
) -> None:
    packed, total = max(info.compress_size, 1), 0
    with target.open("xb") as output:
        chunk = head
        while chunk:
            total += len(chunk)
            if total > _RATIO_FLOOR and total > settings.zip_max_ratio * packed:
                raise BadArchive(
                    "archive_limits",
                    f"A member of an archive inflates to more than {settings.zip_max_ratio:g} "
                    "times its size.",
                )
            budget.spend(len(chunk))
            output.write(chunk)
            chunk = stream.read(_CHUNK)


def _may_be_image(head: bytes) -> bool:
    return (
        head[128:132] == b"DICM"
        or (head[:2] in (b"\x08\x00", b"\x02\x00") and head[3:4] == b"\x00")
        or head[:4] in (b"PK\x03\x04", b"PK\x05\x06")
    )


def _suffix(name: str) -> str:
    """The ending that makes a volume file, from our own list; never text of the archive."""
    return next((s for s in SUFFIXES if name.lower().endswith(s)), "")


def _directory_bytes(archive: Path) -> int:
    """Length of the archive's directory as its end record states it.

    The reader keeps half a kilobyte for each entry, so its length is looked at first.
    """
    with archive.open("rb") as stream:
        stream.seek(0, 2)
        size = stream.tell()
        stream.seek(max(size - 65557 - 76, 0))
        tail = stream.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + 22 > len(tail):
        return 0  # the reader will say that it is damaged
    if tail[max(at - 20, 0) : at][:4] == b"PK\x06\x07" and at >= 76:
        # The reader looks for the zip64 end record right before its locator, and so do we.
        record = tail[at - 76 : at - 20]
        if record[:4] == b"PK\x06\x06":
            return int.from_bytes(record[40:48], "little")
    return int.from_bytes(tail[at + 12 : at + 16], "little")
