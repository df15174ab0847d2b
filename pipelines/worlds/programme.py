"""Who is treated: by the company's own rounds, or by a plan that is carried out."""

from __future__ import annotations

import numpy as np

from pipelines.worlds.company import Assignments, Company
from pipelines.worlds.draws import Floats, Ints
from pipelines.worlds.records import clock, moments
from pipelines.worlds.state import Flags


def assignments(company: Company) -> Assignments | None:
    """Give who is drawn this morning, by what stood at the end of the day before."""
    planned = company.plans.get(company.day)
    if planned is not None:
        return planned
    rests = company.programme_rests_from
    programme = company.world.programme
    since = company.day - programme.first_day
    if (rests is not None and company.day >= rests) or since < 0:
        return None
    return None if since % programme.every_days else _round(company)


def _round(company: Company) -> Assignments:
    programme = company.world.programme
    ids = np.arange(company.known)
    drawn = ids[company.draw("drawn", ids) < programme.share]
    actions = _actions(company, drawn)
    drawn, actions = drawn[actions > 0], actions[actions > 0]
    chance = treatment_chance(
        company, drawn, company.state.interested[drawn], company.state.there[drawn]
    )
    treated: Flags = company.draw("arm", drawn) < chance
    propensity = np.where(treated, chance, 1 - chance)
    if not programme.random:
        propensity = np.full(len(drawn), np.nan)
    return Assignments(drawn, actions, treated, propensity, np.full(len(drawn), None, dtype=object))


def _actions(company: Company, ids: Ints) -> Ints:
    """Choose one of the actions that each may be drawn for; 0 where there is none."""
    state, programme = company.state, company.world.programme
    responses = company.responses
    yesterday = company.day - 1
    recent = yesterday - state.last_order[ids] <= programme.lapsed_days
    buyer, open_ = state.orders[ids] > 0, state.complaining[ids]
    members: dict[str, Flags] = {
        "complaining": buyer & open_,
        "prospects": ~buyer,
        "active": buyer & recent & ~open_,
        "one_order": (state.orders[ids] == 1) & recent & ~open_,
        "lapsed": buyer & ~recent & ~open_,
    }
    may = company.people.consent[ids] == 1
    names = list(programme.audiences)
    places = responses.places(names)
    offered = np.column_stack(
        [
            members[programme.audiences[name]] & (may | ~responses.marketing[place])
            for name, place in zip(names, places, strict=True)
        ]
    )
    count = offered.sum(axis=1)
    nth = np.floor(company.draw("which action", ids) * count).astype(np.int64)
    chosen = (offered.cumsum(axis=1) <= nth[:, None]).sum(axis=1)
    return np.where(count > 0, places[np.minimum(chosen, len(names) - 1)], 0)


def treatment_chance(
    company: Company, ids: Ints, interested: Flags | bool, there: Flags | bool
) -> Floats:
    """Give the chance that those who were drawn are treated, by what no table shows of them."""
    programme, effects = company.world.programme, company.world.effects
    if programme.random:
        return np.full(len(ids), programme.propensity)
    engaged = company.day - 1 - company.state.last_visit[ids] < effects.engaged_days
    log_odds = (
        np.log(programme.propensity / (1 - programme.propensity))
        + programme.engaged_pull * (engaged - 0.5)
        + programme.interest_pull * (np.asarray(interested) - 0.5)
        + programme.there_pull * (np.asarray(there) - 0.5)
    )
    chance: Floats = 1 / (1 + np.exp(-log_odds))
    return chance


def treat(company: Company, given: Assignments) -> Ints:
    """Carry assignments out: they work from today on, and the annoyed leave at once.

    Returns
    -------
    int array
        Who was treated.
    """
    state, responses = company.state, company.responses
    reached = np.asarray(given.treated, dtype=np.bool_)
    ids, actions = given.ids[reached], given.actions[reached]
    state.cell[ids] = state.cells(ids, company.day - 1, company.world.effects)
    state.action[ids] = actions
    state.works_until[ids] = company.day + company.world.effects.window_days - 1
    state.unredeemed[ids] = True
    annoyed = company.draw("annoyed", ids) < responses.annoys[actions, company.people.latent[ids]]
    state.there[ids[annoyed]] = False
    seconds = clock(company.draw("treated at", given.ids)) // 14
    company.records.treatments.add(
        id=given.ids.astype(np.int32),
        at=moments(company.day, seconds),
        known=moments(
            company.day + company.records.delays(company.day, given.ids, "treatment"), seconds
        ),
        action=given.actions.astype(np.int8),
        treated=reached,
        propensity=given.propensity,
        cost=np.where(reached, responses.contact_cost[given.actions], 0.0),
        day=np.full(len(given.ids), company.day, dtype=np.int32),
        decision=given.decisions,
    )
    return ids
