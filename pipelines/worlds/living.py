"""One day in the life of everybody."""

from __future__ import annotations

import numpy as np

from pipelines.worlds import terms
from pipelines.worlds.buying import buy, take_returns
from pipelines.worlds.calendar import day_effects
from pipelines.worlds.chances import (
    complaint_chance,
    customer_chances,
    prospect_chances,
    quit_chance,
    renewal_chance,
)
from pipelines.worlds.company import Company, newcomers
from pipelines.worlds.draws import Floats, Ints, uniforms
from pipelines.worlds.programme import assignments, treat
from pipelines.worlds.records import NO_TEXT, PATHS, clock, moments
from pipelines.worlds.seen import Seen, nobody
from pipelines.worlds.state import Flags

MOST = 0.95
"""No chance of a visit is greater."""


def live(company: Company) -> Seen:
    """Simulate the next day."""
    company.day += 1
    day = day_effects(company.world, company.day)
    state, known = company.state, company.known
    given = assignments(company)
    treated = treat(company, given) if given else nobody()
    seen = Seen(
        day,
        given,
        treated,
        state.working(slice(known), day.number),
        state.cell[:known].copy(),
        state.orders[:known] > 0,
        state.complaining[:known].copy(),
    )
    take_returns(company)
    _act(company, seen)
    _mail(company, seen)
    _complain(company, seen)
    _move(company)
    _register(company, seen)
    return seen


def factor_on(company: Company, seen: Seen, ids: Ints, latent: Ints) -> Floats:
    """Give the factor on people's buying today, by treatment and by a channel that is closed."""
    factor = company.responses.buying[seen.working[ids], seen.cell[ids], latent]
    if seen.day.lost_channel is not None:
        lost = list(company.world.orders.channels).index(seen.day.lost_channel)
        factor = factor * np.where(company.people.channel[ids] == lost, seen.day.channel_kept, 1.0)
    return factor


def _act(company: Company, seen: Seen) -> None:
    """Let those who are there think, visit, order and leave; terms are decided."""
    state, day = company.state, seen.day
    ids = np.flatnonzero(state.there[: company.known])
    latent = company.people.latent[ids]
    factor = factor_on(company, seen, ids, latent)
    customer = state.orders[ids] > 0
    ours = customer_chances(company.world, company.classes, latent, day, factor)
    theirs = prospect_chances(company.world, day, factor)
    drawn = company.draw("interest", ids)
    interested = np.where(
        state.interested[ids],
        drawn >= ours.ends,
        drawn < np.where(customer, ours.begins, theirs.begins),
    )
    state.interested[ids] = interested
    chance = np.where(
        customer,
        np.where(interested, ours.buys[1], ours.buys[0]),
        np.where(interested, theirs.buys[1], theirs.buys[0]),
    )
    bought = company.draw("buys", ids) < chance
    if company.world.subscription is not None:
        bought |= _decide(company, seen, ids, factor)
    seen.buyers = ids[bought]
    _visit(
        company,
        seen,
        ids[~bought],
        np.where(customer, company.classes.browses[latent], 1.0)[~bought],
    )
    leaves = np.where(
        customer,
        np.where(state.complaining[ids], ours.leaves[1], ours.leaves[0]),
        theirs.leaves[0],
    )
    stays = ~bought & (company.draw("leaves", ids) >= leaves)
    quits = company.draw("quits", ids) < quit_chance(company.classes, latent, day)
    state.there[ids] &= np.where(bought, ~quits, stays)
    new = ids[bought & ~customer]
    buy(company, seen, seen.buyers)
    # What was offered to a prospect has done its work.
    state.works_until[new] = day.number - 1
    if company.world.subscription is not None:
        terms.subscribe(company, day, new)


def _decide(company: Company, seen: Seen, ids: Ints, factor: Floats) -> Flags:
    """Renew or cancel the terms on which that is decided today; give who of some people renews."""
    state, day = company.state, seen.day
    seen.deciding = np.flatnonzero(state.decides[: company.known] == day.number)
    due = state.decides[ids] == day.number
    who = ids[due]
    chance = renewal_chance(
        company.world,
        company.classes,
        company.people.latent[who],
        day,
        factor[due],
        state.interested[who],
        state.complaining[who],
    )
    renews = np.zeros(len(ids), dtype=np.bool_)
    renews[due] = company.draw("renews", who) < chance
    renewing = ids[renews]
    terms.cancel(company, np.setdiff1d(seen.deciding, renewing))
    terms.renew(company, day, renewing)
    return renews


def _visit(company: Company, seen: Seen, ids: Ints, browses: Floats) -> None:
    """Let some of those who do not order visit, and show what is on their minds."""
    state, signs, records = company.state, company.world.signs, company.records
    chance = np.minimum(
        np.array(signs.visit)[state.interested[ids].astype(np.int64)] * browses, MOST
    )
    who = ids[company.draw("visits", ids) < chance]
    seen.visitors = who
    state.last_visit[who] = company.day
    seconds = clock(company.draw("time of day", who))
    names = list(company.world.orders.channels)
    path = (
        np.where(names.index("app") == company.people.channel[who], 1, 0) if "app" in names else 0
    )
    path = np.broadcast_to(path, len(who))
    stay = np.round(20 + 580 * company.draw("stay", who), 0)
    records.did(company.day, who, seconds, "visit", value=stay, path=path)
    mind = state.interested[who].astype(np.int64)
    for place, (kind, chances) in enumerate(signs.shows.items(), start=1):
        shown = company.draw(kind, who) < np.array(chances)[mind]
        seen.shows[kind] = shown
        value = (
            np.round(1 + 9 * company.draw("units", who[shown]), 1) if kind == "usage" else np.nan
        )
        records.did(
            company.day, who[shown], seconds[shown] + 60 * place, kind,
            value=value, path=path[shown],
        )  # fmt: skip


def _mail(company: Company, seen: Seen) -> None:
    """Send the weekly newsletter to who consents to it."""
    if not seen.day.mail:
        return
    state, signs, records = company.state, company.world.signs, company.records
    seen.mailed = np.flatnonzero(company.people.consent[: company.known] == 1)
    mind = state.interested[seen.mailed].astype(np.int64)
    there = state.there[seen.mailed]
    chance = np.where(there, np.array(signs.email_open)[mind], signs.email_open_gone)
    opens = company.draw("opens", seen.mailed) < chance
    seen.opened = seen.mailed[opens]
    clicks = (
        company.draw("clicks", seen.opened)
        < np.where(there, np.array(signs.email_click)[mind], 0.0)[opens]
    )
    seen.clicked = seen.opened[clicks]
    seconds = clock(company.draw("opened at", seen.opened))
    path = PATHS.index("email")
    records.did(company.day, seen.opened, seconds, "email_open", path=path)
    records.did(company.day, seen.clicked, seconds[clicks] + 30, "email_click", path=path)


def _complain(company: Company, seen: Seen) -> None:
    """Resolve open complaints and let new ones arise among those who are still there."""
    state, world = company.state, company.world
    ids = np.arange(company.known)
    open_ = ids[state.complaining[: company.known]]
    boost = company.responses.resolves[state.working(open_, company.day)]
    resolved = open_[
        company.draw("resolved", open_) < np.minimum(world.complaints.resolved_per_day + boost, 1.0)
    ]
    content = ids[state.there[: company.known] & (state.orders[: company.known] > 0)]
    content = content[~state.complaining[content]]
    seen.complained = content[company.draw("complains", content) < complaint_chance(world)]
    state.complaining[resolved] = False
    state.complaining[seen.complained] = True
    topic = np.floor(4 * company.draw("topic", seen.complained)).astype(np.int8)
    for kind, who, about in (
        ("complaint_resolved", resolved, NO_TEXT),
        ("complaint", seen.complained, topic),
    ):
        seconds = clock(company.draw(f"{kind} at", who))
        company.records.did(company.day, who, seconds, kind, topic=about, path=PATHS.index("phone"))


def _move(company: Company) -> None:
    """Let some move to another region, a year or years after they registered."""
    for years in range(1, company.day // 365 + 1):
        registered = company.day - 365 * years
        begin, end = np.searchsorted(company.people.registered, [registered, registered + 1])
        ids = np.arange(begin, end)
        who = ids[company.draw("moves", ids) < company.world.people.moves_per_year]
        region = np.floor(company.draw("to", who) * len(company.world.people.regions))
        _write_customers(company, who, registered, region.astype(np.int64), np.full(len(who), -1))


def _register(company: Company, seen: Seen) -> None:
    """Let newcomers in: some order at once, the others are prospects."""
    state, people = company.state, company.people
    ids = newcomers(company)
    company.known = int(ids[-1]) + 1 if len(ids) else company.known
    state.there[ids] = True
    seconds = clock(company.draw("time of day", ids))
    sources = list(company.world.people.sources)
    paid = ids[people.source[ids] == sources.index("ads")] if "ads" in sources else ids[:0]
    company.records.did(company.day, paid, seconds[np.isin(ids, paid)] - 120, "ad_click", path=0)
    _write_customers(company, ids, company.day, people.region[ids], _referrers(company, ids))
    buyers = ids[people.at_once[ids]]
    buy(company, seen, buyers)
    latent = people.latent[buyers]
    quits = company.draw("quits", buyers) < quit_chance(company.classes, latent, seen.day)
    state.there[buyers] = ~quits
    if company.world.subscription is not None:
        terms.subscribe(company, seen.day, buyers)


def _referrers(company: Company, ids: Ints) -> Ints:
    """Tell who referred each newcomer that comes by a friend; -1 for the others."""
    sources = list(company.world.people.sources)
    known = company.state.referrers
    by = np.full(len(ids), -1, dtype=np.int64)
    if not len(known) or "friend" not in sources:
        return by
    friends = company.people.source[ids] == sources.index("friend")
    drawn = np.floor(company.draw("whose friend", ids[friends]) * len(known)).astype(np.int64)
    by[friends] = known[drawn]
    who = np.unique(by[friends])
    seconds = clock(company.draw("refers at", who))
    company.records.did(company.day, who, seconds, "referral", path=0)
    return by


def _write_customers(
    company: Company, ids: Ints, registered: int, region: Ints, referred_by: Ints
) -> None:
    """Write what is known of people from now on."""
    then = clock(uniforms(company.seed, "time of day", registered, ids)) - 60
    company.records.customers.add(
        id=ids.astype(np.int32),
        known=moments(company.day, then),
        registered=moments(registered, then),
        region=region.astype(np.int8),
        referred_by=referred_by.astype(np.int32),
    )
