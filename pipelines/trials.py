"""What was assigned, as experiments: for `lifecycle train` and `lifecycle effects` alike."""

from __future__ import annotations

import hashlib
import json
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow as pa

from features import catalogue
from features.catalogue import CATEGORIES, JOIN_KEY
from features.days import day_number
from features.errors import NotEnoughData
from features.ingest.ledger import Ledger
from features.matrix import Vocabulary
from features.workspace import replacing
from pipelines.context import Context
from training.training_set import TrainingSet
from training.trees import Machine
from training.uplift.experiment import Experiment
from training.uplift.lifts import METHOD, Lifts, measure_lifts
from training.uplift.trials import bounded, eves, experiments, ripe_assignments


def ripe(context: Context, ledger: Ledger, day: date, horizon_days: int) -> pl.DataFrame:
    """Read what was assigned, whose outcome is known.

    Raises
    ------
    NotEnoughData
        There are no treatments, or none is over.
    """
    path = ledger.path("treatments")
    if path is None:
        raise NotEnoughData(
            "there are no treatments to measure effects on; ingest what was assigned, control "
            "rows included: lifecycle ingest --treatments FILE"
        )
    assigned = ripe_assignments(path, day, horizon_days)
    objectors = context.objectors(ledger)
    if not objectors.is_empty():
        assigned = assigned.filter(~pl.col(JOIN_KEY).is_in(objectors.implode()))
    if assigned.is_empty():
        raise NotEnoughData(
            f"no treatment is {horizon_days} days old on {day}: its outcome is not known yet; "
            "wait, or set a shorter churn.horizon_days"
        )
    return bounded(assigned, context.settings.training.seed)


def known_before(
    context: Context, ledger: Ledger, assigned: pl.DataFrame
) -> dict[date, pa.Table | Path]:
    """Retrieve what was known of the customers before each day of assignments, by that eve."""
    days = eves(assigned)
    context.snapshots(ledger, days)
    store = context.store(ledger)
    store.apply()
    known: dict[date, pa.Table | Path] = {}
    for number, eve in enumerate(days):
        asked = assigned.filter(assigned["event_day"] == day_number(eve) + 1)[JOIN_KEY]
        known[eve] = store.historical(asked.to_arrow(), eve, pushed=False)
        context.say("what was known before treatments", number + 1, len(days))
    return known


def trials(
    context: Context,
    ledger: Ledger,
    assigned: pl.DataFrame,
    day: date,
    horizon_days: int,
    known: dict[date, pa.Table | Path] | None = None,
) -> list[Experiment]:
    """Join what was known before each assignment with what followed.

    Parameters
    ----------
    known
        From :func:`known_before`, where it is at hand.
    """
    training_set = TrainingSet(known or known_before(context, ledger, assigned))
    vocabulary = Vocabulary.fit(training_set.columns([JOIN_KEY, *CATEGORIES]))
    return experiments(
        assigned,
        training_set,
        vocabulary,
        ledger.orders_path,
        day,
        horizon_days,
        ledger.path("interactions"),
    )


def measured_lifts(
    context: Context,
    ledger: Ledger,
    day: date,
    horizon_days: int,
    found: list[Experiment] | None = None,
) -> Lifts:
    """Measure every action that was tried, or read what was measured of the same data before.

    Parameters
    ----------
    found
        The experiments, where they are at hand.

    Raises
    ------
    NotEnoughData
        There are no treatments, or none is over.
    """
    file = _file(context, ledger, day, horizon_days)
    if file.exists():
        return Lifts.from_dict(json.loads(file.read_text(encoding="utf-8")))
    if found is None:
        assigned = ripe(context, ledger, day, horizon_days)
        found = trials(context, ledger, assigned, day, horizon_days)
    context.say("effects of actions", 0, 1)
    training = context.settings.training
    lifts = measure_lifts(found, Machine(training.seed, training.threads))
    context.say("effects of actions", 1, 1)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as new:
        new.write_text(json.dumps(lifts.to_dict()) + "\n", encoding="utf-8")
    return lifts


def _file(context: Context, ledger: Ledger, day: date, horizon_days: int) -> Path:
    """Where the effects of the same data, day, horizon and method stand."""
    content = (
        ledger.fingerprint(day),
        day.isoformat(),
        horizon_days,
        context.settings.training.seed,
        catalogue.VERSION,
        METHOD,
        context.snapshot_key(ledger, day),
    )
    digest = hashlib.sha256(repr(content).encode()).hexdigest()[:16]
    return context.workspace.effects / f"{digest}.json"
