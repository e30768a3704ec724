"""DICOM segmentations of every kind, written by highdicom, land voxel for voxel."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mask_writers import (
    FRAME,
    centres,
    ellipsoid,
    make_grid,
    reordered,
    rotation,
    save,
    segmentation,
    volume_mm3,
)
from pydicom.pixels.utils import pack_bits
from pydicom.sr.codedict import codes
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from hoimg.dicom.masks import put_on, read_given
from hoimg.errors import InputRefused
from hoimg.geometry import Grid
from hoimg.settings import IntakeSettings

CENTRE = (12.0, -30.0, 640.0)
TILTED = rotation(0.3, -0.2, 0.7)
ONE = ellipsoid(CENTRE, (7, 9, 6))
TWO = ellipsoid((CENTRE[0] + 4, CENTRE[1], CENTRE[2]), (7, 5, 4))


def on(path: Path, grid: Grid, use="mask", frame: str | None = FRAME, **more):
    return put_on(read_given(path, use), grid, use, frame_of_reference_uid=frame, **more)


@pytest.fixture(scope="module")
def grid() -> Grid:
    return make_grid((14, 33, 30), (2.0, 0.9, 1.1), CENTRE, TILTED)  # 990 pixels: not whole bytes


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
@pytest.mark.parametrize("omit", [True, False])
def test_every_kind_lands_voxel_for_voxel(tmp_path, grid, kind, omit):
    mask = ONE(centres(grid))
    path = save(segmentation(grid, [mask], kind=kind, omit_empty_frames=omit), tmp_path / "s.dcm")
    placed = on(path, grid)
    assert placed.mask.array.dtype == np.uint16
    assert np.array_equal(placed.mask.array, mask.astype(np.uint16))
    assert placed.flags == {}
    assert placed.findings == ()


@pytest.mark.parametrize("kind", ["FRACTIONAL", "LABELMAP"])
@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_compressed_frames_are_decoded(tmp_path, kind, syntax):
    exam = make_grid((6, 34, 33), (3.0, 1.0, 1.0), CENTRE, TILTED)
    mask = ONE(centres(exam))
    path = save(segmentation(exam, [mask], kind=kind, transfer_syntax_uid=syntax), tmp_path / "s")
    assert np.array_equal(on(path, exam).mask.array, mask.astype(np.uint16))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    angles=st.tuples(*[st.floats(-3.1, 3.1)] * 3),
    spacing=st.tuples(*[st.floats(0.4, 4.0)] * 3),
    seed=st.integers(0, 9999),
)
def test_any_orientation_spacing_and_frame_order(tmp_path_factory, angles, spacing, seed):
    random = np.random.default_rng(seed)
    there = make_grid((7, 9, 11), spacing, CENTRE, rotation(*angles))
    masks = [random.random(there.size_zyx) < 0.2 for _ in range(2)]
    masks[1] &= ~masks[0]
    masks[0][3], masks[1][5] = False, False  # frames that are left out
    seg = segmentation(there, masks)
    seg = reordered(seg, random.permutation(seg.NumberOfFrames))
    path = save(seg, tmp_path_factory.mktemp("seg") / "s.dcm")
    placed = on(path, there)
    assert np.array_equal(placed.mask.array, masks[0] + 2 * masks[1].astype(np.uint16))
    assert not placed.flags


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (0, 2, 1)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (1, -1, -1)])
def test_frames_along_another_axis_of_the_exam_are_the_same_voxels(tmp_path, axes, signs):
    """A segmentation made on a sagittal or flipped copy of the same voxels."""
    exam = make_grid((8, 10, 12), (1.5, 1.5, 1.5), CENTRE, TILTED)
    turn = np.zeros((3, 3))
    for column, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        turn[axis, column] = sign
    if np.linalg.det(turn) < 0:
        turn[:, 2] *= -1  # DICOM's normal follows from rows and columns
    size_xyz = np.abs(turn).T @ np.array(exam.size_zyx[::-1])
    there = make_grid([int(n) for n in size_xyz[::-1]], (1.5, 1.5, 1.5), CENTRE, TILTED @ turn)
    mask = np.random.default_rng(1).random(there.size_zyx) < 0.3
    placed = on(save(segmentation(there, [mask]), tmp_path / "s.dcm"), exam)
    index = np.rint(exam.to_index_zyx(centres(there)[mask])).astype(int)
    expected = np.zeros(exam.size_zyx, np.uint16)
    expected[tuple(index.T)] = 1
    assert expected.sum() == mask.sum()
    assert np.array_equal(placed.mask.array, expected)
    assert not placed.flags


@pytest.mark.parametrize(("value", "inside"), [(127, False), (128, True)])
def test_a_fractional_pixel_is_inside_from_the_threshold_on(tmp_path, grid, value, inside):
    mask = np.zeros(grid.size_zyx, np.float32)
    mask[4, 5, 6] = 1.0
    mask[4, 5, 7] = value / 255  # half of 255 is 127.5
    path = save(segmentation(grid, [mask], kind="FRACTIONAL"), tmp_path / "s.dcm")
    placed = on(path, grid)
    assert bool(placed.mask.array[4, 5, 7]) is inside
    assert placed.mask.array.sum() == 1 + inside


@pytest.mark.parametrize(("most", "value", "inside"), [(254, 127, True), (254, 126, False)])
def test_exactly_the_threshold_is_inside(tmp_path, grid, most, value, inside):
    mask = np.zeros(grid.size_zyx, np.float32)
    mask[4, 5, 6], mask[4, 5, 7] = 1.0, 0.5
    seg = segmentation(
        grid, [mask], kind="FRACTIONAL", max_fractional_value=most, fractional_type="OCCUPANCY"
    )
    pixels = seg.pixel_array.reshape(-1, *grid.size_zyx[1:])
    pixels = np.where((pixels > 0) & (pixels < most), value, pixels).astype(np.uint8)
    seg.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
    path = save(seg, tmp_path / "s.dcm")
    assert on(path, grid).mask.array.sum() == 1 + inside


def test_the_fractional_threshold_is_a_setting(tmp_path, grid):
    mask = np.where(ONE(centres(grid)), 0.4, 0.0).astype(np.float32)
    path = save(segmentation(grid, [mask], kind="FRACTIONAL"), tmp_path / "s.dcm")
    low = read_given(path, "mask", IntakeSettings(mask_fraction_min=0.39))
    placed = put_on(low, grid, "mask", frame_of_reference_uid=FRAME)
    assert np.array_equal(placed.mask.array > 0, mask > 0)
    with pytest.raises(InputRefused, match="empty") as caught:
        on(path, grid)
    assert caught.value.code == "mask_empty"


def test_overlapping_lesions_are_refused_by_name_and_joined_as_a_region(tmp_path, grid):
    masks = [ONE(centres(grid)), TWO(centres(grid))]
    seg = segmentation(grid, masks, labels=["left thigh", "right thigh"])
    path = save(seg, tmp_path / "s.dcm")
    with pytest.raises(InputRefused, match=r"1 \(left thigh\) and 2 \(right thigh\)") as caught:
        on(path, grid)
    assert caught.value.code == "mask_overlaps"
    shared = (masks[0] & masks[1]).sum() * 2.0 * 0.9 * 1.1
    assert f"{shared:.0f} mm3" in str(caught.value)
    assert np.array_equal(on(path, grid, "roi").mask.array, masks[0] | masks[1])


@pytest.mark.parametrize(("shared", "refused"), [(1, False), (2, True)])
def test_a_trace_of_overlap_stays_with_the_lower_number(tmp_path, grid, shared, refused):
    """1 % of the smaller lesion (100 voxels)."""
    first, second = (np.zeros(grid.size_zyx, bool) for _ in range(2))
    first[2:6, 3:13, 3:13] = True
    second[6, 3:13, 3:13] = True
    second[6, 3, 3 : 3 + shared] = False
    second[5, 3, 3 : 3 + shared] = True
    assert second.sum() == 100
    path = save(segmentation(grid, [first, second]), tmp_path / "s.dcm")
    if refused:
        with pytest.raises(InputRefused, match="overlap"):
            on(path, grid)
        return
    placed = on(path, grid)
    assert [f.code for f in placed.findings] == ["mask_overlap_small"]
    assert (placed.mask.array == 1).sum() == 400
    assert (placed.mask.array == 2).sum() == 99


def test_segment_numbers_and_tracking_uids_are_kept(tmp_path, grid):
    masks = [ONE(centres(grid)), np.zeros(grid.size_zyx, bool)]
    masks[1][0, 0, 0] = True
    seg = segmentation(grid, masks)
    uid = "1.2.826.0.1.3680043.8.498.77"
    seg.SegmentSequence[1].TrackingUID, seg.SegmentSequence[0].TrackingUID = uid, "no uid"
    placed = on(save(seg, tmp_path / "s.dcm"), grid)
    assert np.unique(placed.mask.array).tolist() == [0, 1, 2]
    assert placed.tracking_uids == {2: uid}


def test_only_the_bones_of_many_structures_make_a_skeleton(tmp_path, grid):
    masks = [np.zeros(grid.size_zyx, bool) for _ in range(4)]
    for number, mask in enumerate(masks):
        mask[:, 3 * number : 3 * number + 2] = True
    types = [codes.SCT.Bone, codes.SCT.Tissue, codes.SCT.Muscle, codes.SCT.Femur]
    names = ["a", "femur_left", "femur muscle", "b"]
    path = save(segmentation(grid, masks, types=types, labels=names), tmp_path / "s.dcm")
    placed = on(path, grid, "skeleton")
    assert placed.mask.array.dtype == bool
    assert np.array_equal(placed.mask.array, masks[0] | masks[1] | masks[3])
    assert [f.code for f in placed.findings] == ["skeleton_chosen"]
    assert placed.findings[0].message.startswith("3 of 4 ")


def test_without_a_bone_among_them_all_structures_count_with_a_warning(tmp_path, grid):
    masks = [np.ones(grid.size_zyx, bool)]
    placed = on(save(segmentation(grid, masks), tmp_path / "s.dcm"), grid, "skeleton")
    assert placed.mask.array.all()
    assert [(f.code, f.level) for f in placed.findings] == [("skeleton_not_named", "warning")]


@pytest.mark.parametrize(("planes", "refused"), [(9, False), (8, True)])
def test_a_stored_skeleton_must_lie_in_nearly_every_slice(tmp_path, planes, refused):
    exam = make_grid((10, 8, 8), (2.0, 1.0, 1.0), CENTRE)
    mask = np.zeros(exam.size_zyx, bool)
    mask[:planes, 2:5, 2:5] = True
    path = save(segmentation(exam, [mask], types=[codes.SCT.Bone]), tmp_path / "s.dcm")
    if refused:
        with pytest.raises(InputRefused, match=r"80\.0 % of the exam's slices") as caught:
            on(path, exam, "skeleton")
        assert caught.value.code == "mask_does_not_cover"
    else:
        assert on(path, exam, "skeleton").mask.array.sum() == mask.sum()


def test_another_frame_of_reference_is_refused_although_the_grid_is_the_same(tmp_path, grid):
    path = save(segmentation(grid, [ONE(centres(grid))]), tmp_path / "s.dcm")
    with pytest.raises(InputRefused, match="another frame of reference") as caught:
        on(path, grid, frame="1.2.3")
    assert caught.value.code == "mask_other_frame"
    placed = on(path, grid, frame=None)
    assert [f.code for f in placed.findings] == ["mask_frame_unknown"]


def test_a_single_frame_takes_the_thickness_of_its_slice(tmp_path, grid):
    mask = np.zeros(grid.size_zyx, bool)
    mask[6, 5:9, 5:9] = True
    placed = on(save(segmentation(grid, [mask]), tmp_path / "s.dcm"), grid)
    assert np.array_equal(placed.mask.array > 0, mask)


@pytest.mark.parametrize("planes", [(6,), (3, 9), (2, 3, 9)])
def test_frames_without_a_stated_spacing_are_the_exams_own_slices(tmp_path, planes):
    """Thickness 5 over a spacing of 2, as overlapping reconstructions have."""
    exam = make_grid((14, 12, 12), (2.0, 1.0, 1.0), CENTRE, TILTED)
    mask = np.zeros(exam.size_zyx, bool)
    mask[list(planes), 4:8, 4:8] = True
    seg = segmentation(exam, [mask])
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.SliceThickness = "5"
    if "SpacingBetweenSlices" in measures:
        del measures.SpacingBetweenSlices
    placed = on(save(seg, tmp_path / "s.dcm"), exam)
    assert np.array_equal(placed.mask.array > 0, mask)
    assert not placed.flags


def test_frames_of_a_tilted_scan_are_put_where_each_of_them_is(tmp_path):
    """Every plane is shifted within itself; the exam is the upright grid."""
    tilt = np.tan(np.radians(15.0))
    exam = make_grid((40, 60, 50), (1.0, 1.0, 1.0), CENTRE)
    seg = segmentation(exam, [np.ones(exam.size_zyx, bool)])
    shape = ellipsoid(CENTRE, (14, 11, 12))
    frames = []
    for k, frame in enumerate(seg.PerFrameFunctionalGroupsSequence):
        position = frame.PlanePositionSequence[0]
        shift = (k - 19.5) * tilt
        place = np.add([float(v) for v in position.ImagePositionPatient], (0, shift, 0))
        position.ImagePositionPatient = [f"{v:.6f}" for v in place]
        there = centres(exam)[k] + (0, shift, 0)
        frames.append(shape(there))
    seg.PixelData = pack_bits(np.stack(frames).astype(np.uint8), pad=True)
    placed = on(save(seg, tmp_path / "s.dcm"), exam)
    truth = shape(centres(exam))
    assert placed.mask.array.sum() == pytest.approx(volume_mm3((14, 11, 12)), rel=0.005)
    # in the plane a voxel is at most half a voxel beside its own
    assert (placed.mask.array.astype(bool) ^ truth).sum() < 0.05 * truth.sum()
    assert placed.flags == {1: ("outline_resampled",)}


def test_a_segmentation_of_a_thinner_series_of_the_scan_keeps_its_volume(tmp_path):
    thin = make_grid((60, 40, 40), (0.6, 0.7, 0.7), CENTRE, TILTED)
    exam = make_grid((16, 30, 30), (3.0, 1.1, 1.1), CENTRE, TILTED)
    path = save(segmentation(thin, [ONE(centres(thin))]), tmp_path / "s.dcm")
    placed = on(path, exam)
    volume = placed.mask.array.sum() * 3.0 * 1.1 * 1.1
    assert volume == pytest.approx(volume_mm3((7, 9, 6)), rel=0.03)
    assert placed.flags == {1: ("outline_resampled",)}
    assert [f.code for f in placed.findings] == ["mask_resampled"]


def test_a_sheet_thinner_than_the_exams_slices_does_not_vanish(tmp_path):
    thin = make_grid((60, 30, 30), (0.5, 1.0, 1.0), CENTRE)
    exam = make_grid((10, 30, 30), (3.0, 1.0, 1.0), CENTRE)
    sheet = np.zeros(thin.size_zyx, bool)
    sheet[31, 5:25, 5:25] = True  # 0.5 of 3 mm
    placed = on(save(segmentation(thin, [sheet]), tmp_path / "s.dcm"), exam)
    index = np.argwhere(placed.mask.array)
    assert set(index[:, 0]) == {5}  # 31 lies in planes 30 to 35
    assert (index[:, 1:].min(), index[:, 1:].max()) == (5, 24)
    assert [f.code for f in placed.findings] == ["mask_volume_changed"]
    assert "+500 %" in placed.findings[0].message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: setattr(s, "Rows", 0), "size"),
        (lambda s: setattr(s, "ConcatenationUID", "1.2"), "several files"),
        (lambda s: s.PerFrameFunctionalGroupsSequence.pop(), "describes"),
        (lambda s: s.SegmentSequence.pop(), "number"),
        (lambda s: setattr(s.SegmentSequence[0], "SegmentNumber", 5), "does not list"),
        (lambda s: setattr(s, "SegmentationType", "OTHER"), "neither"),
        (lambda s: setattr(s, "PixelData", s.PixelData[:100]), "ends before"),
        (lambda s: setattr(s, "BitsAllocated", 32), "32 bits"),
        (
            lambda s: setattr(
                s.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0],
                "ImageOrientationPatient",
                [1, 0, 0, 1, 0, 0],
            ),
            "makes no sense",
        ),
        (
            lambda s: setattr(
                s.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0],
                "ImagePositionPatient",
                s.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0].ImagePositionPatient,
            ),
            None,
        ),
        (
            lambda s: s.SharedFunctionalGroupsSequence[0].__delattr__(
                "SegmentIdentificationSequence"
            ),
            "names no segment",
        ),
    ],
    ids=[
        "size", "concatenation", "groups", "no-segments", "unlisted", "type", "cut", "bits",
        "orientation", "doubled-plane", "no-segment",
    ],
)  # fmt: skip
def test_an_object_that_contradicts_itself_is_refused(tmp_path, grid, change, said):
    mask = ONE(centres(grid))
    seg = segmentation(grid, [mask])
    change(seg)
    path = save(seg, tmp_path / "s.dcm")
    if said is None:  # two frames of one plane: both count
        assert on(path, grid).mask.array.any()
        return
    with pytest.raises(InputRefused, match=r"s\.dcm.*" + said) as caught:
        on(path, grid)
    assert caught.value.code == "mask_unreadable"


def test_a_deflated_object_is_read_and_a_bomb_is_not(tmp_path, grid, monkeypatch):
    mask = ONE(centres(grid))
    seg = segmentation(grid, [mask])
    seg.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = save(seg, tmp_path / "s.dcm")
    assert np.array_equal(on(path, grid).mask.array > 0, mask)
    monkeypatch.setattr("hoimg.dicom.inflate.MAX_INFLATED", 1000)
    with pytest.raises(InputRefused, match="cannot be read") as caught:
        on(path, grid)
    assert caught.value.code == "mask_unreadable"
    with pytest.raises(InputRefused, match="holds no mask"):
        read_given(tmp_path, "mask")


def test_a_fractional_object_must_state_its_largest_value(tmp_path, grid):
    seg = segmentation(grid, [ONE(centres(grid)).astype(np.float32)], kind="FRACTIONAL")
    del seg.MaximumFractionalValue
    with pytest.raises(InputRefused, match="largest fractional value"):
        on(save(seg, tmp_path / "s.dcm"), grid)


def test_frames_in_several_orientations_are_refused(tmp_path, grid):
    seg = segmentation(grid, [ONE(centres(grid))])
    shared = seg.SharedFunctionalGroupsSequence[0]
    for frame in seg.PerFrameFunctionalGroupsSequence:
        frame.PlaneOrientationSequence = shared.PlaneOrientationSequence
    turned = copy.deepcopy(shared.PlaneOrientationSequence)
    turned[0].ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    seg.PerFrameFunctionalGroupsSequence[2].PlaneOrientationSequence = turned
    with pytest.raises(InputRefused, match="several orientations"):
        on(save(seg, tmp_path / "s.dcm"), grid)


def test_frames_of_one_plane_at_two_places_are_refused(tmp_path, grid):
    seg = segmentation(grid, [ONE(centres(grid)), TWO(centres(grid))])
    groups = seg.PerFrameFunctionalGroupsSequence
    places = {}
    for group in groups:
        group.PlanePositionSequence = copy.deepcopy(group.PlanePositionSequence)
        position = group.PlanePositionSequence[0]
        key = tuple(position.ImagePositionPatient)
        if key in places:
            row = np.array(grid.direction)[:, 0]
            position.ImagePositionPatient = [f"{v:.6f}" for v in np.array(key) + 3 * row]
            break
        places[key] = group
    with pytest.raises(InputRefused, match="two places"):
        on(save(seg, tmp_path / "s.dcm"), grid)


def test_a_value_that_is_no_number_is_refused(tmp_path, grid):
    seg = segmentation(grid, [ONE(centres(grid))])
    path = save(seg, tmp_path / "s.dcm")
    data = path.read_bytes()
    text = f"{grid.spacing_zyx_mm[1]:.8g}".encode()
    assert text in data
    path.write_bytes(data.replace(text, b"x" * len(text)))
    with pytest.raises(InputRefused) as caught:
        on(path, grid)
    assert caught.value.code == "mask_unreadable"
