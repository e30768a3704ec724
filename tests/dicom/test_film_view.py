"""View and side of a film, and None with a reason where the header does not say."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.sr.codedict import codes as dicom_codes
from synthetic_film import codes, film_of

from hoimg.dicom.film_view import film_side, film_view


@pytest.mark.parametrize(
    ("position", "code", "orientation", "view", "plane", "reason"),
    [
        ("AP", None, (), "AP", "frontal", "ViewPosition"),
        ("pa ", None, (), "PA", "frontal", "ViewPosition"),
        ("LL", None, (), "LAT", "lateral", "ViewPosition"),
        ("RL", None, (), "LAT", "lateral", "ViewPosition"),
        ("LLO", None, (), "oblique", "oblique", "ViewPosition"),
        ("LLD", None, (), None, None, "none that is known"),  # decubitus: lying, not lateral
        ("", None, (), None, None, "no view is stated"),
        ("", None, ("L", "F"), None, "frontal", "PatientOrientation says frontal"),
        ("", None, ("F", "R"), None, "frontal", "PatientOrientation says frontal"),
        ("", None, ("A", "F"), None, "lateral", "PatientOrientation says lateral"),
        ("", None, ("AL", "F"), None, "oblique", "PatientOrientation says oblique"),
        ("", None, ("L", "P"), None, None, "no view is stated"),
        ("", None, ("L",), None, None, "no view is stated"),
        ("", None, ("LE", "RT"), None, None, "no view is stated"),
        ("AP", None, ("L", "F"), "AP", "frontal", "ViewPosition"),
        ("", ("x", "frontal"), (), None, "frontal", "ViewCodeSequence says frontal"),
        ("AP", ("x", "frontal"), (), "AP", "frontal", "ViewPosition"),
        ("", ("x", "Antero-posterior"), (), "AP", "frontal", "ViewCodeSequence"),
        ("", ("x", "postero-anterior"), (), "PA", "frontal", "ViewCodeSequence"),
        ("", ("R-10236", "?"), (), "LAT", "lateral", "ViewCodeSequence"),
        ("", ("x", "left lateral"), (), "LAT", "lateral", "ViewCodeSequence"),
        ("", ("x", "left posterior oblique"), (), "oblique", "oblique", "ViewCodeSequence"),
        ("", ("x", "left lateral decubitus"), (), None, None, "none that is known"),
        ("", ("x", "axial"), (), None, None, "none that is known"),
    ],
)
def test_view(
    position: str,
    code: tuple[str, str] | None,
    orientation: tuple[str, ...],
    view: str | None,
    plane: str | None,
    reason: str,
) -> None:
    found = film_view(position, code, orientation)
    assert (found.view, found.plane, found.findings) == (view, plane, ())
    assert reason in found.reason


@pytest.mark.parametrize(
    ("name", "view"),
    [
        ("AnteroPosterior", "AP"),
        ("PosteroAnterior", "PA"),
        ("LateralProjection", "LAT"),
        ("LeftLateral", "LAT"),
        ("RightLateral", "LAT"),
        ("LateralMedial", "LAT"),
        ("MedioLateralProjection", "LAT"),
        ("Sagittal", "LAT"),
    ],
)
def test_codes_of_the_standard_without_their_meaning(name: str, view: str) -> None:
    code = getattr(dicom_codes.cid4010, name)
    assert film_view("", (code.value, ""), ()).view == view


@pytest.mark.parametrize(
    "args",
    [
        ("LL", None, ("L", "F")),
        ("AP", ("R-10214", "postero-anterior"), ()),
        ("AP", ("R-10236", "left lateral"), ()),
    ],
)
def test_contradictions_are_named(args: tuple[object, ...]) -> None:
    found = film_view(*args)  # type: ignore[arg-type]
    assert [f.code for f in found.findings] == ["view_doubtful"]
    assert found.view is not None


@pytest.mark.parametrize(
    ("image", "part", "side", "reason"),
    [
        ("R", "", "R", "ImageLaterality"),
        ("l", "L", "L", "ImageLaterality"),
        ("B", "", "B", "ImageLaterality"),
        ("U", "", "U", "ImageLaterality"),
        ("", "R", "R", "Laterality"),
        ("", "", None, "no side"),
        ("X", "Y", None, "no side"),
    ],
)
def test_side(image: str, part: str, side: str | None, reason: str) -> None:
    found, said, notes = film_side(image, part)
    assert (found, notes) == (side, [])
    assert said.startswith(reason)


def test_two_sides_are_none() -> None:
    side, _, notes = film_side("R", "L")
    assert side is None
    assert [n.code for n in notes] == ["side_conflict"]


def test_tags_reach_the_rules(tmp_path: Path) -> None:
    view = Dataset()
    view.CodeValue, view.CodingSchemeDesignator = "399348003", "SCT"
    view.CodeMeaning = "antero-posterior"
    film = film_of(
        tmp_path / "a",
        ViewCodeSequence=[view],
        ViewPosition="LL",
        ImageLaterality="R",
        Laterality="L",
        BodyPartExamined="HIP",
        BurnedInAnnotation="YES",
        LossyImageCompression="01",
    )
    assert (film.view, film.side, film.body_part, film.burned_in) == ("AP", None, "HIP", True)
    expected = {"view_doubtful", "side_conflict", "burned_in_text", "lossy_compression"}
    assert expected <= set(codes(film))
    film = film_of(tmp_path / "b", PatientOrientation=["L", "F"], FrameLaterality="L")
    assert (film.view, film.plane, film.side, film.burned_in) == (None, "frontal", "L", None)
    assert film.summary == "CR frontal L, 8x16 px, no spacing"
