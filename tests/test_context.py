"""The context file: what it may hold, how it is refused, and that no label depends on it."""

import inspect
import json
from datetime import date

import pytest

from hoimg import maturity
from hoimg.context import read_context
from hoimg.errors import UsageError
from hoimg.report.over_time_view import AETIOLOGY, context_lines
from hoimg.results import Context

WHOLE = {
    "aetiology": "spinal_cord_injury",
    "laboratory": [
        {"name": "c_reactive_protein", "value": 12, "unit": "mg/L", "day": 30},
        {"name": "alkaline_phosphatase", "value": 310, "unit": "U/L", "upper_limit": 129,
         "date": "2024-01-11"},
    ],
    "bone_scans": [{"date": "2023-12-31", "uptake": "increased"}],
}  # fmt: skip


def write(folder, content):
    path = folder / "context.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_dates_become_days_in_order(tmp_path):
    found = read_context(write(tmp_path, WHOLE), date(2024, 1, 1))
    assert found.aetiology == "spinal_cord_injury"
    assert [(x.name, x.day) for x in found.laboratory] == [
        ("alkaline_phosphatase", 10),
        ("c_reactive_protein", 30),
    ]
    assert found.bone_scans[0].day == -1
    assert "2024" not in found.model_dump_json()
    assert context_lines(found) == [
        "Aetiology: spinal cord injury",
        "Day 10: alkaline phosphatase 310 U/L (above the upper limit of 129)",
        "Day 30: c reactive protein 12 mg/L",
        "Day -1: bone scan, uptake increased",
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("no json", "no JSON"),
        ("[]", "object"),
        ('{"name": "Smith"}', "context 'name': Extra inputs"),
        ('{"aetiology": "Mr Smith fell"}', "context 'aetiology'"),
        ('{"laboratory": [{"name": "other", "value": NaN, "unit": "U/L", "day": 1}]}', "value"),
        ('{"laboratory": [{"name": "other", "value": 1, "unit": "U/L"}]}', "day"),
        ('{"laboratory": [{"name": "other", "value": 1, "unit": "Mr. S & Co", "day": 1}]}', "unit"),
        ('{"laboratory": 3}', "laboratory"),
        ('{"bone_scans": [{"date": "11.1.2024", "uptake": "increased"}]}', "YYYY-MM-DD"),
        ('{"bone_scans": [{"date": 5, "uptake": "increased"}]}', "YYYY-MM-DD"),
        ('{"bone_scans": [{"date": "2024-01-01", "day": 1, "uptake": "increased"}]}', "not both"),
        ('{"bone_scans": [7]}', "bone_scans.0"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_what_is_no_context_ends_in_one_line(tmp_path, content, words):
    with pytest.raises(UsageError, match=words) as caught:
        read_context(write(tmp_path, content), date(2024, 1, 1))
    assert "\n" not in str(caught.value)
    assert "Smith" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_context(tmp_path / "none.json", None)


def test_dates_need_a_baseline_and_days_do_not(tmp_path):
    with pytest.raises(UsageError, match="give a day"):
        read_context(write(tmp_path, WHOLE), None)
    only_days = {"bone_scans": [{"day": 5, "uptake": "equivocal"}]}
    assert read_context(write(tmp_path, only_days), None).bone_scans[0].day == 5


def test_every_aetiology_has_words():
    schema = Context.model_json_schema()["properties"]["aetiology"]["anyOf"][0]["enum"]
    assert set(schema) == set(AETIOLOGY)


def test_no_rule_takes_the_context():
    # Only the onset, which can hold a label back, reaches the rules.
    for name in ("assess", "assess_over_time", "decide"):
        taken = inspect.signature(getattr(maturity, name)).parameters
        assert not {"context", "aetiology", "laboratory", "bone_scans"} & set(taken)
