"""What a PACS sends is filed before it is acknowledged, and reported on when all has come."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from orthanc_server import NEEDS_ORTHANC, Orthanc, free_port
from pydicom import dcmread
from pynetdicom import AE, build_context
from studies import SECRET_ID, write_study

from hoimg import whole_files
from hoimg.cli.main import run
from hoimg.image import read_mask
from hoimg.pacs.inbox import Inbox, Taken
from hoimg.pacs.listen import LOOK_EVERY_S, QUIET_S, Listener, Reported
from hoimg.pacs.listen import listen as listen_on


def send(port: int, paths: list[Path], aet: str = "PACS") -> list[int]:
    """Statuses of C-STORE, by pynetdicom; empty when we are not let in."""
    contexts = {(d.SOPClassUID, d.file_meta.TransferSyntaxUID) for d in map(dcmread, paths)}
    ae = AE(aet)
    link = ae.associate("127.0.0.1", port, contexts=[build_context(*c) for c in contexts])
    if not link.is_established:
        return []
    statuses = [int(link.send_c_store(path).get("Status", -1)) for path in paths]
    link.release()
    return statuses


class Clock:
    """Time that only a test moves, so that a busy machine makes no difference."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        time.sleep(3 * LOOK_EVERY_S)  # let the listener look


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("hoimg.pacs.inbox.time", clock)
    monkeypatch.setattr("hoimg.pacs.listen.time", clock)
    return clock


@contextmanager
def listening(
    out: Path, make_report: Callable[..., int | None], **more: object
) -> Iterator[tuple[int, list[Reported], Listener]]:
    """A listener in a thread, stopped at the end."""
    stop, told = threading.Event(), []
    inbox = Inbox(out, "c" * 64)
    listener = Listener(inbox, "HOIMG", "127.0.0.1", 0, **more)  # type: ignore[arg-type]
    thread = threading.Thread(
        target=listen_on,
        args=(inbox, listener, make_report),
        kwargs={"stop": stop, "on_report": told.append},
    )
    thread.start()
    try:
        yield listener.port, told, listener
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def sources(tmp_path: Path, *numbers: int, **more: object) -> dict[str, Path]:
    made = {}
    for number in numbers:
        uids = write_study(tmp_path / "in", number, patient=f"PAT-{number}", **more)  # type: ignore[arg-type]
        made |= {uid: tmp_path / "in" / f"{uid}.in" for uid in uids}
    return made


def held(out: Path) -> set[str]:
    return {dcmread(p, stop_before_pixels=True).SOPInstanceUID for p in out.rglob("*.dcm")}


def test_patients_are_reported_apart_when_nothing_comes_any_more(
    tmp_path: Path, clock: Clock
) -> None:
    made = sources(tmp_path, 1, 2)
    seen = []

    def make(scans: Path, report: Path, stop: threading.Event) -> int:
        seen.append((scans.parent.name, len(list(scans.rglob("*.dcm")))))
        return 0

    with listening(tmp_path / "out", make) as (port, told, _):
        paths = sorted(made.values())
        assert send(port, paths[:15]) == [0] * 15
        clock.pass_by(QUIET_S - 1)
        assert send(port, paths[15:]) == [0] * 5
        clock.pass_by(2)
        until(lambda: len(told) == 1)
        assert [n for _, n in seen] == [10], "of the second patient more came"
        clock.pass_by(QUIET_S)
        until(lambda: len(told) == 2)
        clock.pass_by(2 * QUIET_S)
    assert [n for _, n in seen] == [10, 10]
    assert len({key for key, _ in seen}) == 2
    assert [t.exit_code for t in told] == [0, 0]
    assert held(tmp_path / "out") == set(made)
    names = " ".join(str(p) for p in (tmp_path / "out").rglob("*"))
    assert "PAT-" not in names


def test_a_bad_study_and_a_crash_end_nothing(tmp_path: Path, clock: Clock) -> None:
    made = sources(tmp_path, 1, 2, 3, series=1, slices=2)
    codes = iter([3, 1, 0])
    with listening(tmp_path / "out", lambda *_: next(codes)) as (port, told, _):
        for number in (1, 2, 3):
            paths = [p for uid, p in made.items() if f".77.{number}." in uid]
            assert send(port, paths) == [0, 0]
            clock.pass_by(QUIET_S)
            until(lambda n=number: len(told) == n)
    assert [t.exit_code for t in told] == [3, 1, 0]


def test_the_same_object_again_is_welcome_and_another_one_of_its_uid_is_not(
    tmp_path: Path, clock: Clock
) -> None:
    made = sources(tmp_path, 1, series=1, slices=3)
    paths = sorted(made.values())
    other = dcmread(paths[0])
    other.PixelData = bytes(len(other.PixelData))
    other.save_as(tmp_path / "other.dcm")
    runs = []
    with listening(tmp_path / "out", lambda *_: runs.append(1) or 0) as (port, told, listener):
        assert send(port, paths) == [0, 0, 0]
        clock.pass_by(QUIET_S)
        until(lambda: len(told) == 1)
        before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*.dcm")}
        assert send(port, [*paths, tmp_path / "other.dcm"]) == [0, 0, 0, 0x0111]
        clock.pass_by(2 * QUIET_S)
        assert {p: p.read_bytes() for p in (tmp_path / "out").rglob("*.dcm")} == before
        assert listener.taken == {Taken.new: 3, Taken.known: 3, Taken.other: 1}
    assert len(runs) == 1


def test_an_object_is_not_acknowledged_before_it_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = sources(tmp_path, 1, series=1, slices=2)
    first, second = sorted(made.values())

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    with listening(tmp_path / "out", lambda *_: 0) as (port, _, listener):
        with monkeypatch.context() as broken:
            broken.setattr("hoimg.whole_files.os.fsync", full)
            assert send(port, [first]) == [0xA700]
        assert list((tmp_path / "out").iterdir()) == []
        assert send(port, [first, second]) == [0, 0]
        assert listener.taken == {Taken.new: 2}
    cut = dcmread(first)
    cut.PixelData = cut.PixelData[:-40]
    cut.SOPInstanceUID = cut.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    cut.save_as(tmp_path / "cut.dcm")
    with listening(tmp_path / "out", lambda *_: 0) as (port, _, _listener):
        assert send(port, [tmp_path / "cut.dcm"]) == [0xC000]
    assert held(tmp_path / "out") == set(made)


def test_what_lies_there_though_it_was_not_acknowledged_is_reported_when_it_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    (first,) = sources(tmp_path, 1, series=1, slices=1).values()

    def full(_folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with listening(tmp_path / "out", lambda *_: 0) as (port, told, _):
        with monkeypatch.context() as broken:
            broken.setattr("hoimg.pacs.inbox.sync_folder", full)
            assert send(port, [first]) == [0xA700]
        assert send(port, [first]) == [0]
        clock.pass_by(QUIET_S)
        until(lambda: len(told) == 1)
    assert told[0].exit_code == 0


def test_a_report_that_finds_no_room_ends_nothing(tmp_path: Path, clock: Clock) -> None:
    """Neither one whose log cannot be begun nor one whose end cannot be noted."""
    made = sources(tmp_path, 1, 2, 3, series=1, slices=1)
    tried = []

    def make(scans: Path, report: Path, stop: threading.Event) -> int:
        tried.append(scans.parent)
        if len(tried) == 1:
            raise OSError(28, "No space left on device")
        if len(tried) == 2:
            (scans.parent / "reported.json").mkdir()  # in the way of the note
        return 0

    with listening(tmp_path / "out", make) as (port, told, _):
        for number, path in enumerate(sorted(made.values()), 1):
            assert send(port, [path]) == [0]
            clock.pass_by(QUIET_S)
            until(lambda n=number: len(told) == n)
        clock.pass_by(QUIET_S)
    assert [t.exit_code for t in told] == [1, 0, 0]
    noted = [json.loads((folder / "reported.json").read_text()) for folder in tried[::2]]
    assert [note["exit_code"] for note in noted] == [1, 0]
    (tried[1] / "reported.json").rmdir()
    again = []
    with listening(tmp_path / "out", lambda scans, *_: again.append(scans.parent) or 0) as (
        _port, told, _listener,
    ):  # fmt: skip
        clock.pass_by(QUIET_S)
        until(lambda: len(told) == 1)
        clock.pass_by(QUIET_S)
    assert again == [tried[1]]


def test_the_command_outlives_a_disk_that_takes_no_more(tmp_path: Path) -> None:
    """The kernel refuses files of more than 20 kB here, as a full disk would."""
    small = sources(tmp_path, 1, series=1, slices=2)
    (large,) = sources(tmp_path / "large", 2, series=1, slices=1, side=128).values()
    child, port = start_command("-o", str(tmp_path / "out"), "--port", "0", most_bytes=20_000)
    first, second = sorted(small.values())
    assert send(port, [first, large, second, large]) == [0, 0xA700, 0, 0xA700]
    assert held(tmp_path / "out") == set(small)
    assert not list((tmp_path / "out").rglob("*.part"))
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate(timeout=20)
    assert child.returncode == 0, out + err


def test_only_those_who_are_named_may_send(tmp_path: Path) -> None:
    made = sources(tmp_path, 1, series=1, slices=1)
    with listening(tmp_path / "out", lambda *_: 0, allow=["PACS", "MODALITY"]) as (port, *_):
        assert send(port, list(made.values()), "STRANGER") == []
        assert send(port, list(made.values()), "MODALITY") == [0]
    assert held(tmp_path / "out") == set(made)


def test_what_came_while_a_report_ran_is_reported_next(tmp_path: Path, clock: Clock) -> None:
    made = sources(tmp_path, 1, slices=3)
    paths = sorted(made.values())
    going, go_on, seen = threading.Event(), threading.Event(), []

    def make(scans: Path, report: Path, stop: threading.Event) -> int:
        seen.append(len(list(scans.rglob("*.dcm"))))
        going.set()
        go_on.wait(20)
        return 0

    with listening(tmp_path / "out", make) as (port, told, _):
        assert send(port, paths[:3]) == [0, 0, 0]
        clock.pass_by(QUIET_S)
        assert going.wait(20)
        assert send(port, paths[3:]) == [0, 0, 0]
        go_on.set()
        until(lambda: len(told) == 1)
        clock.pass_by(QUIET_S)
        until(lambda: len(told) == 2)
    assert seen == [3, 6]


def test_what_was_not_reported_is_done_at_the_next_start(tmp_path: Path, clock: Clock) -> None:
    made = sources(tmp_path, 1, 2, series=1, slices=2)
    out = tmp_path / "out"
    with listening(out, lambda *_: None) as (port, told, _):
        assert send(port, list(made.values())) == [0] * 4
        clock.pass_by(QUIET_S)
        until(lambda: len(told) > 0)
    assert told[0].exit_code is None
    left, live = (out / f"{whole_files.PREFIX}{n}{whole_files.SUFFIX}" for n in ("left", "live"))
    for part, age in ((left, 1), (live, -600)):  # seconds beyond the hour
        part.write_bytes(b"half")
        written = time.time() - whole_files.LEFT_S - age
        os.utime(part, (written, written))
    with listening(out, lambda *_: 0) as (_port, told, _):
        clock.pass_by(QUIET_S)
        until(lambda: len(told) == 2)
        clock.pass_by(QUIET_S)
    assert [t.exit_code for t in told] == [0, 0]
    assert list(out.glob("*.part")) == [live]
    with listening(out, lambda *_: 0) as (_port, told, _):
        clock.pass_by(QUIET_S)
    assert told == []


def test_a_report_made_with_other_settings_stays(tmp_path: Path, clock: Clock) -> None:
    made = sources(tmp_path, 1, 2, series=1, slices=1)
    out = tmp_path / "out"
    went = []
    with listening(out, lambda _scans, report, _stop: went.append(report) or 0) as (port, told, _):
        for path, config in zip(made.values(), ("c" * 64, "d" * 64), strict=True):
            assert send(port, [path]) == [0]
            (new,) = [p for p in out.iterdir() if not (p / "report").exists()]
            (new / "report").mkdir()
            (new / "report" / "manifest.json").write_text(json.dumps({"config_sha256": config}))
        clock.pass_by(QUIET_S)
        until(lambda: len(told) == 2)
    assert [path.name for path in went] == ["report", "report-cccccccc"]
    assert [t.report for t in told] == went


def start_command(*words: str, most_bytes: int | None = None) -> tuple[subprocess.Popen[str], int]:
    """The command and its port; ``most_bytes`` is the longest file that it may write."""
    limit = "import resource as r"
    if most_bytes is not None:
        limit += f"; r.setrlimit(r.RLIMIT_FSIZE, ({most_bytes}, {most_bytes}))"
    child = subprocess.Popen(
        [sys.executable, "-c", f"{limit}; from hoimg.cli.main import main; main()",
         "listen", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stderr is not None
    line = child.stderr.readline()
    assert line.startswith("hoimg: listening as HOIMG on 127.0.0.1:"), line
    return child, int(line.rpartition(":")[2])


def test_killed_while_it_receives_it_holds_all_that_it_acknowledged(tmp_path: Path) -> None:
    made = sources(tmp_path, 1, slices=20, side=64)
    child, port = start_command("-o", str(tmp_path / "out"), "--port", "0")
    acknowledged: list[str] = []

    def go() -> None:
        link = AE("PACS").associate(
            "127.0.0.1", port,
            contexts=[
                build_context(*c)
                for c in {
                    (d.SOPClassUID, d.file_meta.TransferSyntaxUID)
                    for d in map(dcmread, made.values())
                }
            ],
        )  # fmt: skip
        for uid, path in made.items():
            if len(acknowledged) == 7:
                child.kill()
            try:
                if link.send_c_store(path).get("Status", -1) != 0:
                    break
            except (RuntimeError, ValueError):
                break
            acknowledged.append(uid)
        link.abort()

    go()
    child.wait(20)
    assert len(acknowledged) >= 7
    assert set(acknowledged) <= held(tmp_path / "out")
    for stream in (child.stdout, child.stderr):
        assert stream is not None
        stream.close()
    child, port = start_command("-o", str(tmp_path / "out"), "--port", "0")
    assert send(port, list(made.values())) == [0] * 40
    assert held(tmp_path / "out") == set(made)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=20)
    assert child.returncode == 0, err
    assert SECRET_ID not in out + err


@NEEDS_ORTHANC
def test_a_study_sent_by_orthanc_becomes_the_report_of_its_files(
    start_orthanc: Callable[..., Orthanc], sample_data: Path, tmp_path: Path
) -> None:
    port = free_port()
    server = start_orthanc(more={"DicomModalities": {"us": ["HOIMG", "127.0.0.1", port]}})
    for path in (sample_data / "patient" / "SB4220").iterdir():
        if dcmread(path, stop_before_pixels=True).SliceThickness == 5:
            server.put(path)
    bad = sources(tmp_path, 9, series=1, slices=2)
    for path in bad.values():
        server.put(path)
    out = tmp_path / "out"
    child, _ = start_command(
        "-o", str(out), "--port", str(port), "--wait", "1", "--allow", "ORTHANC"
    )
    try:
        studies = requests.get(f"{server.root}/studies", timeout=5).json()
        sent = requests.post(f"{server.root}/modalities/us/store", json=studies, timeout=60)
        assert sent.status_code == 200, sent.text
        until(lambda: len(list(out.glob("*/reported.json"))) == 2, 90)
    finally:
        child.send_signal(signal.SIGTERM)
        said, err = child.communicate(timeout=20)
    assert child.returncode == 0, err
    done = {
        p.parent.name: json.loads(p.read_text())["exit_code"] for p in out.glob("*/reported.json")
    }
    assert sorted(done.values()) == [0, 3]
    (good,) = (key for key, code in done.items() if code == 0)
    (refused,) = (key for key, code in done.items() if code == 3)
    assert said == f"{good}: {out / good / 'report' / 'report.html'}\n"
    assert f"{refused}: no report (exit code 3)" in err
    assert (out / refused / "report.log").read_text().startswith("hoimg: ")
    (labelmap,) = (out / good).rglob("lesions.nii.gz")
    assert read_mask(labelmap).array.max() == 2


def test_the_command_refuses_what_it_cannot_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    with listening(tmp_path / "out", lambda *_: 0) as (port, *_):
        for words, said in (
            (["-o", str(tmp_path / "file")], "is a file"),
            (["-o", str(tmp_path / "x"), "--port", str(port)], "cannot be listened on"),
            (["-o", str(tmp_path / "x"), "--aet", "back\\slash"], "--aet"),
            (["-o", str(tmp_path / "x"), "--allow", ""], "--aet"),
            (["-o", str(tmp_path / "x"), "--config", str(tmp_path / "none")], "settings"),
        ):
            assert run(["listen", *words]) == 2
            assert said in capsys.readouterr().err
