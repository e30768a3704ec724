"""Every table as Parquet and CSV, for programs that do not read SQLite."""

from __future__ import annotations

import csv
import shutil
from itertools import islice
from pathlib import Path
from typing import IO

from sqlalchemy import Boolean, Float, Integer, Table

from hoimg.archive.database import Database
from hoimg.archive.tables import METADATA, OF_PATIENT
from hoimg.report.files import csv_cell
from hoimg.whole_files import PREFIX

TABLES = "tables"
_AT_ONCE = 10_000


def export_tables(database: Database, out: Path) -> Path:
    """Write ``tables/<table>.parquet`` and ``.csv``; those of before stand until all are written.

    Args:
        database: Of the batch.
        out: Folder of the results.

    Returns:
        The folder of the files.

    Raises:
        OSError: when they cannot be written; those of before are unchanged then.
    """
    target, part = out / TABLES, out / f"{PREFIX}{TABLES}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        for table in (METADATA.tables["runs"], *OF_PATIENT):
            _export(database, table, part)
        target.mkdir(exist_ok=True)
        for path in sorted(part.iterdir()):
            path.replace(target / path.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target


def _export(database: Database, table: Table, folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {Boolean: pa.bool_(), Float: pa.float64(), Integer: pa.int64()}
    schema = pa.schema([(c.name, types.get(type(c.type), pa.string())) for c in table.columns])
    rows = database.rows(table)
    with (
        pq.ParquetWriter(folder / f"{table.name}.parquet", schema) as parquet,
        (folder / f"{table.name}.csv").open("w", encoding="utf-8", newline="") as stream,
    ):
        writer = _csv(stream, schema.names)
        while some := list(islice(rows, _AT_ONCE)):
            parquet.write_table(pa.Table.from_pylist(some, schema))
            for row in some:
                writer.writerow({name: csv_cell(value) for name, value in row.items()})


def _csv(stream: IO[str], names: list[str]) -> csv.DictWriter[str]:
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    return writer
