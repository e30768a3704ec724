"""A green run with HOIMG_NO_SKIP=1 means that every test ran."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest
def test_runs(): pass
def test_skips_inside(): pytest.skip("no scanner")
@pytest.mark.skip(reason="marked")
def test_marked(): pass
def test_wants_real_data(real_data): pass
"""
MODULE = (
    "import pytest\npytest.importorskip('a_module_that_is_not_there')\ndef test_never(): pass\n"
)


@pytest.mark.parametrize(
    ("no_skip", "code", "counts"),
    [("0", 0, ["1 passed", "4 skipped"]), ("1", 1, ["1 passed", "1 failed", "3 errors"])],
)
def test_a_skip_is_a_failure_where_none_is_allowed(tmp_path, no_skip, code, counts):
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path / "conftest.py")
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "test_module.py").write_text(MODULE)
    # Run to the end, so that an error while collecting does not hide the other tests.
    words = ["-q", "-p", "no:cacheprovider", "--continue-on-collection-errors", "--rootdir", "."]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *words, "."],
        cwd=tmp_path,
        env={**os.environ, "HOIMG_NO_SKIP": no_skip, "HOIMG_REAL_DATA": str(tmp_path / "absent")},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == code, ran.stdout
    for count in counts:
        assert count in ran.stdout
    if no_skip == "1":
        for reason in ("no scanner", "marked", "set HOIMG_REAL_DATA", "a_module_that_is_not_there"):
            assert reason in ran.stdout
