"""``hoimg doctor --pacs`` against a real archive, by both ways."""

from __future__ import annotations

import re

from orthanc_server import NEEDS_ORTHANC

from hoimg.cli import doctor as module
from hoimg.cli.main import run

pytestmark = NEEDS_ORTHANC


def test_an_archive_that_answers(orthanc, capsys, monkeypatch):
    monkeypatch.setattr(module, "_dask", lambda _problems: None)
    for address in (orthanc.web, orthanc.dimse):
        assert run(["doctor", "--pacs", address]) == 0
        assert re.search(r"^PACS +answers$", capsys.readouterr().out, re.MULTILINE)
    # There, but nobody at this path.
    assert run(["doctor", "--pacs", f"{orthanc.root}/nothing-here"]) == 1
    assert "PROBLEM" in capsys.readouterr().out
