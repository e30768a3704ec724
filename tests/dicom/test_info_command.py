"""``hoimg info``: what it prints, as a table and as JSON, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from synthetic_ct import noise, stack, write_ct, write_slice
from typer import Context, Typer
from typer.testing import CliRunner, Result

from hoimg.cli.info import info
from hoimg.errors import InputRefused, UsageError

app = Typer()
app.command("info")(info)


@app.callback()
def _root(ctx: Context) -> None:
    """Make ``info`` a subcommand, as in the real program."""


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["info", *map(str, words)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "scans"
    write_ct(root / "first", study="1.2.1", series="1.3.1")
    write_ct(root / "first5", noise(5), stack(5), study="1.2.1", series="1.3.2", KVP="140")
    write_ct(root / "later", study="1.2.2", series="1.3.3", StudyDate="20240301")
    places = stack(9)
    del places[4]
    write_ct(root / "gap", noise(8), places, study="1.2.4", series="1.3.4")
    return root


def test_the_table_names_what_is_used_and_what_is_wrong(folder: Path) -> None:
    result = run(folder)
    assert result.exit_code == 0
    text = " ".join(result.stdout.split())
    assert "day 0 CT 6 1 1 STANDARD 120" in text
    assert "could be CT 5 1 1 STANDARD 140" in text
    assert "day 51 CT 6" in text
    assert "no CT 8 1 - STANDARD 120 - missing_slices" in text
    assert "warning: [study_refused]" in text
    assert "chosen of 2 usable CT series" in text
    for secret in ("ID-7", "Secret", "20240110", "2024-01-10"):
        assert secret not in result.stdout


def test_json_says_the_same_without_identity(folder: Path) -> None:
    result = run(folder, "--json")
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    (patient,) = said["patients"]
    assert patient["usable"] is True
    series = {s["series_instance_uid"]: s for x in patient["studies"] for s in x["series"]}
    assert {uid: s["days_from_baseline"] for uid, s in series.items() if s["chosen"]} == {
        "1.3.1": 0,
        "1.3.3": 51,
    }
    assert series["1.3.2"]["usable"] is True
    assert series["1.3.4"]["findings"][0]["code"] == "missing_slices"
    assert series["1.3.1"]["acquisition"]["spacing_zyx_mm"] == pytest.approx([1.0, 0.7, 0.9])
    assert "chosen of 2" in series["1.3.1"]["series_choice"]
    assert said["files_seen"] == 25
    for secret in ("ID-7", "Secret", "20240110", "2024-01-10", str(folder)):
        assert secret not in result.stdout


def test_nothing_usable_is_shown_and_refused(folder: Path) -> None:
    result = run(folder / "gap")
    assert isinstance(result.exception, InputRefused)
    assert result.exception.exit_code == 3
    assert "missing_slices" in result.stdout
    as_json = run(folder / "gap", "--json")
    assert isinstance(as_json.exception, InputRefused)
    assert json.loads(as_json.stdout)["patients"][0]["usable"] is False


def test_an_empty_folder_and_a_wrong_path(tmp_path: Path) -> None:
    empty = run(tmp_path)
    assert isinstance(empty.exception, InputRefused)
    assert empty.exception.code == "empty_folder"
    assert isinstance(run(tmp_path / "nowhere").exception, UsageError)


def test_several_patients_are_all_listed(tmp_path: Path) -> None:
    write_ct(tmp_path / "a", study="1.2.1", series="1.3.1", PatientID="A")
    write_ct(tmp_path / "b", study="1.2.2", series="1.3.2", PatientID="B")
    result = run(tmp_path)
    assert result.exit_code == 0
    assert result.stdout.count("Patient p") == 2


def test_limits_come_from_the_settings_file(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "my.toml"
    config.write_text("[intake]\nmin_slices = 7\n")
    result = run(folder / "first", "--config", config)
    assert isinstance(result.exception, InputRefused)
    assert result.exception.code == "too_few_slices"


def test_markup_in_a_header_is_printed_as_it_is(tmp_path: Path) -> None:
    write_ct(tmp_path, SeriesDescription="[bold red]x[/] \x1b[31m")
    result = run(tmp_path)
    assert "[bold red]x[/]" in " ".join(result.stdout.split())
    assert "\x1b" not in result.stdout


def test_the_real_program_ends_with_the_right_code(folder: Path, capsys) -> None:
    from hoimg.cli.main import run as program

    assert program(["info", str(folder)]) == 0
    assert program(["info", str(folder / "gap")]) == 3
    assert program(["info", str(folder / "nowhere")]) == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 2
    assert "missing_slices" in error[0]
    assert "no such file" in error[1]


def test_a_hundred_series_stay_readable(tmp_path: Path) -> None:
    for number in range(30):
        write_ct(tmp_path / f"{number}", series=f"1.3.{number}", SliceThickness="3")
    scout = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    for number in range(70):
        write_slice(
            tmp_path / f"s{number}", noise()[0], (0, 0, 0), series=f"1.4.{number}", ImageType=scout
        )
    lines = run(tmp_path).stdout.splitlines()
    assert len(lines) < 60
    assert max(map(len, lines)) <= 140
    # what is no volume shares a row, and each finding is explained once
    assert sum("localizer" in line for line in lines) == 2
    assert any("CT localizer" in line and "70 series" in line for line in lines)
    (thick,) = (line for line in lines if "[thick_slices]" in line)
    assert "(30 times; the first:)" in thick


def test_doubts_of_identity_are_shown_though_nothing_is_usable(tmp_path: Path) -> None:
    for number in range(2):
        write_ct(
            tmp_path / f"{number}", noise(2), stack(2), study="1.2.7", series=f"1.3.{number}",
            PatientID=f"P{number}",
        )  # fmt: skip
    result = run(tmp_path)
    assert isinstance(result.exception, InputRefused)
    assert result.stdout.count("warning: [same_person_two_ids]") == 2
    said = json.loads(run(tmp_path, "--json").stdout)
    assert [p["findings"][0]["code"] for p in said["patients"]] == ["same_person_two_ids"] * 2
