"""One run at a time; and the ready questions of ``hoimg query``."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from archives import settings, tables, write_root
from odd_child import report_of

from hoimg.archive.census import census_of_root
from hoimg.archive.database import DATABASE, Database
from hoimg.archive.lock import LOCK, STALE_S, Lock
from hoimg.archive.run import run_batch
from hoimg.archive.tables import PATIENTS, rows_of
from hoimg.cli.main import run
from hoimg.errors import HoimgError, UsageError
from hoimg.results import Finding

KEYS = ("p0000a", "p0000b")


def test_two_runs_on_one_folder_refuse_each_other_and_a_dead_one_holds_nothing(tmp_path):
    hold = (
        "import sys; from pathlib import Path; from hoimg.archive.lock import Lock\n"
        "with Lock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    other = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)],
        env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with (
        pytest.raises(UsageError, match=f"process {other.pid} on {platform.node()}"),
        Lock(tmp_path),
    ):
        pass
    other.kill()
    other.communicate()
    held = pytest.raises(UsageError, match=f"process {os.getpid()} ")
    with Lock(tmp_path), held, Lock(tmp_path):
        pass
    with Lock(tmp_path):
        pass


@pytest.mark.parametrize(("silent", "held"), [(STALE_S - 20, True), (STALE_S + 20, False)])
def test_another_machine_holds_it_while_it_gives_signs(tmp_path, silent, held):
    path = tmp_path / LOCK
    path.write_text(json.dumps({"pid": 7, "host": "far.away"}))
    then = path.stat().st_mtime - silent
    os.utime(path, (then, then))
    if held:
        with pytest.raises(UsageError, match=r"process 7 on far\.away"), Lock(tmp_path):
            pass
        assert json.loads(path.read_text())["pid"] == 7
    else:
        with Lock(tmp_path):
            assert json.loads(path.read_text())["pid"] == os.getpid()


def test_a_folder_that_cannot_be_written_and_one_of_others(tmp_path):
    root = write_root(tmp_path / "root", "good")
    census = census_of_root(root, settings())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.doc").touch()
    with pytest.raises(UsageError, match="holds other files"):
        run_batch(census, tmp_path / "other", settings())
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "out"
        out.mkdir()
        Path(name).chmod(0o755)
        out.chmod(0o555)
        former = os.geteuid()
        if former == 0:  # who may write everywhere
            os.seteuid(65534)
        try:
            with pytest.raises(UsageError, match="cannot be written"):
                run_batch(census, out, settings())
        finally:
            os.seteuid(former)
            assert not any(out.iterdir())
            out.chmod(0o755)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two patients with the report of :func:`odd_child.report_of`, and three that failed."""
    out = tmp_path_factory.mktemp("results")
    with Database(out / DATABASE) as database:
        row = {"input_sha256": "i", "config_sha256": "c", "software": "s", "passing": False}
        for key in KEYS:
            done = {PATIENTS: [{"patient_key": key, "status": "done", **row}]}
            database.put(key, {**done, **rows_of(report_of(key))})
        for key, code in (("p1", "no_dicom"), ("p2", "over_time"), ("p3", "no_dicom")):
            bad = {
                "patient_key": key,
                "status": "failed",
                "code": code,
                "message": f"={code}",
                **row,
            }
            database.put(key, {PATIENTS: [bad]})
    return out


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, object]]:
    assert run(["query", *words, "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert isinstance(answer, list)
    return answer


def test_what_is_new_or_growing_since_a_day(results, capsys):
    for day, count in ((None, 2), (100, 2), (101, 0)):
        since = [] if day is None else ["--since-day", str(day)]
        found = asked(capsys, str(results), "changed", *since)
        assert [r["patient_key"] for r in found] == list(KEYS)[:count]
    (first, _) = asked(capsys, str(results), "changed")
    assert first["category"] == "enlarging"
    assert (first["from_day"], first["to_day"], first["volume_change_pct"]) == (0, 100, 100.0)


@pytest.mark.parametrize("day", ["x", "-1", "9" * 30, "inf", "2024-01-01", ""])
def test_a_day_that_is_none_is_a_usage_error(results, capsys, day):
    assert run(["query", str(results), "changed", f"--since-day={day}"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_what_is_mature_and_since_when(results, capsys):
    found = asked(capsys, str(results), "mature", "--since-day", "100")
    assert [(r["patient_key"], r["lesion_id"], r["mature_since_day"]) for r in found] == [
        (key, "L1", 100) for key in KEYS
    ]
    assert asked(capsys, str(results), "mature", "--since-day", "101") == []


def test_what_could_not_be_judged_and_why(results, capsys):
    found = asked(capsys, str(results), "not-evaluable")
    assert [(r["what"], r["lesion_id"], r["exam_id"], r["why"]) for r in found[:2]] == [
        ("label", "L2", None, "not_measured"),
        ("measurement", "L2", "day0000", "near_metal; small"),
    ]
    assert [(r["what"], r["patient_key"], r["why"]) for r in found[4:]] == [
        ("patient", "p1", "no_dicom"),
        ("patient", "p2", "over_time"),
        ("patient", "p3", "no_dicom"),
    ]
    for day, kinds in ((0, {"label", "measurement", "patient"}), (1, {"label", "patient"})):
        found = asked(capsys, str(results), "not-evaluable", "--since-day", str(day))
        assert {r["what"] for r in found} == kinds


def test_exams_and_labels_of_a_day_on(tmp_path, capsys):
    report = report_of("p0000a")
    error = Finding(code="no_pixels", level="error", message="None.")
    first, last = report.exams
    open_one = report.lesions[1]
    rated = open_one.maturity.model_copy(update={"exam_id": first.exam_id})
    with Database(tmp_path / DATABASE) as database:
        exams = [first.model_copy(update={"findings": [error]}), last]
        lesions = [open_one.model_copy(update={"maturity": rated})]
        changed = report.model_copy(update={"exams": exams, "lesions": lesions})
        database.put("p0000a", rows_of(changed))
    for day, kinds in ((0, ["exam", "label", "measurement"]), (1, [])):
        found = asked(capsys, str(tmp_path), "not-evaluable", "--since-day", str(day))
        assert [r["what"] for r in found] == kinds


def test_failures_by_reason_as_table_csv_and_json(results, capsys):
    found = asked(capsys, str(results), "failures")
    assert [(r["code"], r["patients"]) for r in found] == [("no_dicom", 2), ("over_time", 1)]
    assert run(["query", str(results), "failed", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [r["patient_key"] for r in rows] == ["p1", "p2", "p3"]
    assert rows[0]["message"] == "'=no_dicom"  # no formula for a spreadsheet
    assert run(["query", str(results), "failures"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["no_dicom", "2"]


def test_a_query_writes_nothing_and_says_what_is_no_batch(results, tmp_path, capsys):
    before = tables(results)
    # Of a file in WAL mode SQLite's header says 2 there, and reading it writes others beside it.
    assert (results / DATABASE).read_bytes()[18:20] == b"\1\1"
    with Database(results / DATABASE, read_only=True) as database, pytest.raises(HoimgError):
        database.put("p9", {})
    assert tables(results) == before
    assert [path.name for path in results.iterdir()] == [DATABASE]
    assert run(["query", str(tmp_path), "failed"]) == 2
    assert "hoimg batch" in capsys.readouterr().err
    (tmp_path / DATABASE).write_bytes(b"no database at all, whatever it is called")
    assert run(["query", str(tmp_path), "failed"]) == 2


def test_rows_of_a_patient_are_replaced_as_a_whole_or_not_at_all(tmp_path):
    with Database(tmp_path / DATABASE) as database:
        database.put("p0000a", rows_of(report_of("p0000a")))
        before = tables(tmp_path)
        broken = rows_of(report_of("p0000a"))
        for rows in broken.values():
            rows += rows[-1:]  # the same key twice: refused by the database, at the end
        with pytest.raises(Exception, match="UNIQUE"):
            database.put("p0000a", broken)
        assert tables(tmp_path) == before
