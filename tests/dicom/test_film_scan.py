"""Films through scan, info and report; real films."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import SecondaryCaptureImageStorage
from synthetic_ct import noise, write_ct
from synthetic_film import codes, films_of, write_film

from hoimg.cli.main import run
from hoimg.dicom import display_8bit, load_radiograph, read_patient, scan
from hoimg.dicom.film_checks import check_film
from hoimg.dicom.film_header import film_findings
from hoimg.errors import InputRefused


def real_film(name: str) -> Path:
    """A film of the package pydicom-data."""
    return Path(str(get_testdata_file(name, download=False)))


def test_a_series_carries_its_films(tmp_path: Path) -> None:
    for k in range(2):
        write_film(tmp_path / f"{k}", ViewPosition="AP", SOPInstanceUID=f"1.2.3.4.{k}")
    write_film(tmp_path / "2", ImagerPixelSpacing=["0.1", "0.1"], SOPInstanceUID="1.2.3.4.9")
    [series] = scan(tmp_path).series
    assert (series.kind, series.usable, series.grid) == ("radiograph", False, None)
    assert [f.file.name for f in series.films] == ["0", "1", "2"]
    found = {f.code: f.message for f in series.findings}
    assert series.findings[0].code == "radiograph"
    assert "CR AP, 8x16 px, no spacing" in found["radiograph"]
    assert found["spacing_missing"].startswith("2 of 3 film(s): ")
    assert found["spacing_uncorrected"].startswith("1 of 3 film(s): ")


def test_many_films_are_counted(tmp_path: Path) -> None:
    write_film(tmp_path / "f", np.zeros((5, 8, 8), np.uint16))
    [series] = scan(tmp_path).series
    assert len(series.films) == 5
    assert "and 2 more" in series.findings[0].message


@pytest.mark.parametrize("modality", ["RF", "XA", "MG", "PX"])
def test_other_projections_are_only_listed(tmp_path: Path, modality: str) -> None:
    write_film(tmp_path / "f", modality=modality)
    [series] = scan(tmp_path).series
    assert (series.kind, series.films) == ("radiograph", ())
    assert series.findings[0].message == f"1 image(s) of modality {modality}."
    assert series.findings[0].code == "radiograph_not_measured"


@pytest.mark.parametrize(
    ("modality", "conversion", "kind"),
    [("OT", "DF", "radiograph"), ("CR", "WSD", "secondary_capture"), ("RG", "WSD", "radiograph")],
)
def test_a_scanned_film_is_one_and_a_screen_capture_is_not(
    tmp_path: Path, modality: str, conversion: str, kind: str
) -> None:
    write_film(
        tmp_path / "f",
        modality=modality,
        SOPClassUID=SecondaryCaptureImageStorage,
        ConversionType=conversion,
        NominalScannedPixelSpacing=["0.1", "0.1"],
    )
    [series] = scan(tmp_path).series
    assert series.kind == kind
    assert [(f.digitised, f.spacing_yx_mm) for f in series.films] == (
        [(True, (0.1, 0.1))] if kind == "radiograph" else []
    )


def test_a_broken_film_does_not_hide_the_others(tmp_path: Path) -> None:
    write_film(tmp_path / "0", SOPInstanceUID="1.2.3.4.1")
    whole = (tmp_path / "0").read_bytes()
    (tmp_path / "1").write_bytes(whole[:-40])
    [series] = scan(tmp_path).series
    assert [f.usable for f in series.films] == [True, False]
    assert series.bad_files == (tmp_path / "1",)
    assert film_findings(()) == []


def test_a_header_that_breaks_between_two_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(file: Path) -> None:
        raise RecursionError

    monkeypatch.setattr("hoimg.dicom.film_header.film_dataset", fail)
    write_film(tmp_path / "f")
    [film] = films_of(tmp_path / "f")
    assert (film.usable, codes(film)[0]) == (False, "bad_film")


def test_collimator_edges_are_told_and_not_applied(tmp_path: Path) -> None:
    edges = {
        "UpperHorizontalEdge": 2,
        "LowerHorizontalEdge": 7,
        "LeftVerticalEdge": 3,
        "RightVerticalEdge": 14,
    }
    tags = {f"Collimator{k}": v for k, v in edges.items()}
    [film] = films_of(write_film(tmp_path / "a", CollimatorShape="RECTANGULAR", **tags))
    assert film.field_yx == (1, 7, 2, 14)
    assert load_radiograph(film).valid is None
    tags["ShutterUpperHorizontalEdge"] = 4
    for k, v in (("Lower", 9), ("Left", 0), ("Right", 9)):
        tags[f"Shutter{k}{'Horizontal' if k == 'Lower' else 'Vertical'}Edge"] = v
    [film] = films_of(
        write_film(
            tmp_path / "b", CollimatorShape="RECTANGULAR", ShutterShape="RECTANGULAR", **tags
        )
    )
    assert film.field_yx == (3, 7, 2, 9)
    for k, (shape, changed) in enumerate(
        (("CIRCULAR", {}), ("RECTANGULAR", {"CollimatorLowerHorizontalEdge": 0}))
    ):
        [film] = films_of(
            write_film(tmp_path / f"c{k}", CollimatorShape=shape, **{**tags, **changed})
        )
        assert film.field_yx is None
    [film] = films_of(write_film(tmp_path / "d", CollimatorShape="RECTANGULAR"))
    assert film.field_yx is None


def test_info_shows_films(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_film(
        tmp_path / "f",
        modality="DX",
        ViewPosition="LL",
        ImageLaterality="L",
        BodyPartExamined="KNEE",
        ImagerPixelSpacing=["0.15", "0.15"],
        EstimatedRadiographicMagnificationFactor="1.2",
    )
    assert run(["info", str(tmp_path)]) == 0
    told = capsys.readouterr()
    for word in ("Radiographs", "LAT", "KNEE", "8x16", "0.125", "detector_corrected", "for pres"):
        assert word in told.out
    assert run(["info", "--json", str(tmp_path)]) == 0
    said = json.loads(capsys.readouterr().out)
    [series] = said["patients"][0]["studies"][0]["series"]
    [film] = series["films"]
    assert film["exam_id"].startswith("day0000_dx_")
    assert film["spacing_yx_mm"] == pytest.approx([0.125, 0.125])
    facts = ("view", "side", "spacing_source", "magnification", "intent", "mirrored")
    assert [film[k] for k in facts] == [
        *("LAT", "L", "detector_corrected", 1.2, "FOR PRESENTATION", False)
    ]
    assert "ID-9" not in json.dumps(said)
    assert str(tmp_path) not in json.dumps(said)


def test_report_refuses_films_that_cannot_be_read_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_film(tmp_path / "in" / "f", np.zeros((8, 8), np.uint16), BitsStored=17)
    assert run(["report", str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 3
    assert "bad_film" in capsys.readouterr().err
    write_film(tmp_path / "xa" / "f", modality="XA")
    assert run(["report", str(tmp_path / "xa"), "-o", str(tmp_path / "out")]) == 3
    assert "radiograph_not_measured" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def part(pixels: np.ndarray, rows: slice, columns: slice) -> float:
    return float(np.median(pixels[rows, columns]))


@pytest.mark.parametrize("name", ["RG3_UNCR.dcm", "RG3_J2KI.dcm"])
def test_lower_leg_in_monochrome1_without_spacing(name: str) -> None:
    [film] = films_of(real_film(name))
    assert (film.modality, film.photometric, film.bits) == ("CR", "MONOCHROME1", 10)
    assert (film.view, film.side, film.body_part) == ("AP", "R", "EXTREMITY")
    assert (film.spacing_yx_mm, film.spacing_source) == (None, "none")
    assert film.mirrored
    read = load_radiograph(film)
    # Read off the picture: air beside the leg, calf, tibia shaft with its cortex.
    air = part(read.pixels, slice(700, 900), slice(500, 600))
    calf = part(read.pixels, slice(400, 500), slice(700, 760))
    cortex = part(read.pixels, slice(400, 500), slice(805, 815))
    assert air < calf < cortex
    shown = display_8bit(film).astype(float)
    assert part(shown, slice(700, 900), slice(500, 600)) < part(
        shown, slice(400, 500), slice(805, 815)
    )
    assert check_film(read) == ()


def test_lossless_copies_are_identical() -> None:
    for name in ("RG1", "RG3"):
        [plain], [packed] = (
            films_of(real_film(f"{name}_UNCR.dcm")),
            films_of(real_film(f"{name}_J2KR.dcm")),
        )
        assert np.array_equal(load_radiograph(plain).pixels, load_radiograph(packed).pixels)


@pytest.mark.parametrize("name", ["RG1_UNCR.dcm", "RG1_J2KI.dcm"])
def test_chest_with_a_spacing_of_zero(name: str) -> None:
    [film] = films_of(real_film(name))
    assert (film.view, film.body_part, film.bits, film.sid_mm) == ("PA", "CHEST", 15, 1996)
    assert (film.spacing_yx_mm, film.spacing_source) == (None, "none")
    assert {"spacing_refused", "spacing_missing"} <= set(codes(film))
    assert ("lossy_compression" in codes(film)) == name.endswith("I.dcm")
    read = load_radiograph(film)
    lung = part(read.pixels, slice(550, 650), slice(1150, 1250))
    spine = part(read.pixels, slice(1000, 1400), slice(860, 960))
    air = part(read.pixels, slice(60, 120), slice(30, 100))
    assert air < lung < spine
    assert check_film(read) == ()


def test_dx_film_with_the_detectors_spacing(real_data: Path) -> None:
    [film] = films_of(real_data / "dicom_objects" / "dx_image.dcm")
    assert (film.modality, film.photometric) == ("DX", "MONOCHROME1")
    assert (film.intent, film.side, film.plane) == ("FOR PRESENTATION", "L", "frontal")
    assert film.spacing_yx_mm == pytest.approx((1.2, 1.2012))
    assert film.spacing_source == "detector_uncorrected"  # SID is stated, SOD is not
    assert (film.mirrored, film.polarity_source) == (True, "PresentationLUTShape")
    read = load_radiograph(film)
    # Spine against the air above the back, read off the picture.
    assert part(read.pixels, slice(55, 62), slice(90, 150)) > part(
        read.pixels, slice(4, 10), slice(20, 80)
    )
    assert [f.code for f in check_film(read)] == []
    turned = type(read)(-read.pixels, None, "none")
    assert [f.code for f in check_film(turned)] == ["polarity_doubtful"]


@pytest.mark.parametrize("name", ["77654033/CR1/6154", "77654033/CR2/6247", "77654033/CR3/6278"])
def test_cr_of_pydicoms_own_set(name: str) -> None:
    [film] = films_of(Path(str(get_testdata_file("DICOMDIR"))).parent / name)
    assert (film.spacing_yx_mm, film.spacing_source) == ((0.1, 0.1), "detector_uncorrected")
    assert film.mirrored
    read = load_radiograph(film)
    # OD = 0.684 * stored + 200 for 12 bits: mirrored about the middle of 200 .. 3000.98.
    assert 200.0 <= read.pixels.min() <= read.pixels.max() <= 0.684 * 4095 + 200


def test_sixteen_kilopixels_a_side_are_the_limit(tmp_path: Path) -> None:
    wide = np.zeros((2, 16384), np.uint16)
    [film] = films_of(write_film(tmp_path / "f", wide))
    assert film.usable
    assert load_radiograph(film).pixels.shape == (2, 16384)


def test_films_beside_a_ct_are_exams_and_broken_ones_are_told(tmp_path: Path) -> None:
    write_ct(tmp_path / "ct", PatientID="ID-9")
    write_film(tmp_path / "film", StudyInstanceUID="1.2.3.9")
    write_film(
        tmp_path / "broken",
        np.zeros((8, 8), np.uint16),
        BitsStored=17,
        StudyInstanceUID="1.2.3.8",
        SOPInstanceUID="1.2.3.4.6",
    )
    write_film(tmp_path / "copy", StudyInstanceUID="1.2.3.9")
    write_film(tmp_path / "other", modality="MG", StudyInstanceUID="1.2.3.7")
    patient = read_patient(tmp_path)
    assert [e.modality for e in patient.scans] == ["CT"]
    [film] = patient.radiographs
    assert (film.study_uid, film.film is not None) == ("1.2.3.9", True)
    assert "spacing_missing" in [f.code for f in film.findings]
    notes = [f.code for f in patient.findings]
    assert {"film_refused", "radiograph_not_measured", "identical_copies"} <= set(notes)
    assert not {"spacing_missing", "bad_film", "study_refused"} & set(notes)


def test_a_refused_ct_beside_a_film_is_told_and_the_film_stays(tmp_path: Path) -> None:
    write_ct(tmp_path / "ct", noise(1), PatientID="ID-9", StudyInstanceUID="1.2.3.9")
    write_film(tmp_path / "film", StudyInstanceUID="1.2.3.9")
    patient = read_patient(tmp_path)
    assert [e.modality for e in patient.exams] == ["CR"]
    told = {f.code: f.message for f in patient.findings}
    assert told["series_refused"].startswith("CT beside films was refused: ")
    assert "study_refused" not in told


def test_films_are_exams_in_order_of_date_and_projection(tmp_path: Path) -> None:
    for k, (day, view) in enumerate(
        (("20240301", "LL"), ("20240301", "AP"), ("20240110", "AP"), ("20240301", "PA"))
    ):
        write_film(
            tmp_path / f"{k}",
            StudyDate=day,
            StudyInstanceUID=f"1.2.3.{day}",
            ViewPosition=view,
            SOPInstanceUID=f"1.2.3.4.{k}",
        )
    patient = read_patient(tmp_path)
    found = [(e.days_from_baseline, e.film.view) for e in patient.exams if e.film]
    assert found[0] == (0, "AP")
    assert sorted(found[1:3]) == [(51, "AP"), (51, "PA")]
    assert found[3] == (51, "LAT")
    assert len({e.exam_id for e in patient.exams}) == 4
    assert all(e.exam_id.startswith(f"day{e.days_from_baseline:04d}_cr_") for e in patient.exams)


def test_frames_of_one_file_are_exams_of_their_own(tmp_path: Path) -> None:
    write_film(tmp_path / "f", np.zeros((3, 8, 8), np.uint16))
    patient = read_patient(tmp_path)
    assert sorted(e.film.frame for e in patient.exams if e.film) == [0, 1, 2]
    assert len({e.exam_id for e in patient.exams}) == 3


def test_undated_films_are_one_day_only_within_one_study(tmp_path: Path) -> None:
    for k in range(2):
        write_film(tmp_path / f"{k}", drop=("StudyDate",), SOPInstanceUID=f"1.2.3.4.{k}")
    assert [e.days_from_baseline for e in read_patient(tmp_path).exams] == [0, 0]
    write_film(
        tmp_path / "2",
        drop=("StudyDate",),
        StudyInstanceUID="1.2.3.9",
        SOPInstanceUID="1.2.3.4.2",
    )
    with pytest.raises(InputRefused) as caught:
        read_patient(tmp_path)
    assert caught.value.code == "missing_date"


def test_a_named_series_of_films_leaves_the_ct_of_its_study_alone(tmp_path: Path) -> None:
    write_ct(tmp_path / "ct", PatientID="ID-9", StudyInstanceUID="1.2.3.1")
    write_film(tmp_path / "film")
    patient = read_patient(tmp_path, series="1.2.3.2")
    assert sorted(e.modality for e in patient.exams) == ["CR", "CT"]
    assert "named by the user" not in (patient.scans[0].acquisition.series_choice or "")
