"""Servers between hoimg and an archive that misbehave, and archives that are none."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pydicom import Dataset


class Proxy:
    """Passes bytes on to a port; ends all connections after ``limit`` bytes from the server.

    With ``tls`` it speaks TLS to the client. (Debian's Orthanc 1.10 dies of a segmentation fault
    at the first TLS handshake, so that it cannot do so itself.)
    """

    def __init__(
        self, port: int, limit: int | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.passed, self.limit, self._target, self._tls = 0, limit, port, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        # A thread that waits in accept() would keep the port open.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._tls is not None:
                    try:
                        client = self._tls.wrap_socket(client, server_side=True)
                    except OSError:
                        continue
                server = socket.create_connection(("127.0.0.1", self._target))
                self._open += [client, server]
                for one, other, counts in ((client, server, False), (server, client, True)):
                    threading.Thread(
                        target=self._pass, args=(one, other, counts), daemon=True
                    ).start()

    def _pass(self, one: socket.socket, other: socket.socket, counts: bool) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(4096):
                if counts and self.limit is not None and self.passed + len(data) > self.limit:
                    other.sendall(data[: max(self.limit - self.passed, 0)])
                    self.passed = self.limit
                    self.close()
                    return
                self.passed += len(data) if counts else 0
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)


Answer = tuple[int, str, bytes]
"""Status, content type, body."""


@contextlib.contextmanager
def fake_archive(
    answer: Callable[[str, dict[str, str], bytes], Answer], **more: str
) -> Iterator[tuple[str, list[tuple[str, dict[str, str]]]]]:
    """An HTTP server whose answers a function makes of path, headers and body.

    Further headers of every answer can be given.

    Yields:
        Its URL, and the requests that came: path and headers.
    """
    seen: list[tuple[str, dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            seen.append((self.path, dict(self.headers)))
            length = int(self.headers.get("Content-Length") or 0)
            status, content_type, body = answer(
                self.path, dict(self.headers), self.rfile.read(length)
            )
            self.send_response(status)
            # of a redirect the second word is where to
            self.send_header("Location" if status == 307 else "Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            for name, value in more.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/dicom-web", seen
    finally:
        server.shutdown()
        server.server_close()


def dicom_json(**values: str) -> dict[str, object]:
    """One answer of a search, as DICOM JSON."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    return {
        f"{tag_for_keyword(keyword):08X}": {"vr": dictionary_VR(keyword), "Value": [value]}
        for keyword, value in values.items()
    }


def as_json(*answers: dict[str, object]) -> Answer:
    return 200, "application/dicom+json; charset=utf-8", json.dumps(answers).encode()


def multipart(*files: bytes, end: bool = True) -> Answer:
    body = b"".join(
        b"--frontier\r\nContent-Type: application/dicom\r\n\r\n" + f + b"\r\n" for f in files
    )
    return (
        200,
        'multipart/related; type="application/dicom"; boundary=frontier',
        body + (b"--frontier--\r\n" if end else b""),
    )


@contextlib.contextmanager
def old_archive() -> Iterator[tuple[str, dict[str, Dataset]]]:
    """A PACS that stores and searches and lets nobody fetch, by pynetdicom.

    Yields:
        Its address, and what it holds by SOP Instance UID.
    """
    from pynetdicom import AE, AllStoragePresentationContexts, evt
    from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as Find

    held: dict[str, Dataset] = {}

    def store(event: evt.Event) -> int:
        held[event.dataset.SOPInstanceUID] = event.dataset
        return 0x0000

    def find(event: evt.Event) -> Iterator[tuple[int, Dataset]]:
        asked, told = event.identifier, set()
        for item in held.values():
            if asked.get("StudyInstanceUID") not in ("", None, item.StudyInstanceUID):
                continue
            found = Dataset()
            for element in asked:
                found[element.tag] = item.get_item(element.tag) or element
            found.QueryRetrieveLevel = asked.QueryRetrieveLevel
            key = {"STUDY": "Study", "SERIES": "Series", "IMAGE": "SOP"}[asked.QueryRetrieveLevel]
            if (uid := item[f"{key}InstanceUID"].value) not in told:
                told.add(uid)
                yield 0xFF00, found

    ae = AE("OLD")
    ae.supported_contexts = AllStoragePresentationContexts
    ae.add_supported_context(Find)
    handlers = [(evt.EVT_C_STORE, store), (evt.EVT_C_FIND, find)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield f"dicom://OLD@127.0.0.1:{server.socket.getsockname()[1]}", held
    finally:
        server.shutdown()


@contextlib.contextmanager
def unwelcoming() -> Iterator[str]:
    """A peer that rejects every association (called AE title not recognised) and hangs up at once.

    Yields:
        Its address.
    """
    refusal = bytes((3, 0, 0, 0, 0, 4, 0, 1, 1, 7))  # A-ASSOCIATE-RJ, PS3.8 table 9-21
    listener = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client, client.makefile("rb") as said:
                    said.read(int.from_bytes(said.read(6)[2:], "big"))
                    client.sendall(refusal)

    thread = threading.Thread(target=refuse, daemon=True)
    thread.start()
    try:
        yield f"dicom://OTHER@127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept()
        thread.join(20)
        listener.close()
