"""The C library asked to keep what numpy frees for the next map, and to give it back in time.

Only glibc can be asked; elsewhere both functions do nothing.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

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


@cache
def _glibc() -> Any:
    """The C library of this process; None where it is not glibc."""
    if sys.platform != "linux":
        return None
    import ctypes

    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
