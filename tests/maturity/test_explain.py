"""``hoimg explain``: numbers of a report in plain words."""

import pytest

from hoimg.cli.explain import explain, explain_lines
from hoimg.errors import UsageError
from hoimg.maturity import assess, assess_over_time
from hoimg.report.saved import read_report
from hoimg.results import (
    Acquisition,
    Change,
    Context,
    Course,
    Exam,
    LeftOut,
    Lesion,
    Observation,
    RegistrationSummary,
    Report,
)

THIN = Acquisition(slice_thickness_mm=1.0)


def make_report():
    observations = [
        Observation(
            exam_id=exam,
            status="measured",
            volume_mm3=volume,
            mineral_mass_hu_mm3=volume * 500,
            mean_hu=612.0,
            rim_fraction=0.83,
            edge_ratio=1.2,
            touches_fov=False,
        )
        for exam, volume in (("day0000", 1000.0), ("day0100", 1500.0))
    ]
    observations.append(
        Observation(exam_id="day0200", status="not_measurable", flags=["outside_fov"])
    )
    change = Change(
        from_exam="day0000",
        to_exam="day0100",
        days=100,
        volume_change_pct=50.0,
        volume_rc_pct=29.6,
        mass_change_pct=50.0,
        mass_rc_pct=10.0,
        category="enlarging",
    )
    days = {"day0000": 0, "day0100": 100, "day0200": 200}
    maturity = assess_over_time(observations, [change], dict.fromkeys(days, THIN), days)
    exams = [
        Exam(
            exam_id=exam,
            modality="CT",
            study_instance_uid="1.2",
            series_instance_uid="1.3",
            days_from_baseline=day,
        )
        for exam, day in days.items()
    ]
    lesion = Lesion(
        lesion_id="L1",
        tracking_uid="2.25.1",
        observations=observations,
        changes=[change],
        maturity=maturity,
    )
    return Report(
        software="hoimg test",
        config_sha256="0",
        patient_key="k",
        exams=exams,
        lesions=[lesion],
        excluded=[],
    )


def test_the_chain_from_numbers_to_label(tmp_path, capsys):
    report = make_report()
    (tmp_path / "report.json").write_text(report.model_dump_json())
    explain(tmp_path, "l1")
    text = capsys.readouterr().out
    assert "Lesion L1: Immature or still active on imaging (day 100)" in text
    assert "day 100: volume 1500 mm3, density 612 HU" in text
    assert "day 200: could not be measured [outside_fov]" in text
    assert "day 0 to 100: enlarging; volume +50 % (RC 30 %), mass +50 % (RC 10 %)" in text
    assert "(RC 10 %); 100 days" in text
    assert "At each exam, from what was known then: day 0 indeterminate, day 100 immature" in text
    assert "It could be judged from day 184 on, by one more scan:" in text
    assert "  - slices of 1 mm, as at day 100" in text
    assert "R1 cortical rim: 0.83 fraction of the surface -> passes; passes at >= 0.75" in text
    assert "R4.volume change of volume: 50 % -> FAILS" in text
    assert "gate.mimic suspicion of a mimic: absent -> passes" in text
    assert "R5 age of the lesion: no value -> not rated" in text
    assert "its volume increased beyond repeatability [volume_increase]" in text
    assert "from day 184" in text
    assert text.rstrip().endswith("not a medical device.")


def test_a_report_file_reads_like_its_folder(tmp_path):
    file = tmp_path / "any.json"
    file.write_text(make_report().model_dump_json())
    assert read_report(file) == make_report()


def test_an_unknown_lesion_is_a_usage_error_that_names_the_known():
    with pytest.raises(UsageError, match="L9: is no lesion of this report; it has: L1"):
        explain_lines(make_report(), "L9")


@pytest.mark.parametrize("content", [None, "no json", "{}"])
def test_what_is_no_report_ends_in_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    with pytest.raises(UsageError, match="report") as caught:
        read_report(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_lesion_never_measured_and_an_incomparable_change_are_said():
    report = make_report()
    report.lesions[0].maturity = assess([], [], {}, {})
    report.lesions[0].changes[0].comparable = False
    report.lesions[0].changes[0].flags = ["kernel_differs"]
    report.lesions[0].observations[0].volume_mm3 = None
    text = "\n".join(explain_lines(report, "L1"))
    assert "nothing was measured" in text
    assert "NOT COMPARABLE [kernel_differs]" in text
    assert "day 0: volume not measured" in text


def test_two_exams_alike_read_no_detectable_change_with_its_rc_never_stable():
    report = make_report()
    report.lesions[0].changes[0] = (
        report.lesions[0]
        .changes[0]
        .model_copy(
            update={
                "category": "no_detectable_change",
                "volume_change_pct": 3.0,
                "mass_change_pct": 2.0,
            }
        )
    )
    text = "\n".join(explain_lines(report, "L1"))
    assert "day 0 to 100: no detectable change (RC 30 %); volume +3 % (RC 30 %)" in text
    assert "stable" not in text.lower().replace("unstable", "")


def test_intervals_course_registration_and_context_are_told():
    report = make_report()
    lesion = report.lesions[0]
    lesion.observations[0].volume_ci95_mm3 = (900.0, 1111.0)
    lesion.course = Course(
        n=3,
        exams=["day0000", "day0100"],
        from_exam="day0000",
        to_exam="day0100",
        days=100,
        rate_pct_per_year=40.0,
        rate_ci95_pct_per_year=(-5.0, 107.0),
        trend="no_detectable_trend",
        left_out=[LeftOut(exam_id="day0200", reasons=["kvp_differs"])],
        flags=["annualised_beyond_span"],
    )
    report.onset_day = -30
    report.context = Context(aetiology="burn")
    report.registrations = [
        RegistrationSummary(
            from_exam="day0000", to_exam="day0100", accepted=False, bone_overlap=0.51,
            residual_mm=2.25, reason="bones_do_not_overlap",
        )
    ]  # fmt: skip
    text = "\n".join(explain_lines(report, "L1"))
    assert "day 0: volume 1000 [900 to 1111] mm3" in text
    assert (
        "no detectable trend: volume +40 % a year (95 % interval −5 % to +107 %), 3 exams over "
        "100 days; less than a year was seen (day0200 left out: tube voltage differs)" in text
    )
    assert "day 0 to 100: REJECTED: the bones do not overlap well enough" in text
    assert "bone overlap 0.51, residual 2.25 mm" in text
    assert "  Onset: day -30" in text
    assert "  Aetiology: burn" in text
