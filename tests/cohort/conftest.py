"""Helpers of another room's tests."""

from __future__ import annotations

import sys
from pathlib import Path

folder = str(Path(__file__).resolve().parents[1] / "report")
if folder not in sys.path:
    sys.path.append(folder)
