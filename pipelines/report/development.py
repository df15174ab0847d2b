"""Customers who grow: second orders, engagement, satisfaction, and buying across categories."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from features.days import day_number
from features.definitions.expressions import UNIT_E4
from pipelines.report.known import PASSIVE, Known
from pipelines.report.periods import Period
from pipelines.report.points import UNKNOWN, Point, Series, mean, share
from pipelines.report.silence import active_on
from pipelines.report.trade import by_period

SAME_DAYS = {"week": 7, "month": 28, "quarter": 90}
"""Days of a period that all periods of its kind have."""


def development(known: Known, periods: Sequence[Period], silent_days: int) -> tuple[Series, ...]:
    """Tell how those who bought go on.

    - ``repeat_rate``: share of a period's buyers who had bought on an earlier day.
    - ``frequency``: orders of a buyer in the period.
    - ``engagement``: share of active customers who did something of their own accord besides buying
      in the last :data:`SAME_DAYS` of the period, so that a longer month has no more of it.
    - ``satisfaction``: mean of what surveys say, on their own scale.
    - ``cross_sell_rate``: share of a period's returning buyers who bought in a category that they
      had not bought in before.

    Active is who bought within ``silent_days`` before those days.
    """
    return (
        _repeat(known, periods),
        _frequency(known, periods),
        _engagement(known, periods, silent_days),
        _satisfaction(known, periods),
        _cross_sell(known, periods),
    )


def _repeat(known: Known, periods: Sequence[Period]) -> Series:
    days = known.purchase_days.with_columns(again=pl.col("former_day").is_not_null())
    each = known.within(days, periods).group_by("period", "customer_id").agg(pl.col("again").any())
    rows = by_period(each, periods, again=pl.col("again").sum(), n=pl.len())
    points = tuple(share(int(r["again"]), int(r["n"])) for r in rows)
    return Series("repeat_rate", "development", "share", "more", points, rests_on_past=True)


def _frequency(known: Known, periods: Sequence[Period]) -> Series:
    each = known.within(known.purchases, periods).group_by("period", "customer_id").len("n")
    many = pl.col("n").cast(pl.Float64)
    rows = by_period(each, periods, sum=many.sum(), squares=(many**2).sum(), n=pl.len())
    points = tuple(mean(r["sum"], r["squares"], int(r["n"])) for r in rows)
    # Most order once however long a month is, and yet a longer one has more orders.
    return Series("frequency", "development", "number", "more", points, compared=False)


def _engagement(known: Known, periods: Sequence[Period], silent_days: int) -> Series:
    if known.interactions is None:
        return Series("engagement", "development", "share", "more", missing="interactions")
    acted = known.interactions.filter(~pl.col("kind").is_in(list(PASSIVE))).select(
        "customer_id", "event_day"
    )
    points = []
    for period in periods:
        last = day_number(period.last)
        first = last - SAME_DAYS[period.kind] + 1
        active = active_on(known, first - 1, silent_days)
        inside = acted.filter(pl.col("event_day").is_between(first, last))
        did = active.lazy().join(inside, on="customer_id", how="semi").collect().height
        points.append(share(did, active.height))
    return Series("engagement", "development", "share", "more", tuple(points))


def _satisfaction(known: Known, periods: Sequence[Period]) -> Series:
    surveys = known.happened(["survey"])
    told = None if surveys is None else surveys.drop_nulls("value_e4")
    if told is None or told.is_empty():
        return Series("satisfaction", "development", "number", "more", missing="kind:survey.value")
    scored = told.with_columns(value=pl.col("value_e4") / UNIT_E4)
    rows = by_period(
        known.within(scored, periods),
        periods,
        sum=pl.col("value").sum(),
        squares=(pl.col("value") ** 2).sum(),
        n=pl.len(),
    )
    points = tuple(mean(r["sum"], r["squares"], int(r["n"])) for r in rows)
    return Series("satisfaction", "development", "number", "more", points)


def _cross_sell(known: Known, periods: Sequence[Period]) -> Series:
    lines = known.lines.unique().collect()
    if lines.is_empty() or lines["category"].n_unique() < 2:
        return Series("cross_sell_rate", "development", "share", "more", missing="orders.category")
    firsts = lines.group_by("customer_id", "category").agg(pl.col("event_day").min())
    began = known.firsts.select("customer_id", "first_day")
    wider = (
        known.within(firsts.join(began, on="customer_id"), periods)
        .filter(pl.col("event_day") > pl.col("first_day"))
        .select("period", "customer_id", wider=True)
        .unique()
    )
    again = (
        known.within(known.purchase_days, periods)
        .filter(pl.col("former_day").is_not_null())
        .select("period", "customer_id")
        .unique()
    )
    rows = by_period(
        again.join(wider, on=["period", "customer_id"], how="left"),
        periods,
        wider=pl.col("wider").sum(),
        n=pl.len(),
    )
    points: tuple[Point, ...] = tuple(
        share(int(r["wider"]), int(r["n"])) if r["n"] else UNKNOWN for r in rows
    )
    return Series("cross_sell_rate", "development", "share", "more", points, rests_on_past=True)
