"""Freed memory is kept, and given back when asked; where it cannot be asked, nothing happens."""

import platform
import subprocess
import sys

import pytest

from hoimg import memory

PROGRAM = """
import numpy as np
from hoimg.memory import give_back_freed_memory, keep_freed_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

keep_freed_memory()
keep_freed_memory()
maps = [np.ones(2**23, np.uint8) for _ in range(16)]  # 128 MiB in pieces of 8
del maps
kept = resident()
give_back_freed_memory()
print(kept - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_maps_stay_until_they_are_given_back() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert float(run.stdout) > 100


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_elsewhere_nothing_is_asked(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    for cached in (memory._glibc, memory.keep_freed_memory):
        cached.cache_clear()
    try:
        memory.keep_freed_memory()
        memory.give_back_freed_memory()
        assert memory._glibc() is None
    finally:
        memory._glibc.cache_clear()
        memory.keep_freed_memory.cache_clear()
