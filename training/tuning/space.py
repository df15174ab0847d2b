"""What is searched: the ranges of the parameters, and how many trees a trial may grow."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

SPACE: dict[str, BaseDistribution] = {
    "num_leaves": IntDistribution(3, 24, log=True),
    "min_child_samples": IntDistribution(50, 1500, log=True),
    "learning_rate": FloatDistribution(0.02, 0.1, log=True),
    "lambda_l2": FloatDistribution(0.5, 200.0, log=True),
    "feature_fraction": FloatDistribution(0.1, 1.0),
    "bagging_fraction": FloatDistribution(0.4, 1.0),
}
MOST_ROUNDS = 500
PATIENCE = 20
"""Trees without a better loss after which a fit stops."""


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Draw one point of the space."""
    return {
        name: (trial.suggest_int if isinstance(range_, IntDistribution) else trial.suggest_float)(
            name, range_.low, range_.high, log=range_.log
        )
        for name, range_ in SPACE.items()
    }
