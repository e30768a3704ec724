"""The committed sample films against their own truth."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from hoimg.dicom import scan
from hoimg.dicom.radiograph import load_radiograph

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def films(sample_data):
    return sample_data / "films"


@pytest.fixture(scope="module")
def case(films):
    return json.loads((films / "truth" / "case.json").read_text())


def test_two_ap_films_and_a_lateral_of_the_sample_patient(films, case):
    assert sum(f.stat().st_size for f in films.rglob("*") if f.is_file()) < 4e6
    assert [e["days"] for e in case["exams"]] == [0, 290]
    views = [[f["view"] for f in e["films"]] for e in case["exams"]]
    assert views == [["AP"], ["AP", "LAT"]]
    for exam in case["exams"]:
        for film in exam["films"]:
            ds = pydicom.dcmread(films / "truth" / film["file"])
            assert ds.PatientID == "SAMPLE-HIP"
            assert ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.90"
            labels = np.asarray(Image.open(films / "truth" / film["labelmap"]))
            assert labels.shape == ds.pixel_array.shape


def test_lesions_are_brighter_than_what_is_round_them(films, case):
    from scipy import ndimage

    home = films / "truth"
    read = {f.file.resolve(): f for s in scan([films]).series for f in s.films}
    assert len(read) == 3
    for number, exam in enumerate(case["exams"]):
        for place, film in enumerate(exam["films"]):
            info = read[(home / film["file"]).resolve()]
            assert info.side == "R"
            assert info.spacing_source == "detector_corrected"
            pixels = load_radiograph(info).pixels
            labels = np.asarray(Image.open(home / film["labelmap"]))
            for lesion in case["lesions"]:
                for seen in lesion["observations"]:
                    if (seen["exam"], seen["film"]) != (number, place):
                        continue
                    inside = labels == seen["label"]
                    near = ndimage.binary_dilation(inside, iterations=12)
                    ring = near & ~ndimage.binary_dilation(labels > 0, iterations=4)
                    assert pixels[inside].mean() > pixels[ring].mean()
                    area = inside.sum() * film["spacing_detector_mm"] ** 2
                    assert area == pytest.approx(seen["area_detector_mm2"], rel=0.02)


def test_the_films_show_the_lesions_of_the_ct(sample_data, case):
    ct = json.loads((sample_data / "truth" / "case.json").read_text())
    exams = {0: 0, 1: 3}
    for lesion, other in zip(case["lesions"], ct["lesions"], strict=True):
        assert lesion["id"] == other["id"]
        volumes = {o["exam"]: o["volume_mm3"] for o in other["observations"]}
        assert {o["exam"] for o in lesion["observations"]} == {
            k for k, v in exams.items() if v in volumes
        }
        for seen in lesion["observations"]:
            assert seen["volume_mm3"] == pytest.approx(volumes[exams[seen["exam"]]], rel=1e-3)


def test_the_script_makes_the_same_pixels(real_data, films, case):
    path = ROOT / "scripts" / "make_sample_films.py"
    loader = importlib.util.spec_from_file_location("make_sample_films", path)
    script = importlib.util.module_from_spec(loader)
    loader.loader.exec_module(script)
    from hoimg.simulate.film_render import render_film

    made = script.make_case(real_data / "totalsegmentator")
    exam = made.exams[0]
    models = [m for m in (lesion.models[0] for lesion in made.lesions) if m is not None]
    film = render_film(made.scene, models, exam.films[0], exam.pose)
    stored = pydicom.dcmread(films / "truth" / case["exams"][0]["films"][0]["file"]).pixel_array
    np.testing.assert_array_equal(stored, film.stored.values)
