"""A day's scores in PostgreSQL: a run that is cut short goes on where it was, each row once.

Rows are sent in the batches of the scores' file. A batch, and how far the run is by it, are one
transaction: whatever was told as done is there, and nothing else. At the end the rows of customers
who are not among the day's scores any more are removed in the transaction that marks the run done.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from features.catalogue import JOIN_KEY
from features.errors import ConflictError, InputError, ServerError
from features.servers import SECONDS, unreachable, without_password
from features.snapshot_files import stored_key
from serving.delivery import Delivered
from serving.score_files import read_scores

RUNS = "lifecycle_score_runs"
"""The table that says how far each run is."""
_TABLE = re.compile("[a-z_][a-z0-9_]{0,62}")
_OWN = ("project", "run_key")
"""Columns before the scores' own: whose rows they are, and the run that wrote them last."""


def deliver_rows(
    scores: Path, url: str, table: str, project: str, say: Callable[[int, int], None]
) -> Delivered:
    """Bring a table in line with a day's scores.

    Parameters
    ----------
    scores
        The scores' file.
    project
        Keeps workspaces that share a table apart.
    say
        Told of progress: customers done, of all.

    Raises
    ------
    InputError
        The table's name is none, or there is such a table of something else.
    ConflictError
        Another process writes the same scores.
    ServerError
        The database cannot be used, or was lost on the way; what was told as done is there.
    """
    if not _TABLE.fullmatch(table):
        raise InputError(
            f"--table {table} is no plain name; write it in small letters, digits and _, "
            "as in lifecycle_scores"
        )
    key = stored_key(scores) or ""
    schema = pq.read_schema(scores).remove_metadata()
    with _connected(url) as connection:
        run = _Run(connection, table, project, key, schema, pq.read_metadata(scores).num_rows)
        return run.finish(scores, say)


def erase_delivered(url: str, project: str, customers: Sequence[str]) -> dict[str, int]:
    """Delete the rows of some customers from every table that a workspace's scores were sent to.

    Returns
    -------
    dict
        Table to rows that are gone; a table that is gone itself is left out.

    Raises
    ------
    ServerError
        The database cannot be used.
    """
    found: dict[str, int] = {}
    with _connected(url) as connection:
        if connection.execute("SELECT to_regclass(%s)", (RUNS,)).fetchone()[0] is None:
            return found
        tables = connection.execute(
            f"SELECT DISTINCT target FROM {RUNS} WHERE project = %s ORDER BY 1", (project,)
        ).fetchall()
        for (table,) in tables:
            quoted = f'"{table}"'
            if connection.execute("SELECT to_regclass(%s)", (quoted,)).fetchone()[0] is None:
                continue
            found[table] = connection.execute(
                f"DELETE FROM {quoted} WHERE project = %s AND {JOIN_KEY}::text = ANY(%s)",
                (project, list(customers)),
            ).rowcount
            # What was deleted stands in the file until the space is used again.
            connection.execute(f"VACUUM {quoted}")
    return found


class _Run:
    """One day's scores on their way into one table."""

    def __init__(
        self,
        connection: Any,  # noqa: ANN401 - of an extra
        table: str,
        project: str,
        key: str,
        schema: pa.Schema,
        customers: int,
    ) -> None:
        self._connection = connection
        self._table = table
        self._quoted = f'"{table}"'
        self._project = project
        self._key = key
        self._schema = schema
        self._customers = customers
        self._columns = [*_OWN, *schema.names]

    def finish(self, scores: Path, say: Callable[[int, int], None]) -> Delivered:
        """Do what is left of the run."""
        as_of = _day_of(scores)
        before, done = self._begin(as_of)
        if done:
            say(before, self._customers)
            return Delivered(0, before)
        place = before
        say(place, self._customers)
        for batch in read_scores(scores, start=before):
            with self._connection.transaction():
                self._held(as_of, place)
                self._upsert(batch)
                place += batch.num_rows
                self._move(as_of, place)
            say(place, self._customers)
        with self._connection.transaction():
            self._held(as_of, place)
            removed = self._connection.execute(
                f"DELETE FROM {self._quoted} WHERE project = %s AND as_of = %s AND run_key <> %s",
                (self._project, as_of, self._key),
            ).rowcount
            self._move(as_of, place, done=True)
        return Delivered(place - before, before, removed)

    def _begin(self, as_of: date) -> tuple[int, bool]:
        """Make the tables, and find how far this very run is."""
        with self._connection.transaction():
            # Two that make the same tables at once would both fail.
            self._connection.execute("SELECT pg_advisory_xact_lock(hashtext('lifecycle scores'))")
            self._connection.execute(_runs_sql())
            if not self._columns_there():
                self._connection.execute(_table_sql(self._quoted, self._schema))
                # What was told of a table that is gone is true no more.
                self._connection.execute(f"DELETE FROM {RUNS} WHERE target = %s", (self._table,))
            self._check_table()
            self._connection.execute(
                f"INSERT INTO {RUNS} (project, target, as_of, run_key) VALUES (%s, %s, %s, %s) "
                "ON CONFLICT (project, target, as_of) DO UPDATE SET run_key = EXCLUDED.run_key, "
                f"customers = 0, done = false WHERE {RUNS}.run_key <> EXCLUDED.run_key",
                (self._project, self._table, as_of, self._key),
            )
            found = self._connection.execute(
                f"SELECT customers, done FROM {RUNS} "
                "WHERE project = %s AND target = %s AND as_of = %s",
                (self._project, self._table, as_of),
            ).fetchone()
        self._connection.execute(
            f"CREATE TEMPORARY TABLE lifecycle_batch (LIKE {self._quoted}) ON COMMIT DELETE ROWS"
        )
        return int(found[0]), bool(found[1])

    def _columns_there(self) -> dict[str, str]:
        found = self._connection.execute(
            "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute "
            "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
            (self._quoted,),
        )
        return dict(found.fetchall())

    def _check_table(self) -> None:
        expected = dict.fromkeys(_OWN, "text")
        expected |= {field.name: _sql_type(field.type) for field in self._schema}
        wrong = expected.items() - self._columns_there().items()
        if wrong:
            column, kind = min(wrong)
            raise InputError(
                f"table {self._table} has no column {column} of type {kind}, so it is not one of "
                "these scores; name another with --table, or drop it"
            )

    def _held(self, as_of: date, place: int) -> None:
        """Hold the run until the transaction ends, and check that nobody else has moved it."""
        found = self._connection.execute(
            f"SELECT run_key, customers, done FROM {RUNS} "
            "WHERE project = %s AND target = %s AND as_of = %s FOR UPDATE",
            (self._project, self._table, as_of),
        ).fetchone()
        if found != (self._key, place, False):
            raise ConflictError(
                f"another process writes the scores of {as_of} to table {self._table} too; wait "
                "for it to end and run the same again"
            )

    def _move(self, as_of: date, place: int, *, done: bool = False) -> None:
        self._connection.execute(
            f"UPDATE {RUNS} SET customers = %s, done = %s, told_at = now() "
            "WHERE project = %s AND target = %s AND as_of = %s",
            (place, done, self._project, self._table, as_of),
        )

    def _upsert(self, batch: pa.RecordBatch) -> None:
        names = ", ".join(self._columns)
        changed = [name for name in self._columns if name not in {"project", JOIN_KEY, "as_of"}]
        with (
            self._connection.cursor() as cursor,
            cursor.copy(f"COPY lifecycle_batch ({names}) FROM STDIN (FORMAT csv)") as copy,
        ):
            copy.write(self._csv(batch))
        self._connection.execute(
            f"INSERT INTO {self._quoted} ({names}) SELECT {names} FROM lifecycle_batch "
            f"ON CONFLICT (project, {JOIN_KEY}, as_of) DO UPDATE SET "
            + ", ".join(f"{name} = EXCLUDED.{name}" for name in changed)
        )

    def _csv(self, batch: pa.RecordBatch) -> bytes:
        own = [pa.repeat(value, batch.num_rows) for value in (self._project, self._key)]
        columns = [_array_text(c) if pa.types.is_list(c.type) else c for c in batch.columns]
        table = pa.table([*own, *columns], names=self._columns)
        sink = BytesIO()
        pcsv.write_csv(table, sink, pcsv.WriteOptions(include_header=False))
        return sink.getvalue()


def _array_text(column: pa.ListArray) -> pa.Array:
    r"""Write lists of text as PostgreSQL does.

    >>> _array_text(pa.array([["a", 'b "c"\\'], [], None])).to_pylist()
    ['{"a","b \\"c\\"\\\\"}', '{}', None]
    """
    values = pc.replace_substring(column.flatten(), "\\", "\\\\")
    values = pc.replace_substring(values, '"', '\\"')
    quoted = pc.binary_join_element_wise('"', values, '"', "")
    lengths = pc.fill_null(pc.list_value_length(column), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths)])
    lists = pa.ListArray.from_arrays(offsets, quoted)
    text = pc.binary_join_element_wise("{", pc.binary_join(lists, ","), "}", "")
    return pc.if_else(pc.is_valid(column), text, None)


def _sql_type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return "text[]"
    names = {
        pa.int64(): "bigint",
        pa.float64(): "double precision",
        pa.date32(): "date",
        pa.string(): "text",
    }
    return names.get(kind, "timestamp with time zone")


def _table_sql(table: str, schema: pa.Schema) -> str:
    columns = [f"{name} text NOT NULL" for name in _OWN]
    columns += [f"{field.name} {_sql_type(field.type)}" for field in schema]
    key = f"PRIMARY KEY (project, {JOIN_KEY}, as_of)"
    return f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(columns)}, {key})"


def _runs_sql() -> str:
    return (
        f"CREATE TABLE IF NOT EXISTS {RUNS} (project text NOT NULL, target text NOT NULL, "
        "as_of date NOT NULL, run_key text NOT NULL, customers bigint NOT NULL DEFAULT 0, "
        "done boolean NOT NULL DEFAULT false, told_at timestamp with time zone DEFAULT now(), "
        "PRIMARY KEY (project, target, as_of))"
    )


def _day_of(scores: Path) -> date:
    return date.fromisoformat(scores.stem)


@contextmanager
def _connected(url: str) -> Iterator[Any]:
    """Open the database; whatever it fails with is told without its password."""
    try:
        import psycopg  # noqa: PLC0415 - only who has a server needs a client
    except ModuleNotFoundError:
        raise ServerError(
            f"--out {without_password(url)} needs the package psycopg, which is not installed; "
            "run `pip install lifecycle[postgres]`, or write a file"
        ) from None
    plain = re.sub("^postgres(ql)?([+]psycopg)?://", "postgresql://", url)
    try:
        with psycopg.connect(plain, autocommit=True, connect_timeout=SECONDS) as connection:
            yield connection
    except psycopg.Error as error:
        raise unreachable("--out", url, error) from None
