"""The results model is a public contract: names to the letter, null is never zero."""

from __future__ import annotations

import json
import math
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from hoimg import results
from hoimg.results import (
    Acquisition,
    Change,
    Criterion,
    Exam,
    Excluded,
    Finding,
    Lesion,
    Maturity,
    Observation,
    Report,
)

OBSERVATION = [
    "exam_id",
    "status",
    "label",
    "volume_mm3",
    "volume_ci95_mm3",
    "threshold_volume_mm3",
    "mineral_mass_hu_mm3",
    "mineral_mass_mg",
    "mean_hu",
    "sd_hu",
    "median_hu",
    "p95_hu",
    "rim_fraction",
    "edge_ratio",
    "zone_contrast_hu",
    "core_marrow_fraction",
    "max_diameter_mm",
    "surface_area_mm2",
    "sphericity",
    "centroid_lps_mm",
    "distance_to_bone_mm",
    "touches_bone",
    "touches_fov",
    "distance_to_metal_mm",
    "flags",
    "area_mm2",
    "density_index",
    "spacing_source",
]
CHANGE = [
    "from_exam",
    "to_exam",
    "days",
    "volume_change_pct",
    "volume_rc_pct",
    "mass_change_pct",
    "density_change_hu",
    "category",
    "parents",
]
MATURITY = ["label", "reasons", "criteria", "stage_ledermann", "earliest_informative_followup"]
CRITERION = ["id", "value", "unit", "pass_at", "fail_at", "result", "evidence"]
EXAM = [
    "exam_id",
    "modality",
    "study_instance_uid",
    "series_instance_uid",
    "days_from_baseline",
    "acquisition",
    "findings",
    "labelmap",
    "excluded_labelmap",
]
REPORT = [
    "schema_version",
    "software",
    "config_sha256",
    "statement",
    "exams",
    "lesions",
    "excluded",
]


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (Observation, OBSERVATION),
        (Change, CHANGE),
        (Maturity, MATURITY),
        (Criterion, CRITERION),
        (Exam, EXAM),
        (Report, REPORT),
        (Lesion, ["lesion_id", "tracking_uid", "observations", "changes", "maturity"]),
        (Excluded, ["exam_id", "label", "reason", "volume_mm3", "centroid_lps_mm"]),
        (Finding, ["code", "level", "message"]),
    ],
)
def test_the_names_of_the_contract_are_there(model, names):
    assert set(names) <= set(model.model_fields)


def test_the_fixed_words_of_the_contract():
    schema = Report.model_json_schema()["$defs"]
    assert schema["Observation"]["properties"]["status"]["enum"] == [
        "measured",
        "not_measurable",
        "absent",
    ]
    assert schema["Change"]["properties"]["category"]["enum"] == [
        "new",
        "enlarging",
        "no_detectable_change",
        "shrinking",
        "resolved",
        "merged",
        "split",
    ]
    assert schema["Maturity"]["properties"]["label"]["enum"] == [
        "immature",
        "mature",
        "indeterminate",
    ]


def small_report(**observation) -> Report:
    seen = Observation(exam_id="day0000_ct_aaaaaa", status="measured", label=1, **observation)
    rule = Criterion(
        id="R1",
        value=0.8,
        unit="fraction",
        pass_at=">= 0.75",
        fail_at="<= 0.25",
        result="pass",
        evidence="concept established, number not",
    )
    maturity = Maturity(
        label="indeterminate",
        reasons=["serial_untested"],
        criteria=[rule],
        earliest_informative_followup=date(2020, 5, 1),
    )
    return Report(
        software="hoimg 0",
        config_sha256="0" * 64,
        patient_key="p",
        exams=[
            Exam(
                exam_id="day0000_ct_aaaaaa",
                modality="CT",
                study_instance_uid="1.2",
                series_instance_uid="1.2.3",
                days_from_baseline=0,
            )
        ],
        lesions=[
            Lesion(
                lesion_id="L1", tracking_uid="2.25.1", observations=[seen], changes=[],
                maturity=maturity,
            )
        ],
        excluded=[
            Excluded(
                exam_id="day0000_ct_aaaaaa", label=1, reason="metal", volume_mm3=1.0,
                centroid_lps_mm=(0, 0, 0),
            )
        ],
    )  # fmt: skip


def test_report_json_obeys_the_published_schema_and_reads_back():
    report = small_report(volume_mm3=100.0, centroid_lps_mm=(1.0, 2.0, 3.0))
    text = report.model_dump_json()
    Draft202012Validator.check_schema(Report.model_json_schema(mode="serialization"))
    Draft202012Validator(Report.model_json_schema(mode="serialization")).validate(json.loads(text))
    assert Report.model_validate_json(text) == report
    assert json.loads(text)["lesions"][0]["maturity"]["earliest_informative_followup"] == (
        "2020-05-01"
    )


def test_what_was_not_measured_is_null_and_what_is_zero_is_zero():
    dumped = json.loads(small_report(zone_contrast_hu=0.0).model_dump_json())
    seen = dumped["lesions"][0]["observations"][0]
    assert seen["zone_contrast_hu"] == 0.0
    assert seen["volume_mm3"] is None
    assert seen["touches_bone"] is None


@given(st.sampled_from([math.inf, -math.inf, math.nan]))
def test_no_number_that_json_lacks_is_written(value):
    text = small_report(mean_hu=value).model_dump_json()
    assert json.loads(text, parse_constant=lambda word: pytest.fail(word))["lesions"]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_written_exactly(value):
    text = small_report(mean_hu=value).model_dump_json()
    assert Report.model_validate_json(text).lesions[0].observations[0].mean_hu == value


def test_unknown_names_and_words_are_refused():
    with pytest.raises(ValidationError):
        Observation(exam_id="e", status="measured", volume_ml=3)
    with pytest.raises(ValidationError):
        Observation(exam_id="e", status="maybe")
    with pytest.raises(ValidationError):
        Change(from_exam="a", to_exam="b", days=1, category="bigger")


def test_the_statement_says_what_must_not_be_read_into_the_label():
    for words in ("Not validated", "not advice", "does not exclude malignancy", "research use"):
        assert words in results.STATEMENT


def test_lists_are_not_shared_between_results():
    one, two = Acquisition(), Observation(exam_id="e", status="absent")
    two.flags.append("x")
    assert Observation(exam_id="e", status="absent").flags == []
    assert one.kvp is None
