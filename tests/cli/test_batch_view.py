"""What a batch shows while it runs, on a terminal and in a log."""

from __future__ import annotations

import io
import os
import re
from collections import Counter

import pytest

from hoimg.archive.run import Progress
from hoimg.cli import batch_view
from hoimg.cli.batch_view import watching
from hoimg.cli.console import Console


@pytest.fixture
def clock(monkeypatch):
    """The seconds that have passed, to be set."""
    now = [1000.0]
    monkeypatch.setattr(batch_view.time, "monotonic", lambda: now[0])
    return now


def test_lines_of_a_log_tell_rate_time_failures_and_memory(clock):
    stream = io.StringIO()
    progress = Progress(planned=200, kept=40, adopted=2)
    with watching(Console(stream=stream)) as show:
        show(progress)  # too soon for a line
        clock[0] += 60
        progress.done, progress.peak_mb = 27, 1234.0
        progress.failures = Counter({"no_dicom": 4, "over_time": 1})
        show(progress)
        clock[0] += 1
        show(progress)  # and again
    (line,) = stream.getvalue().splitlines()
    # 32 ended, 2 of them not in this run's time: 30 a minute; 168 are left.
    said = "hoimg: 32/200 patients, 30.0/min, 6 min left, 40 done before, "
    said += "5 failed (no_dicom 4, over_time 1)"
    assert re.fullmatch(rf"{re.escape(said)}, [0-9.]+ [MG]B now, at most 1.2 GB a patient", line)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (89.4, "89 s"),
        (90, "2 min"),
        (59.4 * 60, "59 min"),
        (3600, "1 h 0 min"),
        (86400 - 31, "23 h 59 min"),
        (86400 * 2 + 3600 * 5, "2 d 5 h"),
    ],
)
def test_time_left(seconds, words):
    assert batch_view._time(seconds) == words


def test_a_slow_batch_is_told_by_the_hour():
    assert batch_view._rate(1 / 60) == "1.0/min"
    assert batch_view._rate(0.9 / 60) == "54.0/h"


@pytest.mark.parametrize("columns", [30, 120])
def test_on_a_terminal_no_line_is_wider_than_it(monkeypatch, columns):
    from rich.console import Console as RichConsole

    codes = ("process_crashed", "not_hounsfield", "over_memory", "no_dicom")
    progress = Progress(planned=20_000, done=3, failures=Counter(dict.fromkeys(codes, 1)))
    progress.peak_mb = 1.0
    view = batch_view._View()
    terminal = RichConsole(
        file=io.StringIO(), force_terminal=True, width=columns, color_system="standard"
    )
    terminal.print(view.panel(progress))
    lines = re.sub(r"\x1b\[[0-9;]*m", "", terminal.file.getvalue()).splitlines()
    assert len(lines) == 4  # bar, patients, failures, memory
    assert all(len(line) <= columns for line in lines)
    assert lines[1].startswith("7/20000 patients")
    assert lines[2].startswith("4 failed (process_crashed 1")
    assert (columns == 120) == lines[2].rstrip().endswith("over_memory 1, …)")


def test_the_live_view_leaves_nothing_behind(monkeypatch):
    reader, writer = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(writer, "w") as stream, watching(Console(stream=stream)) as show:
        show(Progress(planned=9, done=4))
    shown = b""
    while True:
        try:
            some = os.read(reader, 65536)
        except OSError:  # the other end is closed and all is read
            break
        shown += some
        if not some:
            break
    os.close(reader)
    assert b"4/9 patients" in shown
    # Rich's way: up and erased, line by line, last of all.
    assert shown.endswith(b"\x1b[1A\x1b[2K")


def test_quiet_is_quiet():
    stream = io.StringIO()
    with watching(Console(verbosity=-1, stream=stream)) as show:
        show(Progress(planned=9, done=4))
    assert stream.getvalue() == ""
