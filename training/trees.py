"""LightGBM on what the prior misses: boosting starts from the prior's answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from training.dataset import TREE_CATEGORIES, TREE_FEATURES, LabelledDay, tree_matrix
from training.leaves import added_up
from training.training_set import let_go

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
BINNING = {"max_bin": 127, "feature_pre_filter": False, "min_data_in_bin": 10}


PREDICTED_ROWS = 200_000
"""Rows that are copied at a time to be predicted."""
SINGLE_READS = 1000
"""Rows that are read one by one before the memory that their file took is given back."""


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


class DayRows(lgb.Sequence):  # type: ignore[misc]
    """One day's rows of one task, handed to LightGBM a slice at a time.

    Everyone for churn, those who bought for spend.
    """

    batch_size = 16_384

    def __init__(self, task: Task, day: LabelledDay) -> None:
        self._day = day
        self._rows = None if task == "churn" else np.flatnonzero(day.purchased)
        self.blank = np.zeros(len(TREE_FEATURES), dtype=bool)
        self._reads = 0

    def __len__(self) -> int:
        return len(self._day.matrix) if self._rows is None else len(self._rows)

    def __getitem__(self, place: Any) -> Float:  # noqa: ANN401 - a number or a slice
        rows = self._day.matrix[place if self._rows is None else self._rows[place]]
        # A constant column is blank.
        part = tree_matrix(np.atleast_2d(rows))
        part[:, self.blank] = np.nan
        self._reads += 1
        if rows.ndim == 2:
            let_go(self._day.matrix)
            return part
        # A row brings its neighbours from the file: those drawn for the bins would bring it all.
        if self._reads % SINGLE_READS == 0:
            let_go(self._day.matrix)
        one: Float = part[0]
        return one

    def __iter__(self) -> Iterator[Float]:
        for start in range(0, len(self), self.batch_size):
            yield self[start : start + self.batch_size]


@dataclass
class Rows:
    """The rows of one task from some days, binned by LightGBM once.

    A day's matrix is read by slices, so that days which lie in files are never in memory together.
    """

    task: Task
    days: Sequence[LabelledDay]
    reference: Rows | None = None
    offset: Float = field(init=False)
    label: Float = field(init=False)
    dataset: Any = field(init=False)

    def __post_init__(self) -> None:
        offsets, labels = zip(*(outcomes(self.task, d) for d in self.days), strict=True)
        self.offset = np.concatenate(offsets)
        self.label = np.concatenate(labels)
        rows = [DayRows(self.task, day) for day in self.days]
        constant = _constants(rows)
        for one in rows:
            one.blank = constant
        self.dataset = lgb.Dataset(
            rows,
            label=self.label,
            init_score=self.offset,
            feature_name=list(TREE_FEATURES),
            categorical_feature=list(TREE_CATEGORIES),
            reference=self.reference.dataset if self.reference else None,
            params={**BINNING, "verbosity": -1},
            free_raw_data=True,
        ).construct()
        for day in self.days:
            let_go(day.matrix)


def _constants(rows: Sequence[DayRows]) -> NDArray[np.bool_]:
    """Mark the columns that are the same for all, to be blanked.

    LightGBM leaves out the columns of one bin alone, and a constant other than zero has two, the
    empty one of zero beside it.
    """
    first = next((one[0] for one in rows if len(one)), np.zeros(len(TREE_FEATURES)))
    same = np.ones(len(TREE_FEATURES), dtype=bool)
    for one in rows:
        for part in one:
            same &= (part == first).all(axis=0)
            if not same.any():
                return same
    return same


def outcomes(task: Task, day: LabelledDay) -> tuple[Float, Float]:
    """Give offset and label of one day: everyone for churn, those who bought for spend.

    The day's own level is in the offset: trees learn what sets customers apart, not the season.
    """
    if task == "churn":
        return logit(day.prior_churn) + day.levels[0].value, day.churned.astype(np.float64)
    buyers = day.purchased
    # The gamma family has no mass at zero: a purchase that was wholly returned counts as small.
    floor = 0.01 * np.maximum(day.prior_spend[buyers], 1e-2)
    spend, said = np.maximum(day.net_spend[buyers], floor), day.prior_spend[buyers]
    return np.log(said * (spend.sum() / said.sum())), spend


def fixed(task: Task) -> dict[str, Any]:
    """Parameters of a fit that are never tuned, beside those of the machine."""
    return {
        **_FIXED[task],
        **BINNING,
        **_GROWING,
        "bagging_freq": 1,
        "boost_from_average": False,
    }


def fit(
    task: Task, rows: Rows, parameters: dict[str, Any], machine: Machine, **options: object
) -> lgb.Booster:
    """Fit trees with given parameters; ``rounds`` among them is the number of trees."""
    return grow(task, rows.dataset, parameters, machine, **options)


def grow(
    task: Task,
    dataset: Any,  # noqa: ANN401 - of LightGBM
    parameters: dict[str, Any],
    machine: Machine,
    **options: object,
) -> lgb.Booster:
    """Fit trees on rows that are binned already, as :func:`fit` does."""
    given = {k: v for k, v in parameters.items() if k != "rounds"}
    return lgb.train(
        {**fixed(task), **machine.parameters(), **given},
        dataset,
        num_boost_round=parameters["rounds"],
        **options,
    )


def correction(booster: lgb.Booster | None, matrix: Float, threads: int = 1) -> Float:
    """What the trees add to the prior's log-odds or log mean, shape (n,); 0 without trees."""
    return corrections((booster,), matrix, threads)[0]


def corrections(
    boosters: Sequence[lgb.Booster | None], matrix: Float, threads: int = 1
) -> tuple[Float, ...]:
    """What the trees of several boosters add, as :func:`correction`, of one copy of the rows."""
    added = tuple(np.zeros(len(matrix)) for _ in boosters)
    if any(booster is not None for booster in boosters):
        for start in range(0, len(matrix), PREDICTED_ROWS):
            part = slice(start, start + PREDICTED_ROWS)
            rows = tree_matrix(matrix[part])
            for booster, sums in zip(boosters, added, strict=True):
                if booster is not None:
                    sums[part] = added_up(booster, rows, threads)
            let_go(matrix)
    return added
