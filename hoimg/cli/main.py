"""The ``hoimg`` command: finds the subcommand, and turns every outcome into one exit code.

Importing this module must stay cheap: a subcommand imports what it needs inside its function.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from typer.main import get_command

import hoimg
from hoimg.cli.console import Console, logging_to
from hoimg.errors import HoimgError

COMMANDS = (
    *("report", "info", "explain", "review", "measure", "deidentify"),
    *("pull", "push", "listen", "export"),
    *("batch", "query", "simulate", "validate", "schema", "doctor"),
)
"""Subcommands in the order of the help page; each is a function in a module of its own name."""

QUIET = frozenset({"-q", "--quiet"})
VERBOSE = frozenset({"-v", "--verbose"})
INTERRUPTED = 130
BROKEN_PIPE = 141

EPILOG = """
Examples:

\b
  hoimg info scans/                     what is there, and what would be analysed
  hoimg report scans/ -o report/        find, measure, follow and stage: open report/report.html
  hoimg explain report/ L1              every number behind one lesion's label
  hoimg review report/                  accept, reject, relabel, split, merge, with your name
  hoimg measure report/ scans/ -o new/  all numbers again from the report's label maps

-q and -v may also follow the subcommand. Exit codes: 0 done, 1 failure, 2 usage,
3 input refused by its checks, 4 batch finished with failures.

For research use only; not a medical device. Not advice to operate or to wait, and it does not
exclude malignancy.
"""

app = typer.Typer(
    name="hoimg",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hoimg {hoimg.__version__}")
        raise typer.Exit()


@app.callback(epilog=EPILOG)
def root(
    ctx: typer.Context,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only warnings and errors.")] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Details, log lines and tracebacks.")
    ] = False,
    version: Annotated[  # noqa: ARG001 (the callback acts on it)
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Find, measure, follow and stage heterotopic ossification on serial CT.

    Reads folders of DICOM CT of one patient, finds bone that formed in soft tissue, measures it
    at every date, tells which lesion is which over time and whether it changed, and says whether
    it looks immature or mature, with every number behind that. Works offline; never changes its
    input.
    """
    console = Console(verbosity=1 if verbose else -1 if quiet else 0)
    ctx.obj = console
    ctx.with_resource(logging_to(console))


for _name in COMMANDS:
    app.command(_name)(getattr(import_module(f"hoimg.cli.{_name}"), _name))


def hoist(arguments: Sequence[str]) -> list[str]:
    """Move ``-q`` and ``-v`` to the front, so that they may stand anywhere before ``--``."""
    stop = list(arguments).index("--") if "--" in arguments else len(arguments)
    head, tail = arguments[:stop], list(arguments[stop:])
    moved = [a for a in head if a in QUIET | VERBOSE]
    return moved + [a for a in head if a not in QUIET | VERBOSE] + tail


def run(arguments: Sequence[str]) -> int:
    """Run one command line and give its exit code; every failure is one line on stderr.

    Args:
        arguments: The words after ``hoimg``.

    Returns:
        The exit code of the contract (``docs/contracts.md``); 130 when interrupted.
    """
    words = hoist(arguments) or ["--help"]
    verbose = bool(VERBOSE.intersection(words[: words.index("--")] if "--" in words else words))
    command = get_command(app)
    try:
        with command.make_context("hoimg", words) as ctx:
            command.invoke(ctx)
        sys.stdout.flush()
    except typer.Exit as done:
        return done.exit_code
    except HoimgError as error:
        _complain(str(error))
        return error.exit_code
    except typer.TyperException as error:
        return _usage(error)
    except (KeyboardInterrupt, typer.Abort):
        _complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (`head`, a pager) has what it wanted; Python would complain again on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:  # the last resort: no traceback for a user who did not ask
        return _unexpected(error, verbose)
    return 0


def _usage(error: typer.TyperException) -> int:
    ctx = getattr(error, "ctx", None)
    path = "hoimg" if ctx is None else ctx.command_path
    _complain(f"{error.format_message().rstrip('.')} (see '{path} --help')")
    return error.exit_code


def _unexpected(error: Exception, verbose: bool) -> int:
    import traceback

    if verbose:
        traceback.print_exception(error, file=sys.stderr)
    if isinstance(error, OSError) and error.strerror:
        where = "" if error.filename is None else f"{error.filename}: "
        _complain(f"{where}{error.strerror}")
        return 1
    # The text of a library's error may quote a header value that names the patient: only with -v.
    last = traceback.extract_tb(error.__traceback__)[-1]
    text = f": {error}" if verbose else "; run again with -v for the traceback"
    place = f"{Path(last.filename).name}:{last.lineno}"
    _complain(f"unexpected {type(error).__name__} at {place}{text}")
    return 1


def _complain(message: str) -> None:
    print(f"hoimg: {' '.join(message.split())}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point of ``hoimg`` and of ``python cli.py``."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))
