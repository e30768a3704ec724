"""Options that several commands share, as types of their parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AllowGaps = Annotated[
    bool,
    typer.Option(
        "--allow-gaps",
        help="Measure series with missing or uneven slices, gaps marked, instead of refusing.",
    ),
]
PacsUrl = Annotated[
    str,
    typer.Argument(
        help="https://HOST/PATH of a DICOMweb service, or dicom://AET@HOST:PORT; dicoms: with TLS.",
        show_default=False,
    ),
]
Certificates = Annotated[
    Path | None,
    typer.Option("--ca", help="TLS: certificates (PEM) to trust beside the system's."),
]
OwnCertificate = Annotated[
    Path | None,
    typer.Option("--cert", help="TLS: our own certificate with its key (PEM), if asked for."),
]
OwnTitle = Annotated[
    str | None, typer.Option("--aet", help="dicom: what we call ourselves. [default: HOIMG]")
]
ByMove = Annotated[
    str | None,
    typer.Option(
        "--listen",
        help="dicom: [HOST:]PORT where the PACS sends to us by C-MOVE; without it by C-GET.",
    ),
]
