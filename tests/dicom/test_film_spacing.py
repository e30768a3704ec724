"""Pixel size of a film: every rule, at and one past its limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_film import codes, film_of, films_of, write_film

from hoimg.dicom.film_spacing import SpacingTags, film_spacing, why_refused
from hoimg.settings import IntakeSettings

LIMITS = IntakeSettings()
SHAPE = (2000, 1500)
NAN = float("nan")


def decide(**tags: Any) -> tuple[Any, ...]:
    found = film_spacing(SpacingTags(**tags), SHAPE, LIMITS)
    return found.spacing_yx_mm, found.source, {f.code for f in found.findings}


I, S = (0.2, 0.2), (0.25, 0.25)  # noqa: E741  at the detector, on a scanned film
P = (0.16, 0.16)  # calibrated to the patient: magnification 1.25


@pytest.mark.parametrize(
    ("tags", "spacing", "source", "found"),
    [
        # a calibration that says how
        ({"pixel": P, "calibration": "GEOMETRY", "imager": I}, P, "calibrated", set()),
        ({"pixel": P, "calibration": "FIDUCIAL"}, P, "calibrated", set()),
        ({"pixel": P, "calibration": "FIDUCIAL", "ermf": 1.1}, P, "calibrated", set()),
        # one that is none: equal to the detector's, smaller than 1, larger than 2
        (
            {"pixel": I, "calibration": "GEOMETRY", "imager": I},
            I,
            "detector_uncorrected",
            {"spacing_refused", "spacing_uncorrected"},
        ),
        (
            {"pixel": (0.21, 0.21), "calibration": "GEOMETRY", "imager": I, "ermf": 1.25},
            (0.16, 0.16),
            "detector_corrected",
            {"spacing_refused"},
        ),
        (
            {"pixel": (0.1, 0.1), "calibration": "FIDUCIAL", "imager": I},
            (0.1, 0.1),
            "calibrated",
            set(),
        ),
        (
            {"pixel": (0.099, 0.099), "calibration": "FIDUCIAL", "imager": I},
            I,
            "detector_uncorrected",
            {"spacing_refused", "spacing_uncorrected"},
        ),
        (
            {"pixel": (0.0, 0.0), "calibration": "FIDUCIAL"},
            None,
            "none",
            {"spacing_refused", "spacing_missing"},
        ),
        # an unknown calibration type is none
        (
            {"pixel": P, "calibration": "GUESS", "imager": I},
            I,
            "detector_uncorrected",
            {"spacing_ambiguous", "spacing_uncorrected"},
        ),
        # the detector's, with and without magnification
        ({"imager": I, "ermf": 1.25}, (0.16, 0.16), "detector_corrected", set()),
        (
            {"imager": I, "sid_mm": 1000.0, "sod_mm": 800.0},
            (0.16, 0.16),
            "detector_corrected",
            set(),
        ),
        (
            {"imager": I, "ermf": 1.25, "sid_mm": 1000.0, "sod_mm": 800.0},
            (0.16, 0.16),
            "detector_corrected",
            set(),
        ),
        ({"imager": I, "sid_mm": 1000.0}, I, "detector_uncorrected", {"spacing_uncorrected"}),
        ({"imager": I, "ermf": 1.0}, I, "detector_uncorrected", {"spacing_uncorrected"}),
        ({"imager": I, "ermf": 2.0}, (0.1, 0.1), "detector_corrected", set()),
        (
            {"imager": I, "ermf": 2.01},
            I,
            "detector_uncorrected",
            {"magnification_refused", "spacing_uncorrected"},
        ),
        (
            {"imager": I, "sid_mm": 800.0, "sod_mm": 1000.0},
            I,
            "detector_uncorrected",
            {"magnification_refused", "spacing_uncorrected"},
        ),
        # two magnifications: 1.9 % apart is rounding, 2.1 % is a contradiction
        (
            {"imager": I, "ermf": 1.25 * 1.019, "sid_mm": 1000.0, "sod_mm": 800.0},
            None,
            "detector_corrected",
            set(),
        ),
        (
            {"imager": I, "ermf": 1.25 * 1.021, "sid_mm": 1000.0, "sod_mm": 800.0},
            I,
            "detector_uncorrected",
            {"magnification_refused", "spacing_uncorrected"},
        ),
        # PixelSpacing that copies the detector's is the detector's
        ({"pixel": I, "imager": I, "ermf": 1.25}, (0.16, 0.16), "detector_corrected", set()),
        (
            {"pixel": (0.2001, 0.2001), "imager": I},
            I,
            "detector_uncorrected",
            {"spacing_uncorrected"},
        ),
        (
            {"pixel": P, "imager": I},
            I,
            "detector_uncorrected",
            {"spacing_ambiguous", "spacing_uncorrected"},
        ),
        # a film that was scanned
        ({"scanned": S}, S, "detector_uncorrected", {"spacing_uncorrected"}),
        ({"scanned": S, "ermf": 1.25}, (0.2, 0.2), "detector_corrected", set()),
        # alone, and never divided: it may have been already
        ({"pixel": P}, P, "detector_uncorrected", {"spacing_ambiguous"}),
        ({"pixel": P, "ermf": 1.25}, P, "detector_uncorrected", {"spacing_ambiguous"}),
        (
            {"pixel": P, "imager": (0.0, 0.0)},
            P,
            "detector_uncorrected",
            {"spacing_refused", "spacing_ambiguous"},
        ),
        # nothing, or nothing that holds
        ({}, None, "none", {"spacing_missing"}),
        ({"pixel": (0.0, 0.0)}, None, "none", {"spacing_refused", "spacing_missing"}),
        ({"imager": (1.0, 1.0)}, None, "none", {"spacing_refused", "spacing_missing"}),
    ],
)
def test_the_rule(tags: dict[str, Any], spacing: Any, source: str, found: set[str]) -> None:
    got, said, said_codes = decide(**tags)
    assert (said, said_codes) == (source, found)
    if spacing is not None:
        assert got == pytest.approx(spacing)
    assert (got is None) == (source == "none")


@pytest.mark.parametrize(
    ("values", "aspect", "why"),
    [
        ((0.01, 0.01), (), None),
        ((0.0099, 0.01), (), "outside"),
        ((0.5, 0.5), (), None),
        ((0.99, 0.99), (), None),
        ((1.0, 1.0), (), "placeholder"),
        ((1.0, 1.0), (1.0, 1.0), "placeholder"),
        ((1.01, 1.01), (), "longer than 2000 mm"),
        ((0.0, 0.2), (), "zero"),
        ((-0.2, -0.2), (), "negative"),
        ((NAN, 0.2), (), "unreadable"),
        ((0.2,), (), "unreadable"),
        ((0.2, 0.2, 0.2), (), "unreadable"),
        ((float("inf"), 0.2), (), "unreadable"),
        ((0.2019, 0.2), (), None),
        ((0.2021, 0.2), (), "differs"),
        ((0.4, 0.2), (2.0, 1.0), None),
        ((0.2, 0.4), (2.0, 1.0), "contradicts"),
        ((0.2, 0.2), (2.0, 1.0), "contradicts"),
        ((0.2, 0.2), (0.0, 1.0), None),
    ],
)
def test_what_no_spacing_can_be(values: Any, aspect: Any, why: str | None) -> None:
    said = why_refused(values, aspect, SHAPE, LIMITS)
    assert said is None if why is None else said is not None and why in said


def test_the_upper_limits() -> None:
    assert why_refused((2.0, 2.0), (), (1000, 900), LIMITS) is None
    assert "outside" in (why_refused((2.01, 2.0), (), (900, 900), LIMITS) or "")
    assert "longer" in (why_refused((2.0, 2.0), (), (1001, 900), LIMITS) or "")


@given(
    st.floats(0.05, 0.4),
    st.floats(1.01, 1.9),
    st.floats(500, 2000),
)
def test_a_length_comes_back_from_the_detector(mm: float, factor: float, sid: float) -> None:
    """An object of L mm throws a shadow of L * SID / SOD on the detector."""
    tags = SpacingTags(imager=(mm, mm), sid_mm=sid, sod_mm=sid / factor)
    found = film_spacing(tags, SHAPE, LIMITS)
    assert found.source == "detector_corrected"
    assert found.spacing_yx_mm is not None
    shadow_pixels = 50.0 * factor / mm
    assert shadow_pixels * found.spacing_yx_mm[0] == pytest.approx(50.0)


@given(
    st.lists(st.floats(), max_size=4), st.lists(st.floats(), max_size=3), st.floats() | st.none()
)
def test_no_number_ends_in_a_wrong_spacing(
    values: list[float], aspect: list[float], ermf: float | None
) -> None:
    tags = SpacingTags(imager=tuple(values), aspect=tuple(aspect), ermf=ermf)
    found = film_spacing(tags, SHAPE, LIMITS)
    if found.spacing_yx_mm is None:
        assert found.source == "none"
    else:
        assert all(0.005 <= v <= 2.0 for v in found.spacing_yx_mm)


def test_tags_reach_the_rule(tmp_path: Path) -> None:
    film = film_of(
        tmp_path / "a",
        modality="DX",
        ImagerPixelSpacing=["0.2", "0.2"],
        PixelSpacing=["0.2", "0.2"],
        DistanceSourceToDetector="1000",
        DistanceSourceToPatient="800",
        EstimatedRadiographicMagnificationFactor="1.25",
        PixelAspectRatio=["1", "1"],
        KVP="70",
    )
    assert film.spacing_yx_mm == pytest.approx((0.16, 0.16))
    assert (film.spacing_source, film.magnification, film.ermf) == (
        "detector_corrected",
        1.25,
        1.25,
    )
    assert (film.sid_mm, film.sod_mm, film.kvp) == (1000, 800, 70)
    film = film_of(
        tmp_path / "b",
        PixelSpacing=["0.15", "0.15"],
        PixelSpacingCalibrationType="FIDUCIAL",
        PixelSpacingCalibrationDescription="25 mm ball",
    )
    assert (film.spacing_yx_mm, film.spacing_source) == ((0.15, 0.15), "calibrated")
    film = film_of(tmp_path / "c", modality="RG", NominalScannedPixelSpacing=["0.1", "0.1"])
    assert (film.digitised, film.spacing_source) == (True, "detector_uncorrected")
    assert film.scale == "0.1 mm (detector_uncorrected)"
    film = film_of(tmp_path / "d", PixelSpacing="")
    assert (film.spacing_source, film.scale) == ("none", "no spacing")
    assert codes(film) == ["spacing_missing"]


def test_an_unreadable_spacing_is_stated_and_refused(tmp_path: Path) -> None:
    file = write_film(tmp_path / "f", ImagerPixelSpacing=["0.1234", "0.1234"])
    file.write_bytes(file.read_bytes().replace(b"0.1234\\", b"0.12x4\\"))
    [film] = films_of(file)
    assert (film.spacing_yx_mm, codes(film)) == (None, ["spacing_refused", "spacing_missing"])
    film = film_of(tmp_path / "g", ImagerPixelSpacing="0.2")  # one number where two belong
    assert (film.spacing_yx_mm, codes(film)) == (None, ["spacing_refused", "spacing_missing"])
