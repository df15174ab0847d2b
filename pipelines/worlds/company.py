"""A company under way: its people, what they went through so far, and what was written down."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipelines.worlds.classes import Classes, classes_of
from pipelines.worlds.draws import Floats, Ints, normals, uniforms
from pipelines.worlds.parameters import World
from pipelines.worlds.people import People, draw_people, registered_by
from pipelines.worlds.records import Records, Rows
from pipelines.worlds.responses import Responses, responses_of
from pipelines.worlds.state import Flags, State
from serving.playbook import Playbook


@dataclass(frozen=True)
class Assignments:
    """Who is treated on a morning, and with what.

    Attributes
    ----------
    actions
        Places among the world's actions.
    treated
        False for those from whom the action is withheld.
    propensity
        Of the arm that each is in; NaN where nobody wrote it down.
    decisions
        Names of the decisions that are carried out, or None.
    """

    ids: Ints
    actions: Ints
    treated: Flags
    propensity: Floats
    decisions: NDArray[np.object_]


@dataclass
class Company:
    """One seed's company, as of the end of a day.

    Attributes
    ----------
    day
        The last day that was simulated, counted from the world's start; -1 before the first.
    known
        How many had registered by then.
    plans
        By the day on whose morning they are carried out; from the first on, the company's own
        programme rests.
    due
        Returns that are on their way, by the day on which they come.
    """

    world: World
    classes: Classes
    responses: Responses
    people: People
    customers: int
    seed: int
    state: State
    records: Records
    plans: dict[int, Assignments]
    programme_rests_from: int | None
    day: int = -1
    known: int = 0
    due: dict[int, Rows] = field(default_factory=dict)

    def draw(self, name: str, ids: Ints) -> Floats:
        """Draw today's uniforms of a name."""
        return uniforms(self.seed, name, self.day, ids)

    def draw_normal(self, name: str, ids: Ints) -> Floats:
        """Draw today's normals of a name."""
        return normals(self.seed, name, self.day, ids)

    def branch(self) -> Company:
        """Give a company with the same past, written down by nobody, that goes its own way."""
        made = copy.copy(self)
        made.state = self.state.copy()
        made.plans = dict(self.plans)
        made.records = Records(self.seed, self.records.late_share)
        made.due = {day: Rows(list(rows.batches)) for day, rows in self.due.items()}
        return made


def found(world: World, playbook: Playbook, customers: int, seed: int, last_day: int) -> Company:
    """Found a company in which nothing has happened yet.

    Parameters
    ----------
    customers
        How many register within the world's `intake_days`.
    last_day
        No later day will be simulated.
    """
    classes = classes_of(world)
    people = draw_people(world, classes, seed, customers, last_day)
    return Company(
        world=world,
        classes=classes,
        responses=responses_of(world, classes, playbook),
        people=people,
        customers=customers,
        seed=seed,
        state=State.empty(len(people)),
        records=Records(seed, world.late_share),
        plans={},
        programme_rests_from=None,
    )


def newcomers(company: Company) -> Ints:
    """Tell who registers today."""
    before = registered_by(company.world, company.customers, company.day - 1)
    now = registered_by(company.world, company.customers, company.day)
    return np.arange(before if company.day else 0, now)
