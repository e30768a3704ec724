"""The secret, and what is made of it: pseudonyms, UIDs and each patient's shift of dates.

All are HMAC-SHA256 of the original value under the secret, so that nothing has to be remembered:
the same secret gives the same output in every run, on every machine, and another secret gives
another one. Who holds the secret can test a guess; nobody can compute back.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
import uuid
from dataclasses import dataclass
from pathlib import Path

from hoimg.deidentify.dates import DAY_US, HOUR_US, Shift
from hoimg.errors import UsageError

VARIABLE = "HOIMG_PATIENT_KEY"
"""Environment variable of the secret; the one that stands behind patient keys in reports."""
MIN_KEY = 16
"""Characters of a secret; a shorter one can be found by trying, and with it every patient."""
MIN_DAYS, MAX_DAYS = 365, 3650
"""Dates move back by so many days: never into the future, never within the same year."""
MIN_CLOCK_US, MAX_CLOCK_US = 60_000_000, 3 * HOUR_US
"""Times of day move by so much, forward or back: exams by day do not reach midnight."""


@dataclass(frozen=True)
class Key:
    """A secret and where it came from, in words for the user."""

    secret: bytes
    origin: str


def key_file(output: Path) -> Path:
    """Where the secret of an output folder is kept: beside it, never within it."""
    output = Path(os.path.abspath(output))  # noqa: PTH100 - a link must not be followed
    return output.with_name(output.name + ".key")


def read_key(output: Path) -> Key:
    """The secret: of the environment, else of the file beside the output folder, else a new one.

    A new secret is written to that file, which only its owner can read (mode 600).

    Args:
        output: The output folder.

    Raises:
        UsageError: a secret that is too short, or a file that others can read.
        OSError: when the file cannot be read or written.
    """
    given = os.environ.get(VARIABLE)
    if given is not None:
        return Key(_long_enough(given.encode(), VARIABLE), f"the secret of {VARIABLE}")
    path = key_file(output)
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return _new_key(path)
    with os.fdopen(handle, "rb") as stream:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode) or (os.name == "posix" and mode & 0o077):
            raise UsageError(f"{path}: others can read this key; make it yours with chmod 600")
        secret = stream.read(4096).strip()
    return Key(_long_enough(secret, str(path)), f"the secret in {path}")


def _new_key(path: Path) -> Key:
    text = secrets.token_hex(32)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as stream:
        stream.write(text + "\n")
    return Key(text.encode(), f"a new secret, kept in {path}")


def _long_enough(secret: bytes, where: str) -> bytes:
    if len(secret) < MIN_KEY:
        raise UsageError(
            f"{where}: a key of at least {MIN_KEY} characters is needed; "
            "python -c 'import secrets; print(secrets.token_hex())' makes one"
        )
    return secret


class Pseudonyms:
    """What stands for a patient, a UID and a date under one secret.

    Args:
        secret: The secret, any bytes.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def patient(self, identity: str) -> str:
        """PatientID and name of a patient: ``p`` and 16 hexadecimal digits.

        Args:
            identity: As of :func:`hoimg.dicom.people.identity`.
        """
        return "p" + self._digest("patient", identity).hex()[:16]

    def name(self, kind: str, text: str) -> str:
        """Name of a folder or file: 16 hexadecimal digits."""
        return self._digest("name " + kind, text).hex()[:16]

    def uid(self, uid: str) -> str:
        """The UID that stands for this one: a UUID (version 5 layout) under ``2.25``."""
        return f"2.25.{uuid.UUID(bytes=self._digest('uid', uid)[:16], version=5).int}"

    def shift(self, identity: str) -> Shift:
        """How far this patient's dates and times move."""
        digest = self._digest("shift", identity)
        days = MIN_DAYS + int.from_bytes(digest[:8], "big") % (MAX_DAYS - MIN_DAYS + 1)
        span = MAX_CLOCK_US - MIN_CLOCK_US + 1
        clock = MIN_CLOCK_US + int.from_bytes(digest[8:16], "big") % span
        return Shift(-days, clock if digest[16] & 1 else DAY_US - clock)

    def _digest(self, what: str, text: str) -> bytes:
        message = f"hoimg deidentify {what}\0{text}".encode("utf-8", "replace")
        return hmac.new(self._secret, message, "sha256").digest()
