"""`lifecycle train`: learn from what was known by a day, and register."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import pyarrow as pa

from features.audit import check_no_leak
from features.ingest.ledger import Ledger
from features.snapshots import known_customers, rules_of, tables_of
from pipelines.context import Context, Stopwatch
from training.calendar import Calendar, default_step, enough_history, plan
from training.contest_files import judged_file, write_contests
from training.evaluation import Evaluation
from training.tracking import Training, log_training
from training.train import train


@dataclass(frozen=True)
class TrainReport:
    """What was learned and where it is recorded."""

    model_version: int
    kind: str
    as_of: str
    horizon_days: int
    training_days: int
    rows: int
    run_id: str
    experiment: str
    data_fingerprint: str
    evaluation: dict[str, Any] | None
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def train_scorer(context: Context, as_of: date | None) -> TrainReport:
    """Train on the workspace's orders as they were known on a day.

    Parameters
    ----------
    as_of
        Nothing that happened or arrived later is seen; None takes the last day that the data
        covers.

    Raises
    ------
    InputError
        The day lies outside the data.
    NotEnoughData
        There is too little to learn from.
    """
    watch = Stopwatch()
    context.workspace.require()
    with context.workspace.locked():
        ledger = context.folded_ledger()
        day = as_of or context.observed_until(ledger)
        training = learn_as_of(context, ledger, retrieve(context, ledger, day))
        context.say("recording the run", 0, 1)
        logged = log_training(training, context.registry(), context.workspace, context.settings)
        if training.contests:
            # Not in MLflow: they are of persons.
            judged = judged_file(context.workspace, logged.version)
            write_contests(judged, training.contests, {"run_id": logged.run_id})
        context.say("recording the run", 1, 1)
    evaluation: Evaluation | None = training.evaluation
    return TrainReport(
        logged.version,
        training.bundle.kind,
        day.isoformat(),
        training.bundle.horizon_days,
        len(training.learned.calendar.matured),
        training.rows,
        logged.run_id,
        logged.experiment,
        training.fingerprint,
        evaluation.to_dict() if evaluation else None,
        watch.seconds(),
    )


@dataclass(frozen=True)
class Retrieved:
    """What the feature store gave for the training of a day.

    Attributes
    ----------
    training_set
        Features of every known customer on every matured day.
    today
        The same on the day of the training.
    """

    calendar: Calendar
    training_set: pa.Table
    today: pa.Table


def retrieve(context: Context, ledger: Ledger, day: date) -> Retrieved:
    """Retrieve what a training as of a day learns from; hold the workspace.

    Raises
    ------
    InputError
        The day lies outside the data.
    NotEnoughData
        No day before it has matured.
    """
    context.check_day(ledger, day)
    calendar = _calendar(context, ledger, day)
    context.snapshots(ledger, [*calendar.matured, day])
    context.say("training set", 0, 1)
    training_set, today = _historical(context, ledger, calendar)
    tables = tables_of(ledger)
    engine, rules = context.settings.features.engine, rules_of(context.settings)
    check_no_leak(tables, training_set, calendar.evaluation, engine, rules)
    check_no_leak(tables, today, calendar.as_of, engine, rules)
    context.say("training set", 1, 1)
    return Retrieved(calendar, training_set, today)


def learn_as_of(context: Context, ledger: Ledger, retrieved: Retrieved) -> Training:
    """Learn from what was retrieved, and record nothing."""
    calendar = retrieved.calendar
    return train(
        calendar,
        retrieved.training_set,
        retrieved.today,
        ledger.orders_path,
        calendar.first_day,
        context.settings,
        ledger.fingerprint(calendar.as_of),
        context.say,
    )


def _calendar(context: Context, ledger: Ledger, day: date) -> Calendar:
    settings = context.settings
    horizon = settings.churn.horizon_days
    first_day = ledger.first_day_known_by(day)
    return plan(
        first_day,
        enough_history(first_day, horizon),
        day,
        horizon,
        settings.training.step_days or default_step(horizon),
        settings.training.max_snapshots,
    )


def _historical(context: Context, ledger: Ledger, calendar: Calendar) -> tuple[pa.Table, pa.Table]:
    """Retrieve every matured day's customers, and the training day's, from the feature store."""
    store = context.store(ledger)
    store.apply()
    asked = {
        day: known_customers(context.workspace, ledger, day)
        for day in (*calendar.matured, calendar.as_of)
    }
    matured = pa.concat_arrays([asked[day] for day in calendar.matured])
    moments = [day for day in calendar.matured for _ in range(len(asked[day]))]
    return store.historical(matured, moments, pushed=False), store.historical(
        asked[calendar.as_of], calendar.as_of, pushed=False
    )
