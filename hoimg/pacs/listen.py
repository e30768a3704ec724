"""A storage SCP that files what a PACS sends and reports on each patient when all has come."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hoimg.pacs.inbox import Inbox, Taken, Waiting
from hoimg.pacs.storage import (
    CANNOT_UNDERSTAND,
    OUT_OF_RESOURCES,
    SUCCESS,
    entity,
    start_storage,
    unheard,
)

if TYPE_CHECKING:
    import ssl

    from pynetdicom.events import Event

QUIET_S = 60.0
"""A study is taken to be complete when nothing of its patient has come for so long. A PACS sends
a slice in milliseconds; a minute outlasts its pauses, and no reader misses it."""
LOOK_EVERY_S = 0.2
FAILED = 1
"""Exit code of a report that could not even be begun."""
DUPLICATE = 0x0111
"""Status of an object whose UID is taken by another one (PS3.7 annex C)."""
_STATUS = {
    Taken.new: SUCCESS,
    Taken.known: SUCCESS,
    Taken.other: DUPLICATE,
    Taken.damaged: CANNOT_UNDERSTAND,
}


@dataclass(frozen=True)
class Reported:
    """A report that was tried.

    Attributes:
        key: The patient's key.
        exit_code: 0 when it was written; None when it was stopped, and will be tried again.
        report: Where it lies.
    """

    key: str
    exit_code: int | None
    report: Path


class Listener:
    """Takes objects from the network until it is closed; see :func:`listen`.

    Args:
        inbox: Where they go.
        aet: Our AE title.
        host: Address to bind.
        port: TCP port; 0 for any that is free.
        allow: AE titles that may send; anyone when empty.
        tls: For connections with TLS only; None for those without.

    Raises:
        UsageError: when the port cannot be bound.
    """

    def __init__(
        self,
        inbox: Inbox,
        aet: str,
        host: str,
        port: int,
        allow: Sequence[str] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.taken: Counter[Taken] = Counter()
        self._inbox = inbox
        ae = entity(aet)
        ae.require_calling_aet = list(allow)
        self._server = start_storage(ae, host, port, self._take, tls)
        self.port = int(self._server.server_address[1])

    def close(self) -> None:
        """Let nobody in any more, and end the connections."""
        self._server.shutdown()

    def _take(self, event: Event) -> int:
        """Success is answered when the object is on the disk, and only then."""
        try:
            taken = self._inbox.take(event.encoded_dataset())
        except OSError:  # the disk is full, say; the sender keeps it
            return OUT_OF_RESOURCES
        self.taken[taken] += 1
        return _STATUS[taken]


def _report(
    inbox: Inbox,
    waiting: Waiting,
    make_report: Callable[[Path, Path, threading.Event], int | None],
    stop: threading.Event,
) -> Reported:
    """Try one patient's report; a disk that is full then must not end what goes on receiving."""
    report, state = inbox.report(waiting.key), inbox.state(waiting.key)
    try:
        code = make_report(inbox.scans(waiting.key), report, stop)
    except OSError:  # not even its log could be begun
        code = FAILED
    if code is not None:
        with contextlib.suppress(OSError):
            inbox.note(waiting, state, code)
    return Reported(waiting.key, code, report)


def listen(
    inbox: Inbox,
    listener: Listener,
    make_report: Callable[[Path, Path, threading.Event], int | None],
    *,
    quiet_s: float = QUIET_S,
    stop: threading.Event,
    on_report: Callable[[Reported], None],
) -> None:
    """Report on each patient when nothing has come for a while, until ``stop`` is set.

    Reports are made one at a time while objects go on coming; whatever becomes of one, the next
    is made. A patient whose files came too late for a report gets it again; a report that
    failed is tried again when more comes, and one whose end could not be noted at the next start.

    Args:
        inbox: What the listener fills.
        listener: Closed at the end.
        make_report: Makes the report of a folder of files in another folder; gives its exit code,
            None when ``stop`` ended it.
        quiet_s: How long nothing may have come.
        stop: Set from a signal handler.
        on_report: Told of each.
    """
    with unheard():
        try:
            while not stop.is_set():
                now = time.monotonic()
                ready = [w for w in inbox.waiting() if now - w.since >= quiet_s]
                if not ready:
                    stop.wait(LOOK_EVERY_S)
                    continue
                on_report(_report(inbox, ready[0], make_report, stop))
        finally:
            listener.close()
