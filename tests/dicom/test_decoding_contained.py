"""Whatever a file makes a decoder do: that file is named, the others are read, nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless
from synthetic_ct import noise, write_ct

from hoimg.decoding import pool as pool_module
from hoimg.decoding.codecs import Form
from hoimg.decoding.limits import Limits
from hoimg.decoding.pool import Decoded, DecodePool, Failed, Request
from hoimg.dicom import load_volume, read_patient
from hoimg.dicom.header import read_header
from hoimg.dicom.pixels import read_stack, read_stored
from hoimg.dicom.types import SliceSource, Stack, StoredPixels
from hoimg.errors import HoimgError, InputRefused

FORM = Form(RLELossless, 4, 6, 16, 16, False)
FAST = Limits(seconds=1.5, memory_bytes=64 * 2**20)


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    start = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); import decoder_faults"
    monkeypatch.setattr(pool_module, "START", start)


def requests_for(folder: Path, commands: str) -> list[Request]:
    """One file per command; frame k of good files is filled with k."""
    found = []
    for k, what in enumerate(commands):
        file = folder / f"{k:03d}"
        value = encapsulate([what.encode() + bytes([k])], has_bot=False)
        head = b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff"
        file.write_bytes(head + value + b"\xfe\xff\xdd\xe0\0\0\0\0")
        found.append(Request(file, 0, 0, 1, FORM))
    return found


def children_of(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def run(requests: list[Request], children: int = 2) -> dict[int, Any]:
    found: dict[int, Any] = {}
    with DecodePool(requests, children, FAST) as pool:
        for result in pool.results():
            assert result.index not in found
            if isinstance(result, Failed):
                found[result.index] = result.code
            else:
                assert len(set(result.values.tolist())) == 1
                found[result.index] = int(result.values[0])
    return found


FAULTS = {
    "c": "decode_crashed",
    "x": "decode_crashed",
    "n": "decode_crashed",
    "h": "decode_timeout",
    "m": "decode_too_large",
    "k": "decode_too_large",
    "w": "pixels_unreadable",
    "l": "pixels_unreadable",
}


@pytest.mark.usefixtures("faulty")
def test_each_fault_costs_its_own_file_only(
    tmp_path: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOIMG_TEST_FILE", str(tmp_path / "written"))
    commands = "gpgcgxgngghhgmgkwglgg"
    before = children_of(os.getpid())
    found = run(requests_for(tmp_path, commands))
    assert found == {k: FAULTS.get(what, k) for k, what in enumerate(commands)}
    assert children_of(os.getpid()) == before
    assert capfd.readouterr() == ("", "")
    written = tmp_path / "written"
    assert not written.exists() or written.stat().st_size <= 2**20


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize("what", "ch")
def test_an_exam_with_such_a_file_is_refused_by_its_name(
    tmp_path: Path, what: str, capfd: Any
) -> None:
    files = write_ct(tmp_path, noise(6, 4, 6))
    for k, file in enumerate(files):
        ds = dcmread(file)
        ds.file_meta.TransferSyntaxUID = RLELossless
        ds.PixelData = encapsulate([(what if k == 4 else "g").encode() + bytes([k])])
        ds["PixelData"].VR = "OB"
        ds.save_as(file, enforce_file_format=True)
    exam = read_patient(tmp_path).exams[0]
    before = children_of(os.getpid())
    assert exam.series.stack is not None
    with pytest.raises(InputRefused, match=files[4].name) as refusal:
        read_stack(exam.series.stack, limits=FAST)
    assert refusal.value.code == FAULTS[what]
    assert children_of(os.getpid()) == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("faulty")
def test_two_threads_have_children_of_their_own(tmp_path: Path) -> None:
    found: list[dict[int, Any]] = []
    parts = []
    for name, commands in (("a", "gsgcgsgggg"), ("b", "gggxgsggsg")):
        (tmp_path / name).mkdir()
        parts.append((requests_for(tmp_path / name, commands), commands))
    threads = [
        threading.Thread(target=lambda r=r: found.append(run(r, children=1)))  # type: ignore[misc]
        for r, _ in parts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = [{k: FAULTS.get(w, k) for k, w in enumerate(c)} for _, c in parts]
    assert sorted(map(str, found)) == sorted(str(dict(sorted(e.items()))) for e in expected)


@pytest.mark.usefixtures("faulty")
def test_leaving_early_ends_the_children(tmp_path: Path) -> None:
    before = children_of(os.getpid())
    requests = requests_for(tmp_path, "ghhggggggggggggggg")
    with DecodePool(requests, 2, FAST) as pool:
        assert isinstance(next(pool.results()), Decoded)
        assert len(children_of(os.getpid())) == len(before) + 2
    assert children_of(os.getpid()) == before


PARENT = """
import sys
sys.path[:] = {path!r}
from hoimg.decoding import pool
pool.START = {start!r}
from test_decoding_contained import requests_for, Path
requests = requests_for(Path({folder!r}), "h" * 20)
with pool.DecodePool(requests, 2, pool.Limits(seconds={seconds})) as children:
    print("started", flush=True)
    list(children.results())
"""


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize(("how", "within"), [(signal.SIGINT, 5), (signal.SIGKILL, 20)])
def test_no_child_outlives_its_parent(tmp_path: Path, how: int, within: float) -> None:
    # Killed outright, the parent can end nobody: the alarm of the kernel does, after the limit.
    code = PARENT.format(
        path=sys.path, start=pool_module.START, folder=str(tmp_path),
        seconds=60 if how == signal.SIGINT else 0,
    )  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        deadline = time.monotonic() + 60
        while not (children := children_of(parent.pid)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert children
        parent.send_signal(how)
    deadline = time.monotonic() + within
    while any(alive(pid) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in children)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize("start", ["raise SystemExit(1)", "import time; time.sleep(60)"])
def test_a_child_that_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    monkeypatch.setattr(pool_module, "START", start)
    source = SliceSource(
        requests_for(tmp_path, "g")[0].file, 0, 1.0, 0.0,
        StoredPixels(RLELossless, 0, 4, 6, 1, 16, 16, False, 1, "MONOCHROME2"),
    )  # fmt: skip
    with pytest.raises(HoimgError, match=r"does not start.*doctor"):
        read_stack(one(source), limits=Limits(start_seconds=1.0))


def one(source: SliceSource) -> Stack:
    return Stack((source,), (0.0,), ((0.0, 0.0),))


def test_children_are_few() -> None:
    requests = [Request(Path("x"), 0, 0, 1, FORM)] * 17
    assert DecodePool(requests, 8)._most == 3
    assert DecodePool(requests[:8], 8)._most == 1
    assert DecodePool(requests[:9], 8)._most == 2
    assert DecodePool(requests)._most <= 2
    assert list(DecodePool([]).results()) == []


KB = 1024


@pytest.mark.parametrize(
    ("limits", "frame", "frames", "file", "refused"),
    [
        (Limits(frame_bytes=1000), 1000, 1, None, False),
        (Limits(frame_bytes=1000), 1001, 1, None, True),
        (Limits(frames=7), 10, 7, None, False),
        (Limits(frames=7), 10, 8, None, True),
        (Limits(ratio=10, ratio_free_bytes=KB), KB, 1, 1, False),
        (Limits(ratio=10, ratio_free_bytes=KB), KB + 1, 1, 1, True),
        (Limits(ratio=10, ratio_free_bytes=KB), 1000, 2, 200, False),
        (Limits(ratio=10, ratio_free_bytes=KB), 1000, 2, 199, True),
        (Limits(ratio=10, ratio_free_bytes=KB), 10**6, 2, None, False),
    ],
)
def test_limits_of_what_a_header_may_declare(
    limits: Limits, frame: int, frames: int, file: int | None, refused: bool
) -> None:
    assert (limits.excess(frame, frames, file) is not None) == refused


def test_an_absurd_declaration_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    file = requests_for(tmp_path, "g")[0].file
    stored = StoredPixels(RLELossless, 0, 8000, 8000, 40, 16, 16, False, 1, "MONOCHROME2")
    for read in (
        lambda: read_stored(file, stored),
        lambda: read_stack(one(SliceSource(file, 0, 1.0, 0.0, stored))),
    ):
        with pytest.raises(InputRefused, match=r"000.*declares 5120000000 bytes") as refusal:
            read()
        assert refusal.value.code == "decode_too_large"


@pytest.mark.parametrize("spare", [0, -1])
def test_limit_of_a_deflated_file(tmp_path: Path, spare: int) -> None:
    import zlib

    [file] = write_ct(tmp_path, noise(1, 64, 64))
    ds = dcmread(file)
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    ds.save_as(file, enforce_file_format=True)
    header = read_header(file)
    assert header is not None
    assert header.stored is not None
    content = file.read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    inflated = len(zlib.decompress(content[start:], -zlib.MAX_WBITS))
    limits = Limits(inflated_bytes=inflated + spare)
    if spare < 0:
        with pytest.raises(InputRefused) as refusal:
            read_stored(file, header.stored, limits=limits)
        assert refusal.value.code == "decode_too_large"
    else:
        values = read_stored(file, header.stored, limits=limits)
        np.testing.assert_array_equal(values, noise(1, 64, 64)[0])


def test_a_codestream_that_declares_more_than_the_header(tmp_path: Path) -> None:
    # 60000 x 60000 pixels in a J2K main header of a hundred bytes: OpenJPEG would take 7 GB.
    from base64 import b85decode

    from test_transfer_syntaxes import HTJ2K_RAMP, compress

    source = bytearray(b85decode(HTJ2K_RAMP))
    size = (60000).to_bytes(4, "big")
    for place in (8, 12, 24, 28):  # image and tile sizes in the SIZ segment
        source[place : place + 4] = size
    files = write_ct(tmp_path)
    for file in files:
        compress(file, "1.2.840.10008.1.2.4.201", [bytes(source)])
    with pytest.raises(InputRefused, match="60000 x 60000") as refusal:
        load_volume(read_patient(tmp_path).exams[0])
    assert refusal.value.code == "pixels_unreadable"


def test_what_was_asked_after_a_memory_hog_is_asked_again(tmp_path: Path) -> None:
    """Both answers may be read at once; the second file is not to blame for the first one."""
    hog = {"failed": "memory", "code": "decode_too_large"}
    child = SimpleNamespace(
        read=lambda: ([hog, hog], False), given=deque([(0, 0), (1, 1)]), free=deque(), spent=False,
        ready=True, overdue=False, deadline=0.0, end=lambda: ("decode_crashed", "ended"),
    )  # fmt: skip
    pool = DecodePool(requests_for(tmp_path, "kgg"), 1, FAST)
    pool._children = [child]  # type: ignore[list-item]
    waiting = deque([2])
    (failed,) = pool._listen(child, waiting)  # type: ignore[arg-type]
    assert isinstance(failed, Failed)
    assert (failed.index, failed.code) == (0, "decode_too_large")
    assert list(waiting) == [1, 2]
    assert pool._children == []
