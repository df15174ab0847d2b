"""Where a day's scores are sent to: a Parquet or CSV file; see :mod:`serving.postgres` too."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from features.errors import InputError
from features.workspace import replacing
from serving.score_files import read_scores

SCHEMES = ("postgresql://", "postgres://", "postgresql+psycopg://")


@dataclass(frozen=True)
class Delivered:
    """What a delivery did.

    Attributes
    ----------
    written
        Customers written now.
    before
        Customers that an earlier run, cut short, had written.
    removed
        Rows of the same day taken away: customers who are not among its scores any more.
    """

    written: int
    before: int = 0
    removed: int = 0


def is_database(out: str) -> bool:
    """Whether scores go to a database.

    >>> is_database("postgresql://me@host/db"), is_database("scores.csv")
    (True, False)
    """
    return out.startswith(SCHEMES)


def check_file(out: str) -> Path:
    """Check that scores can be written in a file's format.

    Raises
    ------
    InputError
        The name says neither Parquet nor CSV.
    """
    path = Path(out)
    if path.suffix not in {".parquet", ".csv"}:
        raise InputError(
            f"--out {out} must end in .parquet or .csv, or be the address of a PostgreSQL "
            "database (postgresql://user@host/database)"
        )
    return path


def deliver_file(scores: Path, path: Path) -> Delivered:
    """Write a day's scores to another file, whole or not at all."""
    rows = pq.read_metadata(scores).num_rows
    if path.resolve() == scores.resolve():
        return Delivered(0, rows)
    with replacing(path) as temporary:
        if path.suffix == ".parquet":
            shutil.copyfile(scores, temporary)
        else:
            _write_csv(scores, temporary)
    return Delivered(rows)


def _write_csv(scores: Path, path: Path) -> None:
    schema = pa.schema(
        [
            pa.field(field.name, pa.string() if pa.types.is_list(field.type) else field.type)
            for field in pq.read_schema(scores)
        ]
    )
    with pcsv.CSVWriter(path, schema) as writer:
        for batch in read_scores(scores):
            columns = [
                pc.binary_join(column, "; ") if pa.types.is_list(column.type) else column
                for column in batch.columns
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))
