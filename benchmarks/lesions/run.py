#!/usr/bin/env python3
"""Score hoimg on a made set: ``run.py FOLDER -o OUT`` runs ``hoimg validate`` three ways.

Without help, with one seed in each lesion, and with a model's skeleton; then writes ``table.md``, a
row for each goal of the project, ready for ``docs/validation.md``. A run that is there already is
not done again; remove its folder for that.
"""

from __future__ import annotations

import argparse
import datetime as dt
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hoimg.validate import (
    LesionScore,
    Options,
    Validation,
    find_cases,
    select,
    summarize,
    validate_cases,
    write_validation,
)
from hoimg.validate.summary import false_score
from hoimg.validate.types import Estimate
from hoimg.validate.writer import span

ROOT = Path(__file__).resolve().parents[2]
RUNS = ("none", "seed", "skeleton")
TRUNK = ("pelvis", "abdomen", "chest", "arms", "small")
PLAIN = ("pelvis", "abdomen", "bilateral", "small")
LIMBS = ("thigh", "elbow")
LOOSE = ("free", "near")
END = float("inf")
LATE, EARLY = (0.5, 1.01), (0.0, 0.5)


@dataclass(frozen=True)
class Row:
    """One number of the table.

    Attributes:
        words: What it is.
        run: Which of :data:`RUNS` it comes from.
        must: The least that is asked; None: shown only.
        goal: What is aimed at.
        measure: Gives the number and how many lesions or scans it stands for.
        upper: Whether ``must`` and ``goal`` are upper limits (of the absolute value).
        digits: Digits behind the point.
    """

    words: str
    run: str
    must: float | None
    goal: float | None
    measure: Callable[[Validation], tuple[Estimate, str]]
    upper: bool = False
    digits: int = 2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what make.py has written")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--only", choices=RUNS, action="append")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    found: dict[str, Validation] = {}
    for run in args.only or RUNS:
        file = args.output / run / "validation.json"
        if not file.exists():
            _run(args.folder, args.output / run, run, args.jobs)
        found[run] = Validation.model_validate_json(file.read_text(encoding="utf-8"))
    text = table(found, args.folder.name)
    (args.output / "table.md").write_text(text, encoding="utf-8")
    print(text)
    return 4 if any(v.failed for v in found.values()) else 0


def _run(folder: Path, output: Path, guidance: str, jobs: int) -> None:
    folders = find_cases(folder)
    say = lambda name: print(f"{guidance}: {name}", file=sys.stderr, flush=True)  # noqa: E731
    validation, scenes = validate_cases(folders, Options(guidance, jobs=jobs), on_step=say)
    write_validation(validation, scenes, output)


def table(found: dict[str, Validation], name: str) -> str:
    """The Markdown table of all rows whose run is there."""
    lines = [
        f"Set *{name}*, {dt.date.today().isoformat()}, commit {commit()}. Brackets: 95 % interval.",
        "",
        "| | measured | of | must | goal | |",
        "|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        if row.run not in found:
            continue
        value, count = row.measure(found[row.run])
        limits = [_limit(row, limit) for limit in (row.must, row.goal)]
        measured = span(value, row.digits, sign=row.words.endswith("bias, %"))
        lines.append(
            f"| {row.words} | {measured} | {count} | {limits[0]} | {limits[1]} | "
            f"{verdict(row, value.value)} |"
        )
    failed = [
        f"{run}: {case.case} ({case.failed})" for run, v in found.items() for case in v.failed
    ]
    lines += ["", f"Failed cases: {'; '.join(failed) or 'none'}.", ""]
    return "\n".join(lines)


def verdict(row: Row, value: float | None) -> str:
    """``goal``, ``must``, ``below`` or nothing."""
    if row.must is None or row.goal is None:
        return ""
    if value is None:
        return "no data"
    if row.upper:
        size = abs(value)
        return "goal" if size <= row.goal else "must" if size <= row.must else "**below**"
    return "goal" if value >= row.goal else "must" if value >= row.must else "**below**"


def commit() -> str:
    """Short hash of the checkout, with a word when it holds changes beyond it."""

    def git(*words: str) -> str:
        made = subprocess.run(
            ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False
        )
        return made.stdout.strip()

    changed = " with uncommitted changes" if git("status", "--porcelain", "hoimg") else ""
    return (git("rev-parse", "--short", "HEAD") or "unknown") + changed


def _limit(row: Row, limit: float | None) -> str:
    if limit is None:
        return ""
    return f"{'≤' if row.upper else '≥'} {limit:g}"


def _lesions(validation: Validation) -> list[LesionScore]:
    return [one for exam in validation.exams for one in exam.lesions]


def group(
    field: str,
    *,
    where: Sequence[str] | None = None,
    ml: tuple[float, float] | None = None,
    stage: tuple[float, float] | None = None,
    families: Sequence[str] | None = None,
) -> Callable[[Validation], tuple[Estimate, str]]:
    """A measure of one field of a group of lesions."""

    def measure(validation: Validation) -> tuple[Estimate, str]:
        chosen = select(_lesions(validation), where=where, ml=ml, stage=stage, families=families)
        made = summarize("", chosen)
        count = made.lesions if field == "sensitivity" else made.found
        return getattr(made, field), f"{count} lesions"

    return measure


def false(families: Sequence[str]) -> Callable[[Validation], tuple[Estimate, str]]:
    """False lesions a scan in some families."""

    def measure(validation: Validation) -> tuple[Estimate, str]:
        exams = [exam for exam in validation.exams if exam.family in families]
        made = false_score("", exams)
        return made.per_scan, f"{made.scans} scans"

    return measure


BIG = {"where": LOOSE, "ml": (0.5, END), "families": TRUNK}
JOINED = {"where": ["attached"], "ml": (1.0, END), "families": TRUNK}
ROWS = (
    Row("free or near, ≥ 0.5 mL: sensitivity", "none", 0.93, 0.98, group("sensitivity", **BIG)),
    Row("their Dice, stage ≥ 0.5", "none", 0.93, 0.96, group("dice", stage=LATE, **BIG)),
    Row("their Dice, stage < 0.5", "none", 0.82, 0.88, group("dice", stage=EARLY, **BIG)),
    Row(
        "their volume error, stage ≥ 0.5, %", "none", 6, 3,
        group("volume_error_pct", stage=LATE, **BIG), True, 1,
    ),
    Row(
        "their volume error, stage < 0.5, %", "none", 18, 10,
        group("volume_error_pct", stage=EARLY, **BIG), True, 1,
    ),
    Row(
        "stage ≥ 0.5: bias, %", "none", 5, 2, group("volume_bias_pct", stage=LATE, **BIG), True, 1
    ),
    Row(
        "stage < 0.5: bias, %", "none", 5, 2, group("volume_bias_pct", stage=EARLY, **BIG), True, 1
    ),
    Row("attached, ≥ 1 mL: sensitivity", "none", 0.88, 0.95, group("sensitivity", **JOINED)),
    Row("their Dice", "none", 0.80, 0.88, group("dice", **JOINED)),
    Row("their volume error, %", "none", None, None, group("volume_error_pct", **JOINED), True, 1),
    Row(
        "0.2-0.5 mL, free: sensitivity", "none", 0.75, 0.90,
        group("sensitivity", where=["free"], ml=(0.0, 0.5), families=TRUNK),
    ),
    Row(
        "with a skeleton, attached: sensitivity", "skeleton", 0.95, 0.98,
        group("sensitivity", where=["attached"]),
    ),
    Row("their Dice", "skeleton", 0.85, 0.90, group("dice", where=["attached"])),
    Row("with one seed: found", "seed", 1.0, 1.0, group("sensitivity")),
    Row(
        "free or near, stage ≥ 0.5: Dice", "seed", 0.95, 0.97,
        group("dice", where=LOOSE, stage=LATE),
    ),
    Row(
        "attached, stage ≥ 0.5: Dice", "seed", 0.88, 0.92,
        group("dice", where=["attached"], stage=LATE),
    ),
    Row("stage < 0.5: Dice", "seed", 0.80, 0.88, group("dice", stage=EARLY)),
    Row("false a scan, without contrast", "none", 0.7, 0.3, false(PLAIN), True),
    Row("false a scan, chest with contrast", "none", 2, 0.7, false(("chest",)), True),
    Row("false a scan, arms with contrast", "none", None, None, false(("arms",)), True),
    Row(
        "one-sided limb: sensitivity", "none", 0.88, 0.95,
        group("sensitivity", families=LIMBS),
    ),
    Row("one-sided limb: false a scan", "none", 0.5, 0.2, false(LIMBS), True),
    Row("one-sided limb: Dice", "none", None, None, group("dice", families=LIMBS)),
    Row(
        "bilateral: sensitivity", "none", 0.85, 0.95,
        group("sensitivity", families=("bilateral",)),
    ),
)  # fmt: skip
"""The rows in order; limits on a bias hold for its absolute value."""


if __name__ == "__main__":
    raise SystemExit(main())
