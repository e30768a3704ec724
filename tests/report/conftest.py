"""A report of the synthetic patient, and a review's server on a copy of it."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from review_requests import with_anatomy
from synthetic_report import patient

from hoimg.report import write_report
from hoimg.review.server import ReviewServer, reviewed


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("written") / "report"
    write_report(with_anatomy(patient()), folder)
    (folder / "private.txt").write_text("not of the report")
    (folder.parent / "secret.txt").write_text("beside the report")
    return folder


@pytest.fixture
def folder(written, tmp_path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "report"))


@pytest.fixture
def server(folder):
    with ReviewServer(reviewed(folder, None)) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join()
