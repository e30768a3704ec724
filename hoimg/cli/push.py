"""``hoimg push``: a report's DICOM objects into a PACS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hoimg.cli.console import Console, console_of
from hoimg.cli.options import ByMove, Certificates, OwnCertificate, OwnTitle, PacsUrl

if TYPE_CHECKING:
    from hoimg.pacs.push import Pushed


def push(
    ctx: typer.Context,
    report: Annotated[Path, typer.Argument(help="Folder that hoimg report has written.")],
    url: PacsUrl,
    ca: Certificates = None,
    cert: OwnCertificate = None,
    aet: OwnTitle = None,
    listen: ByMove = None,
) -> None:
    """Store a report's DICOM objects (SEG, SR, summary picture) in the studies they belong to.

    Each object is looked for first, sent where it is not there, and read back. Run again, nothing
    is sent twice. Where the PACS has another object under the same UID, that one stays, and the
    exit code is 1. The objects carry the patient's identity as the source images have it.

    User, password and token as in hoimg pull.

    \b
    Example:
      hoimg push report/ https://pacs.example.org/dicom-web
    """
    from hoimg.pacs.connect import connect
    from hoimg.pacs.push import dicom_objects
    from hoimg.pacs.push import push as push_objects
    from hoimg.pacs.tls import Tls

    console = console_of(ctx)
    objects = dicom_objects(report)
    archive, warning = connect(url, tls=Tls(ca, cert), aet=aet, listen=listen)
    if warning is not None:
        console.warn(warning)
    with archive, console.progress("Pushing", total=len(objects)) as step:
        pushed = push_objects(archive, objects, step)
    typer.echo(f"{pushed.stored} object(s) stored, {pushed.held} already there")
    _say(pushed, console)


def _say(pushed: Pushed, console: Console) -> None:
    if pushed.changed:
        console.warn(f"the archive changed {', '.join(sorted(pushed.changed))} in filing them")
    if pushed.unread:
        console.warn(
            f"the archive lets us fetch nothing: {len(pushed.unread)} object(s) are there by its "
            "own word and were not compared (see --listen)"
        )
    for name in pushed.conflicts:
        console.warn(f"{name}: the archive has another object of the same UID, and keeps it")
    for name, why in pushed.refused:
        console.warn(f"{name}: {why}")
    if pushed.conflicts or pushed.refused:
        from hoimg.pacs.errors import PacsError

        count = len(pushed.conflicts) + len(pushed.refused)
        raise PacsError(
            f"{count} object(s) are not in the archive as they were made",
            "conflict" if pushed.conflicts else "refused",
        )
