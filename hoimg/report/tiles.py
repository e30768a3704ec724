"""Small volumes of bytes as one PNG each, slice beside slice: any browser can unpack them."""

from __future__ import annotations

import base64
import io
import math

import numpy as np
from numpy.typing import NDArray


def columns_for(size_zyx: tuple[int, int, int]) -> int:
    """How many slices stand beside each other, so that the picture is about square."""
    z, y, x = size_zyx
    return max(1, min(z, round(math.sqrt(z * y / x))))


def checksum(codes: NDArray[np.uint8]) -> int:
    """Sum of all bytes in C order, each times its place modulo 251 plus one.

    Some browsers alter what a page reads from a picture, against trackers; the script compares.
    """
    weights = np.arange(codes.size) % 251 + 1
    return int(np.dot(codes.ravel().astype(np.int64), weights))


def tiled_png(codes: NDArray[np.uint8]) -> str:
    """Base64 of a grey PNG that holds every slice ``[z]``, row by row of :func:`columns_for`.

    It has no colour profile and no gamma, so that a browser gives the very bytes back.
    """
    from PIL import Image

    z, y, x = codes.shape
    columns = columns_for((z, y, x))
    rows = -(-z // columns)
    sheet = np.zeros((rows * columns, y, x), np.uint8)
    sheet[:z] = codes
    flat = sheet.reshape(rows, columns, y, x).swapaxes(1, 2).reshape(rows * y, columns * x)
    buffer = io.BytesIO()
    Image.fromarray(flat).save(buffer, "PNG", optimize=False, compress_level=4)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
