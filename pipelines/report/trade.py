"""What was sold: net sales, orders, buyers and the value of an order, by period."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from pipelines.report.known import Known
from pipelines.report.periods import Period
from pipelines.report.points import Point, Series, count, mean, total


def trade(known: Known, periods: Sequence[Period]) -> tuple[Series, ...]:
    """Sum up what was sold.

    - ``net_sales``: all amounts less what came back, in the period.
    - ``orders``: orders with a positive amount.
    - ``buyers``: customers with one.
    - ``order_value``: mean amount of an order.
    """
    money = known.within(known.orders, periods)
    # Customers are who varies by chance, not lines: their sums are squared.
    each = money.group_by("period", "customer_id").agg(
        net=pl.col("net").sum(),
        orders=pl.col("purchase").sum().cast(pl.Float64),
        buyer=pl.col("purchase").any(),
    )
    sums = by_period(
        each,
        periods,
        net=pl.col("net").sum(),
        net2=(pl.col("net") ** 2).sum(),
        orders=pl.col("orders").sum(),
        orders2=(pl.col("orders") ** 2).sum(),
        buyers=pl.col("buyer").sum(),
    )
    values = by_period(
        money.filter("purchase"),
        periods,
        sum=pl.col("net").sum(),
        squares=(pl.col("net") ** 2).sum(),
        n=pl.len(),
    )
    return (
        Series(
            "net_sales", "trade", "money", "more",
            tuple(total(r["net"], r["net2"], int(r["buyers"])) for r in sums), per_day=True,
        ),
        Series(
            "orders", "trade", "count", "more",
            tuple(total(r["orders"], r["orders2"], int(r["buyers"])) for r in sums), per_day=True,
        ),
        Series(
            "buyers", "trade", "count", "more",
            tuple(count(int(r["buyers"])) for r in sums), per_day=True,
        ),
        Series(
            "order_value", "trade", "money", "more",
            tuple(mean(r["sum"], r["squares"], int(r["n"])) for r in values),
        ),
    )  # fmt: skip


def by_period(
    rows: pl.DataFrame, periods: Sequence[Period], **sums: pl.Expr
) -> list[dict[str, float]]:
    """Add rows up by their ``period``, a dictionary a period, zeros where there are no rows."""
    found = rows.group_by("period").agg(**sums)
    every = pl.DataFrame({"period": range(len(periods))}, schema={"period": pl.Int32})
    filled = every.join(found, on="period", how="left").fill_null(0).sort("period")
    return filled.drop("period").to_dicts()


def from_period(points: Sequence[Point], unknown: int) -> tuple[Point, ...]:
    """Leave periods unknown that began before anything of their kind was recorded."""
    return (*(Point() for _ in range(unknown)), *points[unknown:])
