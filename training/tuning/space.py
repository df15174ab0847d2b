"""What is searched: the ranges of the parameters, and how many trees a trial may grow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

SPACE: dict[str, BaseDistribution] = {
    "num_leaves": IntDistribution(3, 24, log=True),
    "min_child_samples": IntDistribution(50, 1500, log=True),
    "learning_rate": FloatDistribution(0.02, 0.1, log=True),
    "lambda_l2": FloatDistribution(0.5, 200.0, log=True),
    "feature_fraction": FloatDistribution(0.1, 1.0),
    "bagging_fraction": FloatDistribution(0.4, 1.0),
}
FIRST_RANDOM = 8
"""Trials before a draw leans on what others came to."""
MOST_ROUNDS = 500
PATIENCE = 20
"""Trees without a better loss after which a fit stops."""


def draw(trials: Sequence[FrozenTrial], seed: int) -> dict[str, Any]:
    """Draw one point of the space, given the trials that have their point.

    It is drawn in a study of its own: what a trial holds of a draw that was cut short, and which
    trials wait, do not move it.
    """
    sampler = optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=FIRST_RANDOM, multivariate=True, constant_liar=True
    )
    study = optuna.create_study(sampler=sampler)
    study.add_trials(trials)
    point: dict[str, Any] = study.ask(SPACE).params
    return point
