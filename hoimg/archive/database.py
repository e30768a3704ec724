"""``results.sqlite``: written by the one process that runs a batch, read by anybody.

A patient's rows are written in one transaction: they are all there or none is. In WAL mode others
read while it is written; it has to lie on a disk of the machine that writes it. A run that ends
leaves it without WAL, so that reading it writes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, delete, event, select, text
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import NullPool

from hoimg.archive.tables import METADATA, OF_PATIENT, PATIENTS, RUNS, VERSION, Row
from hoimg.errors import HoimgError, UsageError

DATABASE = "results.sqlite"


@dataclass(frozen=True)
class Known:
    """What the database holds of a patient.

    Attributes:
        status: ``done`` or ``failed``.
        code: Why it failed.
        passing: Whether another attempt may go well.
        over_limit: The limit it went over, minutes or GB.
        input_sha256: Of its files then.
        config_sha256: Of the settings then.
        software: That made it.
    """

    status: str
    code: str | None
    passing: bool
    over_limit: float | None
    input_sha256: str
    config_sha256: str
    software: str


class Database:
    """The results of a batch; a context manager.

    Args:
        path: The file; made when it does not exist, unless ``read_only``.
        read_only: Nothing is written, not even a missing table.

    Raises:
        UsageError: when it cannot be opened, or another version of hoimg made it.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._read_only = read_only
        self._engine = _reader(path) if read_only else _writer(path)
        try:
            if read_only or path.is_file():
                _check(path, may_be_empty=not read_only)
            if not read_only:
                with self._engine.begin() as connection:
                    METADATA.create_all(connection)
                    connection.execute(text(f"PRAGMA user_version = {VERSION}"))
        except DatabaseError as error:
            self._engine.dispose()
            if not read_only and isinstance(error, OperationalError):
                raise self._not_written(error) from error
            raise UsageError(f"{path}: cannot be used as a database ({error.orig})") from error
        except UsageError:
            self._engine.dispose()
            raise

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._read_only:
            self._settle()
        self._engine.dispose()

    def _settle(self) -> None:
        """Leave one plain file: who reads one in WAL mode writes files beside it.

        Where somebody reads just now, or the disk is full, it stays as it is.
        """
        with suppress(DatabaseError), self._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = DELETE")

    def known(self) -> dict[str, Known]:
        """Every patient by key."""
        columns = [PATIENTS.c[name] for name in ("patient_key", *Known.__dataclass_fields__)]
        with self._engine.connect() as connection:
            return {row[0]: Known(*row[1:]) for row in connection.execute(select(*columns))}

    def begin_run(self, row: Row) -> int:
        """Note a run that starts; one that was killed before is closed. Gives its number."""
        with self._writing() as connection:
            connection.execute(
                RUNS.update().where(RUNS.c.state == "running").values(state="killed")
            )
            done = connection.execute(RUNS.insert().values(started=_now(), state="running", **row))
            assert done.inserted_primary_key is not None
            return int(done.inserted_primary_key[0])

    def end_run(self, run: int, state: str, done: int, failed: int) -> None:
        """Note how a run ended: ``finished`` or ``stopped``."""
        with self._writing() as connection:
            connection.execute(
                RUNS.update()
                .where(RUNS.c.run == run)
                .values(ended=_now(), state=state, done=done, failed=failed)
            )

    def put(self, key: str, rows: Mapping[Table, Sequence[Row]]) -> None:
        """Replace all rows of a patient, in one transaction.

        Raises:
            HoimgError: when they cannot be written; nothing has changed then.
        """
        with self._writing() as connection:
            _put(connection, key, rows)

    def put_refused(
        self, prefix: str, all_rows: Mapping[str, Mapping[Table, Sequence[Row]]]
    ) -> None:
        """Replace everything whose key begins so; these are judged anew by each run."""
        with self._writing() as connection:
            for table in OF_PATIENT:
                connection.execute(delete(table).where(table.c.patient_key.startswith(prefix)))
            for key, rows in all_rows.items():
                _put(connection, key, rows)

    def forget(self, keys: Collection[str]) -> None:
        """Remove all rows of patients."""
        with self._writing() as connection:
            for key in keys:
                _put(connection, key, {})

    def rows(self, table: Table) -> Iterator[Row]:
        """All rows of a table in the order of its key."""
        with self._engine.connect() as connection:
            found = connection.execution_options(yield_per=1000).execute(
                select(table).order_by(*table.primary_key.columns)
            )
            for row in found:
                yield dict(row._mapping)

    def ask(self, statement: Any) -> list[Row]:
        """All rows of a select."""
        with self._engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(statement)]

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except OperationalError as error:
            raise self._not_written(error) from error

    def _not_written(self, error: OperationalError) -> HoimgError:
        return HoimgError(
            f"{self.path}: results cannot be written ({error.orig}); what was finished is "
            "recorded: make room there, then start the same command again to go on"
        )


def _check(path: Path, *, may_be_empty: bool) -> None:
    """Refuse the tables of another version before anything is written, be it how to write."""
    engine = _reader(path)
    try:
        with engine.connect() as connection:
            version = connection.execute(text("PRAGMA user_version")).scalar_one()
    finally:
        engine.dispose()
    if version != VERSION and not (may_be_empty and version == 0):
        raise UsageError(
            f"{path}: its tables are not those of this version of hoimg; ask it with the version "
            "that made it, or run hoimg batch into a new folder"
        )


def _put(connection: Connection, key: str, rows: Mapping[Table, Sequence[Row]]) -> None:
    for table in OF_PATIENT:
        connection.execute(delete(table).where(table.c.patient_key == key))
        if rows.get(table):
            connection.execute(table.insert(), list(rows[table]))


def _writer(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path.absolute()}")

    @event.listens_for(engine, "connect")
    def _set(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA busy_timeout = 30000")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    return engine


def _reader(path: Path) -> Engine:
    if not path.is_file():
        raise UsageError(f"{path.parent}: holds no results of a batch; make them with hoimg batch")
    import sqlite3

    def connect() -> sqlite3.Connection:
        name = path.absolute().as_uri()
        opened = sqlite3.connect(f"{name}?mode=ro", uri=True)
        try:
            opened.execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.OperationalError:
            opened.close()
            # On a medium that cannot be written WAL cannot be followed, nor can anyone change it.
            opened = sqlite3.connect(f"{name}?immutable=1", uri=True)
        return opened

    return create_engine("sqlite://", creator=connect, poolclass=NullPool)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
