"""Optuna over cached folds: one closure, pruned, seeded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import optuna

from training.dataset import LabelledDay
from training.trees import DEFAULTS, Machine, Rows, Task, fit

MOST_ROUNDS = 500
PATIENCE = 20

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Fold:
    """Rows to learn from and later rows to judge by."""

    learn: Rows
    judge: Rows


@dataclass(frozen=True)
class Trial:
    """One trial of a study, for the analyst's table."""

    number: int
    state: str
    value: float | None
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Tuned:
    """What tuning chose, and how it got there."""

    parameters: dict[str, Any]
    trials: tuple[Trial, ...]


def folds(task: Task, pairs: Sequence[tuple[list[LabelledDay], LabelledDay]]) -> list[Fold]:
    """Bin each fold's rows once for all trials."""
    made = []
    for earlier, later in pairs:
        learn = Rows(task, earlier)
        made.append(Fold(learn, Rows(task, [later], reference=learn)))
    return made


def tune(
    task: Task,
    made: Sequence[Fold],
    trials: int,
    machine: Machine,
    progress: Progress | None = None,
) -> Tuned:
    """Search the parameters with the least mean loss over the folds.

    The defaults are the first trial. The number of trees is the mean over folds of where the loss
    stopped falling. Without folds or trials the defaults are returned.
    """
    if not made or trials == 0:
        return Tuned(dict(DEFAULTS[task]), ())
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=machine.seed, n_startup_trials=8),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
    )
    study.enqueue_trial({k: v for k, v in DEFAULTS[task].items() if k != "rounds"})

    def report(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        if progress is not None:
            progress(trial.number + 1, trials)

    study.optimize(_objective(task, made, machine), n_trials=trials, callbacks=[report])
    best = {**study.best_params, "rounds": study.best_trial.user_attrs["rounds"]}
    return Tuned(
        best,
        tuple(
            Trial(
                t.number,
                t.state.name.lower(),
                t.value,
                {**t.params, "rounds": t.user_attrs.get("rounds")},
            )
            for t in study.trials
        ),
    )


def _objective(
    task: Task, made: Sequence[Fold], machine: Machine
) -> Callable[[optuna.Trial], float]:
    def objective(trial: optuna.Trial) -> float:
        parameters = {
            "num_leaves": trial.suggest_int("num_leaves", 3, 24, log=True),
            "min_child_samples": trial.suggest_int("min_child_samples", 50, 1500, log=True),
            "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.1, log=True),
            "lambda_l2": trial.suggest_float("lambda_l2", 0.5, 200.0, log=True),
            "feature_fraction": trial.suggest_float("feature_fraction", 0.1, 1.0),
            "bagging_fraction": trial.suggest_float("bagging_fraction", 0.4, 1.0),
            "rounds": MOST_ROUNDS,
        }
        losses, rounds = [], []
        for step, fold in enumerate(made):
            booster = fit(
                task,
                fold.learn,
                parameters,
                machine,
                valid_sets=[fold.judge.dataset],
                callbacks=[lgb.early_stopping(PATIENCE, verbose=False)],
            )
            rounds.append(booster.best_iteration)
            losses.append(next(iter(booster.best_score["valid_0"].values())))
            trial.report(float(np.mean(losses)), step)
            if trial.should_prune():
                raise optuna.TrialPruned
        trial.set_user_attr("rounds", max(1, round(float(np.mean(rounds)))))
        return float(np.mean(losses))

    return objective
