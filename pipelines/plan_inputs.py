"""What a plan is made from: everybody of a day, and what is being done already."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from features.ingest.ledger import Ledger
from features.matrix import matrix_of
from features.snapshots import known_customers
from pipelines.context import Context
from serving.actions import Menu
from serving.batch import CHUNK
from serving.decisions import decision_ids
from serving.former_stages import DayStages, FormerStages
from serving.plan.kept import KeptPlan, KeptPlans
from serving.plan.past import Cooling, planned, together, treatments
from serving.plan.people import Gathering, People
from serving.playbook import Playbook
from serving.scorer import Scorer


def former_stages(context: Context, ledger: Ledger, day: date) -> DayStages | None:
    """Give the stages of the newest scores before a day, which the stages' rules may ask for."""
    return FormerStages(context.workspace, ledger.customer_id_type).before(day)


def running(plans: KeptPlans, campaign: str, as_of: date) -> list[KeptPlan]:
    """List the plans of other campaigns that were made for an earlier day, or earlier for this.

    What was withdrawn is not among them.
    """
    own = plans.newest(campaign)
    return [
        plan
        for plan in plans.all()
        if plan.campaign != campaign
        and plan.withdrawn is None
        and (plan.as_of < as_of or (plan.as_of == as_of and (not own or plan.began < own.began)))
    ]


def capacities(
    playbook: Playbook, days: int, as_of: date, before: Sequence[KeptPlan]
) -> NDArray[np.float64]:
    """Count the places of every action in the days of a plan; infinite where there is no limit.

    Plans that are still being carried out then take their share of their places.
    """
    places = np.array(
        [np.inf if a.capacity is None else float(a.capacity.within(days)) for a in playbook.actions]
    )
    keys = {action.key: place for place, action in enumerate(playbook.actions)}
    for plan in before:
        left = plan.report["days"] - (as_of - plan.as_of).days
        share = max(left, 0) / plan.report["days"]
        for told in plan.report["actions"]:
            if told["action"] in keys:
                places[keys[told["action"]]] -= np.ceil(share * told["treated"])
    left_over: NDArray[np.float64] = np.maximum(places, 0.0)
    return left_over


def everybody(
    context: Context,
    ledger: Ledger,
    day: date,
    advisers: Sequence[tuple[Scorer, Playbook]],
    before: Sequence[KeptPlan],
) -> list[People]:
    """Look at everybody known on a day, a batch at a time, by the playbook of each adviser."""
    context.snapshots(ledger, [day])
    store = context.store(ledger)
    store.apply()
    customers = known_customers(context.workspace, ledger, day)
    past = together(
        [treatments(ledger.path("treatments"), day), *(planned(plan.file) for plan in before)],
        pl.Int64() if pa.types.is_integer(customers.type) else pl.String(),
    )
    gatherings = [
        Gathering(
            menu.keys,
            scorer.words["en"],
            Cooling.find(customers, past, menu.keys, menu.wait_days[:-1], day),
        )
        for scorer, menu in ((scorer, Menu.of(playbook)) for scorer, playbook in advisers)
    ]
    former = former_stages(context, ledger, day)
    threads, done = context.settings.training.threads, 0
    context.say("scoring", done, len(customers))
    for rows in store.historical_batches(customers, day, CHUNK):
        ids = rows.column("customer_id")
        names = ids.to_pylist()
        staged = None if former is None else former.of(names)
        for (scorer, _), gathering in zip(advisers, gatherings, strict=True):
            matrix = matrix_of(pa.Table.from_batches([rows]), scorer.bundle.vocabulary)
            decisions = decision_ids(scorer.deciders, names, matrix, staged)
            scores = scorer.score(matrix, threads, "none", before=staged)
            gathering.add(ids, pa.array(decisions, pa.string()), scores)
        done += rows.num_rows
        context.say("scoring", done, len(customers))
    return [gathering.people() for gathering in gatherings]
