"""The films of a made case, as hoimg reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hoimg.dicom import scan
from hoimg.dicom.film import FilmInfo
from hoimg.settings import Settings


def films_of(folder: Path, exam: dict[str, Any], settings: Settings) -> list[FilmInfo]:
    """What the scan of an exam's folder says of each film, in the order of ``exam["films"]``."""
    known = {
        film.file.resolve(): film
        for series in scan(folder / exam["folder"], settings).series
        for film in series.films
    }
    return [known[(folder / entry["file"]).resolve()] for entry in exam["films"]]
