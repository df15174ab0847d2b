"""Winning customers: how many, what they do and bring, what they cost, and when that is back.

Whoever places their first order in a period is a new customer of it. What they do afterwards is
told of those whose first ``window_days`` are over, so that nobody's short time counts as silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from features.days import day_number
from pipelines.report.known import Known
from pipelines.report.periods import Period
from pipelines.report.points import UNKNOWN, Point, Series, count, mean, share
from pipelines.report.trade import by_period

MONTH = 30
"""Days of the steps in which costs are paid back."""
MOST_MONTHS = 24
FEWEST = 30
"""Customers of a channel below whom nothing is told of their value or payback."""


@dataclass(frozen=True)
class Channel:
    """What one channel brought, of customers whose first ``window_days`` are over.

    Attributes
    ----------
    channel
        None for customers of whom it is not known.
    new
        New customers of the newest period.
    customers
        Those of the last year whose window is over, of whom the rest is told.
    repeat, orders, margin
        Share with a second day of purchase, orders and margin of each, in the window.
    cost
        What winning one cost, of those of whom it is recorded.
    payback_days
        When the mean margin of a customer first reaches that cost, in steps of 30 days; None where
        it has not, or where costs are not recorded.
    returned
        Margin in the window as a share of the cost.
    """

    channel: str | None
    new: int
    customers: int
    repeat: Point
    orders: Point
    margin: Point
    cost: Point
    payback_days: int | None
    returned: float | None


@dataclass(frozen=True)
class Acquisition:
    """Acquisition by period and by channel.

    Attributes
    ----------
    by
        What the channels are of: ``customers`` (how they were acquired), ``orders`` (the channel
        of the first order), or None where neither is recorded.
    seen_days
        How long the oldest of the customers behind ``payback_days`` have been followed.
    """

    series: tuple[Series, ...]
    window_days: int
    channels: tuple[Channel, ...]
    by: str | None
    seen_days: int


def acquisition(known: Known, periods: Sequence[Period], window_days: int) -> Acquisition:
    """Follow the new customers of each period.

    - ``new_customers``: first orders in the period.
    - ``first_order_value``: mean amount of their first day.
    - ``early_repeat``: share of new customers with a second day of purchase within
      ``window_days``; periods whose window is not over are unknown.
    - ``early_margin``: mean margin of a new customer in those days, returns counted.
    - ``acquisition_cost``: mean recorded cost of winning a new customer.
    """
    firsts = _firsts(known, window_days)
    placed = known.within(firsts.with_columns(event_day=pl.col("first_day")), periods)
    until = day_number(known.as_of)
    rows = by_period(
        placed,
        periods,
        n=pl.len(),
        first=pl.col("first_net").sum(),
        first2=(pl.col("first_net") ** 2).sum(),
        repeat=pl.col("repeat").sum(),
        margin=pl.col("margin").sum(),
        margin2=(pl.col("margin") ** 2).sum(),
        cost=pl.col("cost").sum(),
        cost2=(pl.col("cost") ** 2).sum(),
        costed=pl.col("cost").count(),
    )
    over = [day_number(period.last) + window_days <= until for period in periods]
    costs = tuple(mean(r["cost"], r["cost2"], int(r["costed"])) for r in rows)
    costed = any(point.known for point in costs)
    channels, by = _channels(known, firsts, periods[-1], window_days)
    return Acquisition(
        (
            Series(
                "new_customers", "acquisition", "count", "more",
                tuple(count(int(r["n"])) for r in rows), per_day=True,
                rests_on_past=True,
            ),
            Series(
                "first_order_value", "acquisition", "money", "more",
                tuple(mean(r["first"], r["first2"], int(r["n"])) for r in rows),
                rests_on_past=True,
            ),
            Series(
                "early_repeat", "acquisition", "share", "more",
                _if(over, [share(int(r["repeat"]), int(r["n"])) for r in rows]),
                rests_on_past=True,
            ),
            Series(
                "early_margin", "acquisition", "money", "more",
                _if(over, [mean(r["margin"], r["margin2"], int(r["n"])) for r in rows]),
                rests_on_past=True,
            ),
            Series(
                "acquisition_cost", "acquisition", "money", "less",
                costs if costed else (), missing=None if costed else "acquisition_cost",
            ),
        ),
        window_days,
        channels,
        by,
        until - day_number(known.first_day),
    )  # fmt: skip


def _if(conditions: Sequence[bool], points: Sequence[Point]) -> tuple[Point, ...]:
    return tuple(
        point if holds else UNKNOWN for holds, point in zip(conditions, points, strict=True)
    )


def _firsts(known: Known, window_days: int) -> pl.DataFrame:
    """A row a buyer: first day, what followed within the window, channel and cost."""
    inside = (pl.col("event_day") - pl.col("first_day")).is_between(0, window_days - 1)
    followed = (
        known.orders.join(known.firsts, on="customer_id")
        .filter(inside)
        .group_by("customer_id")
        .agg(
            margin=pl.col("margin").sum(),
            orders=pl.col("purchase").sum().cast(pl.Float64),
            order_channel=pl.col("channel").sort_by("event_day").drop_nulls().first(),
        )
    )
    rows = known.firsts.join(followed, on="customer_id", how="left").with_columns(
        repeat=(pl.col("second_day") - pl.col("first_day") < window_days).fill_null(value=False),
    )
    if known.customers is None:
        return rows.with_columns(
            acquisition_channel=pl.lit(None, pl.String), cost=pl.lit(None, pl.Float64)
        )
    told = known.customers.select("customer_id", "acquisition_channel", "cost")
    return rows.join(told, on="customer_id", how="left")


def _channels(
    known: Known, firsts: pl.DataFrame, newest: Period, window_days: int
) -> tuple[tuple[Channel, ...], str | None]:
    if firsts["acquisition_channel"].count():
        column, by = "acquisition_channel", "customers"
    elif firsts["order_channel"].count():
        column, by = "order_channel", "orders"
    else:
        return (), None
    until = day_number(known.as_of)
    first, last = day_number(newest.first), day_number(newest.last)
    year = firsts.filter(
        pl.col("first_day").is_between(until - window_days - 364, until - window_days)
    )
    sums = (
        year.group_by(column)
        .agg(
            n=pl.len(),
            repeat=pl.col("repeat").sum(),
            orders=pl.col("orders").sum(),
            orders2=(pl.col("orders") ** 2).sum(),
            margin=pl.col("margin").sum(),
            margin2=(pl.col("margin") ** 2).sum(),
            cost=pl.col("cost").sum(),
            cost2=(pl.col("cost") ** 2).sum(),
            costed=pl.col("cost").count(),
        )
        .sort("n", descending=True)
    )
    new = dict(
        firsts.filter(pl.col("first_day").is_between(first, last)).group_by(column).len().rows()
    )
    curves = _curves(known, firsts, column)
    found = []
    for row in sums.iter_rows(named=True):
        few = row["n"] < FEWEST
        cost = mean(row["cost"], row["cost2"], row["costed"])
        margin = mean(row["margin"], row["margin2"], row["n"])
        found.append(
            Channel(
                row[column],
                int(new.get(row[column], 0)),
                row["n"],
                UNKNOWN if few else share(row["repeat"], row["n"]),
                UNKNOWN if few else mean(row["orders"], row["orders2"], row["n"]),
                UNKNOWN if few else margin,
                cost,
                None if few or cost.value is None else _back(curves.get(row[column]), cost.value),
                None if few or not cost.value else (margin.value or 0.0) / cost.value,
            )
        )
    return tuple(found), by


def _curves(known: Known, firsts: pl.DataFrame, column: str) -> dict[str | None, list[float]]:
    """Mean margin of a customer in the first months, a step of 30 days of those who had it whole.

    Each step is the mean of customers who have been followed to its end, and steps are added, so
    that the young count as far as they have come.
    """
    until = day_number(known.as_of)
    at = known.orders.join(firsts.select("customer_id", "first_day", column), on="customer_id")
    age = (pl.col("event_day") - pl.col("first_day")) // MONTH
    whole = (until - pl.col("first_day") + 1) // MONTH
    steps = (
        at.with_columns(step=age)
        .filter(pl.col("step").is_between(0, MOST_MONTHS - 1), pl.col("step") < whole)
        .group_by(column, "step")
        .agg(pl.col("margin").sum())
    )
    at_age = firsts.select(column, whole=whole.clip(upper_bound=MOST_MONTHS))
    curves: dict[str | None, list[float]] = {}
    for (name,), mine in at_age.partition_by(column, as_dict=True).items():
        reached = mine["whole"].to_numpy()
        margins = dict(
            steps.filter(pl.col(column).eq_missing(name)).select("step", "margin").rows()
        )
        curve, so_far = [], 0.0
        for step in range(MOST_MONTHS):
            customers = int((reached > step).sum())
            if customers < FEWEST:
                break
            so_far += margins.get(step, 0.0) / customers
            curve.append(so_far)
        curves[name if name is None else str(name)] = curve
    return curves


def _back(curve: list[float] | None, cost: float) -> int | None:
    """Days until a curve reaches a cost.

    >>> _back([3.0, 5.0, 6.0], 5.0), _back([3.0], 5.0)
    (60, None)
    """
    for step, margin in enumerate(curve or []):
        if margin >= cost:
            return (step + 1) * MONTH
    return None
