"""Packed rows in one SQLite file: a table for each set of join keys, a column for each view.

All views of an entity stand in one row, so that one lookup reads them. A whole materialisation is
one transaction: readers see all of it, in every view, or nothing, and a process that dies in it
leaves what was there. Readers are never kept waiting (the file is in write-ahead mode); other
writers wait, ``busy_seconds`` at most.

``feature_store.yaml``::

    online_store:
      type: features.stores.packed_sqlite.PackedSQLiteOnlineStore
      path: online.db

A new file is a new generation: it costs nothing until it is written, and :func:`delete_files`
removes an old one.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal, cast

from feast import Entity, FeatureView, RepoConfig
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel
from pydantic import Field, StrictStr

from features.stores.keys import holds, key_of
from features.stores.online import PackedOnlineStore, View
from features.stores.schema import HEAD_BYTES, ORDER_BYTES, RowSchema

_KEYS_PER_QUERY = 1_000
_TABLES = """
CREATE TABLE IF NOT EXISTS packed_schemas (head BLOB PRIMARY KEY, features TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS packed_views (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT NOT NULL,
    view TEXT NOT NULL,
    join_keys TEXT NOT NULL,
    UNIQUE (project, view)
);
"""


class PackedSQLiteOnlineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc] # Feast is untyped
    """Settings of the packed SQLite store."""

    type: Literal["features.stores.packed_sqlite.PackedSQLiteOnlineStore"] = (
        "features.stores.packed_sqlite.PackedSQLiteOnlineStore"
    )
    """Names the store, as Feast wants it."""

    path: StrictStr = "data/online.db"
    """The file, from the repository's folder on if it is relative."""

    busy_seconds: float = Field(default=60.0, ge=0)
    """How long a writer waits for another one."""


@dataclass(frozen=True)
class _Column:
    """Where a view's rows stand."""

    table: str
    name: str
    join_keys: tuple[str, ...]


@dataclass
class _Connection:
    """A thread's connection, and what it knows of the file's tables."""

    sqlite: sqlite3.Connection
    process: int
    columns: dict[tuple[str, str], _Column] = field(default_factory=dict)
    schemas: dict[bytes, RowSchema] = field(default_factory=dict)


class PackedSQLiteOnlineStore(PackedOnlineStore):
    """Feast's online store over packed rows in SQLite; safe to be used by many threads."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._lock = threading.Lock()
        self._opened: list[sqlite3.Connection] = []
        self._process = os.getpid()

    def __del__(self, process: Callable[[], int] = os.getpid) -> None:
        # A connection stands in a cycle of its own and would outlive its store, with its cache and
        # a file that may have been deleted. When Python ends, modules may be gone already; and what
        # a forked process holds is not its own to close.
        if process() == self._process:
            for sqlite in self._opened:
                sqlite.close()

    @contextmanager
    def writing(self, config: RepoConfig, views: Sequence[View]) -> Iterator[_SQLiteWriter]:
        """Open a transaction; see :meth:`PackedOnlineStore.writing`."""
        connection = self._connection(config)
        sqlite = connection.sqlite
        sqlite.execute("BEGIN IMMEDIATE")
        try:
            connection.columns.clear()
            columns = {view.name: _ensured(connection, config.project, view) for view in views}
            yield _SQLiteWriter(sqlite, columns)
            sqlite.execute("COMMIT")
        except BaseException:
            connection.columns.clear()
            if sqlite.in_transaction:
                sqlite.execute("ROLLBACK")
            raise

    def write_rows(
        self,
        config: RepoConfig,
        view: View,
        keys: Sequence[bytes],
        rows: Sequence[bytes],
    ) -> None:
        """Write some rows of one view in a transaction."""
        with self.writing(config, [view]) as writer:
            writer.write(keys, {view.name: rows})

    def fetch(
        self,
        config: RepoConfig,
        views: Sequence[View],
        keys: Sequence[bytes],
    ) -> list[list[bytes | None]]:
        """Read packed rows; see :meth:`PackedOnlineStore.fetch`."""
        connection = self._connection(config)
        try:
            return _fetched(connection, config.project, views, keys)
        except sqlite3.OperationalError as error:
            if "no such" not in str(error):
                raise
            # Another process has removed a view since this one looked.
            connection.columns.clear()
            return _fetched(connection, config.project, views, keys)

    def schema_of(self, config: RepoConfig, head: bytes) -> RowSchema | None:
        """Find a schema among those that rows were written by."""
        connection = self._connection(config)
        if head not in connection.schemas:
            found = connection.sqlite.execute(
                "SELECT features FROM packed_schemas WHERE head = ?", (head,)
            ).fetchone()
            if found is None:
                return None
            connection.schemas[head] = RowSchema.from_json(found[0])
        return connection.schemas[head]

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Make room for views that are new, and remove all rows of those that are gone."""
        kept = [table for table in tables_to_keep if getattr(table, "entity_columns", None)]
        with self.writing(config, [self.view_of(config, table) for table in kept]):
            connection = self._connection(config)
            for table in tables_to_delete:
                _dropped(connection, config.project, self.view_name(config, table))

    def teardown(
        self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]
    ) -> None:
        """Delete the file, as Feast's own SQLite store does."""
        self.disconnect()
        delete_files(database_path(config))

    def delete_entity(self, config: RepoConfig, join_keys: Mapping[str, Value]) -> int:
        """Forget an entity; see :meth:`PackedOnlineStore.delete_entity`."""
        connection = self._connection(config)
        deleted = 0
        sqlite = connection.sqlite
        sqlite.execute("BEGIN IMMEDIATE")
        try:
            rows = sqlite.execute(
                "SELECT DISTINCT join_keys FROM packed_views WHERE project = ?", (config.project,)
            ).fetchall()
            for (text,) in rows:
                names = tuple(json.loads(text))
                if set(join_keys) <= set(names):
                    table = _table(config.project, names)
                    keys = _keys_with(sqlite, table, names, join_keys)
                    sqlite.executemany(f"DELETE FROM {table} WHERE entity_key = ?", keys)
                    deleted += len(keys)
            sqlite.execute("COMMIT")
        except BaseException:
            if sqlite.in_transaction:
                sqlite.execute("ROLLBACK")
            raise
        return deleted

    def disconnect(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            opened, self._opened = self._opened, []
            self._local = threading.local()
        for sqlite in opened:
            sqlite.close()

    def _connection(self, config: RepoConfig) -> _Connection:
        found: _Connection | None = getattr(self._local, "connection", None)
        # A connection must not be carried into a forked process.
        if found is None or found.process != os.getpid():
            found = _Connection(_connected(config), os.getpid())
            self._local.connection = found
            with self._lock:
                self._opened.append(found.sqlite)
        return found


class _SQLiteWriter:
    """Writes rows within one transaction."""

    def __init__(self, sqlite: sqlite3.Connection, columns: Mapping[str, _Column]) -> None:
        self._sqlite = sqlite
        self._columns = columns

    def write(self, keys: Sequence[bytes], rows: Mapping[str, Sequence[bytes]]) -> None:
        """Write rows by view; an older row than the stored one changes nothing."""
        columns = [self._columns[view] for view in rows]
        self._sqlite.executemany(_upsert(columns), zip(keys, *rows.values(), strict=True))


def database_path(config: RepoConfig) -> Path:
    """Tell where a repository's file stands."""
    path = Path(config.online_store.path)
    return path if path.is_absolute() or not config.repo_path else Path(config.repo_path) / path


def delete_files(path: Path) -> None:
    """Delete a database and what SQLite keeps beside it; a missing one is no error."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _connected(config: RepoConfig) -> sqlite3.Connection:
    path = database_path(config)
    path.parent.mkdir(parents=True, exist_ok=True)
    sqlite = sqlite3.connect(
        path,
        timeout=config.online_store.busy_seconds,
        isolation_level=None,
        check_same_thread=False,
    )
    # Rows of ten views are some kilobytes; pages that hold a few of them save overflow pages.
    sqlite.execute("PRAGMA page_size = 16384")
    sqlite.execute("PRAGMA journal_mode = WAL")
    sqlite.execute("PRAGMA synchronous = NORMAL")
    sqlite.execute("PRAGMA cache_size = -65536")
    sqlite.executescript(_TABLES)
    return sqlite


def _table(project: str, join_keys: Sequence[str]) -> str:
    named = json.dumps([project, *join_keys])
    return "rows_" + hashlib.sha256(named.encode()).hexdigest()[:16]


def _located(connection: _Connection, project: str, view: str) -> _Column | None:
    if (project, view) not in connection.columns:
        found = connection.sqlite.execute(
            "SELECT id, join_keys FROM packed_views WHERE project = ? AND view = ?", (project, view)
        ).fetchone()
        if found is None:
            return None
        names = tuple(json.loads(found[1]))
        column = _Column(_table(project, names), f"view_{found[0]}", names)
        connection.columns[project, view] = column
    return connection.columns[project, view]


def _ensured(connection: _Connection, project: str, view: View) -> _Column:
    """Find a view's column, made within the open transaction if there is none."""
    sqlite = connection.sqlite
    column = _located(connection, project, view.name)
    if column is not None and column.join_keys != view.join_keys:
        _dropped(connection, project, view.name)
        column = None
    if column is None:
        sqlite.execute(
            "INSERT INTO packed_views (project, view, join_keys) VALUES (?, ?, ?)",
            (project, view.name, json.dumps(view.join_keys)),
        )
        column = _located(connection, project, view.name)
        if column is None:
            raise sqlite3.OperationalError(f"view {view.name!r} could not be registered")
        sqlite.execute(f"CREATE TABLE IF NOT EXISTS {column.table} (entity_key BLOB PRIMARY KEY)")
        sqlite.execute(f"ALTER TABLE {column.table} ADD COLUMN {column.name} BLOB")
    sqlite.execute(
        "INSERT OR IGNORE INTO packed_schemas VALUES (?, ?)",
        (view.schema.head, view.schema.to_json()),
    )
    return column


def _dropped(connection: _Connection, project: str, view: str) -> None:
    """Remove a view's column within the open transaction, and what is empty without it."""
    sqlite = connection.sqlite
    column = _located(connection, project, view)
    if column is None:
        return
    connection.columns.clear()
    sqlite.execute("DELETE FROM packed_views WHERE project = ? AND view = ?", (project, view))
    others = [
        name
        for _, name, *_ in sqlite.execute(f"PRAGMA table_info({column.table})").fetchall()
        if name not in {"entity_key", column.name}
    ]
    if not others:
        sqlite.execute(f"DROP TABLE {column.table}")
        return
    sqlite.execute(f"ALTER TABLE {column.table} DROP COLUMN {column.name}")
    empty = " AND ".join(f"{name} IS NULL" for name in others)
    sqlite.execute(f"DELETE FROM {column.table} WHERE {empty}")


def _upsert(columns: Sequence[_Column]) -> str:
    """Write SQL that lets the younger row win, comparing the bytes of the times."""
    names = [column.name for column in columns]
    times = f"{HEAD_BYTES + 1}, {ORDER_BYTES}"
    updates = ", ".join(
        f"{name} = CASE WHEN {name} IS NULL "
        f"OR substr(excluded.{name}, {times}) >= substr({name}, {times}) "
        f"THEN excluded.{name} ELSE {name} END"
        for name in names
    )
    marks = ", ".join("?" * (len(names) + 1))
    return (
        f"INSERT INTO {columns[0].table} (entity_key, {', '.join(names)}) VALUES ({marks}) "
        f"ON CONFLICT (entity_key) DO UPDATE SET {updates}"
    )


def _fetched(
    connection: _Connection, project: str, views: Sequence[View], keys: Sequence[bytes]
) -> list[list[bytes | None]]:
    columns = [_located(connection, project, view.name) for view in views]
    blobs: list[list[bytes | None]] = [[None] * len(keys) for _ in views]
    # A view that was never written, or under other join keys, has no rows.
    there = [
        (place, column)
        for place, (column, view) in enumerate(zip(columns, views, strict=True))
        if column is not None and column.join_keys == view.join_keys
    ]
    if not there or not keys:
        return blobs
    names = ", ".join(column.name for _, column in there)
    query = f"SELECT entity_key, {names} FROM {there[0][1].table} WHERE entity_key IN "
    # In the order of the index a search finds the next key where the last one was.
    rows = _rows(connection.sqlite, query, sorted(keys))
    found = dict(zip(map(itemgetter(0), rows), rows, strict=True))
    aligned = list(map(found.get, keys))
    if len(found) < len(keys):
        nothing = (None,) * (len(there) + 1)
        aligned = [nothing if row is None else row for row in aligned]
    _, *values = zip(*cast("list[tuple[Any, ...]]", aligned), strict=True)
    for (place, _), column in zip(there, values, strict=True):
        blobs[place] = list(column)
    return blobs


def _rows(sqlite: sqlite3.Connection, query: str, keys: Sequence[bytes]) -> list[tuple[Any, ...]]:
    """Run a query for keys, in parts that see one and the same state of the file."""
    if len(keys) <= _KEYS_PER_QUERY:
        return sqlite.execute(f"{query}({', '.join('?' * len(keys))})", keys).fetchall()
    rows: list[tuple[Any, ...]] = []
    own = not sqlite.in_transaction
    if own:
        sqlite.execute("BEGIN")
    try:
        for start in range(0, len(keys), _KEYS_PER_QUERY):
            part = keys[start : start + _KEYS_PER_QUERY]
            rows += sqlite.execute(f"{query}({', '.join('?' * len(part))})", part).fetchall()
    finally:
        if own:
            sqlite.execute("COMMIT")
    return rows


def _keys_with(
    sqlite: sqlite3.Connection,
    table: str,
    names: Sequence[str],
    join_keys: Mapping[str, Value],
) -> list[tuple[bytes]]:
    """List the keys of a table that hold the given join keys' values."""
    if set(names) == set(join_keys):
        key = key_of(EntityKey(join_keys=list(names), entity_values=[join_keys[n] for n in names]))
        found = sqlite.execute(f"SELECT 1 FROM {table} WHERE entity_key = ?", (key,)).fetchone()
        return [(key,)] if found else []
    return [
        (key,)
        for (key,) in sqlite.execute(f"SELECT entity_key FROM {table}")
        if holds(key, join_keys)
    ]
