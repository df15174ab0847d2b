"""The Lagrangian dual: prices for money and for capacities at which customers choose by themselves.

With a price on each unit of the budget and on each place of an action, every customer takes the
action of the highest value less its prices, or none: the multiple-choice knapsack of Sinha and
Zoltners (1979), "The multiple-choice knapsack problem", Operations Research 27(3), with side
constraints. What that adds up to, the priced limits included, bounds every plan from above (Fisher
1981, "The Lagrangian relaxation method for solving integer programming problems", Management
Science 27(1)); the best bound is that of the linear programme. It is convex and piecewise linear in
a few prices, and found by cutting planes (Kelley 1960, "The cutting-plane method for solving convex
programs", SIAM Journal 8(4)): first on a sample of the customers, then near that on all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from serving.plan.offers import NOBODY, Floats, Limits, Offers, Places

CHUNK = 16_384
"""Customers that are looked at together: their offers stay in the processor's cache."""
SAMPLE = 20_000
SEED = 7
_SAMPLE_TOLERANCE, _TOLERANCE = 1e-5, 1e-6
_SAMPLE_STEPS, _STEPS = 300, 80
_NEAR = 0.05
"""How far around the prices of the sample those of all are looked for at first."""


@dataclass(frozen=True)
class Prices:
    """What a unit of each limit is worth.

    Attributes
    ----------
    money
        Value that the budget's last unit brings, 0 where the budget does not bind.
    place : float64 array of shape (k,)
        Value that an action's last place brings.
    """

    money: float
    place: Floats


@dataclass(frozen=True)
class Priced:
    """What customers choose at some prices.

    Attributes
    ----------
    bound
        No plan within the limits is worth more.
    choice : int8 array of shape (n,)
        The action that each customer takes.
    slope : float64 array of shape (1 + k,)
        What is left of each limit: the bound's slope in its price.
    """

    bound: float
    choice: Places
    slope: Floats


def best_prices(offers: Offers, limits: Limits) -> tuple[Prices, Priced]:
    """Find the prices with the lowest bound, as nearly as matters.

    Returns
    -------
    Prices, Priced
        And what customers choose at them, which may be more than there is.

    Examples
    --------
    One action for three customers, worth 5, 4 and 3, with room for two: a place is worth 3, which
    is what the one who is left out would bring, and no plan earns more than 9.

    >>> offers = Offers(np.array([[5.0, 4.0, 3.0]]), np.ones((1, 3)))
    >>> prices, priced = best_prices(offers, Limits(np.inf, np.array([2.0])))
    >>> round(priced.bound, 6), prices.money
    (9.0, 0.0)
    """
    free = np.concatenate([[np.isfinite(limits.budget)], np.isfinite(limits.capacity)])
    start = np.zeros(1 + offers.actions)
    if not free.any() or not offers.customers:
        return Prices(0.0, start[1:]), priced(offers, limits, start)
    scale = _scale(offers)
    if offers.customers > SAMPLE:
        chosen = np.random.default_rng(SEED).choice(offers.customers, SAMPLE, replace=False)
        sample = offers.of(np.sort(chosen))
        part = limits.share(SAMPLE / offers.customers)
        start, _ = _cut(sample, part, start, free, scale, 1.0, _SAMPLE_TOLERANCE, _SAMPLE_STEPS)
        start, best = _cut(offers, limits, start, free, scale, _NEAR, _TOLERANCE, _STEPS)
    else:
        start, best = _cut(offers, limits, start, free, scale, 1.0, _TOLERANCE, _SAMPLE_STEPS)
    return Prices(float(start[0]), start[1:]), best


def priced(offers: Offers, limits: Limits, prices: Floats) -> Priced:
    """Let every customer take what is worth most to them at some prices, of equals the first."""
    choice = np.full(offers.customers, NOBODY, dtype=np.int8)
    total = cost = 0.0
    for start in range(0, offers.customers, CHUNK):
        part = slice(start, start + CHUNK)
        best, mine = _choose(offers, prices, part)
        choice[part] = mine
        total += best.sum()
        takers = np.flatnonzero(mine != NOBODY)
        cost += offers.cost[mine[takers], takers + start].sum()
    taken = np.bincount(choice.astype(np.intp) + 1, minlength=offers.actions + 1)[1:]
    amounts = np.concatenate([[limits.budget], limits.capacity])
    slope = np.where(np.isfinite(amounts), amounts - np.concatenate([[cost], taken]), 0.0)
    bound = total + float(prices @ np.where(np.isfinite(amounts), amounts, 0.0))
    return Priced(float(bound), choice, slope)


def reduced(offers: Offers, prices: Prices, action: int, part: slice) -> Floats:
    """Value of an action less its prices, for some of the customers."""
    less: Floats = offers.value[action, part] - prices.money * offers.cost[action, part]
    less -= prices.place[action]
    return less


def _choose(offers: Offers, prices: Floats, part: slice) -> tuple[Floats, Places]:
    best = np.zeros(offers.value[0, part].shape)
    mine = np.full(best.shape, NOBODY, dtype=np.int8)
    asked = Prices(float(prices[0]), prices[1:])
    for action in range(offers.actions):
        worth = reduced(offers, asked, action, part)
        better = worth > best
        np.copyto(best, worth, where=better)
        mine[better] = action
    return best, mine


def _scale(offers: Offers) -> Floats:
    """Sizes that prices have: of money about what it brings, of places about what one brings."""
    some = slice(0, None, max(1, offers.customers // SAMPLE))
    value, cost = offers.value[:, some], offers.cost[:, some]
    there = np.isfinite(value) & (value > 0)
    if not there.any():
        return np.ones(1 + offers.actions)
    typical = float(value[there].mean())
    return np.concatenate(
        [
            [typical / max(float(cost[there].mean()), 1e-9 * typical)],
            np.full(offers.actions, typical),
        ]
    )


def _cut(
    offers: Offers,
    limits: Limits,
    start: Floats,
    free: NDArray[np.bool_],
    scale: Floats,
    near: float,
    tolerance: float,
    steps: int,
) -> tuple[Floats, Priced]:
    """Lower the bound by cutting planes, in a box around the best prices so far.

    Ends where the planes allow no lower bound but by the tolerance: where they say so at the box's
    side, the box is doubled first.
    """
    point, best_point, best = start, start, priced(offers, limits, start)
    planes = _Planes()
    planes.add(best, point)
    for _ in range(steps):
        low = np.maximum(best_point / scale - near, 0.0)
        high = np.where(free, best_point / scale + near, 0.0)
        unit = max(abs(best.bound), 1e-12)
        point, least = planes.lowest(low, high, scale, unit)
        at_side = (free & (point / scale > high - 1e-9)) | (
            (low > 0) & (point / scale < low + 1e-9)
        )
        if best.bound - least < tolerance * unit:
            if not at_side.any():
                break
            near *= 2
        found = priced(offers, limits, point)
        planes.add(found, point)
        if found.bound < best.bound:
            best, best_point = found, point
    return best_point, best


class _Planes:
    """What is known of the bound: it lies above every plane."""

    def __init__(self) -> None:
        self._heights: list[float] = []
        self._slopes: list[Floats] = []

    def add(self, found: Priced, point: Floats) -> None:
        self._heights.append(found.bound - float(found.slope @ point))
        self._slopes.append(found.slope)

    def lowest(self, low: Floats, high: Floats, scale: Floats, unit: float) -> tuple[Floats, float]:
        """Find the lowest point above all planes within a box, and its height."""
        slopes = np.array(self._slopes) * scale / unit
        above = np.column_stack([slopes, -np.ones(len(slopes))])
        aim = np.zeros(len(scale) + 1)
        aim[-1] = 1.0
        bounds = [*zip(low, high, strict=True), (None, None)]
        found = linprog(aim, above, -np.array(self._heights) / unit, bounds=bounds, method="highs")
        if not found.success:  # of numbers beyond reason: the best so far stands
            return low * scale, np.inf
        return np.maximum(found.x[:-1], 0.0) * scale, float(found.x[-1]) * unit
