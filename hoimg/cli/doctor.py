"""``hoimg doctor``: whether this machine can read and analyse what a scanner writes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

LIBRARIES = (
    "pydicom", "highdicom", "simpleitk", "numpy", "scipy", "scikit-image", "networkx",
    "pydantic", "pylibjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle", "python-gdcm",
    "pyjpegls",
)  # fmt: skip

TRANSFER_SYNTAXES = {
    "Deflated": "1.2.840.10008.1.2.1.99",
    "RLE": "1.2.840.10008.1.2.5",
    "JPEG baseline": "1.2.840.10008.1.2.4.50",
    "JPEG extended": "1.2.840.10008.1.2.4.51",
    "JPEG lossless": "1.2.840.10008.1.2.4.57",
    "JPEG lossless SV1": "1.2.840.10008.1.2.4.70",
    "JPEG-LS lossless": "1.2.840.10008.1.2.4.80",
    "JPEG-LS near-lossless": "1.2.840.10008.1.2.4.81",
    "JPEG 2000 lossless": "1.2.840.10008.1.2.4.90",
    "JPEG 2000": "1.2.840.10008.1.2.4.91",
    "HTJ2K lossless": "1.2.840.10008.1.2.4.201",
}
"""Compressions of CT pixels; uncompressed ones need no decoder."""

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
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

    for name, uid in TRANSFER_SYNTAXES.items():
        if uid == DeflatedExplicitVRLittleEndian:
            found: tuple[str, ...] = (
                "zlib",
            )  # the whole file is deflated; Python itself inflates it
        else:
            found = get_decoder(UID(uid)).available_plugins
        _row(f"decode {name}", ", ".join(found) or "none")
        if not found:
            problems.append(f"{name} pixels ({uid}) cannot be decoded: install hoimg's decoders")


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
    typer.echo(f"{name:<28} {value}")
