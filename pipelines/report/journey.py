"""The way to the first order: what people who have not bought yet see, do and ask.

An interaction counts here if it happened before its customer's first order, or if there was none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from features.days import day_number
from features.definitions.expressions import UNIT_E4
from pipelines.report.known import Known
from pipelines.report.periods import Period
from pipelines.report.points import Point, Series, Wanted, mean, share, total
from pipelines.report.trade import by_period

FOLLOW_DAYS = 7
"""Within which a checkout is paid and a payment becomes an order, or was broken off."""
STEPS = ("seen", "visited", "considered", "checkout", "paid", "ordered")
"""Steps to the first order, each of people."""
_STEP_KINDS = {
    "seen": ("impression", "ad_click", "email_open", "email_click"),
    "visited": ("visit", "product_view"),
    "considered": ("compare", "cart", "trial", "inquiry"),
    "checkout": ("checkout",),
    "paid": ("payment",),
}


@dataclass(frozen=True)
class Journey:
    """The way to the first order by period.

    Attributes
    ----------
    funnel
        People without an order who took each of :data:`STEPS` in the newest period, in any order;
        steps of which nothing was ever recorded are left out.
    """

    series: tuple[Series, ...]
    funnel: tuple[tuple[str, int], ...]


def journey(known: Known, periods: Sequence[Period]) -> Journey:
    """Follow those who have not ordered yet.

    - ``exposure``: impressions shown to them.
    - ``click_rate``: ad clicks per impression; ``email_click_rate``: clicks per opened mail.
    - ``dwell``: mean length of a visit.
    - ``inquiries``: questions that they asked.
    - ``checkout_completion``: share of persons with a checkout who paid or ordered within 7 days.
    - ``payment_completion``: share of persons with a payment who ordered within 7 days.
    - ``conversion``: share of those known without an order when the period began who placed one in
      it.
    - ``promotion_participation``: share of first orders with a discount.
    """
    events = _before_order(known)
    placed = None if events is None else known.within(events, periods)
    kinds: set[str] = set() if events is None else set(events["kind"].unique())
    return Journey(
        (
            _number(placed, periods, kinds, "exposure", "impression", "neither"),
            _rate(placed, periods, kinds, "click_rate", "ad_click", "impression"),
            _rate(placed, periods, kinds, "email_click_rate", "email_click", "email_open"),
            _dwell(placed, periods),
            _number(placed, periods, kinds, "inquiries", "inquiry", "more"),
            _completion(
                known, placed, periods, "checkout_completion", "checkout", paid_counts=True
            ),
            _completion(known, placed, periods, "payment_completion", "payment", paid_counts=False),
            _conversion(known, periods),
            _promotion(known, periods),
        ),
        _funnel(known, placed, periods, kinds),
    )


def _before_order(known: Known) -> pl.DataFrame | None:
    if known.interactions is None:
        return None
    firsts = known.firsts.lazy().select("customer_id", "first_day")
    return (
        known.interactions.join(firsts, on="customer_id", how="left")
        # On the day of the first order itself the way there counts too.
        .filter(pl.col("first_day").is_null() | (pl.col("event_day") <= pl.col("first_day")))
        .select("customer_id", "event_day", "kind", "first_day", value=pl.col("value_e4") / UNIT_E4)
        .collect()
    )


def _number(
    placed: pl.DataFrame | None,
    periods: Sequence[Period],
    kinds: set[str],
    key: str,
    kind: str,
    better: Wanted,
) -> Series:
    if placed is None or kind not in kinds:
        return Series(key, "journey", "count", better, missing=f"kind:{kind}")
    each = placed.filter(pl.col("kind") == kind).group_by("period", "customer_id").len("n")
    rows = by_period(
        each,
        periods,
        n=pl.col("n").sum(),
        n2=(pl.col("n").cast(pl.Float64) ** 2).sum(),
        people=pl.len(),
    )
    points = tuple(total(float(r["n"]), r["n2"], int(r["people"])) for r in rows)
    return Series(key, "journey", "count", better, points, per_day=True)


def _rate(
    placed: pl.DataFrame | None,
    periods: Sequence[Period],
    kinds: set[str],
    key: str,
    done: str,
    of: str,
) -> Series:
    if placed is None or not {done, of} <= kinds:
        gone = done if placed is None or done not in kinds else of
        return Series(key, "journey", "share", "more", missing=f"kind:{gone}")
    rows = by_period(
        placed,
        periods,
        done=(pl.col("kind") == done).sum(),
        of=(pl.col("kind") == of).sum(),
    )
    # More clicks than views were recorded where views are not recorded whole: then it is no share.
    points = tuple(
        share(int(r["done"]), int(r["of"])) if r["done"] <= r["of"] else Point() for r in rows
    )
    if not any(point.known for point in points):
        return Series(key, "journey", "share", "more", missing=f"kind:{of}")
    return Series(key, "journey", "share", "more", points)


def _dwell(placed: pl.DataFrame | None, periods: Sequence[Period]) -> Series:
    visits = None if placed is None else placed.filter(kind="visit").drop_nulls("value")
    if visits is None or visits.is_empty():
        return Series("dwell", "journey", "seconds", "more", missing="kind:visit.value")
    rows = by_period(
        visits,
        periods,
        sum=pl.col("value").sum(),
        squares=(pl.col("value") ** 2).sum(),
        n=pl.len(),
    )
    points = tuple(mean(r["sum"], r["squares"], int(r["n"])) for r in rows)
    return Series("dwell", "journey", "seconds", "more", points)


def _completion(
    known: Known,
    placed: pl.DataFrame | None,
    periods: Sequence[Period],
    key: str,
    kind: str,
    *,
    paid_counts: bool,
) -> Series:
    """Share of people with an event who went on to the next step within a week."""
    begun = None if placed is None else placed.filter(kind=kind)
    if begun is None or begun.is_empty() or placed is None:
        return Series(key, "journey", "share", "more", missing=f"kind:{kind}")
    # The last one of the period is followed: who began twice has made up their mind by then.
    last = begun.group_by("period", "customer_id").agg(pl.col("event_day").max())
    after = pl.col("done_day") - pl.col("event_day")
    done = known.firsts.select("customer_id", done_day="first_day")
    if paid_counts:
        payments = known.happened(["payment"])
        if payments is not None:
            done = pl.concat([done, payments.select("customer_id", done_day="event_day")])
    followed = (
        last.join(done, on="customer_id", how="left")
        .group_by("period", "customer_id")
        .agg(done=after.is_between(0, FOLLOW_DAYS).any().fill_null(value=False))
    )
    rows = by_period(followed, periods, done=pl.col("done").sum(), n=pl.len())
    points = tuple(share(int(r["done"]), int(r["n"])) for r in rows)
    return Series(key, "journey", "share", "more", points)


def _conversion(known: Known, periods: Sequence[Period]) -> Series:
    people = known.people
    points = []
    for period in periods:
        first, last = day_number(period.first), day_number(period.last)
        waiting = people.filter(
            pl.col("known_since") < first,
            pl.col("first_day").is_null() | (pl.col("first_day") >= first),
        )
        points.append(share(int((waiting["first_day"] <= last).sum()), waiting.height))
    if not any(point.known for point in points):
        return Series("conversion", "journey", "share", "more", missing="prospects")
    return Series("conversion", "journey", "share", "more", tuple(points), rests_on_past=True)


def _promotion(known: Known, periods: Sequence[Period]) -> Series:
    first = known.purchases.filter(pl.col("event_day") == pl.col("first_day"))
    told = (
        known.within(first, periods)
        .group_by("period", "customer_id")
        .agg(pl.col("discounted").any(), noted=pl.col("discounted").is_not_null().any())
        .filter("noted")
    )
    if told.is_empty():
        return Series(
            "promotion_participation", "journey", "share", "neither", missing="orders.discount"
        )
    rows = by_period(told, periods, done=pl.col("discounted").sum(), n=pl.len())
    points = tuple(share(int(r["done"]), int(r["n"])) for r in rows)
    return Series(
        "promotion_participation", "journey", "share", "neither", points, rests_on_past=True
    )


def _funnel(
    known: Known, placed: pl.DataFrame | None, periods: Sequence[Period], kinds: set[str]
) -> tuple[tuple[str, int], ...]:
    if placed is None:
        return ()
    newest = placed.filter(pl.col("period") == len(periods) - 1)
    found = [
        (step, newest.filter(pl.col("kind").is_in(list(own)))["customer_id"].n_unique())
        for step, own in _STEP_KINDS.items()
        if kinds & set(own)
    ]
    first = known.within(
        known.firsts.select("customer_id", event_day="first_day"), periods[-1:]
    ).height
    return (*found, ("ordered", first)) if found else ()
