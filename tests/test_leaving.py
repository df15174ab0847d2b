"""Customers who leave faster are told apart from everything that moves all of them at once."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from features.settings import MonitoringSettings
from pipelines.watching.checks import Check, alerts_of
from pipelines.watching.leaving import leaving_checks
from pipelines.watching.returning import returning_checks
from pipelines.watching.standing import Bought, ends_of, standings

WEEKS = 140
CUSTOMERS = 6_000
CHANGES = 104
"""The week from which on something is different."""
STARTS = 19_000
_DAYS = 100_000


def company(
    seed: int, leaving: float = 1.0, bought: float = 1.0, gone: float = 0.0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Days with a purchase by customer: rates of one's own, Christmas, promotions, newcomers.

    From the change on customers leave so many times as fast, all buy so many times as much, and a
    share has left at once.
    """
    rng = np.random.default_rng(seed)
    rate = rng.gamma(1.2, 0.12, CUSTOMERS)
    joins = np.where(rng.random(CUSTOMERS) < 0.4, 0, rng.integers(0, WEEKS, CUSTOMERS))
    lost = rng.random(CUSTOMERS) < gone
    there = np.ones(CUSTOMERS, dtype=bool)
    who, day = [], []
    for week in range(WEEKS):
        after = week >= CHANGES
        here = (joins <= week) & there & ~(lost & after)
        season = 1 + 0.3 * np.sin(2 * np.pi * week / 52) + 1.2 * (week % 52 in (46, 47, 48, 49))
        season *= (1.4 if week % 4 == 0 else 1.0) * (bought if after else 1.0)
        times = np.where(here, rng.poisson(rate * season), 0)
        # Whoever comes does so with an order.
        times[joins == week] += 1
        buyers = np.repeat(np.arange(CUSTOMERS), times)
        who.append(buyers)
        day.append(STARTS + 7 * week + rng.integers(0, 7, len(buyers)))
        there &= ~(here & (rng.random(CUSTOMERS) < 0.012 * (leaving if after else 1.0)))
    return np.concatenate(who), np.concatenate(day)


def known(who: NDArray[np.int64], day: NDArray[np.int64], week: int) -> Bought:
    """What was known by the end of a week."""
    until = day < STARTS + 7 * (week + 1)
    rows = np.unique(who[until] * _DAYS + day[until])
    _, places = np.unique(rows // _DAYS, return_inverse=True)
    return Bought(places, rows % _DAYS, rows % _DAYS)


def watched(week: int, *days: NDArray[np.int64]) -> list[Check]:
    bought, as_of = known(*days, week), STARTS + 7 * (week + 1) - 1
    return [*returning_checks(bought, as_of, 156), *leaving_checks(bought, as_of, 156)]


def told(checks: list[Check]) -> set[str]:
    # As many others as a run has beside these.
    others = [Check(f"data/{n}", "data", 0, 0, 1, False, True, "") for n in range(60)]
    alerts = alerts_of([*checks, *others], MonitoringSettings())
    return {alert.key for alert in alerts if alert.severity == "alarm"}


LEAVING = {"outcomes/leaving/month", "outcomes/leaving/quarter"}


@pytest.mark.parametrize("seed", [1, 2])
def test_where_nothing_changes_nobody_is_told(seed: int):
    days = company(seed)
    for week in range(CHANGES - 20, WEEKS, 5):
        assert not told(watched(week, *days))


def test_customers_who_leave_one_by_one_are_told():
    days = company(3, leaving=2.5)
    assert any(told(watched(week, *days)) & LEAVING for week in range(CHANGES + 8, CHANGES + 20, 3))
    check = next(c for c in watched(CHANGES + 20, *days) if c.key == "outcomes/leaving/quarter")
    assert check.value < check.lower < check.expected < check.upper
    assert check.figures["silent_for_a_quarter"] < 0.9


def test_a_third_gone_at_once_is_told_in_two_months():
    days = company(4, gone=1 / 3)
    assert told(watched(CHANGES + 8, *days)) & LEAVING


@pytest.mark.parametrize("bought", [0.6, 1.6])
def test_what_moves_all_alike_is_not_taken_for_leaving(bought: float):
    days = company(5, bought=bought)
    for week in range(CHANGES + 2, WEEKS, 7):
        checks = [check for check in watched(week, *days) if check.key in LEAVING]
        assert checks
        assert not told(checks)


def test_a_company_without_a_year_is_not_looked_at():
    bought = known(*company(6), 40)
    assert leaving_checks(bought, STARTS + 7 * 41 - 1, 156) == []
    nobody = np.array([], dtype=np.int64)
    assert leaving_checks(Bought(nobody, nobody, nobody), STARTS, 156) == []


def test_customers_stand_as_was_known_on_the_day():
    who, day = company(7)
    rng = np.random.default_rng(7)
    some = known(who[who < 2_000], day[who < 2_000], WEEKS)
    bought = Bought(some.who, some.day, some.day + rng.integers(0, 12, len(some)))
    as_of = STARTS + 7 * 60
    for weeks in (1, 4):
        for standing in standings(bought, ends_of(bought, as_of, 20, weeks), weeks):
            before = (bought.day <= standing.day) & (bought.known <= standing.day)
            end = standing.day + 7 * weeks
            inside = (bought.day > standing.day) & (bought.day <= end) & (bought.known <= end)
            customers = np.unique(bought.who[before])
            came = np.isin(customers, bought.who[inside])
            assert standing.came.tolist() == came.tolist()
            for name, of in (("first", np.min), ("last", np.max), ("times", np.size)):
                expected = [of(bought.day[before & (bought.who == one)]) for one in customers[:40]]
                assert getattr(standing, name)[:40].tolist() == expected
