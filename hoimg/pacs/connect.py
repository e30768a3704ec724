"""From an address to an open archive."""

from __future__ import annotations

from hoimg.errors import UsageError
from hoimg.pacs.address import DimseAddress, is_aet, parse_address
from hoimg.pacs.archive import Archive
from hoimg.pacs.tls import Tls

OWN_AET = "HOIMG"
"""What we call ourselves on a DICOM network, unless told."""
_WITHOUT_TLS = "--ca and --cert go with an https:// or dicoms:// address"


def connect(
    url: str,
    *,
    tls: Tls | None = None,
    aet: str | None = None,
    listen: str | None = None,
) -> tuple[Archive, str | None]:
    """The archive at a URL, nothing sent yet, and a warning for the user where there is one.

    Args:
        url: As :func:`~hoimg.pacs.address.parse_address` takes it.
        tls: Certificates; ``https://`` and ``dicoms://`` only.
        aet: What we call ourselves, :data:`OWN_AET` by default; DIMSE only.
        listen: ``[HOST:]PORT`` where C-MOVE can send to us; DIMSE only.

    Raises:
        UsageError: when the address is none, or options do not go with it.
    """
    address = parse_address(url)
    given, tls = tls not in (None, Tls()), tls or Tls()
    if isinstance(address, DimseAddress):
        from hoimg.pacs.dimse import DimseArchive

        if given and not address.tls:
            raise UsageError(_WITHOUT_TLS)
        place = None if listen is None else parse_place(listen)
        if place is not None and address.tls and tls.cert is None:
            raise UsageError(
                "--listen with dicoms://: the PACS opens that connection, and needs a certificate "
                "of ours on it; give it with --cert"
            )
        warning = None
        if not (address.tls or address.local):
            warning = f"{address.name}: not encrypted; the images can be read on the way"
        return DimseArchive(address, own_aet(aet), place, tls), warning
    if aet is not None or listen is not None:
        raise UsageError("--aet and --listen go with a dicom:// or dicoms:// address")
    from hoimg.pacs.credentials import find_credentials
    from hoimg.pacs.web import WebArchive

    if given and not address.encrypted:
        raise UsageError(_WITHOUT_TLS)
    credentials = find_credentials(address.name)
    warning = None
    if not (address.encrypted or address.local):
        what = "the password and the images" if credentials.any else "the images"
        warning = f"{address.name}: not encrypted; {what} can be read on the way"
    return WebArchive(address, credentials, tls), warning


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
