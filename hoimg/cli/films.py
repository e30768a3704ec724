"""Radiographs in ``hoimg info``: a table row and a JSON object for each film."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from hoimg.dicom.film import FilmInfo
    from hoimg.dicom.types import SeriesInfo


def film_json(film: FilmInfo, exam_id: str | None) -> dict[str, Any]:
    """A film for ``--json``: what the numbers depend on; no identity, no date, no path.

    Args:
        film: The film.
        exam_id: By which regions on it are given; None where it is no exam.
    """
    return {
        "exam_id": exam_id,
        "frame": film.frame,
        "modality": film.modality,
        "digitised": film.digitised,
        "rows": film.rows,
        "columns": film.columns,
        "photometric": film.photometric,
        "bits": film.bits,
        "intent": film.intent,
        "view": film.view,
        "plane": film.plane,
        "view_reason": film.view_reason,
        "side": film.side,
        "side_reason": film.side_reason,
        "body_part": film.body_part,
        "kvp": film.kvp,
        "sid_mm": film.sid_mm,
        "sod_mm": film.sod_mm,
        "magnification": film.magnification,
        "spacing_yx_mm": film.spacing_yx_mm,
        "spacing_source": film.spacing_source,
        "mirrored": film.mirrored,
        "polarity_source": film.polarity_source,
        "burned_in": film.burned_in,
        "lossy": film.lossy,
        "findings": [f.model_dump(mode="json") for f in film.findings],
    }


def film_table(studies: Mapping[str, Sequence[SeriesInfo]]) -> Table | None:
    """View, side, size, spacing and its source, and intent of every film; None without films."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Radiographs", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("study", "type", "view", "side", "part", "pixels", "spacing mm", "source"):
        table.add_column(name, no_wrap=True)
    table.add_column("intent")
    table.add_column("findings", ratio=1)
    for number, members in enumerate(studies.values(), 1):
        for film in (film for series in members for film in series.films):
            # Text, not markup: a header may hold anything, square brackets included.
            table.add_row(*(Text(cell) for cell in [str(number), *_cells(film)]))
    return table if table.row_count else None


def _cells(film: FilmInfo) -> list[str]:
    spacing = film.spacing_yx_mm
    return [
        f"{film.modality} (digitised)" if film.digitised else film.modality,
        film.view or film.plane or "-",
        film.side or "-",
        film.body_part or "-",
        f"{film.rows}x{film.columns}",
        "-" if spacing is None else "x".join(dict.fromkeys(f"{v:.4g}" for v in spacing)),
        film.spacing_source,
        (film.intent or "-").lower(),
        ", ".join(dict.fromkeys(f.code for f in film.findings)) or "-",
    ]
