"""From what customers choose at the best prices to a plan within the limits.

Few choose too much: at the best prices only those whom the last unit of a limit makes indifferent.
Of them the ones who lose least step back; what is free afterwards goes where it brings most.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from serving.plan.dual import CHUNK, Prices, reduced
from serving.plan.offers import NOBODY, Floats, Limits, Offers, Places, spent, used

MOST_TRIED = 200_000
"""Changes that are tried in one round, the best first."""
ROUNDS = 4
ROUNDING = 1e-12
"""Of the budget, by which sums of costs may differ with their order."""


def within_limits(offers: Offers, limits: Limits, prices: Prices, choice: Places) -> Places:
    """Make a plan that exceeds nothing, and earns what can be earned by single changes.

    >>> offers = Offers(np.array([[5.0, 4.0, 3.0]]), np.ones((1, 3)))
    >>> everyone = np.zeros(3, dtype=np.int8)
    >>> within_limits(offers, Limits(2.5, np.array([3.0])), Prices(0.0, np.zeros(1)), everyone)
    array([ 0,  0, -1], dtype=int8)
    """
    plan = choice.copy()
    for action in np.flatnonzero(used(offers, plan) > limits.capacity):
        _give_up_places(offers, limits, prices, plan, int(action))
    if spent(offers, plan) > limits.budget * (1 + ROUNDING):
        _give_up_money(offers, limits, prices, plan)
    for _ in range(ROUNDS):
        if not _improve(offers, limits, prices, plan):
            break
    return plan


def _give_up_places(
    offers: Offers, limits: Limits, prices: Prices, plan: Places, action: int
) -> None:
    takers = np.flatnonzero(plan == action)
    too_many = len(takers) - int(limits.capacity[action])
    worth = _worth(offers, prices, takers)
    regret = worth[action] - np.maximum(np.delete(worth, action, axis=0).max(axis=0, initial=0), 0)
    plan[takers[np.argsort(regret, kind="stable")[:too_many]]] = NOBODY


def _give_up_money(offers: Offers, limits: Limits, prices: Prices, plan: Places) -> None:
    """Let customers have something cheaper with room, or nothing, the least lost for it first."""
    takers = np.flatnonzero(plan != NOBODY)
    mine, place = plan[takers], np.arange(len(takers))
    cost = offers.cost[mine, takers]
    worth = _worth(offers, prices, takers)
    own = worth[mine, place]
    full = used(offers, plan) >= limits.capacity
    worth[(offers.cost[:, takers] >= cost) | full[:, None]] = -np.inf
    instead = worth.argmax(axis=0).astype(np.int8)
    nothing = worth[instead, place] <= 0
    freed = cost - np.where(nothing, 0.0, offers.cost[instead, takers])
    lost = own - np.where(nothing, 0.0, worth[instead, place])
    instead[nothing] = NOBODY
    paid = freed > 0
    ratio = np.divide(lost, freed, out=np.full(len(lost), np.inf), where=paid)
    order = np.argsort(ratio, kind="stable")
    needed = spent(offers, plan) - limits.budget
    order = order[: int(np.searchsorted(np.cumsum(freed[order]), needed)) + 1]
    plan[takers[order]] = instead[order]
    # Together they may have taken more than there was room for.
    for action in np.flatnonzero(used(offers, plan) > limits.capacity):
        _give_up_places(offers, limits, prices, plan, int(action))


def _worth(offers: Offers, prices: Prices, customers: NDArray[np.intp]) -> Floats:
    """Value of every action less its prices, for some customers."""
    worth: Floats = offers.value[:, customers] - prices.money * offers.cost[:, customers]
    worth -= prices.place[:, None]
    return worth


def _improve(offers: Offers, limits: Limits, prices: Prices, plan: Places) -> bool:
    """Go once through the changes that earn more and fit, the best at the prices first."""
    money = limits.budget - spent(offers, plan)
    places = limits.capacity - used(offers, plan)
    gain, customers, actions = _changes(offers, prices, plan, money, places)
    order = np.argsort(-gain, kind="stable")
    done = False
    cost, value = offers.cost, offers.value
    for customer, action in zip(customers[order].tolist(), actions[order].tolist(), strict=True):
        now = int(plan[customer])
        before = (value[now, customer], cost[now, customer]) if now != NOBODY else (0.0, 0.0)
        more = cost[action, customer] - before[1]
        if places[action] < 1 or more > money or value[action, customer] <= before[0]:
            continue
        plan[customer] = action
        money -= more
        places[action] -= 1
        if now != NOBODY:
            places[now] += 1
        done = True
    return done


def _changes(
    offers: Offers, prices: Prices, plan: Places, money: float, places: Floats
) -> tuple[Floats, NDArray[np.intp], NDArray[np.intp]]:
    """List the changes of one customer's action that earn more and fit by themselves."""
    parts = [*_changes_by_part(offers, prices, plan, money, places)]
    gain, customers, actions = (np.concatenate([part[i] for part in parts]) for i in range(3))
    if len(gain) > MOST_TRIED:
        best = np.sort(np.argpartition(-gain, MOST_TRIED)[:MOST_TRIED])
        gain, customers, actions = gain[best], customers[best], actions[best]
    return gain, customers, actions


def _changes_by_part(
    offers: Offers, prices: Prices, plan: Places, money: float, places: Floats
) -> Iterator[tuple[Floats, NDArray[np.intp], NDArray[np.intp]]]:
    yield np.empty(0), np.empty(0, np.intp), np.empty(0, np.intp)
    for start in range(0, offers.customers, CHUNK):
        part = slice(start, min(start + CHUNK, offers.customers))
        mine = plan[part]
        own = np.flatnonzero(mine != NOBODY)
        value, cost, worth = (np.zeros(len(mine)) for _ in range(3))
        value[own] = offers.value[mine[own], own + start]
        cost[own] = offers.cost[mine[own], own + start]
        worth[own] = value[own] - prices.money * cost[own] - prices.place[mine[own]]
        for action in np.flatnonzero(places >= 1).tolist():
            better = offers.value[action, part] > value
            better &= offers.cost[action, part] - cost <= money
            found = np.flatnonzero(better)
            gain = reduced(offers, prices, action, part)[found] - worth[found]
            yield gain, found + start, np.full(len(found), action, np.intp)
