"""``hoimg doctor``: whether this machine can read and analyse what a scanner writes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

LIBRARIES = (
    "pydicom", "highdicom", "simpleitk", "nibabel", "pynrrd", "numpy", "scipy",
    "scikit-image", "networkx", "pydantic", "pylibjpeg-openjpeg", "pylibjpeg-rle", "python-gdcm",
    "pyjpegls",
)  # fmt: skip

MIN_FREE_GB = 4.0
"""An exam of 512 x 512 x 1000 voxels needs about this much memory and, in a report, disk."""


def doctor(
    folder: Annotated[
        Path, typer.Option("-o", "--output", help="Where reports would go: its free space.")
    ] = Path(),
) -> None:
    """Show versions, decoders, memory and disk; exit code 1 when something is missing.

    \b
    Example:
      hoimg doctor
    """
    problems: list[str] = []
    _versions(problems)
    _decoders(problems)
    _programs()
    _resources(folder, problems)
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
    from hoimg.segment.totalsegmentator import PROGRAM, WEIGHTS, installed, missing_weights

    if installed() is None:
        _row(PROGRAM, "not installed (optional)")
        return
    ready = [size for size in WEIGHTS if not missing_weights(size)]
    _row(PROGRAM, f"installed, weights for: {', '.join(ready) or 'nothing'}")


def _resources(folder: Path, problems: list[str]) -> None:
    import os
    import shutil

    _row("cores", str(os.cpu_count()))
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


def _free_memory_gb(meminfo: Path = Path("/proc/meminfo")) -> float | None:
    if not meminfo.exists():
        return None
    for line in meminfo.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024 / 1e9
    return None


def _row(name: str, value: str) -> None:
    typer.echo(f"{name:<46} {value}")
