"""A whole ``hoimg report`` of one exam against the script that people write today.

    python benchmarks/whole.py exam    --data FOLDER [--runs 5] [-o docs/scaling.md]
    python benchmarks/whole.py slices  --data FOLDER [--runs 3] [-o docs/scaling.md]
    python benchmarks/whole.py lesions --data FOLDER [--runs 3] [-o docs/scaling.md]

``exam``: 512 x 512 x 400 voxels, same files, in turns, medians: at most 5 times the time and 1.0
times the memory of ``naive.py``. ``slices`` and ``lesions``: cost of a report against their number;
drawn into ``docs/images/scaling-*.svg``. Whole processes from starting Python to their end. On a
machine that others use, too, compare processor time: it is given beside the wall clock.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from processes import Cost, apart, cost_of, median
from tables import renew
from trunk import make_series, muscle_places

ROOT = Path(__file__).resolve().parents[1]
NAIVE, HOIMG = ROOT / "benchmarks" / "naive.py", ROOT / "cli.py"
MOST_TIMES, MOST_MEMORY = 5.0, 1.0
SLICES = (100, 200, 400, 800, 1600)
LESIONS = (1, 10, 50, 100, 200)
PLANTED_MM, APART_MM = 10.0, 22.0
"""Diameter of a planted ball, and least distance between two."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("exam", "slices", "lesions"))
    parser.add_argument("--data", type=Path, required=True, help="with example_ct.nii.gz")
    parser.add_argument("--runs", type=int)
    parser.add_argument("-o", "--output", type=Path, help="page whose table is renewed")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        make = {"exam": exam, "slices": by_slices, "lesions": by_lesions}[args.what]
        table, good = make(
            args.data / "example_ct.nii.gz", Path(name), args.runs or (5 if make is exam else 3)
        )
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    text = f"{dt.date.today()}, commit {commit}, {os.cpu_count()} cores\n\n{table}\n"
    print(text)
    if args.output:
        renew(args.output, table)
    return 0 if good else 1


def exam(source: Path, room: Path, runs: int) -> tuple[str, bool]:
    """The one exam, by both, in turns."""
    places = apart(muscle_places, source, 4)
    apart(
        make_series, source, room / "scans", bodies=list(zip(places, (14, 18, 12, 16), strict=True))
    )
    naive, hoimg = [], []
    for _ in range(runs):
        naive.append(_naive(room))
        hoimg.append(_report(room))
    a, b = median(naive), median(hoimg)
    ratio = [b.wall_s / a.wall_s, b.cpu_s / a.cpu_s, b.peak_bytes / a.peak_bytes]
    table = "\n".join(
        [
            "| one exam | wall, s | processor, s | peak, GB |",
            "|---|---|---|---|",
            f"| `naive.py` | {_cells(a)} |",
            f"| `hoimg report` | {_cells(b)} |",
            f"| times | {ratio[0]:.1f} | {ratio[1]:.1f} | {ratio[2]:.2f} |",
        ]
    )
    return table, ratio[0] <= MOST_TIMES and ratio[2] <= MOST_MEMORY


def by_slices(source: Path, room: Path, runs: int) -> tuple[str, bool]:
    """The trunk, shorter or longer."""
    rows = []
    for count in SLICES:
        folder = room / str(count)
        apart(make_series, source, folder / "scans", slices=count)
        rows.append((count, *_both(folder, runs)))
    return _table("slices", rows), True


def by_lesions(source: Path, room: Path, runs: int) -> tuple[str, bool]:
    """The trunk of 400 slices with more and more balls."""
    places = apart(muscle_places, source, max(LESIONS), APART_MM)
    rows = []
    for count in LESIONS:
        folder = room / str(count)
        apart(
            make_series, source, folder / "scans", bodies=[(p, PLANTED_MM) for p in places[:count]]
        )
        rows.append((count, *_both(folder, runs)))
    return _table("lesions", rows), True


def _both(folder: Path, runs: int) -> tuple[Cost, Cost]:
    return (
        median([_naive(folder) for _ in range(runs)]),
        median([_report(folder) for _ in range(runs)]),
    )


def _naive(folder: Path) -> Cost:
    out = folder / "naive.nii.gz"
    return cost_of([sys.executable, str(NAIVE), str(folder / "scans"), str(out)])


def _report(folder: Path) -> Cost:
    with tempfile.TemporaryDirectory(dir=folder) as out:
        scans = str(folder / "scans")
        return cost_of([sys.executable, str(HOIMG), "-q", "report", scans, "-o", f"{out}/report"])


def _cells(cost: Cost) -> str:
    return f"{cost.wall_s:.1f} | {cost.cpu_s:.1f} | {cost.peak_bytes / 1e9:.2f}"


def _table(what: str, rows: Sequence[tuple[int, Cost, Cost]]) -> str:
    _draw(what, rows)
    head = [
        f"| {what} | `hoimg report`: wall, s | processor, s | peak, GB "
        "| `naive.py`: processor, s |",
        "|---|---|---|---|---|",
    ]
    body = [f"| {n} | {_cells(hoimg)} | {naive.cpu_s:.1f} |" for n, naive, hoimg in rows]
    return "\n".join([*head, *body])


def _draw(what: str, rows: Sequence[tuple[int, Cost, Cost]]) -> None:
    """Processor time over the number, both axes from zero, as SVG."""
    wide, high, left, foot = 560, 260, 56, 40
    most_x, most_y = rows[-1][0], max(hoimg.cpu_s for _, _, hoimg in rows)

    def at(x: float, y: float) -> str:
        return f"{left + (wide - left - 16) * x / most_x:.1f},{high - foot - 200 * y / most_y:.1f}"

    lines = []
    for colour, which in (("#16324a", 2), ("#a83c00", 1)):
        points = [at(row[0], row[which].cpu_s) for row in rows]
        lines.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="2" '
            f'points="{" ".join(points)}"/>'
        )
        lines += [
            f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>'
            for x, y in (p.split(",") for p in points)
        ]
    ticks = "".join(
        f'<text x="{at(n, 0).split(",")[0]}" y="{high - 22}" text-anchor="middle">{n}</text>'
        for n, _, _ in rows
    )
    text = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" role="img" '
        f'font-family="sans-serif" font-size="12"><title>Processor time against {what}</title>'
        f'<rect width="{wide}" height="{high}" fill="#fff"/>'
        f'<path d="M{left} 20V{high - foot}H{wide - 16}" stroke="#888" fill="none"/>{ticks}'
        f'<text x="{left - 6}" y="{high - foot - 196}" text-anchor="end">{most_y:.0f}</text>'
        f'<text x="{left - 6}" y="{high - foot}" text-anchor="end">0</text>'
        f'<text x="{left + 6}" y="16">processor seconds: hoimg report (blue), naive.py (brown)'
        f'</text><text x="{wide / 2}" y="{high - 5}" text-anchor="middle">{what}</text>'
        f"{''.join(lines)}</svg>"
    )
    (ROOT / "docs" / "images" / f"scaling-{what}.svg").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
