"""Archives that lie, ignore, cut short or speak something else; and what is sent to whom."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proxies import Answer, as_json, dicom_json, fake_archive, multipart
from studies import SECRET_ID, files_in, study_uid, write_study

from hoimg.cli.main import run
from hoimg.errors import UsageError
from hoimg.pacs import multipart as parts
from hoimg.pacs.address import DimseAddress, WebAddress, parse_address
from hoimg.pacs.archive import Query
from hoimg.pacs.credentials import Credentials, find_credentials
from hoimg.pacs.errors import PacsError
from hoimg.pacs.web import WebArchive

STUDY, SERIES = study_uid(1), f"{study_uid(1)}.1"


@pytest.fixture
def made(tmp_path: Path) -> dict[str, bytes]:
    return write_study(tmp_path / "in", series=1)


class Fake:
    """A DICOMweb service of one series; a test changes what it wants to."""

    def __init__(self, made: dict[str, bytes]) -> None:
        self.made, self.page, self.count = made, 10_000, len(made)
        self.others: list[dict[str, object]] = []

    def study(self, **more: str) -> dict[str, object]:
        known = {"PatientID": SECRET_ID, "AccessionNumber": "A-1", "StudyDate": "20240110"}
        return dicom_json(StudyInstanceUID=STUDY, **{**known, **more})

    def file(self, uid: str) -> Answer:
        return multipart(self.made[uid])

    def __call__(self, path: str, _headers: dict[str, str], _body: bytes) -> Answer:
        path, _, query = path.partition("?")
        offset = int(dict(q.split("=") for q in query.split("&") if "=" in q).get("offset", 0))
        if path.endswith("/studies"):
            found = [self.study(), *self.others]
        elif path.endswith("/series"):
            item = dicom_json(StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES)
            item["00201209"] = {"vr": "IS", "Value": [self.count]}
            found = [item]
        elif path.endswith("/instances"):
            found = [dicom_json(SeriesInstanceUID=SERIES, SOPInstanceUID=uid) for uid in self.made]
        else:
            return self.file(path.rpartition("/")[2])
        page = found[offset : offset + self.page]
        return as_json(*page) if page else (204, "application/dicom+json", b"")


def pull(fake: Fake, out: Path, *words: str) -> int:
    with fake_archive(fake) as (url, _):
        return run(["pull", url, "-o", str(out), *(words or ("--patient", SECRET_ID))])


def test_a_server_with_short_pages_is_asked_until_nothing_is_left(
    made: dict[str, bytes], tmp_path: Path
) -> None:
    fake = Fake(made)
    fake.page = 2
    assert pull(fake, tmp_path / "out") == 0
    assert sorted(files_in(tmp_path / "out").values()) == sorted(made.values())


def test_a_server_that_holds_results_back_is_not_taken_for_complete(
    made: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Deaf(Fake):
        """Gives the first two of everything, wherever the page begins."""

        def __call__(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
            self.page = 2
            return super().__call__(path.replace("offset=", "x="), headers, body)

    words = ["pull", "", "-o", str(tmp_path / "out"), "--patient", SECRET_ID]
    with fake_archive(Deaf(made), Warning="299 dicom: there are additional results") as (url, _):
        words[1] = url
        assert run(words) == 1
    assert "has more results than it gives" in capsys.readouterr().err
    with fake_archive(Deaf(made)) as (url, _):
        words[1] = url
        assert run(words) == 1
    assert "counts 5 objects and names 2" in capsys.readouterr().err


def test_studies_of_others_are_not_fetched_from_a_server_that_ignores_the_key(
    made: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = Fake(made)
    for number, more in enumerate(({"PatientID": "PAT-2"}, {"PatientID": ""}), 2):
        fake.others.append(fake.study(**more) | dicom_json(StudyInstanceUID=study_uid(number)))
    assert pull(fake, tmp_path / "out") == 0
    said = capsys.readouterr()
    assert "also named 2 study(ies) that do not match" in said.err
    assert said.out.startswith("5 object(s) of 1 study(ies)")
    for words in (["--accession", "A-2"], ["--dates", "2024-02-01:"], ["--study", study_uid(9)]):
        assert pull(fake, tmp_path / "other", *words) == 1
        assert "no study that matches" in capsys.readouterr().err


def test_an_object_that_cannot_be_had_does_not_keep_the_others_away(
    made: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uids = list(made)
    whole = Fake(made)

    class Faulty(Fake):
        def file(self, uid: str) -> Answer:
            number = uids.index(uid)
            if number == 0:
                return 404, "text/html", b"gone"
            if number == 1:
                return multipart(made[uids[2]])  # another object
            if number == 3:
                return multipart(made[uid][:-40])  # cut, in a whole envelope
            return multipart(made[uid])

    out = tmp_path / "out"
    assert pull(Faulty(made), out) == 1
    assert "3 of 5 objects could not be had" in capsys.readouterr().err
    assert sorted(files_in(out).values()) == sorted([made[uids[2]], made[uids[4]]])
    assert list(out.rglob("*.part")) == []
    assert pull(whole, out) == 0
    assert capsys.readouterr().out.endswith("3 of them new\n")


def test_a_count_that_is_not_reached_is_told(
    made: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = Fake(made)
    fake.count = 6
    assert pull(fake, tmp_path / "out") == 1
    assert "counts 6 objects and names 5" in capsys.readouterr().err
    assert len(files_in(tmp_path / "out")) == 5


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((200, "text/html", b"<html>log in</html>"), "is no JSON"),
        ((200, "application/json", b'{"a": 1}'), "does not answer as a DICOMweb service"),
        ((200, "application/json", b"[1, 2]"), "does not answer as a DICOMweb service"),
        ((200, "application/json", b'[{"0020000D": {'), "is no JSON"),
        ((200, "application/json", b""), "broke off"),
        ((204, "application/json", b""), "no study that matches"),
        ((200, "application/json", b'[{"00080061": {"Value": 5}}]'), "no study that matches"),
        ((500, "text/plain", b"PAT-4711 crashed"), "answered with an error (500)"),
        ((503, "text/plain", b""), "answered with an error (503)"),
        ((403, "text/plain", b""), "does not let us in (403)"),
    ],
)
def test_what_is_no_dicomweb_is_one_line_without_what_was_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: Answer, said: str
) -> None:
    with fake_archive(lambda *_: answer) as (url, _):
        assert run(["-v", "pull", url, "-o", str(tmp_path), "--patient", SECRET_ID]) == 1
    heard = "".join(capsys.readouterr())
    assert said in heard
    assert SECRET_ID not in heard


def test_credentials_go_into_the_header_and_nowhere_else(
    made: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    given = ["-v", "pull", "", "-o", str(tmp_path / "out"), "--patient", SECRET_ID]
    with fake_archive(Fake(made)) as (url, seen):
        given[2] = url
        monkeypatch.setenv("HOIMG_PACS_TOKEN", "abc.def")
        assert run(given) == 0
        assert {headers["Authorization"] for _, headers in seen} == {"Bearer abc.def"}
        monkeypatch.delenv("HOIMG_PACS_TOKEN")
        seen.clear()
        monkeypatch.setenv("HOIMG_PACS_USER", "jörg")
        monkeypatch.setenv("HOIMG_PACS_PASSWORD", "ключ")
        assert run(given) == 0
        basic = base64.b64encode("jörg:ключ".encode()).decode()
        assert {headers["Authorization"] for _, headers in seen} == {f"Basic {basic}"}
        assert not any(secret in path for path, _ in seen for secret in ("abc.def", basic))
    said = "".join(capsys.readouterr()) + (tmp_path / "out" / "pull.json").read_text()
    for secret in ("abc.def", "ключ", basic):
        assert secret not in said


def test_a_redirect_elsewhere_is_not_followed(
    made: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HOIMG_PACS_TOKEN", "abc.def")
    given = ["-o", str(tmp_path / "out"), "--patient", SECRET_ID]
    with fake_archive(Fake(made)) as (elsewhere, seen):
        for away in (
            elsewhere,  # the same host, another port
            elsewhere.replace("127.0.0.1", "localhost"),
            elsewhere.replace("http://", "https://"),
            elsewhere.replace("http://", "//"),
            "https://jane:abc.def@h:x/?PatientID=",
        ):

            def send_on(path: str, *_: object, away: str = away) -> Answer:
                return 307, f"{away}{path.removeprefix('/dicom-web')}", b""

            with fake_archive(send_on) as (url, first):
                assert run(["pull", url, *given]) == 1
                with (
                    WebArchive(WebAddress(url), Credentials()) as archive,
                    pytest.raises(PacsError, match="sends us on to"),
                ):
                    archive.store(b"PIXELS")
            told = capsys.readouterr().err
            assert "sends us on to" in told
            assert SECRET_ID not in told
            assert "abc.def" not in told
            assert len(first) == 2
    assert seen == []


def test_a_redirect_within_the_service_is_followed(made: dict[str, bytes], tmp_path: Path) -> None:
    fake = Fake(made)

    def send_on(path: str, headers: dict[str, str], body: bytes) -> Answer:
        if path.startswith("/dicom-web/"):
            return 307, path.replace("/dicom-web/", "/dicom-web-2/", 1), b""
        return fake(path, headers, body)

    with fake_archive(send_on) as (url, _):
        assert run(["pull", url, "-o", str(tmp_path / "out"), "--patient", SECRET_ID]) == 0
    assert len(files_in(tmp_path / "out")) == len(made)


def test_uids_of_an_archive_are_no_paths(tmp_path: Path) -> None:
    (uid, data), *_ = write_study(tmp_path / "in", series=1).items()
    bad = "../../../up"
    data = data.replace(uid.encode(), bad.ljust(len(uid), "\0").encode())

    class Hostile(Fake):
        def file(self, uid: str) -> Answer:
            return multipart(data)

    assert pull(Hostile({bad: data}), tmp_path / "a" / "b" / "c" / "out") == 0
    (path,) = tmp_path.rglob("*.dcm")
    assert path.is_relative_to(tmp_path / "a" / "b" / "c" / "out")
    assert set(path.stem) <= set("0123456789abcdef")


def test_credentials_are_read_from_the_keyring_last(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = pytest.importorskip("keyring")
    asked = []

    class Ring(keyring.backend.KeyringBackend):
        priority = 1

        def get_password(self, service: str, username: str) -> str | None:
            asked.append((service, username))
            return "kept" if username == "jane" else None

        def set_password(self, *_: str) -> None: ...

        def delete_password(self, *_: str) -> None: ...

    before = keyring.get_keyring()
    keyring.set_keyring(Ring())
    try:
        monkeypatch.setenv("HOIMG_PACS_USER", "jane")
        found = find_credentials("https://pacs.example.org")
        assert (found.user, found.password) == ("jane", "kept")
        assert asked == [("hoimg https://pacs.example.org", "jane")]
        assert "kept" not in repr(found)
        monkeypatch.setenv("HOIMG_PACS_USER", "john")
        with pytest.raises(UsageError, match="nor an entry"):
            find_credentials("https://pacs.example.org")
        monkeypatch.setenv("HOIMG_PACS_PASSWORD", "given")
        assert find_credentials("https://pacs.example.org").password == "given"
    finally:
        keyring.set_keyring(before)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"PASSWORD": "x"}, "USER is not"),
        ({"TOKEN": "x", "PASSWORD": "y"}, "both set"),
        ({"TOKEN": "a b"}, "blanks"),
        ({"TOKEN": "a\nX-Header: y"}, "blanks"),
    ],
)
def test_half_or_double_credentials_are_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"HOIMG_PACS_{name}", value)
    with pytest.raises(UsageError, match=said):
        find_credentials("https://pacs.example.org")


@pytest.mark.parametrize(
    "words",
    [
        ["--study", "1.2.x"],
        ["--study", "../1"],
        ["--patient", "*"],
        ["--patient", "PAT-?"],
        ["--patient", " "],
        ["--patient", "a\\b"],
        ["--accession", ""],
        ["--dates", "2024-01-02"],
        ["--dates", ":"],
        ["--dates", "2024-02-01:2024-01-01"],
        ["--dates", "20240230:"],
        [],
    ],
)
def test_a_question_that_would_fetch_others_is_a_usage_error(
    tmp_path: Path, words: list[str]
) -> None:
    with fake_archive(lambda *_: as_json()) as (url, seen):
        assert run(["pull", url, "-o", str(tmp_path), *words]) == 2
        assert seen == []


def test_addresses() -> None:
    assert parse_address("https://h:8443/dicom-web/") == WebAddress("https://h:8443/dicom-web")
    assert parse_address("dicom://PACS@h:11112") == DimseAddress("PACS", "h", 11112)
    assert parse_address("dicom://MY%20PACS@[::1]").port == 104
    assert parse_address("http://LOCALHOST/x").local
    for bad in (
        *("", "h", "ftp://h", "http://", "http://h:x/", "http://h:99999/", "https://h/?a=b"),
        *("dicom://h:104", "dicom://A@h:104/x", "dicom://SEVENTEENLETTERSS@h", "dicom://A:b@h"),
    ):
        with pytest.raises(UsageError):
            parse_address(bad)
    with pytest.raises(UsageError) as refused:
        parse_address("https://jane:hunter2@h/dicom-web")
    assert "hunter2" not in str(refused.value)


@settings(max_examples=20, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_a_file_comes_out_of_its_envelope_as_it_went_in(data: bytes, tricky: bool) -> None:
    data = b"\r\n--hoimg-" + data + b"\r\n--" if tricky else data
    body, content_type = parts.encode(data)
    assert parts.decode(body, content_type) == data
    for end in range(len(body) - 2):  # the line end after the last mark may lack
        with pytest.raises(PacsError):
            parts.decode(body[:end], content_type)


def test_envelopes_of_others() -> None:
    said = 'Multipart/Related; boundary=x; type="application/dicom"'
    assert parts.decode(b"preamble\r\n--x \r\nA: b\r\n\r\nDATA\r\n--x--", said) == b"DATA"
    assert parts.decode(b"DATA", "application/dicom") == b"DATA"
    two = b"--x\r\n\r\nDATA\r\n--x\r\n\r\nMORE\r\n--x--"
    for body, kind in (
        (two, said),
        (b"DATA", "text/html"),
        (b"DATA", "multipart/related"),
        (b"", said),
    ):
        with pytest.raises(PacsError):
            parts.decode(body, kind)


def test_dates_and_keys_of_an_answer_have_to_be_those_that_were_asked_for() -> None:
    from datetime import date

    query = Query(patient_id="P 1", since=date(2024, 1, 1), until=date(2024, 1, 31))
    assert query.date_range() == "20240101-20240131"
    for day, inside in (("20231231", 0), ("20240101", 1), ("20240131", 1), ("20240201", 0)):
        assert query.matches({"PatientID": "P 1 ", "StudyDate": day}) == bool(inside)
    assert query.matches({"PatientID": "P 1", "StudyDate": "2024.01.15"})
    assert not query.matches({"PatientID": "p 1", "StudyDate": "20240115"})
    assert not query.matches({"PatientID": "P 1", "StudyDate": ""})
    assert not query.matches({"StudyDate": "20240115"})


def test_what_is_sent_is_the_file_and_a_failure_is_told(
    tmp_path: Path, made: dict[str, bytes]
) -> None:
    data = next(iter(made.values()))
    got = []

    def take(path: str, headers: dict[str, str], body: bytes) -> Answer:
        got.append((path, parts.decode(body, headers["Content-Type"])))
        failed = {
            "00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0xA700]}}]}
        }
        return 409, "application/dicom+json", json.dumps(failed).encode()

    def half(path: str, headers: dict[str, str], body: bytes) -> Answer:
        return 202, *take(path, headers, body)[1:]

    for answer, said in ((take, "409"), (half, "A700H")):
        with (
            fake_archive(answer) as (url, _),
            WebArchive(WebAddress(url), Credentials()) as archive,
            pytest.raises(PacsError, match=said) as refused,
        ):
            archive.store(data)
        assert refused.value.kind == "refused"
    assert got == [("/dicom-web/studies", data)] * 2
