"""Films as DICOM: read back by hoimg and, apart from it, by pydicom alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pydicom
import pytest

from hoimg.dicom import scan
from hoimg.dicom.radiograph import display_8bit, load_radiograph
from hoimg.simulate.film_process import PROCESSINGS, process
from hoimg.simulate.film_writer import FilmHeader, write_film

HEADER = FilmHeader("DX", "AP", "R", "HIP", ("L", "F"), 0.15, 1100.0, 950.0)
SPACING = 0.5


@pytest.fixture(scope="module")
def signal():
    """A shape that no flip leaves as it is: a dense bar left and above the middle."""
    depth = np.full((96, 128), 4.0, np.float32)
    depth += np.linspace(0, 1, 128, dtype=np.float32)[None]
    depth[20:40, 10:50] += 2.0
    depth[:, 118:] = 0.2
    return np.exp(-depth)


def read(path):
    found = scan([path.parent]).series
    films = [f for s in found for f in s.films]
    assert len(films) == 1
    return films[0]


def correlation(a, b):
    inside = np.s_[4:92, 4:110]
    return np.corrcoef(a[inside].ravel(), b[inside].ravel())[0, 1]


@pytest.mark.parametrize("modality", ["DX", "CR"])
@pytest.mark.parametrize("processing", PROCESSINGS)
@pytest.mark.parametrize("monochrome", [1, 2])
def test_larger_is_more_attenuating_whatever_the_file_says(
    signal, tmp_path, modality, processing, monochrome
):
    bits = 14 if monochrome == 1 else 12
    film = process(signal, SPACING, processing=processing, bits=bits, monochrome=monochrome)
    path = tmp_path / "I1"
    write_film(film, replace(HEADER, modality=modality), path)
    info = read(path)
    assert info.usable
    assert info.bits == bits
    assert info.photometric == f"MONOCHROME{monochrome}"
    assert "polarity_doubtful" not in {f.code for f in info.findings}
    got = load_radiograph(info).pixels
    assert correlation(got, -np.log(signal)) > 0.9
    assert got[30, 30] > got[60, 30]
    if film.for_presentation:
        shown = display_8bit(info).astype(float)
        assert shown[30, 30] > shown[60, 30]
    # pydicom on its own: what is stored is what was made, bit for bit.
    ds = pydicom.dcmread(path)
    np.testing.assert_array_equal(ds.pixel_array, film.values)
    assert ds.HighBit == ds.BitsStored - 1 == bits - 1
    dark = ds.PhotometricInterpretation == "MONOCHROME1"
    white_first = -1 if dark else 1
    assert white_first * (int(ds.pixel_array[30, 30]) - int(ds.pixel_array[60, 30])) > 0


@pytest.mark.parametrize("look", ["window", "voi_lut", "presentation_lut"])
@pytest.mark.parametrize("monochrome", [1, 2])
def test_every_look_shows_bone_white(signal, tmp_path, look, monochrome):
    film = process(signal, SPACING, bits=14, monochrome=monochrome)
    header = replace(HEADER, modality="CR", look=look)
    write_film(film, header, tmp_path / "I1")
    info = read(tmp_path / "I1")
    shown = display_8bit(info).astype(int)
    assert shown[30, 30] - shown[60, 30] > 40
    got = load_radiograph(info).pixels
    assert got[30, 30] > got[60, 30]
    ds = pydicom.dcmread(tmp_path / "I1")
    assert ("WindowCenter" in ds) == (look == "window")
    if look == "voi_lut":
        from pydicom.pixels import apply_voi_lut

        seen = apply_voi_lut(ds.pixel_array, ds).astype(int)
        assert (seen[30, 30] > seen[60, 30]) == (monochrome == 2)


SAID = {
    "imager": ("detector_corrected", 0.15 * 950 / 1100),
    "imager_only": ("detector_uncorrected", 0.15),
    "calibrated": ("calibrated", 0.15 * 950 / 1100),
    "copied": ("detector_uncorrected", 0.15),
    "zero": ("none", None),
    "missing": ("none", None),
}


@pytest.mark.parametrize("spacing", list(SAID))
def test_spacing_is_read_as_it_was_meant(signal, tmp_path, spacing):
    film = process(signal, SPACING)
    write_film(film, replace(HEADER, modality="CR", spacing=spacing), tmp_path / "I1")
    got = load_radiograph(read(tmp_path / "I1"))
    source, value = SAID[spacing]
    assert got.spacing_source == source
    if value is None:
        assert got.spacing_yx_mm is None
    else:
        assert got.spacing_yx_mm == pytest.approx((value, value), rel=1e-5)


@pytest.mark.parametrize(
    ("view", "plane"), [("AP", "frontal"), ("LAT", "lateral"), ("OBL", "oblique")]
)
@pytest.mark.parametrize("modality", ["DX", "CR"])
def test_view_side_text_and_field(signal, tmp_path, view, plane, modality):
    ways = {"AP": ("L", "F"), "LAT": ("A", "F"), "OBL": ("LA", "F")}
    header = replace(
        HEADER, modality=modality, view=view, orientation=ways[view], burned_in=True,
        field_yx=(5, 90, 10, 120), laterality="L",
    )  # fmt: skip
    write_film(process(signal, SPACING), header, tmp_path / "I1")
    info = read(tmp_path / "I1")
    assert (info.plane, info.side, info.burned_in) == (plane, "L", True)
    assert info.field_yx == (5, 90, 10, 120)
    assert "view_doubtful" not in {f.code for f in info.findings}


def test_what_a_dx_image_has_to_state(signal, tmp_path):
    write_film(process(signal, SPACING), HEADER, tmp_path / "I1")
    ds = pydicom.dcmread(tmp_path / "I1")
    # Type 1 of PS3.3 A.26: DX series, anatomy, image, detector, positioning.
    for name in (
        "PresentationIntentType", "ImageLaterality", "AnatomicRegionSequence", "ViewCodeSequence",
        "PatientOrientation", "PixelIntensityRelationship", "PixelIntensityRelationshipSign",
        "RescaleIntercept", "RescaleSlope", "RescaleType", "PresentationLUTShape",
        "LossyImageCompression", "BurnedInAnnotation", "DetectorType", "ImagerPixelSpacing",
        "ImageType", "InstanceNumber",
    ):  # fmt: skip
        assert ds[name].value not in (None, "", []), name
    assert ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.90"
    again = tmp_path / "b" / "I1"
    write_film(process(signal, SPACING), HEADER, again)
    assert again.read_bytes() == (tmp_path / "I1").read_bytes()


def test_refuses_what_cannot_be_written(signal, tmp_path):
    film = process(signal, SPACING)
    for change in ({"spacing": "missing"}, {"look": "presentation_lut"}, {"view": "PA"}):
        with pytest.raises(ValueError, match=r"DX|unknown"):
            write_film(film, replace(HEADER, **change), tmp_path / "I1")
