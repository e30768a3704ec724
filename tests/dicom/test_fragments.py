"""Fragments of compressed pixel data, against pydicom's way of putting them together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate, generate_frames

from hoimg.decoding import encapsulated
from hoimg.decoding.encapsulated import DamagedFragments, find_frames, read_frame

END = b"\xfe\xff\xdd\xe0\0\0\0\0"


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.lists(st.integers(1, 20), min_size=1, max_size=4), min_size=1, max_size=6),
    table=st.booleans(),
)
def test_fragments_are_put_together_as_pydicom_does(
    tmp_path_factory: Any, lengths: list[list[int]], table: bool
) -> None:
    starts, items, place = [], b"", 0
    for frame in lengths:
        starts.append(place)
        for k, length in enumerate(frame):
            piece = (b"\xff\xd8" if k == 0 else b"\x01\x02") + bytes([k + 1]) * (2 * length)
            items += b"\xfe\xff\x00\xe0" + len(piece).to_bytes(4, "little") + piece
            place += 8 + len(piece)
    offsets = b"".join(s.to_bytes(4, "little") for s in starts) if table else b""
    value = b"\xfe\xff\x00\xe0" + len(offsets).to_bytes(4, "little") + offsets + items
    value += END
    file = tmp_path_factory.mktemp("fragments") / "value"
    file.write_bytes(b"before" + value)
    with file.open("rb") as stream:
        frames = find_frames(stream, 6, len(lengths))
        ours = [read_frame(stream, frame) for frame in frames]
    every = sum(map(len, lengths))
    if table or len(lengths) in (1, every):
        # Without a table pydicom looks for end marks, which these pieces do not have.
        assert ours == list(generate_frames(value, number_of_frames=len(lengths)))
    assert [len(f) for f in frames] == list(map(len, lengths))
    assert all(f.startswith(b"\xff\xd8") for f in ours)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda v: v[:-8], "cut off"),
        (lambda v: v[:30], "cut off"),
        (lambda v: v[:8] + v[-8:], "no fragments"),
        (lambda v: v[:8] + v[:12] + v[20:], "cut off|damaged"),
        (lambda v: v[:-8] + v[8:26] * 2 + v[-8:], "fragments for 3 frames"),
    ],
)
def test_damaged_fragments(tmp_path: Path, change: Any, reason: str) -> None:
    value = encapsulate([b"\x01" * 10, b"\x02" * 12, b"\x03" * 14], has_bot=False) + END
    file = tmp_path / "value"
    file.write_bytes(change(value))
    with file.open("rb") as stream, pytest.raises(DamagedFragments, match=reason):
        find_frames(stream, 0, 3)


def test_fragments_beyond_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encapsulated, "MAX_FRAGMENTS", 4)  # beside the table
    file = tmp_path / "value"
    for count, refused in ((3, False), (4, True)):
        file.write_bytes(encapsulate([b"\xff\xd8"] * count, has_bot=False) + END)
        with file.open("rb") as stream:
            if refused:
                with pytest.raises(DamagedFragments, match="too many"):
                    find_frames(stream, 0, count)
            else:
                assert len(find_frames(stream, 0, count)) == count
