"""Events as they arrive: cleaned as a file is, logged for good, answered for in a second."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, get_args

import polars as pl
import pyarrow as pa

from features.days import day_number, day_of
from features.errors import ConflictError, InputError
from features.forgotten import RULE, Forgotten
from features.ingest.cleaning import clean
from features.ingest.codes import IdType, as_integers
from features.ingest.contract import CONTRACT, TABLES, Table
from features.ingest.ledger import Ledger
from features.ingest.quarantine import REASONS
from features.ingest.schemas import id_columns
from features.push_log import Event, content_of
from features.pushed import Customer
from features.settings import DataSettings, Settings
from features.snapshots import snapshot_folder
from features.store import FeatureStore, read_state
from features.workspace import Workspace

MOST_EVENTS = 1000
"""Events of one push."""
_LONGEST_KEY = 200
_INT64 = 2**63

Cell = str | int | float | bool | None
Row = Mapping[str, Cell]

_REMEDIES = REASONS | {
    "not_an_integer_id": "customers of this workspace are named by integers; ingest a file with "
    "other ids first",
    "in_the_future": "an event is pushed when it has happened",
    RULE: "this person was erased from here; `lifecycle forget --lift` lets them come back",
}


@dataclass(frozen=True)
class Rejected:
    """An event that cannot be a fact: its place from 1, the reason, and what to change."""

    row: int
    reason: str
    remedy: str


@dataclass(frozen=True)
class Touched:
    """A customer whose features an event changed, and the day that the row online is of now."""

    customer_id: Customer
    as_of: str | None


@dataclass(frozen=True)
class PushReport:
    """What became of a push.

    Attributes
    ----------
    repeated
        Whether it was there already, so that nothing changed.
    """

    table: str
    idempotency_key: str
    repeated: bool
    accepted: int
    rejected: list[Rejected]
    customers: list[Touched]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


class Pusher:
    """Takes events for one workspace; one is enough for a process, and threads share it."""

    def __init__(self, workspace: Workspace, settings: Settings) -> None:
        self._workspace = workspace
        self._settings = settings
        self._ledger = Ledger(workspace)
        self._forgotten = Forgotten(workspace)
        self._store: FeatureStore | None = None

    def prepare(self) -> None:
        """Open what the first push would wait for, and compute a row that is put nowhere."""
        store = self._opened()
        store.list_views()
        if store.state is not None:
            anyone = 0 if store.key_type == "integer" else ""
            store.pushed.rows({anyone: store.state.as_of})

    def let_go(self) -> None:
        """Hold nothing that is not online any more; the next push opens what is."""
        store = self._store
        state = read_state(self._workspace, self._settings.stores.online)
        if store is not None and store.state != state:
            self._store = None

    def push(
        self, table: str, rows: Sequence[Row], until: date, idempotency_key: str | None = None
    ) -> PushReport:
        """Take some events of one table.

        Parameters
        ----------
        table
            A table of the contract.
        rows
            The contract's columns by name; times as ISO 8601, numbers with a point.
        until
            Today: what lies after it has not happened, and no row is of a later day.
        idempotency_key
            Names this push, so that a retry changes nothing; by default its content does.

        Raises
        ------
        InputError
            The push as a whole cannot be read; a row that cannot be is in the report.
        ConflictError
            The key was used for other events.
        WorkspaceError
            Nothing is ingested yet.
        """
        name = _table(table)
        digest = _digest(name, rows)
        key = _key(idempotency_key or digest)
        id_type = self._ledger.customer_id_type
        store = self._opened()
        log = store.pushed.log
        with log.locked():
            # Whoever erases somebody holds the log, so that no event of theirs comes in behind.
            accepted, rejected = self._judged(name, rows, id_type, until)
            found = log.find(key)
            if found is not None and found.digest != digest:
                raise ConflictError(
                    f"idempotency key {key!r} was used for other events; give each push its own"
                )
            if found is not None and found.done:
                return _repeated(found.answer)
            events = self._events(name, accepted, id_type, until)
            report = PushReport(name, key, False, accepted.height, rejected, [])
            if found is None and events:
                log.append(key, digest, report.to_dict(), events)
            # Whatever somebody who died left undone is done first.
            waiting = log.unfinished()
            typed = int if id_type == "integer" else str
            touched = [typed(customer) for customer in log.touched_by(waiting)] if waiting else []
            days = store.push(touched)
            mine = {typed(customer) for event in events for customer in event.customers}
            customers = [
                Touched(customer, day.isoformat() if day else None)
                for customer, day in days.items()
                if customer in mine
            ]
            report = PushReport(name, key, False, accepted.height, rejected, customers)
            mine_id = log.find(key)
            for push_id in waiting:
                is_mine = mine_id is not None and mine_id.push_id == push_id
                log.finish(push_id, report.to_dict() if is_mine else None)
        return report

    def foresee(
        self, customer: Customer, events: Mapping[str, Sequence[Row]], until: date
    ) -> tuple[pa.Table | None, date]:
        """Compute a customer's row as it would be after some events, and keep nothing.

        Parameters
        ----------
        events
            Rows by table, as in :meth:`push`; who they are of need not be said again.

        Returns
        -------
        row
            As in a snapshot; None where nothing is known of the customer.
        day
            Of the row: the last closed day that is online, or that of the newest event.

        Raises
        ------
        InputError
            An event cannot be a fact, or is another customer's.
        """
        id_type = self._ledger.customer_id_type
        if self._forgotten.holds(customer):
            return None, until
        clean: dict[Table, pl.DataFrame] = {}
        for name, rows in events.items():
            table = _table(name)
            own = [_own(table, place, row, customer) for place, row in enumerate(rows, 1)]
            kept, rejected = self._judged(table, own, id_type, until)
            if rejected:
                first = rejected[0]
                raise InputError(f"{table}, row {first.row}: {first.reason}; {first.remedy}")
            clean[table] = kept
        store = self._opened()
        state = store.refresh()
        known = [state.as_of] if state is not None else []
        known += [
            day_of(day)
            for kept in clean.values()
            for day in kept["known_day"].drop_nulls().to_list()
            if day <= day_number(until)
        ]
        day = max(known, default=until)
        return store.pushed.rows({customer: day}, clean), day

    def _judged(
        self, table: Table, rows: Sequence[Row], id_type: IdType, until: date
    ) -> tuple[pl.DataFrame, list[Rejected]]:
        return judge(table, rows, id_type, until, self._settings.data, self._forgotten)

    def _events(
        self, table: Table, rows: pl.DataFrame, id_type: IdType, until: date
    ) -> list[Event]:
        if rows.is_empty():
            return []
        last = day_number(until)
        days = rows["known_day"].to_list()
        contents = content_of(rows)
        touched = self._touched(table, contents, id_type)
        return [
            Event(table, content, customers, day if day is not None and day <= last else None)
            for content, customers, day in zip(contents, touched, days, strict=True)
        ]

    def _touched(
        self, table: Table, contents: list[dict[str, Any]], id_type: IdType
    ) -> list[tuple[str, ...]]:
        """Name the customers whose features each event changes.

        Who was referred changes two: who brought them earns by what they buy.
        """
        if table not in ("customers", "orders"):
            return [(content["customer_id"],) for content in contents]
        typed = int if id_type == "integer" else str
        before = self._opened().pushed.referrers([typed(c["customer_id"]) for c in contents])
        return [
            tuple(
                dict.fromkeys(
                    str(name)
                    for name in (
                        content["customer_id"],
                        content.get("referred_by"),
                        *before.get(typed(content["customer_id"]), ()),
                    )
                    if name is not None
                )
            )
            for content in contents
        ]

    def _opened(self) -> FeatureStore:
        key_type = self._ledger.customer_id_type
        state = read_state(self._workspace, self._settings.stores.online)
        online = state.key_type if state is not None else key_type
        if self._store is None or self._store.key_type != online:
            folder = snapshot_folder(self._workspace, online)
            self._store = FeatureStore(self._workspace, folder, online, self._settings)
        return self._store


def judge(
    table: Table,
    rows: Sequence[Row],
    id_type: IdType,
    until: date,
    settings: DataSettings,
    forgotten: Forgotten | None = None,
) -> tuple[pl.DataFrame, list[Rejected]]:
    """Clean events as the rows of a file are cleaned.

    >>> day = {"ordered_at": "2024-05-01T10:00:00Z"}
    >>> rows = [{"customer_id": 7, "amount": 12.5, **day}, {"customer_id": 8, **day}]
    >>> kept, rejected = judge("orders", rows, "integer", date(2024, 5, 1), DataSettings())
    >>> kept["amount_e4"].to_list(), [(one.row, one.reason) for one in rejected]
    ([125000], [(2, 'unreadable_amount')])

    Returns
    -------
    polars.DataFrame
        The clean rows, ids as text.
    list of Rejected
        The others, with the reason.
    """
    raw = _as_read(rows)
    # What programs send is written as programs write, whatever people's files look like.
    plain = settings.model_copy(update={"date_format": None, "decimal_mark": "."})
    cleaned = clean(table, raw, {}, plain, all_refused=True)
    refused = dict(cleaned.quarantine.select("row", "reason").iter_rows())
    places = [place for place in range(1, raw.height + 1) if place not in refused]
    kept = cleaned.rows.with_columns(pl.col(id_columns(table)).cast(pl.String))
    late = [] if table == "contracts" else kept["event_day"].to_list()
    for place, day in zip(places, late, strict=False):
        # Clocks differ, and a day begins earlier elsewhere.
        if day is not None and day > day_number(until) + 1:
            refused[place] = "in_the_future"
    if id_type == "integer":
        for name in id_columns(table):
            for place, value in zip(places, kept[name], strict=True):
                if value is not None and as_integers(pl.Series([value])) is None:
                    refused.setdefault(place, "not_an_integer_id")
    if forgotten:
        barred = forgotten.barred(kept["customer_id"], kept["event_day"])
        for place, gone in zip(places, barred, strict=True):
            if gone:
                refused[place] = RULE
        for name in id_columns(table)[1:]:
            nobody = forgotten.barred(kept[name])
            kept = kept.with_columns(pl.when(~nobody).then(pl.col(name)).alias(name))
    good = pl.Series([place not in refused for place in places], dtype=pl.Boolean)
    return kept.filter(good), [
        Rejected(place, reason, _REMEDIES[reason].format(column="the column"))
        for place, reason in sorted(refused.items())
    ]


def _own(table: Table, place: int, row: Row, customer: Customer) -> Row:
    named = row.get("customer_id", customer)
    if str(named) != str(customer):
        raise InputError(
            f"{table}, row {place} is of customer {named!r}, not of {customer!r}; ask for one "
            "customer at a time"
        )
    return {**row, "customer_id": customer}


def _as_read(rows: Sequence[Row]) -> pl.DataFrame:
    """Make of JSON's cells what a file's would be; numbers keep their digits."""
    if not 0 < len(rows) <= MOST_EVENTS:
        raise InputError(f"a push has 1 to {MOST_EVENTS} rows, not {len(rows)}; send several")
    names = list(dict.fromkeys(name for row in rows for name in row))
    for place, row in enumerate(rows, 1):
        for name, cell in row.items():
            if not isinstance(cell, get_args(Cell)):
                raise InputError(
                    f"row {place}: {name} is {type(cell).__name__}; a cell is a text, a number, "
                    "true, false or null"
                )
    return pl.DataFrame(
        {name: pl.Series([_text(row.get(name)) for row in rows], dtype=pl.String) for name in names}
    )


def _text(cell: Cell) -> str | None:
    """Write a cell as a file would.

    >>> _text(12.50), _text(True), _text(7), _text(None)
    ('12.5', 'true', '7', None)
    """
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return None if cell is None else str(cell)


def _table(name: str) -> Table:
    if name not in CONTRACT:
        raise InputError(f"there is no table {name!r}; it is one of {', '.join(TABLES)}")
    return name


def _key(key: str) -> str:
    if not (0 < len(key) <= _LONGEST_KEY and key.isprintable()):
        raise InputError(f"an idempotency key has 1 to {_LONGEST_KEY} printable characters")
    return key


def _digest(table: Table, rows: Sequence[Row]) -> str:
    text = json.dumps([table, [dict(row) for row in rows]], sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()


def _repeated(answer: Mapping[str, Any]) -> PushReport:
    return PushReport(
        answer["table"],
        answer["idempotency_key"],
        True,
        answer["accepted"],
        [Rejected(**one) for one in answer["rejected"]],
        [Touched(**one) for one in answer["customers"]],
    )
