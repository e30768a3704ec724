"""Enhanced multi-frame CT: frames in any order, places in functional groups."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import EnhancedCTImageStorage
from synthetic_ct import AXIAL, noise, stack, write_slice

from hoimg.dicom import load_volume, read_patient
from hoimg.errors import InputRefused

SAGITTAL = (0, 1, 0, 0, 0, -1)


def item(**values: object) -> list[Dataset]:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return [ds]


def write_enhanced(
    path: Path,
    order: Sequence[int],
    cosines: Sequence[float] = AXIAL,
    without: str = "",
    slope: float = 1,
    **tags: object,
) -> np.ndarray:
    """One file whose frame i shows slice ``order[i]``; returns the stored values by slice."""
    stored = noise(8)
    gone = ("PixelSpacing", "RescaleSlope", "RescaleIntercept", "KVP", "SliceThickness")
    write_slice(
        path,
        stored[0],
        None,
        cosines=None,
        drop=(*gone, "ConvolutionKernel", "RescaleType"),
        SOPClassUID=EnhancedCTImageStorage,
        NumberOfFrames=len(order),
        **tags,
    )
    ds = dcmread(path)
    groups = {
        "PixelMeasuresSequence": item(PixelSpacing=[0.7, 0.9], SliceThickness=1.25),
        "PlaneOrientationSequence": item(ImageOrientationPatient=list(cosines)),
        "CTXRayDetailsSequence": item(KVP=100),
        "CTReconstructionSequence": item(ConvolutionKernel="STANDARD"),
    }
    ds.SharedFunctionalGroupsSequence = item(**{k: v for k, v in groups.items() if k != without})
    places = stack(8, 1.0, cosines)
    frames = []
    for k in order:
        frame = Dataset()
        frame.PlanePositionSequence = item(ImagePositionPatient=[float(v) for v in places[k]])
        if without != "PixelValueTransformationSequence":
            frame.PixelValueTransformationSequence = item(
                RescaleSlope=slope, RescaleIntercept=-1000 - k, RescaleType="HU"
            )
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = frames
    ds.PixelData = stored[list(order)].astype(np.uint16).tobytes()
    ds.save_as(path)
    return stored


@pytest.mark.parametrize("cosines", [AXIAL, SAGITTAL])
def test_frames_are_put_in_their_place(tmp_path: Path, cosines: tuple[float, ...]) -> None:
    stored = write_enhanced(tmp_path / "ct", [3, 0, 7, 5, 1, 2, 6, 4], cosines)
    exam = read_patient(tmp_path).exams[0]
    made = exam.acquisition
    assert (made.kvp, made.kernel, made.slice_thickness_mm) == (100.0, "STANDARD", 1.25)
    assert exam.series.files == (tmp_path / "ct",)
    volume = load_volume(exam)
    assert volume.hu.dtype == np.int16
    np.testing.assert_array_equal(volume.hu, stored - 1000 - np.arange(8)[:, None, None])
    expected = stack(8, 1.0, cosines)[5] + 2 * 0.9 * np.array(cosines[:3])
    assert volume.grid.to_lps_mm((5, 0, 2)) == pytest.approx(expected)
    assert volume.grid.spacing_zyx_mm == pytest.approx((1.0, 0.7, 0.9))


def test_fractional_slope(tmp_path: Path) -> None:
    stored = write_enhanced(tmp_path / "ct", range(8), slope=0.5)
    volume = load_volume(read_patient(tmp_path).exams[0])
    np.testing.assert_array_equal(volume.hu, stored * 0.5 - 1000 - np.arange(8)[:, None, None])


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ([0, 1, 2, 4, 5, 6, 7], "missing_slices"),
        ([0, 1, 2, 2, 3, 4, 5], "duplicate_slices"),
        ([0, 1, 2], "too_few_slices"),
    ],
)
def test_geometry_is_checked_as_for_single_slices(
    tmp_path: Path, order: list[int], code: str
) -> None:
    write_enhanced(tmp_path / "ct", order)
    with pytest.raises(InputRefused) as caught:
        read_patient(tmp_path)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("without", "code"),
    [
        ("PixelMeasuresSequence", "no_pixel_spacing"),
        ("PlaneOrientationSequence", "no_position"),
        ("PixelValueTransformationSequence", "no_rescale"),
    ],
)
def test_missing_groups_are_refused_by_name(tmp_path: Path, without: str, code: str) -> None:
    write_enhanced(tmp_path / "ct", range(8), without=without)
    with pytest.raises(InputRefused) as caught:
        read_patient(tmp_path)
    assert caught.value.code == code


def test_a_volume_spread_over_several_files_is_one(tmp_path: Path) -> None:
    stored = write_enhanced(tmp_path / "a", [5, 3, 0, 7], SOPInstanceUID="1.2.3.1")
    write_enhanced(tmp_path / "b", [1, 6, 4, 2], SOPInstanceUID="1.2.3.2")
    exam = read_patient(tmp_path).exams[0]
    assert set(exam.series.files) == {tmp_path / "a", tmp_path / "b"}
    volume = load_volume(exam)
    np.testing.assert_array_equal(volume.hu, stored - 1000 - np.arange(8)[:, None, None])


def test_a_cut_off_file_is_named(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "ct", range(8))
    exam = read_patient(tmp_path).exams[0]
    content = (tmp_path / "ct").read_bytes()
    (tmp_path / "ct").write_bytes(content[:-100])
    with pytest.raises(InputRefused, match=r"ct.*copy or export it again") as caught:
        read_patient(tmp_path)
    assert caught.value.code == "truncated_files"
    with pytest.raises(InputRefused, match=r"ct: .*copy it again"):
        load_volume(exam)
    write_enhanced(tmp_path / "ct", range(6))
    with pytest.raises(InputRefused, match=r"ct: .*copy it again"):
        load_volume(exam)
