"""From an address to an open archive."""

from __future__ import annotations

from pathlib import Path

from hoimg.errors import UsageError
from hoimg.pacs.address import DimseAddress, parse_address
from hoimg.pacs.archive import Archive


def connect(url: str, ca: Path | None = None) -> tuple[Archive, str | None]:
    """The archive at a URL, nothing sent yet, and a warning for the user where there is one.

    Args:
        url: As :func:`~hoimg.pacs.address.parse_address` takes it.
        ca: File of certificates to trust beside the system's; https only.

    Raises:
        UsageError: when the address is none, or options do not go with it.
    """
    address = parse_address(url)
    if isinstance(address, DimseAddress):
        raise UsageError("dicom:// is not there yet")
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
