"""The typed results of a reader's decisions: who said what of which lesion, and what it did.

Part of :mod:`hoimg.results`, from which they are imported; the rules stated there hold here.
"""

from __future__ import annotations

from datetime import date as Date
from datetime import datetime
from typing import Literal

from pydantic import Field

from hoimg.results_over_time import Label, ResultModel


class ReaderEdit(ResultModel):
    """One decision of a reader. It never replaces what was computed; it stands beside it."""

    action: Literal[
        "include", "exclude", "split", "cut", "merge", "accept", "relabel", "note", "confirm"
    ]
    exam_id: str | None
    lesion_id: str | None = Field(
        default=None, description="The lesion that it speaks of now; null where it is none."
    )
    lesion_before: str | None = Field(
        default=None, description="What the report that the reader saw called it."
    )
    reader: str | None = None
    time: datetime | None = Field(default=None, description="UTC.")
    date: Date | None = None
    label: Label | None = Field(
        default=None, description="relabel: the reader's label. accept: the computed one as seen."
    )
    reason: str = Field(default="", description="exclude: what it is, if it is no ossification.")
    note: str = Field(default="", description="In the reader's words.")
    point_lps_mm: tuple[float, float, float] | None = None
    point_px: tuple[float, float] | None = Field(
        default=None, description="On a film; confirm: the middle of the place."
    )
    outcome: Literal["included", "excluded", "split", "merged", "noted", "no_effect"] | None = (
        Field(default=None, description="Null where its exam was not read.")
    )
    was: str | None = None
    volume_mm3: float | None = Field(default=None, description="Of what lay there, before.")
