"""Dates and times of one patient, all moved alike (PS3.15 E.3.6, modified dates).

Days between any two dates stay. The clock is turned by one offset within the day and never moves
a date, since days between exams are what follow-up is counted in; two times of a day keep their
distance unless midnight comes between them.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
"""Microseconds."""
PLACEHOLDERS = frozenset({"19000101", "00010101", "18000101", "18991230", "11111111", "99991231"})
"""Dates that programs write for *unknown*. Moved, they would tell the shift, so they stay."""
FIRST_YEAR, LAST_YEAR = 1950, 2200
"""Of other dates; what lies outside is a placeholder too, perhaps, and is emptied."""

_DATE = re.compile(r"(\d{4})[.-]?(\d{2})[.-]?(\d{2})")
_TIME = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(?:\.(\d{1,6})\d*)?)?)?")
_DATETIME = re.compile(
    r"(\d{4})(\d{2})?(\d{2})?(\d{2}(?:\d{2}(?:\d{2}(?:\.\d{1,6})?)?)?)?([+-]\d{4})?"
)


@dataclass(frozen=True)
class Shift:
    """How far one patient's dates and times move.

    Attributes:
        days: Added to every date.
        clock_us: Added to every time of day, microseconds, modulo a day.
    """

    days: int
    clock_us: int

    def date(self, text: str) -> str:
        """A DA value moved; empty when it is no date. Placeholders stay as they are."""
        match = _DATE.fullmatch(text.strip(" \0"))
        if match is None:
            return ""
        plain = "".join(match.groups())
        return plain if plain in PLACEHOLDERS else self._moved(plain)

    def time(self, text: str) -> str:
        """A TM value moved, as precise as it was; empty when it is no time.

        Midnight, which is written for *unknown*, stays: moved, it would tell the offset.
        """
        match = _TIME.fullmatch(text.strip(" \0"))
        if match is None:
            return ""
        hour, minute, second, fraction = match.groups()
        if int(hour) > 23 or int(minute or 0) > 59 or int(second or 0) > 60:
            return ""
        if not any(int(part or 0) for part in match.groups()):
            return "".join(part for part in (hour, minute, second) if part)
        then = (int(hour) * 60 + int(minute or 0)) * 60 + int(second or 0)
        micro = then * 1_000_000 + int((fraction or "0").ljust(6, "0"))
        seconds, micro = divmod((micro + self.clock_us) % DAY_US, 1_000_000)
        minutes, s = divmod(seconds, 60)
        moved = f"{minutes // 60:02d}"
        if minute is not None:
            moved += f"{minutes % 60:02d}"
        if second is not None:
            moved += f"{s:02d}"
        if fraction is not None:
            moved += f".{micro:06d}"[: len(fraction) + 1]
        return moved

    def datetime(self, text: str) -> str:
        """A DT value moved, as precise as it was, without its time zone; empty when it is none."""
        match = _DATETIME.fullmatch(text.strip(" \0"))
        if match is None:
            return ""
        year, month, day, clock, _zone = match.groups()
        known = len(year + (month or "") + (day or ""))
        plain = year + (month or "01") + (day or "01")
        date = plain if plain in PLACEHOLDERS else self._moved(plain)
        if not date:
            return ""
        if clock is None:
            return date[:known]
        time = self.time(clock)
        return date + time if time and known == 8 else ""

    def _moved(self, plain: str) -> str:
        try:
            day = datetime.date(int(plain[:4]), int(plain[4:6]), int(plain[6:]))
        except ValueError:
            return ""
        if not FIRST_YEAR <= day.year <= LAST_YEAR:
            return ""
        return (day + datetime.timedelta(days=self.days)).strftime("%Y%m%d")
