"""How numbers and codes are put into words for a reader; no number is made here."""

from __future__ import annotations

import math

NOT_MEASURED = "not measured"
NOT_RATED = "not rated"

LABELS = {
    "mature": "Mature on imaging",
    "immature": "Immature on imaging",
    "indeterminate": "Indeterminate",
}

CATEGORIES = {
    "new": "new",
    "enlarging": "enlarging",
    "no_detectable_change": "no detectable change",
    "shrinking": "shrinking",
    "resolved": "no longer seen",
    "merged": "merged",
    "split": "split",
}

CATEGORY_SIGNS = {
    "new": "+",
    "enlarging": "▲",
    "no_detectable_change": "=",
    "shrinking": "▼",
    "resolved": "○",
    "merged": "⋈",
    "split": "⋈",
}

STATUSES = {"measured": "measured", "not_measurable": "not measurable", "absent": "not seen"}

RESULTS = {
    "pass": ("✓", "pass"),
    "fail": ("✗", "fail"),
    "intermediate": ("~", "between"),
    "unrated": ("–", "not rated"),
}

LEVELS = {"error": ("✗", "Error"), "warning": ("▲", "Warning"), "info": ("○", "Note")}

EXCLUSIONS = {
    "native_bone": "Native bone",
    "vascular": "Vascular calcification",
    "stone_or_bowel": "Stone or bowel content",
    "metal": "Metal or cement",
    "contrast": "Contrast agent",
    "too_small": "Too small to judge",
    "outside_body": "Outside the body",
    "scan_end": "At the end of the scan",
    "soft_tissue": "Soft tissue",
    "unassessed": "Could not be assessed",
    "excluded_by_reader": "Left out by the reader",
}

LEDERMANN = {
    2: "calcification",
    3: "immature ossification",
    4: "mature ossification",
}


def plain(code: str) -> str:
    """A snake_case code as plain words, for codes that no list knows."""
    return code.replace("_", " ").strip()


def number(value: float | None, digits: int = 3) -> str:
    """A number with this many significant digits, without an exponent; ``not measured`` for none.

    Whole digits are never rounded away (1234.5 with three digits is "1 234", the space a narrow
    one), and the minus is the typographic one.
    """
    if value is None or not math.isfinite(value):
        return NOT_MEASURED
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{abs(value):,.{min(decimals, 6)}f}".replace(",", "\u202f")
    return ("−" if value < 0 and float(text.replace("\u202f", "")) else "") + text


def whole(value: float | None) -> str:
    """A signed whole number; ``not measured`` for none."""
    if value is None or not math.isfinite(value):
        return NOT_MEASURED
    rounded = round(value)
    sign = "+" if rounded > 0 else "−" if rounded < 0 else ""
    return f"{sign}{abs(rounded):,}".replace(",", "\u202f")


def signed(value: float | None, digits: int = 3) -> str:
    """A signed number with this many significant digits; ``not measured`` for none."""
    text = number(value, digits)
    return f"+{text}" if value is not None and value > 0 and text != NOT_MEASURED else text


def percent(value: float | None) -> str:
    """A signed whole percentage; ``not measured`` for none."""
    text = whole(value)
    return text if text == NOT_MEASURED else f"{text} %"


def with_interval(value: float | None, ci95: tuple[float, float] | None, digits: int = 3) -> str:
    """``312 (290 to 335)``; the value alone without an interval; ``not measured`` for none."""
    if value is None or ci95 is None:
        return number(value, digits)
    low, high = (number(v, digits) for v in ci95)
    return f"{number(value, digits)} ({low} to {high})"


def cm3(value_mm3: float | None) -> float | None:
    """Cubic millimetres (or HU mm3) to cubic centimetres (HU cm3)."""
    return None if value_mm3 is None else value_mm3 / 1000.0


def count(amount: int, one: str, many: str | None = None) -> str:
    """``1 lesion``, ``2 lesions``."""
    return f"{amount} {one if amount == 1 else many or one + 's'}"


def join(parts: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
