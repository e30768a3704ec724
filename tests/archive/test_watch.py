"""A folder that others copy into: nobody is taken half, nobody is left."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from archives import key_of, settings, statuses
from synthetic_archive_ct import write_one

from hoimg.archive.census import Census, census_of_root
from hoimg.archive.watch import Quiet, Stopped, complete, watch_folder
from hoimg.cli.main import run

HERE = Path(__file__).parent
S = settings()
SETTLE_S = 60.0


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watched(tmp_path: Path) -> tuple[Path, Clock, Callable[[], Census]]:
    """A folder, its clock, and who is complete in it at a look."""
    root, clock = tmp_path / "in", Clock()
    root.mkdir()
    quiet = Quiet(root, SETTLE_S, clock)

    def look() -> Census:
        seen = quiet.look()
        return complete(census_of_root(root, S), seen)

    return root, clock, look


def keys(census: Census) -> set[str]:
    return {case.key for case in census.cases}


def test_a_patient_is_taken_when_all_files_have_been_quiet_for_long_enough(watched):
    root, clock, look = watched
    first = write_one(root / "a" / "1", "ANNA")
    old = (1_000_000_000, 1_000_000_000)  # a copy that keeps its time
    os.utime(first, ns=old)
    assert keys(look()) == set()
    clock.now = SETTLE_S - 0.1
    assert keys(look()) == set()
    second = write_one(root / "b" / "2", "ANNA", number=2)
    os.utime(second, ns=old)
    bert = write_one(root / "c" / "1", "BERT")
    clock.now = SETTLE_S
    assert keys(look()) == set()  # the second is new, and is hers
    clock.now = 2 * SETTLE_S
    assert keys(look()) == {key_of(first), key_of(bert)}
    with bert.open("ab") as stream:  # goes on growing
        stream.write(b"\0\0")
    assert keys(look()) == {key_of(first)}
    clock.now = 3 * SETTLE_S - 0.1
    assert keys(look()) == {key_of(first)}
    clock.now = 3 * SETTLE_S
    assert keys(look()) == {key_of(first), key_of(bert)}


def test_a_file_whose_owner_cannot_be_seen_yet_holds_up_its_folder(watched):
    root, clock, look = watched
    whole = write_one(root / "a" / "1", "ANNA")
    bert = write_one(root / "b" / "1", "BERT")
    look()
    clock.now = SETTLE_S
    (root / "a" / "2").write_bytes(b"")  # one of hers, just begun
    assert keys(look()) == {key_of(bert)}
    clock.now = 2 * SETTLE_S
    assert keys(look()) == {key_of(whole), key_of(bert)}


def test_an_archive_that_still_comes_is_no_failure_yet_and_holds_up_no_other(watched):
    root, clock, look = watched
    image = write_one(root.parent / "1", "ANNA")
    for name in ("anna.zip", "bert.zip"):
        with zipfile.ZipFile(root / name, "w") as packed:
            packed.write(image, "x")
    whole = (root / "bert.zip").read_bytes()
    look()
    clock.now = SETTLE_S
    (root / "bert.zip").write_bytes(whole[:100])
    (root / "cara").mkdir()
    (root / "cara" / "1").write_bytes(b"")
    found = look()
    assert (keys(found), found.refused) == ({key_of(image)}, ())
    clock.now = 2 * SETTLE_S
    assert {r.path.name for r in look().refused} == {"bert.zip", "cara"}


def test_what_comes_or_changes_after_the_look_is_not_quiet(tmp_path):
    root, clock = tmp_path / "in", Clock()
    first = write_one(root / "a" / "1", "ANNA")
    quiet = Quiet(root, SETTLE_S, clock)
    quiet.look()
    clock.now = SETTLE_S
    seen = quiet.look()
    write_one(root / "a" / "2", "ANNA", number=2)
    assert keys(complete(census_of_root(root, S), seen)) == set()
    (root / "a" / "2").unlink()
    assert keys(complete(census_of_root(root, S), seen)) == {key_of(first)}
    os.utime(first, ns=(5, 5))
    assert keys(complete(census_of_root(root, S), seen)) == set()


def looked_at(root: Path, at: Callable[[int], bool]) -> tuple[int, list[int]]:
    """Looks at a folder, and how many were complete in each round; ``at`` may end it at a look."""
    stop, rounds, looks, real = threading.Event(), list[int](), list[int](), Quiet.look

    def look(self: Quiet) -> object:
        looks.append(len(looks) + 1)
        if at(looks[-1]):
            stop.set()
        return real(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Quiet, "look", look)
        watch_folder(
            root, 1e-9, stop, lambda: census_of_root(root, S),
            lambda census: rounds.append(len(census.cases)),
        )  # fmt: skip
    return len(looks), rounds


def test_the_headers_are_read_only_when_something_is_newly_quiet(tmp_path):
    write_one(tmp_path / "a" / "1", "ANNA")
    assert looked_at(tmp_path, lambda look: look == 8) == (8, [1])


def test_who_waited_for_a_file_that_is_gone_again_is_taken(tmp_path):
    root = tmp_path / "in"
    write_one(root / "a" / "1", "ANNA")
    mark = root / "a" / "still-copying"

    def at(look: int) -> bool:
        if look <= 3:
            mark.write_bytes(bytes(look))  # another size at each look: never quiet
        elif look == 4:
            mark.unlink()
        return look == 6

    assert looked_at(root, at) == (6, [0, 1])


def test_told_to_stop_in_the_middle_it_ends(tmp_path):
    write_one(tmp_path / "a" / "1", "ANNA")

    def stopped(_: Census) -> None:
        raise Stopped

    watch_folder(tmp_path, 1e-9, threading.Event(), lambda: census_of_root(tmp_path, S), stopped)


CODE = """
import sys
import hoimg.archive.run
hoimg.archive.run.run_batch.__kwdefaults__["entry"] = "odd_child"
from hoimg.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end, "it did not come so far"
        time.sleep(0.05)


def test_the_command_takes_who_comes_and_ends_cleanly_when_told(tmp_path):
    root, out, log = tmp_path / "in", tmp_path / "out", tmp_path / "log"
    config = tmp_path / "s.toml"
    config.write_text("[batch]\nsettle_s = 0.2\nfree_gb = 0.0\n")
    good = write_one(root / "a" / "good.dcm", "ANNA")
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]),
        "HOIMG_TEST_LOG": str(log),
    }
    words = ["-q", "batch", str(root), "-o", str(out), "--watch", "--workers", "1"]
    process = subprocess.Popen([sys.executable, "-c", CODE, *words, "--config", str(config)],
                               env=env, stdout=subprocess.DEVNULL)  # fmt: skip
    try:
        until(lambda: (out / "results.sqlite").exists() and len(recorded(out)) == 1)
        late = write_one(root / "b" / "hang.dcm", "BERT")
        until(lambda: key_of(late) in log.read_text())
        below = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0  # of the run that was finished nobody failed
    finally:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(below, timeout=60)
    assert not alive
    assert statuses(out) == {key_of(good): ("done", None)}
    with sqlite3.connect(out / "results.sqlite") as database:
        states = [s for (s,) in database.execute("SELECT state FROM runs ORDER BY run")]
    assert states[0] == "finished"
    assert states[-1] == "stopped"


def recorded(out: Path) -> set[str]:
    try:
        return set(statuses(out))
    except sqlite3.OperationalError:
        return set()


@pytest.mark.parametrize("words", [["--dry-run"], []])
def test_only_a_folder_can_be_watched(tmp_path, words):
    (tmp_path / "in").mkdir()
    root = str(tmp_path / "in") if words else "http://127.0.0.1:1/x?ModalitiesInStudy=CT"
    assert run(["-q", "batch", root, "-o", str(tmp_path / "out"), "--watch", *words]) == 2
