"""The grey-scale pipeline of a film: stored value, modality value, value of interest, P-value.

Formulas of PS3.3 C.11.1 (modality), C.11.2 (VOI) and C.11.4/C.11.6 (presentation). pydicom has
functions for the same, which do not serve here: they read no modality LUT of other than 8 or 16
bits, wrap the index of an 8-bit VOI LUT, and stretch and invert by the picture's own extremes, so
that two films of one patient would be inverted about different values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hoimg.dicom.values import DatasetSource, Values

if TYPE_CHECKING:
    from pydicom import Dataset

Array = NDArray[Any]


class DamagedLut(Exception):
    """A look-up table whose data do not fit its descriptor."""


@dataclass(frozen=True, eq=False)
class Lut:
    """A look-up table.

    Attributes:
        entries: Outputs, unsigned.
        first: Input that the first entry stands for; lower inputs take it too.
        bits: Bits per output: outputs lie between 0 and ``2**bits - 1``.
    """

    entries: NDArray[np.uint16]
    first: int
    bits: int

    def apply(self, values: Array) -> NDArray[np.float32]:
        """Outputs; inputs beyond either end take the entry at that end."""
        index = np.rint(values).astype(np.int64) - self.first
        taken = self.entries[np.clip(index, 0, len(self.entries) - 1)]
        return taken.astype(np.float32)

    @property
    def direction(self) -> int:
        """1 when outputs rise from the first to the last entry (or stay), -1 when they fall."""
        return -1 if int(self.entries[-1]) < int(self.entries[0]) else 1

    @property
    def top(self) -> float:
        """Largest output there can be."""
        return float(2**self.bits - 1)


@dataclass(frozen=True, eq=False)
class Modality:
    """Stored values to modality values: a look-up table, else slope and intercept."""

    slope: float = 1.0
    intercept: float = 0.0
    lut: Lut | None = None

    def apply(self, stored: Array) -> NDArray[np.float32]:
        """Modality values."""
        if self.lut is not None:
            return self.lut.apply(stored)
        return np.asarray(stored * np.float64(self.slope) + self.intercept, dtype=np.float32)

    def limits(self, bits: int, signed: bool) -> tuple[float, float]:
        """Lowest and highest value that ``bits`` stored bits can become."""
        if self.lut is not None:
            return 0.0, self.lut.top
        low = -(2 ** (bits - 1)) if signed else 0
        ends = [v * self.slope + self.intercept for v in (low, low + 2**bits - 1)]
        return min(ends), max(ends)

    @property
    def direction(self) -> int:
        """-1 when larger stored values become smaller ones."""
        if self.lut is not None:
            return self.lut.direction
        return -1 if self.slope < 0 else 1


@dataclass(frozen=True, eq=False)
class Voi:
    """Modality values to the part of them that is to be seen: a look-up table, else a window."""

    lut: Lut | None = None
    center: float | None = None
    width: float | None = None
    function: str = "LINEAR"

    def apply(self, values: Array, limits: tuple[float, float]) -> NDArray[np.float32]:
        """Values between 0 and 1; ``limits`` (lowest, highest) is the window when none is given."""
        if self.lut is not None:
            return self.lut.apply(values) / np.float32(self.lut.top)
        if self.center is not None and self.width is not None:
            return window(values, self.center, self.width, self.function)
        low, high = limits
        spread = max(high - low, 1e-6)
        scaled = (values - np.float32(low)) / np.float32(spread)
        return np.asarray(np.clip(scaled, 0, 1), dtype=np.float32)

    @property
    def direction(self) -> int:
        """-1 for a falling look-up table."""
        return 1 if self.lut is None else self.lut.direction


@dataclass(frozen=True, eq=False)
class Presentation:
    """Values of interest to the screen's: a look-up table, or as they are, or inverted.

    Attributes:
        lut: PresentationLUTSequence.
        inverse: Whether the lowest value is shown white.
        source: The tag that says so.
        contradicted: PresentationLUTShape and PhotometricInterpretation say different things.
    """

    lut: Lut | None
    inverse: bool
    source: str
    contradicted: bool = False

    def apply(self, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        """Brightness between 0 (black) and 1 (white)."""
        if self.lut is not None:
            scaled = seen * np.float32(len(self.lut.entries) - 1) + np.float32(self.lut.first)
            return self.lut.apply(scaled) / np.float32(self.lut.top)
        return np.float32(1) - seen if self.inverse else seen

    @property
    def direction(self) -> int:
        """-1 when low values are shown white."""
        if self.lut is not None:
            return self.lut.direction
        return -1 if self.inverse else 1


def window(values: Array, center: float, width: float, function: str) -> NDArray[np.float32]:
    """A window of PS3.3 C.11.2.1.2 and C.11.2.1.3, with outputs between 0 and 1.

    Args:
        values: Modality values.
        center: WindowCenter.
        width: WindowWidth; at least 1 for LINEAR, above 0 for the others.
        function: ``LINEAR``, ``LINEAR_EXACT`` or ``SIGMOID``.
    """
    x = np.asarray(values, dtype=np.float64)
    if function == "SIGMOID":
        exponent = np.clip(-4.0 * (x - center) / width, -700.0, 700.0)
        return (1.0 / (1.0 + np.exp(exponent))).astype(np.float32)
    if function == "LINEAR":
        center, width = center - 0.5, width - 1.0
    # A width of 0 (LINEAR with width 1) is a step: the upper of two branches that meet in a point.
    inside = (x - center) / width + 0.5 if width > 0 else np.zeros_like(x)
    inside = np.where(x > center + width / 2, 1.0, inside)
    return np.where(x <= center - width / 2, 0.0, inside).astype(np.float32)


def modality_of(dataset: Dataset) -> Modality:
    """The modality transform of a data set; identity where it states none.

    Raises:
        DamagedLut: when it states a table that cannot be read.
    """
    lut = _first_lut(dataset, "ModalityLUTSequence")
    if lut is not None:
        return Modality(lut=lut)
    values = Values(DatasetSource(dataset))
    slope = values.number("RescaleSlope")
    return Modality(slope or 1.0, values.number("RescaleIntercept") or 0.0)


def voi_of(dataset: Dataset) -> Voi:
    """The first view that a data set offers: its look-up table, else its window, else none.

    Raises:
        DamagedLut: when it states a table that cannot be read.
    """
    lut = _first_lut(dataset, "VOILUTSequence")
    if lut is not None:
        return Voi(lut=lut)
    values = Values(DatasetSource(dataset))
    ends = [_first_number(values.many(name)) for name in ("WindowCenter", "WindowWidth")]
    function = values.text("VOILUTFunction").strip().upper() or "LINEAR"
    center, width = ends
    if center is None or width is None or function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        return Voi()
    if width < 1 if function == "LINEAR" else width <= 0:
        return Voi()
    return Voi(None, center, width, function)


def presentation_of(dataset: Dataset) -> Presentation:
    """How values of interest reach the screen.

    PresentationLUTShape and PhotometricInterpretation state one and the same inversion, not two
    (PS3.3 C.8.11.3.1: INVERSE goes with MONOCHROME1); the shape wins where they disagree.

    Raises:
        DamagedLut: when the data set states a table that cannot be read.
    """
    lut = _first_lut(dataset, "PresentationLUTSequence")
    if lut is not None:
        return Presentation(lut, False, "PresentationLUTSequence")
    values = Values(DatasetSource(dataset))
    dark = values.text("PhotometricInterpretation").strip().upper() == "MONOCHROME1"
    shape = values.text("PresentationLUTShape").strip().upper()
    if shape in ("IDENTITY", "INVERSE"):
        inverse = shape == "INVERSE"
        return Presentation(None, inverse, "PresentationLUTShape", inverse != dark)
    return Presentation(None, dark, "PhotometricInterpretation")


def _first_number(texts: list[str]) -> float | None:
    try:
        value = float(texts[0])
    except (IndexError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _first_lut(dataset: Dataset, name: str) -> Lut | None:
    """The table in the first item of a sequence; None when there is no such sequence."""
    try:
        sequence = dataset.get(name)
        if not sequence:
            return None
        return _lut(sequence[0], dataset)
    except DamagedLut:
        raise
    except Exception as error:  # a damaged element raises anything when it is converted
        raise DamagedLut(name) from error


def _lut(item: Dataset, dataset: Dataset) -> Lut:
    """The table of one item, whether its data are words or bytes (PS3.3 C.11.1.1.1)."""
    count, first, bits = (int(v) for v in item.LUTDescriptor)
    count = count % 2**16 or 2**16
    if not 1 <= bits <= 16:
        raise DamagedLut("bits")
    signed = bool(dataset.get("PixelRepresentation", 0))
    if signed and first >= 2**15:
        first -= 2**16
    data = item.LUTData
    if isinstance(data, bytes):
        if len(data) >= 2 * count:
            big = getattr(dataset, "original_encoding", (None, True))[1] is False
            kind = np.dtype(">u2" if big else "<u2")
            entries = np.frombuffer(data, kind, count).astype(np.uint16)
        elif bits <= 8 and len(data) >= count:
            entries = np.frombuffer(data, np.uint8, count).astype(np.uint16)
        else:
            raise DamagedLut("length")
    else:
        words = np.atleast_1d(np.asarray(data, dtype=np.int64)) & 0xFFFF
        if len(words) < count:
            raise DamagedLut("length")
        entries = words[:count].astype(np.uint16)
    return Lut(np.minimum(entries, np.uint16(2**bits - 1)), first, bits)
