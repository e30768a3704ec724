"""A batch on the SLURM that is here, with a job cancelled, against a quiet run: the same results?

    SLURM_CONF=... python benchmarks/archive/slurm.py --jobs 2

Needs sbatch, squeue and scancel, ``hoimg[cluster]``, and a folder that all nodes see. One node on
one machine will do: munged, slurmctld and slurmd of Debian's slurm-wlm.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "archive")]

from archives import files, go, settings, tables, write_root  # noqa: E402

from hoimg.archive.census import census_of_root  # noqa: E402
from hoimg.archive.cluster import Where  # noqa: E402
from hoimg.archive.run import Progress, run_batch  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="seen by all nodes")
    given = parser.parse_args()
    paths = [str(ROOT), str(ROOT / "tests" / "archive")]
    os.environ |= {"PYTHONPATH": os.pathsep.join(paths), "HOIMG_TEST_SECONDS": "3"}
    cancelled: list[str] = []

    def watch(progress: Progress) -> None:
        if progress.ended >= 1 and not cancelled:
            listed = subprocess.run(
                ["squeue", "-h", "-o", "%i", "-t", "R", "-n", "hoimg"],
                capture_output=True, text=True, check=True,
            ).stdout.split()  # fmt: skip
            cancelled.extend(listed[:1])
            subprocess.run(["scancel", *listed[:1]], check=True)

    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        base = Path(name)
        kinds = ["good", "refused", "good", "crash", "good", "bug", "good", "good"]
        root = write_root(base / "root", *kinds)
        go(root, base / "quiet")
        begun = time.perf_counter()
        summary = run_batch(
            census_of_root(root, settings()), base / "out", settings(),
            where=Where(given.jobs, slurm=True), entry="odd_child", watch=watch,
        )  # fmt: skip
        seconds = time.perf_counter() - begun
        own = {k: v for k, v in files(base / "out").items() if not k.startswith("slurm/")}
        same = tables(base / "out") == tables(base / "quiet") and own == files(base / "quiet")
        jobs = len(list((base / "out" / "slurm").glob("*.err")))
        print(
            f"{summary.done} reports, {len(summary.failed)} failures, {jobs} jobs, cancelled "
            f"{cancelled}: {'the same' if same else 'DIFFERENT'} ({seconds:.0f} s)"
        )


if __name__ == "__main__":
    main()
