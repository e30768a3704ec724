"""What jobs of SLURM ask for. ``benchmarks/archive/slurm.py`` runs a batch on a real SLURM."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from hoimg.archive.slurm import slurm_cluster
from hoimg.cli.main import run
from hoimg.errors import HoimgError
from hoimg.settings import BatchSettings


def test_a_job_has_the_limits_of_a_patient_and_a_certificate(tmp_path):
    limits = BatchSettings(minutes=7.5, memory_gb=3.5)
    with slurm_cluster(0, limits, tmp_path / "slurm") as cluster:
        script = cluster.job_script()
        lines = script.splitlines()
        asked = {line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")}
        # 4.5 GB are 4.19 GiB, which SLURM calls G and takes whole; 12 x 7.5 minutes
        assert {"-J hoimg", "-n 1", "--cpus-per-task=1", "--mem=5G", "-t 01:30:00"} <= asked
        (command,) = (line for line in lines if "dask_worker" in line)
        assert "--nthreads 1" in command
        assert re.search(r"dask_worker tls://", command)
        for word in ("ca-file", "cert", "key"):
            found = re.search(rf"--tls-{word} (\S+)", command)
            assert found is not None
            assert Path(found[1]).parent == tmp_path / "slurm"
            assert Path(found[1]).stat().st_mode & 0o077 == 0


def test_without_dask_jobqueue_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask_jobqueue.slurm", None)
    with pytest.raises(HoimgError, match=r"pip install 'hoimg\[cluster\]'"):
        slurm_cluster(1, BatchSettings(), tmp_path)


@pytest.mark.parametrize(
    "words", [["--slurm"], ["--slurm", "--workers", "2", "--scheduler", "tcp://x:1"]]
)
def test_slurm_has_to_be_told_how_many_jobs_and_goes_with_no_other_cluster(tmp_path, words):
    (tmp_path / "in").mkdir()
    assert run(["-q", "batch", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *words]) == 2
