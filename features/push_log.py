"""The push log: events as they arrived, kept until the end of time in SQLite or PostgreSQL.

Each event is logged clean, under a sequence number, before anything is made of it. Whoever changes
what is online holds the log (:meth:`PushLog.locked`), so that no older row lands on a newer one.
"""

from __future__ import annotations

import fcntl
import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import polars as pl
import sqlalchemy as sa

from features.forgotten import Forgotten
from features.ingest.contract import CONTRACT, TABLES, Table
from features.ingest.moments import UTC_MOMENT
from features.ingest.schemas import clean_schema
from features.repository import project_name
from features.servers import SECONDS, answering
from features.settings import StoreSettings
from features.workspace import Workspace

_MANY = 500
"""Customers asked for at once."""
_FILE = "sqlite:///"
_SCHEMA = sa.MetaData()
_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
PUSHES = sa.Table(
    "lifecycle_pushes",
    _SCHEMA,
    sa.Column("push_id", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("idempotency_key", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("done", sa.Boolean, nullable=False),
    sa.Column("answer", sa.Text, nullable=False),
    sa.UniqueConstraint("project", "idempotency_key"),
)
EVENTS = sa.Table(
    "lifecycle_events",
    _SCHEMA,
    sa.Column("sequence", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("push_id", _NUMBER, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Index("lifecycle_events_of_a_push", "push_id"),
    sa.Index("lifecycle_events_in_order", "project", "sequence"),
)
TOUCHED = sa.Table(
    "lifecycle_touched",
    _SCHEMA,
    sa.Column("project", sa.Text, nullable=False),
    sa.Column("customer_id", sa.Text, nullable=False),
    sa.Column("sequence", _NUMBER, nullable=False),
    sa.Column("as_of_day", sa.Integer),
    sa.PrimaryKeyConstraint("project", "customer_id", "sequence"),
    sa.Index("lifecycle_touched_in_order", "project", "sequence"),
)


@dataclass(frozen=True)
class Event:
    """One event to be logged.

    Attributes
    ----------
    content
        The clean row: text, numbers, and moments as microseconds since 1970.
    customers
        Ids, as text, of those whose features it changes.
    as_of_day
        The day to which it moves their rows, in days since 1970-01-01; None where it moves none.
    """

    table: Table
    content: Mapping[str, Any]
    customers: tuple[str, ...]
    as_of_day: int | None


@dataclass(frozen=True)
class Logged:
    """A push that is in the log: the digest of what was sent, and what was answered."""

    push_id: int
    digest: str
    done: bool
    answer: dict[str, Any]


class PushLog:
    """The pushed events of one workspace, in the database that the settings name."""

    def __init__(self, workspace: Workspace, settings: StoreSettings) -> None:
        self._path = workspace.data / "pushes.db"
        self._lock = workspace.feast / ".online.lock"
        self._url = settings.push_log
        self._forgotten = Forgotten(workspace)
        self.project = project_name(workspace, settings)
        self._engine: sa.Engine | None = None
        self._held = threading.local()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold what is online and the log, against every thread and process that would change them.

        Waits for whoever holds them.
        """
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            handle = held.enter_context(self._lock.open("w"))
            fcntl.flock(handle, fcntl.LOCK_EX)
            if self._url is not None and not self._url.startswith("sqlite"):
                # Machines that share the log do not share the file.
                connection = held.enter_context(self.begin())
                connection.execute(
                    sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"),
                    {"name": f"lifecycle {self.project}"},
                )
            elif self.there():
                # A file is opened once for all that is asked of it meanwhile, not for each.
                held.enter_context(self._holding())
            yield

    def find(self, key: str) -> Logged | None:
        """Find a push by its idempotency key."""
        if not self.there():
            return None
        columns = (PUSHES.c.push_id, PUSHES.c.digest, PUSHES.c.done, PUSHES.c.answer)
        # A key that named somebody who was erased since is kept as a hash.
        keys = [key, self._forgotten.keyed(key)] if self._forgotten else [key]
        with self.begin() as connection:
            found = connection.execute(
                sa.select(*columns).where(
                    PUSHES.c.project == self.project, PUSHES.c.idempotency_key.in_(keys)
                )
            ).first()
        return None if found is None else Logged(found[0], found[1], found[2], json.loads(found[3]))

    def append(self, key: str, digest: str, answer: Mapping[str, Any], events: list[Event]) -> int:
        """Keep a push and its events, all or none; whoever appends holds the log.

        Returns
        -------
        int
            The push, to be named when it is done.
        """
        with self.begin() as connection:
            push_id = connection.execute(
                PUSHES.insert()
                .values(
                    project=self.project,
                    idempotency_key=key,
                    digest=digest,
                    done=False,
                    answer=json.dumps(answer),
                )
                .returning(PUSHES.c.push_id)
            ).scalar_one()
            for event in events:
                sequence = connection.execute(
                    EVENTS.insert()
                    .values(
                        project=self.project,
                        push_id=push_id,
                        name=event.table,
                        content=json.dumps(event.content, sort_keys=True),
                    )
                    .returning(EVENTS.c.sequence)
                ).scalar_one()
                connection.execute(
                    TOUCHED.insert(),
                    [
                        {
                            "project": self.project,
                            "customer_id": customer,
                            "sequence": sequence,
                            "as_of_day": event.as_of_day,
                        }
                        for customer in event.customers
                    ],
                )
        return int(push_id)

    def finish(self, push_id: int, answer: Mapping[str, Any] | None = None) -> None:
        """Say that what follows from a push is online, and maybe what was answered."""
        said = {} if answer is None else {"answer": json.dumps(answer)}
        with self.begin() as connection:
            connection.execute(
                PUSHES.update().where(PUSHES.c.push_id == push_id).values(done=True, **said)
            )

    def unfinished(self) -> list[int]:
        """List the pushes of which nobody knows that they are online: somebody died over them."""
        if not self.there():
            return []
        with self.begin() as connection:
            found = connection.execute(
                sa.select(PUSHES.c.push_id).where(
                    PUSHES.c.project == self.project, PUSHES.c.done.is_(False)
                )
            )
            return [row[0] for row in found]

    def last(self) -> int:
        """The newest sequence number, 0 where there is none."""
        if not self.there():
            return 0
        with self.begin() as connection:
            found = connection.execute(
                sa.select(sa.func.max(EVENTS.c.sequence)).where(EVENTS.c.project == self.project)
            ).scalar()
        return int(found or 0)

    def touched_by(self, pushes: Sequence[int]) -> list[str]:
        """List the customers whose features some pushes changed."""
        with self.begin() as connection:
            found = connection.execute(
                sa.select(TOUCHED.c.customer_id)
                .distinct()
                .join(EVENTS, EVENTS.c.sequence == TOUCHED.c.sequence)
                .where(TOUCHED.c.project == self.project, EVENTS.c.push_id.in_(pushes))
            )
            return sorted(row[0] for row in found)

    def newer_than(
        self, sequence: int, day: int, customers: Sequence[str] | None = None
    ) -> dict[str, int]:
        """Find the customers whose rows a snapshot does not have: what is known of them is newer.

        Parameters
        ----------
        sequence
            The last event that the snapshot has seen.
        day
            Its day.
        customers
            Look at these alone.

        Returns
        -------
        dict
            Customer to the day that their row is of, ``day`` or later.
        """
        if not self.there():
            return {}
        mine = TOUCHED.c.project == self.project
        newer = sa.or_(TOUCHED.c.sequence > sequence, TOUCHED.c.as_of_day > day)
        query = (
            sa.select(TOUCHED.c.customer_id, sa.func.max(TOUCHED.c.as_of_day))
            .where(mine, newer)
            .group_by(TOUCHED.c.customer_id)
        )
        with self.begin() as connection:
            if customers is None:
                found = list(connection.execute(query))
            else:
                found = [
                    row
                    for some in _batches(customers)
                    for row in connection.execute(query.where(TOUCHED.c.customer_id.in_(some)))
                ]
        return {customer: max(as_of or day, day) for customer, as_of in found}

    def rows(
        self, table: Table, customers: Sequence[str], after: int = 0, until: int | None = None
    ) -> pl.DataFrame:
        """Read the events of a table that touch some customers, in the order of their arrival.

        Parameters
        ----------
        after, until
            The sequence numbers between which they lie, the last one included.

        Returns
        -------
        polars.DataFrame
            As ``clean_schema``, ids as text.
        """
        with self.begin() as connection:
            found = {
                sequence: content
                for some in _batches(customers)
                for sequence, content in connection.execute(
                    self._contents(table, after, until)
                    .join(TOUCHED, TOUCHED.c.sequence == EVENTS.c.sequence)
                    .where(TOUCHED.c.project == self.project, TOUCHED.c.customer_id.in_(some))
                )
            }
        return _frame(table, [found[sequence] for sequence in sorted(found)])

    def unfolded(self, after: int, until: int) -> dict[Table, pl.DataFrame]:
        """Read what must be merged into the ledger, a table each; see :mod:`features.folding`.

        Of a table without a key, a line that was pushed before comes along once more: an export
        counts the copies of a line, and only all of them together are a count.
        """
        tables: dict[Table, pl.DataFrame] = {}
        for table in TABLES:
            query = self._contents(table, after, until)
            with self.begin() as connection:
                found = {row[0]: row[1] for row in connection.execute(query)}
            if not found:
                continue
            fresh = _frame(table, [found[sequence] for sequence in sorted(found)])
            if not CONTRACT[table].key:
                everyone = fresh["customer_id"].unique().to_list()
                # An order touches who referred its customer, too.
                fresh = self.rows(table, everyone, until=until).filter(
                    pl.col("customer_id").is_in(everyone)
                )
            tables[table] = fresh
        return tables

    def _contents(self, table: Table, after: int, until: int | None) -> sa.Select[Any]:
        return sa.select(EVENTS.c.sequence, EVENTS.c.content).where(
            EVENTS.c.project == self.project,
            EVENTS.c.name == table,
            EVENTS.c.sequence > after,
            *([] if until is None else [EVENTS.c.sequence <= until]),
        )

    @contextmanager
    def _holding(self) -> Iterator[None]:
        with self._opened().connect() as connection:
            self._held.connection = connection
            try:
                yield
            finally:
                self._held.connection = None

    def there(self) -> bool:
        """Whether there is a log at all: an embedded one begins with the first push."""
        return self._url is not None or self._path.is_file()

    @property
    def file(self) -> Path | None:
        """The file of an embedded log; None on a server."""
        if self._url is None:
            return self._path
        return Path(self._url.removeprefix(_FILE)) if self._url.startswith(_FILE) else None

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """Begin a transaction, on the connection that holds the log where one does."""
        held: sa.Connection | None = getattr(self._held, "connection", None)
        if held is None:
            with self._opened().begin() as connection:
                yield connection
        else:
            with held.begin():
                yield held

    def _opened(self) -> sa.Engine:
        if self._engine is None:
            url = self._url or f"sqlite:///{self._path}"
            self._engine = answering("stores.push_log", url, lambda: _open(url))
        return self._engine


def _open(url: str) -> sa.Engine:
    return _open_file(url) if url.startswith("sqlite") else _open_server(url)


def _open_file(url: str) -> sa.Engine:
    Path(url.removeprefix(_FILE)).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"timeout": 60})

    @sa.event.listens_for(engine, "connect")
    def _durable(connection: Any, _: object) -> None:  # noqa: ANN401 - of a driver
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    with engine.begin() as connection:
        _SCHEMA.create_all(connection)
    return engine


@cache
def _open_server(url: str) -> sa.Engine:
    """Open a server once for a process: its connections are for all who ask it."""
    engine = sa.create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": SECONDS})
    with engine.begin() as connection:
        # Two that make the same tables at once would both fail.
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('lifecycle'))"))
        _SCHEMA.create_all(connection)
    return engine


def content_of(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Write clean rows as plain values."""
    moments = [name for name, kind in rows.schema.items() if kind == UTC_MOMENT]
    return rows.with_columns(
        pl.col("customer_id").cast(pl.String), pl.col(moments).to_physical()
    ).to_dicts()


def _frame(table: Table, contents: Iterable[str]) -> pl.DataFrame:
    schema = clean_schema(table)
    plain = {name: pl.Int64 if kind == UTC_MOMENT else kind for name, kind in schema.items()}
    rows = [json.loads(content) for content in contents]
    return pl.DataFrame(rows, schema=plain).cast(cast("Any", schema))


def _batches(customers: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(customers), _MANY):
        yield customers[start : start + _MANY]
