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
MOST_LEARNED = 60_000
"""Rows that a fold's models learn from at most."""
_MOST_EARLY = 0.95
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
    early
        Mean net spend of the first weeks, above 0 and below ``spend``; None where they are not
        told apart.
    cost
        Mean cost of interactions; zeros where nobody records any.
    """

    whole: Experiment
    of: Int
    fold: Int
    spend: Float
    chance: Float
    cost: Float
    early: Float | None = None


def expect(trials: Sequence[Experiment], machine: Machine) -> Rows:
    """Put experiments together and learn what was to be expected, cross-fitted by customers."""
    whole = _together(trials)
    fold = whole.folds(machine.seed)
    of = np.repeat(np.arange(len(trials)), [len(one) for one in trials])
    spend, chance, cost, early = (np.zeros(len(whole)) for _ in range(4))
    for number in range(FOLDS):
        judge = fold == number
        fitted = _Fold(whole, _drawn(fold != number, machine.seed), machine)
        spend[judge] = fitted.expected("tweedie", np.maximum(whole.net_spend, 0.0), judge)
        chance[judge] = fitted.expected("binary", whole.purchased, judge)
        if whole.early_spend is not None:
            early[judge] = fitted.expected("tweedie", np.maximum(whole.early_spend, 0.0), judge)
        if whole.cost is not None:
            cost[judge] = fitted.expected("regression", whole.cost, judge)
    spend = _set_right(spend, whole.net_spend)
    if whole.early_spend is None or whole.early_spend.sum() <= 0:
        return Rows(whole, of, fold, spend, chance, cost)
    early = np.minimum(_set_right(early, whole.early_spend), _MOST_EARLY * spend)
    return Rows(whole, of, fold, spend, chance, cost, early)


def _set_right(said: Float, seen: Float) -> Float:
    """Meet the total: returns are left out of what a Tweedie model can learn."""
    right: Float = said * (seen.sum() / said.sum())
    above: Float = np.maximum(right, _LEAST * right.mean())
    return above


def _together(trials: Sequence[Experiment]) -> Experiment:
    costs = [one.cost for one in trials if one.cost is not None]
    early = [one.early_spend for one in trials if one.early_spend is not None]
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
        np.concatenate(early) if len(early) == len(trials) else None,
    )


def _drawn(learn: Bool, seed: int) -> Int:
    rows = np.flatnonzero(learn)
    if len(rows) <= MOST_LEARNED:
        return rows
    return np.sort(np.random.default_rng([seed, 3]).choice(rows, MOST_LEARNED, replace=False))


class _Fold:
    """Rows to learn from, binned once for all outcomes."""

    def __init__(self, whole: Experiment, learn: Int, machine: Machine) -> None:
        self._whole, self._learn, self._machine = whole, learn, machine
        self._dataset = lgb.Dataset(
            whole.matrix[learn],
            np.zeros(len(learn)),
            categorical_feature=list(whole.categories),
            params={**BINNING, "verbosity": -1},
            free_raw_data=False,
        )

    def expected(self, objective: str, outcome: NDArray[Any], judge: Bool) -> Float:
        """Learn an outcome, and say it of the rows that were not learned from."""
        threads = self._machine.threads
        self._dataset.set_label(outcome[self._learn].astype(np.float64))
        model = lgb.train(
            {"objective": objective, **_PARAMETERS, **self._machine.parameters()},
            self._dataset,
            num_boost_round=_ROUNDS,
        )
        said: Float = model.predict(self._whole.matrix[judge], num_threads=threads)
        return said
