"""Stored values to exact Hounsfield units, slice by slice into one array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoimg.dicom.types import StoredPixels

_INT16 = np.iinfo(np.int16)


class HuStack:
    """HU ``[slice, y, x]`` that fill up slice by slice.

    The array is int16 as long as every value is a whole number that fits; the first that does not
    turns it into float32 (in which every int16 is exact).

    Args:
        shape: Slices, rows, columns.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.hu: NDArray[Any] = np.empty(shape, dtype=np.int16)
        self.padded: NDArray[np.bool_] | None = None
        self._done = np.zeros(shape[0], dtype=bool)

    def room(self, z: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Memory to read slice ``z`` into before :meth:`put`: its own place where that fits."""
        if dtype.itemsize == self.hu.dtype.itemsize == 2:
            place: NDArray[Any] = self.hu[z].view(dtype)
            return place
        return np.empty(self.hu.shape[1:], dtype=dtype)

    def put(
        self,
        z: int,
        raw: NDArray[Any],
        stored: StoredPixels,
        slope: float,
        intercept: float,
        precision: int | None = None,
    ) -> None:
        """Turn the stored values of slice ``z`` into HU = stored * slope + intercept.

        Args:
            z: Which slice.
            raw: Stored values ``[y, x]``, an unsigned or a float type. May be :meth:`room`.
            stored: How they are stored.
            slope: RescaleSlope.
            intercept: RescaleIntercept, HU.
            precision: See :func:`clean`.

        Raises:
            ValueError: when floating point values are not finite numbers, or as :func:`clean`.
        """
        values, padding = clean(raw, stored, precision)
        if padding is not None:
            if self.padded is None:
                self.padded = np.zeros(self.hu.shape, dtype=bool)
            self.padded[z] = padding
        if not self._put_whole(z, values, slope, intercept):
            self._put_real(z, values.astype(np.float64) * slope + intercept)
        self._done[z] = True

    def _put_whole(self, z: int, values: NDArray[Any], slope: float, intercept: float) -> bool:
        """Exact integers, where the result is known to fit; False where it is not."""
        whole = values.dtype.kind != "f" and slope.is_integer() and intercept.is_integer()
        if not whole or self.hu.dtype != np.int16:
            return False
        by, plus = int(slope), int(intercept)
        ends = (int(values.min()) * by + plus, int(values.max()) * by + plus)
        if min(ends) < _INT16.min or max(ends) > _INT16.max:
            return False
        # Sums and products modulo 2**16 are exact, since every result fits.
        out = self.hu[z]
        part = values.view("<i2") if values.itemsize == 2 else values.astype(np.int16)
        if by != 1:
            part = np.multiply(part, _modulo(by), out=out)
        np.add(part, _modulo(plus), out=out)
        return True

    def _put_real(self, z: int, values: NDArray[np.float64]) -> None:
        with np.errstate(over="ignore"):  # judged in the next line
            real = values.astype(np.float32)
        if not np.isfinite(real).all():
            raise ValueError("holds values that are no numbers")
        if self.hu.dtype == np.int16:
            fits = values.min() >= _INT16.min and values.max() <= _INT16.max
            if not (fits and np.array_equal(values, np.rint(values))):
                wider = np.empty(self.hu.shape, dtype=np.float32)
                for k in np.flatnonzero(self._done):  # one by one: no second copy
                    wider[k] = self.hu[k]
                self.hu = wider
        self.hu[z] = real


def clean(
    raw: NDArray[Any], stored: StoredPixels, precision: int | None = None
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Stored values without what else lies in their unused bits, and which of them are padding.

    Bits beside the stored ones (overlays, garbage, a sign that was not extended) are cut off.
    Padding is looked for before that, because its value often does not fit the stored bits; padded
    pixels keep it.

    Args:
        raw: As in the file, an unsigned type (or floats, which are taken as they are).
        stored: How they are stored.
        precision: Bits of the values by a compressed codestream that knows no sign.

    Returns:
        Values, signed or unsigned; and the padding, None for nowhere.

    Raises:
        ValueError: when signed values reach the top bit of fewer bits than the header states: some
            encoders mean the sign by it, some a large value.
    """
    if raw.dtype.kind == "f":
        return raw, _between(raw, stored.float_padding)
    size = 8 * raw.dtype.itemsize
    allocated = raw.view(f"<i{raw.dtype.itemsize}") if stored.signed else raw
    bits = min(stored.bits_stored, size)
    fewer = precision is not None and stored.signed and precision < stored.bits_stored
    if precision is not None and fewer and int(raw.max()) >> precision - 1:
        raise ValueError(f"{precision} bits compressed where {bits} signed ones are declared")
    shift = 0 if stored.high_bit is None else max(stored.high_bit + 1 - stored.bits_stored, 0)
    if shift + bits > size:  # a HighBit that cannot be; writers fill it in carelessly
        shift = 0
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if stored.signed else (0, (1 << bits) - 1)
    if shift == 0 and (bits == size or (low <= allocated.min() and allocated.max() <= high)):
        return allocated, _between(allocated, stored.padding)
    unused = max(size - bits - shift, 0)
    values = (allocated << unused) >> (unused + shift)  # arithmetic where signed
    if stored.padding is None or (low <= stored.padding[0] and stored.padding[1] <= high):
        return values, _between(values, stored.padding)
    padding = _between(allocated, stored.padding)
    if padding is not None:
        values[padding] = allocated[padding]
    return values, padding


def _between(values: NDArray[Any], limits: tuple[float, float] | None) -> NDArray[np.bool_] | None:
    if limits is None or values.min() > limits[1] or values.max() < limits[0]:
        return None
    found = np.asarray((values >= limits[0]) & (values <= limits[1]))
    return found if found.any() else None


def _modulo(number: int) -> np.int16:
    return np.int64(number % 65536).astype(np.int16)
