"""How a volume file (NIfTI, NRRD) stores its voxels, and reading them slab by slab.

Only as many bytes are read, or inflated, as the header declares, and no more than a slab of them
is held beside the volume: a file cannot ask for more memory than its voxels need.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from hoimg.geometry import Grid
from hoimg.image import CTVolume
from hoimg.results import Finding

Source = str
"""``nifti`` or ``nrrd``."""
SLAB_BYTES = 16 * 2**20
"""Bytes read at a time."""
MAX_INFLATE = 1032
"""Deflate cannot compress better than this."""
MAX_WHOLE_SLOPE = 2**20
"""Up to this, HU of whole numbers are reckoned in whole numbers; real files have 1."""
UNMEASURED_HU = -1024
"""Written where a file holds no number; ``valid`` is false there."""


class UnreadableVolume(Exception):
    """The voxels of a volume file cannot be read; the message says why, without a path."""


@dataclass(frozen=True)
class VolumeLayout:
    """Where the voxels of a file are and what they mean.

    Attributes:
        data: The file that holds the voxels (the file itself, or the one a detached header names).
        offset: Bytes before the first voxel, after inflating.
        gzipped: Whether the voxels are compressed with gzip.
        whole_file_gzipped: Whether offset counts in the inflated file (NIfTI) rather than in the
            file as it is (NRRD compresses the voxels alone).
        dtype: NumPy's name of the stored type, byte order included, e.g. ``<i2``.
        size_zyx: Voxels along the array axes; x varies fastest in the file.
        slope: HU = stored * slope + intercept.
        intercept: See ``slope``.
        grid: Where the voxels lie, as stored (the axes may be left-handed); None when the header
            does not say so, or says what is no rectangular grid.
        findings: What the header says that matters.
    """

    data: Path
    offset: int
    gzipped: bool
    whole_file_gzipped: bool
    dtype: str
    size_zyx: tuple[int, int, int]
    slope: float
    intercept: float
    grid: Grid | None
    findings: tuple[Finding, ...] = ()

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        z, y, x = self.size_zyx
        return z * y * x

    @property
    def bytes(self) -> int:
        """Bytes of all voxels, not compressed."""
        return self.voxels * np.dtype(self.dtype).itemsize


def is_whole(layout: VolumeLayout) -> bool:
    """Whether the file can be long enough for its voxels; a gzip stream is only estimated."""
    length = layout.data.stat().st_size
    if layout.gzipped:
        return length * MAX_INFLATE >= layout.bytes
    return length >= layout.offset + layout.bytes


def slabs(layout: VolumeLayout) -> Iterator[tuple[int, NDArray[Any]]]:
    """Stored values as (first slice, array ``[slice, y, x]``) from the first slice to the last.

    Raises:
        UnreadableVolume: when the file ends early, or its compression is damaged.
        OSError: when it cannot be opened.
    """
    z, y, x = layout.size_zyx
    dtype = np.dtype(layout.dtype)
    count = max(1, SLAB_BYTES // (y * x * dtype.itemsize))
    try:
        with layout.data.open("rb") as file:
            stream = _stream(file, layout)
            for start in range(0, z, count):
                planes = min(count, z - start)
                wanted = planes * y * x * dtype.itemsize
                raw = stream.read(wanted)
                if len(raw) < wanted:
                    raise UnreadableVolume("ends before its voxels do")
                yield start, np.frombuffer(raw, dtype).reshape(planes, y, x)
            if layout.gzipped:
                stream.read(1)  # at its end gzip compares its checksum
    except (zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise UnreadableVolume("has damaged compression") from error


def _stream(file: IO[bytes], layout: VolumeLayout) -> IO[bytes]:
    if not layout.gzipped:
        file.seek(layout.offset)
        return file
    if not layout.whole_file_gzipped:
        file.seek(layout.offset)
    stream: Any = gzip.GzipFile(fileobj=file)
    if layout.whole_file_gzipped:
        stream.read(layout.offset)
    return stream  # type: ignore[no-any-return]


def right_handed(grid: Grid) -> tuple[Grid, int | None]:
    """The same voxels on a right-handed grid, and the array axis (0 z, 1 y, 2 x) to reverse.

    DICOM volumes are right-handed here, and NIfTI files that dcm2niix writes are not (rows run
    from the back to the front). The axis that points against the patient's +x, +y or +z is
    reversed, rows before columns before slices, which gives dcm2niix's files their DICOM order.
    """
    direction = np.asarray(grid.direction)
    if np.linalg.det(direction) > 0:
        return grid, None
    columns = [1, 0, 2]  # direction's columns: array y, x, z
    against = [c for c in columns if direction[np.abs(direction[:, c]).argmax(), c] < 0]
    column = (against or columns)[0]
    axis = 2 - column
    start = [0, 0, 0]
    start[axis] = grid.size_zyx[axis] - 1
    direction[:, column] *= -1
    a, b, c = (float(v) for v in grid.to_lps_mm(start))
    rows = tuple(tuple(float(v) for v in row) for row in direction)
    return Grid(grid.size_zyx, grid.spacing_zyx_mm, (a, b, c), rows), axis  # type: ignore[arg-type]


def read_layout(layout: VolumeLayout) -> CTVolume:
    """The volume in HU on a right-handed grid.

    Returns:
        int16 when every value is a whole number that fits, else float32. ``valid`` is false where
        the file holds no number (NaN, infinity); None when every voxel holds one.

    Raises:
        UnreadableVolume: see :func:`slabs`; also when the file states no rectangular grid.
        OSError: when the file cannot be opened.
    """
    if layout.grid is None:
        raise UnreadableVolume("states no rectangular grid")
    grid, flipped = right_handed(layout.grid)
    hu: NDArray[Any] = np.empty(layout.size_zyx, dtype=np.int16)
    valid: NDArray[np.bool_] | None = None
    last = layout.size_zyx[0]
    for start, stored in slabs(layout):
        values, measured = to_hu(stored, layout)
        if hu.dtype == np.int16 and values.dtype != np.int16:
            hu = hu.astype(np.float32)
        stop = start + len(values)
        at = slice(start, stop) if flipped != 0 else slice(last - stop, last - start)
        hu[at] = values if flipped is None else np.flip(values, flipped)
        if measured is not None:
            if valid is None:
                valid = np.ones(layout.size_zyx, dtype=bool)
            valid[at] = measured if flipped is None else np.flip(measured, flipped)
    return CTVolume(hu, grid, valid)


def to_hu(
    stored: NDArray[Any], layout: VolumeLayout
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """HU of stored values (int16 where exact, else float32), and which hold a number at all."""
    slope, intercept = layout.slope, layout.intercept
    plain = slope == 1 and intercept == 0
    sane = abs(slope) <= MAX_WHOLE_SLOPE and abs(intercept) < 2**31
    if stored.dtype.kind in "iu" and sane and slope.is_integer() and intercept.is_integer():
        if stored.dtype.itemsize <= 2 and plain and stored.dtype.kind == "i":
            return stored.astype(np.int16), None
        # int64 holds every 32-bit value times such a slope
        whole = stored.astype(np.int64) * int(slope) + int(intercept)
        return _smallest(whole), None
    values = stored.astype(np.float64)
    if not plain:
        values = values * slope + intercept
    # Beyond float32's range is no HU either.
    measured = np.abs(values) < 1e9
    if measured.all():
        return _smallest(values), None
    values[~measured] = UNMEASURED_HU
    return _smallest(values), measured


def _smallest(values: NDArray[Any]) -> NDArray[Any]:
    fits = values.min() >= -32768 and values.max() <= 32767
    if fits and (values.dtype.kind == "i" or np.array_equal(values, np.rint(values))):
        return values.astype(np.int16)
    return values.astype(np.float32)
