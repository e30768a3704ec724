"""Helpers of other rooms' tests."""

from __future__ import annotations

import sys
from pathlib import Path

for room in ("report", "report_dicom"):
    folder = str(Path(__file__).resolve().parents[1] / room)
    if folder not in sys.path:
        sys.path.append(folder)
