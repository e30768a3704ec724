"""A small picture out of each report's page, for a gallery of many.

Reports keep pictures in ``report.html`` alone. The first one of a lesion is taken, the lesion's
outline drawn into it, and written anew as a small JPEG: bytes of a report never reach the page.
"""

from __future__ import annotations

import base64
import binascii
import io
import mmap
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SIDE_PX = 144
LARGEST_PX = 4096
"""Along a side of a picture in a report; hoimg writes smaller ones."""
_BEGIN, _END = b'<svg class="picture"', b"</svg>"
_SECTION = b'<section class="lesion"'
_VIEW = re.compile(rb'viewBox="0 0 ([0-9.]+) ([0-9.]+)"')
_IMAGE = re.compile(
    rb'<image x="([-0-9.]+)" y="([-0-9.]+)" width="([0-9.]+)" height="([0-9.]+)"[^>]*?'
    rb' href="data:image/(?:png|jpeg);base64,([A-Za-z0-9+/=]+)"'
)
_OUTLINE = re.compile(rb'<path class="o" d="([-MLZ0-9. ]*)"')
_LONGEST = 4 << 20
"""Bytes of one picture."""


def thumbnail(page: Path) -> str | None:
    """The first picture of a lesion in a report as a data URI.

    Args:
        page: ``report.html``.

    Returns:
        None where the page is not there, holds no picture, or none that can be read.
    """
    found = _first_picture(page)
    if found is None:
        return None
    from PIL import Image

    view, image = _VIEW.search(found), _IMAGE.search(found)
    if view is None or image is None:
        return None
    try:
        x, y, width, height, across, down = (
            float(v) for v in (*image.groups()[:4], *view.groups())
        )
        picture = _opened(base64.b64decode(image[5], validate=True))
        if not (picture and width and height and across and down):
            return None
        # Both axes by their own scale: pixels of a report need not be square.
        sx, sy = picture.width / width, picture.height / height
        box = (-x * sx, -y * sy, (across - x) * sx, (down - y) * sy)
        longer = max(across, down)
        size = (round(SIDE_PX * across / longer) or 1, round(SIDE_PX * down / longer) or 1)
        small = picture.transform(
            size, Image.Transform.EXTENT, box, Image.Resampling.BILINEAR
        ).convert("RGB")
        scale = size[0] / across
        outlines = [_rings(path, scale) for path in _OUTLINE.findall(found)]
    except (ValueError, OSError, SyntaxError, binascii.Error, Image.DecompressionBombError):
        return None
    _draw(small, [ring for rings in outlines for ring in rings])
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=72, subsampling=0)  # else the thin outline fades
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def _first_picture(page: Path) -> bytes | None:
    try:
        with page.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as m:
            # Megabytes of data of the viewer come first; the search does not copy them.
            section = m.find(_SECTION)
            begin = m.find(_BEGIN, max(section, 0))
            end = m.find(_END, begin, begin + _LONGEST) if begin >= 0 else -1
            return m[begin:end] if end >= 0 else None
    except (OSError, ValueError):  # not there; empty files cannot be mapped
        return None


def _opened(data: bytes) -> Picture | None:
    from PIL import Image

    picture = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
    if max(picture.size) > LARGEST_PX:
        return None
    return picture.convert("L") if picture.mode in ("1", "I", "I;16", "F", "P") else picture


def _rings(path: bytes, scale: float) -> list[list[tuple[float, float]]]:
    """Closed lines of an SVG path of M, L and Z, in pixels of the small picture."""
    rings = []
    for part in path.decode("ascii").split("Z"):
        points = [p.split() for p in part.replace("M", "L").split("L") if p.strip()]
        ring = [(float(x) * scale, float(y) * scale) for x, y in points]
        if len(ring) > 1:
            rings.append([*ring, ring[0]])
    return rings


def _draw(picture: Picture, rings: list[list[tuple[float, float]]]) -> None:
    from PIL import ImageDraw

    draw = ImageDraw.Draw(picture)
    for ring in rings:
        draw.line(ring, fill=(255, 210, 62), width=1)
