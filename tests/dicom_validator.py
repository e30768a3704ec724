"""What dciodvfy (package dicom3tools) finds wrong with a DICOM file."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path


def program(name: str) -> str:
    """A program that a Python package has installed."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"{name} is not installed; it comes with the packages of the extra 'test'"
    return found


def validator_errors(path: Path) -> list[str]:
    """Its lines that begin with ``Error``."""
    done = subprocess.run(
        [program("dciodvfy"), str(path)], capture_output=True, text=True, check=False
    )
    lines = (done.stdout + done.stderr).splitlines()
    assert lines, "dciodvfy said nothing at all"
    return [line for line in lines if line.startswith("Error")]
