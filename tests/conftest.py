"""Fixtures that every room's tests share, and the rule that CI may skip nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
NO_SKIP = os.environ.get("HOIMG_NO_SKIP") == "1"

# A job in the background of a script has Ctrl-C ignored, and hands that down to what tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A deadline is a timed test. What CI says of a commit is the same every time; other examples are
# searched for wherever else the tests run.
settings.register_profile("hoimg", deadline=None, derandomize=NO_SKIP, print_blob=True)
settings.load_profile("hoimg")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of public CT data: ``HOIMG_REAL_DATA``, else ``../shared/data`` beside the project."""
    folder = Path(os.environ.get("HOIMG_REAL_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set HOIMG_REAL_DATA to the folder that holds it")
    return folder


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The sample patient that ships with the project."""
    return ROOT / "sample_data"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With HOIMG_NO_SKIP=1 a test that skips has failed: a green run means that all ran."""
    report = yield
    if NO_SKIP and report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} skipped with HOIMG_NO_SKIP=1: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole module that skips while it is collected."""
    report = yield
    if NO_SKIP and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} skipped with HOIMG_NO_SKIP=1: {report.longrepr}"
    return report
