"""Time and memory of a whole ``hoimg report`` on three exams of 512 x 512 x 400 voxels.

    python benchmarks/report.py --data FOLDER [--repeats 3] [--folder CACHE]

The exams are one trunk (``trunk.py``) lying a little otherwise each time, with balls of mineral
planted in muscle, one of which grows. The command runs as a user runs it, in a process of its own:
reading, checks, segmentation, measurement, registration, tracks, labels, page, label maps and
DICOM objects. Memory is the highest of its processes.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from processes import apart, cost_of, median
from trunk import make_series, muscle_places

EXAMS = ((0, 0.0, (0.0, 0.0, 0.0)), (95, 3.0, (6.0, -4.0, 5.0)), (190, -2.0, (-5.0, 3.0, -8.0)))
"""Day, turn in degrees and shift in mm."""
DIAMETERS_MM = (14.0, 18.0, 12.0, 16.0)
GROWTH = 1.12
"""Of the first ball's diameter from exam to exam."""
MOST_SECONDS = 90.0
HOIMG = Path(__file__).resolve().parents[1] / "cli.py"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep the made exams here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        exams = args.folder or Path(temporary) / "exams"
        if not exams.exists():
            apart(make_exams, args.data / "example_ct.nii.gz", exams)
        costs = []
        for n in range(args.repeats):
            out = Path(temporary) / f"report{n}"
            costs.append(
                cost_of([sys.executable, str(HOIMG), "report", str(exams), "-o", str(out)])
            )
        report = json.loads((out / "report.json").read_text())
    cost = median(costs)
    print(
        f"{len(report['exams'])} exams, {len(report['lesions'])} lesions:"
        f" {cost.wall_s:.1f} s (at most {MOST_SECONDS:g}), {cost.peak_bytes / 1e9:.2f} GB;"
        f" registrations accepted: {[r['accepted'] for r in report['registrations']]}"
    )
    return 0 if cost.wall_s <= MOST_SECONDS else 1


def make_exams(source: Path, folder: Path) -> None:
    """Write the three exams, one folder each."""
    places = muscle_places(source, len(DIAMETERS_MM))
    for n, (day, turn, shift) in enumerate(EXAMS):
        sizes = [d * (GROWTH**n if k == 0 else 1.0) for k, d in enumerate(DIAMETERS_MM)]
        make_series(
            source,
            folder / f"exam{n}",
            day=dt.date(2026, 1, 1) + dt.timedelta(days=day),
            seed=n + 1,
            turn_deg=turn,
            shift_mm=shift,
            bodies=list(zip(places, sizes, strict=True)),
        )


if __name__ == "__main__":
    raise SystemExit(main())
