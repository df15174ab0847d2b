"""Customers who were assigned one action or its control arm, and what followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.dataset import TREE_CATEGORIES, TREE_FEATURES

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]
Int = NDArray[np.int64]

FOLDS = 3
"""Parts of the customers: a row is judged by models that have seen none of its customer's rows."""


@dataclass(frozen=True)
class Experiment:
    """The assignments of one action, a row each; a customer may have several.

    Attributes
    ----------
    action
        Its key in the playbook.
    customers
        Who, shape (n,); Int64 or text.
    matrix
        What was known at the end of the day before, shape (n, features); NaN where unknown.
    treated
        Whether the arm was the action; else it was withheld.
    chance
        P(treated) when the arm was drawn, within (0, 1).
    purchased, net_spend
        What followed within the horizon, spend in currency.
    names, categories
        Names of the matrix's columns, and which of them are codes of categories.
    cost
        Of the customer's interactions within the horizon, redeemed incentives among them, in
        currency; None where nobody records any.
    early_spend
        Net spend of the first weeks; None where the horizon is hardly longer.
    """

    action: str
    customers: NDArray[Any]
    matrix: NDArray[np.float32] | Float
    treated: Bool
    chance: Float
    purchased: Bool
    net_spend: Float
    names: Sequence[str] = TREE_FEATURES
    categories: Sequence[int] = TREE_CATEGORIES
    cost: Float | None = None
    early_spend: Float | None = None

    def __len__(self) -> int:
        return len(self.treated)

    def take(self, rows: Int) -> Experiment:
        """Keep some rows."""
        return replace(
            self,
            customers=self.customers[rows],
            matrix=self.matrix[rows],
            treated=self.treated[rows],
            chance=self.chance[rows],
            purchased=self.purchased[rows],
            net_spend=self.net_spend[rows],
            cost=None if self.cost is None else self.cost[rows],
            early_spend=None if self.early_spend is None else self.early_spend[rows],
        )

    @cached_property
    def customer(self) -> Int:
        """Number of each row's customer, from 0."""
        numbers: Int = np.unique(self.customers, return_inverse=True)[1].astype(np.int64)
        return numbers

    def folds(self, seed: int) -> Int:
        """Deal the customers into :data:`FOLDS` parts; gives each row's."""
        count = int(self.customer.max(initial=-1)) + 1
        dealt = np.arange(count) % FOLDS
        np.random.default_rng(seed).shuffle(dealt)
        return dealt[self.customer]


def clustered(values: Float, customer: Int) -> tuple[float, float]:
    """Give the mean of the rows' values and its standard error, rows of a customer as one.

    >>> clustered(np.array([1.0, 1.0, -1.0, -1.0]), np.array([0, 0, 1, 1]))
    (0.0, 1.0)
    """
    mean = float(values.mean())
    sums = np.bincount(customer, values - mean)
    groups = max(len(sums), 2)
    return mean, float(np.sqrt((sums**2).sum() * groups / (groups - 1)) / len(values))
