"""The plan: prices first, then a plan within the limits; proved where there are few customers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.plan.dual import Prices, best_prices
from serving.plan.exact import MOST_PAIRS, best_plan
from serving.plan.offers import Limits, Offers, Places, earned, spent, used
from serving.plan.repair import within_limits

_PROVED = 1e-9
"""Share of the bound within which a plan is as good as proved."""


@dataclass(frozen=True)
class Solution:
    """At most one action a customer, and how near to the best that is.

    Attributes
    ----------
    choice : int8 array of shape (n,)
        The action of each customer, a row of the offers; -1 for none.
    value, cost
        Of the whole plan, expected.
    used : int64 array of shape (k,)
        Customers by action.
    bound
        No plan within the limits is worth more.
    prices
        What the last unit of the budget and the last place of each action bring.
    """

    choice: Places
    value: float
    cost: float
    used: NDArray[np.int64]
    bound: float
    prices: Prices

    @property
    def gap(self) -> float:
        """Share of the bound that may be missing; 0 where the plan is the best."""
        return max(self.bound - self.value, 0.0) / self.bound if self.bound > 0 else 0.0


def solve(offers: Offers, limits: Limits) -> Solution:
    """Choose at most one action a customer so that the value is greatest within the limits.

    Examples
    --------
    Money for two of four: the second customer gets the cheaper of the two actions, because what is
    saved is enough for the third.

    >>> value = np.array([[9.0, 8.0, -np.inf, 1.0], [-np.inf, 7.0, 6.0, -np.inf]])
    >>> cost = np.array([[5.0, 5.0, 0.0, 5.0], [0.0, 2.0, 3.0, 0.0]])
    >>> found = solve(Offers(value, cost), Limits(10.0, np.array([np.inf, np.inf])))
    >>> found.choice.tolist(), found.value, found.cost, found.gap
    ([0, 1, 1, -1], 22.0, 10.0, 0.0)
    """
    prices, priced = best_prices(offers, limits)
    plan = within_limits(offers, limits, prices, priced.choice)
    bound = priced.bound
    few = np.count_nonzero(np.isfinite(offers.value)) <= MOST_PAIRS
    if few and earned(offers, plan) < bound * (1 - _PROVED):
        exact = best_plan(offers, limits)
        if exact is not None:
            # Its limits hold within a tolerance; here they hold.
            proved = within_limits(offers, limits, prices, exact[0])
            bound = min(bound, exact[1])
            plan = max(proved, plan, key=lambda one: earned(offers, one))
    value = earned(offers, plan)
    return Solution(plan, value, spent(offers, plan), used(offers, plan), max(bound, value), prices)
