"""One review at a time, and the new report that it makes; by raw HTTP."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from review_requests import NOTE, ask, decide

from hoimg.edits import read_edits
from hoimg.errors import UsageError
from hoimg.review.server import ReviewServer, reviewed


def test_one_report_has_one_review_at_a_time(server, folder):
    with pytest.raises(UsageError, match="another hoimg review has this report open"):
        ReviewServer(reviewed(folder, None))
    other = Path(shutil.copytree(folder, folder.with_name("other")))
    with ReviewServer(reviewed(other, None)):
        pass
    with ReviewServer(reviewed(other, None)):  # the first one has let go of it
        pass


@contextmanager
def with_scans(folder: Path, scans: Path) -> Iterator[ReviewServer]:
    with ReviewServer(reviewed(folder, None), scans=[scans]) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join()


def rerun(server: ReviewServer, method: str = "POST", **headers: Any) -> tuple[int, Any]:
    body = b"{}" if method == "POST" else None
    status, _, answer = ask(server, method, "/api/rerun", body, **headers)
    return status, json.loads(answer)


def until_ended(server: ReviewServer) -> dict[str, Any]:
    assert server.rerun is not None
    for _ in range(6000):
        state = rerun(server, "GET")[1]
        if not state["running"]:
            return state
        time.sleep(0.01)
    raise AssertionError("it did not end")


def test_without_scans_no_report_can_be_started(server):
    assert rerun(server) == (404, {"error": "there is nothing"})
    assert rerun(server, "GET") == (404, {"error": "there is nothing"})
    assert json.loads(ask(server, "GET", "/api/review")[2])["rerun"] is None


def test_what_the_command_says_of_its_failure_is_told(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with with_scans(folder, tmp_path / "empty") as server:
        status, told = rerun(server)
        assert (status, told["error"]) == (
            422,
            "there is no decision that the report does not hold yet",
        )
        assert decide(server, NOTE)[0] == 200
        for headers in ({"Cookie": None}, {"Origin": "http://evil.example"}):
            assert rerun(server, **headers)[0] == 403
        assert rerun(server, "GET", Cookie=None)[0] == 403
        assert rerun(server)[0] == 202
        state = until_ended(server)
        assert (state["made"], "empty" in state["error"]) == (0, True), state
        assert not (folder.parent / "report-reviewed" / "manifest.json").exists()
        # The same report is served, and goes on.
        assert decide(server, NOTE)[0] == 200


def test_while_the_new_report_is_made_nothing_can_be_decided(folder, tmp_path, monkeypatch):
    program = (
        "import sys, time; print('hoimg: step 1', file=sys.stderr, flush=True); time.sleep(99)"
    )
    monkeypatch.setattr("hoimg.review.rerun._RUN", program)
    with with_scans(folder, tmp_path) as server:
        assert decide(server, NOTE)[0] == 200
        assert rerun(server)[0] == 202
        while rerun(server, "GET")[1]["words"] != "step 1":
            time.sleep(0.01)
        for status, told in (rerun(server), decide(server, NOTE)):
            assert status == 422
            assert "is being made" in told["error"]
        child = server.rerun._child
        assert child.poll() is None
    assert child.poll() is not None, "it does not outlive the review"
    assert len(read_edits(folder / "edits.json").edits) == 1


def test_a_command_that_is_killed_is_told_as_such(folder, tmp_path, monkeypatch):
    program = (
        "import os, signal, sys; print('hoimg: step 1', file=sys.stderr, flush=True); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    monkeypatch.setattr("hoimg.review.rerun._RUN", program)
    with with_scans(folder, tmp_path) as server:
        assert decide(server, NOTE)[0] == 200
        assert rerun(server)[0] == 202
        state = until_ended(server)
    assert state["made"] == 0
    assert "was ended by signal 9 after: step 1" in state["error"]
