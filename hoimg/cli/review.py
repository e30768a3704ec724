"""``hoimg review``: look at a report, decide on each lesion, keep the decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hoimg.cli.console import console_of


def review(
    ctx: typer.Context,
    report: Annotated[Path, typer.Argument(help="A report folder or its report.json.")],
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
    until a new one is made of it. Ctrl-C ends it.

    Examples:

    \b
      hoimg review report/ --reader "A. Reader"
      hoimg measure report/ scans/ -o corrected/     (then: all numbers again, corrected)
    """
    import webbrowser
    from threading import Thread

    from hoimg.review.server import ReviewServer, reviewed

    console = console_of(ctx)
    name = " ".join((reader or "").split())[:200] or None
    with console.progress("Opening") as step:
        step("report")
        what = reviewed(report, name)
    with ReviewServer(what, port) as server:
        typer.echo(server.url)
        console.say("Decisions go to edits.json in the report's folder. Ctrl-C ends the review.")
        if not no_browser:
            # Some browsers run in the terminal, and come back only when they are closed.
            Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            console.say("Ended. To make the report that honours the decisions:")
    console.say(f"  hoimg measure {what.saved.folder} SCANS -o NEW")
