"""A table of the ledger by week, as each week was known at its own end.

Weeks of seven days end on the day that is watched, so that the newest is whole. Of each week stands
what had arrived by its last day: rows that come late are missing from every week alike, and the
newest is not taken for short.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.ingest.contract import CONTRACT, Table

Float = NDArray[np.float64]

WEEK = 7
MOST_LABELS = 12
"""Channels or kinds that are looked at, those of most rows."""
_LABEL: dict[Table, str] = {"orders": "channel", "interactions": "kind", "contracts": "plan"}
OWN_ORDERS = 1.0
"""What all customers pay counts as so many orders of one's own."""
_NEVER_EMPTY = {"attributes", "referred_by"}
"""Columns of which an empty cell is no loss."""


@dataclass(frozen=True)
class Weeks:
    """A table by week, the oldest first.

    Attributes
    ----------
    rows, late
        Rows that happened in each week, and of those that arrived in it, how many came late.
    counts
        Other counts by name: ``orders``, ``zero``, ``returns``, ``repeats`` of orders alone.
    labels
        By channel, kind or plan: rows.
    empty
        By column: rows that state nothing.
    money
        Mean logarithm of what an order is worth against what its customer paid before, or of a
        term's fee; how many; and their spread. None where there is none.
    days
        Rows on each day of all weeks, the oldest first.
    """

    table: Table
    rows: Float
    arrived: Float
    late: Float
    counts: dict[str, Float]
    labels: dict[str, Float]
    empty: dict[str, Float]
    money: tuple[Float, Float, float] | None
    days: Float

    @property
    def label(self) -> str:
        """What :attr:`labels` are of."""
        return _LABEL.get(self.table, "")


def read_weeks(path: Path, table: Table, as_of: int, first: int, most: int) -> Weeks:
    """Read a table by week.

    Parameters
    ----------
    as_of
        Last day of the newest week, in days since 1970-01-01.
    first
        First day of the data; weeks that begin before it are left out.
    most
        So many weeks at most.
    """
    number = max(min((as_of - first + 1) // WEEK, most), 0)
    begins = as_of - number * WEEK + 1
    week = ((pl.col("event_day") - begins) // WEEK).cast(pl.Int32)
    rows = (
        pl.scan_parquet(path)
        .filter(pl.col("event_day").is_between(begins, as_of), pl.col("known_day") <= as_of)
        .with_columns(week=week)
        .with_columns(ends=begins + (pl.col("week") + 1) * WEEK - 1)
        .collect()
    )
    timely = rows.filter(pl.col("known_day") <= pl.col("ends"))
    arrived = rows.with_columns(week=((pl.col("known_day") - begins) // WEEK).cast(pl.Int32))
    slow = arrived.filter(pl.col("known_day") > pl.col("event_day"))
    days = np.zeros(number * WEEK)
    counted = timely.group_by("event_day").len()
    days[counted["event_day"].to_numpy() - begins] = counted["len"].to_numpy()
    return Weeks(
        table,
        _by_week(timely, number),
        _by_week(arrived, number),
        _by_week(slow, number),
        _order_counts(timely, number) if table == "orders" else {},
        _by_label(timely, _LABEL.get(table), number),
        _emptiness(timely, table, number),
        _worth(timely, number)
        if table == "orders"
        else _fees(timely, number)
        if table == "contracts"
        else None,
        days,
    )


def first_day_of(path: Path, as_of: int) -> int | None:
    """The first day of what was known by a day, None where nothing was."""
    known = pl.scan_parquet(path).filter(pl.col("known_day") <= as_of)
    found = known.select(pl.col("event_day").min()).collect().item()
    return None if found is None else int(found)


def _by_week(rows: pl.DataFrame, number: int) -> Float:
    found = rows.group_by("week").len()
    return _spread_out(found["week"], found["len"], number)


def _spread_out(week: pl.Series, values: pl.Series, number: int) -> Float:
    out = np.zeros(number)
    out[week.to_numpy()] = values.to_numpy()
    return out


def _order_counts(rows: pl.DataFrame, number: int) -> dict[str, Float]:
    same = [name for name in CONTRACT["orders"].identity if name in rows.columns]
    found = rows.group_by("week").agg(
        orders=pl.struct("customer_id", "order_key").filter(pl.col("amount_e4") > 0).n_unique(),
        zero=(pl.col("amount_e4") == 0).sum(),
        returns=(pl.col("amount_e4") < 0).sum(),
        repeats=pl.len() - pl.struct(same).n_unique(),
    )
    return {
        name: _spread_out(found["week"], found[name], number)
        for name in ("orders", "zero", "returns", "repeats")
    }


def _by_label(rows: pl.DataFrame, label: str | None, number: int) -> dict[str, Float]:
    if label is None or label not in rows.columns:
        return {}
    known = rows.filter(pl.col(label).is_not_null())
    names = known[label].value_counts(sort=True).head(MOST_LABELS)[label].to_list()
    return {name: _by_week(known.filter(pl.col(label) == name), number) for name in sorted(names)}


def _emptiness(rows: pl.DataFrame, table: Table, number: int) -> dict[str, Float]:
    columns = [
        column.name
        for column in CONTRACT[table].clean
        if column.nullable and column.name not in _NEVER_EMPTY and column.stored != "day"
    ]
    found = rows.group_by("week").agg(pl.col(columns).null_count())
    return {name: _spread_out(found["week"], found[name], number) for name in columns}


def _worth(rows: pl.DataFrame, number: int) -> tuple[Float, Float, float] | None:
    """Set each order beside what its customer paid before; see :attr:`Weeks.money`.

    What a customer of few orders usually pays lies between those and what all pay.
    """
    log = (pl.col("paid_e4") / 1e4).log()
    orders = (
        rows.filter(pl.col("amount_e4") > 0)
        .group_by("customer_id", "order_key", "week")
        .agg(paid_e4=pl.col("amount_e4").sum(), day=pl.col("event_day").min())
        .sort("customer_id", "day", "order_key")
        .with_columns(log=log)
    )
    if orders.is_empty():
        return None
    before = pl.col("log").cum_sum().over("customer_id") - pl.col("log")
    count = pl.int_range(pl.len()).over("customer_id")
    usual = (before + OWN_ORDERS * pl.col("log").mean()) / (count + OWN_ORDERS)
    return _means(orders.select("week", log=pl.col("log") - usual), number)


def _fees(rows: pl.DataFrame, number: int) -> tuple[Float, Float, float] | None:
    paid = rows.filter(pl.col("fee_e4") > 0)
    if paid.is_empty():
        return None
    return _means(paid.select("week", log=(pl.col("fee_e4") / 1e4).log()), number)


def _means(logs: pl.DataFrame, number: int) -> tuple[Float, Float, float]:
    found = logs.group_by("week").agg(pl.col("log").mean(), pl.len())
    means = _spread_out(found["week"], found["log"], number)
    many = _spread_out(found["week"], found["len"], number)
    return means, many, float(np.std(logs["log"].to_numpy()))
