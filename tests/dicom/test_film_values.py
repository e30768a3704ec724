"""Grey values of a film against hand-computed numbers, the standard's formulas, and pydicom."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.pixels import apply_modality_lut, apply_windowing
from synthetic_film import codes, film_of, films_of, ramp, table, write_film

from hoimg.dicom import display_8bit, load_radiograph
from hoimg.dicom.film_values import (
    DamagedLut,
    Lut,
    Presentation,
    Voi,
    modality_of,
    presentation_of,
    voi_of,
    window,
)
from hoimg.errors import InputRefused

VALUES = np.array([[0, 1, 2, 3]], dtype=np.uint16)


def header(**tags: Any) -> Dataset:
    ds = Dataset()
    ds.PhotometricInterpretation, ds.PixelRepresentation, ds.BitsStored = "MONOCHROME2", 0, 12
    for keyword, value in tags.items():
        setattr(ds, keyword, value)
    return ds


def test_rescale_is_exact() -> None:
    made = modality_of(header(RescaleSlope="0.5", RescaleIntercept="-10"))
    assert made.apply(VALUES).tolist() == [[-10.0, -9.5, -9.0, -8.5]]
    assert made.limits(12, signed=False) == (-10.0, 4095 * 0.5 - 10)
    assert made.limits(12, signed=True) == (-2048 * 0.5 - 10, 2047 * 0.5 - 10)
    falling = modality_of(header(RescaleSlope="-2", RescaleIntercept="1"))
    assert (falling.direction, falling.limits(8, signed=False)) == (-1, (-509.0, 1.0))


def test_no_or_broken_rescale_changes_nothing() -> None:
    for tags in ({}, {"RescaleSlope": "0", "RescaleIntercept": "0"}, {"RescaleSlope": "1"}):
        assert modality_of(header(**tags)).apply(VALUES).tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize("words", [True, False])
def test_a_table_holds_its_ends(words: bool) -> None:
    made = modality_of(header(ModalityLUTSequence=[table([10, 20, 40], 1, 8, words)]))
    assert made.apply(VALUES).tolist() == [[10, 10, 20, 40]]
    assert made.apply(np.array([[-5, 900]])).tolist() == [[10, 40]]
    assert (made.direction, made.limits(12, signed=False)) == (1, (0.0, 255.0))


def test_a_table_of_16_bit_words_in_bytes_and_of_12_bits() -> None:
    item = table([0, 1000, 4095], 0, 12)
    item.add_new("LUTData", "OW", np.array([0, 1000, 4095], "<u2").tobytes())
    made = modality_of(header(ModalityLUTSequence=[item]))
    assert made.apply(VALUES).tolist() == [[0, 1000, 4095, 4095]]
    item.add_new("LUTData", "OW", np.array([0, 1000, 4095], ">u2").tobytes())
    big = header(ModalityLUTSequence=[item])
    big.set_original_encoding(False, False)
    assert modality_of(big).apply(VALUES).tolist() == [[0, 1000, 4095, 4095]]


def test_a_signed_first_value_and_a_full_table() -> None:
    item = table([5, 6, 7], -1)
    made = modality_of(header(ModalityLUTSequence=[item], PixelRepresentation=1))
    assert made.apply(np.array([-2, -1, 0, 1, 2])).tolist() == [5, 5, 6, 7, 7]
    full = modality_of(header(ModalityLUTSequence=[table(list(range(65536)))]))
    assert full.apply(np.array([0, 65535])).tolist() == [0, 65535]


@pytest.mark.parametrize(
    "change",
    [
        {"LUTDescriptor": [9, 0, 16]},
        {"LUTDescriptor": [3, 0, 0]},
        {"LUTDescriptor": [3, 0, 17]},
        {"LUTDescriptor": [3, 0]},
        {"LUTData": b"\0\0"},
    ],
)
def test_a_damaged_table_is_refused(change: dict[str, Any]) -> None:
    item = table([1, 2, 3])
    for name, value in change.items():
        item[name]._value = value
    with pytest.raises(DamagedLut):
        modality_of(header(ModalityLUTSequence=[item]))


@given(
    st.lists(st.integers(-5000, 5000), min_size=1, max_size=20),
    st.floats(-3000, 3000),
    st.floats(1.5, 5000),
    st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
)
def test_windows_follow_the_standard(
    numbers: list[int], center: float, width: float, function: str
) -> None:
    """PS3.3 C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID), C.11.2.1.3.2 (LINEAR_EXACT)."""
    seen = window(np.array(numbers), center, width, function)
    for x, got in zip(numbers, seen, strict=True):
        if function == "SIGMOID":
            power = -4 * (x - center) / width
            expected = 1 / (1 + math.exp(power)) if power < 700 else 0.0
        elif function == "LINEAR":
            if x <= center - 0.5 - (width - 1) / 2:
                expected = 0.0
            elif x > center - 0.5 + (width - 1) / 2:
                expected = 1.0
            else:
                expected = (x - (center - 0.5)) / (width - 1) + 0.5
        elif x <= center - width / 2:
            expected = 0.0
        elif x > center + width / 2:
            expected = 1.0
        else:
            expected = (x - center) / width + 0.5
        assert got == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_agree_with_pydicom(function: str) -> None:
    ds = header(WindowCenter=["300", "1"], WindowWidth=["250", "9"], VOILUTFunction=function)
    values = np.arange(0, 700, 7)
    theirs = apply_windowing(values, ds) / 4095
    assert voi_of(ds).apply(values, (0, 1)) == pytest.approx(theirs, abs=1e-6)


def test_a_table_agrees_with_pydicom() -> None:
    ds = header(ModalityLUTSequence=[table([7, 5, 3, 900], 10)])
    values = np.arange(0, 30)
    assert modality_of(ds).apply(values).tolist() == apply_modality_lut(values, ds).tolist()


def test_a_window_of_width_one_is_a_step() -> None:
    assert window(np.array([9, 10, 11]), 10.5, 1, "LINEAR").tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"WindowCenter": "5"},
        {"WindowCenter": "5", "WindowWidth": "0.9"},
        {"WindowCenter": "5", "WindowWidth": "0", "VOILUTFunction": "SIGMOID"},
        {"WindowCenter": "5", "WindowWidth": "-3", "VOILUTFunction": "LINEAR_EXACT"},
        {"WindowCenter": "5", "WindowWidth": "9", "VOILUTFunction": "CUBIC"},
        {"WindowCenter": "", "WindowWidth": ""},
    ],
)
def test_without_a_valid_window_the_whole_range_is_seen(tags: dict[str, Any]) -> None:
    seen = voi_of(header(**tags)).apply(np.array([0, 5, 10, 20]), (0, 10))
    assert seen.tolist() == [0.0, 0.5, 1.0, 1.0]


def test_a_voi_table_comes_before_a_window() -> None:
    ds = header(VOILUTSequence=[table([0, 255], 4, 8)], WindowCenter="5", WindowWidth="3")
    assert voi_of(ds).apply(np.array([3, 4, 5, 6]), (0, 1)).tolist() == [0, 0, 1, 1]


def test_a_flat_film_is_shown() -> None:
    assert Voi().apply(np.array([5.0]), (5, 5)).tolist() == [0.0]


@pytest.mark.parametrize(
    ("photometric", "shape", "inverse", "contradicted"),
    [
        ("MONOCHROME1", None, True, False),
        ("MONOCHROME2", None, False, False),
        ("MONOCHROME1", "INVERSE", True, False),
        ("MONOCHROME2", "IDENTITY", False, False),
        ("MONOCHROME1", "IDENTITY", False, True),
        ("MONOCHROME2", "INVERSE", True, True),
        ("MONOCHROME1", "LIN OD", True, False),
    ],
)
def test_shape_and_photometric_are_one_inversion(
    tmp_path: Path, photometric: str, shape: str | None, inverse: bool, contradicted: bool
) -> None:
    tags = {"PhotometricInterpretation": photometric}
    if shape:
        tags["PresentationLUTShape"] = shape
    made = presentation_of(header(**tags))
    assert (made.inverse, made.contradicted) == (inverse, contradicted)
    film = film_of(tmp_path / "f", **tags)
    assert film.mirrored == inverse
    assert ("polarity_doubtful" in codes(film)) == contradicted
    expected = 4095.0 - ramp() if inverse else ramp().astype(float)
    assert np.array_equal(load_radiograph(film).pixels, expected)
    shown = display_8bit(film)
    assert (shown[0, 0], shown[-1, -1]) == ((255, 0) if inverse else (0, 255))


def test_a_presentation_table_maps_the_whole_range() -> None:
    made = Presentation(Lut(np.array([255, 100, 0], np.uint16), 0, 8), False, "")
    assert made.direction == -1
    assert made.apply(np.array([0, 0.5, 1], np.float32)) == pytest.approx([1, 100 / 255, 0])


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_presentation_table_decides_alone(tmp_path: Path, photometric: str) -> None:
    film = film_of(
        tmp_path / "f",
        PhotometricInterpretation=photometric,
        PresentationLUTSequence=[table([255, 0], 0, 8)],
    )
    assert (film.mirrored, film.polarity_source) == (True, "PresentationLUTSequence")


def test_a_falling_voi_table_turns_polarity_round(tmp_path: Path) -> None:
    film = film_of(tmp_path / "f", VOILUTSequence=[table([4095, 0], 0, 12)])
    assert film.mirrored
    film = film_of(
        tmp_path / "g",
        VOILUTSequence=[table([4095, 0], 0, 12)],
        PhotometricInterpretation="MONOCHROME1",
    )
    assert not film.mirrored


@pytest.mark.parametrize(
    ("intent", "sign", "photometric", "slope", "mirrored", "doubtful"),
    [
        ("FOR PROCESSING", 1, "MONOCHROME2", "1", True, False),
        ("FOR PROCESSING", -1, "MONOCHROME2", "1", False, False),
        ("FOR PROCESSING", 1, "MONOCHROME1", "-1", False, False),
        ("FOR PROCESSING", None, "MONOCHROME1", "1", True, False),
        ("FOR PRESENTATION", 1, "MONOCHROME1", "1", True, False),
        ("FOR PRESENTATION", -1, "MONOCHROME2", "1", False, False),
        ("FOR PRESENTATION", 1, "MONOCHROME2", "1", False, True),
        ("FOR PRESENTATION", -1, "MONOCHROME1", "1", True, True),
    ],
)
def test_the_sign_of_the_detector(
    tmp_path: Path,
    intent: str,
    sign: int | None,
    photometric: str,
    slope: str,
    mirrored: bool,
    doubtful: bool,
) -> None:
    tags: dict[str, Any] = {} if sign is None else {"PixelIntensityRelationshipSign": sign}
    film = film_of(
        tmp_path / "f",
        modality="DX",
        PresentationIntentType=intent,
        PhotometricInterpretation=photometric,
        RescaleSlope=slope,
        RescaleIntercept="0",
        PixelIntensityRelationship="LOG",
        **tags,
    )
    assert (film.mirrored, "polarity_doubtful" in codes(film)) == (mirrored, doubtful)
    assert (film.intent, film.intensity) == (intent, "LOG")
    assert ("film_raw" in codes(film)) == (intent == "FOR PROCESSING")
    assert ("film_processed" in codes(film)) == (intent == "FOR PRESENTATION")


def test_mirroring_keeps_differences_and_two_films_comparable(tmp_path: Path) -> None:
    tags = {
        "PhotometricInterpretation": "MONOCHROME1",
        "RescaleSlope": "2",
        "RescaleIntercept": "10",
    }
    a = load_radiograph(film_of(tmp_path / "a", ramp(), **tags)).pixels
    b = load_radiograph(film_of(tmp_path / "b", ramp() + 500, **tags)).pixels
    assert a[0, 0] == 10 + 4095 * 2  # stored 0 is the most attenuating that 12 bits can hold
    assert np.array_equal(a - b, np.full(a.shape, 1000.0))


def test_measured_values_ignore_the_window(tmp_path: Path) -> None:
    film = film_of(tmp_path / "f", WindowCenter="5", WindowWidth="2")
    assert np.array_equal(load_radiograph(film).pixels, ramp())
    assert set(np.unique(display_8bit(film))) == {0, 255}


def test_eight_bits_signed_values_and_high_bits(tmp_path: Path) -> None:
    small = ramp().astype(np.uint8)
    film = film_of(tmp_path / "a", small, bits=8, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(load_radiograph(film).pixels, 255.0 - small)
    signed = ramp().astype(np.int16) - 40
    film = film_of(tmp_path / "b", signed, signed=True)
    assert np.array_equal(load_radiograph(film).pixels, signed)
    film = film_of(tmp_path / "c", ramp() << 4, bits=12, HighBit=15)
    assert np.array_equal(load_radiograph(film).pixels, ramp())


def test_padding_is_not_valid_and_black(tmp_path: Path) -> None:
    film = film_of(
        tmp_path / "f", PixelPaddingValue=0, PixelPaddingRangeLimit=2,
        PhotometricInterpretation="MONOCHROME1",
    )  # fmt: skip
    read = load_radiograph(film)
    assert read.valid is not None
    assert np.array_equal(read.valid, ramp() > 2)
    assert display_8bit(film)[0].tolist()[:4] == [0, 0, 0, 255]
    film = film_of(tmp_path / "g", PixelPaddingValue=4000)
    assert load_radiograph(film).valid is None


def test_each_frame_is_a_film(tmp_path: Path) -> None:
    stored = np.stack([ramp(), ramp() + 7])
    films = films_of(write_film(tmp_path / "f", stored))
    assert [f.frame for f in films] == [0, 1]
    for film, values in zip(films, stored, strict=True):
        assert np.array_equal(load_radiograph(film).pixels, values)


@pytest.mark.parametrize(
    ("stored", "tags", "code"),
    [
        (ramp(1, 8), {}, "bad_film"),
        (ramp(8, 8), {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "bad_film"),
        (ramp(8, 8), {"BitsStored": 17}, "bad_film"),
        (ramp(8, 8), {"PhotometricInterpretation": "PALETTE COLOR"}, "bad_film"),
        (ramp(8, 8), {"Rows": 16385}, "bad_film"),
        (np.zeros((33, 2, 4), np.uint16), {}, "bad_film"),
        (ramp(8, 8), {"ModalityLUTSequence": [table([1], 0, 0)]}, "bad_film"),
        (ramp(8, 8), {"Rows": 9}, "truncated_files"),
    ],
)
def test_what_is_no_film_is_refused_by_name(
    tmp_path: Path, stored: np.ndarray, tags: dict[str, Any], code: str
) -> None:
    films = films_of(write_film(tmp_path / "broken", stored, **tags))
    assert len(films) == 1
    assert not films[0].usable
    assert code in codes(films[0])
    with pytest.raises(InputRefused, match="broken") as caught:
        load_radiograph(films[0])
    assert caught.value.code == code


def test_damage_that_shows_only_on_reading_is_refused(tmp_path: Path) -> None:
    film = film_of(tmp_path / "f", ModalityLUTSequence=[table([1], 0, 0)])
    unaware = replace(film, findings=())
    for read in (load_radiograph, display_8bit):
        with pytest.raises(InputRefused, match="look-up table"):
            read(unaware)
    film.file.unlink()
    with pytest.raises(InputRefused, match="FileNotFoundError"):
        load_radiograph(unaware)
    real = film_of(tmp_path / "g")
    write_film(tmp_path / "g", SeriesDescription="longer header")
    with pytest.raises(InputRefused, match="copy"):
        load_radiograph(real)
