"""Freed memory is kept, and given back when asked; where it cannot be asked, nothing happens."""

import platform
import subprocess
import sys

import numpy as np
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


SPARSE = """
import numpy as np
from hoimg.memory import sparse_zeros

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

before = resident()
labels = sparse_zeros((256, 512, 512), np.uint16)  # 128 MiB
labels[::16, 100:104, 200:300] = 7
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="pages are Linux's")
def test_a_sparse_label_map_takes_the_pages_that_are_written() -> None:
    run = subprocess.run([sys.executable, "-c", SPARSE], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 4


FILLED = SPARSE.replace(
    "print(resident() - before)",
    """print(resident() - before)
from hoimg.memory import sparse_filled
dense = np.zeros((256, 512, 512), np.uint16)
dense[:] = labels  # every page of it is real
before = resident()
copy = sparse_filled(dense.shape, dense.dtype, dense)
print(resident() - before)""",
)


@pytest.mark.skipif(sys.platform != "linux", reason="pages are Linux's")
def test_a_map_filled_plane_by_plane_takes_the_rows_with_something_in_them() -> None:
    run = subprocess.run([sys.executable, "-c", FILLED], capture_output=True, text=True, check=True)
    assert float(run.stdout.split()[-1]) < 8


@pytest.mark.parametrize("system", ["linux", "darwin"])
@pytest.mark.parametrize("shape", [(0, 4, 5), (1, 1, 1), (3, 700, 9)])
def test_sparse_zeros_are_an_array_like_any_other(
    system: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    if system == "darwin" or sys.platform == "linux":
        monkeypatch.setattr(sys, "platform", system)
    made = memory.sparse_zeros(shape, np.uint16)
    assert made.shape == shape
    assert made.dtype == np.uint16
    assert not made.any()
    made[:] = 65535
    assert made.sum(dtype=int) == 65535 * made.size


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


def test_an_array_filled_plane_by_plane_holds_what_it_was_given():
    given = np.random.default_rng(3).integers(0, 4, (5, 6, 7)).astype(np.uint16)
    given[:, 2:4] = 0
    given[1] = 0
    made = memory.sparse_filled(given.shape, np.uint16, iter(given))
    assert made.dtype == np.uint16
    assert np.array_equal(made, given)
    made[0, 2, 3] = 9  # it is the caller's own
    assert given[0, 2, 3] == 0
    with pytest.raises(ValueError, match=r"shorter|longer"):
        memory.sparse_filled((4, 6, 7), np.uint16, given)
