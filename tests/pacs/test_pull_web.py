"""Pulling over DICOMweb from a real Orthanc."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import certificate
from orthanc_server import NEEDS_ORTHANC, Orthanc, free_port
from proxies import Proxy
from studies import SECRET_ID, files_in, study_uid, write_study

from hoimg import whole_files
from hoimg.cli.main import run
from hoimg.pacs.address import WebAddress
from hoimg.pacs.archive import Query
from hoimg.pacs.credentials import Credentials
from hoimg.pacs.errors import PacsError
from hoimg.pacs.pull import pull
from hoimg.pacs.web import WebArchive

pytestmark = NEEDS_ORTHANC

Filled = tuple[Orthanc, dict[str, bytes]]
PASSWORD = "correct horse battery"


def words(server: Orthanc, out: Path, *more: str) -> list[str]:
    return ["pull", server.web, "-o", str(out), *(more or ("--patient", SECRET_ID))]


def of_studies(made: dict[str, bytes], *numbers: int) -> set[bytes]:
    starts = tuple(f"{study_uid(number)}." for number in numbers)
    return {data for uid, data in made.items() if uid.startswith(starts)}


@pytest.mark.parametrize(
    ("given", "studies"),
    [
        (["--patient", SECRET_ID], [1, 2]),
        (["--study", study_uid(3)], [3]),
        (["--accession", "A-2"], [2]),
        (["--dates", "2024-05-31:2024-06-01"], [2, 3]),
        (["--dates", "2024-01-11:"], [2, 3]),
        (["--dates", ":2024-01-10"], [1]),
        (["--patient", SECRET_ID, "--dates", "2024-06-01:2024-06-01"], [2]),
    ],
)
def test_every_byte_of_what_was_asked_for_and_nothing_else(
    filled: Filled, tmp_path: Path, given: list[str], studies: list[int]
) -> None:
    server, made = filled
    assert run(words(server, tmp_path, *given)) == 0
    got = files_in(tmp_path)
    assert set(got.values()) == of_studies(made, *studies)
    assert len(got) == len(of_studies(made, *studies))


def test_names_hold_no_text_of_the_archive_and_the_list_has_every_hash(
    filled: Filled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server, made = filled
    assert run(["-v", *words(server, tmp_path)]) == 0
    said = "".join(capsys.readouterr())
    listed = json.loads((tmp_path / "pull.json").read_text())["instances"]
    got = files_in(tmp_path)
    assert {e["path"] for e in listed} == set(got)
    for entry in listed:
        data = got[entry["path"]]
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
        assert entry["size_bytes"] == len(data)
        assert made[entry["sop_instance_uid"]] == data
        assert all(c in "0123456789abcdef/.dcm" for c in entry["path"])
    for secret in (SECRET_ID, "Zoltanfy", "4711"):
        assert secret not in said
        assert secret not in (tmp_path / "pull.json").read_text()
    assert {p.name for p in tmp_path.rglob("*") if p.suffix != ".dcm" and p.is_file()} == {
        "pull.json"
    }


def test_a_second_run_fetches_only_what_is_no_longer_whole(
    filled: Filled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server, _ = filled
    assert run(words(server, tmp_path)) == 0
    first = files_in(tmp_path)
    assert run(words(server, tmp_path)) == 0
    assert capsys.readouterr().out.endswith("0 of them new\n")
    gone, cut, other = (tmp_path / name for name in list(first)[:3])
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-1])
    other.write_bytes(other.read_bytes().replace(b"P", b"Q", 1))
    assert run(words(server, tmp_path)) == 0
    assert capsys.readouterr().out.endswith("3 of them new\n")
    assert files_in(tmp_path) == first


def test_files_without_a_list_are_read_and_kept(
    filled: Filled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server, _ = filled
    assert run(words(server, tmp_path)) == 0
    listed = (tmp_path / "pull.json").read_text()
    (tmp_path / "pull.json").unlink()
    first = files_in(tmp_path)
    cut, swapped = (tmp_path / name for name in list(first)[:2])
    cut.write_bytes(cut.read_bytes()[:-1])
    swapped.write_bytes(list(first.values())[2])
    assert run(words(server, tmp_path)) == 0
    assert capsys.readouterr().out.endswith("2 of them new\n")
    assert files_in(tmp_path) == first
    assert (tmp_path / "pull.json").read_text() == listed


def test_a_server_that_is_killed_in_the_middle_is_resumed(
    start_orthanc: Callable[..., Orthanc], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = start_orthanc()
    made = write_study(tmp_path / "in")
    for uid in made:
        server.put(tmp_path / "in" / f"{uid}.in")
    out = tmp_path / "out"

    def kill_after_four(done: int, _total: int) -> None:
        if done == 4 and server.process is not None:
            server.kill()

    with (
        WebArchive(WebAddress(server.web), Credentials()) as archive,
        pytest.raises(PacsError) as broken,
    ):
        pull(archive, Query(study_uid=study_uid(1)), out, kill_after_four)
    assert broken.value.kind in {"unreachable", "broken_off"}
    before = files_in(out)
    assert len(before) == 4
    assert set(before.values()) < set(made.values())
    server.start()
    assert run(words(server, out)) == 0
    assert capsys.readouterr().out.endswith("6 of them new\n")
    assert sorted(files_in(out).values()) == sorted(made.values())
    assert before.items() <= files_in(out).items()


def test_a_client_that_is_killed_in_the_middle_is_resumed(
    filled: Filled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server, made = filled
    program = """
import os, signal, sys
from pathlib import Path
from hoimg.pacs.address import WebAddress
from hoimg.pacs.archive import Query
from hoimg.pacs.credentials import Credentials
from hoimg.pacs.folder import PullFolder
from hoimg.pacs.pull import pull
from hoimg.pacs.web import WebArchive
import hoimg.pacs.folder as folder
check = folder.check_object
def die_while_writing(path, instance):
    if len(list(Path(sys.argv[2]).rglob("*.dcm"))) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    check(path, instance)
folder.check_object = die_while_writing
archive = WebArchive(WebAddress(sys.argv[1]), Credentials())
pull(archive, Query(study_uid=sys.argv[3]), Path(sys.argv[2]), lambda *_: None)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, server.web, str(tmp_path), study_uid(1)], check=False
    )
    assert ran.returncode == -9
    assert len(files_in(tmp_path)) == 3
    (left,) = tmp_path.rglob("*.part")
    live = left.with_name(f"{whole_files.PREFIX}live{whole_files.SUFFIX}")  # of another pull
    live.write_bytes(b"half")
    before = time.time() - whole_files.LEFT_S
    os.utime(left, (before - 1, before - 1))
    os.utime(live, (before + 600, before + 600))
    assert run(words(server, tmp_path, "--study", study_uid(1))) == 0
    assert capsys.readouterr().out.endswith("7 of them new\n")
    assert set(files_in(tmp_path).values()) == of_studies(made, 1)
    assert list(tmp_path.rglob("*.part")) == [live]


@pytest.mark.parametrize("limit", [0, 700, 3000, 9000, 12345])
def test_a_line_that_is_cut_anywhere_leaves_whole_files_only(
    filled: Filled, tmp_path: Path, capsys: pytest.CaptureFixture[str], limit: int
) -> None:
    server, made = filled
    given = ["-o", str(tmp_path), "--study", study_uid(1)]
    with Proxy(server.http, limit) as proxy:
        assert run(["pull", f"http://127.0.0.1:{proxy.port}/dicom-web", *given]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "broke off" in said or "cannot be reached" in said
    partly = files_in(tmp_path)
    assert set(partly.values()) <= of_studies(made, 1)
    assert run(["pull", server.web, *given]) == 0
    assert capsys.readouterr().out.endswith(f"{10 - len(partly)} of them new\n")
    assert set(files_in(tmp_path).values()) == of_studies(made, 1)


def test_wrong_and_right_passwords(
    start_orthanc: Callable[..., Orthanc],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = start_orthanc(
        more={"AuthenticationEnabled": True, "RegisteredUsers": {"jane": PASSWORD}}
    )
    assert run(words(server, tmp_path)) == 1
    assert "HOIMG_PACS_USER" in capsys.readouterr().err
    monkeypatch.setenv("HOIMG_PACS_USER", "jane")
    monkeypatch.setenv("HOIMG_PACS_PASSWORD", "wrong secret word")
    assert run(["-v", *words(server, tmp_path)]) == 1
    said = "".join(capsys.readouterr())
    assert "does not let us in (401)" in said
    for secret in ("wrong secret word", "d3Jvbmcg", SECRET_ID):
        assert secret not in said
    monkeypatch.setenv("HOIMG_PACS_PASSWORD", PASSWORD)
    assert run(words(server, tmp_path)) == 1
    assert "no study that matches" in capsys.readouterr().err


def test_a_certificate_is_trusted_only_when_it_is_given(
    filled: Filled, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    server, made = filled
    own, other = (certificate(tmp_path, name) for name in ("localhost", "elsewhere"))
    out = tmp_path / "out"
    given = ["-o", str(out), "--study", study_uid(2)]
    with Proxy(server.http, tls=own.server()) as secure:
        url = f"https://localhost:{secure.port}/dicom-web"
        # The certificate speaks of localhost, not of another name of the same machine.
        by_number = url.replace("localhost", "127.0.0.1")
        for refused in (
            ["pull", url, *given],
            ["pull", url, *given, "--ca", str(other.cert)],
            ["pull", by_number, *given, "--ca", str(own.cert)],
        ):
            assert run(refused) == 1
            assert "certificate is not trusted" in capsys.readouterr().err
        assert files_in(out) == {}
        assert run(["pull", url, *given, "--ca", str(own.cert)]) == 0
        assert set(files_in(out).values()) == of_studies(made, 2)
        assert run(["pull", url, *given, "--ca", str(own.cert) + ".absent"]) == 2
        assert run(["pull", url.replace("https", "http"), *given, "--ca", str(own.cert)]) == 2
        # The way for commands without --ca, such as batch.
        monkeypatch.setenv("SSL_CERT_FILE", str(own.cert))
        again = tmp_path / "again"
        assert run(["pull", url, "-o", str(again), *given[2:]]) == 0
        assert set(files_in(again).values()) == of_studies(made, 2)


def test_a_wrong_path_and_a_closed_port_say_what_to_do(
    filled: Filled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server, _ = filled
    given = ["-o", str(tmp_path), "--patient", SECRET_ID]
    assert run(["pull", f"{server.root}/nothing-here", *given]) == 1
    assert "404" in capsys.readouterr().err
    assert run(["pull", f"http://127.0.0.1:{free_port()}/dicom-web", *given]) == 1
    assert "cannot be reached" in capsys.readouterr().err
    assert run(["pull", "http://no-such-host.invalid/dicom-web", *given]) == 1
    assert "cannot be reached" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
