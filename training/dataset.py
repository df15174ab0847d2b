"""Training days: the features of a day, the prior of that day, and what then happened."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit, logit

from features import catalogue
from features.days import day_number
from features.matrix import Vocabulary, matrix_of
from training.labels import labels
from training.levels import Level, churn_level, spend_level
from training.prior import Prior
from training.prospects import ENGAGEMENT, NeverBought, groups_of
from training.training_set import TrainingSet, let_go

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

ACCOUNTS = (
    "spend_without_cost", "margin_recorded", "interaction_cost", "treatment_cost",
    "referred_spend_without_cost", "referred_margin_recorded",
)  # fmt: skip
"""What only profit to date is made of."""
NOT_LEARNED = (
    "as_of_day", "season_days", "season", "marketing_consent", *ACCOUNTS, *catalogue.LISTED,
)  # fmt: skip
"""The same for every customer of a day, so that they tell days apart and nothing about a customer;
consent, which filters actions and must not make anyone worth less; the company's own accounts,
which say of a customer what spend and treatments say already; and lists, by which actions are
chosen."""

TREE_FEATURES: tuple[str, ...] = tuple(n for n in catalogue.NAMES if n not in NOT_LEARNED)
TREE_CATEGORIES: tuple[int, ...] = tuple(
    place for place, name in enumerate(TREE_FEATURES) if name in catalogue.CATEGORIES
)
"""Which of them are codes of categories, by place."""


def _runs(places: list[int]) -> list[tuple[slice, slice]]:
    """Join places that follow one another: which columns they are, and where they go."""
    ends = [i for i in range(1, len(places)) if places[i] != places[i - 1] + 1]
    return [
        (slice(places[start], places[end - 1] + 1), slice(start, end))
        for start, end in zip([0, *ends], [*ends, len(places)], strict=True)
    ]


_TREE_RUNS = _runs([catalogue.NAMES.index(name) for name in TREE_FEATURES])


def tree_matrix(matrix: Float) -> Float:
    """Keep the columns that the trees learn from, in the order of :data:`TREE_FEATURES`."""
    kept = np.empty((len(matrix), len(TREE_FEATURES)))
    # Runs of columns are copied several times as fast as a list of them.
    for run, place in _TREE_RUNS:
        kept[:, place] = matrix[:, run]
    return kept


@dataclass(frozen=True)
class LabelledDay:
    """Customers who had bought by a day, and their outcomes in the horizon after it.

    Attributes
    ----------
    customer_ids
        Int64 or text, shape (n,).
    matrix
        Features in the catalogue's order, shape (n, features).
    prior
        Fitted on this day's features alone.
    prior_churn, prior_spend
        The prior's churn probability and mean spend given a purchase, shape (n,).
    purchased, net_spend
        Outcomes, shape (n,); spend in currency.
    """

    as_of: date
    customer_ids: NDArray[Any]
    matrix: Float
    prior: Prior
    prior_churn: Float
    prior_spend: Float
    purchased: Bool
    net_spend: Float

    @property
    def churned(self) -> Bool:
        """No purchase in the horizon."""
        return ~self.purchased

    @cached_property
    def levels(self) -> tuple[Level, Level]:
        """How far the prior's churn and spend lay off for everybody at once."""
        day, log_odds = day_number(self.as_of), logit(self.prior_churn)
        churn = churn_level(day, log_odds, self.churned)
        chance = expit(log_odds + churn.value)
        spend = spend_level(day, self.prior_spend, chance, self.purchased, self.net_spend)
        return churn, spend

    def take(self, rows: NDArray[np.int64]) -> LabelledDay:
        """Keep some customers."""
        matrix = np.array(self.matrix[rows])
        let_go(self.matrix)
        return LabelledDay(
            self.as_of,
            self.customer_ids[rows],
            matrix,
            self.prior,
            self.prior_churn[rows],
            self.prior_spend[rows],
            self.purchased[rows],
            self.net_spend[rows],
        )


def label_days(
    training_set: TrainingSet,
    vocabulary: Vocabulary,
    orders: Path,
    horizon_days: int,
    known_by: date,
) -> tuple[list[LabelledDay], list[NeverBought]]:
    """Join a training set with its outcomes and fit each day's prior, one day after the other.

    Parameters
    ----------
    vocabulary
        The model's codes for categories.
    orders
        The ledger's Parquet file.
    known_by
        The day of the training: what arrived later is not seen.

    Returns
    -------
    labelled
        The days on which anyone had bought, and those who had.
    never
        Every day's prospects: known, and without a purchase until then.
    """
    labelled, never = [], []
    for day in training_set.days:
        rows = with_outcomes(
            pl.DataFrame(pl.from_arrow(training_set.day(day))),
            labels(orders, day, horizon_days, known_by),
        )
        bought = (rows["purchases"] > 0).fill_null(value=False)
        never.append(_prospects(day, rows.filter(~bought)))
        if bought.any():
            one = _labelled(day, rows.filter(bought), vocabulary, horizon_days)
            labelled.append(replace(one, matrix=training_set.keep(day, one.matrix)))
    return labelled, never


def with_outcomes(rows: pl.DataFrame, outcomes: pl.DataFrame) -> pl.DataFrame:
    """Whoever has no line in the window did nothing in it."""
    return rows.join(
        outcomes, on=catalogue.JOIN_KEY, how="left", maintain_order="left"
    ).with_columns(pl.col("purchased").fill_null(value=False), pl.col("net_spend").fill_null(0.0))


def _prospects(day: date, rows: pl.DataFrame) -> NeverBought:
    engagement = (rows[name].cast(pl.Float64).to_numpy() for name in ENGAGEMENT)
    return NeverBought.count(
        day, groups_of(*engagement), rows["purchased"].to_numpy(), rows["net_spend"].to_numpy()
    )


def _labelled(
    day: date, rows: pl.DataFrame, vocabulary: Vocabulary, horizon_days: int
) -> LabelledDay:
    matrix = matrix_of(rows.to_arrow(), vocabulary)
    prior = Prior.fit(matrix)
    foretold = prior.foretell(matrix, horizon_days)
    return LabelledDay(
        day,
        rows[catalogue.JOIN_KEY].to_numpy(),
        matrix,
        prior,
        foretold.churn_probability,
        foretold.spend_if_purchase,
        rows["purchased"].to_numpy(),
        rows["net_spend"].to_numpy(),
    )
