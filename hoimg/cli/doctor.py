"""``hoimg doctor``: whether this machine can read and analyse what a scanner writes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hoimg.cli.options import Certificates, OwnTitle
from hoimg.errors import HoimgError, UsageError

LIBRARIES = (
    "connected-components-3d", "cryptography", "dask", "distributed", "highdicom", "jinja2",
    "networkx", "nibabel", "numpy", "pillow", "psutil", "pyarrow", "pydantic", "pydicom",
    "pyjpegls", "pylibjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle", "pynetdicom", "pynrrd",
    "python-gdcm", "requests", "rich", "scikit-image", "scipy", "simpleitk", "sqlalchemy",
    "structlog", "typer",
)  # fmt: skip
"""Everything that pyproject.toml asks for."""

MIN_FREE_GB = 4.0
"""An exam of 512 x 512 x 1000 voxels needs about this much memory and, in a report, disk."""
THREADS = ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
"""What libraries take their number of threads from, where it is set."""
CGROUP = Path("/sys/fs/cgroup")


def doctor(
    folder: Annotated[
        Path, typer.Option("-o", "--output", help="Where reports would go: its free space.")
    ] = Path(),
    pacs: Annotated[
        str | None,
        typer.Option(
            "--pacs",
            metavar="URL",
            help="An archive to ask, https://HOST/PATH or dicom://AET@HOST:PORT: for a study that "
            "nobody has, so that nothing of a patient is sent or comes.",
        ),
    ] = None,
    ca: Certificates = None,
    aet: OwnTitle = None,
) -> None:
    """Show versions, decoders, threads, memory, disk, browser, Dask; exit code 1 if one is missing.

    \b
    Examples:
      hoimg doctor
      hoimg doctor -o results/ --pacs dicom://PACS@pacs.example.org:11112
    """
    if pacs is None and (ca is not None or aet is not None):
        raise UsageError("--ca and --aet go with --pacs URL")
    problems: list[str] = []
    _versions(problems)
    _decoders(problems)
    _programs()
    _threads()
    _resources(folder, problems)
    _dask(problems)
    if pacs is not None:
        _archive(pacs, ca, aet, problems)
    for problem in problems:
        typer.echo(f"PROBLEM  {problem}")
    typer.echo("ready" if not problems else f"{len(problems)} problem(s)")
    if problems:
        raise typer.Exit(1)


def _versions(problems: list[str]) -> None:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import hoimg

    _row("hoimg", hoimg.__version__)
    _row("python", platform.python_version())
    for name in LIBRARIES:
        try:
            _row(name, version(name))
        except PackageNotFoundError:
            problems.append(f"{name} is not installed: install hoimg again with pip")


def _decoders(problems: list[str]) -> None:
    """Every compression of CT pixels, and whether its decoder can be loaded."""
    from hoimg.decoding.codecs import CODECS, NAMES, PACKAGES, load

    _row("decode deflated", "zlib")  # the whole file is deflated; Python itself inflates it
    for syntax, codec in sorted(CODECS.items(), key=lambda item: NAMES[item[0]]):
        try:
            load(codec)
        except ImportError:
            _row(f"decode {NAMES[syntax]}", "none")
            problems.append(
                f"{NAMES[syntax]} pixels ({syntax}) cannot be decoded: "
                f"install {PACKAGES[codec]} with pip"
            )
        else:
            _row(f"decode {NAMES[syntax]}", PACKAGES[codec])


def _programs() -> None:
    """Programs that hoimg can use where they are installed; none is needed."""
    from hoimg.report.pdf import find_browser
    from hoimg.segment.totalsegmentator import PROGRAM, WEIGHTS, installed, missing_weights

    _row("browser for --pdf", find_browser() or "not installed (optional)")
    if installed() is None:
        _row(PROGRAM, "not installed (optional)")
        return
    ready = [size for size in WEIGHTS if not missing_weights(size)]
    _row(PROGRAM, f"installed, weights for: {', '.join(ready) or 'nothing'}")


def _threads() -> None:
    import os

    from hoimg.decoding.pool import cores

    _row("cores", f"{cores()} of {os.cpu_count()}")
    for name in THREADS:
        _row(name, os.environ.get(name, "not set: as many as cores"))


def _resources(folder: Path, problems: list[str]) -> None:
    import shutil

    memory = _free_memory_gb()
    if memory is not None:
        _row("free memory", f"{memory:.1f} GB")
        if memory < MIN_FREE_GB:
            problems.append(f"only {memory:.1f} GB of memory are free; large exams may not fit")
    existing = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(existing).free / 1e9
    _row("free disk", f"{free:.1f} GB at {existing}")
    if free < MIN_FREE_GB:
        problems.append(f"only {free:.1f} GB of disk are free at {existing}")


def _free_memory_gb(meminfo: Path = Path("/proc/meminfo"), group: Path = CGROUP) -> float | None:
    """What the machine has left, or the container where that is less; None where neither tells."""
    known = []
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                known.append(int(line.split()[1]) * 1024)
    try:
        most = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        cached = dict(map(str.split, (group / "memory.stat").read_text().splitlines()))
        # Files that are kept in memory make room when it is asked for.
        known.append(most - used + int(cached.get("inactive_file", 0)))
    except (OSError, ValueError):
        pass  # no container, or one without a limit ("max")
    return min(known) / 1e9 if known else None


def _dask(problems: list[str]) -> None:
    """Whether a worker can be started, as hoimg batch does."""
    import tempfile
    import time

    from hoimg.archive.cluster import Cluster, Where
    from hoimg.settings import BatchSettings

    begun = time.perf_counter()
    try:
        with (
            tempfile.TemporaryDirectory() as shared,
            Cluster(Where(), BatchSettings(), Path(shared)),
        ):
            _row("Dask worker", f"starts ({time.perf_counter() - begun:.1f} s)")
    except HoimgError as error:
        _row("Dask worker", "does not start")
        problems.append(f"hoimg batch cannot run here: {error}")


def _archive(url: str, ca: Path | None, aet: str | None, problems: list[str]) -> None:
    """Whether an archive answers the question that hoimg pull begins with (QIDO-RS or C-FIND)."""
    from pydicom.uid import generate_uid

    from hoimg.pacs.archive import Query
    from hoimg.pacs.connect import connect
    from hoimg.pacs.tls import Tls

    archive, warning = connect(url, tls=Tls(ca), aet=aet)
    try:
        with archive:
            archive.studies(Query(study_uid=generate_uid(prefix=None)))
    except HoimgError as error:
        _row("PACS", "no")
        problems.append(str(error))
    else:
        _row("PACS", "answers" + (f" ({warning})" if warning else ""))


def _row(name: str, value: str) -> None:
    typer.echo(f"{name:<46} {value}")
