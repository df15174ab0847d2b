"""The solver of the plan: never beyond a limit, never better than its bound, best where proved."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import InputError
from serving.plan.dual import SAMPLE
from serving.plan.exact import MOST_PAIRS
from serving.plan.offers import Limits, Offers, budget_of, earned, spent, used
from serving.plan.solve import solve


def offers(customers: int, actions: int, seed: int, tied: bool = False) -> Offers:
    """Values and costs at random; in half of the cases few different ones."""
    rng = np.random.default_rng(seed)
    value = rng.lognormal(1, 1, (actions, customers))
    cost = rng.lognormal(0, 1, (actions, customers))
    if tied:
        value, cost = np.ceil(value), np.ceil(cost)
    value[rng.random(value.shape) < 0.3] = -np.inf
    return Offers(value, np.where(np.isfinite(value), cost, 0.0))


def limits(of: Offers, money: float, room: float, seed: int) -> Limits:
    """Some of what everybody together would take, places without a limit among them."""
    rng = np.random.default_rng(seed)
    everything = solve(of, Limits(np.inf, np.full(of.actions, np.inf)))
    capacity = np.floor(room * everything.used * rng.uniform(0.3, 2, of.actions))
    capacity[rng.random(of.actions) < 0.3] = np.inf
    return Limits(money * everything.cost, capacity)


def best_by_trying(of: Offers, within: Limits) -> float:
    best = 0.0
    for one in product(range(-1, of.actions), repeat=of.customers):
        plan = np.array(one, dtype=np.int8)
        if (used(of, plan) <= within.capacity).all() and spent(of, plan) <= within.budget:
            best = max(best, earned(of, plan))
    return best


cases = st.tuples(
    st.integers(1, 60), st.integers(1, 5), st.integers(0, 10**6), st.booleans(),
    st.sampled_from([0.0, 0.01, 0.2, 0.7, 1.5]), st.sampled_from([0.0, 0.3, 0.8, 2.0]),
)  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(cases)
def test_a_plan_exceeds_nothing_and_is_as_near_to_the_best_as_it_says(
    case: tuple[int, int, int, bool, float, float],
):
    customers, actions, seed, tied, money, room = case
    of = offers(customers, actions, seed, tied)
    within = limits(of, money, room, seed)
    found = solve(of, within)
    assert found.cost <= within.budget * (1 + 1e-9)
    assert (found.used <= within.capacity).all()
    assert (of.value[found.choice[found.choice >= 0], np.flatnonzero(found.choice >= 0)] > 0).all()
    assert found.value <= found.bound
    assert found.gap < 1e-6, "so small a programme is proved"
    more = solve(of, Limits(within.budget * 1.3 + 0.1, within.capacity))
    assert more.value >= found.value * (1 - 1e-9)


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 5), st.integers(1, 2), st.integers(0, 10**6), st.floats(0, 1.2))
def test_the_best_of_few_is_the_best_of_all_that_can_be_tried(
    customers: int, actions: int, seed: int, money: float
):
    of = offers(customers, actions, seed, tied=True)
    within = limits(of, money, 0.8, seed)
    assert solve(of, within).value == pytest.approx(best_by_trying(of, within))


@pytest.mark.parametrize("tied", [False, True])
def test_many_customers_are_planned_within_a_thousandth_of_the_bound(tied: bool):
    """Above the sample; tied, where thousands are worth the same and some of them are left out."""
    of = offers(SAMPLE + 5_000, 6, 3, tied)
    assert np.isfinite(of.value).sum() > MOST_PAIRS
    earlier = 0.0
    for money in (0.05, 0.3, 0.8, 2.0):
        within = limits(of, money, 0.7, 5)
        found = solve(of, within)
        assert found.cost <= within.budget * (1 + 1e-9)
        assert (found.used <= within.capacity).all()
        assert found.gap < 1e-3
        assert found.value >= earlier * (1 - found.gap)
        earlier = found.value


def test_without_limits_everybody_gets_what_is_worth_most():
    of = offers(5_000, 4, 1)
    found = solve(of, Limits(np.inf, np.full(4, np.inf)))
    assert found.value == pytest.approx(np.maximum(of.value.max(axis=0), 0).sum())
    assert found.gap < 1e-12
    assert found.prices.money == 0


@pytest.mark.parametrize("budget", [-1.0, float("nan"), -float("inf")])
def test_what_is_no_amount_is_no_budget(budget: float):
    with pytest.raises(InputError, match="give 0 or more, or leave it out"):
        budget_of(budget)
