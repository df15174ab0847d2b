"""A contract world's terms: agreed, renewed before they end, or cancelled."""

from __future__ import annotations

import numpy as np

from pipelines.worlds.calendar import DayEffects
from pipelines.worlds.company import Company
from pipelines.worlds.draws import Ints
from pipelines.worlds.parameters import Subscription
from pipelines.worlds.records import clock, moments
from pipelines.worlds.state import NEVER


def subscribe(company: Company, day: DayEffects, ids: Ints) -> None:
    """Start people's first terms today."""
    _next_term(company, day, ids, np.full(len(ids), day.number, dtype=np.int64))


def renew(company: Company, day: DayEffects, ids: Ints) -> None:
    """Renew terms, to which the next ones follow."""
    _write(company, ids, company.state.ends[ids] - _days(company, ids), renewed=True)
    _next_term(company, day, ids, company.state.ends[ids].astype(np.int64))


def cancel(company: Company, ids: Ints) -> None:
    """Cancel terms: they run out."""
    state = company.state
    _write(company, ids, state.ends[ids] - _days(company, ids), cancelled=True)
    state.cancelled[ids] = True
    state.there[ids] = False
    state.decides[ids] = NEVER


def _terms(company: Company) -> Subscription:
    if company.world.subscription is None:
        raise ValueError("this world has no contracts")
    return company.world.subscription


def _days(company: Company, ids: Ints) -> Ints:
    lengths = [plan.term_days for plan in _terms(company).plans.values()]
    return np.array(lengths)[company.people.plan[ids]]


def _next_term(company: Company, day: DayEffects, ids: Ints, starts: Ints) -> None:
    terms, state = _terms(company), company.state
    fees = np.array([plan.fee for plan in terms.plans.values()]) * day.prices
    state.fee[ids] = np.round(fees[company.people.plan[ids]], 2)
    state.ends[ids] = starts + _days(company, ids)
    state.decides[ids] = state.ends[ids] - terms.notice_days
    _write(company, ids, starts)


def _write(
    company: Company, ids: Ints, starts: Ints, *, renewed: bool = False, cancelled: bool = False
) -> None:
    """Write what is now known of a term: each piece of news is a row of its own."""
    # What follows from an order is known with it, what follows from silence at its end.
    seconds = clock(company.draw("time of day", ids)) + 660
    now = moments(company.day, seconds)
    never = np.full(len(ids), -1, dtype=np.int64)
    company.records.contracts.add(
        id=ids.astype(np.int32),
        at=moments(starts, 0),
        known=now,
        ends=moments(starts + _days(company, ids), 0),
        renewed=now if renewed else never,
        cancelled=now if cancelled else never,
        plan=company.people.plan[ids].astype(np.int8),
        fee=company.state.fee[ids],
    )
