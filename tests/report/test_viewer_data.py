"""What the viewer is given: places, grey values and marks, made again here by other means."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial.transform import Rotation
from synthetic_report import CENTRES_LPS, RADII, exam_ids, patient, turned

from hoimg.anatomy import Anatomy
from hoimg.geometry import Grid
from hoimg.image import CTVolume, Mask
from hoimg.report import excluded_view, hu_codes, viewer_view
from hoimg.report.page import context, page_html
from hoimg.report.pictures import find_lesions
from hoimg.report.scene_3d import LEVELS, scene_3d
from hoimg.report.scripted import json_in_page, policy, script
from hoimg.report.tiles import columns_for, tiled_png
from hoimg.report.view_box import EXCLUDED_BIT, SKELETON_BIT, ViewBox, box_about, sample
from hoimg.report.viewer_data import viewer_data
from hoimg.results import ExamImages, Link, Links


def untiled(text: str, size: tuple[int, int, int]) -> np.ndarray:
    """What a browser makes of a tiled PNG, as its description says."""
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))
    z, y, x = size
    columns = columns_for(size)
    return np.stack(
        [
            sheet[(k // columns) * y : (k // columns + 1) * y, (k % columns) * x :][:, :x]
            for k in range(z)
        ]
    )


def test_every_hu_is_kept_to_half_its_step():
    hu = np.arange(-2000, 4000, 0.5)
    codes = hu_codes.encode(hu)
    assert codes.min() == 1
    assert codes.max() == 255
    assert (np.diff(codes.astype(int)) >= 0).all()
    back = np.array(hu_codes.decode_table())[codes]
    for low, high, half in ((-150, 354, 3), (354, 1398, 6), (1398, 3054, 12), (-1050, -150, 30)):
        inside = (hu >= low) & (hu < high)
        assert np.abs(back - hu)[inside].max() <= half
    assert (np.abs(back - hu)[(hu >= -150) & (hu < 354)] == 3).any()
    assert hu_codes.encode(np.array([np.nan]))[0] == 0
    assert hu_codes.steps_text() == (
        "60 HU −1050 to −151 HU, 6 HU −150 to 353 HU, 12 HU 354 to 1397 HU, 24 HU from 1398 HU"
    )


@given(st.tuples(*[st.integers(1, 9)] * 3), st.integers(0, 2**16))
def test_tiles_give_the_bytes_back(size, seed):
    codes = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    assert (untiled(tiled_png(codes), size) == codes).all()


def boxes_of(images: dict[str, ExamImages]) -> dict:
    return {exam_id: find_lesions(exam) for exam_id, exam in images.items()}


def ramp_exam(grid: Grid, slope: np.ndarray, level: float) -> ExamImages:
    index = np.stack(np.meshgrid(*map(np.arange, grid.size_zyx), indexing="ij"), -1)
    points = grid.to_lps_mm(index.reshape(-1, 3))
    hu = (points @ slope + level).reshape(grid.size_zyx).astype(np.float32)
    labels = np.zeros(grid.size_zyx, np.uint16)
    labels[2:5, 3:7, 4:9] = 3
    excluded = np.zeros_like(labels)
    excluded[6:8, 3:7, 4:9] = 1
    bone = np.zeros(grid.size_zyx, bool)
    bone[2:8, 9:11, 4:9] = True
    none = Mask(np.zeros_like(bone), grid)
    anatomy = Anatomy(none, Mask(bone, grid), none)
    return ExamImages(
        "a", CTVolume(hu, grid), Mask(labels, grid), Mask(excluded, grid), anatomy=anatomy
    )


@settings(deadline=None, max_examples=25)
@given(
    st.tuples(*[st.floats(-0.5, 0.5)] * 3),
    st.tuples(*[st.floats(-20, 20)] * 3),
    st.floats(0.5, 5.0),
    st.integers(0, 90),
)
def test_a_box_shows_each_place_of_the_exam_where_the_motion_says(turn, shift, step, angle):
    """A ramp of HU in patient space is its own truth; linear sampling and averaging keep it."""
    direction = turned(angle)
    grid = Grid((12, 14, 16), (2.0, 1.3, 1.1), (5.0, -3.0, 40.0), direction)
    slope, level = np.array([1.3, -2.1, 1.7]), 100.0
    exam = ramp_exam(grid, slope, level)
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_rotvec(turn).as_matrix()
    motion[:3, 3] = shift
    middle = np.linalg.inv(motion) @ [*grid.to_lps_mm([5.5, 6.5, 7.5]), 1.0]
    size = (7, 6, 5)
    origin = middle[:3] - step * (np.array(size[::-1]) - 1) / 2
    view = ViewBox(tuple(origin), step, size)
    made = sample(exam, view, motion, {3: 1})
    assert made is not None
    codes, marks = made
    k, j, i = np.meshgrid(*map(np.arange, size), indexing="ij")
    points = origin + step * np.stack([i, j, k], -1)
    there = points @ motion[:3, :3].T + motion[:3, 3]
    wanted = there @ slope + level
    shown = codes > 0
    back = np.array(hu_codes.decode_table())[codes]
    assert np.abs(back - wanted)[shown].max(initial=0) <= 3.01
    index = grid.to_index_zyx(there.reshape(-1, 3)).reshape(*size, 3)
    edge = np.maximum(step / np.array(grid.spacing_zyx_mm), 1.0)
    deep = ((index > edge) & (index < np.array(grid.size_zyx) - 1 - edge)).all(-1)
    assert shown[deep].all()
    outside = ((index < -1) | (index > np.array(grid.size_zyx))).any(-1)
    assert not shown[outside].any()
    near = np.rint(index).astype(int)
    clear = (np.abs(index - near) < 0.49).all(-1) & deep  # not between two voxels
    z, y, x = near[clear].T
    truth = (exam.lesions.array[z, y, x] == 3) * 1
    truth |= (exam.excluded.array[z, y, x] > 0) * EXCLUDED_BIT
    truth |= exam.anatomy.skeleton.array[z, y, x] * SKELETON_BIT
    assert (marks[clear] == truth).all()


def test_a_place_outside_of_an_exam_is_not_shown():
    exam = ramp_exam(Grid((12, 14, 16), (2.0, 1.3, 1.1)), np.ones(3), 0.0)
    assert sample(exam, ViewBox((500.0, 0.0, 0.0), 1.0, (4, 4, 4)), np.eye(4), {3: 1}) is None


def test_the_box_holds_the_lesion_and_its_surroundings_within_its_voxels():
    corners = np.array([[-10.0, 5.0, 30.0], [50.0, 15.0, 40.0]])
    box = box_about(corners, 100_000, 0.7)
    low = np.array(box.origin_lps_mm) - box.step_mm / 2
    high = low + box.step_mm * np.array(box.size_zyx[::-1])
    assert (low <= corners.min(0) - 21.9).all()
    assert (high >= corners.max(0) + 21.9).all()
    assert np.prod(box.size_zyx) < 115_000
    assert box.step_mm * 20 == pytest.approx(round(box.step_mm * 20))
    grid = Grid((9, 9, 9), (3.0, 0.78125, 0.78125), (1.0, 2.0, 3.0), turned(40))
    fine = box_about(corners, 1e9, 0.78125, grid)
    assert fine.step_mm == 0.78125
    index = grid.to_index_zyx(fine.origin_lps_mm)
    assert index == pytest.approx(np.rint(index), abs=1e-3)
    assert box_about(corners, 1e9, 0.7).step_mm == pytest.approx(0.7)


def links_of_identity(result, reference: int) -> dict[str, Links]:
    ids = exam_ids()
    to = {e: Link(np.eye(4), "registration") for e in ids if e != ids[reference]}
    return {le.tracking_uid: Links(ids[reference], to) for le in result.report.lesions}


def test_each_exam_shows_the_lesion_at_one_place_on_whatever_grid_it_was_scanned():
    """Four grids, one oblique, one feet first; the spheres' centres are the same in all."""
    result = patient()
    found = viewer_data(
        result.report,
        result.images,
        links_of_identity(result, 3),
        boxes_of(result.images),
        5_000_000,
    )
    assert found.left_out == []
    for number, lesion in enumerate(found.content["lesions"], start=1):
        for exam, shown in enumerate(lesion["exams"]):
            if RADII[number][exam] is None:
                assert shown["status"] == "not seen"
                continue
            marks = untiled(shown["planes"][1], lesion["size"])
            own = shown["numbers"].index(number - 1) + 1
            voxels = np.argwhere((marks & 63) == own)[:, ::-1]
            middle = np.array(lesion["origin"]) + lesion["step"] * voxels.mean(axis=0)
            # The reference has the box's own voxels; others are off by half a voxel at most.
            off = np.abs(middle - CENTRES_LPS[number]).max()
            assert off < (0.5 if exam == 3 else 0.8)
            volume = len(voxels) * lesion["step"] ** 3
            ball = 4 / 3 * np.pi * RADII[number][exam] ** 3
            assert volume == pytest.approx(ball, rel=0.12)


def test_the_budget_is_kept_and_the_urgent_come_first():
    result = patient()
    report = result.report.model_copy(deep=True)
    report.lesions = [
        report.lesions[k % 3].model_copy(update={"lesion_id": f"L{k}", "tracking_uid": f"2.25.{k}"})
        for k in range(9)
    ]
    whole = viewer_data(report, result.images, {}, boxes_of(result.images), 50_000_000)
    assert len(whole.shown) == 9
    one = len(whole.content["lesions"][1]["exams"][3]["planes"][0])
    some = viewer_data(report, result.images, {}, boxes_of(result.images), int(4.5 * one))
    # Immature ones are L1, L4, L7; then indeterminate ones; all in the report's order.
    assert set(some.shown) >= {"L1", "L4", "L7"}
    assert not {"L0", "L3", "L6"} & set(some.shown)
    assert set(some.shown) | set(some.left_out) == {f"L{k}" for k in range(9)}
    spent = sum(len(p) for le in some.content["lesions"] for e in le["exams"] for p in e["planes"])
    assert spent <= 4.5 * one
    none = viewer_data(report, result.images, {}, boxes_of(result.images), 100)
    assert none.content == {}
    assert len(none.left_out) == 9


def test_noisy_scans_are_shown_coarser_rather_than_not_at_all(monkeypatch):
    """Noise of 300 HU fills every code, as a sharp kernel in a large patient nearly does."""
    monkeypatch.setattr("hoimg.report.viewer_data.LEAST_VOXELS", 1000)
    quiet = patient()
    rng = np.random.default_rng(1)
    noisy = {
        exam_id: ExamImages(
            exam_id,
            CTVolume(
                (exam.volume.hu + rng.normal(0, 300, exam.volume.hu.shape)).astype(np.int16),
                exam.volume.grid,
            ),
            exam.lesions,
            exam.excluded,
        )
        for exam_id, exam in quiet.images.items()
    }
    report, boxes = quiet.report, boxes_of(quiet.images)
    links = links_of_identity(quiet, 3)
    calm = viewer_data(report, quiet.images, links, boxes, 50_000_000)
    budget = sum(len(p) for le in calm.content["lesions"] for e in le["exams"] for p in e["planes"])
    assert viewer_data(report, quiet.images, links, boxes, budget).left_out == []
    rough = viewer_data(report, noisy, links, boxes, budget)
    assert rough.left_out == []
    assert rough.step_mm[1] > calm.step_mm[1]


def test_the_page_names_what_found_no_room(monkeypatch):
    monkeypatch.setattr(viewer_view, "VIEWER_BUDGET", 200)
    result = patient()
    text = page_html(result.report, result.images)
    assert "Not in the viewer" in text
    assert "L2, L3 and L1" in text
    assert 'id="viewer-data"' not in text


def test_without_pixels_there_is_no_viewer_and_no_script():
    result = patient()
    text = page_html(result.report, {})
    assert "<script" not in text
    assert "script-src" not in text
    assert 'id="viewer"' not in text
    assert "script-src" not in policy(False)


def test_the_same_input_gives_the_same_page():
    one, two = patient(), patient()
    links = links_of_identity(one, 3)
    assert page_html(one.report, one.images, links=links) == page_html(
        two.report, two.images, links=links_of_identity(two, 3)
    )


def test_small_pictures_of_what_was_left_out_keep_their_budget(monkeypatch):
    result = patient()
    groups, spent = excluded_view.excluded_view(result.report, result.images)
    arteries = next(g for g in groups if g["reason"] == "Vascular calcification")
    assert [t["day"] for t in arteries["thumbs"]] == [290, 190, 90, 0]
    assert all(t["picture"].outline for t in arteries["thumbs"])
    assert 0 < spent < 60_000
    monkeypatch.setattr(excluded_view, "THUMB_BUDGET", 0)
    groups, spent = excluded_view.excluded_view(result.report, result.images)
    assert spent == 0
    assert context(result.report, {})["excluded"][0]["thumbs"] == []


def test_the_model_holds_the_volume_and_place_of_a_box_on_an_oblique_grid():
    grid = Grid((30, 40, 50), (2.0, 1.0, 1.0), (10.0, -20.0, 5.0), turned(30))
    result = patient((1,))
    labels = np.zeros(grid.size_zyx, np.uint16)
    labels[10:18, 12:30, 20:44] = 1
    bone = np.zeros(grid.size_zyx, bool)
    bone[0:30, 5:9, 3:48] = True  # cut by the scan's ends
    none = Mask(np.zeros_like(bone), grid)
    last = exam_ids()[3]
    exam = ExamImages(
        last,
        CTVolume(np.zeros(grid.size_zyx, np.int16), grid),
        Mask(labels, grid),
        Mask(labels * 0, grid),
        anatomy=Anatomy(none, Mask(bone, grid), none),
    )
    scene = scene_3d(result.report, {last: exam}, boxes_of({last: exam}), 500_000)
    assert scene is not None
    assert [p["kind"] for p in scene["parts"]] == ["bone", "lesion"]
    for part, mask in zip(scene["parts"], (bone, labels == 1), strict=True):
        full = untiled(part["cells"], part["size"]) / LEVELS
        axes = np.array(part["axes"])
        assert full.sum() * abs(np.linalg.det(axes)) == pytest.approx(mask.sum() * 2.0, rel=0.02)
        k, j, i = np.meshgrid(*map(np.arange, part["size"]), indexing="ij")
        mean = np.array([(full * n).sum() / full.sum() for n in (i, j, k)])
        centre = axes @ mean + part["origin"]
        assert np.linalg.norm(centre - grid.to_lps_mm(np.argwhere(mask).mean(axis=0))) < 0.3
        assert full[0].max() == full[-1].max() == full[:, 0].max() == full[:, :, -1].max() == 0
    few = scene_3d(
        result.report, {last: exam}, boxes_of({last: exam}), len(scene["parts"][0]["cells"]) + 10
    )
    assert few is not None
    assert few["missing"] == 1


def test_json_in_a_page_begins_no_tag():
    hostile = {"</script><!--": ["\u2028<b>&amp;", "]]>", 'a"b\\']}
    text = json_in_page(hostile)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == hostile
    assert "</" not in script()
    assert "<!--" not in script()
