"""`lifecycle backtest`: replay history, train as on a day, judge by what then happened."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from features.errors import InputError, NotEnoughData
from features.ingest.ledger import Ledger
from pipelines.context import Context, Stopwatch
from pipelines.train import Retrieved, learn_as_of, learning_parts, retrieve, scratch
from training.adjustment import Predicted, judge
from training.calendar import enough_history
from training.contest import Contest, hold
from training.contest_files import read_contests, read_note, write_contests
from training.dataset import label_days
from training.evaluation import Evaluation, evaluate
from training.stage_rules import load_stage_rules
from training.tracking.training import Training
from training.training_set import TrainingSet


@dataclass(frozen=True)
class Replayed:
    """One day of the past, trained as on it and judged.

    Attributes
    ----------
    kind
        What answered: ``lightgbm`` or ``btyd``.
    resumed
        Whether it stood from an earlier run.
    """

    contest: Contest
    kind: str
    resumed: bool


@dataclass(frozen=True)
class Backtest:
    """Every day that was replayed, oldest first, and what they say together.

    Attributes
    ----------
    left_out
        Day to why it could not be trained on.
    """

    horizon_days: int
    replayed: tuple[Replayed, ...]
    left_out: dict[date, str]
    evaluation: Evaluation
    seconds: float

    @property
    def contests(self) -> tuple[Contest, ...]:
        """The judged days."""
        return tuple(day.contest for day in self.replayed)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "horizon_days": self.horizon_days,
            "replayed": [
                {"as_of": r.contest.day.isoformat(), "kind": r.kind, "resumed": r.resumed}
                for r in self.replayed
            ],
            "left_out": {day.isoformat(): why for day, why in self.left_out.items()},
            "evaluation": self.evaluation.to_dict(),
            "seconds": self.seconds,
        }


def backtest(context: Context, days: Sequence[date] = (), count: int = 4) -> Backtest:
    """Train the whole recipe as on each of some days, and judge it a horizon later.

    A training sees only what had arrived by its day, through the feature store, and registers
    nothing. A day that is done is kept in the workspace, and not done again while data, settings
    and product are the same.

    Parameters
    ----------
    days
        The days to train on; none: ``count`` of them, the newest a horizon before the data's end,
        the others before it, at most a horizon apart.

    Raises
    ------
    InputError
        A day's horizon ends after the data.
    NotEnoughData
        On none of the days was there enough to learn from.
    """
    watch = Stopwatch()
    context.workspace.require()
    with context.workspace.locked():
        ledger = context.folded_ledger()
        horizon = context.horizon(ledger, max(days, default=context.observed_until(ledger))).days
        chosen = sorted(set(days)) or _spread(context, ledger, count, horizon)
        for day in chosen:
            _check(context, ledger, day, horizon)
        replayed, left_out = [], {}
        context.say("days replayed", 0, len(chosen))
        for done, day in enumerate(chosen, start=1):
            try:
                replayed.append(_replay(context, ledger, day, horizon))
            except NotEnoughData as error:
                left_out[day] = str(error)
            context.say("days replayed", done, len(chosen))
    if not replayed:
        day, why = next(iter(left_out.items()))
        raise NotEnoughData(f"no day can be replayed; on {day}: {why}")
    evaluation = evaluate([r.contest for r in replayed], seed=context.settings.training.seed)
    return Backtest(horizon, tuple(replayed), left_out, evaluation, watch.seconds())


def _check(context: Context, ledger: Ledger, day: date, horizon: int) -> None:
    context.check_day(ledger, day)
    ends = day + timedelta(days=horizon)
    until = context.observed_until(ledger)
    if ends > until:
        raise InputError(
            f"what happened in the {horizon} days after {day} is known "
            f"on {ends}, the data end on {until}; choose an earlier --as-of or a shorter "
            "--horizon-days"
        )


def _spread(context: Context, ledger: Ledger, count: int, horizon_days: int) -> list[date]:
    """Lay out days that leave a fold to learn from, the newest as late as can be judged."""
    horizon = timedelta(days=horizon_days)
    newest = context.observed_until(ledger) - horizon
    earliest = enough_history(ledger.first_day, horizon.days) + 2 * horizon
    if newest < earliest:
        raise NotEnoughData(
            f"a backtest of {horizon.days} days needs orders up to {earliest + horizon}, the data "
            f"end on {newest + horizon}; shorten --horizon-days, or name days with --as-of"
        )
    between = (newest - earliest) // max(count - 1, 1)
    step = max(min(horizon, between), timedelta(days=1))
    found = [newest - place * step for place in range(count)]
    return sorted(day for day in found if day >= earliest)


def _replay(context: Context, ledger: Ledger, day: date, horizon: int) -> Replayed:
    path = context.workspace.backtests / f"{day.isoformat()}_{horizon}_days.parquet"
    key = _key(context, ledger, day, horizon)
    note = read_note(path)
    if note is not None and note["key"] == key:
        return Replayed(read_contests(path)[0], note["kind"], resumed=True)
    with scratch(context.workspace):
        retrieved = retrieve(context, ledger, day, horizon)
        learned = learn_as_of(context, ledger, retrieved)
        contest = _judged(context, ledger, retrieved, learned)
    write_contests(path, [contest], {"key": key, "kind": learned.bundle.kind})
    return Replayed(contest, learned.bundle.kind, resumed=False)


def _judged(context: Context, ledger: Ledger, retrieved: Retrieved, learned: Training) -> Contest:
    bundle, horizon = learned.bundle, learned.bundle.horizon_days
    day = retrieved.calendar.as_of
    labelled, _ = label_days(
        TrainingSet({day: retrieved.today}),
        bundle.vocabulary,
        ledger.orders_path,
        horizon,
        day + timedelta(days=horizon),
    )
    threads = context.settings.training.threads
    corrections = bundle.trees.corrections(labelled[0].matrix, threads)
    judged = judge(Predicted(labelled[0], *corrections), bundle.adjustment)
    churn = context.settings.churn
    rules = load_stage_rules(context.settings.serving.stage_rules)
    return hold(judged, learned.days, horizon, rules, churn.silent_days, churn.activation_days)


def _key(context: Context, ledger: Ledger, day: date, horizon: int) -> str:
    """Name all that a replayed day depends on: data up to its outcomes, settings, product."""
    ends = day + timedelta(days=horizon)
    parts = {
        "snapshot": context.snapshot_key(ledger, day),
        "outcomes": ledger.fingerprint(ends),
        **learning_parts(context, horizon),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
