"""The classifier of candidates: explained, monotone where physics says so, defined where blind."""

import json
from dataclasses import fields, replace
from importlib.resources import files
from math import log, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoimg.segment.around import Around
from hoimg.segment.classifier import FEATURES, opinions, vector
from hoimg.segment.exclude import Place
from hoimg.segment.features import Features
from hoimg.settings import SegmentSettings

RANGES = {"volume_mm3": (100, 20_000), "peak_hu": (100, 1500), "mean_hu": (60, 900)}
FRACTIONS = {
    "soft_shell",
    "gas_near",
    "fat_near",
    "muscle_near",
    "gas_wide",
    "fat_wide",
    "bone_wide",
    "bright",
}


def features_from(draw):
    values = {}
    for field in fields(Features):
        low, high = RANGES.get(field.name, (0, 1) if field.name in FRACTIONS else (0, 60))
        values[field.name] = draw(st.floats(low, high))
    return Features(**values)


def place_from(draw):
    share = st.floats(0, 1)
    return Place(
        attached=draw(st.booleans()),
        shell=draw(st.booleans()),
        metal_mm=80.0,
        scan_end_mm=40.0,
        inward_mm=60.0,
        mirror_mm=draw(st.floats(0, 60) | st.just(nan)),
        mirrored=draw(share),
        agreed=draw(share),
        outside_body=0.0,
        contrast=False,
        lumen=draw(share),
        streaked=draw(share),
        contact=draw(share),
        standing=draw(share | st.just(nan)),
        cortex_known=draw(share),
        faint_partner=draw(share | st.just(nan)),
    )


def around_from(draw):
    return Around(*(draw(st.floats(0, 1)) for _ in fields(Around)))


candidates = st.composite(lambda draw: (features_from(draw), place_from(draw), around_from(draw)))


@given(candidates())
@settings(max_examples=60, deadline=None)
def test_the_weights_add_up_to_the_log_odds_and_nothing_is_undefined(one):
    (said,) = opinions([one])
    assert 0.0 < said.probability < 1.0
    stored = json.loads(files("hoimg.segment").joinpath("classifier.json").read_text())
    start = stored["start"] + sum(tree["value"][0] for tree in stored["trees"])
    odds = start + sum(weight for _, _, weight in said.weights)
    assert log(said.probability / (1 - said.probability)) == pytest.approx(odds, abs=1e-6)
    assert [name for name, _, _ in sorted(said.weights)] == sorted(FEATURES)
    sizes = [abs(weight) for _, _, weight in said.weights]
    assert sizes == sorted(sizes, reverse=True)


@given(st.lists(candidates(), max_size=5))
@settings(max_examples=30, deadline=None)
def test_candidates_are_scored_each_as_if_it_were_alone(many):
    alone = [opinions([one])[0] for one in many]
    assert repr(opinions(many)) == repr(alone)  # nan is not equal to nan


@given(candidates(), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize(
    ("name", "sign"),
    [(n, s) for n, s in FEATURES.items() if s and (n in FRACTIONS or n.startswith("wide_"))],
)
def test_where_physics_says_which_way_the_score_never_goes_the_other(name, sign, one, a, b):
    low, high = sorted((a, b))
    first, second = opinions(
        [
            tuple(replace(p, **{name: value}) if hasattr(p, name) else p for p in one)
            for value in (low, high)
        ]
    )
    assert sign * (second.probability - first.probability) >= -1e-12


def lesion():
    """A free, closed, bone-dense ball in muscle without a partner on the other side."""
    f = Features(
        volume_mm3=4000,
        inscribed_mm=8,
        length_mm=20,
        breadth_mm=18,
        soft_shell=0.99,
        gas_near=0,
        peak_hu=800,
        mean_hu=400,
        rim_hu=450,
        core_hu=200,
        centre_hu=180,
        core_sd_hu=80,
        surround_hu=52,
        fat_near=0.1,
        muscle_near=0.8,
        gas_wide=0,
        fat_wide=0.2,
        bone_wide=0.02,
        thickness_mm=16,
        bright=0.6,
        texture_hu=170,
    )
    p = Place(
        attached=False,
        shell=True,
        metal_mm=np.inf,
        scan_end_mm=50,
        inward_mm=80,
        mirror_mm=25,
        mirrored=0,
        agreed=1,
        outside_body=0,
        contrast=False,
        lumen=0,
        streaked=0,
        cortex_known=0,
        standing=nan,
        faint_partner=0,
    )
    a = Around(wide_gas=0, wide_fat=0.25, wide_muscle=0.6, wide_enhanced=0.1, wide_bone=0.05)
    return f, p, a


def test_a_textbook_lesion_scores_high_and_a_piece_of_rib_low():
    f, p, a = lesion()
    assert opinions([(f, p, a)])[0].probability > 0.6
    rib = replace(f, length_mm=70, breadth_mm=11, thickness_mm=8, inscribed_mm=3, bone_wide=0.2)
    beside = replace(p, shell=False, attached=True, contact=0.2, mirror_mm=0.5, mirrored=1.0)
    by_lung = replace(a, wide_gas=0.3, wide_muscle=0.3, wide_bone=0.1)
    (said,) = opinions([(rib, replace(beside, faint_partner=1.0), by_lung)])
    assert said.probability < SegmentSettings().attached_score
    assert said.words().startswith(f"score {said.probability:.2f}: ")


def test_the_vector_has_every_feature_in_order_and_keeps_what_is_unknown():
    f, p, a = lesion()
    made = dict(zip(FEATURES, vector(f, p, a), strict=True))
    assert made["volume_mm3"] == 4000
    assert made["length_ratio"] == pytest.approx(20 / 18)
    assert made["rise"] == 348
    assert made["shell"] == 1.0
    assert np.isnan(made["standing"])
    assert made["wide_muscle"] == 0.6
    assert (
        dict(zip(FEATURES, vector(replace(f, surround_hu=nan), p, a), strict=True))["rise"] == 350
    )
