"""``hoimg listen``: take what a PACS sends, and report on it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from hoimg.cli.console import console_of
from hoimg.cli.until_told import until_told
from hoimg.errors import UsageError

LOG = "report.log"
_RUN = "from hoimg.cli.main import main; main()"
_POLL_S = 0.1
_GRACE_S = 10.0


def listen(
    ctx: typer.Context,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="Folder for scans and reports; made if absent."),
    ],
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="TCP port.")] = 11112,
    aet: Annotated[str | None, typer.Option("--aet", help="Our AE title. [default: HOIMG]")] = None,
    host: Annotated[
        str,
        typer.Option("--host", help="Address to listen on; 0.0.0.0 for all of this machine."),
    ] = "127.0.0.1",
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", help="AE title that may send; repeatable. [default: anyone]"),
    ] = None,
    cert: Annotated[
        Path | None,
        typer.Option("--cert", help="Our certificate with its key (PEM): TLS only."),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option("--ca", help="With --cert: certificates (PEM) of who signs senders' ones."),
    ] = None,
    wait: Annotated[
        float | None,
        typer.Option(
            "--wait",
            min=0.1,
            help="Report when nothing has come for so many seconds. [default: 60]",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings in TOML, for all reports.")
    ] = None,
) -> None:
    """Be a storage SCP: file what a PACS sends by patient, and report on each when all has come.

    OUTPUT/<patient>/scans holds the files, OUTPUT/<patient>/report the report, made anew when
    another study of the patient comes (beside it, where settings have changed); <patient> is the
    keyed hash that reports carry too. An object is acknowledged when it is on the disk. A study
    that cannot be reported ends nothing: report.log beside it says why. Ctrl-C or SIGTERM ends it;
    what waited is done at the next start.

    \b
    Examples:
      hoimg listen -o inbox/ --port 11112 --aet HOIMG --host 0.0.0.0 --allow PACS
      hoimg listen -o inbox/ --port 2762 --host 0.0.0.0 --cert ours.pem --ca hospital.pem
    """
    from hoimg.pacs.connect import own_aet
    from hoimg.pacs.inbox import Inbox
    from hoimg.pacs.listen import QUIET_S, Listener, Reported
    from hoimg.pacs.listen import listen as listen_on
    from hoimg.pacs.tls import Tls
    from hoimg.settings import read_settings

    console = console_of(ctx)
    settings = read_settings(config)  # a fault in it is told now, not with every report
    name = own_aet(aet)
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: is a file; name a folder with -o")
    if ca is not None and cert is None:
        raise UsageError("--ca goes with --cert: without TLS nobody shows a certificate")
    tls = None if cert is None else Tls(ca, cert).server()
    inbox = Inbox(output, settings.sha256)
    listener = Listener(inbox, name, host, port, [own_aet(other) for other in allow or []], tls)
    if not (allow or ca or host.startswith("127.")):
        console.warn("whoever reaches this port may send; name the senders with --allow")
    console.say(f"listening as {name} on {host}:{listener.port}")

    def tell(done: Reported) -> None:
        if done.exit_code is None:
            console.say(f"{done.key}: stopped, will be done at the next start")
        elif done.exit_code == 0:
            typer.echo(f"{done.key}: {done.report / 'report.html'}")
        else:
            log = done.report.parent / LOG
            console.warn(f"{done.key}: no report (exit code {done.exit_code}), see {log}")

    with until_told() as stop:
        listen_on(
            inbox,
            listener,
            _reporter(config),
            quiet_s=QUIET_S if wait is None else wait,
            stop=stop,
            on_report=tell,
        )
    console.say(f"stopped; {sum(listener.taken.values())} object(s) came")


def _reporter(config: Path | None) -> Callable[[Path, Path, threading.Event], int | None]:
    """Makes a report in a process of its own: nothing that one study does can end the others."""
    more = [] if config is None else ["--config", str(config.absolute())]

    def make(scans: Path, report: Path, stop: threading.Event) -> int | None:
        words = [sys.executable, "-c", _RUN, "report", str(scans), "-o", str(report), *more]
        with (report.parent / LOG).open("wb") as log:
            child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                while child.poll() is None:
                    if stop.wait(_POLL_S):
                        return None
            finally:
                if child.poll() is None:
                    child.terminate()
                    try:
                        child.wait(_GRACE_S)
                    except subprocess.TimeoutExpired:
                        child.kill()
                        child.wait()
        # A report that the same Ctrl-C has ended was not tried to its end.
        return None if stop.is_set() else child.returncode

    return make
