"""`lifecycle train`: learn from what was known by a day, and register."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import training as models
from features.audit import check_no_leak
from features.errors import InputError, NotEnoughData
from features.ingest.ledger import Ledger
from features.servers import without_password
from features.snapshots import known_customers, rules_of, tables_of
from features.workspace import Workspace
from pipelines.context import Context, Stopwatch
from pipelines.trials import measured_lifts
from training.calendar import Calendar, default_step, enough_history, plan
from training.contest_files import judged_file, write_contests
from training.evaluation import Evaluation
from training.recipe import ALL_TASKS, Recipe
from training.sampling import sample_customers
from training.stage_rules import load_stage_rules
from training.tracking.run import Logged, log_training
from training.tracking.training import Training
from training.train import join, train
from training.training_set import TrainingSet
from training.tuning.studies import Studies
from training.uplift.lifts import Lifts

ROWS_AT_ONCE = 400_000
"""Days of so many rows are retrieved together; in between, the time left is told."""
TRAINING_KEY = "training_key"
"""Tag of a version: see :func:`training_key`."""
ROWS_IN_MEMORY = 2_000_000
"""A training set of more goes through files: this many take 2.3 GB."""


@dataclass(frozen=True)
class JoinReport:
    """The studies that this process took part in, by task, and where they are."""

    storage: str
    studies: dict[str, str]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class TrainReport:
    """What was learned and where it is recorded."""

    model_version: int
    kind: str
    as_of: str
    horizon_days: int
    horizon_why: str
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
    # What is wrong in them is to be told before the work, not after it.
    load_stage_rules(context.settings.serving.stage_rules)
    with context.workspace.locked(), scratch(context.workspace):
        ledger = context.folded_ledger()
        day = as_of or context.observed_until(ledger)
        context.check_day(ledger, day)
        horizon = context.horizon(ledger, day)
        retrieved = retrieve(context, ledger, day, horizon.days)
        training = learn_as_of(context, ledger, retrieved)
        lifts = _lifts(context, ledger, day, horizon.days)
        training = replace(training, bundle=replace(training.bundle, lifts=lifts))
        context.say("recording the run", 0, 1)
        logged = log_training(
            training,
            context.registry(),
            context.workspace,
            context.settings,
            {TRAINING_KEY: training_key(context, ledger, day)},
            partial(_keep_judged, context.workspace, training),
        )
        context.say("recording the run", 1, 1)
    evaluation: Evaluation | None = training.evaluation
    return TrainReport(
        logged.version,
        training.bundle.kind,
        day.isoformat(),
        horizon.days,
        horizon.why,
        len(training.learned.calendar.matured),
        training.rows,
        logged.run_id,
        logged.experiment,
        training.fingerprint,
        evaluation.to_dict() if evaluation else None,
        watch.seconds(),
    )


def _keep_judged(workspace: Workspace, training: Training, logged: Logged) -> None:
    """Keep what was said of the judged days: not in MLflow, for it is of persons."""
    if training.contests:
        judged = judged_file(workspace, logged.version)
        write_contests(judged, training.contests, {"run_id": logged.run_id})


def training_key(context: Context, ledger: Ledger, day: date) -> str:
    """Name all that a training as of a day follows from: data, settings, product.

    Whoever finds a version tagged with it as :data:`TRAINING_KEY` need not train.
    """
    settings = context.settings
    horizon = context.horizon(ledger, day).days
    parts = {
        "data": ledger.fingerprint(day),
        "snapshot": context.snapshot_key(ledger, day),
        "as_of": day.isoformat(),
        **learning_parts(context, horizon),
        "value": settings.value.model_dump(mode="json"),
        "data_settings": settings.data.model_dump(mode="json", include={"currency", "name"}),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def learning_parts(context: Context, horizon_days: int) -> dict[str, Any]:
    """Name what a training follows from beside the data: settings, rules, the models' source."""
    settings = context.settings
    return {
        "horizon_days": str(horizon_days),
        "churn": settings.churn.model_dump(mode="json"),
        "features": settings.features.model_dump(mode="json"),
        "training": settings.training.model_dump(
            mode="json", exclude={"threads", "workers", "storage"}
        ),
        "stages": load_stage_rules(settings.serving.stage_rules).version,
        "product": product_digest(),
    }


@cache
def product_digest() -> str:
    """Name the models by their source, so that whoever changes them is judged anew."""
    sources = sorted(Path(models.__path__[0]).rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def _lifts(context: Context, ledger: Ledger, day: date, horizon_days: int) -> Lifts:
    """Measure what actions change, where there is anything to measure it on."""
    if not context.settings.training.effects:
        return Lifts()
    try:
        return measured_lifts(context, ledger, day, horizon_days)
    except NotEnoughData:
        return Lifts()


def join_training(context: Context, as_of: date | None) -> JoinReport:
    """Run trials of a training that was started elsewhere, until none is left.

    The workspace holds the same data, and names the same database in ``training.storage``.

    Raises
    ------
    InputError
        No database is set, the day lies outside the data, or nobody has started such a training.
    NotEnoughData
        There is too little to learn from.
    """
    watch = Stopwatch()
    settings = context.settings
    url = settings.training.storage
    if url is None:
        raise InputError(
            "--join needs a database that both trainings can reach; set training.storage, as in "
            "postgresql+psycopg://user@host/database"
        )
    context.workspace.require()
    # What is wrong in them is to be told before the work, not after it.
    load_stage_rules(context.settings.serving.stage_rules)
    with context.workspace.locked(), scratch(context.workspace):
        ledger = context.folded_ledger()
        day = as_of or context.observed_until(ledger)
        context.check_day(ledger, day)
        retrieved = retrieve(context, ledger, day, context.horizon(ledger, day).days)
        studies = replace(_studies(context), joining=True)
        recipe: Recipe = join(
            retrieved.calendar,
            retrieved.training_set,
            ledger.orders_path,
            settings,
            context.say,
            studies,
        )
    names: dict[str, str] = {task: getattr(recipe, task).study for task in ALL_TASKS}
    return JoinReport(without_password(url), names, watch.seconds())


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
    training_set: TrainingSet
    today: pa.Table


def retrieve(context: Context, ledger: Ledger, day: date, horizon_days: int) -> Retrieved:
    """Retrieve what a training as of a day learns from; hold the workspace.

    Raises
    ------
    NotEnoughData
        No day before it has matured.
    """
    calendar = _calendar(context, ledger, day, horizon_days)
    context.snapshots(ledger, [*calendar.labelled, day])
    training_set, today = _historical(context, ledger, calendar)
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
        _studies(context),
        ledger.path("contracts"),
    )


@contextmanager
def scratch(workspace: Workspace) -> Iterator[None]:
    """Leave no large files behind, neither those of a training that was killed."""
    shutil.rmtree(workspace.scratch, ignore_errors=True)
    try:
        yield
    finally:
        shutil.rmtree(workspace.scratch, ignore_errors=True)


def _studies(context: Context) -> Studies:
    training = context.settings.training
    return Studies(context.workspace.tuning, training.storage, training.workers)


def _calendar(context: Context, ledger: Ledger, day: date, horizon: int) -> Calendar:
    settings = context.settings
    first_day = ledger.first_day_known_by(day)
    history_from = enough_history(first_day, horizon)
    to_learn_from = (day - history_from).days - horizon
    return plan(
        first_day,
        history_from,
        day,
        horizon,
        settings.training.step_days or default_step(to_learn_from),
        settings.training.max_snapshots,
    )


def _historical(
    context: Context, ledger: Ledger, calendar: Calendar
) -> tuple[TrainingSet, pa.Table]:
    """Retrieve every matured day's customers, and the training day's, from the feature store.

    They are retrieved a few days at a time, above :data:`ROWS_IN_MEMORY` into files. The newest
    days are looked through for leaks.
    """
    store = context.store(ledger)
    store.apply()
    known = {
        day: known_customers(context.workspace, ledger, day)
        for day in (*calendar.labelled, calendar.as_of)
    }
    asked = sample_customers(known, context.settings.training.max_rows)
    check = partial(
        check_no_leak,
        tables_of(ledger),
        engine_name=context.settings.features.engine,
        rules=rules_of(context.settings),
    )
    today = store.historical(asked[calendar.as_of], calendar.as_of, pushed=False)
    check(today, calendar.as_of, sampled=asked[calendar.as_of])
    rows_of = {day: len(asked[day]) for day in calendar.labelled}
    total = sum(rows_of.values())
    folder = context.workspace.scratch if total > ROWS_IN_MEMORY else None
    held: dict[date, pa.Table | Path] = {}
    done = 0
    context.say("training set", 0, total)
    for group in _groups(rows_of):
        moments = [day for day in group for _ in range(len(asked[day]))]
        table = store.historical(
            pa.concat_arrays([asked[day] for day in group]), moments, pushed=False
        )
        start = 0
        for day in group:
            rows = table.slice(start, len(asked[day]))
            start += len(asked[day])
            if day == calendar.evaluation:
                check(rows, day, sampled=asked[day])
            held[day] = rows if folder is None else _written(rows, folder / f"{day}.parquet")
        done += start
        context.say("training set", done, total)
    return TrainingSet(held, folder), today


def _groups(rows: Mapping[date, int]) -> list[list[date]]:
    """Put days together that may be retrieved at once."""
    groups: list[list[date]] = []
    room = 0
    for day, count in rows.items():
        if not groups or count > room:
            groups.append([])
            room = ROWS_AT_ONCE
        groups[-1].append(day)
        room -= count
    return groups


def _written(rows: pa.Table, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, file)
    return file
