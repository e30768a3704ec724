"""An archive with DICOMweb: QIDO-RS to find, WADO-RS to fetch, STOW-RS to store (PS3.18).

On ``requests`` and not on ``dicomweb-client``, because files have to arrive and leave byte for
byte: that client parses and re-encodes them, and its log lines quote what was asked for.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth

from hoimg.pacs import multipart
from hoimg.pacs.address import WebAddress
from hoimg.pacs.archive import STUDY, Instance, Query
from hoimg.pacs.credentials import PASSWORD, TOKEN, USER, Credentials
from hoimg.pacs.errors import PacsError, unreachable, untrusted
from hoimg.pacs.tls import Tls

CONNECT_S, ANSWER_S = 10.0, 120.0
"""How long a host may take to answer the telephone, and then between two pieces of what it says."""
ATTEMPTS = 3
"""How often a request is made that a busy or restarted server did not answer."""
PAUSE_S = 0.5
"""Before the second attempt; twice as long before each further one."""
NO_CONTENT = 204
BUSY = frozenset({429, 502, 503, 504})
PAGE = 1000
"""Answers asked for at once; what lies beyond is asked for again."""
MAX_BYTES = 4 * 2**30
"""Of one answer; the largest enhanced CT have 2 GiB."""

TAGS = {
    "PatientID": "00100020",
    "IssuerOfPatientID": "00100021",
    "AccessionNumber": "00080050",
    "StudyDate": "00080020",
    "ModalitiesInStudy": "00080061",
    "NumberOfStudyRelatedInstances": "00201208",
    "StudyInstanceUID": "0020000D",
    "SeriesInstanceUID": "0020000E",
    "SOPInstanceUID": "00080018",
    "NumberOfSeriesRelatedInstances": "00201209",
}
_AS_STORED = f'multipart/related; type="{multipart.DICOM_TYPE}"; transfer-syntax=*'
_JSON = "application/dicom+json"
_FAILED, _REASON = "00081198", "00081197"


class WebArchive:
    """An open DICOMweb service, see :class:`~hoimg.pacs.archive.Archive`.

    Args:
        address: Where.
        credentials: Sent with every request to this host, and to no other.
        tls: Certificates.

    Raises:
        UsageError: when a file of ``tls`` holds no certificate.
    """

    def __init__(
        self, address: WebAddress, credentials: Credentials, tls: Tls | None = None
    ) -> None:
        self._address = address
        self._session = _SameOrigin()
        self._session.auth = _auth(credentials)
        self._session.mount("https://", _SystemTrust((tls or Tls()).client()))

    def __enter__(self) -> WebArchive:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def studies(self, query: Query) -> list[dict[str, str]]:
        """The studies that it names, whether they match or not."""
        fields = [TAGS[keyword] for keyword in STUDY]
        answers = self._search("studies", {**query.asked(), "includefield": fields})
        return [{keyword: _values(a, keyword) for keyword in STUDY} for a in answers]

    def instances(self, study_uid: str) -> tuple[list[Instance], int]:
        """Every object of a study, series by series, and how many the archive counts."""
        found: dict[Instance, None] = {}
        counted = 0
        study = f"studies/{quote(study_uid, safe='')}"
        number = TAGS["NumberOfSeriesRelatedInstances"]
        for series in self._search(f"{study}/series", {"includefield": number}):
            uid = _value(series, "SeriesInstanceUID")
            items = self._search(f"{study}/series/{quote(uid, safe='')}/instances", {})
            for item in items:
                found[Instance(study_uid, uid, _value(item, "SOPInstanceUID"))] = None
            said = _value(series, "NumberOfSeriesRelatedInstances")
            counted += int(said) if said.isdigit() else len(items)
        return list(found), counted

    def fetch(self, wanted: Sequence[Instance]) -> Iterator[tuple[Instance, bytes | PacsError]]:
        """The files, as the archive holds them: no other transfer syntax is asked for."""
        for instance in wanted:
            study, series, sop = (
                quote(uid, safe="")
                for uid in (instance.study_uid, instance.series_uid, instance.sop_uid)
            )
            path = f"studies/{study}/series/{series}/instances/{sop}"
            try:
                body, said = self._ask("GET", path, headers={"Accept": _AS_STORED})
                yield instance, multipart.decode(body, said.get("Content-Type", ""))
            except PacsError as error:
                if error.kind not in {"not_found", "bad_answer", "refused"}:
                    raise
                yield instance, error

    def store(self, data: bytes) -> None:
        """Store one file; what the archive says about it is read, but not believed by itself."""
        body, content_type = multipart.encode(data)
        answer, _ = self._ask(
            "POST", "studies", headers={"Content-Type": content_type, "Accept": _JSON}, data=body
        )
        said = _parsed(answer) if answer.strip().startswith((b"{", b"[")) else {}
        failed = _all(said, _FAILED) if isinstance(said, dict) else []
        if failed:
            reason = _first(failed[0], _REASON) if isinstance(failed[0], dict) else ""
            code = f" (failure reason {int(reason):04X}H)" if str(reason).isdigit() else ""
            raise PacsError(f"the archive does not take an object{code}", "refused")

    def _search(self, path: str, params: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """All answers, page by page; a server that knows no pages gives all of them at once."""
        found: dict[str, Mapping[str, Any]] = {}
        while True:
            pages = {"limit": PAGE, "offset": len(found)}
            body, said = self._ask(
                "GET", path, headers={"Accept": _JSON}, params={**params, **pages}
            )
            page = _parsed(body) if body else []
            if not isinstance(page, list) or not all(isinstance(item, dict) for item in page):
                raise _no_dicomweb(self._address)
            before = len(found)
            for item in page:
                uids = (_value(item, k) for k in TAGS if k.endswith("InstanceUID"))
                found.setdefault("/".join(uids), item)
            # Servers may have a lower limit of their own, or give everything whatever is asked.
            if len(found) == before:
                if page and said.get("Warning", "").startswith("299"):  # PS3.18, paging
                    raise PacsError(
                        f"{self._address.name}: has more results than it gives; ask for less, "
                        "such as fewer --dates",
                        "incomplete",
                    )
                return list(found.values())

    def _ask(self, method: str, path: str, **how: Any) -> tuple[bytes, Mapping[str, str]]:
        """Body and headers of the answer.

        Raises:
            PacsError: whatever goes wrong, without the library's text: it quotes the query.
        """
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(PAUSE_S * 2 ** (attempt - 1))
            last = attempt == ATTEMPTS - 1
            try:
                with self._session.request(
                    method,
                    f"{self._address.url}/{path}",
                    timeout=(CONNECT_S, ANSWER_S),
                    stream=True,
                    **how,
                ) as response:
                    if response.status_code in BUSY and not last:
                        continue
                    self._check(response.status_code)
                    body = _body(response)
                    # A line that is cut within the headers looks like an answer without a body.
                    if body or method != "GET" or response.status_code == NO_CONTENT:
                        return body, response.headers
            except requests.exceptions.SSLError:
                raise untrusted(self._address.name) from None
            except requests.exceptions.ConnectTimeout:
                raise unreachable(self._address.name) from None
            except requests.exceptions.RequestException as error:
                if last and _never_connected(error):
                    raise unreachable(self._address.name) from None
        raise PacsError(
            f"{self._address.name}: broke off in the middle; what has come is kept, run the "
            "command again to go on",
            "broken_off",
        )

    def _check(self, status: int) -> None:
        where = self._address.name
        if status in (401, 403):
            raise PacsError(
                f"{where}: does not let us in ({status}); set {USER} and {PASSWORD}, or {TOKEN}, "
                "or ask its administrator",
                "unauthorized",
            )
        if status == 404:
            raise PacsError(
                f"{self._address.url}: has not what was asked for (404); check the path of the "
                "DICOMweb service, such as /dicom-web",
                "not_found",
            )
        if not 200 <= status < 300:
            raise PacsError(
                f"{where}: answered with an error ({status}); its log may say why", "refused"
            )


class _SameOrigin(requests.Session):
    """Follows a redirect within the service, and none that leads to another scheme, host or port.

    Elsewhere goes not only the password, which requests drops by itself, but what is asked for (a
    PatientID) and what is stored.
    """

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target is None:
            return None
        here, there = _origin(resp.url), _origin(urljoin(resp.url, target))
        if here != there:
            raise PacsError(
                f"{here}: sends us on to {there}, where nothing of ours goes unasked; if that is "
                "the archive, give its address",
                "refused",
            )
        return target


class _SystemTrust(HTTPAdapter):
    """HTTPS with a TLS context of our own: requests alone trusts no system certificates."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        return super().proxy_manager_for(proxy, ssl_context=self._context, **kwargs)


class _Bearer(AuthBase):
    """A token in every request; as an auth object, a .netrc file cannot replace it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _origin(url: str) -> str:
    """Scheme, host and port of a URL; none of the rest, which may hold what was asked for."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        return "an address that is none"
    return f"{parts.scheme}://{parts.hostname}:{port}"


def _auth(credentials: Credentials) -> AuthBase | None:
    if credentials.token is not None:
        return _Bearer(credentials.token)
    if credentials.user is not None:
        # As bytes: requests would encode text as Latin-1, servers expect UTF-8 (RFC 7617).
        user, password = credentials.user.encode(), (credentials.password or "").encode()
        return HTTPBasicAuth(user, password)
    return None


def _body(response: requests.Response) -> bytes:
    pieces, size = [], 0
    for piece in response.iter_content(2**20):
        size += len(piece)
        if size > MAX_BYTES:
            raise PacsError("the archive's answer is longer than 4 GiB", "bad_answer")
        pieces.append(piece)
    return b"".join(pieces)


def _never_connected(error: requests.exceptions.RequestException) -> bool:
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return type(reason).__name__ in {"NewConnectionError", "NameResolutionError"}


def _no_dicomweb(address: WebAddress) -> PacsError:
    return PacsError(f"{address.url}: does not answer as a DICOMweb service does", "bad_answer")


def _parsed(body: bytes) -> Any:
    import json

    try:
        return json.loads(body)
    except ValueError:
        raise PacsError("the archive's answer is no JSON", "bad_answer") from None


def _all(item: Mapping[str, Any], tag: str) -> list[Any]:
    """The values of an element; none where it has not the form of PS3.18 F.2."""
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []


def _first(item: Mapping[str, Any], tag: str) -> Any:
    values = _all(item, tag)
    return values[0] if values else ""


def _values(item: Mapping[str, Any], keyword: str) -> str:
    """All values, as DICOM writes them: backslashes between."""
    return "\\".join(str(v) for v in _all(item, TAGS[keyword]) if v is not None)


def _value(item: Mapping[str, Any], keyword: str) -> str:
    return str(_first(item, TAGS[keyword]) or "")
