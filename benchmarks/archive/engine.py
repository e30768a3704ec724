"""What an archive costs beside the analysis: headers and plan of many patients, and the engine.

    python benchmarks/archive/engine.py plan --patients 10000 --slices 3     seconds, MB
    python benchmarks/archive/engine.py engine --patients 24 --workers 2     s a patient of no work

``plan`` writes the archive first, and measures the census and the plan in a process of its own.
``engine`` runs a whole batch whose patients have nothing to measure (each is refused by its
headers at once), so that the time is that of starting, watching and recording.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def write(root: Path, patients: int, slices: int) -> None:
    """Images without pixels to speak of: one is written with pydicom, the others are its bytes.

    At most 90 slices each, as their numbers have two digits; and 100,000 patients.
    """
    assert 0 < slices <= 90
    assert 1 < patients <= 100_000
    sys.path.insert(0, str(ROOT / "tests" / "archive"))
    from synthetic_archive_ct import write_one

    uids = {
        "StudyInstanceUID": "1.2.3.900000",
        "SeriesInstanceUID": "1.2.3.900000.1",
        "SOPInstanceUID": "1.2.3.900000.1.10",
    }
    path = write_one(root / "sample", "PATIENT-00000", **uids)
    sample = path.read_bytes()
    path.unlink()
    for patient in range(patients):
        folder = root / f"{patient % 100:02d}" / f"{patient:05d}"
        folder.mkdir(parents=True)
        own = sample.replace(b"PATIENT-00000", b"PATIENT-%05d" % patient)
        own = own.replace(b"3.900000", b"3.9%05d" % patient)
        for number in range(10, 10 + slices):
            (folder / str(number)).write_bytes(own.replace(b".1.10", b".1.%d" % number))


def plan(root: Path) -> None:
    """Measured: who is there, and what a first run would do."""
    from hoimg.archive.census import census_of_root
    from hoimg.archive.run import plan_only
    from hoimg.settings import Settings

    begun = time.perf_counter()
    census = census_of_root(root, Settings())
    steps = plan_only(census, root.with_name("out"), Settings()).steps
    seconds = time.perf_counter() - begun
    print(
        f"{census.files_seen} files, {len(steps)} patients: {seconds:.1f} s "
        f"({time.process_time():.1f} s of CPU), {peak_mb():.0f} MB"
    )


def peak_mb() -> float:
    """Most memory of this program; ``ru_maxrss`` would count that of who started it, too."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def engine(root: Path, workers: int) -> None:
    """Measured: a whole batch with nothing to analyse."""
    from hoimg.archive.census import census_of_root
    from hoimg.archive.cluster import Where
    from hoimg.archive.run import Progress, run_batch
    from hoimg.settings import Settings

    times: list[float] = []

    def watch(progress: Progress) -> None:
        if progress.ended > len(times):
            times.append(time.perf_counter())

    census = census_of_root(root, Settings())
    begun = time.perf_counter()
    summary = run_batch(
        census, root.with_name("out"), Settings(), where=Where(workers), watch=watch
    )
    print(
        f"{summary.total} patients, {workers} workers: {times[0] - begun:.1f} s to the first, then "
        f"{(times[-1] - times[0]) / (len(times) - 1):.2f} s a patient"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("plan", "engine"))
    parser.add_argument("--patients", type=int, default=1000, help="two or more")
    parser.add_argument("--slices", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.root is not None:
        plan(given.root)
        return
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "root"
        write(root, given.patients, given.slices)
        if given.what == "plan":
            words = [sys.executable, __file__, "plan", "--root", str(root)]
            subprocess.run(words, check=True)
        else:
            engine(root, given.workers)


if __name__ == "__main__":
    main()
