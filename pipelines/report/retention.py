"""Customers who stay: retention and renewal, complaints, referrals, and how value is spread."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.days import day_number
from pipelines.report.known import Known
from pipelines.report.periods import Period, period_of
from pipelines.report.points import UNKNOWN, Point, Series, bare, share
from pipelines.report.silence import active_on, lost_in
from pipelines.report.trade import by_period

MOST_COHORTS = 13
_YEAR = 365


@dataclass(frozen=True)
class Cohort:
    """Customers who first bought in one month (or quarter), and who of them bought when.

    Attributes
    ----------
    bought
        Share of them who bought in each period from their first on; the first is 1.
    """

    period: Period
    customers: int
    bought: tuple[Point, ...]


@dataclass(frozen=True)
class Concentration:
    """How value is spread over customers.

    Attributes
    ----------
    gini
        0: all alike, 1: one has it all (Gini 1912); of amounts below 0 none is counted.
    top_tenth
        Share of all that the best tenth of customers has.
    half_is_held_by
        The smallest share of customers who hold half.
    curve
        Points of Lorenz's curve (1905), from the poorest: share of customers, share of value.
    """

    customers: int
    total: float
    gini: float
    top_tenth: float
    half_is_held_by: float
    curve: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Retention:
    """Retention by period, by cohort, and how value is spread.

    Attributes
    ----------
    since
        The first day of the ledger: cohorts soon after it hold customers of old.
    """

    series: tuple[Series, ...]
    cohorts: tuple[Cohort, ...]
    spent: Concentration | None
    since: date


def retention(known: Known, periods: Sequence[Period], silent_days: int) -> Retention:
    """Tell who stayed.

    - ``retention_rate``: share of customers active on the eve of a period (bought within
      ``silent_days`` before it) who are not silent beyond that at its end, or have a running
      contract then.
    - ``repurchase_rate``: share of the former period's buyers who bought in this one.
    - ``renewal_rate``: share of contract terms that ended in the period which were renewed.
    - ``complaint_rate``: complaints for each active customer.
    - ``resolved_rate``: share of a period's complaints that were resolved within 14 days.
    - ``referral_rate``: share of new customers whom a customer referred.
    - ``value_concentration``: Gini of net sales in the year up to the period's end.
    """
    return Retention(
        (
            _retained(known, periods, silent_days),
            _repurchase(known, periods),
            _renewed(known, periods),
            *_complaints(known, periods, silent_days),
            _referred(known, periods),
            _concentrations(known, periods),
        ),
        cohorts(known, periods[-1]),
        _spent(known, day_number(known.as_of)),
        known.first_day,
    )


def _retained(known: Known, periods: Sequence[Period], silent_days: int) -> Series:
    points = []
    for period in periods:
        active, gone = lost_in(known, period, silent_days)
        points.append(share(active - gone.height, active))
    return Series(
        "retention_rate", "retention", "share", "more", tuple(points), compared=False,
        rests_on_past=True,
    )  # fmt: skip


def _repurchase(known: Known, periods: Sequence[Period]) -> Series:
    before = (periods[0].before(), *periods)
    buyers = [
        known.purchase_days.filter(
            pl.col("event_day").is_between(day_number(one.first), day_number(one.last))
        )
        .select("customer_id")
        .unique()
        for one in before
    ]
    points = [
        share(former.join(now, on="customer_id", how="semi").height, former.height)
        for former, now in itertools.pairwise(buyers)
    ]
    if before[0].first < known.first_day:
        points[0] = UNKNOWN
    return Series("repurchase_rate", "retention", "share", "more", tuple(points))


def _renewed(known: Known, periods: Sequence[Period]) -> Series:
    if known.contracts is None:
        return Series("renewal_rate", "retention", "share", "more", missing="contracts")
    terms = (
        known.contracts.drop_nulls("ends_day")
        .sort("arrived_at")
        .unique(["customer_id", "contract_id", "starts_at"], keep="last", maintain_order=True)
        .with_columns(
            event_day=pl.col("ends_day").cast(pl.Int32), renewed=pl.col("renewed_day").is_not_null()
        )
    )
    rows = by_period(
        known.within(terms, periods), periods, done=pl.col("renewed").sum(), n=pl.len()
    )
    points = tuple(share(int(r["done"]), int(r["n"])) for r in rows)
    return Series("renewal_rate", "retention", "share", "more", points)


def _complaints(known: Known, periods: Sequence[Period], silent_days: int) -> tuple[Series, Series]:
    rate = Series("complaint_rate", "retention", "share", "less", missing="kind:complaint")
    solved = Series(
        "resolved_rate", "retention", "share", "more", missing="kind:complaint_resolved"
    )
    complaints = known.happened(["complaint"])
    if complaints is None:
        return rate, solved
    placed = known.within(complaints, periods)
    points = []
    for place, period in enumerate(periods):
        active = active_on(known, day_number(period.first) - 1, silent_days)
        mine = placed.filter(period=place).select("customer_id").unique()
        did = active.join(mine, on="customer_id", how="semi").height
        points.append(share(did, active.height))
    rate = Series("complaint_rate", "retention", "share", "less", tuple(points), per_day=True)
    resolutions = known.happened(["complaint_resolved"])
    if resolutions is None:
        return rate, solved
    after = (
        placed.select("period", "customer_id", "at")
        .sort("at")
        .join_asof(
            resolutions.select("customer_id", done="at").sort("done"),
            left_on="at",
            right_on="done",
            by="customer_id",
            strategy="forward",
            check_sortedness=False,
        )
        .with_columns(quick=(pl.col("done") - pl.col("at")) <= pl.duration(days=14))
    )
    rows = by_period(after, periods, done=pl.col("quick").sum(), n=pl.len())
    until = day_number(known.as_of)
    found = tuple(
        share(int(r["done"]), int(r["n"])) if day_number(p.last) + 14 <= until else UNKNOWN
        for r, p in zip(rows, periods, strict=True)
    )
    return rate, Series("resolved_rate", "retention", "share", "more", found)


def _referred(known: Known, periods: Sequence[Period]) -> Series:
    if known.customers is None or not known.customers["referred_by"].count():
        return Series(
            "referral_rate", "retention", "share", "more", missing="customers.referred_by"
        )
    new = known.firsts.select("customer_id", event_day="first_day").join(
        known.customers, on="customer_id"
    )
    rows = by_period(
        known.within(new, periods), periods, done=pl.col("referred_by").count(), n=pl.len()
    )
    points = tuple(share(int(r["done"]), int(r["n"])) for r in rows)
    return Series("referral_rate", "retention", "share", "more", points, rests_on_past=True)


def _concentrations(known: Known, periods: Sequence[Period]) -> Series:
    points = []
    for period in periods:
        enough = (period.last - known.first_day).days >= _YEAR - 1
        found = _spent(known, day_number(period.last)) if enough else None
        points.append(UNKNOWN if found is None else bare(found.gini, found.customers))
    if not any(point.known for point in points):
        return Series("value_concentration", "retention", "number", "neither", missing="a_year")
    return Series(
        "value_concentration", "retention", "number", "neither", tuple(points), compared=False
    )


def _spent(known: Known, until: int) -> Concentration | None:
    spent = (
        known.orders.filter(pl.col("event_day").is_between(until - _YEAR + 1, until))
        .group_by("customer_id")
        .agg(pl.col("net").sum())["net"]
        .to_numpy()
    )
    return concentration(spent)


def concentration(values: NDArray[np.float64], steps: int = 50) -> Concentration | None:
    """Tell how a value is spread; None where nobody has any.

    >>> found = concentration(np.array([1.0, 1.0, 1.0, 7.0]))
    >>> round(found.gini, 3), found.half_is_held_by, found.curve[0], found.curve[-1]
    (0.45, 0.25, (0.0, 0.0), (1.0, 1.0))
    """
    held = np.sort(np.clip(values[~np.isnan(values)], 0.0, None))
    n, whole = len(held), float(held.sum())
    if n == 0 or whole <= 0:
        return None
    lorenz = np.concatenate([[0.0], np.cumsum(held)]) / whole
    gini = float(1 - (lorenz[1:] + lorenz[:-1]).sum() / n)
    tenth = max(1, round(n / 10))
    # From the richest: how many until half is reached.
    richest = np.cumsum(held[::-1]) / whole
    half = int(np.searchsorted(richest, 0.5 - 1e-12)) + 1
    places = np.unique(np.round(np.linspace(0, n, steps + 1)).astype(int))
    curve = tuple((float(place / n), float(lorenz[place])) for place in places)
    return Concentration(n, whole, gini, float(1 - lorenz[n - tenth]), half / n, curve)


def cohorts(known: Known, newest: Period) -> tuple[Cohort, ...]:
    """Follow customers by when they first bought, in months (in quarters where these are told).

    The last column of each is the newest whole period.
    """
    kind = "month" if newest.kind == "week" else newest.kind
    last = period_of(known.as_of, kind)
    if last.last > known.as_of:
        last = last.before()
    axis = [last]
    while len(axis) < MOST_COHORTS and axis[0].before().first >= known.first_day:
        axis.insert(0, axis[0].before())
    if axis[0].first < known.first_day:
        return ()
    began = known.within(known.firsts.select("customer_id", event_day="first_day"), axis)
    bought = (
        known.within(known.purchase_days, axis)
        .select("customer_id", "period")
        .unique()
        .join(began.select("customer_id", cohort="period"), on="customer_id")
        .group_by("cohort", "period")
        .len("n")
    )
    sizes = dict(began.group_by("period").len().rows())
    cells = {(c, p): n for c, p, n in bought.select("cohort", "period", "n").rows()}
    return tuple(
        Cohort(
            axis[place],
            sizes[place],
            tuple(share(cells.get((place, p), 0), sizes[place]) for p in range(place, len(axis))),
        )
        for place in range(len(axis))
        if sizes.get(place)
    )
