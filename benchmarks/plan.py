"""The plan of 1,000,000 customers and 12 actions: seconds, gap to the bound, a greedy beside it.

Generated (--customers, --actions, --seed): chances of buying from a Beta(1, 3), spends from a
lognormal, effects that differ by action and customer, costs of contact from a cent to a phone call,
incentives as shares of what is spent; three of ten offers may not be made. "tight" gives each
action 2% of the customers and 30% of the money that everything would take, "money" money alone,
"places" places alone, "tied" is tight with values rounded so that thousands are alike. The greedy
takes pairs by value per cost, the best first, as long as they fit. Peak memory is of the whole run,
generation and greedy included.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from feast_shop import peak_mib

from serving.plan.offers import NOBODY, Limits, Offers, Places, earned, spent, used
from serving.plan.solve import solve

CASES = ("tight", "money", "places", "tied")
WANTED_SECONDS, WANTED_GAP = 60.0, 1e-3


def generate(customers: int, actions: int, seed: int, tied: bool) -> Offers:
    """Make offers."""
    rng = np.random.default_rng(seed)
    chance, spend = rng.beta(1, 3, customers), rng.lognormal(3.5, 1, customers)
    value, cost = (np.empty((actions, customers)) for _ in range(2))
    for action in range(actions):
        lift = rng.uniform(0.02, 0.5) * rng.lognormal(0, 0.5, customers)
        shift = np.expm1(lift)
        moved = chance * (1 - chance) * shift / (1 + chance * shift)
        contact, share = rng.choice([0.01, 0.02, 0.5, 3.0]), rng.choice([0, 0.05, 0.1])
        paid = contact + (chance + moved) * rng.uniform(0.2, 0.8) * share * spend
        worth = 0.4 * moved * spend - paid
        value[action], cost[action] = worth, paid
    if tied:
        value, cost = value.round(1), np.ceil(10 * cost) / 10
    value[(value <= 0) | (rng.random(value.shape) < 0.3)] = -np.inf
    cost[~np.isfinite(value)] = 0.0
    return Offers(value, cost)


def limits_of(offers: Offers, case: str) -> Limits:
    """Set the limits of a case."""
    best = np.where(offers.value.max(axis=0) > 0, offers.value.argmax(axis=0), NOBODY)
    everything = spent(offers, best.astype(np.int8))
    places = np.full(offers.actions, 0.02 * offers.customers)
    return Limits(
        np.inf if case == "places" else 0.3 * everything,
        np.full(offers.actions, np.inf) if case == "money" else np.floor(places),
    )


def greedy(offers: Offers, limits: Limits) -> Places:
    """Take pairs by value per cost, as long as they fit."""
    plan = np.full(offers.customers, NOBODY, dtype=np.int8)
    action, customer = np.nonzero(offers.value > 0)
    value, cost = offers.value[action, customer], offers.cost[action, customer]
    order = np.argsort(-value / np.maximum(cost, 1e-12), kind="stable")
    money, places = limits.budget, limits.capacity.tolist()
    for a, c, paid in zip(
        action[order].tolist(), customer[order].tolist(), cost[order].tolist(), strict=True
    ):
        if plan[c] == NOBODY and places[a] >= 1 and paid <= money:
            plan[c] = a
            places[a] -= 1
            money -= paid
    return plan


def check(offers: Offers, limits: Limits, plan: Places) -> None:
    if (
        spent(offers, plan) > limits.budget * (1 + 1e-9)
        or (used(offers, plan) > limits.capacity).any()
    ):
        raise RuntimeError("a plan exceeds a limit")


def run(case: str, customers: int, actions: int, seed: int) -> tuple[float, float]:
    offers = generate(customers, actions, seed, case == "tied")
    limits = limits_of(offers, case)
    started = time.perf_counter(), time.process_time()
    found = solve(offers, limits)
    seconds, processor = time.perf_counter() - started[0], time.process_time() - started[1]
    check(offers, limits, found.choice)
    started_greedy = time.perf_counter()
    simple = greedy(offers, limits)
    simple_seconds = time.perf_counter() - started_greedy
    check(offers, limits, simple)
    share = earned(offers, simple) / found.value
    pairs = int((offers.value > 0).sum())
    print(
        f"{case:<8} {pairs:>11,} {seconds:>8.1f} {processor:>9.1f} {found.gap:>10.2e} "
        f"{found.value:>12,.0f} {share:>8.4f} {simple_seconds:>9.1f}"
    )
    return seconds, found.gap


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--actions", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(f"{given.customers:,} customers x {given.actions} actions, seed {given.seed}")
    print("case           pairs  seconds  processor   gap       value  greedy/plan  greedy seconds")
    found = [run(case, given.customers, given.actions, given.seed) for case in CASES]
    slowest, widest = max(seconds for seconds, _ in found), max(gap for _, gap in found)
    print(f"peak {peak_mib():,.0f} MiB")
    print(
        f"slowest {slowest:.1f} s (wanted {WANTED_SECONDS:.0f}), widest gap {widest:.1e} "
        f"(wanted {WANTED_GAP:.0e})"
    )


if __name__ == "__main__":
    main()
