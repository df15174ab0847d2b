"""By how much an action raises what customers spend, and whose spend it raises more.

The effect is on the logarithm of the expected net spend of everybody, buyers or not: an action
that works for some weeks changes how often customers buy by a factor, which of one who buys rarely
shows in whether there is a purchase, and of one who buys often only in how many there are. Level
and differences are those of Gao and Hastie (2022), "Estimating heterogeneous treatment effects for
general responses": of a Poisson quasi-likelihood they add to the logarithm of the mean in the
treated arm and take from it in the control arm, around what was expected of the row, so that an
error of that expectation falls out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.uplift.curves import Estimate
from training.uplift.expected import Rows
from training.uplift.experiment import Experiment, Float, clustered
from training.uplift.weeks import Weeks, whole

LARGEST = 2.0
"""Logarithm of the largest factor that is looked for."""
BINS = 10
_STEPS = 25


@dataclass(frozen=True)
class Lift:
    """What was measured of one action's effect on expected net spend.

    Attributes
    ----------
    level
        Logarithm of the factor on the expected net spend of those who were assigned.
    cost
        Interactions' cost that the action caused, incentives above all, per unit of the net spend
        expected; None where nobody records any.
    centre
        Mean moderators of those who were assigned, weighted by expected spend.
    pull, told
        What the rows say of the differences that go with each moderator: gradient and information
        of their log-likelihood at no difference, shapes (facts,) and (facts, facts).
    chance, weight
        Who was assigned: the chance of a purchase and the mean spend of a buyer, by bins of the
        former, so that what a playbook assumes can be said of the same people.
    """

    level: Estimate
    cost: Estimate | None
    centre: tuple[float, ...]
    pull: tuple[float, ...]
    told: tuple[tuple[float, ...], ...]
    chance: tuple[float, ...]
    weight: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Lift:
        """Read it back."""
        told = tuple(tuple(row) for row in values["told"])
        plain = {name: tuple(values[name]) for name in ("centre", "pull", "chance", "weight")}
        cost = None if values["cost"] is None else Estimate(**values["cost"])
        return cls(level=Estimate(**values["level"]), cost=cost, told=told, **plain)


def lift(rows: Rows, facts: Float, number: int) -> tuple[Lift, Weeks | None]:
    """Measure one of the experiments, by what was expected of its rows.

    Parameters
    ----------
    facts
        Moderators of all rows.

    Returns
    -------
    lift, weeks
        Where the first weeks are told apart, the former is of them, and the latter is what makes
        it one of the whole horizon (:func:`over_horizon`).
    """
    own = np.flatnonzero(rows.of == number)
    one, spend = rows.whole.take(own), rows.spend[own]
    unit = float(spend.mean())
    weeks = None
    if rows.early is None or one.early_spend is None:
        solved = _level(one, one.net_spend, spend)
    else:
        early, left = rows.early[own], one.net_spend - one.early_spend
        solved, late = _level(one, one.early_spend, early), _level(one, left, spend - early)
        weeks = Weeks(
            solved.level, late.level, _together(solved, late, one), float(early.mean()) / unit
        )
    centre = _mean(facts[own], spend)
    return Lift(
        solved.level,
        _cost(one, rows.cost[own], unit),
        tuple(centre.tolist()),
        *_differences(facts[own] - centre, solved.residual, solved.weight, one),
        *_profile(rows.chance[own], spend),
    ), weeks


def over_horizon(measured: Sequence[tuple[Lift, Weeks | None]]) -> list[Lift]:
    """Make what was measured in the first weeks one of the whole horizon's spend."""
    told = [weeks for _, weeks in measured if weeks is not None]
    levels = iter(whole(told) if told else [])
    return [
        one if weeks is None else _widened(one, next(levels), weeks.share)
        for one, weeks in measured
    ]


def _widened(one: Lift, level: Estimate, share: float) -> Lift:
    """Say differences of the first weeks, in which the effect falls, of the whole horizon."""
    factor = float(np.exp(level.value))
    part = max(share + factor - 1, share / 2) / factor
    pull, told = np.array(one.pull) / part, np.array(one.told) / part**2
    return replace(
        one, level=level, pull=tuple(pull.tolist()), told=tuple(map(tuple, told.tolist()))
    )


@dataclass(frozen=True)
class _Solved:
    """A level, and each row's residual and weight at it."""

    level: Estimate
    residual: Float
    weight: Float


def _level(one: Experiment, outcome: Float, spend: Float) -> _Solved:
    lean = one.treated - one.chance
    spend = spend / spend.mean()
    outcome = outcome / max(float(outcome.mean()), 1e-12)
    value = 0.0
    for _ in range(_STEPS):
        mean = spend * np.exp(lean * value)
        residual, weight = lean * (outcome - mean), lean**2 * mean
        step = float(residual.sum() / weight.sum())
        value = float(np.clip(value + np.clip(step, -0.5, 0.5), -LARGEST, LARGEST))
        if abs(step) < 1e-9:
            break
    _, error = clustered(residual, one.customer)
    return _Solved(Estimate(value, error / float(weight.mean())), residual, weight)


def _together(early: _Solved, late: _Solved, one: Experiment) -> float:
    """Covariance of the errors of both levels."""

    def error(residual: Float) -> float:
        return clustered(residual, one.customer)[1]

    both = error(early.residual + late.residual) ** 2
    both -= error(early.residual) ** 2 + error(late.residual) ** 2
    return both / 2 / float(early.weight.mean()) / float(late.weight.mean())


def _cost(one: Experiment, expected: Float, unit: float) -> Estimate | None:
    if one.cost is None:
        return None
    score = (one.cost - expected) * (one.treated - one.chance)
    score /= one.chance * (1 - one.chance)
    caused, error = clustered(score, one.customer)
    return Estimate(caused / unit, error / unit)


def _differences(
    about: Float, residual: Float, weight: Float, one: Experiment
) -> tuple[tuple[float, ...], tuple[tuple[float, ...], ...]]:
    """Take what the rows say of differences, the level apart, by their own noise."""
    about = about - _mean(about, weight)
    pull = (about * residual[:, None]).sum(axis=0)
    told = (about * weight[:, None]).T @ about
    # Spend varies more than a Poisson count does, and rows of a customer go together.
    sums = [np.bincount(one.customer, column * residual) for column in about.T]
    seen, counted = sum(float(column @ column) for column in sums), float(np.trace(told))
    noise = seen / counted if counted > 0 else 1.0
    return (
        tuple((pull / max(noise, 1e-12)).tolist()),
        tuple(tuple(row) for row in (told / max(noise, 1e-12)).tolist()),
    )


def _profile(chance: Float, spend: Float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    chance = np.clip(chance, 1e-6, 1.0)
    order = [p for p in np.array_split(np.argsort(chance, kind="stable"), BINS) if len(p)]
    buyer = spend / chance
    return (
        tuple(float(spend[part].sum() / buyer[part].sum()) for part in order),
        tuple(float(buyer[part].sum() / len(chance)) for part in order),
    )


def _mean(columns: NDArray[np.float64], weight: Float) -> Float:
    mean: Float = (columns * weight[:, None]).sum(axis=0) / weight.sum()
    return mean
