"""From an address to an open archive."""

from __future__ import annotations

from pathlib import Path

from hoimg.errors import UsageError
from hoimg.pacs.address import DimseAddress, is_aet, parse_address
from hoimg.pacs.archive import Archive

OWN_AET = "HOIMG"
"""What we call ourselves on a DICOM network, unless told."""


def connect(
    url: str,
    *,
    ca: Path | None = None,
    aet: str | None = None,
    listen: str | None = None,
) -> tuple[Archive, str | None]:
    """The archive at a URL, nothing sent yet, and a warning for the user where there is one.

    Args:
        url: As :func:`~hoimg.pacs.address.parse_address` takes it.
        ca: File of certificates to trust beside the system's; https only.
        aet: What we call ourselves, :data:`OWN_AET` by default; ``dicom://`` only.
        listen: ``[HOST:]PORT`` where C-MOVE can send to us; ``dicom://`` only.

    Raises:
        UsageError: when the address is none, or options do not go with it.
    """
    address = parse_address(url)
    if isinstance(address, DimseAddress):
        from hoimg.pacs.dimse import DimseArchive

        if ca is not None:
            raise UsageError("--ca goes with an https:// address")
        place = None if listen is None else parse_place(listen)
        warning = None
        if not address.local:
            warning = f"{address.name}: not encrypted; the images can be read on the way"
        return DimseArchive(address, own_aet(aet), place), warning
    if aet is not None or listen is not None:
        raise UsageError("--aet and --listen go with a dicom:// address")
    from hoimg.pacs.credentials import find_credentials
    from hoimg.pacs.web import WebArchive

    if ca is not None and not address.encrypted:
        raise UsageError("--ca goes with an https:// address")
    credentials = find_credentials(address.name)
    warning = None
    if not (address.encrypted or address.local):
        what = "the password and the images" if credentials.any else "the images"
        warning = f"{address.name}: not encrypted; {what} can be read on the way"
    return WebArchive(address, credentials, ca), warning


def own_aet(name: str | None) -> str:
    """Our AE title.

    Raises:
        UsageError: when the name cannot be one.
    """
    if name is not None and not is_aet(name):
        raise UsageError("--aet: give 1 to 16 printable ASCII characters without a backslash")
    return name or OWN_AET


def parse_place(text: str) -> tuple[str, int]:
    """``[HOST:]PORT`` as host and port; all of the machine's addresses where no host is given.

    Raises:
        UsageError: when it is none.
    """
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise UsageError(f"--listen {text}: give [HOST:]PORT")
    return host.strip("[]") or "0.0.0.0", int(port)
