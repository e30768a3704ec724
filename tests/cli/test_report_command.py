"""``hoimg report``: what it asks for, and the table that it prints."""

from __future__ import annotations

import io

import pytest

from hoimg.cli.console import Console
from hoimg.cli.main import run
from hoimg.cli.report import _point
from hoimg.cli.report_table import print_table
from hoimg.results import (
    Change,
    Exam,
    Excluded,
    Finding,
    Lesion,
    Maturity,
    Observation,
    PatientResult,
    Report,
)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ([], "Missing argument"),
        (["scans"], "-o"),
        (["scans", "-o", "out", "--seed", "1,2"], "--seed 1,2: give three numbers X,Y,Z"),
        (["scans", "-o", "out", "--seed", "1,2,x"], "--seed 1,2,x"),
        (["scans", "-o", "out", "--onset", "30.11.2023"], "--onset 30.11.2023"),
        (["scans", "-o", "out", "--config", "absent.toml"], "absent.toml"),
    ],
)
def test_what_cannot_be_understood_is_a_usage_error(capsys, tmp_path, monkeypatch, words, part):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scans").mkdir()
    assert run(["report", *words]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert part in err
    assert not (tmp_path / "out").exists()


def test_a_context_that_is_none_is_a_usage_error_before_anything_is_analysed(
    capsys, tmp_path, sample_data
):
    file = tmp_path / "context.json"
    file.write_text('{"aetiology": "fell off a horse"}')
    out = tmp_path / "out"
    assert run(["report", str(sample_data), "-o", str(out), "--context", str(file), "-q"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "context 'aetiology'" in err
    assert "horse" not in err
    assert not out.exists()


@pytest.mark.parametrize("text", ["62.5,-11,840.2", " 62.5, -11 ,8.402e2"])
def test_a_seed_is_three_numbers(text):
    assert _point(text) == (62.5, -11.0, 840.2)


def exam(day: int, *findings: Finding) -> Exam:
    return Exam(
        exam_id=f"day{day:04d}_ct_aaaaaa",
        modality="CT",
        study_instance_uid=f"1.{day}",
        series_instance_uid=f"1.{day}.1",
        days_from_baseline=day,
        findings=list(findings),
    )


def lesion(name: str, label: str, *observations: Observation) -> Lesion:
    return Lesion(
        lesion_id=name,
        tracking_uid="2.25.1",
        observations=list(observations),
        changes=[],
        maturity=Maturity(label=label, reasons=["growth_detected", "rim_pass"], criteria=[]),
    )


def table(report: Report, tmp_path, capsys, verbosity: int = 0) -> tuple[str, str]:
    stream = io.StringIO()
    console = Console(verbosity, stream)
    print_table(PatientResult(report, {}), tmp_path / "report.html", console)
    return capsys.readouterr().out, stream.getvalue()


def report_of(exams, lesions=(), excluded=()) -> Report:
    return Report(
        software="hoimg 0",
        config_sha256="0",
        patient_key="k",
        exams=list(exams),
        lesions=list(lesions),
        excluded=list(excluded),
    )


def test_the_table_has_a_row_per_lesion_and_says_where_the_report_is(tmp_path, capsys):
    first, second = exam(0), exam(90, Finding(code="c", level="warning", message="Kernel differs."))
    seen = [
        Observation(
            exam_id=first.exam_id, status="measured", volume_mm3=1000, volume_ci95_mm3=(900, 1100)
        ),
        Observation(
            exam_id=second.exam_id, status="measured", volume_mm3=2540, volume_ci95_mm3=(2300, 2800)
        ),
    ]
    absent = Observation(exam_id=first.exam_id, status="absent")
    small = Observation(exam_id=second.exam_id, status="measured", volume_mm3=None)
    out, err = table(
        report_of(
            [first, second],
            [lesion("L1", "immature", *seen), lesion("L2", "indeterminate", absent, small)],
            [
                Excluded(
                    exam_id=first.exam_id, label=i, reason=reason, volume_mm3=1.0,
                    centroid_lps_mm=(0, 0, 0),
                )
                for i, reason in enumerate(["metal", "vascular", "metal"], 1)
            ],
        ),
        tmp_path,
        capsys,
    )  # fmt: skip
    lines = out.splitlines()
    row_1 = next(line for line in lines if line.startswith("L1"))
    row_2 = next(line for line in lines if line.startswith("L2"))
    assert "0, 90" in row_1
    assert "2.54 mL (2.30-2.80)" in row_1
    assert "immature" in row_1
    assert "growth detected" in row_1
    assert "0, 90" not in row_2
    assert "not measured" in row_2
    assert "2 metal, 1 vascular" in out
    assert str(tmp_path / "report.html") in out
    assert "research use" in out
    assert "Kernel differs." in err
    assert "Kernel differs." not in out


def test_no_lesion_is_said_in_words(tmp_path, capsys):
    out, err = table(report_of([exam(0)]), tmp_path, capsys, verbosity=-1)
    assert "No ossification was called." in out
    assert err == ""


def test_the_table_shows_the_last_change_against_what_could_be_noise(tmp_path, capsys):
    days = [exam(0), exam(90), exam(200)]
    ids = [e.exam_id for e in days]
    grown = lesion("L1", "immature", Observation(exam_id=ids[2], status="measured"))
    kept = lesion("L2", "indeterminate", Observation(exam_id=ids[2], status="measured"))
    once = lesion("L3", "indeterminate", Observation(exam_id=ids[2], status="measured"))
    grown.changes = [
        Change(from_exam=ids[0], to_exam=ids[1], days=90, category="new"),
        Change(
            from_exam=ids[1], to_exam=ids[2], days=110, category="enlarging",
            volume_change_pct=154.2, volume_rc_pct=25.0, mass_change_pct=160.0, mass_rc_pct=27.0,
        ),
        Change(
            from_exam=ids[0], to_exam=ids[2], days=200, category="enlarging",
            volume_change_pct=300.0, volume_rc_pct=25.0, flags=["long_interval"],
        ),
    ]  # fmt: skip
    kept.changes = [
        Change(
            from_exam=ids[1], to_exam=ids[2], days=110, category="no_detectable_change",
            volume_change_pct=3.0, volume_rc_pct=38.0,
        )
    ]  # fmt: skip
    out, _ = table(report_of(days, [grown, kept, once]), tmp_path, capsys)
    lines = out.splitlines()
    row = {line[:2]: k for k, line in enumerate(lines) if line[:2] in ("L1", "L2", "L3")}
    below = lines[row["L1"] + 1]
    assert "day 90 to 200" in below
    assert "+154 %" in below
    assert "RC 25 %" in below
    assert "no detectable change (RC 38 %)" in lines[row["L2"] + 1]
    assert "day" not in lines[row["L3"] + 1]
