"""Whether the control arm was random, as far as what was known beforehand can tell.

A model that tells the arms apart better than the stated chances do, on customers that it has not
seen, finds what the assignment followed (a classifier two-sample test: Lopez-Paz and Oquab 2017).
What no table shows it cannot find.
"""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from scipy.special import expit, logit

from training.trees import BINNING, Machine
from training.uplift.curves import Estimate
from training.uplift.experiment import FOLDS, Experiment, Float, clustered

CLEAR = 3.0
"""Errors above zero beyond which the arms are not called random: 1 in 700 by chance."""
_PARAMETERS = {
    "objective": "binary", "num_leaves": 8, "learning_rate": 0.05, "lambda_l2": 50.0,
    "feature_fraction": 0.5, "bagging_fraction": 0.7, "bagging_freq": 1,
    "min_child_samples": 100, "boost_from_average": False,
}  # fmt: skip
_ROUNDS = 40
MOST_NAMED = 3


@dataclass(frozen=True)
class Balance:
    """How far the arms can be told apart.

    Attributes
    ----------
    gain
        Log loss that a model saves over the stated chances, a row; above zero if the arms differ.
    by
        The features that tell them apart most, the first the most.
    """

    gain: Estimate
    by: tuple[str, ...]

    @property
    def is_random(self) -> bool:
        """Whether nothing speaks against the stated chances."""
        return self.gain.z < CLEAR


def balance(experiment: Experiment, machine: Machine) -> Balance:
    """Try to tell the arms apart by what was known the day before."""
    fold = experiment.folds(machine.seed)
    offset = logit(experiment.chance)
    treated = experiment.treated.astype(np.float64)
    saved = np.empty(len(experiment))
    used = np.zeros(len(experiment.names))
    for number in range(FOLDS):
        learn, judge = fold != number, fold == number
        model = lgb.train(
            {**_PARAMETERS, **BINNING, **machine.parameters()},
            lgb.Dataset(
                experiment.matrix[learn],
                treated[learn],
                init_score=offset[learn],
                categorical_feature=list(experiment.categories),
                params={**BINNING, "verbosity": -1},
            ),
            num_boost_round=_ROUNDS,
        )
        raw = model.predict(experiment.matrix[judge], raw_score=True, num_threads=machine.threads)
        saved[judge] = _loss(treated[judge], experiment.chance[judge]) - _loss(
            treated[judge], expit(offset[judge] + raw)
        )
        used += model.feature_importance("gain")
    order = np.argsort(-used, kind="stable")[:MOST_NAMED]
    named = tuple(experiment.names[place] for place in order if used[place] > 0)
    return Balance(Estimate(*clustered(saved, experiment.customer)), named)


def _loss(treated: Float, chance: Float) -> Float:
    said: Float = -np.log(np.where(treated > 0, chance, 1 - chance))
    return said
