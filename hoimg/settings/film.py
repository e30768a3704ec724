"""Section ``film``: outlines, measures and grades on radiographs."""

from __future__ import annotations

from hoimg.settings.threshold import Section, threshold


class FilmSettings(Section):
    """Numbers of a film. Lengths are at the detector where the film states no better spacing."""

    outline_min_contrast_to_noise: float = threshold(
        1.0,
        unit="ratio",
        meaning="Below this mean contrast to the unevenness around it, no outline is given.",
        source="what the reference of simulated films calls invisible",
        status="default",
        ge=0,
    )
