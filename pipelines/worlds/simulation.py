"""A company simulated: from its first day to another, and on from there under a plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.errors import InputError
from features.ingest.contract import Table
from pipelines.worlds.calendar import number_of
from pipelines.worlds.company import Assignments, Company, found
from pipelines.worlds.living import live
from pipelines.worlds.parameters import World
from pipelines.worlds.posterior import Posterior
from pipelines.worlds.responses import NOTHING
from pipelines.worlds.tables import tables_of
from pipelines.worlds.truth import Truth, truth_of
from serving.playbook import NONE, Playbook

HORIZON_DAYS = 90
CONTROL = "control"


@dataclass(frozen=True)
class Plan:
    """Who is to be treated, decided at the end of a day and carried out the morning after.

    Attributes
    ----------
    rows
        ``customer_id`` (Int64) and ``action``, where doing nothing may be left out or named none;
        if they are there, ``arm`` (from the control an action is withheld), ``propensity`` and
        ``decision_id``.
    """

    as_of: date
    rows: pl.DataFrame


@dataclass
class Simulation:
    """A company and, if it is kept, what could be known of it, at the end of a day.

    Examples
    --------
    >>> from pipelines.worlds.catalogue import load_world
    >>> from serving.playbook import load_playbook
    >>> shop = begin(load_world("shop"), load_playbook(), customers=200, seed=7,
    ...     until=date(2024, 6, 30)).go_on(date(2024, 6, 30))
    >>> tables = shop.tables(date(2024, 6, 30))
    >>> sorted(tables), tables["customers"]["customer_id"].n_unique()
    (['customers', 'interactions', 'orders', 'treatments'], 115)
    """

    company: Company
    posterior: Posterior | None

    @property
    def day(self) -> date:
        """The last day that was simulated."""
        return self.company.world.starts + timedelta(days=self.company.day)

    def go_on(
        self, until: date, say: Callable[[int, int], None] = lambda done, of: None
    ) -> Simulation:
        """Simulate to the end of a day, in place."""
        company = self.company
        last = number_of(company.world, until)
        begun = company.day
        while company.day < last:
            seen = live(company)
            if self.posterior is not None:
                self.posterior.learn(company, seen)
            say(company.day - begun, last - begun)
        return self

    def tables(self, until: date, since: date | None = None) -> dict[Table, pl.DataFrame]:
        """Give what arrived by the end of a day, and after another."""
        return tables_of(self.company, until, since)

    def truth(self, horizon_days: int = HORIZON_DAYS) -> Truth:
        """Give what is true at the end of the newest day if nobody is treated afterwards."""
        return truth_of(self.company, horizon_days, self.posterior)


def begin(
    world: World,
    playbook: Playbook,
    customers: int,
    seed: int,
    until: date,
    *,
    plans: Sequence[Plan] = (),
    posterior: bool = True,
) -> Simulation:
    """Found a company, of which no later day than one will be simulated.

    Parameters
    ----------
    customers
        How many register within the world's `people.intake_days`; more come later.
    plans
        What is carried out instead of the company's own programme, from the first one on.
    posterior
        Whether what could be known is kept, which takes as long as the simulation itself.

    Raises
    ------
    InputError
        There are no customers, the day lies before the world's start, or a plan cannot be.
    """
    if customers < 1:
        raise InputError(f"a company of {customers} customers is none; ask for 1 or more")
    company = found(world, playbook, customers, seed, number_of(world, until))
    for plan in plans:
        carry_out(company, plan)
    kept = Posterior.empty(len(company.people), len(company.classes)) if posterior else None
    return Simulation(company, kept)


def carry_out(company: Company, plan: Plan) -> None:
    """Put a plan in the place of the company's own programme.

    Raises
    ------
    InputError
        It is of a day that is over or has a plan already, names an action that the world does not
        know, or treats somebody twice or whom nobody knows.
    """
    day = number_of(company.world, plan.as_of) + 1
    if day <= company.day:
        raise InputError(f"the plan of {plan.as_of} is too late: the morning after it is over")
    if day in company.plans:
        raise InputError(f"there are two plans of {plan.as_of}; put them into one")
    rows = plan.rows.filter(pl.col("action").is_not_null(), pl.col("action") != NONE)
    places = company.responses.places(rows["action"].to_list())
    ids = rows["customer_id"].to_numpy() - 1
    if len(np.unique(ids)) < len(ids):
        raise InputError(f"the plan of {plan.as_of} treats a customer twice; keep one row of each")
    known = int(np.searchsorted(company.people.registered, day - 1, side="right"))
    if len(ids) and not 0 <= ids.min() <= ids.max() < known:
        raise InputError(
            f"the plan of {plan.as_of} treats a customer whom nobody knows on that day; ids go "
            f"from 1 to {known} then"
        )
    acted = places != NOTHING
    company.plans[day] = Assignments(
        ids[acted],
        places[acted],
        (_column(rows, "arm", pl.String) != CONTROL)[acted],
        _column(rows, "propensity", pl.Float64).astype(np.float64)[acted],
        _column(rows, "decision_id", pl.String)[acted],
    )
    rests = company.programme_rests_from
    company.programme_rests_from = day if rests is None else min(rests, day)


def _column(rows: pl.DataFrame, name: str, kind: type[pl.DataType]) -> NDArray[Any]:
    """Read a column that a plan need not have."""
    if name not in rows.columns:
        return np.full(rows.height, None, dtype=object)
    return np.array(rows[name].cast(kind).to_list(), dtype=object)


def outcomes(simulation: Simulation, plan: pl.DataFrame, days: int = HORIZON_DAYS) -> pl.DataFrame:
    """Carry a plan out tomorrow, let days go by without any other treatment, and see.

    Two plans differ in what they did and in nothing else: they share every chance. The simulation
    itself stays where it is; it has to have been begun for so many days more.

    Parameters
    ----------
    plan
        ``customer_id`` and ``action``.

    Returns
    -------
    polars.DataFrame
        One row for each customer known today: ``customer_id``; ``purchased`` (Boolean);
        ``net_spend``, ``contact_cost``, ``incentive_cost`` and ``profit`` (Float64, money), the
        last being the margin of the net spend less both costs.
    """
    other = Simulation(simulation.company.branch(), None)
    company = other.company
    last = simulation.day + timedelta(days=days)
    if number_of(company.world, last) > int(company.people.registered.max()):
        raise InputError(
            f"people were drawn until {company.world.starts} plus "
            f"{int(company.people.registered.max())} days; begin the simulation until {last}"
        )
    carry_out(company, Plan(simulation.day, plan))
    known = company.known
    other.go_on(last)
    return _added_up(company, known)


def _added_up(company: Company, known: int) -> pl.DataFrame:
    def total(table: str, column: str, weight: float = 1.0) -> pl.Series:
        rows = getattr(company.records, table).columns(("id", column))
        ids = rows["id"].astype(np.int64)
        sums = np.bincount(ids, np.nan_to_num(rows[column] * weight), known)
        return pl.Series(sums[:known])

    orders = company.records.orders.columns(("id", "cents"))
    buyers = orders["id"][orders["cents"] > 0].astype(np.int64)
    return (
        pl.DataFrame({"customer_id": np.arange(known) + 1})
        .with_columns(
            purchased=pl.Series(np.bincount(buyers, minlength=known)[:known] > 0),
            net_spend=total("orders", "cents", 0.01),
            contact_cost=total("treatments", "cost"),
            incentive_cost=total("interactions", "cost"),
        )
        .with_columns(
            profit=company.world.margin * pl.col("net_spend")
            - pl.col("contact_cost")
            - pl.col("incentive_cost")
        )
    )
