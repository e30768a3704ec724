"""Images of one exposure are one film, by what the headers state and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from film_objects import film_dataset
from film_reports import AREA_MM2, BOX, ball, made, only

from hoimg.cli.main import run
from hoimg.dicom import read_patient
from hoimg.dicom.film import FilmInfo

PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
LOOK: dict[str, Any] = {"PresentationIntentType": "FOR PRESENTATION"}
RAW: dict[str, Any] = {"PresentationIntentType": "FOR PROCESSING"}
NOON: dict[str, Any] = {"AcquisitionDate": "20240110", "AcquisitionTime": "121501.250"}


def source(*uids: str) -> dict[str, Any]:
    items = []
    for uid in uids:
        item = pydicom.Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = PROCESSING, uid
        items.append(item)
    return {"SourceImageSequence": items}


def films(
    folder: Path, *tags: dict[str, Any], stored: list[np.ndarray] | None = None
) -> list[FilmInfo]:
    for k, own in enumerate(tags):
        values = ball() if stored is None else stored[k]
        film_dataset(folder / "in" / f"{k}", values, sop=f"1.2.3.{k + 1}", **own)
    found = read_patient(folder / "in").radiographs
    return [e.film for e in found if e.film is not None]


ONE_EXPOSURE = [
    ({**LOOK, "IrradiationEventUID": "1.2.9"}, {**RAW, "IrradiationEventUID": "1.2.9"}),
    ({**LOOK, **source("1.2.3.2")}, RAW),
    ({**LOOK, **source("1.2.9")}, {**LOOK, **source("1.2.9")}),
    ({**LOOK, **NOON, "AcquisitionNumber": 4}, {**RAW, **NOON, "AcquisitionNumber": 4}),
    ({**LOOK, **NOON}, {**RAW, "AcquisitionDateTime": "20240110121501.250"}),
]
TWO_EXPOSURES = [
    (LOOK, RAW),  # nothing is stated
    ({**LOOK, "IrradiationEventUID": "1.2.9"}, {**RAW, "IrradiationEventUID": "1.2.8"}),
    # Different events, whatever else is alike.
    (
        {**LOOK, **NOON, "IrradiationEventUID": "1.2.9"},
        {**RAW, **NOON, "IrradiationEventUID": "1.2.8"},
    ),
    ({**LOOK, **NOON}, {**LOOK, **NOON}),  # two films of one second, as a bilateral view makes
    ({**LOOK, **NOON, "AcquisitionNumber": 4}, {**RAW, **NOON, "AcquisitionNumber": 5}),
    ({**LOOK, **NOON}, {**RAW, "AcquisitionDate": "20240110", "AcquisitionTime": "121502.250"}),
    ({**LOOK, **NOON}, {**RAW, "AcquisitionDate": "20240110"}),
    (
        {**LOOK, "AcquisitionDateTime": "20240110000000"},
        {**RAW, "AcquisitionDateTime": "20240110000000"},
    ),
    ({**LOOK, **NOON, "view": "AP"}, {**RAW, **NOON, "view": "LL"}),
    ({**LOOK, **NOON, "ImageLaterality": "L"}, {**RAW, **NOON}),
    ({**LOOK, **source("1.2.3.2", "1.2.7")}, RAW),  # stitched of two
]


@pytest.mark.parametrize("tags", ONE_EXPOSURE)
@pytest.mark.parametrize("turned", [False, True])
def test_one_exposure_is_one_film(tmp_path: Path, tags: Any, turned: bool) -> None:
    if turned and "SourceImageSequence" in tags[0] and "SourceImageSequence" not in tags[1]:
        tags = (tags[1], {**LOOK, **source("1.2.3.1")})
    elif turned:
        tags = tags[::-1]
    [film] = films(tmp_path, *tags)
    other = "1.2.3.2" if film.sop_uid == "1.2.3.1" else "1.2.3.1"
    assert film.left_out == (other,)
    assert other in film.twins
    # That which was made to be looked at is kept, whichever file comes first.
    assert film.intent == "FOR PRESENTATION"


@pytest.mark.parametrize("tags", TWO_EXPOSURES)
def test_two_exposures_stay_two_films(tmp_path: Path, tags: Any) -> None:
    found = films(tmp_path, *tags)
    assert len(found) == 2
    assert [f.left_out for f in found] == [(), ()]


def test_images_of_one_exposure_in_two_studies_are_one_film(tmp_path: Path) -> None:
    event = {"IrradiationEventUID": "1.2.9"}
    second = {**RAW, **event, "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.5"}
    assert len(films(tmp_path, {**LOOK, **event}, second)) == 1


def test_other_dates_and_parts_of_a_plate_are_other_films(tmp_path: Path) -> None:
    event = {"IrradiationEventUID": "1.2.9"}
    later = {**RAW, **event, "day": "20240601"}
    assert len(films(tmp_path / "a", {**LOOK, **event}, later)) == 2
    parts = [ball(), ball()[:150]]
    assert len(films(tmp_path / "b", {**RAW, **event}, {**LOOK, **event}, stored=parts)) == 2


def test_three_images_of_one_exposure_are_one_film(tmp_path: Path) -> None:
    """Two looks made of one image that is there: each is one with it."""
    [film] = films(tmp_path, {**LOOK, **source("1.2.3.3")}, {**LOOK, **source("1.2.3.3")}, RAW)
    assert (film.sop_uid, film.left_out) == ("1.2.3.1", ("1.2.3.2", "1.2.3.3"))


def test_a_lesion_is_counted_once_and_a_region_on_the_other_image_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    event = {"IrradiationEventUID": "1.2.9"}
    films(tmp_path, {**LOOK, **event}, {**RAW, **event})
    report = made(tmp_path, "--roi", f"1=1.2.3.1:{BOX}", "--roi", f"1=1.2.3.2:{BOX}")
    [exam] = report["exams"]
    assert exam["film"]["same_exposure"] == ["1.2.3.2"]
    [told] = [f for f in exam["findings"] if f["code"] == "same_exposure"]
    assert "FOR PROCESSING" in told["message"]
    seen = only(report)
    assert seen["area_mm2"] == pytest.approx(AREA_MM2, rel=0.1)
    by_series = only(made(tmp_path, "--roi", f"1.2.3.2.1:{BOX}"))
    assert by_series["area_px2"] == seen["area_px2"]
    capsys.readouterr()
    assert run(["info", str(tmp_path / "in")]) == 0
    assert "stands for 1 more image(s) of the same exposure" in " ".join(
        capsys.readouterr().out.split()
    )
    # The series that a reader names is the one that is measured.
    named = made(tmp_path, "--roi", BOX, "--series", "1.2.3.2.1")
    assert named["exams"][0]["film"]["sop_instance_uid"] == "1.2.3.2"


def test_an_image_of_another_size_does_not_lend_its_pixels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    event = {"IrradiationEventUID": "1.2.9"}
    half = np.ascontiguousarray(ball()[::2, ::2])
    stored = [ball(), half]
    [film] = films(tmp_path, {**LOOK, **event}, {**RAW, **event}, stored=stored)
    assert (film.left_out, film.twins) == (("1.2.3.2",), ())
    made(tmp_path, "--roi", f"1.2.3.2:{BOX}", code=3)
    assert "none of these films" in capsys.readouterr().err
