"""Tune one task: a study over cached folds, by one process or many, gone on with if cut short."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from training.trees import DEFAULTS, Machine, Task
from training.tuning.folds import Fold
from training.tuning.studies import Studies, study_name
from training.tuning.trials import Trials
from training.tuning.workers import Order, side_by_side

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Trial:
    """One trial of a study, for the analyst's table."""

    number: int
    state: str
    value: float | None
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Tuned:
    """What tuning chose, and how it got there.

    Attributes
    ----------
    study
        The study's name in its storage; empty where nothing was tuned.
    """

    parameters: dict[str, Any]
    trials: tuple[Trial, ...]
    study: str = ""


def tune(
    task: Task,
    made: Sequence[Fold],
    trials: int,
    machine: Machine,
    progress: Progress | None = None,
    studies: Studies | None = None,
) -> Tuned:
    """Search the parameters with the least mean loss over the folds.

    The defaults are the first trial. The number of trees is the mean over folds of where the loss
    stopped falling. Without folds or trials the defaults are returned.

    A study is named by its folds' content, the space and the seed, and goes on where it was left:
    trials that are done are not done again, also when more of them are wanted, and those that
    were running are run again. One worker then comes to the result of an uninterrupted run, bit
    for bit; several draw each trial from those that happen to be done, so that only their number
    is certain.
    """
    if not made or trials == 0:
        return Tuned(dict(DEFAULTS[task]), ())
    studies = studies or Studies()
    with tempfile.TemporaryDirectory(prefix="lifecycle-folds-") as folder:
        contents = [fold.save(Path(folder, str(place))) for place, fold in enumerate(made)]
        name = study_name(task, contents, machine)
        order = Order(task, Path(folder), machine, studies, name, trials)
        with studies.opened(name) as study:
            hunt = Trials(task, study, made, machine, trials)
            if not studies.joining:
                hunt.lay_out()
            for done in _run(hunt, order):
                if progress is not None:
                    progress(done, trials)
            return _chosen(hunt, name)


def _run(hunt: Trials, order: Order) -> Iterator[int]:
    """Run all trials that are left; yields how many are done.

    Trials that run at the start were left by a process that is gone, and so were those that run
    when none waits any more. Where other machines have joined, some of these may be theirs after
    all: that costs one trial a machine, and needs no clock to be right.
    """
    done = len(hunt.finished())
    left = [] if order.studies.joining else hunt.numbers(TrialState.RUNNING)
    for _ in _one_by_one(hunt, left) if order.studies.workers == 1 else side_by_side(order, left):
        done += 1
        yield min(done, hunt.wanted)
    again = [] if order.studies.joining else hunt.numbers(TrialState.RUNNING)
    for number in again:
        hunt.run(number)
    if again:
        yield len(hunt.finished())


def _one_by_one(hunt: Trials, left: Sequence[int]) -> Iterator[int]:
    for number in left:
        hunt.run(number)
        yield number
    while (taken := hunt.run_next()) is not None:
        yield taken


def _chosen(hunt: Trials, name: str) -> Tuned:
    finished = hunt.finished()
    complete = [t for t in finished if t.state == TrialState.COMPLETE]
    chosen = dict(DEFAULTS[hunt.task])
    if complete:
        best = min(complete, key=lambda t: (t.value, t.number))
        chosen |= {**best.params, "rounds": best.user_attrs["rounds"]}
    return Tuned(chosen, tuple(_row(trial) for trial in finished), name)


def _row(trial: optuna.trial.FrozenTrial) -> Trial:
    parameters = {**trial.params, "rounds": trial.user_attrs.get("rounds")}
    return Trial(trial.number, trial.state.name.lower(), trial.value, parameters)
