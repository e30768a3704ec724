"""Where an archive is: ``https://host/dicom-web``, ``dicom://AET@host:port`` or ``dicoms://…``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from hoimg.errors import UsageError

_FORMS = (
    "give https://HOST/PATH of a DICOMweb service, or dicom://AET@HOST:PORT (dicoms:// with TLS)"
)
_AET = re.compile(r"[\x21-\x5b\x5d-\x7e]([\x20-\x5b\x5d-\x7e]{0,14}[\x21-\x5b\x5d-\x7e])?")
DICOM_PORTS = {"dicom": 104, "dicoms": 2762}
"""Where an address leads without a port: those registered for DICOM, and for DICOM over TLS."""


@dataclass(frozen=True)
class WebAddress:
    """The root of a DICOMweb service, without a slash at its end."""

    url: str

    @property
    def name(self) -> str:
        """Scheme, host and port: by this a keyring files the credentials."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def encrypted(self) -> bool:
        """Whether what is sent can be read on the way."""
        return self.url.startswith("https:")

    @property
    def local(self) -> bool:
        """Whether it never leaves this machine."""
        return _local(urlsplit(self.url).hostname or "")


@dataclass(frozen=True)
class DimseAddress:
    """A DICOM application entity on the network."""

    aet: str
    host: str
    port: int
    tls: bool = False

    @property
    def name(self) -> str:
        """As it was given."""
        return f"dicom{'s' if self.tls else ''}://{self.aet}@{self.host}:{self.port}"

    @property
    def local(self) -> bool:
        """Whether it never leaves this machine."""
        return _local(self.host)


def parse_address(text: str) -> WebAddress | DimseAddress:
    """Read the URL of an archive.

    Raises:
        UsageError: when it is none, or holds a password. The message never repeats it.
    """
    parts, port = _split(text)
    if parts.scheme in DICOM_PORTS:
        aet = unquote(parts.username or "")
        if parts.password or not parts.hostname or parts.path.strip("/") or not is_aet(aet):
            raise UsageError(f"the address of the archive is not dicom://AET@HOST:PORT; {_FORMS}")
        port = DICOM_PORTS[parts.scheme] if port is None else port
        return DimseAddress(aet, parts.hostname, port, parts.scheme == "dicoms")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(f"the address of the archive is no URL; {_FORMS}")
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            "a user or password in the address would stay in the shell's history; set "
            "HOIMG_PACS_USER and HOIMG_PACS_PASSWORD instead"
        )
    if parts.query or parts.fragment:
        raise UsageError(f"the address of the archive has a query or fragment; {_FORMS}")
    return WebAddress(text.rstrip("/"))


def is_aet(name: str) -> bool:
    """Whether a name can be an AE title: 1 to 16 printable ASCII characters, no backslash."""
    return bool(_AET.fullmatch(name))


def _local(host: str) -> bool:
    return host in {"localhost", "::1"} or host.startswith("127.")


def _split(text: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(text)
        return parts, parts.port
    except ValueError:
        raise UsageError(f"the address of the archive is no URL; {_FORMS}") from None
