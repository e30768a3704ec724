"""``hoimg pull``: studies out of a PACS into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hoimg.cli.console import console_of
from hoimg.cli.options import ByMove, Certificates, OwnCertificate, OwnTitle, PacsUrl
from hoimg.errors import UsageError

if TYPE_CHECKING:
    import datetime


def pull(
    ctx: typer.Context,
    url: PacsUrl,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for the files; made if absent.")
    ],
    patient: Annotated[str | None, typer.Option("--patient", help="PatientID, exactly.")] = None,
    study: Annotated[str | None, typer.Option("--study", help="StudyInstanceUID.")] = None,
    accession: Annotated[
        str | None, typer.Option("--accession", help="AccessionNumber, exactly.")
    ] = None,
    dates: Annotated[
        str | None,
        typer.Option("--dates", help="A:B, first and last study date, YYYY-MM-DD; one may lack."),
    ] = None,
    ca: Certificates = None,
    cert: OwnCertificate = None,
    aet: OwnTitle = None,
    listen: ByMove = None,
) -> None:
    """Fetch studies from a PACS; stopped at any moment and run again, it goes on.

    What is given has to hold together: --patient and --dates fetch that patient's studies of those
    days. Every object that the PACS lists is fetched and checked; files that are there whole (by
    SHA-256, in pull.json) are not fetched again. Files are named by hashes of their UIDs.

    User and password come from HOIMG_PACS_USER and HOIMG_PACS_PASSWORD, a bearer token from
    HOIMG_PACS_TOKEN, else from the keyring's entry "hoimg https://HOST" (pip install
    'hoimg[keyring]'). Certificates are checked against the system's, and never left unchecked.

    With dicom:// studies come by C-GET, over the connection that we open. For a PACS without it
    have our AE title, address and port entered there, and give the port with --listen (C-MOVE).

    \b
    Examples:
      hoimg pull https://pacs.example.org/dicom-web -o scans/ --patient 4711
      hoimg pull https://pacs.example.org/dicom-web -o scans/ --accession A-17 --ca hospital.pem
      hoimg pull dicom://PACS@pacs.example.org:11112 -o scans/ --study 1.2.3.4 --aet READER
    """
    from hoimg.pacs.archive import Query

    since, until = (None, None) if dates is None else _range(dates)
    query = Query(patient, study, accession, since, until)

    from hoimg.pacs.connect import connect
    from hoimg.pacs.pull import pull as pull_studies
    from hoimg.pacs.tls import Tls

    console = console_of(ctx)
    archive, warning = connect(url, tls=Tls(ca, cert), aet=aet, listen=listen)
    if warning is not None:
        console.warn(warning)
    with archive, console.progress("Pulling") as step:
        pulled = pull_studies(
            archive, query, output, lambda done, total: step(f"{done} of {total} objects")
        )
    if pulled.others:
        console.warn(
            f"the archive also named {pulled.others} study(ies) that do not match; it seems not to "
            "know what was asked for, and they were left out"
        )
    typer.echo(
        f"{pulled.instances} object(s) of {pulled.studies} study(ies) in {output}, "
        f"{pulled.fetched} of them new"
    )


def _range(text: str) -> tuple[datetime.date | None, datetime.date | None]:
    from datetime import date

    first, colon, last = text.partition(":")
    try:
        if not colon:
            raise ValueError
        since, until = (date.fromisoformat(day) if day else None for day in (first, last))
    except ValueError:
        raise UsageError(f"--dates {text}: give A:B, days as YYYY-MM-DD") from None
    return since, until
