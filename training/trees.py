"""LightGBM on what the prior misses: boosting starts from the prior's answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from training.dataset import TREE_CATEGORIES, TREE_FEATURES, LabelledDay, tree_matrix

Float = NDArray[np.float64]
Task = Literal["churn", "spend"]

DEFAULTS: dict[Task, dict[str, Any]] = {
    "churn": {
        "num_leaves": 8,
        "min_child_samples": 300,
        "learning_rate": 0.05,
        "lambda_l2": 20.0,
        "feature_fraction": 0.6,
        "bagging_fraction": 0.7,
        "rounds": 120,
    },
    "spend": {
        "num_leaves": 6,
        "min_child_samples": 200,
        "learning_rate": 0.05,
        "lambda_l2": 20.0,
        "feature_fraction": 0.6,
        "bagging_fraction": 0.7,
        "rounds": 80,
    },
}
"""Small trees: what to use where history is too short to tune."""

_FIXED: dict[Task, dict[str, Any]] = {
    "churn": {"objective": "binary", "metric": "binary_logloss"},
    "spend": {"objective": "gamma", "metric": "gamma_deviance"},
}
_GROWING: dict[str, Any] = {
    # One threshold a feature, drawn at random (Geurts, Ernst and Wehenkel 2006): a hundred features
    # that say nearly the same offer a greedy split too many chances to fit noise.
    "extra_trees": True,
    # A customer stands in the rows of many days, so a label of few customers has many rows.
    "max_cat_to_onehot": 4,
    "cat_smooth": 200.0,
    "cat_l2": 100.0,
    "min_data_per_group": 1000,
}
_BINNING = {"max_bin": 127, "feature_pre_filter": False, "min_data_in_bin": 10}


@dataclass(frozen=True)
class Machine:
    """Seed and threads of a fit."""

    seed: int = 7
    threads: int = 2

    def parameters(self) -> dict[str, Any]:
        """LightGBM parameters that make a fit repeatable on one machine."""
        return {
            "seed": self.seed,
            "num_threads": self.threads,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }


@dataclass
class Rows:
    """The rows of one task from some days, binned by LightGBM once."""

    task: Task
    days: Sequence[LabelledDay]
    reference: Rows | None = None
    offset: Float = field(init=False)
    label: Float = field(init=False)
    dataset: Any = field(init=False)

    def __post_init__(self) -> None:
        matrices, offsets, labels = zip(*(_task_rows(self.task, d) for d in self.days), strict=True)
        self.offset = np.concatenate(offsets)
        self.label = np.concatenate(labels)
        self.dataset = lgb.Dataset(
            _without_constants(np.concatenate(matrices)),
            label=self.label,
            init_score=self.offset,
            feature_name=list(TREE_FEATURES),
            categorical_feature=list(TREE_CATEGORIES),
            reference=self.reference.dataset if self.reference else None,
            params={**_BINNING, "verbosity": -1},
            free_raw_data=True,
        )


def _without_constants(matrix: Float) -> Float:
    """Blank the columns that are the same for all: LightGBM leaves out those of one bin alone.

    A constant other than zero has two, the empty one of zero beside it.
    """
    matrix[:, (matrix == matrix[:1]).all(axis=0)] = np.nan
    return matrix


def _task_rows(task: Task, day: LabelledDay) -> tuple[Float, Float, Float]:
    """Matrix, offset and label of one day: everyone for churn, those who bought for spend.

    The day's own level is in the offset: trees learn what sets customers apart, not the season.
    """
    if task == "churn":
        offset = logit(day.prior_churn) + day.levels[0].value
        return tree_matrix(day.matrix), offset, day.churned.astype(np.float64)
    buyers = day.purchased
    # The gamma family has no mass at zero: a purchase that was wholly returned counts as small.
    floor = 0.01 * np.maximum(day.prior_spend[buyers], 1e-2)
    spend = np.maximum(day.net_spend[buyers], floor)
    said = day.prior_spend[buyers]
    return tree_matrix(day.matrix[buyers]), np.log(said * (spend.sum() / said.sum())), spend


def fit(
    task: Task, rows: Rows, parameters: dict[str, Any], machine: Machine, **options: object
) -> lgb.Booster:
    """Fit trees with given parameters; ``rounds`` among them is the number of trees."""
    given = {k: v for k, v in parameters.items() if k != "rounds"}
    return lgb.train(
        {
            **_FIXED[task],
            **_BINNING,
            **_GROWING,
            "bagging_freq": 1,
            "boost_from_average": False,
            **machine.parameters(),
            **given,
        },
        rows.dataset,
        num_boost_round=parameters["rounds"],
        **options,
    )


def correction(booster: lgb.Booster | None, matrix: Float, threads: int = 1) -> Float:
    """What the trees add to the prior's log-odds or log mean, shape (n,); 0 without trees."""
    if booster is None:
        return np.zeros(len(matrix))
    raw: Float = booster.predict(tree_matrix(matrix), raw_score=True, num_threads=threads)
    return raw
