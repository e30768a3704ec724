"""TLS of this room: which certificates are trusted, and ours where somebody asks for one."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from hoimg.errors import UsageError

HANDSHAKE_S = 5.0
"""How long one who connects may take for the handshake: the others wait meanwhile."""


@dataclass(frozen=True)
class Tls:
    """Where our certificates are. Nothing is ever left unchecked.

    Attributes:
        ca: File of certificates (PEM) to trust beside the system's (``SSL_CERT_FILE`` and
            ``SSL_CERT_DIR`` name others).
        cert: File with our own certificate and its private key (PEM, without a password).
    """

    ca: Path | None = None
    cert: Path | None = None

    def client(self) -> ssl.SSLContext:
        """For connections that we open; the certificate has to name the host.

        Raises:
            UsageError: when a file holds not what it should.
        """
        context = ssl.create_default_context()
        if self.ca is not None:
            _trust(context, self.ca)
        if self.cert is not None:
            _own(context, self.cert)
        return context

    def server(self) -> ssl.SSLContext:
        """For those who connect to us; ``cert`` is given.

        With ``ca`` they have to show a certificate that it signed, and the system's count nothing.

        Raises:
            UsageError: as :meth:`client`.
        """
        assert self.cert is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _own(context, self.cert)
        if self.ca is not None:
            _trust(context, self.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        context.sslsocket_class = _Brief
        return context


def remember_failures(context: ssl.SSLContext) -> list[OSError]:
    """What goes wrong in handshakes of a context: pynetdicom tells it to its log only."""
    failures: list[OSError] = []

    class Remembering(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            try:
                super().do_handshake(block)
            except OSError as error:
                failures.append(error)
                raise

    context.sslsocket_class = Remembering
    return failures


class _Brief(ssl.SSLSocket):
    """A connection whose handshake may not hold up those that come after it."""

    def do_handshake(self, block: bool = False) -> None:
        before = self.gettimeout()
        self.settimeout(HANDSHAKE_S)
        super().do_handshake(block)
        self.settimeout(before)


def _trust(context: ssl.SSLContext, ca: Path) -> None:
    try:
        context.load_verify_locations(cafile=ca)
    except (OSError, ssl.SSLError):
        raise UsageError(f"{ca}: no certificates (PEM) can be read there") from None


def _own(context: ssl.SSLContext, cert: Path) -> None:
    try:
        # Without a password of ours OpenSSL would ask for one on the terminal.
        context.load_cert_chain(cert, password="")
    except (OSError, ssl.SSLError, ValueError):
        raise UsageError(
            f"{cert}: no certificate with its key (PEM, without a password) can be read there"
        ) from None
