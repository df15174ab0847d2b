"""What customers are worth: value at risk and to come, how it is spread, and groups to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from pipelines.report.retention import Concentration, concentration
from pipelines.report.scored import Scored
from serving.bands import BANDS
from training.stages import STAGES
from training.tiers import TIERS

LOST = STAGES.index("churned")
NO_ACTION = ("none", "let_go")
_BINS = 24


@dataclass(frozen=True)
class Cell:
    """A cell of the grid of value and risk, of customers who have bought and not left."""

    tier: str
    risk: str
    customers: int
    value: float
    at_risk: float


@dataclass(frozen=True)
class Group:
    """Customers of one stage and value tier, and what is at stake with them.

    Attributes
    ----------
    tier
        None for prospects.
    stake
        ``risk``: the value of twelve months that is expected to be lost with them, of who still is
        a customer. ``win``: the net value of the best action for each, of who has left or has not
        bought yet.
    amount
        How much that is.
    churn
        Mean churn probability.
    action, acted, action_value
        The commonest action among them that is worth doing, how many it is for, and its net value.
    """

    stage: str
    tier: str | None
    stake: Literal["risk", "win"]
    customers: int
    amount: float
    value: float
    churn: float
    action: str | None
    acted: int
    action_value: float


@dataclass(frozen=True)
class NextAction:
    """What is worth doing now: an action, for whom, and its net value over the horizon.

    Attributes
    ----------
    low, high
        Its net value if every effect lies at that end of its range.
    measured
        How much of the effect was measured, 0 to 1; the rest is assumed in the playbook.
    """

    action: str
    customers: int
    value: float
    low: float
    high: float
    measured: float
    stages: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Worth:
    """What customers are worth on the day of the report.

    Attributes
    ----------
    distribution
        Bins of the value over twelve months of who has bought: lower end, upper end, customers.
    spread
        How it is spread.
    tiers
        Customers and value over twelve months of each tier.
    """

    grid: tuple[Cell, ...]
    distribution: tuple[tuple[float, float, int], ...]
    spread: Concentration | None
    tiers: tuple[tuple[str, int, float], ...]
    groups: tuple[Group, ...]
    actions: tuple[NextAction, ...]

    @property
    def at_risk(self) -> float:
        """Value at risk of all who are still customers."""
        return sum(cell.at_risk for cell in self.grid)

    @property
    def value(self) -> float:
        """Value over twelve months of all who are still customers."""
        return sum(cell.value for cell in self.grid)


def worth(today: Scored) -> Worth:
    """Sum up a day's scores."""
    bought = today.rows.filter(~pl.col("prospect"))
    values = bought["clv_12m"].to_numpy()
    tiers = {
        tier: (n, value)
        for tier, n, value in bought.group_by("value_tier").agg(pl.len(), pl.sum("clv_12m")).rows()
    }
    return Worth(
        _grid(bought.filter(pl.col("stage") != LOST)),
        _bins(values),
        concentration(values),
        tuple((tier, *tiers.get(tier, (0, 0.0))) for tier in reversed(TIERS)),
        _groups(today.rows),
        _actions(today.rows),
    )


def _grid(rows: pl.DataFrame) -> tuple[Cell, ...]:
    found = {
        (tier, risk): rest
        for tier, risk, *rest in rows.group_by("value_tier", "risk_band")
        .agg(pl.len(), pl.sum("clv_12m", "value_at_risk"))
        .rows()
    }
    return tuple(
        Cell(tier, risk, *found.get((tier, risk), (0, 0.0, 0.0)))
        for tier in reversed(TIERS)
        for risk in BANDS
    )


def _bins(
    values: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> tuple[tuple[float, float, int], ...]:
    """Count values in bins of equal ratio from the 1st to the 99th hundredth, ends included."""
    above = values[values > 0]
    if len(above) < 2:
        return ()
    least, most = np.quantile(above, [0.01, 0.99])
    if not 0 < least < most:
        return ()
    edges = np.geomspace(least, most, _BINS + 1)
    counts, _ = np.histogram(np.clip(above, least, most), edges)
    return tuple(
        (float(a), float(b), int(n)) for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)
    )


def _groups(rows: pl.DataFrame) -> tuple[Group, ...]:
    worthwhile = ~pl.col("action").is_in(NO_ACTION) & (pl.col("action_value") > 0)
    gained = pl.col("action_value").filter(worthwhile)
    sums = rows.group_by("stage", "value_tier").agg(
        pl.len().alias("n"),
        pl.sum("value_at_risk", "clv_12m"),
        pl.mean("churn_probability"),
        gain=gained.sum(),
    )
    best = (
        rows.filter(worthwhile)
        .group_by("stage", "value_tier", "action")
        .agg(pl.len().alias("n"), pl.sum("action_value"))
        .sort("action_value")
    )
    first = {(s, t): (a, n, v) for s, t, a, n, v in best.rows()}
    found = []
    for row in sums.iter_rows(named=True):
        gone = row["stage"] == LOST or row["value_tier"] is None
        action, acted, value = first.get((row["stage"], row["value_tier"]), (None, 0, 0.0))
        found.append(
            Group(
                STAGES[row["stage"]],
                row["value_tier"],
                "win" if gone else "risk",
                row["n"],
                row["gain"] if gone else row["value_at_risk"],
                row["clv_12m"],
                row["churn_probability"],
                action,
                acted,
                value,
            )
        )
    return tuple(sorted(found, key=lambda one: -one.amount))


def _actions(rows: pl.DataFrame) -> tuple[NextAction, ...]:
    chosen = rows.filter(~pl.col("action").is_in(NO_ACTION))
    stages = (
        chosen.group_by("action", "stage").len("n").sort(["n", "stage"], descending=[True, False])
    )
    by_action: dict[str, list[tuple[str, int]]] = {}
    for action, stage, n in stages.rows():
        by_action.setdefault(action, []).append((STAGES[stage], n))
    sums = (
        chosen.group_by("action")
        .agg(
            pl.len().alias("n"),
            pl.sum("action_value", "action_value_low", "action_value_high"),
            pl.mean("action_measured_share"),
        )
        .sort(["action_value", "action"], descending=[True, False])
    )
    return tuple(
        NextAction(action, n, value, low, high, measured or 0.0, tuple(by_action[action]))
        for action, n, value, low, high, measured in sums.rows()
    )
