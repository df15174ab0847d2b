"""What past actions brought: treated against control, as they were assigned."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from features.days import day_number, day_of
from features.definitions.expressions import UNIT_E4
from pipelines.report.known import Known
from pipelines.report.points import UNKNOWN, Point, Z
from training.uplift.arms import Assigned, compare
from training.uplift.trials import TREATED

SPAN_DAYS = 91
"""Assignments of so many days are looked at, the newest whose horizon is over."""


@dataclass(frozen=True)
class Effect:
    """What one action changed.

    Attributes
    ----------
    action
        None for all of them together.
    treated, control
        Assignments in either arm.
    buyers
        Change of the share who bought within the horizon; unknown where an arm is too small.
    net
        Net value for each who was treated: margin of the change of net sales, less the recorded
        cost of the treatment and of what it made be redeemed.
    cost
        What each treated customer cost, contact and redeemed incentives.
    per_cost
        Net value for each unit of cost.
    """

    action: str | None
    treated: int
    control: int
    buyers: Point
    net: Point
    cost: float
    per_cost: float | None

    @property
    def measured(self) -> bool:
        """Whether the arms were large enough to tell."""
        return self.buyers.known


@dataclass(frozen=True)
class Campaign:
    """A plan of this workspace that was carried out, as ``lifecycle outcomes`` tells it.

    Attributes
    ----------
    days, horizon_days
        How much of the horizon is over.
    buyers, net
        As in :class:`Effect`, the latter in all.
    expected
        The net value that the plan expected.
    carried_out
        Whether its treatments have been ingested.
    """

    name: str
    day: date
    days: int
    horizon_days: int
    treated: int
    control: int
    buyers: Point
    net: Point
    cost: float
    expected: float
    carried_out: bool

    @property
    def per_cost(self) -> Point:
        """Net value for each unit of cost; not known where it cost nothing."""
        net = self.net
        if self.cost <= 0 or net.value is None or net.low is None or net.high is None:
            return UNKNOWN
        cost = self.cost
        return Point(net.value / cost, net.low / cost, net.high / cost, self.treated)


@dataclass(frozen=True)
class Actions:
    """What past actions brought.

    Attributes
    ----------
    first, last
        Days of the assignments that ``effects`` are of; None where there are none.
    missing
        Why nothing can be told: ``treatments``, ``control`` or ``young``.
    """

    first: date | None
    last: date | None
    horizon_days: int
    whole: Effect | None
    effects: tuple[Effect, ...]
    campaigns: tuple[Campaign, ...]
    missing: str | None


def actions(known: Known, horizon_days: int, campaigns: tuple[Campaign, ...] = ()) -> Actions:
    """Compare the arms of the newest assignments whose horizon is over.

    Each assignment counts once, whatever else was done; rows weigh by one over the chance of their
    arm, as recorded, else as seen among the action's assignments.
    """
    if known.treatments is None:
        return Actions(None, None, horizon_days, None, (), campaigns, "treatments")
    until = day_number(known.as_of) - horizon_days
    rows = known.treatments.filter(pl.col("event_day") <= until)
    if rows.is_empty():
        return Actions(None, None, horizon_days, None, (), campaigns, "young")
    last = int(rows["event_day"].max())  # type: ignore[arg-type]
    rows = rows.filter(pl.col("event_day") > last - SPAN_DAYS)
    first = int(rows["event_day"].min())  # type: ignore[arg-type]
    both = rows.group_by("action").agg(arms=pl.col("arm").n_unique()).filter(arms=2)["action"]
    rows = rows.filter(pl.col("action").is_in(both.to_list()))
    days = day_of(first), day_of(last)
    if rows.is_empty():
        return Actions(*days, horizon_days, None, (), campaigns, "control")
    followed = _followed(known, rows, horizon_days)
    effects = [_effect(name, followed.filter(action=name)) for name in sorted(both.to_list())]
    return Actions(
        *days,
        horizon_days,
        _effect(None, followed),
        tuple(sorted(effects, key=lambda one: -(one.net.value or -np.inf))),
        campaigns,
        None,
    )


def _followed(known: Known, rows: pl.DataFrame, horizon_days: int) -> pl.DataFrame:
    """Add what each assigned customer did in the horizon after the assignment, and before."""
    share = (pl.col("arm") == TREATED).mean().over("action")
    chance = pl.when(pl.col("arm") == TREATED).then(share).otherwise(1 - share)
    keyed = rows.with_row_index("row").select(
        "row",
        "customer_id",
        "action",
        start="event_day",
        treated=pl.col("arm") == TREATED,
        chance=pl.coalesce(pl.col("propensity"), chance),
        paid=pl.when(pl.col("arm") == TREATED)
        .then(pl.col("cost_e4").fill_null(0) / UNIT_E4)
        .otherwise(0.0),
    )
    after = pl.col("event_day") - pl.col("start")
    bought = (
        keyed.lazy()
        .join(known.orders.lazy(), on="customer_id")
        .filter(after.is_between(1, horizon_days))
        .group_by("row")
        .agg(pl.col("margin").sum(), purchased=pl.col("purchase").any())
        .collect()
    )
    before = (
        keyed.lazy()
        .join(known.orders.lazy(), on="customer_id")
        .filter(after.is_between(1 - horizon_days, 0))
        .group_by("row")
        .agg(margin_before=pl.col("margin").sum(), bought_before=pl.col("purchase").any())
        .collect()
    )
    found = keyed.join(bought, on="row", how="left").join(before, on="row", how="left")
    if known.interactions is not None:
        redeemed = (
            keyed.lazy()
            .join(known.interactions, on="customer_id")
            .filter(after.is_between(1, horizon_days), pl.col("cost_e4") > 0)
            .group_by("row")
            .agg(redeemed=pl.col("cost_e4").sum() / UNIT_E4)
            .collect()
        )
        found = found.join(redeemed, on="row", how="left")
    else:
        found = found.with_columns(redeemed=pl.lit(0.0))
    return found.with_columns(
        pl.col("purchased", "bought_before").fill_null(value=False),
        pl.col("margin", "redeemed", "margin_before").fill_null(0.0),
    )


def _effect(name: str | None, rows: pl.DataFrame) -> Effect:
    treated = rows["treated"].to_numpy()
    # What a customer did before explains some of what follows, in either arm alike.
    bought_before = rows["bought_before"].cast(pl.Float64).to_numpy()
    margin_before = rows["margin_before"].to_numpy()

    def arms(outcome: np.ndarray[Any, Any]) -> Any:  # noqa: ANN401 - compare's
        return compare(
            Assigned(
                treated,
                rows["chance"].to_numpy(),
                rows["purchased"].to_numpy(),
                outcome,
                bought_before,
                margin_before,
            )
        )

    left = rows["margin"].to_numpy() - rows["redeemed"].to_numpy() - rows["paid"].to_numpy()
    found = arms(left)
    if found.purchase is None or found.spend is None:
        return Effect(name, found.treated, found.control, UNKNOWN, UNKNOWN, 0.0, None)
    redeemed = arms(rows["redeemed"].to_numpy()).spend
    cost = float(rows["paid"].to_numpy()[treated].mean()) + max(redeemed.value, 0.0)
    net = _point(found.spend.value, found.spend.error, found.treated)
    return Effect(
        name,
        found.treated,
        found.control,
        _point(found.purchase.value, found.purchase.error, found.treated),
        net,
        cost,
        found.spend.value / cost if cost > 0 else None,
    )


def _point(value: float, error: float, of: int) -> Point:
    return Point(value, value - Z * error, value + Z * error, of)


def campaign(told: dict[str, Any]) -> Campaign:
    """Read what ``lifecycle outcomes`` found of a campaign."""
    whole = told["total"]
    measured = whole["verdict"] == "measured"

    def ends(name: str) -> Point:
        if not measured:
            return UNKNOWN
        one = whole[name]
        return Point(one["value"], one["lower"], one["upper"], whole["treated"])

    return Campaign(
        told["campaign"],
        date.fromisoformat(told["plan_day"]),
        told["days"],
        told["horizon_days"],
        whole["treated"],
        whole["control"],
        ends("purchase"),
        ends("net_value"),
        whole["cost"],
        whole["expected_value"],
        told["carried_out"] is not None,
    )
