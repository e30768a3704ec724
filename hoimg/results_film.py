"""The typed results that only films have. Part of :mod:`hoimg.results`; its rules hold here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hoimg.image import Radiograph
from hoimg.results_over_time import ResultModel


class Film(ResultModel):
    """One radiograph as its header describes it, as far as the numbers depend on it."""

    sop_instance_uid: str | None = Field(description="Null: the file states none.")
    frame: int = Field(description="Frame of the file, from 0.")
    view: Literal["AP", "PA", "LAT", "oblique"] | None = None
    plane: Literal["frontal", "lateral", "oblique"] | None = None
    side: Literal["R", "L", "B", "U"] | None = Field(
        default=None, description="Right, left, both, unpaired part; null: not stated."
    )
    body_part: str | None = None
    rows: int
    columns: int
    spacing_yx_mm: tuple[float, float] | None = Field(
        default=None, description="Distance of rows and of columns, mm; null: none to be trusted."
    )
    spacing_source: Literal["calibrated", "detector_corrected", "detector_uncorrected", "none"] = (
        Field(
            description="calibrated: at the depth of the calibration; detector_corrected: the "
            "detector's, divided by the magnification; detector_uncorrected: mm at the detector, "
            "longer than in the patient by the unknown magnification; none: pixels only."
        )
    )
    magnification: float | None = Field(
        default=None, description="By which the detector's spacing was divided; null: it was not."
    )
    intent: Literal["FOR PRESENTATION", "FOR PROCESSING"] | None = None
    photometric: str = Field(description="MONOCHROME1 or MONOCHROME2, as stored.")
    mirrored: bool = Field(description="Larger stored values attenuate less; reading turned them.")
    polarity_source: str = Field(description="The tag that decided it.")
    burned_in: bool | None = Field(default=None, description="Text in the pixels, as stated.")
    same_exposure: list[str] = Field(
        default_factory=list,
        description="SOP instance UIDs of other images of the same exposure, which were left out.",
    )


class Suggestion(ResultModel):
    """A place on a film that a reader may look at: no lesion, measured nowhere, in no total."""

    box: tuple[int, int, int, int] = Field(
        description="X0, Y0, X1, Y1 in pixels from the film's upper left corner."
    )
    source: Literal["other_side", "earlier_film", "region_on_another_film"] = Field(
        description="What it stands out against, or where the region was given that was carried."
    )
    from_exam: str | None = Field(
        default=None, description="That other film; null for the other side of the same."
    )
    from_label: int | None = Field(
        default=None, description="The region_label there of a region that was carried."
    )
    score: float | None = Field(
        default=None,
        description="How steep and closed the edge round it is that the other has not, less how "
        "uneven its surroundings are: 0 to 1.",
    )
    roi: str = Field(description="What --roi takes to have it outlined and measured.")


class OutlineOnFilm(ResultModel):
    """What is known of an outline on a film beside its pixels: with it, it is measured again."""

    contrast_to_noise: float | None = None
    excess: float = Field(description="Mean of film less background inside, film units.")
    edge_cost: float | None = Field(
        default=None, description="Mean cost of the outline, 0.05 on a perfect edge, 1.05 on none."
    )
    area_span: tuple[float, float] = Field(
        default=(1.0, 1.0), description="Areas of outlines that fit nearly as well, over its own."
    )
    length_span: tuple[float, float] = Field(default=(1.0, 1.0), description="Lengths likewise.")
    covered: list[tuple[int, int]] = Field(
        default_factory=list,
        description="Pixels of it that are of a lower label in the label map, as runs (first "
        "pixel, number of pixels), counted along the rows from 0.",
    )


@dataclass(frozen=True, eq=False)
class FilmImages:
    """The pixels behind one film of a report, for pictures and the label map.

    Attributes:
        exam_id: As in the report.
        film: Its pixels; larger is more attenuating.
        labels_yx: Label map ``[y, x]``, uint16; values are ``Observation.label``.
        regions_yx: Likewise, of the regions that were given.
        source_file: The DICOM file that the film was read from; None when it came from an array.
    """

    exam_id: str
    film: Radiograph
    labels_yx: NDArray[np.uint16]
    regions_yx: NDArray[np.uint16]
    source_file: Path | None = None
