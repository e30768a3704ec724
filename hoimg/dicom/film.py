"""What a radiograph's header says: one plain, frozen record per film, and nothing of its pixels."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hoimg.dicom.film_exposure import Exposure
from hoimg.dicom.types import StoredPixels
from hoimg.results import Finding

SpacingSource = Literal["calibrated", "detector_corrected", "detector_uncorrected", "none"]
View = Literal["AP", "PA", "LAT", "oblique"]
Plane = Literal["frontal", "lateral", "oblique"]
Side = Literal["R", "L", "B", "U"]
Intent = Literal["FOR PRESENTATION", "FOR PROCESSING"]
_HIP = re.compile(r"(?<![A-Z])HIP|PELVI")


@dataclass(frozen=True)
class FilmInfo:
    """One projection image (CR, DX or digitised film) as its header describes it.

    Attributes:
        file: Where it lies.
        frame: Frame number from 0.
        modality: ``CR``, ``DX``, ``RG``, or that of the capture a film was scanned into.
        digitised: Whether a film/screen exposure was scanned.
        rows: Rows of the image.
        columns: Columns of the image.
        photometric: ``MONOCHROME1`` or ``MONOCHROME2``.
        bits: Bits stored.
        stored: How the file stores its values.
        intent: PresentationIntentType, or what the SOP class says; None when neither does.
        view: ``AP``, ``PA``, ``LAT`` or ``oblique``; None when it is not stated.
        plane: Plane of the projection; known for a frontal film of which AP or PA is not stated.
        view_reason: Where view and plane come from, or why they are None.
        side: ``R``, ``L``, ``B`` (both), ``U`` (unpaired part); None when it is not stated.
        side_reason: Where the side comes from, or why it is None.
        body_part: BodyPartExamined, cleaned.
        kvp: Tube voltage, kV.
        sid_mm: DistanceSourceToDetector.
        sod_mm: DistanceSourceToPatient.
        ermf: EstimatedRadiographicMagnificationFactor as stated.
        magnification: By which the detector's spacing was divided; None when it was not.
        spacing_yx_mm: Distance of rows, and of columns; None when nothing can be trusted.
        spacing_source: ``calibrated`` (in the patient, at the depth of the calibration),
            ``detector_corrected`` (detector divided by the magnification),
            ``detector_uncorrected`` (lengths are too long by the magnification) or ``none``.
        mirrored: Whether larger stored (modality) values are *less* attenuating, so that reading
            mirrors them.
        polarity_source: The tag that decided ``mirrored``.
        intensity: PixelIntensityRelationship, e.g. ``LIN`` or ``LOG``; None when not stated.
        burned_in: BurnedInAnnotation; None when not stated.
        lossy: Whether the pixels were compressed with loss.
        sop_uid: SOPInstanceUID, by which other objects name the film; empty when not stated.
        field_yx: First row, row after the last, first and last column likewise, of the part that
            a rectangular collimator or shutter in the header leaves, taken by the standard's
            letter; None without one. Not applied to the pixels: see :mod:`hoimg.dicom.radiograph`.
        exposure: What the header states of the exposure.
        twins: UIDs (SOP and series instance) of images of the same exposure and size that were left
            out: what speaks of them speaks of this film.
        left_out: SOP instance UIDs of all images of the same exposure that were left out.
        findings: What keeps the film out, or has to be known when it is measured.
    """

    file: Path
    frame: int
    modality: str
    digitised: bool
    rows: int
    columns: int
    photometric: str
    bits: int
    stored: StoredPixels
    intent: Intent | None
    view: View | None
    plane: Plane | None
    view_reason: str
    side: Side | None
    side_reason: str
    body_part: str | None
    kvp: float | None
    sid_mm: float | None
    sod_mm: float | None
    ermf: float | None
    magnification: float | None
    spacing_yx_mm: tuple[float, float] | None
    spacing_source: SpacingSource
    mirrored: bool
    polarity_source: str
    intensity: str | None
    burned_in: bool | None
    lossy: bool
    sop_uid: str = ""
    field_yx: tuple[int, int, int, int] | None = None
    exposure: Exposure = field(default_factory=Exposure)
    twins: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether nothing in the header keeps the film from being read."""
        return not any(f.level == "error" for f in self.findings)

    @property
    def shows_hip(self) -> bool:
        """Whether the header says hip or pelvis."""
        return _HIP.search((self.body_part or "").upper()) is not None

    @property
    def both_sides(self) -> bool:
        """Whether both sides of the body are on it: stated, or a pelvis without a side."""
        pelvis = "PELVI" in (self.body_part or "").upper()
        return self.side == "B" or (pelvis and self.side in (None, "U"))

    @property
    def summary(self) -> str:
        """View, side, body part, size and spacing in a few words, without identity."""
        what = " ".join(w for w in (self.modality, self.view or self.plane, self.side) if w)
        size = f"{self.rows}x{self.columns} px"
        return f"{what}{', ' + self.body_part if self.body_part else ''}, {size}, {self.scale}"

    @property
    def scale(self) -> str:
        """Spacing and its source in words, e.g. ``0.139 mm (detector_uncorrected)``."""
        if self.spacing_yx_mm is None:
            return "no spacing"
        y, x = (f"{v:.4g}" for v in self.spacing_yx_mm)
        return f"{y if y == x else f'{y}x{x}'} mm ({self.spacing_source})"
