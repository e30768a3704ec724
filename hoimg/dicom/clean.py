"""Raw header values made safe: texts, UIDs, dates, and the keyed hashes that stand for people."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import os
import re

_UID = re.compile(r"[0-9]+(\.[0-9]+)+")
_NAMELESS = re.compile(r"ANON|NO ?NAME|UNKNOWN|REMOVED|DE-?IDENT|PSEUDON", re.IGNORECASE)


def patient_key(identity: str) -> str:
    """Keyed hash (HMAC-SHA256, 12 hex digits) that stands for a patient in every output.

    The key comes from the environment variable ``HOIMG_PATIENT_KEY``. Without it a fixed key is
    used: results then repeat everywhere, but who knows a PatientID can recompute its hash.
    """
    return "p" + _keyed(identity)


def person_key(name: str, birth_date: str, sex: str) -> str:
    """Keyed hash of name, birth date and sex, to notice one person under two PatientIDs.

    Args:
        name: PatientName; case, spaces and empty components do not matter.
        birth_date: PatientBirthDate.
        sex: PatientSex.

    Returns:
        12 hex digits; empty where name or birth date is missing or a placeholder, because such
        people cannot be told apart.
    """
    parts = [" ".join(p.split()).casefold() for p in name.split("=")[0].split("^")]
    plain = "^".join(parts).rstrip("^")
    if not plain or parse_date(birth_date) is None or _NAMELESS.search(plain):
        return ""
    return _keyed(f"person:{plain}|{birth_date.strip()}|{sex.strip().upper()}")


def clean_uid(raw: str, seed: str) -> tuple[str, bool]:
    """A valid UID and whether it had to be made up.

    Args:
        raw: As in the file; kept when it is a valid UID of at most 64 characters.
        seed: Text that the replacement is derived from, so that equal files give equal UIDs.
    """
    if len(raw) <= 64 and _UID.fullmatch(raw):
        return raw, False
    digest = hashlib.sha256(f"{raw}\0{seed}".encode("utf-8", "replace")).digest()
    return f"2.25.{int.from_bytes(digest[:15], 'big')}", True


def clean_text(raw: str, length: int = 64) -> str:
    """Printable characters only, single spaces, at most ``length`` of them."""
    printable = "".join(c if c.isprintable() else " " for c in raw[: 16 * length])
    return " ".join(printable.split())[:length]


def parse_date(raw: str) -> datetime.date | None:
    """``YYYYMMDD`` (or the old ``YYYY.MM.DD``) as a date; None when it is none."""
    digits = raw.strip().replace(".", "")
    if len(digits) != 8 or not (digits.isascii() and digits.isdigit()):
        return None
    try:
        return datetime.date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None


def _keyed(text: str) -> str:
    secret = os.environ.get("HOIMG_PATIENT_KEY", "hoimg").encode()
    return hmac.new(secret, text.encode("utf-8", "replace"), "sha256").hexdigest()[:12]
