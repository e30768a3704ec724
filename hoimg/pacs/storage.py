"""What a storage SCP takes: every class and transfer syntax, file by file, byte for byte."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hoimg.errors import UsageError

if TYPE_CHECKING:
    import ssl

    from pynetdicom.ae import ApplicationEntity
    from pynetdicom.events import Event
    from pynetdicom.transport import ThreadedAssociationServer

SUCCESS, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000
"""Status of a C-STORE (PS3.4 B.2.3)."""
CONNECT_S, ANSWER_S = 10.0, 120.0
"""Longest wait for a connection, and for the next message on it."""


@contextmanager
def unheard() -> Iterator[None]:
    """Keep pynetdicom's log to itself: it quotes what is asked for, a PatientID among it."""
    logger = logging.getLogger("pynetdicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def entity(aet: str) -> ApplicationEntity:
    """An application entity with this room's timeouts."""
    from pynetdicom.ae import ApplicationEntity

    ae = ApplicationEntity(aet)
    ae.connection_timeout = CONNECT_S
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ANSWER_S
    return ae


def start_storage(
    ae: ApplicationEntity,
    host: str,
    port: int,
    take: Callable[[Event], int],
    tls: ssl.SSLContext | None = None,
) -> ThreadedAssociationServer:
    """Let an entity take objects, in threads of its own, until its ``shutdown()``.

    Args:
        ae: Further limits (who may call) are set on it.
        host: Address to bind.
        port: TCP port; 0 for any that is free.
        take: Given each C-STORE; its status is the answer.
        tls: With it nothing is taken without TLS.

    Raises:
        UsageError: when the port cannot be bound.
    """
    from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
    from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

    for context in AllStoragePresentationContexts:
        assert context.abstract_syntax is not None
        ae.add_supported_context(context.abstract_syntax, ALL_TRANSFER_SYNTAXES)
    ae.add_supported_context(Verification)
    _check_free(host, port)
    server = ae.start_server(
        (host, port), block=False, evt_handlers=[(evt.EVT_C_STORE, take)], ssl_context=tls
    )
    assert server is not None
    return server


def _check_free(host: str, port: int) -> None:
    """Refuse a port that cannot be bound, by its name; pynetdicom would leave its socket open."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise UsageError(
            f"{host}:{port}: cannot be listened on ({error.strerror}); give another port"
        ) from None
