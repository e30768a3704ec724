"""A film with the shadow of a ball, and reports of it by the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from hoimg.cli.main import run

SIDE, CENTRE, RADIUS = 300, (140, 150), 40.0
SPACING = 0.2
AREA_MM2 = np.pi * (RADIUS * SPACING) ** 2
BOX = "box:85,75,215,205"


def ball(radius: float = RADIUS, height: float = 250.0, seed: int = 5) -> np.ndarray:
    """A film of soft tissue that grows thicker to one side, with the shadow of a ball on it."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    inside = np.sqrt(np.clip(1 - ((y - CENTRE[0]) ** 2 + (x - CENTRE[1]) ** 2) / radius**2, 0, 1))
    noise = np.random.default_rng(seed).normal(0, 12, (SIDE, SIDE))
    film = 1200 + x + height * ndimage.gaussian_filter(inside, 1.0)
    return np.rint(film + ndimage.gaussian_filter(noise, 0.6)).astype(np.uint16)


def report_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


def made(tmp_path: Path, *words: str, code: int = 0) -> dict[str, Any]:
    """The report of what lies in ``in``."""
    assert run(["report", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *words]) == code
    return report_of(tmp_path / "out") if code == 0 else {}


def only(report: dict[str, Any]) -> dict[str, Any]:
    [lesion] = report["lesions"]
    [seen] = lesion["observations"]
    assert isinstance(seen, dict)
    return seen


def inverted_film(sample_data: Path, folder: Path) -> None:
    """A sample film whose header tells a lie about its polarity that no other tag contradicts."""
    import pydicom

    [path] = list((sample_data / "films" / "FF80DF").iterdir())
    ds = pydicom.dcmread(path)
    ds.decompress()
    ds.PhotometricInterpretation, ds.PresentationLUTShape = "MONOCHROME1", "INVERSE"
    del ds.PixelIntensityRelationshipSign
    folder.mkdir()
    ds.save_as(folder / "a")
