"""What the data of a workspace show: the figures behind the data report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from features.catalogue import FEATURES, VIEWS
from features.ingest.contract import TABLES, Table
from features.settings import Settings
from training.horizon import derive_horizon

_SHARES = (0.5, 0.9, 0.99)
_E4 = 10_000


@dataclass(frozen=True)
class OrderFacts:
    """What the orders show.

    Attributes
    ----------
    months
        ``month`` (YYYY-MM), ``first_orders``, ``repeat_orders``, ``net`` (currency), ``returned``.
    order_values, gaps, delays
        The values at a half, nine tenths and 99 hundredths: of orders in currency, of the days
        between a customer's purchase days, and of the days from an order to its arrival.
    gap_counts, delay_counts
        How many gaps, and lines, took how many days.
    one_order_share
        Customers with one purchase day.
    first_day, last_day
        Days of the first and the last line.
    """

    customers: int
    orders: int
    net: float
    months: list[dict[str, Any]]
    order_values: list[float]
    values: list[float]
    gaps: list[float]
    gap_counts: list[tuple[int, int]]
    delays: list[float]
    delay_counts: list[tuple[int, int]]
    one_order_share: float
    first_day: date
    last_day: date


@dataclass(frozen=True)
class TableFacts:
    """What another table shows: rows a month, by kind, action, plan or region."""

    table: Table
    rows: int
    customers: int
    by: str
    months: list[tuple[str, str, int]]


@dataclass(frozen=True)
class DataFacts:
    """All that the data report says, before it is put into words and pictures.

    Attributes
    ----------
    absent
        Tables that were never ingested, with the number of features that this costs.
    empty_columns
        Columns of orders without any value, which cost features too.
    advice
        Sentences on the horizon, the history and what more data would buy.
    """

    currency: str
    orders: OrderFacts
    others: list[TableFacts]
    absent: dict[Table, int]
    empty_columns: list[str]
    advice: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the single order values."""
        plain = asdict(self)
        del plain["orders"]["values"]
        return plain


def data_facts(tables: Mapping[Table, Path], settings: Settings) -> DataFacts:
    """Look at every table of a workspace.

    Parameters
    ----------
    tables
        The ledger's Parquet files; orders must be there.
    """
    lines = pl.scan_parquet(tables["orders"])
    orders = _orders(lines)
    absent = {
        table: sum(feature.table == table for feature in FEATURES)
        for table in TABLES
        if table not in tables
    }
    empty = _empty(lines)
    return DataFacts(
        settings.data.currency,
        orders,
        [
            facts
            for table, (by, when) in _OTHERS.items()
            if table in tables
            and (facts := _other(table, pl.scan_parquet(tables[table]), by, when)) is not None
        ],
        absent,
        empty,
        _advice(orders, settings.churn.horizon_days, absent, empty),
    )


_OTHERS: dict[Table, tuple[str, str]] = {
    "interactions": ("kind", "event_day"),
    "treatments": ("action", "event_day"),
    "contracts": ("plan", "event_day"),
    "customers": ("acquisition_channel", "registered_day"),
}


def _orders(lines: pl.LazyFrame) -> OrderFacts:
    orders = lines.group_by("customer_id", "order_key", "event_day").agg(pl.col("amount_e4").sum())
    bought = orders.filter(pl.col("amount_e4") > 0).collect()
    days = bought.select("customer_id", "event_day").unique().sort("customer_id", "event_day")
    gaps = days.select(gap=pl.col("event_day").diff().over("customer_id")).drop_nulls()["gap"]
    delays = lines.select(d=pl.col("known_day") - pl.col("event_day")).collect()["d"]
    visits = days.group_by("customer_id").len()["len"]
    span = lines.select(
        first=pl.col("event_day").min(),
        last=pl.col("event_day").max(),
        net=pl.col("amount_e4").sum(),
        customers=pl.col("customer_id").n_unique(),
    ).collect()
    first, last = (span.select(pl.col(n).cast(pl.Date)).item() for n in ("first", "last"))
    values = bought["amount_e4"] / _E4
    return OrderFacts(
        int(span["customers"].item()),
        bought.height,
        span["net"].item() / _E4,
        _months(lines, bought),
        _at(values),
        values.sample(min(len(values), 20_000), seed=1).to_list(),
        _at(gaps),
        _counted(gaps),
        _at(delays),
        _counted(delays),
        float((visits == 1).mean() or 0.0),  # type: ignore[arg-type]
        first,
        last,
    )


def _months(lines: pl.LazyFrame, bought: pl.DataFrame) -> list[dict[str, Any]]:
    month = pl.col("event_day").cast(pl.Date).dt.strftime("%Y-%m").alias("month")
    first = pl.col("event_day") == pl.col("event_day").min().over("customer_id")
    counts = bought.select(month, first.alias("first")).group_by("month")
    orders = counts.agg(first_orders=pl.col("first").sum(), repeat_orders=(~pl.col("first")).sum())
    amount = pl.col("amount_e4")
    money = (
        lines.select(month, amount)
        .group_by("month")
        .agg(net=amount.sum() / _E4, returned=-amount.filter(amount < 0).sum() / _E4)
        .collect()
    )
    return money.join(orders, on="month", how="left").fill_null(0).sort("month").to_dicts()


def _at(values: pl.Series) -> list[float]:
    return [float(values.quantile(share, "lower") or 0.0) for share in _SHARES]


def _counted(days: pl.Series) -> list[tuple[int, int]]:
    return [(int(d), int(n)) for d, n in days.value_counts().sort(days.name).iter_rows()]


def _empty(lines: pl.LazyFrame) -> list[str]:
    columns = {"category": "category", "channel": "channel", "discount_e4": "discount"}
    columns |= {"quantity": "quantity", "cost_e4": "cost"}
    given = lines.select(pl.col(list(columns)).is_not_null().any()).collect().row(0)
    return [name for name, has in zip(columns.values(), given, strict=True) if not has]


def _other(table: Table, rows: pl.LazyFrame, by: str, when: str) -> TableFacts | None:
    month = pl.col(when).cast(pl.Date).dt.strftime("%Y-%m").alias("month")
    counted = (
        rows.select(month, pl.col(by).fill_null("–").alias("by"))
        .drop_nulls("month")
        .group_by("month", "by")
        .len()
        .sort("month", "by")
        .collect()
    )
    size = rows.select(n=pl.len(), c=pl.col("customer_id").n_unique()).collect()
    months = [(str(m), str(b), int(n)) for m, b, n in counted.iter_rows()]
    return TableFacts(table, int(size["n"].item()), int(size["c"].item()), by, months)


def _advice(
    orders: OrderFacts, set_days: int | None, absent: Mapping[Table, int], empty: list[str]
) -> list[str]:
    said = []
    history = (orders.last_day - orders.first_day).days + 1
    gaps = np.repeat(*np.array(orders.gap_counts or [(1, 0)], dtype=np.int64).T)
    derived = derive_horizon(gaps, history)
    horizon_days = set_days or derived.days
    if set_days is None:
        said.append(f"A churn horizon of {derived.days} days suits them: {derived.why}.")
    usual = orders.gaps[1]
    if orders.gap_counts:
        within = sum(n for d, n in orders.gap_counts if d <= horizon_days)
        share = within / sum(n for _, n in orders.gap_counts)
        verdict = (
            "silence that long means something"
            if share >= 0.8
            else f"many who are silent that long come back; consider {_rounded(usual)} days"
        )
        said.append(
            f"{share:.0%} of the gaps between two purchases are at most the churn horizon of "
            f"{horizon_days} days: {verdict}."
        )
    needed = 3 * horizon_days
    said.append(
        f"There are {history:,} days of history, {history / horizon_days:.1f} horizons; "
        + (
            "enough to learn, to calibrate and to judge on days that the model never saw."
            if history >= needed
            else f"with {needed - history:,} more, a model could be judged on a day that it never "
            "saw."
        )
    )
    said.append(
        "Two years are covered: seasons can be learned."
        if history >= 2 * 365
        else "Less than two years are covered: what comes each year cannot be told from what came "
        "once."
    )
    if orders.delays[2] > 0:
        said.append(
            f"Half of the lines arrive within {_days(orders.delays[0])}, 99% within "
            f"{_days(orders.delays[2])}: a training row never sees a line before it arrived."
        )
    for table, count in absent.items():
        views = [view for view, theme in VIEWS.items() if theme.table == table]
        said.append(f"Without {table}, {count} features ({', '.join(views)}) stay empty.")
    if empty:
        said.append(
            f"The orders have no {', no '.join(empty)}: map a column to it and its features fill."
        )
    return said


def _days(count: float) -> str:
    return "the day" if count == 0 else f"{count:.0f} day{'s' * (count != 1)}"


def _rounded(days: float) -> int:
    """Round a number of days up to whole weeks."""
    return int(-(-days // 7) * 7)
