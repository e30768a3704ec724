"""Who may ask the review's server for what; everything else is refused before it is read."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

MAX_BODY = 256 * 1024
"""A note of 20 000 characters with escapes stays below it."""


@dataclass(frozen=True)
class Refused:
    """Why a request gets no answer.

    Attributes:
        status: HTTP.
        reason: For the reader, plain.
    """

    status: int
    reason: str


@dataclass(frozen=True)
class Guard:
    """The rules of one session.

    Attributes:
        port: Of the server.
        key: Random, new in every session: in the address that is printed, then in a cookie that no
            script reads and no other site's request carries.
    """

    port: int
    key: str

    @property
    def cookie(self) -> str:
        """The cookie's name; cookies know no port, and two reports may be open at once."""
        return f"hoimg_review_{self.port}"

    @property
    def set_cookie(self) -> str:
        """The header that gives it."""
        return f"{self.cookie}={self.key}; Path=/; HttpOnly; SameSite=Strict"

    def refuses(self, method: str, target: str, headers: Mapping[str, str]) -> Refused | None:
        """Why a request is refused; None where it may be answered.

        Checked are, in this order: the host that was asked for (a name that another site lets
        point here is none of ours), the site that asks (by Origin and Sec-Fetch-Site), that the
        target is one, the key, and for changes that it is JSON of a bounded length.

        Args:
            method: GET, HEAD or POST.
            target: As in the request line.
            headers: By name, whatever its case.
        """
        own = {f"127.0.0.1:{self.port}", f"localhost:{self.port}"}
        host = headers.get("Host", "")
        if host not in own:
            return Refused(403, "this server answers to 127.0.0.1 only")
        origin = headers.get("Origin")
        if origin is not None and origin != f"http://{host}":
            return Refused(403, "another origin may not ask")
        if headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            return Refused(403, "another site may not ask")
        try:
            urlsplit(target)
        except ValueError:
            return Refused(400, "there is no such address")
        if not self._known(target, headers):
            return Refused(403, "open the address that hoimg review printed")
        return self._refuses_change(headers) if method == "POST" else None

    def has_key(self, target: str) -> bool:
        """Whether the address itself holds the key, as the printed one does."""
        given = parse_qs(urlsplit(target).query).get("key", [""])
        return hmac.compare_digest(given[0].encode(), self.key.encode())

    def _known(self, target: str, headers: Mapping[str, str]) -> bool:
        if self.has_key(target):
            return True
        try:
            found = SimpleCookie(headers.get("Cookie", "")).get(self.cookie)
        except CookieError:
            return False
        return found is not None and hmac.compare_digest(found.value.encode(), self.key.encode())

    def _refuses_change(self, headers: Mapping[str, str]) -> Refused | None:
        if headers.get("Origin") is None:
            return Refused(403, "a change must name its origin")
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return Refused(415, "send JSON")
        if headers.get("Transfer-Encoding") is not None:
            return Refused(411, "state the length")
        length = headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            return Refused(411, "state the length")
        if int(length) > MAX_BODY:
            return Refused(413, "too long")
        return None
