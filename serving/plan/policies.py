"""What simple rules would do with the same budget and capacities, valued as the plan is.

They are what a plan has to beat: treating whoever is most likely to leave, whoever is worth most,
or everybody, each with the action that is usual for them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.plan.offers import NOBODY, Floats, Limits, Places
from serving.plan.people import Facts

RULES: dict[str, str] = {
    "risk_first": "those most likely to leave first, each with the action worth most for them",
    "value_first": "those of the highest 12-month value first, likewise",
    "everyone": "everybody, likewise, whatever it costs",
}


@dataclass(frozen=True)
class Ruled:
    """What a rule does: how many customers, at what cost, for what value."""

    customers: int
    cost: float
    value: float


def simple_policies(facts: Facts, limits: Limits) -> dict[str, Ruled]:
    """Follow every rule until the budget or an action's capacity is used up."""
    orders: dict[str, Floats] = {
        "risk_first": -facts.churn_probability,
        "value_first": -facts.clv_12m,
    }
    found = {
        name: _ruled(facts, in_turn(facts.usual, facts.usual_cost, first, limits))
        for name, first in orders.items()
    }
    return {**found, "everyone": _ruled(facts, np.flatnonzero(facts.usual != NOBODY))}


def in_turn(actions: Places, cost: Floats, rank: Floats, limits: Limits) -> NDArray[np.intp]:
    """Treat customers in an order, lowest rank first, until a limit is reached.

    An action whose places are taken is passed over; the first whom the money is not enough for ends
    it.

    >>> actions, cost = np.array([0, 0, 0, 1], np.int8), np.ones(4)
    >>> limits = Limits(2.0, np.array([1.0, np.inf]))
    >>> in_turn(actions, cost, np.array([3.0, 1.0, 2.0, 4.0]), limits).tolist()
    [1, 3]
    """
    order = np.argsort(rank, kind="stable")
    order = order[actions[order] != NOBODY]
    kept = np.ones(len(order), dtype=np.bool_)
    for action in np.flatnonzero(np.isfinite(limits.capacity)):
        takers = np.flatnonzero(actions[order] == action)
        kept[takers[int(limits.capacity[action]) :]] = False
    order = order[kept]
    affordable = np.cumsum(cost[order]) <= limits.budget
    treated: NDArray[np.intp] = order[: len(order) if affordable.all() else affordable.argmin()]
    return treated


def _ruled(facts: Facts, customers: NDArray[np.intp]) -> Ruled:
    return Ruled(
        len(customers),
        float(facts.usual_cost[customers].sum()),
        float(facts.usual_value[customers].sum()),
    )
