"""What is to come, as expectations: a backward look over the horizon, a row a situation.

Nothing is drawn. The value of each state on a day is that of the states to which the day leads,
weighted by its chances (the backward equations of a Markov chain, e.g. Norris 1997, theorem 1.3.2),
from the horizon's last day to its first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.worlds.calendar import DayEffects, day_effects
from pipelines.worlds.chances import (
    complaint_chance,
    customer_chances,
    prospect_chances,
    quit_chance,
    renewal_chance,
)
from pipelines.worlds.company import Company
from pipelines.worlds.draws import Floats, Ints
from pipelines.worlds.state import NEVER, Flags

EVERY = slice(None)
KINDS_OF_STATE = (2, 2)
"""Without and with an open complaint; outside and within a spell of interest."""


@dataclass(frozen=True)
class Situations:
    """What decides the days to come besides class and state, one row each.

    Attributes
    ----------
    action, cell, works_until
        The action that works at first, the observable state that it met, and its last day.
    at_lost
        Whether a channel that is closed, or will be, is the home channel.
    decides, plan
        Contract world: the next day of decision, or NEVER; and the plan.
    """

    action: Ints
    cell: Ints
    works_until: Ints
    at_lost: Ints
    decides: Ints
    plan: Ints

    def __len__(self) -> int:
        return len(self.action)


@dataclass(frozen=True)
class Outlook:
    """Expectations over the horizon; arrays of situation x class x complaint x interest.

    Attributes
    ----------
    none
        Chance of no order.
    value
        Net value of orders, in units of the customer's usual order (of money in a contract world).
    first, first_value
        Chance and value, likewise, of an order while the action works: of the first alone.
    """

    none: Floats
    value: Floats
    first: Floats
    first_value: Floats


@dataclass
class _Values:
    """The four expectations, as seen from the morning of a day."""

    none: Floats
    value: Floats
    first: Floats
    first_value: Floats

    @classmethod
    def at_the_end(cls, shape: tuple[int, ...]) -> _Values:
        return cls(np.ones(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape))

    def taken(self, which: Ints) -> _Values:
        """Give rows by their places."""
        return _Values(*(column[which] for column in vars(self).values()))


def customers_ahead(company: Company, situations: Situations, horizon: int) -> Outlook:
    """Look ahead for customers, as seen from the end of today."""
    last = company.day + horizon
    # When no treatment works any more, many situations are one.
    over = max(int(situations.works_until.max(initial=NEVER)), company.day)
    afterwards, which = _untreated(situations)
    values, _ = _look_back(company, afterwards, range(last, over, -1), last)
    values = values.taken(which)
    values, _ = _look_back(
        company, situations, range(min(over, last), company.day, -1), last, values
    )
    return Outlook(**vars(values))


def _untreated(situations: Situations) -> tuple[Situations, Ints]:
    """Give the situations that are different without any treatment, and which each becomes."""
    kept = np.column_stack([situations.at_lost, situations.decides, situations.plan])
    rows, which = np.unique(kept, axis=0, return_inverse=True)
    nothing = np.zeros(len(rows), dtype=np.int64)
    return Situations(nothing, nothing, nothing + NEVER, *rows.T), which.ravel()


def _look_back(
    company: Company,
    situations: Situations,
    days: range,
    last: int,
    values: _Values | None = None,
) -> tuple[_Values, list[Floats]]:
    """Step back over days, the latest first, from what holds after them.

    Returns
    -------
    _Values
        As seen from the morning of the earliest day.
    list of float64 arrays
        For each day, the latest first, the ``value`` after it: situation x class x complaint x
        interest.
    """
    if values is None:
        values = _Values.at_the_end((len(situations), len(company.classes), *KINDS_OF_STATE))
    after = []
    for number in days:
        after.append(values.value)
        day = day_effects(company.world, number)
        values = _customers_day(
            company, situations, day, _deciding(company, situations, number), values, last
        )
    return values, after


def _deciding(company: Company, situations: Situations, number: int) -> Flags:
    """Tell whose term is renewed or cancelled on a day, if it was renewed every time before."""
    terms = company.world.subscription
    if terms is None:
        return np.zeros(len(situations), dtype=np.bool_)
    days = np.array([plan.term_days for plan in terms.plans.values()])[situations.plan]
    since = number - situations.decides
    due: Flags = (situations.decides != NEVER) & (since >= 0) & (since % days == 0)
    return due


def _factors(company: Company, situations: Situations, day: DayEffects) -> tuple[Ints, Floats]:
    """Give what works on a day, and the factor on buying: situation x class."""
    working = np.where(situations.works_until >= day.number, situations.action, 0)
    factor = company.responses.buying[working, situations.cell]
    if day.lost_channel is not None:
        factor = factor * np.where(situations.at_lost == 1, day.channel_kept, 1.0)[:, None]
    return working, factor


def _order_value(company: Company, day: DayEffects, last: int) -> tuple[Floats, Floats]:
    """Give what an order of a day is worth by class, without and with what comes back of it."""
    value = day.prices * (1 - day.depth * company.classes.uses_discount)
    first, latest = company.world.orders.return_days
    back = np.clip((last - day.number - first + 1) / (latest - first + 1), 0, 1)
    return value, value * (1 - company.world.orders.returned * back)


def _customers_day(
    company: Company,
    situations: Situations,
    day: DayEffects,
    deciding: Flags,
    then: _Values,
    last: int,
) -> _Values:
    """Step back over one day."""
    world, classes = company.world, company.classes
    working, factor = _factors(company, situations, day)
    chances = customer_chances(world, classes, EVERY, day, factor)
    shape = then.none.shape
    buys = np.empty(shape)
    buys[..., 0] = chances.buys[0][:, :, None]
    buys[..., 1] = chances.buys[1][:, :, None]
    stays: Floats = np.broadcast_to(1 - np.stack(chances.leaves, axis=-1)[None, :, :, None], shape)
    if world.subscription is not None:
        _let_decide(company, day, factor, np.flatnonzero(deciding), buys)
        stays = np.where(deciding[:, None, None, None], 0.0, stays)
        fees = np.array([plan.fee for plan in world.subscription.plans.values()])
        gross: Floats = (fees[situations.plan] * day.prices)[:, None, None]
        net = gross
    else:
        spend = company.responses.spend[working][:, None, None]
        gross, net = (v[None, :, None] * spend for v in _order_value(company, day, last))
    resolves = np.minimum(
        world.complaints.resolved_per_day + company.responses.resolves[working], 1.0
    )[:, None, None]
    remains = 1 - quit_chance(classes, EVERY, day)[None, :, None]
    arises = complaint_chance(world)

    def onward(values: Floats) -> Floats:
        """What the end of the day is worth to who is still there then."""
        made = np.empty(shape)
        made[:, :, 0] = (1 - arises) * values[:, :, 0] + arises * values[:, :, 1]
        made[:, :, 1] = resolves * values[:, :, 0] + (1 - resolves) * values[:, :, 1]
        return made

    def back(ordered: Floats, silent: Floats) -> Floats:
        """Weigh both by their chances, and these by where the spell stood in the morning."""
        today = buys * ordered[..., None] + (1 - buys) * silent
        begins = chances.begins[:, :, None]
        made = np.empty(shape)
        made[..., 0] = (1 - begins) * today[..., 0] + begins * today[..., 1]
        made[..., 1] = chances.ends * today[..., 0] + (1 - chances.ends) * today[..., 1]
        return made

    works = (working > 0)[:, None, None]
    nothing = np.zeros(shape[:3])
    return _Values(
        none=back(nothing, 1 - stays * (1 - onward(then.none))),
        value=back(net + remains * onward(then.value)[..., 0], stays * onward(then.value)),
        first=back(nothing + works, stays * onward(then.first)),
        first_value=back(nothing + works * gross, stays * onward(then.first_value)),
    )


def _let_decide(
    company: Company, day: DayEffects, factor: Floats, deciding: Ints, buys: Floats
) -> None:
    """Set the chance of an order on a day of decision: that of renewal."""
    for complaint in (0, 1):
        for used in (0, 1):
            buys[deciding, :, complaint, used] = renewal_chance(
                company.world, company.classes, EVERY, day, factor[deciding], used, complaint
            )


def prospects_ahead(
    company: Company, situations: Situations, horizon: int, firsts: list[First]
) -> Outlook:
    """Look ahead for prospects: arrays of situation x class x interest.

    Parameters
    ----------
    firsts
        Of each day of the horizon, by :func:`first_orders`.
    """
    world, classes = company.world, company.classes
    last = company.day + horizon
    values = _Values.at_the_end((len(situations), len(classes), 2))
    for number in range(last, company.day, -1):
        day = day_effects(world, number)
        working, factor = _factors(company, situations, day)
        chances = prospect_chances(world, day, factor)
        buys = np.stack(chances.buys, axis=-1)
        stays = 1 - float(chances.leaves[0])
        first = firsts[number - company.day - 1]
        # What a term costs is the same, whatever was said before it.
        spend = company.responses.spend[working][:, None] if world.subscription is None else 1.0
        works = (working > 0)[:, None]
        begins, ends = chances.begins, chances.ends
        lost = situations.at_lost

        def back(ordered: Floats, then: Floats) -> Floats:
            today = buys * ordered[..., None] + (1 - buys) * then  # noqa: B023 - used at once
            made = np.empty_like(today)
            made[..., 0] = (1 - begins) * today[..., 0] + begins * today[..., 1]  # noqa: B023
            made[..., 1] = ends * today[..., 0] + (1 - ends) * today[..., 1]  # noqa: B023
            return made

        ones = np.ones((len(situations), len(classes)))
        values = _Values(
            none=back(0 * ones, 1 - stays * (1 - values.none)),
            value=back(first.net * spend + first.later[lost], stays * values.value),
            first=back(works * ones, stays * values.first),
            first_value=back(works * first.gross * spend, stays * values.first_value),
        )
    return Outlook(**vars(values))


@dataclass(frozen=True)
class First:
    """What a first order of a day is worth.

    Attributes
    ----------
    gross, net
        The order, without and with what comes back of it within the horizon, by class.
    later
        What follows upon it within the horizon, by whether the home channel is closed and by
        class.
    """

    gross: Floats
    net: Floats
    later: Floats


def first_orders(company: Company, horizon: int) -> list[First]:
    """Give for each day of the horizon what a first order is worth."""
    terms = company.world.subscription
    last = company.day + horizon
    days = [day_effects(company.world, n) for n in range(company.day + 1, last + 1)]
    plans = list(terms.plans.values()) if terms else []
    starts = np.array([day.number for day in days] if terms else [NEVER])
    lost, start, plan = (
        axis.ravel()
        for axis in np.meshgrid([0, 1], starts, np.arange(max(len(plans), 1)), indexing="ij")
    )
    decides = np.full(len(start), NEVER)
    if terms:
        decides = start + np.array([p.term_days for p in plans])[plan] - terms.notice_days
    nothing = np.zeros(len(start), dtype=np.int64)
    rows = Situations(nothing, nothing, nothing + NEVER, lost, decides, plan)
    _, after = _look_back(company, rows, range(last, company.day, -1), last)
    arises = complaint_chance(company.world)
    shares = np.array([p.share for p in plans]) if terms else np.ones(1)
    made = []
    for day, morning in zip(days, reversed(after), strict=True):
        follows = (1 - arises) * morning[:, :, 0, 0] + arises * morning[:, :, 1, 0]
        follows = follows * (1 - quit_chance(company.classes, EVERY, day))
        here = follows.reshape(2, len(starts), len(shares), -1)
        at = day.number - company.day - 1 if terms else 0
        later = np.einsum("p,lpc->lc", shares, here[:, at])
        if terms:
            fee = np.full(len(company.classes), day.prices * shares @ [p.fee for p in plans])
            made.append(First(fee, fee, later))
        else:
            made.append(First(*_order_value(company, day, last), later))
    return made
