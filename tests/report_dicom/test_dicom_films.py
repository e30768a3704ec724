"""The objects of films: drawn on the film's own pixels, valid, read back, and whose they are."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest
from dicom_validator import program, validator_errors
from film_objects import film_dataset
from film_reports import BOX, SIDE, ball, made, only, report_of
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from scipy import ndimage

from hoimg.cli.main import run
from hoimg.dicom import read_patient
from hoimg.dicom.masks.film_files import read_film_regions
from hoimg.dicom.masks.polygon import fill
from hoimg.film_regions import place_regions
from hoimg.film_shapes import FilmOutline
from hoimg.image import Radiograph
from hoimg.pacs.push import dicom_objects
from hoimg.pipeline import analyze_patient
from hoimg.report import dicom_film_source, writer
from hoimg.report.dicom_objects import PR_NAME, SC_NAME, SEG_NAME, SR_NAME, write_dicom_objects
from hoimg.report.film_polygons import one_line, pieces_of
from hoimg.results import STATEMENT, Suggestion

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of highdicom
UID = "1.2.826.0.1.3680043.8.498.321"
IMAGE = "1.2.3.1"


def objects(folder: Path, exam: int = 0) -> dict[str, Path]:
    exam_id = report_of(folder / "out")["exams"][exam]["exam_id"]
    return {p.name: p for p in (folder / "out" / "exams" / exam_id).glob("*.dcm")}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Outlines as a test draws them, one for each region in turn."""
    shapes: list[np.ndarray] = []

    def outline(film: Radiograph, region: np.ndarray, *_: Any) -> FilmOutline:
        inside = shapes.pop(0)
        behind = np.where(inside, film.pixels - np.float32(100), film.pixels)
        return FilmOutline(region, inside, behind, 20.0, None)

    monkeypatch.setattr("hoimg.segment.film_outline.outline_in_region", outline)
    return shapes


def shapes() -> list[np.ndarray]:
    """A ring with a second piece, at the film's corner; a blob that overlies it; a comb."""
    y, x = np.mgrid[:SIDE, :SIDE]
    away = np.hypot(y - 40, x - 45)
    ring = ((away < 70) & (away > 30)) | ((y > 200) & (y < 206) & (x > 90) & (x < 120))
    ring[44, 45], ring[73:80, 20:25] = True, False
    blob = np.hypot(y - 90, x - 80) < 40
    comb = (y > 220) & (x > 200) & ((x % 3 > 0) | (y < 240))
    return [ring, blob, comb]


def regions_back(path: Path, source: Path) -> list[tuple[str | None, np.ndarray]]:
    [(_, placed)] = place_regions(read_film_regions(path), read_patient(source).exams).items()
    return [(p.ties, p.region_yx) for p in placed]


@given(arrays(bool, (14, 17), elements=st.booleans()), st.booleans())
@settings(deadline=None, max_examples=60)
def test_polygons_hold_exactly_the_pixels(noise: np.ndarray, smooth: bool) -> None:
    mask = ndimage.binary_opening(np.kron(noise, np.ones((5, 5), bool))) if smooth else noise
    if not mask.any():
        return
    pieces = pieces_of(mask)
    together = np.zeros(mask.shape, bool)
    for points in [*pieces, one_line(mask)]:
        assert np.array_equal(points[0], points[-1])
        assert np.array_equal(points * 2, np.rint(points * 2))
        assert (points >= 0).all()
        assert (points <= mask.shape[::-1]).all()
        inside = fill([points[:-1, ::-1] - 0.5], *mask.shape)
        if points is not pieces[-1] and len(pieces) > 1:
            assert not (inside & ~mask).any()
        together |= inside
    assert np.array_equal(together, mask)
    assert np.array_equal(fill([one_line(mask)[:-1, ::-1] - 0.5], *mask.shape), mask)


def test_a_round_outline_has_the_area_of_its_pixels_but_for_a_half() -> None:
    y, x = np.mgrid[:900, :900]
    mask = np.hypot(y - 450.2, x - 449.7) < 400
    [points] = pieces_of(mask)
    x, y = points.T
    area = abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2
    assert area == mask.sum() - 0.5
    assert len(points) < 2000


@pytest.mark.parametrize("name", [SEG_NAME, SR_NAME, PR_NAME])
def test_its_own_outlines_come_back_as_regions(
    tmp_path: Path, drawn: list[np.ndarray], name: str
) -> None:
    film_dataset(tmp_path / "in" / "a", ball(), sop=IMAGE)
    wanted = shapes()
    drawn += wanted
    words = [w for k in (1, 2, 3) for w in ("--roi", f"{k}=box:10,10,280,280")]
    report = made(tmp_path, *words)
    assert len(report["lesions"]) == 3
    found = dict(regions_back(objects(tmp_path)[name], tmp_path / "in"))
    uids = {x["observations"][0]["label"]: f"uid:{x['tracking_uid']}" for x in report["lesions"]}
    assert set(found) == set(uids.values())
    for label, mask in enumerate(wanted, 1):
        # Whole, also what another label covers in the map.
        assert np.array_equal(found[uids[label]], mask), label


def test_given_back_as_regions_they_are_the_same_lesion(tmp_path: Path) -> None:
    film_dataset(tmp_path / "in" / "a", ball(), sop=IMAGE)
    first = made(tmp_path, "--roi", BOX)
    labels = np.asarray(nib.load(tmp_path / "out" / first["exams"][0]["labelmap"]).dataobj)
    kept = objects(tmp_path)
    for name in (SEG_NAME, SR_NAME, PR_NAME):
        second = tmp_path / name
        words = ["report", str(tmp_path / "in"), "-o", str(second), "--roi", str(kept[name])]
        assert run(words) == 0
        report = report_of(second)
        assert report["lesions"][0]["tracking_uid"] == first["lesions"][0]["tracking_uid"]
        regions = np.asarray(nib.load(second / report["exams"][0]["regions"]).dataobj)
        assert np.array_equal(regions > 0, labels > 0)


def lut(entries: np.ndarray, first: int) -> pydicom.Dataset:
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, 12])
    item.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    return item


CURVE = np.rint(4095 * (np.arange(2000) / 1999) ** 2)
LOOKS: dict[str, dict[str, Any]] = {
    "window": {"WindowCenter": ["1400", "9"], "WindowWidth": ["700", "9"]},
    "sigmoid": {"WindowCenter": "1400", "WindowWidth": "700", "VOILUTFunction": "SIGMOID"},
    "rescaled": {
        "RescaleSlope": "2",
        "RescaleIntercept": "-100",
        "RescaleType": "US",
        "WindowCenter": "2700",
        "WindowWidth": "1400",
    },
    "table": {"VOILUTSequence": [lut(CURVE, 500)]},
    "none": {},
    "inverted": {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
}


@pytest.mark.parametrize("look", sorted(LOOKS))
def test_the_film_looks_as_without_the_presentation_state(tmp_path: Path, look: str) -> None:
    inverse = look == "inverted"
    stored = np.uint16(4095) - ball() if inverse else ball()
    film = film_dataset(tmp_path / "in" / "a", stored, sop=IMAGE, **LOOKS[look])
    made(tmp_path, "--roi", BOX)
    path = objects(tmp_path)[PR_NAME]
    assert validator_errors(path) == []
    state = pydicom.dcmread(path)
    assert state.PresentationLUTShape == ("INVERSE" if inverse else "IDENTITY")

    def seen(modality: pydicom.Dataset, voi: pydicom.Dataset) -> np.ndarray:
        # pydicom's own functions, each with one module's attributes beside those of the pixels
        values = apply_modality_lut(film.pixel_array, modality)
        for keyword in ("BitsStored", "PixelRepresentation", "PhotometricInterpretation"):
            setattr(voi, keyword, film[keyword].value)
        for keyword in ("RescaleSlope", "RescaleIntercept"):  # they only set the output's range
            if keyword in film:
                setattr(voi, keyword, film[keyword].value)
        return np.asarray(apply_voi_lut(values, voi), dtype=float)

    if "WindowCenter" not in film and "VOILUTSequence" not in film:
        # Viewers stretch such a film over its own values; a state without a window forbids it.
        [voi] = state.SoftcopyVOILUTSequence
        low, high = (voi.WindowCenter + k * voi.WindowWidth / 2 for k in (-1, 1))
        assert (low, high) == (film.pixel_array.min(), film.pixel_array.max())
        return
    [voi] = state.SoftcopyVOILUTSequence
    assert "WindowCenter" not in voi or isinstance(voi.WindowCenter, float)
    without = seen(film, pydicom.dcmread(tmp_path / "in" / "a"))
    assert np.ptp(without) > 100
    top = 65535 / 4095 if look == "table" else 1.0  # of a table that was given 16 bits
    assert np.allclose(seen(state, voi), without * top, rtol=0, atol=0.5 if top > 1 else 0)


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"ImagerPixelSpacing": None},
        {"ImagerPixelSpacing": ["0.4", "0.2"], "PixelAspectRatio": ["2", "1"]},
        {"PatientName": "", "PatientID": "", "StudyID": "", "StudyDate": "", "StudyTime": ""},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1", "Modality": "CR"},
        {"FrameOfReferenceUID": f"{UID}.1", "PatientOrientation": ["L", "F"]},
        {"PatientName": None, "StudyTime": None, "AccessionNumber": None},
        {"PatientName": "<b>=cmd|'/C'!A0^\u0416\u4e2d", "SpecificCharacterSet": "ISO_IR 192"},
    ],
)
def test_the_objects_are_valid_and_highdicom_reads_them(
    tmp_path: Path, tags: dict[str, Any]
) -> None:
    film_dataset(tmp_path / "in" / "a", ball(), sop=IMAGE, **tags)
    report = made(tmp_path, "--roi", BOX)
    made_of = objects(tmp_path)
    assert set(made_of) == {SEG_NAME, SR_NAME, PR_NAME, SC_NAME}
    source = pydicom.dcmread(tmp_path / "in" / "a")
    for path in made_of.values():
        assert validator_errors(path) == []
        ds = pydicom.dcmread(path)
        assert (ds.StudyInstanceUID, ds.PatientID) == (
            source.StudyInstanceUID,
            source.get("PatientID", ""),
        )
        assert ds.PatientName == source.get("PatientName", "")
        assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    seen = only(report)
    [group] = hd.sr.srread(made_of[SR_NAME]).content.get_planar_roi_measurement_groups()
    assert group.tracking_uid == report["lesions"][0]["tracking_uid"]
    assert group.roi.graphic_type.value == "POLYLINE"
    areas = group.get_measurements(hd.sr.CodedConcept("42798000", "SCT", "Area"))
    assert [a.value for a in areas] == ([] if seen["area_mm2"] is None else [seen["area_mm2"]])
    seg = hd.seg.segread(made_of[SEG_NAME])
    drawn = seg.get_pixels_by_source_instance([source.SOPInstanceUID], combine_segments=True)
    labels = np.asarray(nib.load(tmp_path / "out" / report["exams"][0]["labelmap"]).dataobj)
    assert np.array_equal(drawn[0] > 0, labels[:, :, 0].T > 0)  # NIfTI: x first
    assert "FrameOfReferenceUID" not in seg
    assert seg.PatientOrientation == source.get("PatientOrientation", "")
    [segment] = seg.SegmentSequence
    assert segment.TrackingUID == report["lesions"][0]["tracking_uid"]
    [area] = pydicom.dcmread(made_of[PR_NAME]).DisplayedAreaSelectionSequence
    assert area.DisplayedAreaTopLeftHandCorner == [1, 1]
    assert area.DisplayedAreaBottomRightHandCorner == [SIDE, SIDE]
    uneven = tags.get("ImagerPixelSpacing") == ["0.4", "0.2"]
    assert area.PresentationPixelAspectRatio == ([2, 1] if uneven else [1, 1])


def said(path: Path) -> str:
    """Every value of an object."""
    return "\n".join(str(e.value) for e in pydicom.dcmread(path).iterall() if e.VR != "SQ")


def numbers(path: Path) -> dict[str, tuple[float, str]]:
    """Code to value and unit of all NUM items but the day, read from the raw items."""
    found: dict[str, tuple[float, str]] = {}
    items = [pydicom.dcmread(path)]
    while items:
        item = items.pop()
        items += item.get("ContentSequence", [])
        if item.get("ValueType") != "NUM":
            continue
        [value] = item.MeasuredValueSequence
        code = item.ConceptNameCodeSequence[0].CodeValue
        number = value.get("FloatingPointValue", value.NumericValue)
        if code != "128740":
            assert code not in found
            unit = value.MeasurementUnitsCodeSequence[0].CodeValue
            found[code] = (float(number), unit)
    return found


CODES = {
    "42798000": ("area_mm2", None, "mm2"),
    "HO-A-FILM-LOW": ("area_ci95_mm2", 0, "mm2"),
    "HO-A-FILM-HIGH": ("area_ci95_mm2", 1, "mm2"),
    "HO-A-PX": ("area_px2", None, "{pixels}"),
    "HO-A-PX-LOW": ("area_ci95_px2", 0, "{pixels}"),
    "HO-A-PX-HIGH": ("area_ci95_px2", 1, "{pixels}"),
    "410668003": ("length_mm", None, "mm"),
    "HO-L-FILM-LOW": ("length_ci95_mm", 0, "mm"),
    "HO-L-FILM-HIGH": ("length_ci95_mm", 1, "mm"),
    "HO-L-PX": ("length_px", None, "{pixels}"),
    "HO-CORT": ("corticated_fraction", None, "1"),
    "HO-CORT-LOW": ("corticated_fraction_ci95", 0, "1"),
    "HO-CORT-HIGH": ("corticated_fraction_ci95", 1, "1"),
    "HO-EDGE": ("edge_ratio", None, "1"),
    "HO-EDGE-LOW": ("edge_ratio_ci95", 0, "1"),
    "HO-EDGE-HIGH": ("edge_ratio_ci95", 1, "1"),
    "HO-DENS": ("density_index", None, "1"),
    "HO-DENS-LOW": ("density_index_ci95", 0, "1"),
    "HO-DENS-HIGH": ("density_index_ci95", 1, "1"),
    "HO-CNR": ("contrast_to_noise", None, "1"),
}


@pytest.mark.parametrize("spacing", [["0.2", "0.2"], None])
def test_every_number_is_the_reports_and_no_missing_one_is_there(
    tmp_path: Path, spacing: list[str] | None
) -> None:
    film_dataset(tmp_path / "in" / "a", ball(), sop=IMAGE, ImagerPixelSpacing=spacing)
    seen = only(made(tmp_path, "--roi", BOX))
    path = objects(tmp_path)[SR_NAME]
    told = {}
    for code, (field, index, unit) in CODES.items():
        value = seen[field]
        if value is not None:
            told[code] = (value if index is None else value[index], unit)
    assert numbers(path) == told
    assert ("42798000" in told) == (spacing is not None)
    text = said(path)
    assert STATEMENT in text
    assert ("HO-SP-DET" if spacing else "HO-SP-NONE") in text
    assert "at detector, uncorrected" in text if spacing else "pixels only" in text
    out = tmp_path / "sr.json"
    words = [program("tid1500reader"), "--inputDICOM", str(path), "--outputMetadata", str(out)]
    subprocess.run(words, check=True, capture_output=True)
    [group] = json.loads(out.read_text())["Measurements"]
    read = {i["quantity"]["CodeValue"]: i for i in group["measurementItems"]}
    del read["128740"]  # the day
    assert {k: float(v["value"]) for k, v in read.items()} == pytest.approx(
        {k: v for k, (v, _) in told.items()}, rel=1e-14
    )


def test_two_dates_tell_the_change_and_each_film_has_its_own_objects(tmp_path: Path) -> None:
    for name, day, radius in (("a", "20240110", 34.0), ("b", "20240601", 40.0)):
        sop = f"1.2.3.{len(day) + int(day[-1])}.{ord(name)}"
        film_dataset(tmp_path / "in" / name, ball(radius), sop=sop, day=day)
    found = read_patient(tmp_path / "in").exams
    words = [w for e in found for w in ("--roi", f"1={e.exam_id}:{BOX}")]
    report = made(tmp_path, *words)
    [change] = report["lesions"][0]["changes"]
    later = numbers(objects(tmp_path, 1)[SR_NAME])
    assert later["HO-C-AREA"] == (change["area_change_pct"], "%")
    assert later["HO-RC-AREA"] == (change["area_rc_pct"], "%")
    assert later["HO-C-DAYS"] == (change["days"], "d")
    assert "HO-C-AREA" not in numbers(objects(tmp_path, 0)[SR_NAME])
    paths = [p for k in (0, 1) for p in objects(tmp_path, k).values()]
    assert len({pydicom.dcmread(p).SOPInstanceUID for p in paths}) == len(paths) == 8


def test_without_a_region_the_report_does_not_say_that_nothing_is_there(tmp_path: Path) -> None:
    film_dataset(tmp_path / "in" / "a", ball(), sop=IMAGE)
    made(tmp_path)
    found = objects(tmp_path)
    assert set(found) == {SR_NAME, SC_NAME}
    to_push = dicom_objects(tmp_path / "out")
    assert [o.path for o in to_push] == [found[SR_NAME], found[SC_NAME]]
    for path in found.values():
        assert validator_errors(path) == []
    text = said(found[SR_NAME])
    assert "HO-NOT-LOOKED" in text
    assert "HO-NONE-FOUND" not in text
    assert "no_region_given" in text


def test_what_is_not_measurable_has_its_reason_and_no_outline(tmp_path: Path) -> None:
    film_dataset(tmp_path / "in" / "a", ball(height=0.0), sop=IMAGE)
    made(tmp_path, "--roi", BOX)
    found = objects(tmp_path)
    assert set(found) == {SR_NAME, SC_NAME}
    text = said(found[SR_NAME])
    assert "HO-UNMEASURABLE" in text
    assert "film_contrast_below_noise" in text
    assert "SCOORD" not in text
    assert set(numbers(found[SR_NAME])) <= {"HO-CNR"}


def test_of_a_file_of_several_frames_the_frame_is_named(
    tmp_path: Path, drawn: list[np.ndarray]
) -> None:
    stored = np.stack([ball(seed=1), ball(seed=2)])
    film_dataset(
        tmp_path / "in" / "a",
        stored,
        sop=IMAGE,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.7.3",
        Modality="RG",
    )
    exams = read_patient(tmp_path / "in").exams
    assert [e.film.frame for e in exams if e.film] == [0, 1]
    [mask] = shapes()[1:2]
    drawn.append(mask)
    report = made(tmp_path, "--roi", f"{exams[1].exam_id}:{BOX}")
    assert [e["film"]["frame"] for e in report["exams"]] == [0, 1]
    assert set(objects(tmp_path, 0)) == {SR_NAME, SC_NAME}
    for name in (SR_NAME, PR_NAME):
        path = objects(tmp_path, 1)[name]
        assert validator_errors(path) == []
        [(exam_id, [placed])] = place_regions(read_film_regions(path), exams).items()
        assert exam_id == exams[1].exam_id
        assert np.array_equal(placed.region_yx, mask)
    numbers_of = [pydicom.dcmread(objects(tmp_path, k)[SR_NAME]).InstanceNumber for k in (0, 1)]
    assert numbers_of == [1, 2]


def test_a_file_that_was_exchanged_is_a_finding_and_no_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "in" / "a"
    film_dataset(path, ball(), sop=IMAGE)
    before = writer._write_dicom

    def exchanged(*args: Any) -> Any:
        film_dataset(path, ball(), sop="1.2.3.2")
        return before(*args)

    monkeypatch.setattr(writer, "_write_dicom", exchanged)
    report = made(tmp_path, "--roi", BOX)
    assert objects(tmp_path) == {}
    codes = [f["code"] for f in report["exams"][0]["findings"]]
    assert "dicom_source_misaligned" in codes


@pytest.mark.parametrize(
    ("keyword", "value", "code"),
    [
        ("SOPClassUID", "1.2.826.0.1.3680043.8.498.9", "dicom_source_unreadable"),
        ("NumberOfFrames", "many", "dicom_source_unreadable"),
        ("Rows", SIDE + 1, "dicom_source_misaligned"),
    ],
)
def test_a_header_that_no_object_can_cite_costs_the_objects_not_the_report(
    tmp_path: Path, keyword: str, value: Any, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "in" / "a"
    film_dataset(path, ball(), sop=IMAGE)
    plain = dicom_film_source.read_header

    def damaged(*args: Any) -> pydicom.Dataset:
        header = plain(*args)
        with pydicom.config.disable_value_validation():
            header.add_new(keyword, "LO" if isinstance(value, str) else "US", value)
        return header

    monkeypatch.setattr(dicom_film_source, "read_header", damaged)
    report = made(tmp_path, "--roi", BOX)
    assert only(report)["status"] == "measured"
    assert objects(tmp_path) == {}
    assert code in [f["code"] for f in report["exams"][0]["findings"]]


def test_the_layer_of_hips_holds_no_region(tmp_path: Path, drawn: list[np.ndarray]) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "measure"))
    import film_phantom as phantom

    across = phantom.box(0.5, 66, 78, 92, 140)
    lesion = across | phantom.box(0.5, 66, 125.0, 92, 106)
    values = phantom.film(0.5, lesion=lesion).pixels
    drawn.append(lesion)
    film_dataset(
        tmp_path / "in" / "a",
        np.rint(500 + 600 * values).astype(np.uint16),
        sop=IMAGE,
        PixelSpacing=["0.5", "0.5"],
        PixelSpacingCalibrationType="FIDUCIAL",
        ImagerPixelSpacing=["0.6", "0.6"],
    )
    ys, xs = np.nonzero(lesion)
    report = made(tmp_path, "--roi", f"box:{xs.min()},{ys.min()},{xs.max() + 1},{ys.max() + 1}")
    [hip] = report["exams"][0]["hips"]
    assert hip["brooker"] == "borderline II/III"
    found = objects(tmp_path)
    told = numbers(found[SR_NAME])
    assert told["HO-GAP"] == (hip["gap_mm"], "mm")
    assert (told["HO-GAP-LOW"][0], told["HO-GAP-HIGH"][0]) == tuple(hip["gap_ci95_mm"])
    assert told["HO-GAP-PX"] == (hip["gap_px"], "{pixels}")
    assert (told["HO-HEAD-Y"][0], told["HO-HEAD-X"][0]) == tuple(hip["head_centre_yx"])
    text = said(found[SR_NAME])
    for code in ("HO-BR-II-III", "HO-DV-B-C", "HO-LM-FOUND", "24028007"):
        assert code in text
    state = pydicom.dcmread(found[PR_NAME])
    layers = [x.GraphicLayer for x in state.GraphicAnnotationSequence]
    assert layers == ["HO_OUTLINES", "HO_HIPS"]
    [[name], [gap_text]] = [
        [t.UnformattedTextValue for t in x.TextObjectSequence]
        for x in state.GraphicAnnotationSequence
    ]
    assert name == "L1"
    assert gap_text.startswith(f"right hip, gap {hip['gap_mm']:.1f}")
    gap, *_ = state.GraphicAnnotationSequence[1].GraphicObjectSequence
    ends = np.array(hip["gap_ends_yx"])[:, ::-1] + 0.5
    assert np.allclose(np.reshape(gap.GraphicData, (2, 2)), ends)
    for name in (SR_NAME, PR_NAME):
        assert validator_errors(found[name]) == []
        [(_, back)] = regions_back(found[name], tmp_path / "in")
        assert np.array_equal(back, lesion)


def test_suggestions_are_in_no_object(tmp_path: Path) -> None:
    film_dataset(tmp_path / "in" / "a", ball(), sop=IMAGE)
    result = analyze_patient(read_patient(tmp_path / "in"))
    [exam] = result.report.exams
    place = Suggestion(box=(85, 75, 215, 205), source="other_side", roi="box:85,75,215,205")
    with_one = result.report.model_copy(
        update={"exams": [exam.model_copy(update={"suggestions": [place]})]}
    )
    plain = write_dicom_objects(result, tmp_path / "plain")
    told = write_dicom_objects(replace(result, report=with_one), tmp_path / "told")
    assert [p.read_bytes() for p in plain] == [p.read_bytes() for p in told]
    assert len(plain) == 2
