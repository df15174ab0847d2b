"""A study's trials: laid out beforehand, taken by one process each, run to a loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState, create_trial

from training.trees import DEFAULTS, Machine, Task, grow
from training.tuning.folds import Fold
from training.tuning.space import MOST_ROUNDS, PATIENCE, SPACE, draw


@dataclass(frozen=True)
class Trials:
    """The first so many trials of a study.

    Trials are laid out as waiting ones before any runs, so that their number is exact whoever runs
    them. The sampler's seed is of the trial's number: one process that goes on with a study draws
    what it would have drawn without the interruption.
    """

    task: Task
    study: optuna.Study
    folds: Sequence[Fold]
    machine: Machine
    wanted: int

    def lay_out(self) -> None:
        """Add waiting trials up to the wanted number."""
        there = len(self.study.get_trials(deepcopy=False))
        self.study.add_trials(
            [create_trial(state=TrialState.WAITING) for _ in range(there, self.wanted)]
        )

    def numbers(self, *states: TrialState) -> list[int]:
        """Number those of the wanted trials that are in a state."""
        found = self.study.get_trials(deepcopy=False, states=states)
        return sorted(trial.number for trial in found if trial.number < self.wanted)

    def finished(self) -> list[optuna.trial.FrozenTrial]:
        """Give the wanted trials that have come to an end, by number."""
        ended = [s for s in TrialState if s.is_finished()]
        found = self.study.get_trials(deepcopy=False, states=ended)
        return sorted((t for t in found if t.number < self.wanted), key=lambda t: int(t.number))

    def run_next(self) -> int | None:
        """Take the first waiting trial and run it; None when none waits."""
        for number in self.numbers(TrialState.WAITING):
            # False, or this error: another process was faster.
            with suppress(UpdateFinishedTrialError):
                if self.study._storage.set_trial_state_values(self._id(number), TrialState.RUNNING):
                    self.run(number)
                    return number
        return None

    def run(self, number: int) -> None:
        """Run a trial that this process has taken, or taken over from one that is gone.

        Should the other process be alive after all, both come to the same loss, and the first of
        them is kept.
        """
        with suppress(UpdateFinishedTrialError):
            point = self._point(number)
            trial = optuna.Trial(self.study, self._id(number))
            parameters = {**DEFAULTS[self.task], **point, "rounds": MOST_ROUNDS}
            losses: list[float] = []
            rounds: list[int] = []
            for fold in self.folds:
                booster = grow(
                    self.task,
                    fold.learn.dataset,
                    parameters,
                    self.machine,
                    valid_sets=[fold.judge.dataset],
                    callbacks=[lgb.early_stopping(PATIENCE, verbose=False)],
                )
                rounds.append(booster.best_iteration)
                losses.append(next(iter(booster.best_score["valid_0"].values())))
                if self._pruned(trial, losses):
                    self.study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
                    return
            trial.set_user_attr("rounds", max(1, round(float(np.mean(rounds)))))
            loss = float(np.mean(losses))
            state = TrialState.COMPLETE if math.isfinite(loss) else TrialState.FAIL
            self.study.tell(
                trial, loss if math.isfinite(loss) else None, state, skip_if_finished=True
            )

    def _point(self, number: int) -> dict[str, Any]:
        """Draw the point of a trial, the defaults for the first, and write it to the trial."""
        if number == 0:
            point = {name: DEFAULTS[self.task][name] for name in SPACE}
        else:
            states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
            others = [
                trial
                for trial in self.study.get_trials(deepcopy=False, states=states)
                if trial.number != number and len(trial.params) == len(SPACE)
            ]
            seed = np.random.SeedSequence([self.machine.seed, number]).generate_state(1)[0]
            point = draw(others, int(seed))
        trial_id = self._id(number)
        for name, range_ in SPACE.items():
            inner = range_.to_internal_repr(point[name])
            self.study._storage.set_trial_param(trial_id, name, inner, range_)
        return point

    def _pruned(self, trial: optuna.Trial, losses: list[float]) -> bool:
        if len(losses) == len(self.folds):
            return False
        step = len(losses) - 1
        # A trial that was taken over has reported some steps before.
        if step not in trial.storage.get_trial(trial._trial_id).intermediate_values:
            trial.report(float(np.mean(losses)), step)
        return bool(trial.should_prune())

    def _id(self, number: int) -> int:
        storage = self.study._storage
        return int(storage.get_trial_id_from_study_id_trial_number(self.study._study_id, number))
