"""One association with an archive, and in words what kept it from coming about."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hoimg.pacs.address import DimseAddress
from hoimg.pacs.errors import PacsError, unreachable, untrusted
from hoimg.pacs.storage import entity
from hoimg.pacs.tls import remember_failures

if TYPE_CHECKING:
    from pydicom import Dataset
    from pynetdicom.association import Association
    from pynetdicom.events import Event


@contextmanager
def associated(
    address: DimseAddress,
    aet: str,
    client: ssl.SSLContext | None,
    contexts: Any,
    roles: Any = (),
    handlers: Any = (),
) -> Iterator[Association]:
    """An association, released at the end.

    Args:
        address: With whom.
        aet: What we call ourselves.
        client: For TLS; None for none.
        contexts: Presentation contexts that we ask for.
        roles: Role selections, as C-GET needs them.
        handlers: pynetdicom's, each an event and a function.

    Yields:
        It; without an accepted context where the archive offers none of what we want.

    Raises:
        PacsError: when it does not come about.
    """
    from pynetdicom import evt
    from pynetdicom.pdu import A_ASSOCIATE_RJ

    connected, refused = threading.Event(), threading.Event()

    def note_refusal(event: Event) -> None:
        if isinstance(event.pdu, A_ASSOCIATE_RJ):
            refused.set()

    tls = None if client is None else (client, address.host)
    untold = [] if client is None else remember_failures(client)
    try:
        association = entity(aet).associate(
            address.host,
            address.port,
            contexts=list(contexts),
            ae_title=address.aet,
            ext_neg=list(roles),
            tls_args=tls,
            evt_handlers=[
                *handlers,
                (evt.EVT_CONN_OPEN, lambda _: connected.set()),
                (evt.EVT_PDU_RECV, note_refusal),
            ],
        )
    except socket.gaierror:  # no such host
        raise unreachable(address.name) from None
    if not association.is_established:
        # Not association.is_rejected: pynetdicom's network thread closes the connection when
        # it is refused, and where associate() wakes only then, it takes the closed connection
        # for one that never was and leaves the refusal unread.
        if refused.is_set():
            raise PacsError(
                f"{address.name}: does not let {aet} in; check both AE titles, "
                "or have its administrator enter ours (--aet)",
                "unauthorized",
            )
        if untold:
            raise _no_handshake(address, untold[-1])
        if not connected.is_set():
            raise unreachable(address.name)
        if not association.rejected_contexts:
            raise _hung_up(address, aet)
        # None of what we want is offered: the caller says what is lacking.
        yield association
        return
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def status_of(status: Dataset, address: DimseAddress) -> int:
    """The status of an answer.

    Raises:
        PacsError: when there is none: the line broke.
    """
    if "Status" not in status:
        raise broken_off(address)
    return int(status.Status)


def _no_handshake(address: DimseAddress, error: OSError) -> PacsError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return untrusted(address.name)
    return PacsError(
        f"{address.name}: TLS does not come about; check that this port speaks TLS (dicom:// where "
        "it does not), or whether it asks for a certificate of ours (--cert)",
        "tls_refused",
    )


def _hung_up(address: DimseAddress, aet: str) -> PacsError:
    may = (
        "may ask for a certificate of ours (--cert)" if address.tls else "may want TLS (dicoms://)"
    )
    return PacsError(
        f"{address.name}: broke off before it let {aet} in; check that host and port are those of "
        "a DICOM service and both AE titles (some hang up on those they do not know), or run the "
        f"command again; it {may}",
        "broken_off",
    )


def broken_off(address: DimseAddress, why: str = "") -> PacsError:
    """The error of a line that broke."""
    return PacsError(
        f"{address.name}: broke off in the middle{f' ({why})' if why else ''}; what has come is "
        "kept, run the command again to go on",
        "broken_off",
    )
