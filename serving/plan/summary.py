"""A plan in numbers, for whoever approves it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.plan.offers import NOBODY, Offers
from serving.plan.planned import Planned
from serving.plan.policies import RULES, simple_policies

BUDGET, CAPACITY = "none_budget", "none_capacity"


def summary(planned: Planned) -> dict[str, Any]:
    """Say what a plan does, costs and brings, what limits it, and whom it leaves out.

    Returns
    -------
    dict
        Plain values: totals of those to be treated; ``actions``; ``left_out``, customers by reason
        (the notes of :mod:`serving.actions`, and two for the limits); ``policies``; how good the
        plan is.
    """
    solution, limits = planned.solution, planned.limits
    treated = ~planned.control
    return {
        "known": planned.people.known,
        "chosen": len(planned.rows),
        "treated": int(treated.sum()),
        "control": int(planned.control.sum()),
        "budget": limits.budget if np.isfinite(limits.budget) else None,
        "cost": _sum(planned, "cost", treated),
        "value": _value(planned, treated),
        "measured_value": _measured_value(planned, treated),
        "withheld_value": _sum(planned, "value", planned.control),
        "value_of_chosen": solution.value,
        "cost_of_chosen": solution.cost,
        "bound": solution.bound,
        "gap": solution.gap,
        "shadow_price": solution.prices.money if np.isfinite(limits.budget) else None,
        "first_bought": _first_bought(planned),
        "actions": [_action(planned, place) for place in np.unique(planned.action).tolist()],
        "full": _full(planned),
        "left_out": planned.people.left_out | _beyond_limits(planned),
        "policies": {
            name: {**asdict(ruled), "rule": RULES[name]}
            for name, ruled in simple_policies(planned.people.facts, limits).items()
        },
    }


def _sum(planned: Planned, column: str, mask: NDArray[np.bool_]) -> float:
    values: NDArray[np.float64] = getattr(planned.people.pairs, column)
    return float(values[planned.pair[mask]].sum(dtype=np.float64))


def _measured_value(planned: Planned, mask: NDArray[np.bool_]) -> float:
    """Add up as much of the value as was measured, by the share of each action's effect."""
    share = np.array(planned.people.measured_share)[planned.action[mask]]
    return float(share @ planned.people.pairs.value[planned.pair[mask]])


def _value(planned: Planned, mask: NDArray[np.bool_]) -> dict[str, float]:
    """Value of some, and between which ends if every effect is as low or as high as can be."""
    ends = {"low": "low", "mid": "value", "high": "high"}
    return {end: _sum(planned, column, mask) for end, column in ends.items()}


def _action(planned: Planned, place: int) -> dict[str, Any]:
    mine = planned.action == place
    treated = mine & ~planned.control
    key = planned.people.keys[place]
    held = planned.held[key]
    capacity = planned.limits.capacity[place]
    return {
        "action": key,
        "chosen": int(mine.sum()),
        "treated": int(treated.sum()),
        "control": int((mine & planned.control).sum()),
        "cost": _sum(planned, "cost", treated),
        "value": _value(planned, treated),
        "effect": planned.people.effects[place],
        "measured_share": planned.people.measured_share[place],
        "capacity": int(capacity) if np.isfinite(capacity) else None,
        "hold_out": {
            **{name: _finite(value) for name, value in asdict(held).items()},
            "forgone": _sum(planned, "value", mine & planned.control),
        },
    }


def _full(planned: Planned) -> dict[str, float]:
    """Name the actions whose places are all taken, and what one place more would bring."""
    solution, capacity = planned.solution, planned.limits.capacity
    full = np.flatnonzero(np.isfinite(capacity) & (solution.used >= capacity) & (capacity > 0))
    prices = solution.prices.place
    return {planned.people.keys[place]: float(prices[place]) for place in full.tolist()}


def _beyond_limits(planned: Planned) -> dict[str, int]:
    """Count whom an action would pay for, but money or places are not enough."""
    offers, prices = planned.offers, planned.solution.prices
    out = planned.solution.choice == NOBODY
    affordable = (offers.value - prices.place[:, None]).max(axis=0, initial=-np.inf) > 0
    pays = offers.value.max(axis=0, initial=-np.inf) > 0
    binds = np.isfinite(planned.limits.budget) and prices.money > 0
    by_money = out & pays & affordable & binds
    found = {BUDGET: int(by_money.sum()), CAPACITY: int((out & pays & ~by_money).sum())}
    return {reason: count for reason, count in found.items() if count}


def _first_bought(planned: Planned) -> dict[str, Any] | None:
    """Name what brings most for its cost, where the budget bought nothing."""
    if len(planned.rows) or not np.isfinite(planned.limits.budget):
        return None
    place = _best_ratio(planned.offers, planned.limits.capacity > 0)
    if place is None:
        return None
    action, customer = place
    return {
        "action": planned.people.keys[action],
        "customer_id": planned.people.customers[customer].as_py(),
        "cost": float(planned.offers.cost[action, customer]),
        "value": float(planned.offers.value[action, customer]),
    }


def _best_ratio(offers: Offers, possible: NDArray[np.bool_]) -> tuple[int, int] | None:
    there = (offers.value > 0) & possible[:, None]
    if not there.any():
        return None
    ratio = np.where(there, offers.value / np.maximum(offers.cost, 1e-12), -np.inf)
    action, customer = np.unravel_index(int(ratio.argmax()), ratio.shape)
    return int(action), int(customer)


def _finite(value: Any) -> Any:  # noqa: ANN401 - of a dataclass
    return None if isinstance(value, float) and not np.isfinite(value) else value
