"""What may go wrong between hoimg and an archive, by kind, each with what to do about it."""

from __future__ import annotations

from typing import Literal

from hoimg.errors import HoimgError

Kind = Literal[
    "unreachable",
    "tls_refused",
    "unauthorized",
    "not_found",
    "broken_off",
    "bad_answer",
    "refused",
    "cannot_fetch",
    "nothing_found",
    "incomplete",
    "conflict",
]


class PacsError(HoimgError):
    """The archive could not do what was asked; exit code 1.

    Args:
        message: One line that says what happened and what to do; never a password, name or
            PatientID, nor the text of a library's error, which may quote them.
        kind: For programs.
    """

    def __init__(self, message: str, kind: Kind) -> None:
        super().__init__(message)
        self.kind = kind


def untrusted(name: str) -> PacsError:
    """The error of a certificate that nobody we trust has signed, or that is another host's."""
    return PacsError(
        f"{name}: its certificate is not trusted; give the certificate of the authority that "
        "signed it with --ca FILE, or in the environment as SSL_CERT_FILE",
        "tls_refused",
    )


def unreachable(name: str) -> PacsError:
    """The error of a host that does not answer."""
    return PacsError(f"{name}: cannot be reached; check host, port and network", "unreachable")
