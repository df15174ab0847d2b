"""A small study that processes of their own can run: this file imports what they need alone."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
from scipy.special import expit, logit

from features import catalogue
from training.dataset import LabelledDay
from training.prior import Prior
from training.trees import Machine
from training.tuning.folds import Fold, folds
from training.tuning.search import Tuned, tune
from training.tuning.studies import Studies

MACHINE = Machine(seed=3, threads=1)
WANTED = 12


def day(number: int, customers: int = 600) -> LabelledDay:
    rng = np.random.default_rng(number)
    matrix = np.abs(rng.normal(size=(customers, len(catalogue.NAMES)))).round(3)
    matrix[rng.random(matrix.shape) < 0.3] = np.nan
    matrix[:, catalogue.NAMES.index("region")] = rng.integers(0, 4, customers)
    late = matrix[:, catalogue.NAMES.index("lateness")]
    churn = rng.uniform(0.2, 0.8, customers)
    purchased = rng.random(customers) > expit(logit(churn) + np.nan_to_num(late))
    spend = np.where(purchased, rng.gamma(2.0, 20.0, customers), 0.0)
    prior = Prior.from_dict(
        {
            "family": "bg_nbd",
            "purchases": {"r": 1.0, "alpha": 10.0, "a": 1.0, "b": 2.0},
            "value": None,
            "mean_order_value": 20.0,
        }
    )
    as_of = date(2024, 1 + number, 1)
    ids, value = np.arange(customers), np.full(customers, 30.0)
    return LabelledDay(as_of, ids, matrix, prior, churn, value, purchased, spend)


def two_folds(customers: int = 600) -> list[Fold]:
    days = [day(number, customers) for number in range(4)]
    return folds("churn", [(days[:2], days[2]), (days[:3], days[3])])


def tuned(studies: Studies, wanted: int = WANTED, **options: Any) -> Tuned:
    return tune("churn", two_folds(), wanted, MACHINE, studies=studies, **options)
