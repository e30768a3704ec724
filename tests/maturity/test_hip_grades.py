"""Grades of a hip, against the published definitions written out by hand."""

from __future__ import annotations

import pytest

from hoimg.maturity import grade_hip
from hoimg.results import Hip, Observation
from hoimg.settings import MaturitySettings


def seen(**diameters):
    return {
        int(name[1:]): Observation(exam_id="e", status="measured", max_diameter_mm=value)
        for name, value in diameters.items()
    }


@pytest.mark.parametrize(
    ("gap", "brooker", "della_valle"),
    [
        (0.0, "IV (apparent)", "C"),
        (0.4, "III", "C"),
        (2.0, "III", "C"),
        (7.99, "III", "C"),
        (8.0, "borderline II/III", "borderline B/C"),
        (10.0, "borderline II/III", "borderline B/C"),
        (12.0, "borderline II/III", "borderline B/C"),
        (12.01, "II", "B"),
        (25.0, "II", "B"),
    ],
)
def test_the_gap_decides_where_ossification_is_joined_to_bone(gap, brooker, della_valle):
    hip = Hip(side="left", labels=[1, 2], joined_to_pelvis=[1], gap_mm=gap)
    graded = grade_hip(hip, {})
    assert graded.brooker_equivalent == brooker
    assert graded.della_valle_equivalent == della_valle
    assert graded.flags == []


def test_without_the_borderline_ten_millimetres_are_class_two():
    settings = MaturitySettings(hip_gap_borderline=0.0)
    hip = Hip(side="left", labels=[1], joined_to_femur=[1], gap_mm=10.0)
    near = hip.model_copy(update={"gap_mm": 9.99})
    far = hip.model_copy(update={"gap_mm": 10.01})
    assert grade_hip(near, {}, settings).brooker_equivalent == "III"
    assert grade_hip(far, {}, settings).brooker_equivalent == "II"


@pytest.mark.parametrize(
    ("sizes", "della_valle", "flags"),
    [
        ({"v1": 4.0, "v2": 9.9}, "A", []),
        ({"v1": 4.0, "v2": 10.0}, "B", []),
        ({"v1": 30.0, "v2": None}, "B", []),
        ({"v1": 4.0, "v2": None}, None, ["island_size_not_measured"]),
        ({"v1": 4.0}, None, ["island_size_not_measured"]),
    ],
)
def test_islands_are_class_one_and_their_size_decides_between_a_and_b(sizes, della_valle, flags):
    hip = Hip(side="right", labels=[1, 2], flags=["no_ossification_joined"])
    graded = grade_hip(hip, seen(**sizes))
    assert graded.brooker_equivalent == "I"
    assert graded.della_valle_equivalent == della_valle
    assert graded.flags == ["no_ossification_joined", *flags]


def test_no_lesion_is_class_zero():
    graded = grade_hip(Hip(side="left"), {})
    assert (graded.brooker_equivalent, graded.della_valle_equivalent) == ("0", "A")


@pytest.mark.parametrize("reason", ["hip_not_in_view", "hip_not_separable"])
def test_a_refused_hip_has_no_grade(reason):
    hip = Hip(side="left", labels=[1], flags=[reason])
    assert grade_hip(hip, seen(v1=30.0)) == hip


def test_joined_ossification_without_opposing_bone_has_no_grade():
    graded = grade_hip(Hip(side="left", labels=[1], joined_to_femur=[1]), {})
    assert graded.brooker_equivalent is None
    assert graded.flags == ["gap_not_measured"]


@pytest.mark.parametrize(
    ("angle", "share", "site", "flags"),
    [
        (0.0, 0.2, "1", []),
        (350.0, 0.2, "1", []),
        (29.0, 0.2, "1", []),
        (45.0, 0.2, "3", []),
        (90.0, 0.2, "3", []),
        (180.0, 0.2, "2", []),
        (140.0, 0.2, "2", []),
        (230.0, 0.2, "2", []),
        (290.0, 0.2, None, ["site_lateral"]),
        (290.0, 0.75, "4", []),
        (0.0, 1.0, "4", []),
    ],
)
def test_the_site_is_graded_and_lateral_is_none_of_them(angle, share, site, flags):
    hip = Hip(
        side="left",
        labels=[1],
        joined_to_femur=[1],
        gap_mm=5.0,
        site_angle_deg=angle,
        site_share=share,
    )
    graded = grade_hip(hip, {})
    assert graded.mavrogenis_equivalent == site
    assert graded.flags == flags
