"""Workers as jobs of a SLURM cluster, through dask-jobqueue (the extra ``cluster``)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hoimg.errors import HoimgError
from hoimg.settings import BatchSettings

if TYPE_CHECKING:
    from dask_jobqueue.slurm import SLURMCluster

WORKER_GB = 1.0
"""Memory of the worker itself, beside that of the patient's processes."""
PATIENTS_A_JOB = 12
"""A job may take as long as so many patients at their limit; SLURM then gives the next one."""


def slurm_cluster(jobs: int, limits: BatchSettings, shared: Path) -> SLURMCluster:
    """A Dask scheduler in this process, and jobs with one worker each.

    Memory and time of a job follow from the limits of a patient. Partition, account, interface and
    what else a site asks for stand in Dask's own configuration (``jobqueue.slurm`` in
    ``~/.config/dask/jobqueue.yaml``); its ``job-extra-directives`` come last, and so may set
    another time. What is sent is encrypted with a certificate that is made for the run.

    Args:
        jobs: How many are asked for; one that ends is asked for again.
        limits: Of a patient.
        shared: A folder that all machines see: for the certificate and the jobs' output.

    Raises:
        HoimgError: dask-jobqueue is not installed, or there is no SLURM.
    """
    try:
        from dask_jobqueue.slurm import SLURMCluster
    except ImportError as error:
        raise HoimgError(
            "--slurm: needs the package dask-jobqueue; pip install 'hoimg[cluster]'"
        ) from error
    shared.mkdir(parents=True, exist_ok=True)
    minutes = round(PATIENTS_A_JOB * limits.minutes)
    cluster = SLURMCluster(
        cores=1,
        processes=1,
        memory=f"{limits.memory_gb + WORKER_GB:g} GB",
        walltime=f"{minutes // 60:02d}:{minutes % 60:02d}:00",
        job_name="hoimg",
        log_directory=str(shared),
        security=True,
        shared_temp_directory=str(shared),
        # Its page would be open to everyone in the network.
        scheduler_options={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        worker_extra_args=["--no-dashboard"],
    )
    cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs)
    return cluster
