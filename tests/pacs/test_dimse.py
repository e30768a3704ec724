"""Pulling and pushing by C-FIND, C-GET, C-MOVE and C-STORE, with a real Orthanc."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from orthanc_server import NEEDS_ORTHANC, Orthanc, free_port
from proxies import Proxy, old_archive, unwelcoming
from pydicom import dcmread
from pynetdicom.transport import AssociationSocket
from studies import SECRET_ID, SECRET_NAME, files_in, study_uid, write_study

from hoimg.cli.main import run
from hoimg.pacs.address import DimseAddress
from hoimg.pacs.archive import Query
from hoimg.pacs.dimse import DimseArchive
from hoimg.pacs.errors import PacsError
from hoimg.pacs.pull import pull

pytestmark = NEEDS_ORTHANC

Filled = tuple[Orthanc, dict[str, bytes]]


def same_objects(found: dict[str, bytes], made: dict[str, bytes], *numbers: int) -> None:
    """By data set and transfer syntax: the file meta is the receiver's."""

    def plain(data: bytes) -> tuple[str, str, bytes]:
        read = dcmread(BytesIO(data), stop_before_pixels=True)
        # the meta group's length stands in its first element
        start = 144 + int.from_bytes(data[140:144], "little")
        return str(read.SOPInstanceUID), str(read.file_meta.TransferSyntaxUID), data[start:]

    starts = tuple(f"{study_uid(number)}." for number in numbers)
    wanted = sorted(plain(data) for uid, data in made.items() if uid.startswith(starts))
    assert sorted(plain(data) for data in found.values()) == wanted


@pytest.mark.parametrize("how", ["get", "move"])
def test_every_byte_of_what_was_asked_for_and_nothing_else(
    start_orthanc: Callable[..., Orthanc], tmp_path: Path, how: str,
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    port = free_port()
    server = start_orthanc(more={"DicomModalities": {"us": ["READER", "127.0.0.1", port]}})
    made = write_study(tmp_path / "in", 1)
    made |= write_study(tmp_path / "in", 2, date="20240601", accession="A-2", series=1)
    made |= write_study(tmp_path / "in", 3, patient="PAT-1", date="20240601", accession="A-3")
    for uid in made:
        server.put(tmp_path / "in" / f"{uid}.in")
    more = ["--aet", "READER", *(["--listen", f"127.0.0.1:{port}"] if how == "move" else [])]

    def ask(out: str, *words: str) -> int:
        return run(["-v", "pull", server.dimse, "-o", str(tmp_path / out), *words, *more])

    with caplog.at_level(logging.DEBUG):
        assert ask("one", "--patient", SECRET_ID) == 0
    same_objects(files_in(tmp_path / "one"), made, 1, 2)
    said = "".join(capsys.readouterr()) + caplog.text
    assert SECRET_ID not in said
    assert "Zoltanfy" not in said
    assert SECRET_NAME not in (tmp_path / "one" / "pull.json").read_text()
    first = files_in(tmp_path / "one")
    for name in list(first)[:2]:
        (tmp_path / "one" / name).unlink()
    assert ask("one", "--patient", SECRET_ID) == 0
    assert capsys.readouterr().out.endswith("2 of them new\n")
    assert files_in(tmp_path / "one") == first
    assert ask("two", "--dates", "2024-05-01:2024-07-01", "--accession", "A-3") == 0
    same_objects(files_in(tmp_path / "two"), made, 3)
    assert ask("three", "--patient", "PAT-2") == 1


def test_a_server_that_is_killed_in_the_middle_is_resumed(
    start_orthanc: Callable[..., Orthanc], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = start_orthanc()
    made = write_study(tmp_path / "in", slices=20, side=64)
    for uid in made:
        server.put(tmp_path / "in" / f"{uid}.in")
    out = tmp_path / "out"

    def kill_after_four(done: int, _total: int) -> None:
        if done == 4 and server.process is not None:
            server.kill()

    address = DimseAddress("ORTHANC", "127.0.0.1", server.dicom)
    with DimseArchive(address, "HOIMG") as archive, pytest.raises(PacsError) as broken:
        pull(archive, Query(study_uid=study_uid(1)), out, kill_after_four)
    assert broken.value.kind in {"unreachable", "broken_off", "incomplete"}
    before = files_in(out)
    assert 4 <= len(before) < 40
    server.start()
    words = ["pull", server.dimse, "-o", str(out), "--study", study_uid(1)]
    assert run(words) == 0
    assert capsys.readouterr().out.endswith(f"{40 - len(before)} of them new\n")
    same_objects(files_in(out), made, 1)
    assert before.items() <= files_in(out).items()


@pytest.mark.parametrize("limit", [0, 150, 1500, 6000])
def test_a_line_that_is_cut_anywhere_leaves_whole_files_only(
    filled: Filled, tmp_path: Path, capsys: pytest.CaptureFixture[str], limit: int
) -> None:
    server, made = filled
    given = ["-o", str(tmp_path), "--study", study_uid(1)]
    with Proxy(server.dicom, limit) as proxy:
        assert run(["pull", f"dicom://ORTHANC@127.0.0.1:{proxy.port}", *given]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "broke off" in said or "cannot be reached" in said
    assert run(["pull", server.dimse, *given]) == 0
    same_objects(files_in(tmp_path), made, 1)


def test_wrong_names_and_ports_say_what_to_do(
    filled: Filled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server, _ = filled
    given = ["-o", str(tmp_path), "--patient", SECRET_ID]
    for url, more, code, said in (
        (server.dimse.replace("ORTHANC", "OTHER"), [], 1, "check both AE titles"),
        (f"dicom://ORTHANC@127.0.0.1:{free_port()}", [], 1, "cannot be reached"),
        ("dicom://ORTHANC@no-such-host.invalid", [], 1, "invalid:104: cannot be reached"),
        (f"dicom://ORTHANC@127.0.0.1:{server.http}", [], 1, "those of a DICOM service"),
        (server.dimse, ["--listen", str(free_port())], 1, "knows no address of HOIMG"),
        (server.dimse, ["--listen", f"127.0.0.1:{server.http}"], 2, "cannot be listened on"),
        (server.dimse, ["--listen", "x"], 2, "give [HOST:]PORT"),
        (server.dimse, ["--aet", "A" * 17], 2, "1 to 16"),
        (server.dimse, ["--ca", "x.pem"], 2, "dicoms://"),
        (server.dimse, ["--cert", "x.pem"], 2, "dicoms://"),
        (server.web, ["--aet", "ME"], 2, "dicom://"),
    ):
        assert run(["pull", url, *given, *more]) == code
        assert said in capsys.readouterr().err
    assert files_in(tmp_path) == {}


@pytest.mark.parametrize("late", [False, True])
def test_a_refusal_is_told_whichever_thread_is_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], late: bool
) -> None:
    """``late``: the asking thread wakes when the refusal came and the connection is closed.

    A busy machine does that to one association of twenty.
    """
    begin, close = AssociationSocket.__init__, AssociationSocket.close

    class Ready(threading.Event):
        def __init__(self) -> None:
            super().__init__()
            self.closed = threading.Event()

        def wait(self, timeout: float | None = None) -> bool:
            assert super().wait(20)
            return self.closed.wait(20)

    def begin_late(link: AssociationSocket, *given: object, **more: object) -> None:
        begin(link, *given, **more)
        link._ready = Ready()

    def close_and_tell(link: AssociationSocket) -> None:
        close(link)
        link._ready.closed.set()

    if late:
        monkeypatch.setattr(AssociationSocket, "__init__", begin_late)
        monkeypatch.setattr(AssociationSocket, "close", close_and_tell)
    with unwelcoming() as url:
        assert run(["pull", url, "-o", str(tmp_path), "--patient", SECRET_ID]) == 1
    assert "does not let HOIMG in; check both AE titles" in capsys.readouterr().err


def test_an_archive_without_c_get_says_what_to_ask_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = write_study(tmp_path / "in", series=1, slices=1)
    with old_archive() as (url, held):
        for uid in made:
            held[uid] = dcmread(tmp_path / "in" / f"{uid}.in")
        assert run(["pull", url, "-o", str(tmp_path / "out"), "--patient", SECRET_ID]) == 1
    assert "offers no C-GET" in capsys.readouterr().err
