"""How sure a difference between methods is: a paired bootstrap over customers.

A customer is in several matured days, and their outcomes there are one person's: whole customers
are drawn, with all their days, and every method is judged on the same draw (the cluster bootstrap;
Field and Welsh 2007, JRSS B 69(3)). Drawing is weighting: each customer counts a Poisson(1) number
of times (Chamandy et al. 2012, "Estimating uncertainty for massive data streams"). Sums are then
products with a matrix of weights, and a ranking is sorted once, not once a draw.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from training.answers import PRODUCT, Answers
from training.contest import Contest
from training.metrics import (
    equal_mass_bins,
    interval_score,
    log_losses,
    shared_outcome,
    tweedie_deviances,
)

Float = NDArray[np.float64]
Int = NDArray[np.int64]

REPLICATES = 300
MOST_CUSTOMERS = 50_000
"""Beyond so many, draws are of a sample of them, and their spread is scaled to the whole."""
CALIBRATION_BINS, DECILES = 20, 10
_HELD = 2_000_000
"""Weights held at a time."""

BY_ROW = ("log_loss", "spend_deviance", "interval_score_90")
"""Means over rows: days pool by their customers. Every other measure pools as a mean over days."""
HIGHER_IS_BETTER = ("auc", "spend_gini", "value_capture")
MEASURES = (
    *BY_ROW, *HIGHER_IS_BETTER, "calibration_error", "spend_decile_error", "total_log_error",
)  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """A number and its 95% bootstrap interval; NaN where it cannot be computed."""

    value: float
    lower: float
    upper: float

    @classmethod
    def of(cls, drawn: Float) -> Estimate:
        """Take the point, which stands first, and percentiles of the draws behind it."""
        finite = drawn[1:][np.isfinite(drawn[1:])]
        if not np.isfinite(drawn[0]) or not len(finite):
            return cls(float("nan"), float("nan"), float("nan"))
        lower, upper = np.quantile(finite, [0.025, 0.975])
        return cls(float(drawn[0]), float(lower), float(upper))

    def to_dict(self) -> dict[str, float | None]:
        """Plain values for JSON, null where NaN."""
        values = {"value": self.value, "lower": self.lower, "upper": self.upper}
        return {name: v if np.isfinite(v) else None for name, v in values.items()}

    def __str__(self) -> str:
        return f"{self.value:+z.3f} ({self.lower:+z.3f} to {self.upper:+z.3f})"


@dataclass(frozen=True)
class Draws:
    """Every measure of every method on every day, and under every draw of customers.

    Attributes
    ----------
    rows
        Customers by day, shape (days, 1 + draws); in the first place of the last axis nobody is
        drawn and everyone counts once.
    values
        Measure to array of shape (days, methods, 1 + draws).
    """

    methods: tuple[str, ...]
    rows: Float
    values: dict[str, Float]

    def of(self, measure: str, method: str, day: int | None = None) -> Float:
        """One method's measure on a day, or pooled over all, shape (1 + draws,)."""
        values = self.values[measure][:, self.methods.index(method)]
        if day is not None:
            found: Float = values[day]
            return found
        if measure in BY_ROW:
            pooled: Float = (values * self.rows).sum(axis=0) / self.rows.sum(axis=0)
            return pooled
        known = np.isfinite(values)
        counted = np.maximum(known.sum(axis=0), 1)
        return np.where(known.any(axis=0), np.where(known, values, 0).sum(axis=0) / counted, np.nan)

    def difference(
        self, measure: str, other: str, method: str = PRODUCT, day: int | None = None
    ) -> Float:
        """Method minus other, on the same draws."""
        return self.of(measure, method, day) - self.of(measure, other, day)

    def best(self, measure: str, baselines: Iterable[str], day: int | None = None) -> Float:
        """The best baseline's measure, whichever that is in a draw."""
        values = np.stack([self.of(measure, name, day) for name in baselines])
        best: Float = values.max(axis=0) if measure in HIGHER_IS_BETTER else values.min(axis=0)
        return best

    def skill(
        self,
        measure: str,
        baselines: Iterable[str],
        method: str = PRODUCT,
        day: int | None = None,
    ) -> Float:
        """One minus a loss over the best baseline's: 0 is level, 1 perfect."""
        with np.errstate(divide="ignore", invalid="ignore"):
            skill: Float = 1 - self.of(measure, method, day) / self.best(measure, baselines, day)
        return skill

    def primary(
        self, baselines: Sequence[str], method: str = PRODUCT, day: int | None = None
    ) -> Float:
        """The one score: the mean of the skills in log loss and in spend deviance."""
        churn, spend = (
            self.skill(m, baselines, method, day) for m in ("log_loss", "spend_deviance")
        )
        return (churn + spend) / 2


def draw(contests: Sequence[Contest], replicates: int = REPLICATES, seed: int = 0) -> Draws:
    """Judge every method on every day, and on draws of the customers of all days together.

    Raises
    ------
    ValueError
        There is no day.
    """
    if not contests:
        raise ValueError("no judged day: there is nothing to draw customers from")
    ids, places = _places(contests)
    chosen, part, its_places = len(ids), list(contests), places
    if len(ids) > MOST_CUSTOMERS:
        chosen = MOST_CUSTOMERS
        kept = np.random.default_rng(seed).permutation(len(ids)) < chosen
        rows = [np.flatnonzero(kept[place]) for place in places]
        part = [contest.take(r) for contest, r in zip(contests, rows, strict=True)]
        _, its_places = _places(part)
    rng = np.random.default_rng(seed)
    step = max(1, _HELD // chosen)
    # Threads of BLAS that wait for each other cost more than products this small.
    with threadpool_limits(limits=1, user_api="blas"):
        everyone = _judge(contests, places, np.ones((1, len(ids))))
        centre = everyone
        if chosen < len(ids):
            centre = _judge(part, its_places, np.ones((1, chosen)))
        drawn = [
            _judge(part, its_places, _weights(rng, min(step, replicates - done), chosen))
            for done in range(0, replicates, step)
        ]
    narrower = np.sqrt(chosen / len(ids))
    methods = tuple(contests[0].answers)
    return Draws(
        methods,
        _joined("rows", everyone, centre, drawn, narrower),
        {m: _joined(m, everyone, centre, drawn, narrower) for m in MEASURES},
    )


def _weights(rng: np.random.Generator, draws: int, customers: int) -> Float:
    return rng.poisson(1.0, (draws, customers)).astype(np.float64)


def _joined(
    name: str,
    everyone: dict[str, Float],
    centre: dict[str, Float],
    drawn: Sequence[dict[str, Float]],
    narrower: float,
) -> Float:
    around = [everyone[name] + narrower * (d[name] - centre[name]) for d in drawn]
    return np.concatenate([everyone[name], *around], axis=-1)


def _places(contests: Sequence[Contest]) -> tuple[NDArray[Any], list[Int]]:
    """Number the customers of all days; give each day's rows their customers' numbers."""
    ids, place = np.unique(np.concatenate([c.customer_ids for c in contests]), return_inverse=True)
    ends = np.cumsum([len(c.customer_ids) for c in contests])[:-1]
    return ids, np.split(place, ends)


def _judge(contests: Sequence[Contest], places: Sequence[Int], weights: Float) -> dict[str, Float]:
    """All measures under some weights, shape (days, methods, draws) each; ``rows`` by day.

    Parameters
    ----------
    weights
        A row a draw, a column a customer.
    """
    found: dict[str, list[Float]] = {name: [] for name in ("rows", *MEASURES)}
    for contest, place in zip(contests, places, strict=True):
        found["rows"].append(weights @ np.bincount(place, minlength=weights.shape[1]))
        ideal = _concentration(contest.net_spend, contest.net_spend, place, weights)
        by_method = [
            _measures(answers, contest, place, weights, ideal)
            for answers in contest.answers.values()
        ]
        for name in MEASURES:
            found[name].append(np.stack([values[name] for values in by_method]))
    return {name: np.stack(values) for name, values in found.items()}


def _measures(
    answers: Answers, contest: Contest, place: Int, weights: Float, ideal: Float
) -> dict[str, Float]:
    churn, said = answers.churn_probability, answers.expected_spend
    churned, seen = contest.churned.astype(np.float64), contest.net_spend
    columns = [
        np.ones((1, len(seen))),
        log_losses(churn, contest.churned)[None],
        tweedie_deviances(said, seen)[None],
        interval_score(*answers.bounds(0.9), seen, 0.9)[None],
        said[None],
        seen[None],
        _captured(said, seen),
        _gaps(churn, churned, CALIBRATION_BINS),
        _gaps(said, seen, DECILES),
    ]
    by_customer = np.zeros((sum(map(len, columns)), weights.shape[1]))
    by_customer[:, place] = np.concatenate(columns)
    sums = by_customer @ weights.T
    count, loss, deviance, interval, said_total, seen_total, ours, best = sums[:8]
    gaps = abs(sums[8:])
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {
            "log_loss": loss / count,
            "spend_deviance": deviance / count,
            "interval_score_90": interval / count,
            "auc": _placement(churn, churned, 1 - churned, place, weights),
            "spend_gini": _concentration(said, seen, place, weights) / ideal,
            "value_capture": ours / best,
            "calibration_error": gaps[:CALIBRATION_BINS].sum(axis=0) / count,
            "spend_decile_error": gaps[CALIBRATION_BINS:].sum(axis=0) / abs(seen_total),
            "total_log_error": abs(np.log(said_total / seen_total)),
        }
    return {name: np.where(np.isfinite(v), v, np.nan) for name, v in found.items()}


def _concentration(order: Float, seen: Float, place: Int, weights: Float) -> Float:
    return 2 * _placement(order, seen, np.ones(len(seen)), place, weights) - 1


def _placement(order: Float, high: Float, low: Float, place: Int, weights: Float) -> Float:
    """Chance that a unit of ``high`` stands above a unit of ``low``, ties counting half.

    With churners and others it is the AUC; with spend and customers half of one plus the Gini.
    """
    rising = np.argsort(order, kind="stable")
    ties = np.flatnonzero(np.diff(order[rising], prepend=np.nan) != 0)
    tied = len(ties) < len(rising)
    customer, high, low = place[rising], high[rising], low[rising]
    placed = np.empty(len(weights))
    # A draw at a time: one draw's columns stay in the processor's cache, many do not.
    for row, weight in enumerate(weights):
        drawn = weight[customer]
        above, below = drawn * high, drawn * low
        if tied:
            above, below = np.add.reduceat(above, ties), np.add.reduceat(below, ties)
        beneath = np.cumsum(below)
        pairs = above @ beneath - above @ below / 2
        possible = above.sum() * beneath[-1]
        placed[row] = pairs / possible if possible else np.nan
    return placed


def _gaps(said: Float, seen: Float, bins: int) -> Float:
    """Said minus seen, a row a bin of equal mass and 0 outside it, shape (bins, n)."""
    gap = said - shared_outcome(said, seen)
    rows = np.zeros((bins, len(gap)))
    for place, group in enumerate(equal_mass_bins(said, bins)):
        rows[place, group] = gap[group]
    return rows


def _captured(said: Float, seen: Float, share: float = 0.1) -> Float:
    """Spend of the predicted top tenth and of the true one, 0 outside it, shape (2, n)."""
    count = max(1, int(len(said) * share))
    rows = np.zeros((2, len(said)))
    for row, order, spent in zip(
        rows, (said, seen), (shared_outcome(said, seen), seen), strict=True
    ):
        top = np.argsort(-order, kind="stable")[:count]
        row[top] = spent[top]
    return rows
