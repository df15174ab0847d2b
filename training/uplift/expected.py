"""What was to be expected of those who were assigned anything, whatever it was.

A model of the rows of all actions and both arms together has many times the rows of one action's
control arm, and serves as well: where the chance of the arm is known, scores are right whatever
the model of the outcome is worth, and they are nearly as sharp with the mean of both arms in the
place of either (Wager 2024, "Causal inference: a statistical learning approach", chapter 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from training.trees import BINNING, Machine
from training.uplift.experiment import FOLDS, Bool, Experiment, Float, Int

_PARAMETERS: dict[str, Any] = {
    "num_leaves": 16, "learning_rate": 0.06, "lambda_l2": 20.0, "feature_fraction": 0.5,
    "bagging_fraction": 0.7, "bagging_freq": 1, "min_child_samples": 100,
}  # fmt: skip
_ROUNDS = 120
_LEAST = 1e-3
"""Share of the mean that is expected of anybody at least: logarithms are taken of it."""


@dataclass(frozen=True)
class Rows:
    """The rows of several experiments in one, and what is expected of each.

    Attributes
    ----------
    whole
        All experiments' rows.
    of
        Number of each row's experiment, shape (n,).
    fold
        Part of the customers that each row belongs to; expectations are by models of the others.
    spend, chance
        Mean net spend (above 0) and chance of a purchase within the horizon.
    cost
        Mean cost of interactions; zeros where nobody records any.
    """

    whole: Experiment
    of: Int
    fold: Int
    spend: Float
    chance: Float
    cost: Float


def expect(trials: Sequence[Experiment], machine: Machine) -> Rows:
    """Put experiments together and learn what was to be expected, cross-fitted by customers."""
    whole = _together(trials)
    fold = whole.folds(machine.seed)
    of = np.repeat(np.arange(len(trials)), [len(one) for one in trials])
    spend, chance, cost = (np.zeros(len(whole)) for _ in range(3))
    outcome = np.maximum(whole.net_spend, 0.0)
    for number in range(FOLDS):
        learn, judge = fold != number, fold == number
        spend[judge] = _expected("tweedie", whole, outcome, learn, judge, machine)
        chance[judge] = _expected("binary", whole, whole.purchased, learn, judge, machine)
        if whole.cost is not None:
            cost[judge] = _expected("regression", whole, whole.cost, learn, judge, machine)
    # Returns are left out of what a Tweedie model can learn; the total is set right.
    spend *= whole.net_spend.sum() / max(spend.sum(), 1e-9)
    return Rows(whole, of, fold, np.maximum(spend, _LEAST * spend.mean()), chance, cost)


def _together(trials: Sequence[Experiment]) -> Experiment:
    costs = [one.cost for one in trials if one.cost is not None]
    return Experiment(
        "",
        np.concatenate([one.customers for one in trials]),
        np.concatenate([one.matrix for one in trials]),
        np.concatenate([one.treated for one in trials]),
        np.concatenate([one.chance for one in trials]),
        np.concatenate([one.purchased for one in trials]),
        np.concatenate([one.net_spend for one in trials]),
        trials[0].names,
        trials[0].categories,
        np.concatenate(costs) if len(costs) == len(trials) else None,
    )


def _expected(
    objective: str,
    whole: Experiment,
    outcome: NDArray[Any],
    learn: Bool,
    judge: Bool,
    machine: Machine,
) -> Float:
    said: Float = lgb.train(
        {"objective": objective, **_PARAMETERS, **machine.parameters()},
        lgb.Dataset(
            whole.matrix[learn],
            outcome[learn].astype(np.float64),
            categorical_feature=list(whole.categories),
            params={**BINNING, "verbosity": -1},
        ),
        num_boost_round=_ROUNDS,
    ).predict(whole.matrix[judge], num_threads=machine.threads)
    return said
