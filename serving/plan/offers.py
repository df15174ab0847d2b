"""What may be done for whom, what it is worth and costs, and how much there is of everything."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.errors import InputError

Floats = NDArray[np.float64]
Places = NDArray[np.int8]
NOBODY = -1
"""In the place of an action: none."""


@dataclass(frozen=True)
class Offers:
    """Every action that may be done for every customer, actions by rows.

    Attributes
    ----------
    value : float64 array of shape (k, n)
        Incremental value net of the costs; -inf where the action may not be done.
    cost : float64 array of shape (k, n)
        Expected cost, contact and incentive, at least 0; 0 where the action may not be done.

    Raises
    ------
    ValueError
        The shapes differ, or there are more actions than one byte counts.

    Examples
    --------
    >>> Offers(np.array([[5.0, -np.inf]]), np.array([[1.0, 0.0]])).customers
    2
    >>> Offers(np.zeros((1, 2)), np.zeros((2, 2)))
    Traceback (most recent call last):
    ...
    ValueError: values of shape (1, 2) and costs of shape (2, 2) are not of the same offers
    """

    value: Floats
    cost: Floats

    def __post_init__(self) -> None:
        if self.value.shape != self.cost.shape:
            raise ValueError(
                f"values of shape {self.value.shape} and costs of shape {self.cost.shape} are not "
                "of the same offers"
            )
        if self.actions > np.iinfo(np.int8).max:
            raise ValueError(f"{self.actions} actions are more than a plan can hold (127)")

    @property
    def actions(self) -> int:
        """How many actions there are."""
        return int(self.value.shape[0])

    @property
    def customers(self) -> int:
        """How many customers there are."""
        return int(self.value.shape[1])

    def of(self, customers: NDArray[np.intp]) -> Offers:
        """Take some of the customers."""
        return Offers(
            np.ascontiguousarray(self.value[:, customers]),
            np.ascontiguousarray(self.cost[:, customers]),
        )


@dataclass(frozen=True)
class Limits:
    """How much there is to spend, and how often each action can be done.

    Attributes
    ----------
    budget
        In currency; infinite where money sets no limit.
    capacity : float64 array of shape (k,)
        Customers an action; infinite where there is no limit.
    """

    budget: float
    capacity: Floats

    def share(self, part: float) -> Limits:
        """Limits of a part of the customers."""
        return Limits(self.budget * part, self.capacity * part)


def budget_of(given: float | None) -> float:
    """Check a budget; none given is no limit.

    >>> budget_of(None), budget_of(0.0)
    (inf, 0.0)
    >>> budget_of(-1.0)
    Traceback (most recent call last):
    ...
    features.errors.InputError: --budget -1 is no amount to spend; give 0 or more, or leave it out \
to plan without a limit of money
    """
    if given is None:
        return np.inf
    if not given >= 0:
        raise InputError(
            f"--budget {given:g} is no amount to spend; give 0 or more, or leave it out to plan "
            "without a limit of money"
        )
    return given


def spent(offers: Offers, choice: Places) -> float:
    """What a plan is expected to cost."""
    return float(_of_chosen(offers.cost, choice).sum())


def earned(offers: Offers, choice: Places) -> float:
    """What a plan is expected to bring."""
    return float(_of_chosen(offers.value, choice).sum())


def used(offers: Offers, choice: Places) -> NDArray[np.int64]:
    """How often a plan does each action, shape (k,)."""
    return np.bincount(choice.astype(np.intp) + 1, minlength=offers.actions + 1)[1:]


def _of_chosen(table: Floats, choice: Places) -> Floats:
    customers = np.flatnonzero(choice != NOBODY)
    return table[choice[customers], customers]
