"""How maps get their memory: what is freed is kept for the next one, what stays empty takes none.

Only glibc can be asked to keep memory; elsewhere those two functions do nothing.
"""

from __future__ import annotations

import math
import mmap
import sys
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Names of glibc's ``mallopt(3)``."""
KEPT_BYTES = 300 << 20
"""Freed memory up to this stays with the process."""
SINGLE_BYTES = 32 << 20
"""Larger arrays go back to the system at once: these are few, and make the peak."""


@cache
def keep_freed_memory() -> None:
    """Keep freed memory for reuse, in one arena for new threads; once per process.

    A segmentation makes hundreds of maps of some megabytes, one after the other. Where each is
    given back to the system and fetched anew, a tenth of the time goes into clearing pages.
    """
    libc = _glibc()
    if libc is not None:
        libc.mallopt(M_ARENA_MAX, 1)
        libc.mallopt(M_MMAP_THRESHOLD, SINGLE_BYTES)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def give_back_freed_memory() -> None:
    """Give what is kept back to the system, before something large is made."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def sparse_zeros(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Zeros of which only the pages that are written take memory.

    numpy asks Linux for pages of 2 MB, and a few lesions here and there fill all of those.

    Args:
        shape: Shape of the array.
        dtype: Its type.
    """
    count = math.prod(shape)
    if sys.platform != "linux" or count == 0:
        return np.zeros(shape, dtype=dtype)
    pages = mmap.mmap(-1, count * np.dtype(dtype).itemsize, flags=mmap.MAP_PRIVATE)
    return np.frombuffer(pages, dtype=dtype).reshape(shape)


def sparse_filled(
    shape: tuple[int, ...], dtype: DTypeLike, planes: Iterable[NDArray[Any]]
) -> NDArray[Any]:
    """An array of which only rows with something in them take memory.

    Args:
        shape: Shape of the array, ``[z, y, x]``.
        dtype: Its type.
        planes: Its planes along z, in order, ``[y, x]`` each; made one at a time.
    """
    array = sparse_zeros(shape, dtype)
    for plane, given in zip(array, planes, strict=True):
        rows = given.any(axis=1)
        plane[rows] = given[rows]
    return array


@cache
def _glibc() -> Any:
    """The C library of this process; None where it is not glibc."""
    if sys.platform != "linux":
        return None
    import ctypes

    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
