"""The review's server: Python's own, on 127.0.0.1, with six answers."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

import hoimg
from hoimg.errors import InputRefused, UsageError
from hoimg.report.files import sha256
from hoimg.report.saved import SavedReport, read_saved
from hoimg.review.decisions import Asked, Undo, added
from hoimg.review.guard import Guard
from hoimg.review.hold import Hold
from hoimg.review.places import Places, places_of
from hoimg.review.rerun import Rerun
from hoimg.review.served import served_page
from hoimg.review.state import state_of
from hoimg.review.store import Conflict, Store, without

HOST = "127.0.0.1"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".toml": "text/plain; charset=utf-8",
    ".pdf": "application/pdf",
}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True)
class Reviewed:
    """What one session serves.

    Attributes:
        saved: The report.
        places: Of its lesions.
        page: The page with its controls.
        store: Its edits.json.
        made: SHA-256 of its manifest: another one is another report.
        reader: Who reviews; None where the page asks.
    """

    saved: SavedReport
    places: Places
    page: bytes
    store: Store
    made: str
    reader: str | None

    def state(self) -> dict[str, Any]:
        """As :func:`hoimg.review.state.state_of`."""
        return state_of(self.saved, self.places, *self.store.read(), self.reader)

    def stands(self) -> bool:
        """Whether the folder still holds this report, none that was made since."""
        try:
            return sha256(self.saved.folder / "manifest.json") == self.made
        except OSError:
            return False


def reviewed(report: Path, reader: str | None) -> Reviewed:
    """A report opened for review.

    Args:
        report: Its folder, or the report.json in it.
        reader: Who reviews; None where the page shall ask.

    Raises:
        UsageError: as :func:`hoimg.report.saved.read_saved`, or its page was changed.
    """
    saved = read_saved(report)
    page = saved.folder / "report.html"
    if not page.is_file() or sha256(page) != saved.written.get("report.html"):
        raise UsageError(
            f"{page}: is missing or was changed since it was written, so that it is not served; "
            "make the report again"
        )
    return Reviewed(
        saved,
        places_of(saved),
        served_page(page.read_text(encoding="utf-8")),
        Store(saved.folder / "edits.json"),
        sha256(saved.folder / "manifest.json"),
        reader,
    )


class ReviewServer(ThreadingHTTPServer):
    """Serves one report to this machine until it is shut down; holds its folder meanwhile.

    When a new report was made of it, that one is served from then on.

    Args:
        what: The report.
        port: 0 takes a free one.
        scans: What it was made from; with none the page can start no new report.
        output: Where the first new report goes.

    Raises:
        UsageError: the port is taken, or another review holds the report.
    """

    daemon_threads = True

    def __init__(
        self,
        what: Reviewed,
        port: int = 0,
        scans: Sequence[Path] = (),
        output: Path | None = None,
    ) -> None:
        self.what = what
        self._hold = Hold(what.saved.folder)
        folder = what.saved.folder.absolute()
        place = output or folder.with_name(f"{folder.name}-reviewed")
        self.rerun = Rerun(scans, place, self._show) if scans else None
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            self._hold.let_go()
            raise UsageError(f"--port {port}: cannot be used; leave it away for a free one") from (
                error
            )
        self.guard = Guard(self.server_address[1], secrets.token_urlsafe(32))

    def _show(self, folder: Path) -> None:
        """Serve the report that was made of this one."""
        what = reviewed(folder, self.what.reader)
        hold = Hold(folder)
        self._hold.let_go()
        self.what, self._hold = what, hold

    def server_close(self) -> None:
        """Close, and end what is being made."""
        if self.rerun is not None:
            self.rerun.stop()
        super().server_close()
        self._hold.let_go()

    def state(self) -> dict[str, Any]:
        """What the page is told: of the report, and ``rerun`` (null where none can be started)."""
        return self.told(self.what.state())

    def told(self, state: dict[str, Any]) -> dict[str, Any]:
        """A report's state with that of the new one."""
        return {**state, "rerun": None if self.rerun is None else self.rerun.state()}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing where a browser broke off; what else goes wrong is a defect and is told."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """The address with the session's key."""
        return f"http://{HOST}:{self.guard.port}/?key={self.guard.key}"


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    server_version = f"hoimg/{hoimg.__version__}"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        if self._let_in():
            path = unquote(urlsplit(self.path).path)
            if path in ("/", "/report.html"):
                self._send(200, self.server.what.page, TYPES[".html"])
            elif path == "/api/review":
                self._answer(lambda: (200, self.server.state()))
            elif path == "/api/rerun" and self.server.rerun is not None:
                self._json(200, self.server.rerun.state())
            else:
                self._file(path.removeprefix("/"))

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        if not self._let_in():
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = urlsplit(self.path).path
        if path in ("/api/decide", "/api/undo"):
            self._answer(lambda: self._changed(path, body))
        elif path == "/api/rerun" and self.server.rerun is not None:
            self._answer(self._made_anew)
        else:
            self._json(404, {"error": "there is nothing"})

    def _made_anew(self) -> tuple[int, dict[str, Any]]:
        """What comes of the wish for a new report: it is begun, and its progress asked for."""
        what, rerun = self.server.what, self.server.rerun
        assert rerun is not None
        if not what.stands():
            raise UsageError("the report was made anew; stop hoimg review and start it again")
        if not what.state()["pending"]:
            raise UsageError("there is no decision that the report does not hold yet")
        rerun.start(what.saved.folder)
        return 202, rerun.state()

    def _changed(self, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """What a change gives; raises what :meth:`_answer` tells."""
        what = self.server.what
        seen = self.headers.get("If-Match", "").strip('"')
        if not what.stands():
            raise UsageError("the report was made anew; stop hoimg review and start it again")
        if self.server.rerun is not None and self.server.rerun.running:
            raise UsageError("the new report is being made; wait for its end")
        try:
            if path == "/api/undo":
                moment = Undo.model_validate_json(body).time
                edits, version = what.store.change(seen, lambda e: without(e, moment))
            else:
                asked = Asked.model_validate_json(body)
                reader = what.reader or " ".join(asked.reader.split())
                if not reader:
                    raise UsageError("say who you are first")
                now = datetime.now(UTC)
                edits, version = what.store.change(
                    seen, lambda e: added(e, asked, what.saved, what.places, reader, now)
                )
        except Conflict:
            told = "edits.json was changed in another window; look at what stands there now"
            return 412, {"error": told, "state": self.server.state()}
        state = state_of(what.saved, what.places, edits, version, what.reader)
        return 200, self.server.told(state)

    def _answer(self, work: Callable[[], tuple[int, dict[str, Any]]]) -> None:
        """Send what comes of the work: status and content, or 422 and why it cannot be done."""
        try:
            status, content = work()
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            status, content = 422, {"error": f"{where}: {first['msg']}".lower().lstrip(": ")}
        except (UsageError, InputRefused) as error:
            status, content = 422, {"error": str(error)}
        self._json(status, content)

    def _let_in(self) -> bool:
        refused = self.server.guard.refuses(self.command, self.path, _headers(self))
        if refused is not None:
            self.close_connection = True
            self._json(refused.status, {"error": refused.reason})
        return refused is None

    def _file(self, name: str) -> None:
        """A file of the report, by its name in the manifest: no path is built from a request."""
        what = self.server.what
        folder = what.saved.folder.resolve()
        if name in what.saved.written or name == "manifest.json":
            file = (folder / name).resolve()
            if file.is_file() and file.is_relative_to(folder):
                kind = TYPES.get(file.suffix, "application/octet-stream")
                self._send(200, file.read_bytes(), kind, attached=file.suffix != ".pdf")
                return
        self._json(404, {"error": "there is nothing"})

    def _json(self, status: int, content: Mapping[str, Any]) -> None:
        text = json.dumps(content, ensure_ascii=True, allow_nan=False)
        self._send(status, text.encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str, *, attached: bool = False) -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if status == 200 and self.server.guard.has_key(self.path):
            self.send_header("Set-Cookie", self.server.guard.set_cookie)
        if attached:
            self.send_header("Content-Disposition", "attachment")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: an address holds the key, and a reader wants no list of requests."""


def _headers(request: BaseHTTPRequestHandler) -> Mapping[str, str]:
    """The headers that the guard looks at; one that comes twice has no value that it takes."""
    names = (
        *("Host", "Origin", "Sec-Fetch-Site", "Cookie"),
        *("Content-Type", "Content-Length", "Transfer-Encoding"),
    )
    found = {name: request.headers.get_all(name, []) for name in names}
    return {
        name: values[0] if len(values) == 1 else "\n" for name, values in found.items() if values
    }
