"""What stands in the folder of results is what the database knows, whenever it was interrupted."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import odd_child
import pytest
from archives import go, key_of, settings, statuses, write_root
from pydantic import ValidationError
from synthetic_archive_ct import write_one

from hoimg.archive import publish
from hoimg.archive.database import DATABASE, Database
from hoimg.archive.tables import METADATA, VERSION, _version
from hoimg.archive.task import REPORT, Outcome, Task
from hoimg.errors import UsageError


class Killed(BaseException):
    """In place of SIGKILL."""


def volume(out: Path, key: str) -> tuple[float, float]:
    """The first lesion's volume: in the report that stands there, and in the database."""
    said = json.loads((out / "patients" / key / "report.json").read_text())
    with closing(sqlite3.connect(out / DATABASE)) as database:
        (row,) = database.execute(
            "SELECT volume_mm3 FROM observations WHERE patient_key=? AND volume_ci95_low_mm3 > 0",
            (key,),
        ).fetchall()
    return said["lesions"][0]["observations"][0]["volume_mm3"], row[0]


def made_with(extra: float, real: Any = odd_child.report_of) -> Any:
    """A report whose first volume tells which input it is of."""

    def make(key: str) -> Any:
        report = real(key)
        report.lesions[0].observations[0].volume_mm3 += extra
        return report

    return make


def hurt(folder: Path, how: str) -> None:
    if how == "gone":
        shutil.rmtree(folder)
    elif how == "cut":
        (folder / "report.json").write_text("{}")
    else:
        (folder / "manifest.json").unlink()


@pytest.mark.parametrize("how", ["gone", "cut", "without its manifest"])
def test_a_report_that_is_not_whole_is_a_failure_that_may_pass(tmp_path, monkeypatch, how):
    root, out = write_root(tmp_path / "root", "good", "good"), tmp_path / "out"
    real = odd_child.act

    def act(task: Task) -> Outcome:
        outcome = real(task)
        if task.files[0].endswith("00/good.dcm"):
            hurt(Path(task.folder) / REPORT, how)
        return outcome

    monkeypatch.setattr(odd_child, "act", act)
    assert go(root, out).done == 1
    bad = key_of(root / "Zoltanfy^Otto00" / "good.dcm")
    assert statuses(out)[bad] == ("failed", "report_lost")
    monkeypatch.setattr(odd_child, "act", real)
    assert go(root, out).done == 2


def test_a_report_killed_between_its_place_and_its_record_does_not_pass_for_another(
    tmp_path, monkeypatch
):
    root, out = write_root(tmp_path / "root", "good"), tmp_path / "out"
    (image,) = root.rglob("*.dcm")
    key = key_of(image)
    go(root, out)
    first = volume(out, key)
    assert first[0] == first[1]
    more = write_one(root / "more" / "good.dcm", "SECRET-00", number=2)
    monkeypatch.setattr(odd_child, "report_of", made_with(7.0))

    def stop(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Database, "put", stop)
        with pytest.raises(Killed):
            go(root, out)
    assert volume(out, key) == (first[0] + 7, first[0])
    # The second study goes again: what the database says is now of a report that is not there.
    more.unlink()
    monkeypatch.setattr(odd_child, "report_of", made_with(0.0))
    go(root, out)
    assert volume(out, key) == first


def test_names_come_from_the_newest_report_replaced_or_not(tmp_path, monkeypatch):
    out, earlier = tmp_path / "out", []
    real = odd_child.act

    def act(task: Task) -> Outcome:
        earlier.append(None if task.earlier is None else Path(task.earlier).relative_to(out))
        return real(task)

    monkeypatch.setattr(odd_child, "act", act)
    root = write_root(tmp_path / "root", "good")
    (image,) = root.rglob("*.dcm")
    key = key_of(image)
    go(root, out)
    # It fails for a reason that may pass, which moves the report away; then it goes well again.
    broken = image.rename(image.with_name("broken-disk.dcm"))
    write_one(root / "more" / "broken-disk.dcm", "SECRET-00", number=2)
    go(root, out, settings=settings(tries=1))
    assert statuses(out)[key] == ("failed", "io_error")
    broken.rename(image)
    (root / "more" / "broken-disk.dcm").rename(root / "more" / "good.dcm")
    go(root, out)
    go(root, out)  # kept
    write_one(root / "more" / "3", "SECRET-00", number=3)
    go(root, out)
    patients, replaced = Path("patients") / key, Path("replaced") / f"{key}-1"
    assert earlier == [None, patients, replaced, patients]


def test_a_trace_stays_until_the_database_knows_better(tmp_path, monkeypatch):
    root, out = write_root(tmp_path / "root", "bug"), tmp_path / "out"
    (image,) = root.rglob("*.dcm")
    trace = out / "failures" / f"{key_of(image)}.txt"
    go(root, out)
    assert trace.exists()
    image.rename(image.with_name("good.dcm"))
    write_one(root / "more" / "good.dcm", "SECRET-00", number=2)

    def stop(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("hoimg.archive.run.discard", stop)  # recorded, and killed then
        with pytest.raises(Killed):
            go(root, out)
    assert trace.exists()
    assert go(root, out).done == 1
    assert not trace.exists()


def test_an_outcome_whose_report_was_moved_is_published_once(tmp_path):
    task = Task("p1", (), "{}", "f" * 64, str(tmp_path / "work" / "p1-x"))
    Path(task.folder).mkdir(parents=True)
    outcome = odd_child.act(Task(**{**vars(task), "files": ("good",)}))
    made = publish.found_report(outcome, tmp_path)
    assert made == Path(task.folder) / REPORT
    assert publish.publish(outcome, made, tmp_path) is None
    moved = publish.found_report(outcome, tmp_path)
    assert moved == tmp_path / "patients" / "p1"
    assert publish.publish(outcome, moved, tmp_path) is None
    assert not (tmp_path / "replaced").exists()


def test_a_database_with_other_columns_is_refused_and_left_alone(tmp_path):
    with Database(tmp_path / DATABASE):
        pass
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (VERSION,)
        database.execute("PRAGMA user_version = 1")
    before = (tmp_path / DATABASE).read_bytes()
    for read_only in (True, False):
        with pytest.raises(UsageError, match=r"not those of this version.*new folder"):
            Database(tmp_path / DATABASE, read_only=read_only)
    assert (tmp_path / DATABASE).read_bytes() == before


def test_the_version_of_the_tables_follows_every_column():
    from sqlalchemy import Column, Integer, MetaData, Table, Text

    def of(*columns: Column[Any]) -> int:
        made = MetaData()
        Table("t", made, *columns)
        return _version(made)

    one = of(Column("a", Integer))
    assert one == of(Column("a", Integer))
    assert len({one, of(Column("a", Text)), of(Column("b", Integer)),
                of(Column("a", Integer), Column("b", Text))}) == 4  # fmt: skip
    assert 0 < VERSION < 2**31
    assert _version(METADATA) == VERSION


@pytest.mark.parametrize("name", ["minutes", "memory_gb", "free_gb"])
@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1.0])
def test_a_limit_is_a_number(name, value):
    with pytest.raises(ValidationError):
        settings(**{name: value})
