"""Snapshots computed from tables: some customers at a time, one day after another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import narwhals as nw
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from features import catalogue
from features.catalogue import JOIN_KEY
from features.days import closing, day_number
from features.definitions.contracts import contract_facts
from features.definitions.customers import customer_facts
from features.definitions.expressions import Frame, customers_of
from features.definitions.history import OrderHistory, late_customers
from features.definitions.interactions import interaction_facts
from features.definitions.orders import LINE_COLUMNS
from features.definitions.referrals import REFERRED_LINES, referral_facts
from features.definitions.rows import FIRST_DAYS, Rules, finish
from features.definitions.treatments import treatment_facts
from features.engines import Engine
from features.ingest.contract import TABLES, Table

TIMESTAMP = "event_timestamp"
Opened = Table | Literal["referred"]
"""What is opened: tables, and order lines of whom a part's customers referred."""
PART_LINES = 2_000_000
"""Order lines worked on at once: what bounds the memory."""


@dataclass(frozen=True)
class Part:
    """Customers from one id up to another; None is open."""

    first: int | str | None = None
    end: int | str | None = None

    def holds(self, column: str) -> pl.Expr:
        """Whether an id lies in the part."""
        test = pl.lit(value=True)
        if self.first is not None:
            test &= pl.col(column) >= self.first
        if self.end is not None:
            test &= pl.col(column) < self.end
        return test

    def of(self, table: pa.Table) -> pa.Table:
        """Keep the part's rows of a table."""
        keys = table[JOIN_KEY]
        if self.first is not None:
            table = table.filter(pc.greater_equal(keys, pa.scalar(self.first, keys.type)))
            keys = table[JOIN_KEY]
        if self.end is not None:
            table = table.filter(pc.less(keys, pa.scalar(self.end, keys.type)))
        return table


def parts_of(orders: Path | None, part_lines: int = PART_LINES) -> list[Part]:
    """Split the customers into parts of about as many order lines, in the order of their ids.

    Parameters
    ----------
    orders
        The ledger's lines, sorted by customer.
    """
    if orders is None:
        return [Part()]
    starts = (
        pl.scan_parquet(orders)
        .select(pl.col(JOIN_KEY).gather_every(part_lines))
        .collect(engine="streaming")
        .to_series()
        .unique(maintain_order=True)
        .to_list()
    )
    bounds = [None, *starts[1:], None]
    return [Part(first, end) for first, end in pairwise(bounds)]


def open_tables(
    engine: Engine, paths: Mapping[Table, Path], part: Part, going_on: Sequence[date] = ()
) -> dict[Opened, Frame]:
    """Open the tables for the customers of a part, and all lines of whom they referred.

    Parameters
    ----------
    going_on
        The day of a history and the days to which it is taken on, ascending: of orders, only what
        that takes is read. None reads everything.
    """
    if not engine.in_parts:
        return {table: engine.scan(path) for table, path in paths.items()}
    opened: dict[Opened, Frame] = {}
    for table, path in paths.items():
        wanted = part.holds(JOIN_KEY)
        if table == "customers":
            wanted |= part.holds("referred_by")
        rows = pl.scan_parquet(path).filter(wanted)
        if table == "orders":
            rows = rows.select(LINE_COLUMNS)
            if going_on:
                rows = rows.filter(_news(rows, paths.get("treatments"), going_on))
        opened[table] = engine.frame(collected(rows))
    if {"customers", "orders"} <= paths.keys():
        # Whatever part those are in, and on whatever day they bought.
        said = pl.scan_parquet(paths["customers"]).filter(
            pl.col("referred_by").is_not_null() & part.holds("referred_by")
        )
        lines = pl.scan_parquet(paths["orders"]).select(REFERRED_LINES)
        opened["referred"] = engine.frame(collected(lines.join(said, on=JOIN_KEY, how="semi")))
    return opened


def _news(lines: pl.LazyFrame, treatments: Path | None, going_on: Sequence[date]) -> pl.Expr:
    """Whether a line became known on the way, or is of a customer whose older ones count too."""
    numbers = [day_number(day) for day in going_on]
    late = late_customers(nw.from_native(lines), numbers).to_native()
    # Responses are looked up in all lines of who was treated.
    treated = [] if treatments is None else [pl.scan_parquet(treatments).select(JOIN_KEY)]
    whole = pl.concat([late, *treated]).unique().collect(engine="streaming")[JOIN_KEY]
    fresh = pl.col("known_day").is_between(numbers[0], numbers[-1], closed="right")
    return fresh | pl.col(JOIN_KEY).is_in(whole.implode()) if len(whole) else fresh


def collected(rows: pl.LazyFrame) -> pa.Table:
    """Read rows of a file into Arrow."""
    loaded = rows.collect(engine="streaming")
    return loaded.to_arrow(compat_level=pl.CompatLevel.oldest())


def compute(
    engine: Engine,
    tables: Mapping[Opened, Frame],
    days: Sequence[date],
    rules: Rules,
    part: Part | None = None,
    history: OrderHistory | None = None,
) -> Iterator[tuple[date, pa.Table, OrderHistory | None]]:
    """Compute the snapshots of some days, ascending, each from the one before.

    Parameters
    ----------
    tables
        The tables that there are, as frames of the engine; see :func:`open_tables`. Without
        ``referred``, ``orders`` hold all lines of whom the customers referred.
    history
        What orders added up to on a day that is not after the first; None starts anew.

    Yields
    ------
    as_of
        The day.
    table
        ``customer_id``, the features of the catalogue and ``event_timestamp`` (timestamp[us, UTC],
        the last microsecond of the day), sorted by customer.
    history
        To go on from, where there are orders.
    """
    for as_of in days:
        number = day_number(as_of)
        if "orders" in tables:
            lines = tables["orders"]
            if history is None:
                history = OrderHistory.start(engine, lines, number)
            elif history.as_of_day < number:
                history = history.advance(engine, lines, number)
        sums = _sums(engine, tables, number, rules, history)
        if part is not None:
            sums = part.of(sums)
        present = frozenset(table for table in TABLES if table in tables)
        yield as_of, _rows(sums, as_of, present, rules), history


def compute_snapshot(
    engine: Engine, paths: Mapping[Table, Path], as_of: date, rules: Rules | None = None
) -> pa.Table:
    """Compute one snapshot from all that happened before; see :func:`compute`."""
    rules = rules or Rules()
    parts = parts_of(paths.get("orders")) if engine.in_parts else [Part()]
    tables = []
    for part in parts:
        opened = open_tables(engine, paths, part)
        tables += [table for _, table, _ in compute(engine, opened, [as_of], rules, part)]
    return pa.concat_tables(tables).combine_chunks()


def _sums(
    engine: Engine,
    tables: Mapping[Opened, Frame],
    as_of_day: int,
    rules: Rules,
    history: OrderHistory | None,
) -> pa.Table:
    """Bring the facts of every table together: a row for each customer known from any."""
    facts: dict[Table, pa.Table] = {}
    for table in TABLES:
        if table not in tables:
            continue
        if table == "orders" and history is not None:
            frame = history.facts(engine)
        elif table == "interactions":
            frame = interaction_facts(tables[table], as_of_day)
        elif table == "treatments":
            frame = treatment_facts(tables[table], tables.get("orders"), as_of_day)
        elif table == "contracts":
            frame = contract_facts(tables[table], as_of_day)
        else:
            frame = customer_facts(tables[table], as_of_day, rules.static)
        facts[table] = engine.collect(frame)
    if list(facts) == ["orders"]:
        return facts["orders"]
    known = customers_of(
        *(
            engine.frame(found).filter(~nw.col(FIRST_DAYS[table]).is_null())
            for table, found in facts.items()
        )
    )
    for found in facts.values():
        known = known.join(engine.frame(found), on=JOIN_KEY, how="left")
    if {"customers", "orders"} <= facts.keys():
        lines = tables["referred"] if "referred" in tables else tables["orders"]
        brought = engine.collect(referral_facts(tables["customers"], lines, as_of_day))
        known = known.join(engine.frame(brought), on=JOIN_KEY, how="left")
    return engine.collect(known)


def _rows(sums: pa.Table, as_of: date, tables: frozenset[Table], rules: Rules) -> pa.Table:
    sums = sums.sort_by(JOIN_KEY).combine_chunks()
    eager: nw.DataFrame[Any] = nw.from_native(sums, eager_only=True)
    table: pa.Table = finish(eager, day_number(as_of), tables, rules).to_native()
    table = table.cast(snapshot_schema(sums.schema.field(JOIN_KEY).type))
    stamp = pa.scalar(closing(as_of), pa.timestamp("us", tz="UTC"))
    return table.append_column(TIMESTAMP, pa.repeat(stamp, table.num_rows)).combine_chunks()


def snapshot_schema(key: pa.DataType) -> pa.Schema:
    """The columns of a snapshot before its stamp, whatever engine made them."""
    types = {"count": pa.int64(), "measure": pa.float64(), "category": pa.string()}
    key = key if pa.types.is_integer(key) else pa.string()
    return pa.schema([(JOIN_KEY, key), *((f.name, types[f.kind]) for f in catalogue.FEATURES)])
