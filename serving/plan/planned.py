"""A plan in full: who was chosen for what, who of them is held out, and what it comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.catalogue import JOIN_KEY
from serving.bands import BANDS
from serving.plan.control import Group, HoldOut, hold_out, lots
from serving.plan.offers import NOBODY, Floats, Limits, Offers
from serving.plan.people import People
from serving.plan.solve import Solution, solve
from training.stages import STAGES

DECILES = 10
MOMENT = pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class Planned:
    """Whom a plan chose, one row for each.

    Attributes
    ----------
    rows
        Their places among the people, in the people's order.
    action
        Places in the playbook.
    pair
        Their rows of the people's pairs.
    control
        Whether the action is withheld from them.
    share
        Chance to be held out, by action in the playbook's order.
    """

    people: People
    offers: Offers
    limits: Limits
    solution: Solution
    rows: NDArray[np.intp]
    action: NDArray[np.int8]
    pair: NDArray[np.intp]
    control: NDArray[np.bool_]
    held: Mapping[str, HoldOut]

    @cached_property
    def decile(self) -> NDArray[np.int8]:
        """Tenth of the predicted value among those with the same action, 1 the lowest."""
        found = np.zeros(len(self.rows), np.int8)
        value = self.people.pairs.value[self.pair]
        for action in np.unique(self.action):
            mine = np.flatnonzero(self.action == action)
            order = mine[np.argsort(value[mine], kind="stable")]
            found[order] = 1 + np.arange(len(mine)) * DECILES // len(mine)
        return found

    @property
    def propensity(self) -> Floats:
        """Chance of the arm that each was drawn into, as `treatments` states it."""
        shares = [self.held[key].share if key in self.held else 0.0 for key in self.people.keys]
        share = np.array(shares)[self.action]
        return np.where(self.control, share, 1 - share)


def make_plan(
    people: People, limits: Limits, campaign: str, margin: float, most_held_out: float
) -> Planned:
    """Choose actions within the limits, then draw who of each action's customers is held out.

    Parameters
    ----------
    campaign
        Decides the draw: the same customer is drawn alike whenever a campaign is planned anew.
    margin
        Contribution margin on net spend.
    most_held_out
        Share of an action's customers, from 0 to a half.
    """
    offers = people.offers()
    solution = solve(offers, limits)
    rows = np.flatnonzero(solution.choice != NOBODY)
    action = solution.choice[rows]
    pair = people.pairs.of(rows, action)
    held: dict[str, HoldOut] = {}
    control = np.zeros(len(rows), dtype=np.bool_)
    lot = lots(campaign, people.customers.take(pa.array(rows)).to_pylist())
    for place in np.unique(action).tolist():
        mine = np.flatnonzero(action == place)
        group = _group(people, rows[mine], pair[mine], margin)
        key = people.keys[place]
        held[key] = hold_out(group, most_held_out)
        control[mine] = lot[mine] < held[key].share
    return Planned(people, offers, limits, solution, rows, action, pair, control, held)


def _group(people: People, rows: NDArray[np.intp], pair: NDArray[np.intp], margin: float) -> Group:
    facts, pairs = people.facts, people.pairs
    return Group.of(
        1 - facts.churn_probability[rows],
        facts.expected_spend[rows],
        facts.spend_deviation[rows],
        pairs.moved[pair],
        pairs.value[pair] + pairs.cost[pair],
        pairs.cost[pair],
        margin,
    )


def plan_table(planned: Planned, campaign: str, as_of: date) -> pa.Table:
    """Write a plan down, a row a customer: the columns of `treatments`, then what was expected.

    The morning after the day is when it was assigned. What the control arm costs is nothing.
    """
    people, rows, pair = planned.people, planned.rows, planned.pair
    facts, pairs = people.facts, people.pairs
    count, chosen = len(rows), pa.array(rows)
    at = datetime.combine(as_of + timedelta(days=1), time(), UTC)
    columns: dict[str, pa.Array] = {
        JOIN_KEY: people.customers.take(chosen),
        "at": pa.repeat(pa.scalar(at, MOMENT), count),
        "action": _told(people.keys, planned.action),
        "arm": _told(("treated", "control"), planned.control),
        "propensity": pa.array(planned.propensity),
        "cost": pa.array(np.where(planned.control, 0.0, pairs.cost[pair]).round(4)),
        "campaign": pa.repeat(pa.scalar(campaign), count),
        "decision_id": people.decisions.take(chosen),
        "as_of": pa.repeat(pa.scalar(as_of, pa.date32()), count),
        # The first name is that of doing nothing.
        "action_name": _told(people.words.names[1:], planned.action),
        "action_offer": _told(people.words.offers, pairs.offer[pair]),
        "action_offer_why": _told(people.words.whys, pairs.offer[pair]),
        "action_value": pa.array(pairs.value[pair]),
        "action_value_low": pa.array(pairs.low[pair].astype(np.float64)),
        "action_value_high": pa.array(pairs.high[pair].astype(np.float64)),
        "action_effect": _told(people.effects, planned.action),
        "expected_cost": pa.array(pairs.cost[pair]),
        "expected_change": pa.array(pairs.moved[pair]),
        "value_decile": pa.array(planned.decile),
        "lifecycle_stage": _told(STAGES, facts.stage[rows]),
        "risk_band": _told(BANDS, facts.risk[rows]),
        "value_band": _told(BANDS, facts.value[rows]),
        "churn_probability": pa.array(facts.churn_probability[rows]),
        "expected_spend": pa.array(facts.expected_spend[rows]),
        "clv_12m": pa.array(facts.clv_12m[rows]),
    }
    return pa.table(columns)


def _told(labels: tuple[str | None, ...], codes: NDArray[np.generic]) -> pa.Array:
    places = codes.astype(np.int32)
    return pa.array(labels, pa.string()).take(pa.array(places, mask=places < 0))
