"""Whatever one patient does, the others are done, and it gets its reason."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import psutil
import pytest
from archives import files, go, key_of, settings, statuses, tables, write_root

KINDS = {
    "good": ("done", None),
    "fine": ("done", None),
    "flaky": ("done", None),
    "eat": ("failed", "over_memory"),
    "crash": ("failed", "process_crashed"),
    "killed": ("failed", "process_killed"),
    "silent": ("failed", "process_failed"),
    "refused": ("failed", "not_hounsfield"),
    "bug": ("failed", "unexpected"),
    "broken-disk": ("failed", "io_error"),
}
LIMITS = settings(minutes=5.0, memory_gb=0.6, tries=2)


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, object]:
    """All kinds, on two workers."""
    base = tmp_path_factory.mktemp("failures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOIMG_TEST_LOG", str(base / "log"))
        root = write_root(base / "root", *KINDS)
        (root / "notes").mkdir()
        (root / "notes" / "a.txt").write_text("nobody")
        (root / "README").write_text("beside the folders")
        return base, root, go(root, base / "out", dask=True, workers=2, settings=LIMITS)


def test_every_good_one_is_done_and_every_bad_one_has_its_reason(batch):
    base, root, summary = batch
    wanted = {key_of(p): KINDS[p.stem] for p in root.rglob("*.dcm")}
    found = statuses(base / "out")
    assert {k: v for k, v in found.items() if k.startswith("p")} == wanted
    assert [v for k, v in found.items() if k.startswith("u")] == [("failed", "no_dicom")]
    # The totals add up: 10 patients and one folder of nobody.
    assert (summary.total, summary.done, len(summary.failed)) == (11, 3, 8)
    made = {p.name for p in (base / "out" / "patients").iterdir()}
    assert made == {k for k, v in wanted.items() if v[0] == "done"}


def test_one_that_hangs_is_stopped_and_done_again_with_a_longer_limit_only(tmp_path, monkeypatch):
    # Alone, as on a busy machine any patient would go over such a limit.
    log = tmp_path / "log"
    monkeypatch.setenv("HOIMG_TEST_LOG", str(log))
    root, out = write_root(tmp_path / "root", "hang"), tmp_path / "out"
    short = settings(minutes=0.03)
    for _ in range(2):
        go(root, out, settings=short)
    assert list(statuses(out).values()) == [("failed", "over_time")]
    assert not left(log)
    (image,) = root.rglob("hang.dcm")
    key = key_of(image)
    before = log.read_text().split().count(key) if log.exists() else 0
    assert before <= 1  # the second run kept it
    image.rename(image.with_name("good.dcm"))
    assert go(root, out, settings=settings(minutes=5.0)).done == 1


def test_no_patient_waits_behind_a_long_one_while_another_worker_has_none(tmp_path, monkeypatch):
    monkeypatch.setenv("HOIMG_TEST_LOG", str(tmp_path / "log"))
    root = write_root(tmp_path / "root", "last", "good", "fine", "good", "fine", "good")
    summary = go(root, tmp_path / "out", dask=True, workers=2)
    assert (summary.done, summary.failed) == (6, ())


def test_only_what_may_pass_is_tried_again(batch):
    base, root, _ = batch
    starts = (base / "log").read_text().split()
    twice = {key_of(p) for p in root.rglob("*.dcm") if p.stem in ("flaky", "broken-disk", "killed")}
    for path in root.rglob("*.dcm"):
        assert starts.count(key_of(path)) == (2 if key_of(path) in twice else 1), path.stem


def test_nothing_in_the_results_names_the_patients(batch):
    base, _, _ = batch
    for path in (base / "out").rglob("*"):
        assert "Zoltanfy" not in path.name
        if path.is_file():
            data = path.read_bytes()
            for secret in (b"Zoltanfy", b"SECRET-", b"root/", b"bug.dcm"):
                assert secret not in data, (path, secret)


def test_an_unexpected_error_leaves_the_places_in_the_code(batch):
    base, root, _ = batch
    (bug,) = root.rglob("bug.dcm")
    trace = (base / "out" / "failures" / f"{key_of(bug)}.txt").read_text()
    assert "odd_child.py" in trace
    assert trace.endswith("ValueError\n")


def left(log: Path) -> list[psutil.Process]:
    """Processes of patients that were told to write this log."""
    return [
        p for p in psutil.process_iter(["cmdline"])
        if "odd_child" in (p.info["cmdline"] or [])
        and p.environ().get("HOIMG_TEST_LOG") == str(log)
    ]  # fmt: skip


def test_no_process_stays(batch):
    base, _, _ = batch
    assert not left(base / "log")
    assert not (base / "out" / "work").exists()


def test_a_second_run_tries_only_what_may_pass_and_then_a_raised_limit(
    batch, monkeypatch, tmp_path
):
    base, root, _ = batch
    by_key = {key_of(p): p.stem for p in root.rglob("*.dcm")}
    log = tmp_path / "again"
    monkeypatch.setenv("HOIMG_TEST_LOG", str(log))
    before = tables(base / "out"), files(base / "out")
    summary = go(root, base / "out", workers=1, settings=LIMITS)
    assert {by_key[k] for k in log.read_text().split()} == {"broken-disk", "killed"}
    assert (summary.total, summary.done) == (11, 3)
    assert (tables(base / "out"), files(base / "out")) == before
    log.unlink()
    raised = LIMITS.model_copy(update={"batch": LIMITS.batch.model_copy(update={"memory_gb": 0.7})})
    go(root, base / "out", workers=1, settings=raised)
    assert {by_key[k] for k in log.read_text().split()} == {"broken-disk", "killed", "eat"}


def test_rows_are_what_the_reports_say(batch):
    base, _, _ = batch
    with sqlite3.connect(base / "out" / "results.sqlite") as database:
        database.row_factory = sqlite3.Row
        for folder in (base / "out" / "patients").iterdir():
            said = json.loads((folder / "report.json").read_text())
            for lesion in said["lesions"]:
                for seen in lesion["observations"]:
                    (row,) = database.execute(
                        "SELECT * FROM observations"
                        " WHERE patient_key=? AND lesion_id=? AND exam_id=?",
                        (folder.name, lesion["lesion_id"], seen["exam_id"]),
                    ).fetchall()
                    for name, value in seen.items():
                        if "_ci95" in name:
                            low, high = value or (None, None)
                            assert row[name.replace("_ci95", "_ci95_low")] == low
                            assert row[name.replace("_ci95", "_ci95_high")] == high
                        elif name == "centroid_lps_mm":
                            ways = ("left", "posterior", "superior")
                            got = [row[f"centroid_{way}_lps_mm"] for way in ways]
                            assert got == (value or [None] * 3)
                        elif isinstance(value, list):
                            assert json.loads(row[name]) == value
                        else:
                            assert row[name] == value, name
            days = dict(database.execute("SELECT exam_id, days_from_baseline FROM exams"))
            assert days == {"day0000": 0, "day0100": 100}


def test_exported_tables_hold_the_same(batch):
    import csv

    import pyarrow.parquet as pq

    base, _, _ = batch
    for name, rows in tables(base / "out").items():
        table = pq.read_table(base / "out" / "tables" / f"{name}.parquet")
        with sqlite3.connect(base / "out" / "results.sqlite") as database:
            kinds = {r[1]: r[2] for r in database.execute(f"PRAGMA table_info({name})")}
        got = [tuple(row[c] for c in kinds) for row in table.to_pylist()]
        assert sorted(got, key=repr) == sorted(
            (
                tuple(
                    bool(v) if k == "BOOLEAN" and v is not None else v
                    for v, k in zip(row, kinds.values(), strict=True)
                )
                for row in rows
            ),
            key=repr,
        )
        with (base / "out" / "tables" / f"{name}.csv").open(newline="") as stream:
            assert len(list(csv.DictReader(stream))) == len(rows)
