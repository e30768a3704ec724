"""The tables of ``hoimg info``: a row a series, each finding's words once however often it came."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from hoimg.cli.films import film_table
from hoimg.cli.info import chosen_of, studies_of

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.table import Table

    from hoimg.dicom import Inventory, Patient, SeriesInfo
    from hoimg.results import Finding

WIDTH = 140
"""Columns where standard output is no terminal."""
_LEVELS = ("error", "warning", "info")

Chosen = Mapping[int, tuple[str, int, str]]


def print_tables(inventory: Inventory, patients: Mapping[str, Patient]) -> None:
    """A table per patient with the reasons of the choice and the findings, then the files'."""
    from rich.console import Console as RichConsole

    width = None if sys.stdout.isatty() else WIDTH
    out = RichConsole(file=sys.stdout, width=width, highlight=False, emoji=False, markup=False)
    chosen = chosen_of(dict(patients))
    for key in inventory.patient_keys:
        studies = studies_of(inventory, key)
        out.print(_table(key, studies, chosen))
        if (films := film_table(studies)) is not None:
            out.print(films)
        for series in (s for members in studies.values() for s in members):
            if id(series) in chosen:
                exam_id, _, reason = chosen[id(series)]
                if not series.films:
                    out.print(f"{exam_id}: {reason}")
        for exam in patients[key].radiographs if key in patients else ():
            assert exam.film is not None
            more = len(exam.film.left_out)
            twins = f"; stands for {more} more image(s) of the same exposure" if more else ""
            out.print(f"{exam.exam_id}: {exam.film.summary}{twins}")
        notes = patients[key].findings if key in patients else ()
        notes = notes or inventory.patient_findings.get(key, ())
        own = [f for members in studies.values() for s in members for f in s.findings]
        known = {id(f) for f in own} | {id(f) for f in inventory.findings}
        _print_findings(out, [*own, *(f for f in notes if id(f) not in known)])
        out.print()
    _print_findings(out, inventory.findings)


def _print_findings(out: RichConsole, findings: Iterable[Finding]) -> None:
    """Each code once, the gravest first, with the first message and what to do."""
    ordered = sorted(findings, key=lambda f: (_LEVELS.index(f.level), f.code))
    for _, same in groupby(ordered, key=lambda f: (f.level, f.code)):
        notes = list(same)
        first = notes[0]
        times = f" ({len(notes)} times; the first:)" if len(notes) > 1 else ""
        out.print(f"{first.level}: [{first.code}]{times} {first.message} {first.fix or ''}")


def _table(key: str, studies: Mapping[str, list[SeriesInfo]], chosen: Chosen) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"Patient {key}", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("study", "use", "type", "images", "slice mm", "step mm", "kernel", "kV"):
        table.add_column(name, no_wrap=name != "type")
    table.add_column("series", max_width=32)
    table.add_column("findings", ratio=1)
    for number, members in enumerate(studies.values(), 1):
        for rows in _rows(members):
            series = rows[0]
            exam = chosen.get(id(series))
            # Text, not markup: a header may hold anything, square brackets included.
            cells = [str(number), *_cells(rows, exam)]
            table.add_row(*(Text(cell) for cell in cells), style="bold" if exam else None)
    return table


def _rows(members: Sequence[SeriesInfo]) -> Iterator[list[SeriesInfo]]:
    """The series of a study; what is no volume shares a row with its like at the end."""
    rest: dict[tuple[str, str, tuple[str, ...]], list[SeriesInfo]] = {}
    for series in members:
        if series.kind == "volume":
            yield [series]
        else:
            like = (series.modality, series.kind, tuple(f.code for f in series.findings))
            rest.setdefault(like, []).append(series)
    yield from rest.values()


def _cells(rows: Sequence[SeriesInfo], exam: tuple[str, int, str] | None) -> list[str]:
    series = rows[0]
    use = f"day {exam[1]}" if exam else "could be" if series.usable else "no"
    made = series.acquisition
    step = None if made.spacing_zyx_mm is None else made.spacing_zyx_mm[0]
    kind = series.modality if series.kind == "volume" else f"{series.modality} {series.kind}"
    name = series.description if len(rows) == 1 else f"{len(rows)} series"
    codes = [f.code for f in sorted(series.findings, key=lambda f: _LEVELS.index(f.level))]
    return [
        use,
        kind.replace("_", " "),
        str(sum(len(s.files) for s in rows)),
        _number(made.slice_thickness_mm),
        _number(step),
        made.kernel or "-",
        _number(made.kvp),
        name or "-",
        ", ".join(codes) or "-",
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
