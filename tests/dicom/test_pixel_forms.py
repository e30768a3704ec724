"""How pixels may be stored: bits, sign, byte order, floats, rescale, padding; against numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread, dcmwrite
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian
from synthetic_ct import noise, stack, write_ct

from hoimg.decoding.element import PIXEL_DATA, parse_element
from hoimg.dicom import load_volume, read_patient
from hoimg.dicom.header import read_header
from hoimg.dicom.hounsfield import HuStack, clean
from hoimg.dicom.pixels import MAX_TRAILING, read_stack, read_stored
from hoimg.dicom.types import SliceSource, Stack, StoredPixels
from hoimg.errors import InputRefused
from hoimg.image import CTVolume


def load(folder: Path) -> CTVolume:
    return load_volume(read_patient(folder).exams[0])


def rewrite(file: Path, values: np.ndarray, keyword: str = "PixelData", **tags: Any) -> None:
    """Store values of any type in place of the 16-bit ones."""
    ds = dcmread(file)
    if keyword != "PixelData":
        del ds.PixelData
    ds.BitsAllocated = 8 * values.itemsize
    ds.BitsStored, ds.HighBit = ds.BitsAllocated, ds.BitsAllocated - 1
    ds.PixelRepresentation = int(values.dtype.kind == "i")
    for name, value in tags.items():
        setattr(ds, name, value)
    raw = values.tobytes()
    setattr(ds, keyword, raw + b"\0" * (len(raw) % 2))
    if values.dtype.kind == "u" and values.itemsize == 1:
        ds[keyword].VR = "OB"
    ds.save_as(file, enforce_file_format=True)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_stored_bits_become_hu(data: st.DataObject) -> None:
    """Any number of stored bits, any garbage above them, any sign, slope and intercept."""
    allocated = data.draw(st.sampled_from([8, 16, 32]))
    bits = data.draw(st.integers(max(2, allocated // 2), allocated))
    signed = data.draw(st.booleans())
    slopes = st.sampled_from([1.0, -1.0, 2.0, 0.5, 0.25, 3.0, 1.7])
    intercepts = st.sampled_from([0.0, -1024.0, -1000.5, 100000.0])
    slope, intercept = data.draw(slopes), data.draw(intercepts)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    small = data.draw(st.booleans())  # values that stay within int16 more often
    low = -(2 ** (bits - 1)) if signed else 0
    high = low + 2**bits if not small else low + min(2**bits, 3000)
    values = rng.integers(low, high, (2, 5, 7), dtype=np.int64)
    garbage = rng.integers(0, 2**allocated, values.shape, dtype=np.int64) >> bits << bits
    raw = ((values & (2**bits - 1)) | garbage).astype(f"<u{allocated // 8}")
    stored = StoredPixels("", 0, 5, 7, 1, allocated, bits, signed, 1, "MONOCHROME2")
    volume = HuStack((2, 5, 7))
    for z in (1, 0):
        room = volume.room(z, raw.dtype)
        room[...] = raw[z]
        volume.put(z, room, stored, slope, intercept)
    expected = values.astype(np.float64) * slope + intercept
    whole = np.array_equal(expected, np.rint(expected)) and np.abs(expected + 0.5).max() < 32768
    assert volume.hu.dtype == (np.int16 if whole else np.float32)
    np.testing.assert_array_equal(volume.hu, expected.astype(volume.hu.dtype))
    assert volume.padded is None


@pytest.mark.parametrize("high_bit", [11, 15])
@pytest.mark.parametrize("signed", [False, True])
def test_overlays_in_unused_bits_are_cut_off(tmp_path: Path, high_bit: int, signed: bool) -> None:
    values = noise() - (1500 if signed else 0)
    shift = high_bit - 11
    garbage = np.random.default_rng(3).integers(0, 65536, values.shape)
    unused = 0xF000 if shift == 0 else 0x000F
    raw = ((values & 0xFFF) << shift) | (garbage & unused)
    for file, plane in zip(write_ct(tmp_path, noise(), signed=signed), raw, strict=True):
        rewrite(
            file, plane.astype("<u2"), BitsStored=12, HighBit=high_bit,
            PixelRepresentation=int(signed),
        )  # fmt: skip
    np.testing.assert_array_equal(load(tmp_path).hu, values - 1024)


@pytest.mark.parametrize("kind", ["u1", "i1", "i4", "u4"])
def test_whole_numbers_of_other_sizes(tmp_path: Path, kind: str) -> None:
    info = np.iinfo(kind)
    values = np.random.default_rng(0).integers(max(info.min, -3000), min(info.max, 3000), (6, 5, 7))
    for file, plane in zip(write_ct(tmp_path, noise(6, 5, 7)), values, strict=True):
        rewrite(file, plane.astype(kind))
    volume = load(tmp_path)
    assert volume.hu.dtype == np.int16
    np.testing.assert_array_equal(volume.hu, values - 1024)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    ("keyword", "kind"), [("FloatPixelData", "<f4"), ("DoubleFloatPixelData", "<f8")]
)
def test_floating_point_pixels(tmp_path: Path, keyword: str, kind: str, whole: bool) -> None:
    values = np.random.default_rng(0).normal(0, 500, (6, 10, 12)).astype(kind)
    values = np.rint(values) if whole else values
    values[:, 0, :2] = -9000
    padding = {f"{keyword.removesuffix('PixelData')}PixelPaddingValue": -9000.0}
    for file, plane in zip(write_ct(tmp_path, RescaleIntercept="10"), values, strict=True):
        rewrite(file, plane, keyword, **padding)
    volume = load(tmp_path)
    assert volume.hu.dtype == (np.int16 if whole else np.float32)
    np.testing.assert_array_equal(volume.hu, (values.astype(float) + 10).astype(volume.hu.dtype))
    assert volume.valid is not None
    np.testing.assert_array_equal(volume.valid, values != -9000)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_what_is_no_number_is_refused(tmp_path: Path, value: float) -> None:
    files = write_ct(tmp_path)
    for k, file in enumerate(files):
        plane = np.zeros((10, 12))
        plane[2, 3] = value if k == 1 else 0
        rewrite(file, plane, "DoubleFloatPixelData")
    with pytest.raises(InputRefused, match=f"{files[1].name}.*no numbers"):
        load(tmp_path)


@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("kind", ["u1", "u2", "i2", "i4", "f4"])
def test_byte_orders(tmp_path: Path, syntax: str, kind: str) -> None:
    values = np.random.default_rng(0).integers(0, 120, (6, 10, 12))
    keyword = "FloatPixelData" if kind == "f4" else "PixelData"
    for file, plane in zip(write_ct(tmp_path), values, strict=True):
        order = ">" if syntax == ExplicitVRBigEndian else "<"
        rewrite(file, plane.astype(f"<{kind}"), keyword)
        ds = dcmread(file)
        ds[keyword].VR = "OF" if kind == "f4" else "OB" if kind == "u1" else "OW"
        setattr(ds, keyword, plane.astype(f"{order}{kind}").tobytes())
        ds.file_meta.TransferSyntaxUID = syntax
        dcmwrite(file, ds)
    np.testing.assert_array_equal(load(tmp_path).hu, values - 1024)


def test_eight_bits_in_swapped_words(tmp_path: Path) -> None:
    # PS3.5 A.3: 8-bit pixels as OW in big endian are swapped in pairs.
    values = np.random.default_rng(0).integers(0, 255, (10, 12)).astype(np.uint8)
    file = tmp_path / "pixels"
    swapped = values.reshape(-1, 2)[:, ::-1].tobytes()
    head = b"\x7f\xe0\x00\x10OW\0\0" + len(swapped).to_bytes(4, "big")
    file.write_bytes(head + swapped)
    stored = StoredPixels(ExplicitVRBigEndian, 0, 10, 12, 1, 8, 8, False, 1, "MONOCHROME2")
    np.testing.assert_array_equal(read_stored(file, stored), values)


def test_monochrome1_changes_the_display_not_the_hu(tmp_path: Path) -> None:
    stored = noise()
    write_ct(tmp_path, stored, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(load(tmp_path).hu, stored - 1024)


def test_one_odd_slice_turns_the_volume_into_float32(tmp_path: Path) -> None:
    stored = noise()
    for k, file in enumerate(write_ct(tmp_path, stored)):
        ds = dcmread(file)
        ds.RescaleSlope = "0.5" if k == 3 else "1"
        ds.save_as(file)
    volume = load(tmp_path)
    assert volume.hu.dtype == np.float32
    slopes = np.array([1, 1, 1, 0.5, 1, 1])[:, None, None]
    np.testing.assert_array_equal(volume.hu, stored * slopes - 1024)


@pytest.mark.parametrize("declared", [-2000, 63536])
def test_padding_that_does_not_fit_the_stored_bits(tmp_path: Path, declared: int) -> None:
    # 12 bits are stored; cut to them, the padding would be 2096: a bone of 1072 HU.
    stored = noise()
    stored[:, 0, :4] = 63536
    for file in write_ct(tmp_path, stored):
        ds = dcmread(file)
        ds.BitsStored, ds.HighBit = 12, 11
        ds.add_new("PixelPaddingValue", "US" if declared > 0 else "SS", declared)
        ds.save_as(file)
    volume = load(tmp_path)
    assert volume.valid is not None
    np.testing.assert_array_equal(~volume.valid, stored == 63536)
    np.testing.assert_array_equal(volume.hu[volume.valid], (stored - 1024)[volume.valid])
    assert volume.hu[0, 0, 0] == 63536 - 1024


def test_padding_within_the_stored_bits_and_garbage_above() -> None:
    stored = StoredPixels("", 0, 1, 4, 1, 16, 12, True, 1, "MONOCHROME2", (-2000, -1990))
    values = np.array([[-2000, -1990, -1989, 5]])
    raw = ((values & 0xFFF) | 0x5000).astype(np.uint16)
    cleaned, padding = clean(raw, stored)
    np.testing.assert_array_equal(cleaned, values)
    assert padding is not None
    np.testing.assert_array_equal(padding, [[True, True, False, False]])


@pytest.mark.parametrize(("top", "refused"), [(1023, False), (1024, True)])
def test_fewer_bits_than_declared_leave_the_sign_open(top: int, refused: bool) -> None:
    stored = StoredPixels("", 0, 1, 2, 1, 16, 12, True, 1, "MONOCHROME2")
    raw = np.array([[5, top]], np.uint16)
    if refused:
        with pytest.raises(ValueError, match="11 bits"):
            clean(raw, stored, 11)
    else:
        np.testing.assert_array_equal(clean(raw, stored, 11)[0], raw)
    np.testing.assert_array_equal(clean(raw, stored, None)[0], raw)


def test_a_high_bit_that_cannot_be_is_ignored() -> None:
    stored = StoredPixels("", 0, 1, 2, 1, 16, 12, False, 1, "MONOCHROME2", high_bit=200)
    raw = np.array([[5, 4095]], np.uint16)
    np.testing.assert_array_equal(clean(raw, stored)[0], raw)


def sources(folder: Path, files: list[Path]) -> Stack:
    found = []
    for file in files:
        header = read_header(file)
        assert header is not None
        assert header.stored is not None
        found.append(SliceSource(file, 0, 1.0, -1024.0, header.stored))
    n = len(found)
    return Stack(tuple(found), tuple(map(float, range(n))), ((0.0, 0.0),) * n)


@pytest.mark.parametrize(
    ("spare", "refused"), [(0, False), (MAX_TRAILING, False), (MAX_TRAILING + 2, True), (-2, True)]
)
def test_length_of_the_pixel_data(tmp_path: Path, spare: int, refused: bool) -> None:
    stored = noise(2, 80, 64)
    files = write_ct(tmp_path, stored)
    for file in files:
        ds = dcmread(file)
        raw = ds.PixelData
        ds.PixelData = raw + b"\1" * spare if spare > 0 else raw[: len(raw) + spare]
        ds.save_as(file)
    if refused:
        with pytest.raises(InputRefused, match="bytes of pixels where") as refusal:
            read_stack(sources(tmp_path, files))
        assert refusal.value.code == "pixels_unreadable"
    else:
        np.testing.assert_array_equal(read_stack(sources(tmp_path, files))[0], stored - 1024)


def test_pixels_of_a_small_image_are_not_found_in_a_larger_one(tmp_path: Path) -> None:
    files = write_ct(tmp_path, noise(2))
    stack_ = sources(tmp_path, files)
    for file, plane in zip(files, noise(2, 20, 12), strict=True):
        rewrite(file, plane.astype(np.uint16), Rows=20)
    with pytest.raises(InputRefused, match="480 bytes of pixels where 1 frame"):
        read_stack(stack_)


def test_a_file_that_is_cut_or_gone_after_the_scan(tmp_path: Path) -> None:
    files = write_ct(tmp_path, noise(3))
    stack_ = sources(tmp_path, files)
    content = files[1].read_bytes()
    files[1].write_bytes(content[:-3])
    with pytest.raises(InputRefused, match=f"{files[1].name}.*ends before") as refusal:
        read_stack(stack_)
    assert refusal.value.code == "truncated_files"
    files[1].unlink()
    with pytest.raises(InputRefused, match=files[1].name) as refusal:
        read_stack(stack_)
    assert refusal.value.code == "pixels_unreadable"


def test_slices_of_two_sizes_and_colours_are_refused(tmp_path: Path) -> None:
    one, two = (write_ct(tmp_path / n, noise(1, rows)) for n, rows in (("a", 10), ("b", 11)))
    with pytest.raises(InputRefused, match="another size"):
        read_stack(sources(tmp_path, one + two))
    colour = StoredPixels("", 0, 4, 4, 1, 8, 8, False, 3, "RGB")
    with pytest.raises(InputRefused, match="no CT pixels"):
        read_stored(one[0], colour)


def test_undefined_length_without_compression_is_refused(tmp_path: Path) -> None:
    [file] = write_ct(tmp_path, noise(1), stack(1))
    content = bytearray(file.read_bytes())
    place = content.index(b"\xe0\x7f\x10\0OW\0\0")
    content[place + 8 : place + 12] = b"\xff" * 4
    file.write_bytes(content)
    with pytest.raises(InputRefused, match="no uncompressed pixel data"):
        read_stack(sources(tmp_path, [file]))


def test_a_float_element_with_the_bits_of_integers_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "pixels"
    file.write_bytes(b"\xe0\x7f\x08\0OF\0\0" + (32).to_bytes(4, "little") + bytes(32))
    stored = StoredPixels("", 0, 4, 4, 1, 16, 16, False, 1, "MONOCHROME2")
    with pytest.raises(InputRefused, match="bytes of pixels where"):
        read_stored(file, stored)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"\xe0\x7f\x10\0OW\0\0\x08\0\0\0", ("OW", 12, 8)),
        (b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff", ("OB", 12, None)),
        (b"\xe0\x7f\x10\0\x08\0\0\0abcd", ("", 8, 8)),
        (b"\xe0\x7f\x10\0\xff\xff\xff\xffabcd", ("", 8, None)),
        (b"\xe0\x7f\x10\0\x08\0\0\0", ("", 8, 8)),
        (b"\xe0\x7f\x10\0OW\0\0\x08\0", None),
        (b"\xe0\x7f\x10\0OW", None),
        (b"\xe0\x7f\x01\0OV\0\0\x08\0\0\0", None),
    ],
)
def test_the_element_that_holds_the_pixels(head: bytes, expected: Any) -> None:
    found = parse_element(head)
    assert (None if found is None else (found.vr, found.start, found.length)) == expected
    assert found is None or found.tag == PIXEL_DATA
