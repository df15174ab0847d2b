"""Customers who leave: how many, what they were worth, why as far as recorded, and who returns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from features.days import day_number
from pipelines.report.causes import CAUSES, KINDS, Cause, cause_of
from pipelines.report.known import Known
from pipelines.report.periods import Period
from pipelines.report.points import Point, Series, Z, count, share, total
from pipelines.report.silence import active_on, lost_in

BEFORE_DAYS = 90
"""Days up to the last order and after it in which a recorded topic may tell why somebody left."""
_YEAR = 365
FEWEST = 20
"""Customers with a sign, and losses among them, below whom no association is told."""


@dataclass(frozen=True)
class Association:
    """How much oftener customers with a sign left than those without: no cause, an association.

    Attributes
    ----------
    sign
        ``complaint``, ``open_complaint``, ``ticket``, ``return``, ``discount`` or ``one_order``.
    with_it, without
        Shares that left.
    ratio
        Of the two, with its 95% interval (Katz 1978).
    """

    sign: str
    with_it: Point
    without: Point
    ratio: Point


@dataclass(frozen=True)
class Loss:
    """Loss by period, and why.

    Attributes
    ----------
    causes
        Of the customers lost in the newest periods (``cause_periods`` of them), how many by whose
        doing it was as recorded; None where no topic is recorded at all, and ``missing`` says what
        would bring it.
    topics
        The commonest recorded topics with their cause and customers.
    associations
        Over the same customers.
    """

    series: tuple[Series, ...]
    causes: tuple[tuple[Cause, int], ...] | None
    topics: tuple[tuple[str, Cause, int], ...]
    missing: str | None
    cause_periods: int
    associations: tuple[Association, ...]


def loss(known: Known, periods: Sequence[Period], silent_days: int) -> Loss:
    """Tell who was lost.

    - ``churn_rate``: share of customers active on the eve of a period who are silent beyond
      ``silent_days`` at its end. Who has a running contract then has not left.
    - ``customers_lost``: how many; ``value_lost``: their margin in the year up to their last order.
    - ``win_back_rate``: share of those silent on the eve who ordered again in the period.
    """
    lost = [lost_in(known, period, silent_days) for period in periods]
    rates, counts, values, back = [], [], [], []
    spent = _margins(known)
    for period, (active, gone) in zip(periods, lost, strict=True):
        rates.append(share(gone.height, active))
        counts.append(count(gone.height))
        values.append(_value(spent, gone))
        back.append(_won_back(known, period, silent_days))
    newest = min(len(periods), 3)
    causes, topics, missing = _causes(known, pl.concat([gone for _, gone in lost[-newest:]]))
    return Loss(
        (
            Series(
                "churn_rate",
                "loss",
                "share",
                "less",
                tuple(rates),
                per_day=True,
                rests_on_past=True,
            ),
            Series(
                "customers_lost",
                "loss",
                "count",
                "less",
                tuple(counts),
                per_day=True,
                rests_on_past=True,
            ),
            Series(
                "value_lost",
                "loss",
                "money",
                "less",
                tuple(values),
                per_day=True,
                rests_on_past=True,
            ),
            Series(
                "win_back_rate",
                "loss",
                "share",
                "more",
                tuple(back),
                per_day=True,
                rests_on_past=True,
            ),
        ),
        causes,
        topics,
        missing,
        newest,
        _associations(known, periods[-newest:], silent_days),
    )


def _margins(known: Known) -> pl.DataFrame:
    return known.orders.select("customer_id", "event_day", "margin")


def _value(margins: pl.DataFrame, gone: pl.DataFrame) -> Point:
    before = pl.col("last_day") - pl.col("event_day")
    each = (
        margins.lazy()
        .join(gone.lazy(), on="customer_id")
        .filter(before.is_between(0, _YEAR - 1))
        .group_by("customer_id")
        .agg(pl.col("margin").sum())
        .select(v=pl.col("margin").sum(), v2=(pl.col("margin") ** 2).sum())
        .collect()
        .row(0)
    )
    return total(float(each[0]), float(each[1]), gone.height)


def _won_back(known: Known, period: Period, silent_days: int) -> Point:
    first, last = day_number(period.first), day_number(period.last)
    silent = (
        known.purchase_days.filter(pl.col("event_day") < first)
        .group_by("customer_id")
        .agg(pl.col("event_day").max(), pl.col("next_day").sort_by("event_day").last())
        .filter(first - 1 - pl.col("event_day") > silent_days)
    )
    return share(int((silent["next_day"] <= last).sum()), silent.height)


def _causes(
    known: Known, gone: pl.DataFrame
) -> tuple[tuple[tuple[Cause, int], ...] | None, tuple[tuple[str, Cause, int], ...], str | None]:
    """Read the last recorded topic about a customer's last order, and put it down to somebody."""
    told = known.happened(KINDS)
    told = None if told is None else told.drop_nulls("topic")
    if told is None or told.is_empty():
        return None, (), "topic"
    near = (
        told.select("customer_id", "event_day", "topic")
        .join(gone, on="customer_id")
        .filter((pl.col("event_day") - pl.col("last_day")).abs() <= BEFORE_DAYS)
        .sort("event_day")
        .group_by("customer_id")
        .agg(pl.col("topic").last())
    )
    if gone.is_empty():
        return (), (), None
    topics = near.group_by("topic").len("n").sort(["n", "topic"], descending=[True, False])
    causes: dict[Cause, int] = dict.fromkeys(CAUSES, 0)
    for topic, n in topics.rows():
        causes[cause_of(topic)] += n
    # Of whom nothing is recorded nobody knows why.
    causes["unknown"] += gone.height - near.height
    listed = tuple((str(topic), cause_of(topic), int(n)) for topic, n in topics.head(8).rows())
    return tuple(causes.items()), listed, None


def _associations(
    known: Known, periods: Sequence[Period], silent_days: int
) -> tuple[Association, ...]:
    """Compare those who left with those who stayed, by what was seen of them before."""
    rows = []
    for period in periods:
        eve = day_number(period.first) - 1
        _, gone = lost_in(known, period, silent_days)
        active = active_on(known, eve, silent_days)
        rows.append(
            _signs(known, active, eve).join(
                gone.select("customer_id", left=True), on="customer_id", how="left"
            )
        )
    seen = pl.concat(rows, how="diagonal").with_columns(pl.col("left").fill_null(value=False))
    found = [
        told
        for name in seen.columns
        if name not in ("customer_id", "left") and (told := _association(seen, name)) is not None
    ]
    return tuple(sorted(found, key=lambda one: -(one.ratio.value or 0.0)))


def _signs(known: Known, active: pl.DataFrame, eve: int) -> pl.DataFrame:
    """Mark what was seen of customers in the 90 days up to a day."""
    near = pl.col("event_day").is_between(eve - BEFORE_DAYS + 1, eve)
    before = known.purchase_days.filter(pl.col("event_day") <= eve).group_by("customer_id").len("n")
    signs = {"one_order": before.filter(n=1).select("customer_id")}
    signs["return"] = known.orders.filter(near, pl.col("net") < 0).select("customer_id")
    if known.orders["discounted"].any():
        signs["discount"] = known.orders.filter(near, pl.col("discounted")).select("customer_id")
    for name, kind in (("complaint", "complaint"), ("ticket", "support_ticket")):
        rows = known.happened([kind])
        if rows is not None:
            signs[name] = rows.filter(near).select("customer_id")
    marked = active
    for name, rows in signs.items():
        held = rows.unique().with_columns(pl.lit(value=True).alias(name))
        marked = marked.join(held, on="customer_id", how="left")
    return marked.with_columns(pl.col(list(signs)).fill_null(value=False))


def _association(seen: pl.DataFrame, name: str) -> Association | None:
    marked = seen.drop_nulls(name)
    has = marked.filter(pl.col(name))
    others = marked.filter(~pl.col(name))
    a, n = int(has["left"].sum()), has.height
    b, m = int(others["left"].sum()), others.height
    if min(n, m) < FEWEST or min(a, b) < FEWEST:
        return None
    ratio = (a / n) / (b / m)
    error = math.sqrt(1 / a - 1 / n + 1 / b - 1 / m)
    interval = Point(ratio, ratio * math.exp(-Z * error), ratio * math.exp(Z * error), n + m)
    return Association(name, share(a, n), share(b, m), interval)
