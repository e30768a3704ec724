"""Pictures of films: the whole film and cut-outs around lesions, outlines as vector paths over it.

All places are in units of a film's column width, so that the browser keeps pixels of any shape in
their true aspect ratio. Grey values are those that are measured, not the file's own window: its
window may hide what was outlined.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoimg.report.pictures import outline_path
from hoimg.results import FilmImages

WHOLE_PX, PART_PX = (1600, 1200, 900, 640), 420
"""Longest side of an embedded picture; a larger one is averaged down to it. Of the whole film the
first that leaves room for all films of a report."""
MOST_WHOLE_PX2 = 6_000_000
"""Pixels of all whole films of a page: some 2 to 4 MB."""
DARKEST, LIGHTEST = 2.0, 99.7
"""Percentiles of the values in view that are black and white: a marker of lead or a little air
must not take the range away from bone."""
WIDER = 0.3
"""So much of a region's range of grey is added below and above it in a cut-out."""
MARGIN = 0.6
"""Surroundings of a lesion in its cut-out, in lesion sizes, to each side."""
LEAST_PART = 0.44
"""Side of a cut-out, at least, as a share of the film's shorter side."""
BARS_MM = (5, 10, 20, 50, 100)


@dataclass(frozen=True)
class FilmPicture:
    """A film or a part of it, ready for the page.

    Attributes:
        width: Of the picture, in columns.
        height: Likewise.
        uri: The pixels as a data URI.
        outlines: Label and SVG path of each outline in view.
        regions: SVG path of the regions that were given.
        places: Label and where to write it.
        bar: Length of the scale bar in columns and in mm; None without a pixel size.
    """

    width: float
    height: float
    uri: str
    outlines: tuple[tuple[int, str], ...]
    regions: str
    places: tuple[tuple[int, float, float], ...]
    bar: tuple[float, int] | None


def whole_film(images: FilmImages, of: int = 1) -> FilmPicture:
    """The whole film with every outline and region.

    Args:
        images: The film.
        of: How many films the page shows: of many each is smaller.
    """
    rows, columns = images.film.pixels.shape
    fitting = (px for px in WHOLE_PX if of * px**2 <= MOST_WHOLE_PX2)
    return _picture(images, slice(0, rows), slice(0, columns), next(fitting, WHOLE_PX[-1]), None)


def part_of_film(images: FilmImages, label: int) -> FilmPicture | None:
    """A cut-out around one lesion, or around its region where it has no outline; None for none."""
    mask = images.labels_yx == label
    if not mask.any():
        mask = images.regions_yx == label
    if not mask.any():
        return None
    lines = [np.flatnonzero(mask.any(axis=1 - axis)) for axis in (0, 1)]
    size = max(int(k[-1]) - int(k[0]) + 1 for k in lines)
    half = max(LEAST_PART * min(mask.shape) / 2, (0.5 + MARGIN) * size)
    rows, columns = (_around(k, count, half) for k, count in zip(lines, mask.shape, strict=True))
    return _picture(images, rows, columns, PART_PX, label)


def _around(lines: NDArray[np.intp], count: int, half: float) -> slice:
    """So many pixels to both sides of the middle of some lines; what is no film is left away."""
    middle = (int(lines[0]) + int(lines[-1]) + 1) / 2
    return slice(max(0, int(middle - half)), min(count, int(np.ceil(middle + half))))


def _picture(
    images: FilmImages, rows: slice, columns: slice, longest: int, label: int | None
) -> FilmPicture:
    film = images.film
    y, x = film.spacing_yx_mm or (1.0, 1.0)
    aspect = y / x
    pixels = film.pixels[rows, columns]
    valid = None if film.valid is None else film.valid[rows, columns]
    labels, given = images.labels_yx[rows, columns], images.regions_yx[rows, columns]
    shown = [int(v) for v in np.unique(labels) if v and label in (None, int(v))]
    asked = given > 0 if label is None else given == label
    places = []
    for k in [int(v) for v in np.unique(given) if v and label is None]:
        at = np.argwhere(given == k)
        places.append((k, float(at[:, 1].max()) + 1, (float(at[:, 0].min())) * aspect))
    return FilmPicture(
        width=float(pixels.shape[1]),
        height=pixels.shape[0] * aspect,
        uri=_encode(pixels, valid, longest, aspect, None if label is None else asked),
        outlines=tuple((k, outline_path(labels == k, (aspect, 1.0), digits=1)) for k in shown),
        regions=outline_path(asked, (aspect, 1.0), digits=1),
        places=tuple(places),
        bar=None if film.spacing_yx_mm is None else _bar(pixels.shape[1], x),
    )


def _bar(columns: int, column_mm: float) -> tuple[float, int]:
    mm = max((b for b in BARS_MM if b <= columns * column_mm / 4), default=BARS_MM[0])
    return mm / column_mm, mm


def _encode(
    pixels: NDArray[np.float32],
    valid: NDArray[np.bool_] | None,
    longest: int,
    aspect: float,
    asked: NDArray[np.bool_] | None,
) -> str:
    """The pixels as a data URI, grey values stretched over the region, else over all of them."""
    from PIL import Image

    known = np.ones(pixels.shape, bool) if valid is None else valid
    wanted = known if asked is None or not (asked & known).any() else asked & known
    inside = pixels[wanted]
    low, high = np.percentile(inside, (DARKEST, LIGHTEST)) if inside.size else (0.0, 1.0)
    if wanted is not known:
        low, high = low - WIDER * (high - low), high + WIDER * (high - low)
    grey = np.clip((pixels - low) * (255.0 / max(float(high - low), 1e-6)), 0, 255)
    if valid is not None:
        grey = np.where(valid, grey, 0)
    image = Image.fromarray(np.rint(grey).astype(np.uint8))
    width, height = pixels.shape[1], pixels.shape[0] * aspect
    shrink = max(1.0, max(width, height) / longest)
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    if size != image.size:
        image = image.resize(size, Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
