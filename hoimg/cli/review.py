"""``hoimg review``: look at a report, decide on each lesion, keep the decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hoimg.cli.console import console_of
from hoimg.errors import UsageError


def review(
    ctx: typer.Context,
    report: Annotated[Path, typer.Argument(help="A report folder or its report.json.")],
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="What it was made from: then the page can make the new report."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Folder for the new report. [default: REPORT-reviewed]"
        ),
    ] = None,
    reader: Annotated[
        str | None,
        typer.Option("--reader", help="Who reviews, as edits.json shall name them; else asked."),
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0: a free one.")
    ] = 0,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address.")
    ] = False,
) -> None:
    """Open a report on this machine with accept, reject, relabel, split, merge and notes.

    The page is served on 127.0.0.1 only, to whoever has the printed address. Decisions are written
    to edits.json in the report's folder, each with who and when; the report itself stays as it is
    until a new one is made of it: by a button in the page, where the scans are named, or with
    hoimg measure. Ctrl-C ends it.

    Examples:

    \b
      hoimg review report/ scans/ --reader "A. Reader"
      hoimg review report/                           (without scans: decisions alone, and then)
      hoimg measure report/ scans/ -o corrected/     (all numbers again, corrected)
    """
    import webbrowser
    from threading import Thread

    from hoimg.review.server import ReviewServer, reviewed

    console = console_of(ctx)
    if output is not None and not paths:
        raise UsageError("-o goes with the scans that the new report is made from")
    for path in paths or ():
        if not path.exists():
            raise UsageError(f"{path}: there is nothing; name what the report was made from")
    name = " ".join((reader or "").split())[:200] or None
    with console.progress("Opening") as step:
        step("report")
        what = reviewed(report, name)
    with ReviewServer(what, port, [p.absolute() for p in paths or ()], output) as server:
        typer.echo(server.url)
        console.say("Decisions go to edits.json in the report's folder. Ctrl-C ends the review.")
        if not no_browser:
            # Some browsers run in the terminal, and come back only when they are closed.
            Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            console.say("Ended.")
        what = server.what
    if what.state()["pending"]:
        console.say("To make the report that honours the decisions:")
        console.say(f"  hoimg measure {what.saved.folder} SCANS -o NEW")
    else:
        console.say(f"The report: {what.saved.folder / 'report.html'}")
