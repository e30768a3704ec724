"""The lean walk over headers: what pydicom reads, on real and hostile files, within bounds."""

from __future__ import annotations

import dataclasses
import sys
import tracemalloc
import zlib
from pathlib import Path

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from synthetic_ct import noise, stack, write_ct, write_slice

import hoimg.dicom.header as header_module
from hoimg.dicom.elements import MAX_DEPTH, DamagedFile, Irregular, walk
from hoimg.dicom.header import FileKind, Header, Pool, look, read_header
from hoimg.dicom.quiet import quiet_pydicom
from hoimg.dicom.values import TAGS

PYDICOM_FILES = Path(pydicom.__file__).parent / "data"


def both(path: Path, monkeypatch) -> tuple[object, object]:
    """What the walk says of a file, and what pydicom alone says."""

    def outcome() -> object:
        try:
            return look(path, Pool())
        except DamagedFile:
            return "damaged"

    def irregular(*_: object, **__: object) -> None:
        raise Irregular

    with quiet_pydicom():
        ours = outcome()
        with monkeypatch.context() as patch:
            patch.setattr(header_module, "walk", irregular)
            return ours, outcome()


def differences(a: object, b: object) -> list[str]:
    if not (isinstance(a, Header) and isinstance(b, Header)):
        return [] if a == b else [f"{a} != {b}"]
    names = [f.name for f in dataclasses.fields(a)]
    return [n for n in names if getattr(a, n) != getattr(b, n)]


def test_the_table_of_tags_is_the_dictionary_s() -> None:
    assert {keyword: tag_for_keyword(keyword) for keyword in TAGS} == TAGS


def test_every_file_of_pydicom_reads_as_pydicom_reads_it(monkeypatch) -> None:
    files = sorted(p for p in PYDICOM_FILES.rglob("*") if p.is_file())
    seen = 0
    for path in files:
        ours, theirs = both(path, monkeypatch)
        assert differences(ours, theirs) == [], path.name
        seen += isinstance(ours, Header)
    assert seen > 100


def test_every_real_file_reads_as_pydicom_reads_it(real_data: Path, monkeypatch) -> None:
    for path in sorted(p for p in real_data.rglob("*") if p.is_file()):
        assert differences(*both(path, monkeypatch)) == [], path.name


def test_regular_files_are_not_left_to_pydicom(real_data: Path, monkeypatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("pydicom was asked")

    monkeypatch.setattr(header_module, "_parse", never)
    for path in sorted((real_data / "transfer_syntaxes").iterdir()):
        if "BigEndian" not in path.name:
            assert isinstance(look(path, Pool()), Header | FileKind), path.name


def test_big_endian_gives_the_same_header(real_data: Path) -> None:
    folder = real_data / "transfer_syntaxes"
    little, big = (
        read_header(folder / f"CTImage.dcm_{name}.dcm")
        for name in (
            "LittleEndianExplicitTransferSyntax_1.2.840.10008.1.2.1",
            "BigEndianExplicitTransferSyntax_1.2.840.10008.1.2.2",
        )
    )
    assert set(differences(little, big)) == {"path", "stored"}


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_each_encoding_gives_the_same_header(tmp_path: Path, syntax: str) -> None:
    path = write_slice(tmp_path / "a", noise()[0], (1.5, -2.5, 3), PatientID="Jürgen")
    ds = dcmread(path)
    ds.SpecificCharacterSet = "ISO_IR 100"
    inner = Dataset()
    inner.CodeMeaning = "x"
    ds.ProcedureCodeSequence = [inner]
    ds["ProcedureCodeSequence"].is_undefined_length = True
    ds["PixelData"].VR = "OW"
    ds.save_as(path)
    with quiet_pydicom():
        first = look(path, Pool())
        ds.file_meta.TransferSyntaxUID = syntax
        ds.save_as(path)
        other = look(path, Pool())
    assert isinstance(first, Header)
    assert first.patient_id == "Jürgen"
    assert set(differences(first, other)) <= {"stored", "truncated"}


@pytest.mark.parametrize("meta", [True, False])
@pytest.mark.parametrize("implicit", [True, False])
def test_files_without_a_preamble(tmp_path: Path, meta: bool, implicit: bool) -> None:
    path = write_slice(tmp_path / "a", noise()[0], (0, 0, 0), implicit=implicit)
    whole = read_header(path)
    content = path.read_bytes()
    start = 132 if meta else 144 + int.from_bytes(content[140:144], "little")
    path.write_bytes(content[start:])
    bare = read_header(path)
    assert bare is not None
    assert set(differences(whole, bare)) <= {"stored"}


def test_what_is_no_dicom(tmp_path: Path) -> None:
    for k, content in enumerate((b"", b"\x08", b"\x08\x00", b"PNG", bytes(500), b"\x02\x00" * 90)):
        path = tmp_path / f"{k}"
        path.write_bytes(content)
        assert look(path, Pool()) is FileKind.OTHER
    (tmp_path / "z").write_bytes(b"PK\x03\x04")
    assert look(tmp_path / "z", Pool()) is FileKind.ARCHIVE
    assert read_header(tmp_path / "z") is None


# ---------------------------------------------------------------- bounds


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    head = tag.to_bytes(4, "little")
    head = head[2:] + head[:2] + vr
    size = len(value) if length is None else length
    if vr in (b"SQ", b"UN", b"OB", b"UT"):
        return head + b"\0\0" + size.to_bytes(4, "little") + value
    return head + size.to_bytes(2, "little") + value


ITEM = bytes.fromhex("feff00e0ffffffff")
ITEM_END = bytes.fromhex("feff0de000000000")
SEQUENCE_END = bytes.fromhex("feffdde000000000")


def nested(depth: int) -> bytes:
    opening = element(0x00081140, b"SQ", b"", 0xFFFFFFFF) + ITEM
    return opening * depth + (ITEM_END + SEQUENCE_END) * depth


def walked(data: bytes, implicit: bool = False) -> tuple[dict[int, bytes], int]:
    def fetch(offset: int, count: int) -> bytes:
        return data[offset : offset + count]

    return walk(data[:100], fetch, 0, len(data), implicit=implicit, wanted=set(TAGS.values()))


def test_depth_at_the_limit_and_one_beyond() -> None:
    tail = element(0x00100020, b"LO", b"ID") + element(0x7FE00010, b"OB", bytes(4))
    data = nested(MAX_DEPTH) + tail
    found, offset = walked(data)
    assert (found, offset) == ({0x00100020: b"ID"}, len(data) - 16)
    with pytest.raises(DamagedFile, match="deep"):
        walked(nested(MAX_DEPTH + 1) + tail)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 100_000])
def test_a_deep_file_is_damaged_whoever_reads_it(tmp_path: Path, monkeypatch, depth: int) -> None:
    path = write_slice(tmp_path / "deep", noise()[0], (0, 0, 0))
    content = path.read_bytes()
    meta = 144 + int.from_bytes(content[140:144], "little")
    path.write_bytes(content[:meta] + nested(depth) + content[meta:])
    ours, theirs = both(path, monkeypatch)
    assert ours == "damaged"
    if depth > sys.getrecursionlimit():
        assert theirs == "damaged"


def test_too_many_elements(monkeypatch) -> None:
    monkeypatch.setattr("hoimg.dicom.elements.MAX_ELEMENTS", 100)
    one = element(0x00091001, b"LO", b"")
    assert walked(one * 99)[0] == {}
    for data in (one * 101, element(0x00081140, b"SQ", b"", 0xFFFFFFFF) + ITEM + one * 200):
        with pytest.raises(DamagedFile, match="too many"):
            walked(data)


def test_a_hundred_thousand_sequences_are_not_read_again_and_again() -> None:
    empty = element(0x00081140, b"SQ", b"", 0xFFFFFFFF) + SEQUENCE_END
    data = empty * 100_000 + element(0x00100020, b"LO", b"ID")
    read = 0

    def fetch(offset: int, count: int) -> bytes:
        nonlocal read
        read += len(piece := data[offset : offset + count])
        return piece

    found, _ = walk(data[:100], fetch, 0, len(data), implicit=False, wanted={0x00100020})
    assert found == {0x00100020: b"ID"}
    assert read < 1.1 * len(data)


def test_a_long_value_is_cut_and_long_private_ones_are_stepped_over() -> None:
    big = element(0x00091002, b"UN", bytes(300_000))
    data = big + element(0x00100020, b"UT", b"x" * 100_000) + element(0x0020000D, b"UI", b"1.2")
    found, offset = walked(data)
    assert found == {0x00100020: b"x" * 65536, 0x0020000D: b"1.2"}
    assert offset == len(data)


@pytest.mark.parametrize(
    "data",
    [
        element(0x00080005, b"??", b""),
        element(0x00081140, b"LO", b"", 0)[:4] + b"OB\0\0\xff\xff\xff\xff",
        ITEM,
        element(0x00081140, b"SQ", b"", 0xFFFFFFFF) + ITEM + SEQUENCE_END,
        element(0x00081140, b"SQ", b"", 0xFFFFFFFF) + element(0x00080005, b"CS", b""),
        element(0x00081140, b"SQ", b"", 0xFFFFFFFF) + ITEM + element(0x00080005, b"??", b""),
    ],
)
def test_what_is_not_as_the_standard_says_is_left_to_pydicom(data: bytes) -> None:
    with pytest.raises(Irregular):
        walked(data + bytes(20))


@pytest.mark.parametrize("cut", [1, 9, 20, 33])
def test_a_cut_within_a_sequence_is_damage(cut: int) -> None:
    data = element(0x00081140, b"SQ", b"", 0xFFFFFFFF) + ITEM + element(0x00091002, b"UN", bytes(9))
    with pytest.raises(DamagedFile, match="ends within"):
        walked(data[:-cut] if cut < 30 else data)


def test_unknown_sequences_within_are_implicit() -> None:
    implicit = bytes.fromhex("10002000") + (2).to_bytes(4, "little") + b"in"
    unknown = element(0x00091001, b"UN", b"", 0xFFFFFFFF) + ITEM + implicit + ITEM_END
    found, _ = walked(unknown + SEQUENCE_END + element(0x00100020, b"LO", b"ID"))
    assert found == {0x00100020: b"ID"}


def test_declared_implicit_but_written_explicit_is_left_to_pydicom(tmp_path: Path) -> None:
    path = write_slice(tmp_path / "a", noise()[0], (0, 0, 0))
    right = read_header(path)
    ds = dcmread(path)
    content = path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0")
    path.write_bytes(content)
    assert ds.PatientID == "ID-7"
    with quiet_pydicom():
        assert set(differences(right, read_header(path))) <= {"stored"}


def test_a_long_header_is_not_given_to_pydicom_whole(tmp_path: Path, monkeypatch) -> None:
    path = write_slice(tmp_path / "a", noise()[0], (0, 0, 0))
    content = path.read_bytes()
    meta = 144 + int.from_bytes(content[140:144], "little")
    icon = element(0x00081003, b"OB", b"", 0xFFFFFFFF) + bytes.fromhex("feff00e000000000")
    odd = icon + SEQUENCE_END + element(0x00081005, b"UN", bytes(40_000))
    path.write_bytes(content[:meta] + odd + content[meta:])
    with quiet_pydicom():
        assert isinstance(look(path, Pool()), Header)
        monkeypatch.setattr(header_module, "MAX_HEADER", 30_000)
        with pytest.raises(DamagedFile, match="longer"):
            look(path, Pool())


def test_only_the_beginning_of_a_deflated_file_is_inflated(tmp_path: Path, monkeypatch) -> None:
    path = write_slice(tmp_path / "a", noise(1, 500, 500)[0], (0, 0, 0))
    plain = read_header(path)
    ds = dcmread(path)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.save_as(path)
    grown: list[int] = []
    true_inflate = header_module.inflate

    def inflate(*arguments: object) -> bytes:
        grown.append(len(piece := true_inflate(*arguments)))
        return piece

    monkeypatch.setattr(header_module, "inflate", inflate)
    packed = read_header(path)
    assert set(differences(plain, packed)) == {"stored"}
    assert grown == [65536]  # of half a megabyte


def test_a_deflated_header_without_end_is_damage(tmp_path: Path, monkeypatch) -> None:
    path = write_slice(tmp_path / "a", noise()[0], (0, 0, 0))
    ds = dcmread(path)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.save_as(path)
    content = path.read_bytes()
    meta = 144 + int.from_bytes(content[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    endless = element(0x00091002, b"UN", bytes(60_000)) * 20
    path.write_bytes(content[:meta] + packer.compress(endless) + packer.flush())
    monkeypatch.setattr(header_module, "MAX_HEADER", 500_000)
    with pytest.raises(DamagedFile, match="inflates"):
        look(path, Pool())


# ---------------------------------------------------------------- memory


def test_a_header_takes_less_than_a_kilobyte_however_many_there_are(tmp_path: Path) -> None:
    files = write_ct(tmp_path, noise(150, 4, 4), stack(150))
    pool = Pool()
    look(files[0], pool)
    tracemalloc.start()
    kept = [look(path, pool) for path in files]
    size, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / len(kept) < 1000
    assert peak - size < 200_000
    assert len({id(h.stored) for h in kept if isinstance(h, Header)}) < 5
    assert len({id(h.kernel) for h in kept if isinstance(h, Header)}) == 1


def test_the_pool_forgets_rather_than_grow(monkeypatch) -> None:
    monkeypatch.setattr(header_module, "MAX_POOL", 10)
    pool = Pool()
    for k in range(1000):
        assert pool.share(f"{k}") == f"{k}"
        assert len(pool._kept) <= 10


# ---------------------------------------------------------------- any bytes


@given(st.binary(max_size=400), st.booleans())
@settings(max_examples=400, deadline=None)
def test_any_bytes_end_in_values_or_one_of_two_errors(data: bytes, implicit: bool) -> None:
    try:
        found, offset = walked(data, implicit)
    except (DamagedFile, Irregular):
        return
    assert 0 <= offset <= len(data)
    assert sum(map(len, found.values())) <= len(data)


@given(data=st.data())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_mutated_header_reads_as_pydicom_reads_it_or_is_damaged(
    tmp_path: Path, monkeypatch, data
) -> None:
    path = write_slice(tmp_path / "one", noise()[0], (0, 0, 0))
    content = bytearray(path.read_bytes())
    start = 144 + int.from_bytes(content[140:144], "little")
    for place in data.draw(st.lists(st.integers(start, start + 400), max_size=3)):
        content[place] = data.draw(st.sampled_from(b"\x00\xff\xfe \x10"))
    path.write_bytes(content)
    ours, theirs = both(path, monkeypatch)
    # A broken element may end one reader and not the other; where both read, values agree.
    if not (isinstance(ours, Header) and isinstance(theirs, Header)):
        return
    if ours.stored == theirs.stored:
        assert differences(ours, theirs) == []
