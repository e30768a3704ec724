"""From the detector's signal to stored values, as film readers for machines and for eyes do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.simulate.film_exposure import Floats, attenuation, broad_blur

PROCESSINGS = ("linear", "log", "presentation", "curve")
"""``linear`` and ``log``: FOR PROCESSING, the signal or its logarithm. ``presentation``: logarithm,
coarse contrast reduced and edges lifted. ``curve``: that, bent by an S-shaped curve."""

COARSE_MM, COARSE_GAIN = 40.0, 0.5
"""What is broader than this (full width) keeps this part of its contrast on a processed film."""
FINE_MM, FINE_GAIN = 5.0, 0.4
"""What is finer than this is lifted by this part."""
OPEN_SHARE = 0.1
"""Signal above this share of the open beam is air beside the patient: it is not scaled by."""


@dataclass(frozen=True)
class Processed:
    """Stored values and what a header has to say about them.

    Attributes:
        values: uint16 ``[y, x]``.
        bits: Bits stored.
        relationship: PixelIntensityRelationship: ``LIN`` or ``LOG``.
        sign: PixelIntensityRelationshipSign: 1 when low values mean little radiation.
        for_presentation: Whether they are meant for the eye.
        white_is_high: Whether high values are shown white (MONOCHROME2).
        window: Center and width over the body.
    """

    values: NDArray[np.uint16]
    bits: int
    relationship: str
    sign: int
    for_presentation: bool
    white_is_high: bool
    window: tuple[float, float]


def process(
    signal: Floats,
    spacing_mm: float,
    *,
    processing: str = "presentation",
    bits: int = 12,
    monochrome: int = 2,
    exposed: NDArray[np.bool_] | None = None,
) -> Processed:
    """Stored values of a detector signal.

    A linear film keeps the signal: high where little was attenuated, shown black. The others store
    high values where much was attenuated; MONOCHROME1 turns any of them round.

    Args:
        signal: From :func:`hoimg.simulate.film_exposure.detect`.
        spacing_mm: Of the pixels.
        processing: One of :data:`PROCESSINGS`.
        bits: 12 or 14.
        monochrome: 1 (low values are shown white) or 2.
        exposed: The open field, by which alone values are scaled; None: everything.

    Raises:
        ValueError: for other words or numbers.
    """
    if processing not in PROCESSINGS or bits not in (10, 12, 14, 16) or monochrome not in (1, 2):
        raise ValueError(f"unknown processing {processing}, {bits} bits or MONOCHROME{monochrome}")
    top = 2**bits - 1
    depth = attenuation(signal)
    field = np.ones(signal.shape, bool) if exposed is None else exposed
    body = (signal < OPEN_SHARE) & field
    if not body.any():
        body = field
    if processing == "linear":
        # The body's brightest tenth fills a third of the scale; open beam saturates.
        gain = top / 3.0 / float(np.percentile(signal[body], 90))
        values = signal * np.float32(gain)
        rising = False
    elif processing == "log":
        values = depth * np.float32(top / 12.0)
        rising = True
    else:
        # What the collimator covers would make a halo in the field.
        filled = np.where(field, depth, np.median(depth[field]))
        wide = broad_blur(filled, COARSE_MM, spacing_mm)
        fine = depth - broad_blur(filled, FINE_MM, spacing_mm)
        shown = depth - (1 - COARSE_GAIN) * wide + FINE_GAIN * fine
        low, high = np.percentile(shown[body], (0.3, 99.8))
        scaled = (shown - low) / max(high - low, 1e-3)
        if processing == "curve":
            scaled = 1.0 / (1.0 + np.exp(-5.0 * (scaled - 0.5)))
            values = scaled * np.float32(top)
        else:
            values = (0.08 + 0.84 * scaled) * np.float32(top)
        rising = True
    values = np.clip(np.rint(values), 0, top)
    if rising == (monochrome == 1):
        values = top - values
        rising = not rising
    low, high = np.percentile(values[body], (0.5, 99.5))
    width = max(float(high - low) * 1.1, 16.0)
    return Processed(
        values.astype(np.uint16),
        bits,
        "LIN" if processing == "linear" else "LOG",
        -1 if rising else 1,
        processing in ("presentation", "curve"),
        monochrome == 2,
        (round(float(low + high) / 2), round(width)),
    )
