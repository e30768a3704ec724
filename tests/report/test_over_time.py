"""What is said of change, totals and timing on the page and in the tables."""

import csv
import io
import re

import pytest
from synthetic_report import exam_ids, patient

from hoimg.report import files
from hoimg.report.change_words import change_words, course_words, total_change_words
from hoimg.report.page import page_html
from hoimg.results import Change, Context, Course, FollowUp, LabelAt, Need, TotalChange
from hoimg.serial import totals_of
from hoimg.settings import SerialSettings

BASE = {"from_exam": "a", "to_exam": "b", "days": 90, "volume_rc_pct": 29.6, "mass_rc_pct": 10.0}


@pytest.mark.parametrize(
    ("more", "words", "brief"),
    [
        ({"volume_change_pct": 3.0}, "no detectable change (RC 30 %)", None),
        (
            {"volume_change_pct": 14.0, "mass_change_pct": 20.0},
            "no detectable change of volume (RC 30 %), but mass +20 % (RC 10 %)",
            "no detectable change of volume (RC 30 %)",
        ),
        (
            {"volume_change_pct": 47.0, "category": "enlarging"},
            "enlarging: volume +47 % (RC 30 %)",
            "enlarging",
        ),
        (
            {
                "volume_change_pct": -24.0,
                "mass_change_pct": -26.0,
                "category": "shrinking",
                "flags": ["by_volume_and_mass"],
            },
            "shrinking by volume and mass together: volume −24 % (RC 30 %), mass −26 % (RC 10 %)",
            "shrinking by volume and mass together",
        ),
        (
            {
                "volume_change_pct": 80.0,
                "comparable": False,
                "flags": [
                    "long_interval",
                    "volume_rc_from_intervals",
                    "kvp_differs",
                    "touches_fov",
                ],
            },
            "not compared: tube voltage differs; cut by the field of view: the true size is larger",
            None,
        ),
        ({}, "change of volume not measured", None),
        ({"category": "new"}, "new", None),
        ({"category": "merged", "parents": ["L1", "L2"]}, "merged with L1, L2", None),
    ],
)
def test_a_change_in_words(more, words, brief):
    change = Change(**(BASE | {"category": "no_detectable_change"} | more))
    assert change_words(change) == words
    assert change_words(change, brief=True) == (brief or words)


def test_a_course_in_words():
    base = {"n": 4, "days": 290, "rate_pct_per_year": 34.4, "rate_ci95_pct_per_year": (10.0, 64.0)}
    assert course_words(Course(**base, trend="increasing", doubling_days=857.0)) == (
        "increasing: volume +34 % a year (95 % interval +10 % to +64 %), 4 exams over 290 days, "
        "doubling in 857 days"
    )
    assert course_words(Course(n=2, flags=["too_few_exams"])) == (
        "no course: fewer than three measurements"
    )


def test_a_change_of_the_total_in_words():
    base = {"from_exam": "a", "days": 90, "lesions": ["L1"], "complete": True}
    small = TotalChange(
        **base, volume_change_mm3=-400.0, volume_change_pct=-8.0, volume_rc_pct=25.0
    )
    assert total_change_words(small) == "no detectable change (RC 25 %): −0.400 cm³, −8 %"
    large = small.model_copy(update={"volume_change_mm3": 4000.0, "volume_change_pct": 80.0})
    assert total_change_words(large) == "+4.00 cm³, +80 %"
    assert total_change_words(TotalChange(**base)) == "not evaluable"


@pytest.fixture(scope="module")
def made():
    result = patient()
    report = result.report
    report.totals = totals_of(report.exams, report.lesions, SerialSettings())
    report.context = Context(
        aetiology="arthroplasty",
        laboratory=[{"name": "alkaline_phosphatase", "value": 310, "unit": "U/L", "day": 40}],
    )
    first, second, third = (lesion.maturity for lesion in report.lesions)
    first.mature_since_exam = exam_ids()[2]
    first.history = [
        LabelAt(exam_id=e, day=d, label=label, reasons=["x"])
        for e, d, label in zip(
            exam_ids(), (0, 90, 190, 290), ("immature", "immature", "mature", "mature"), strict=True
        )
    ]
    second.followup = FollowUp(
        earliest_day=374, scans=1, needs=[Need(code="same_kvp", text="tube voltage 120 kV")]
    )
    third.followup = FollowUp(flags=["red_flag_not_settled_by_follow_up"])
    return result


def text_of(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_the_page_says_what_is_mature_since_when_and_what_would_settle_the_rest(made):
    html = page_html(made.report, made.images)
    part = html[html.index('id="timing"') : html.index('id="totals"')]
    text = text_of(part)
    assert "first labelled so at the exam of day 190" in text
    assert "day 90: immature day 190: mature" in text
    assert "From day 374 on, by one more scan: tube voltage 120 kV" in text
    assert "a red flag is not settled by a later scan of this kind" in text
    assert "Aetiology: arthroplasty" in text
    assert "alkaline phosphatase 310 U/L" in text
    assert "It says nothing about whether or when to operate" in text
    assert not re.search(r"\b(should|recommend|ready for|operate now|safe to)\b", text)


def test_the_page_shows_totals_with_new_volume(made):
    html = page_html(made.report, made.images)
    start = html.index('id="totals"')
    text = text_of(html[start : html.index("</section>", start)])
    new = next(t for t in made.report.totals.exams if t.new_lesions)
    assert f"L3: {new.new_volume_mm3 / 1000:.3f} cm³" in text
    assert "region not known" in text
    assert "Total volume over time" in html


def test_the_plot_draws_the_band_of_the_repeatability(made):
    lesion = made.report.lesions[1]
    html = page_html(made.report, made.images)
    # Of the last changes only comparable ones have a band; the last exam was made otherwise.
    assert not lesion.changes[-1].comparable
    assert html.count('class="band"') == 0
    for each in made.report.lesions:
        each.changes[-1] = each.changes[-1].model_copy(update={"comparable": True})
    assert page_html(made.report, made.images).count('class="band"') == 3


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_every_change_has_a_row_with_its_words(made):
    found = rows(files.changes_csv(made.report))
    changes = [c for lesion in made.report.lesions for c in lesion.changes]
    assert len(found) == len(changes)
    for row, change in zip(found, changes, strict=True):
        assert row["text"] == change_words(change)
        assert row["category"] == change.category
        value = change.volume_change_pct
        assert row["volume_change_pct"] == ("" if value is None else repr(value))


def test_the_totals_table_has_a_row_per_exam_and_region(made):
    found = rows(files.totals_csv(made.report))
    whole = [r for r in found if not r["region"]]
    assert len(whole) == 4
    for row, total in zip(whole, made.report.totals.exams, strict=True):
        assert float(row["volume_mm3"]) == total.volume_mm3
        assert row["new_lesions"] == ";".join(total.new_lesions)
        if total.since_previous is not None:
            low, _ = total.since_previous.volume_change_ci95_mm3
            assert float(row["previous_volume_change_ci95_low_mm3"]) == low
    assert {r["region"] for r in found} == {"", "unknown"}
    report = made.report.model_copy(update={"totals": None})
    assert rows(files.totals_csv(report)) == []
