"""What is true of everybody at the end of a day, and what could be known of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from pipelines.worlds.ahead import (
    First,
    Outlook,
    Situations,
    customers_ahead,
    first_orders,
    prospects_ahead,
)
from pipelines.worlds.company import Company
from pipelines.worlds.draws import Floats, Ints
from pipelines.worlds.posterior import Posterior
from pipelines.worlds.records import DAY_SECONDS
from pipelines.worlds.responses import DISCOUNTER, ENGAGED, LATE, NOTHING
from pipelines.worlds.state import NEVER


@dataclass(frozen=True)
class Truth:
    """Two tables: of customers, and of customers and actions; docs/worlds.md names the columns."""

    customers: pl.DataFrame
    actions: pl.DataFrame


@dataclass(frozen=True)
class _Means:
    """Expectations, one row a person: no order, net spend, and what an incentive costs."""

    none: Floats
    spend: Floats
    incentive: Floats


@dataclass(frozen=True)
class _Case:
    """Everybody under one action, or under none: what is true, and what could be known of it."""

    true: _Means
    known: _Means | None


def truth_of(company: Company, horizon: int, posterior: Posterior | None) -> Truth:
    """Work out the truth at the end of the company's newest day, for a horizon without treatment.

    Parameters
    ----------
    posterior
        What could be known; without it, its columns are left out.
    """
    ids = np.arange(company.known)
    cells = company.state.cells(ids, company.day, company.world.effects)
    ahead = _Ahead(company, horizon, posterior, cells, first_orders(company, horizon))
    nothing = _case(ahead, NOTHING)
    returns = _returns_to_come(company, horizon)
    as_of = company.world.starts + timedelta(days=company.day)
    customers = pl.DataFrame(
        {
            "customer_id": ids + 1,
            "as_of": [as_of] * len(ids),
            "kind": np.array(company.classes.kinds)[
                company.classes.kind[company.people.latent[ids]]
            ],
            "level": company.classes.level[company.people.latent[ids]],
            "hidden_trait": company.classes.trait[company.people.latent[ids]] == 1,
            "gone": ~company.state.there[ids],
            "interested": company.state.interested[ids],
            "prospect": company.state.orders[ids] == 0,
            "late": (cells & LATE) > 0,
            "discounter": (cells & DISCOUNTER) > 0,
            "engaged": (cells & ENGAGED) > 0,
            "churn_probability": nothing.true.none,
            "expected_spend": nothing.true.spend - returns,
        }
    )
    if nothing.known is not None:
        customers = customers.with_columns(
            known_churn_probability=nothing.known.none,
            known_expected_spend=nothing.known.spend - returns,
        )
    actions = pl.concat(
        _effects(company, ids, nothing, _case(ahead, place), place)
        for place in range(1, len(company.responses.names))
    )
    return Truth(customers, actions)


def _effects(company: Company, ids: Ints, nothing: _Case, acted: _Case, place: int) -> pl.DataFrame:
    """Say what one action changes, net of what it costs."""
    margin, contact = company.world.margin, company.responses.contact_cost[place]
    spend_change = acted.true.spend - nothing.true.spend
    cost = contact + acted.true.incentive
    columns = {
        "customer_id": ids + 1,
        "action": np.full(len(ids), company.responses.names[place]),
        "purchase_probability_change": nothing.true.none - acted.true.none,
        "spend_change": spend_change,
        "cost": cost,
        "net_margin": margin * spend_change - cost,
    }
    if acted.known is not None and nothing.known is not None:
        columns["known_purchase_probability_change"] = nothing.known.none - acted.known.none
        columns["known_net_margin"] = (
            margin * (acted.known.spend - nothing.known.spend) - contact - acted.known.incentive
        )
    return pl.DataFrame(columns)


@dataclass(frozen=True)
class _Ahead:
    """What all actions have in common: the company, the horizon, who is in which state."""

    company: Company
    horizon: int
    posterior: Posterior | None
    cells: Ints
    firsts: list[First]


def _case(ahead: _Ahead, place: int) -> _Case:
    """Give everybody's expectations if an action is taken, or none."""
    company = ahead.company
    rows, where = _situations(ahead, place)
    prospect = company.state.orders[: company.known] == 0
    tables = np.empty((len(_TABLES), company.known, len(company.classes), 2), dtype=np.float32)
    for ids, look in (
        (np.flatnonzero(prospect), _prospects),
        (np.flatnonzero(~prospect), _customers),
    ):
        used, at = np.unique(where[ids], return_inverse=True)
        if len(ids):
            outlook = look(ahead, _take(rows, used))
            open_ = company.state.complaining[ids].astype(np.int64)
            laid = _after_annoyance(company, outlook, place)
            tables[:, ids] = laid[:, at, :, open_].swapaxes(0, 1)
    true = _true(company, tables)
    return _Case(true, _known(company, ahead.posterior, tables) if ahead.posterior else None)


_TABLES = ("none", "value", "share", "amount")
"""No order; value of orders, and of the share that an incentive takes, in usual orders; what an
incentive takes as an amount, in money."""


def _take(rows: Situations, places: Ints) -> Situations:
    return Situations(**{name: column[places] for name, column in vars(rows).items()})


def _customers(ahead: _Ahead, rows: Situations) -> Outlook:
    return customers_ahead(ahead.company, rows, ahead.horizon)


def _prospects(ahead: _Ahead, rows: Situations) -> Outlook:
    """Look ahead for prospects, of whom none has a complaint open."""
    outlook = prospects_ahead(ahead.company, rows, ahead.horizon, ahead.firsts)
    return Outlook(**{name: array[:, :, None] for name, array in vars(outlook).items()})


def _after_annoyance(company: Company, outlook: Outlook, place: int) -> Floats:
    """Lay the tables on each other, some of the treated having left at once."""
    responses = company.responses
    stays = 1 - responses.annoys[place][None, :, None, None]
    redeems = responses.redeems[place][None, :, None, None]
    return np.stack(
        [
            1 - stays * (1 - outlook.none),
            stays * outlook.value,
            stays * redeems * responses.incentive_share[place] * outlook.first_value,
            stays * redeems * responses.incentive_amount[place] * outlook.first,
        ]
    )


def _true(company: Company, tables: Floats) -> _Means:
    """Look up everybody's class and state."""
    ids = np.arange(company.known)
    state, people = company.state, company.people
    none, value, share, amount = tables[
        :, ids, people.latent[ids], state.interested[ids].astype(np.int64)
    ].astype(np.float64)
    there = state.there[ids]
    usual = np.ones(len(ids))
    if company.world.subscription is None:
        usual = np.exp(people.log_value[ids] + company.world.orders.value_noise**2 / 2)
    return _Means(
        np.where(there, none, 1.0), there * value * usual, there * (share * usual + amount)
    )


def _known(company: Company, posterior: Posterior, tables: Floats) -> _Means:
    """Weigh every class and state by what is known."""
    everybody = slice(company.known)
    quiet, within = posterior.quiet[everybody], posterior.within[everybody]

    def weighed(table: Floats, times: Floats | float = 1.0) -> Floats:
        both = table[..., 0] * quiet + table[..., 1] * within
        mean: Floats = (both * times).sum(axis=1, dtype=np.float64)
        return mean

    usual = _usual_order(company, posterior)
    none, value, share, amount = tables
    return _Means(
        np.minimum(weighed(none) + posterior.gone[everybody], 1.0),
        weighed(value, usual),
        weighed(share, usual) + weighed(amount),
    )


def _usual_order(company: Company, posterior: Posterior) -> Floats | float:
    """Give the expected order value if a person is of each class, and how likely that makes it.

    The mean of a normal with a normal prior (e.g. Gelman et al. 2013, section 2.5); as an order's
    value tells something of the kind too, the weights of classes change by it.
    """
    if company.world.subscription is not None:
        return 1.0
    classes, noise = company.classes, company.world.orders.value_noise
    count = posterior.priced[: company.known, None]
    total = posterior.log_values[: company.known, None]
    prior = 1 / np.maximum(classes.value_spread, 1e-9) ** 2
    data = count / max(noise, 1e-9) ** 2
    mean = (prior * classes.log_value + total / max(noise, 1e-9) ** 2) / (prior + data)
    usual: Floats = np.exp(mean + 0.5 / (prior + data) + noise**2 / 2)
    return usual


def _situations(ahead: _Ahead, place: int) -> tuple[Situations, Ints]:
    """Give the different situations that people are in, and which is whose."""
    company = ahead.company
    state, everybody = company.state, slice(company.known)
    if place == NOTHING:
        action = state.working(everybody, company.day + 1)
        cell = np.where(action > 0, state.cell[everybody], 0)
        until = np.where(action > 0, state.works_until[everybody], NEVER)
    else:
        action, cell = np.full(company.known, place), ahead.cells
        until = np.full(company.known, company.day + company.world.effects.window_days)
    lost = {change.channel_lost for change in company.world.breaks} - {None}
    channels = list(company.world.orders.channels)
    at_lost = np.isin(company.people.channel[everybody], [channels.index(str(c)) for c in lost])
    decides = state.decides[everybody]
    decides = np.where(decides > company.day + ahead.horizon, NEVER, decides)
    plan = np.where(decides == NEVER, 0, company.people.plan[everybody])
    table = np.column_stack([action, cell, until, at_lost, decides, plan]).astype(np.int64)
    rows, where = np.unique(table, axis=0, return_inverse=True)
    return Situations(*rows.T), where.ravel()


def _returns_to_come(company: Company, horizon: int) -> Floats:
    """Give what is expected back, within the horizon, of orders that were made already."""
    first, latest = company.world.orders.return_days
    names = ("id", "at", "number", "line", "cents")
    rows = pl.DataFrame(company.records.orders.columns(names))
    rows = rows.with_columns(age=company.day - pl.col("at") // DAY_SECONDS).filter(
        pl.col("age") <= latest
    )
    back = rows.filter(pl.col("line") < 0).select("id", "number")
    orders = (
        rows.filter(pl.col("line") >= 0)
        .group_by("id", "number", "age")
        .agg(pl.col("cents").sum())
        .join(back, on=["id", "number"], how="anti")
    )
    # As sure as the chance to come back, later, of what has not come back by now.
    age, chance = orders["age"].to_numpy(), company.world.orders.returned

    def by(days: Floats | Ints) -> Floats:
        share: Floats = np.clip((days - first + 1) / (latest - first + 1), 0, 1)
        return share

    now = chance * by(age)
    coming = (chance * by(age + horizon) - now) / np.maximum(1 - now, 1e-12)
    money = (coming * orders["cents"].to_numpy() / 100).astype(np.float64)
    return np.bincount(orders["id"].to_numpy(), money, company.known).astype(np.float64)
