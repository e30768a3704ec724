"""What the tests of several benchmarks share."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture(scope="module")
def bench(request):
    """The modules named in a test file's ``MODULES``, of the benchmark in its ``HERE``.

    They import each other by plain names, which are taken back afterwards: other benchmarks have
    modules of the same names.
    """
    here, names = str(request.module.HERE), request.module.MODULES
    before = {n: sys.modules.pop(n, None) for n in names}
    sys.path.insert(0, here)
    try:
        yield {n: __import__(n) for n in names}
    finally:
        sys.path.remove(here)
        for n in names:
            sys.modules.pop(n, None)
            if before[n] is not None:
                sys.modules[n] = before[n]
