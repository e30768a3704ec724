"""What is said on standard error, on a terminal and elsewhere."""

from __future__ import annotations

import io
import logging
import sys
import warnings

import pytest
import structlog
import typer

from hoimg.cli import console as module
from hoimg.cli.console import Console, console_of, logging_to


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("verbosity", "expected"),
    [(-1, ["warning: w"]), (0, ["s", "warning: w"]), (1, ["s", "d", "warning: w"])],
)
def test_what_is_said_depends_on_q_and_v(verbosity, expected):
    stream = io.StringIO()
    console = Console(verbosity, stream)
    console.say("s")
    console.detail("d")
    console.warn("w")
    assert stream.getvalue().splitlines() == [f"hoimg: {line}" for line in expected]


def clock(monkeypatch, *times):
    ticks = iter(times)
    monkeypatch.setattr(module.time, "monotonic", lambda: next(ticks))


def test_short_work_stays_silent_and_long_work_is_told(monkeypatch):
    stream = io.StringIO()
    # Begun at 0; steps just before the limit, at it, too soon after that line, and later.
    clock(monkeypatch, 0.0, 1.9, 2.0, 3.9, 61.2)
    with Console(0, stream).progress("Analysing", 4) as step:
        for name in ("one", "two", "three", "four"):
            step(name)
    assert stream.getvalue().splitlines() == [
        "hoimg: Analysing: 2/4 two (2 s)",
        "hoimg: Analysing: 4/4 four (61 s)",
    ]


def test_with_v_more_is_told_and_without_a_total_steps_are_counted(monkeypatch):
    stream = io.StringIO()
    clock(monkeypatch, 0.0, 0.1, 0.2)
    with Console(1, stream).progress("Reading") as step:
        step("a")
        step("b")
    assert stream.getvalue() == "hoimg: Reading: 2 b (0 s)\n"


def test_quiet_work_shows_nothing():
    stream = io.StringIO()
    with Console(-1, stream).progress("Reading", 1) as step:
        step("a")
    assert stream.getvalue() == ""


def test_a_terminal_sees_a_bar_that_is_taken_away():
    stream = Terminal()
    with Console(0, stream).progress("Analysing", 2) as step:
        step("[one]")
        step("two")
    assert "Analysing: two" in stream.getvalue()


def test_the_console_of_a_command_that_runs_alone():
    ctx = typer.main.get_command(typer_app()).make_context("x", [])
    assert console_of(ctx).verbosity == 0
    ctx.obj = Console(1)
    assert console_of(ctx) is ctx.obj


def typer_app() -> typer.Typer:
    app = typer.Typer()

    @app.command()
    def alone() -> None:
        """Nothing."""

    return app


def test_logs_and_warnings_are_for_v_only_and_leave_nothing_behind(capsys, monkeypatch):
    # pytest records warnings; here they are to go where a user would see them.
    monkeypatch.setattr(warnings, "showwarning", lambda text, *_: print(text, file=sys.stderr))
    before = (logging.getLogger().handlers[:], logging.getLogger().level, warnings.filters[:])
    for verbosity in (0, 1):
        stream = io.StringIO()
        with logging_to(Console(verbosity, stream)):
            logging.getLogger("lib").info("detail of a library")
            structlog.get_logger().info("read", files=3)
            warnings.warn("value 'DOE^JANE' is invalid", stacklevel=1)
        said = stream.getvalue() + capsys.readouterr().err
        assert ("detail of a library" in said) == (verbosity == 1)
        assert ('"files": 3' in said) == (verbosity == 1)
        if verbosity == 0:
            assert "DOE" not in said
    after = (logging.getLogger().handlers[:], logging.getLogger().level, warnings.filters[:])
    assert after == before
