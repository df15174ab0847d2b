"""How a model is made: tune, predict from rolling origins, calibrate, judge, refit.

Every number that is reported or served as a probability, a mean or an interval comes from
predictions of days that the trees behind it had not learned from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, Literal

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from features.errors import NotEnoughData
from training.adjustment import Predicted, adjust, judge
from training.calendar import Calendar
from training.dataset import LabelledDay, tree_matrix
from training.judged import Judged
from training.leaves import Leaves, Walk
from training.rounds import Curve, curve
from training.trees import PREDICTED_ROWS, Machine, Rows, Task, corrections, fit
from training.tuning.folds import folds
from training.tuning.search import Tuned, tune
from training.tuning.studies import Studies

Float = NDArray[np.float64]
Kind = Literal["lightgbm", "btyd"]

TUNING_FOLDS = 2
TUNING_CUSTOMERS = 60_000
"""Rows a tuning fold learns from at most; the final trees see all."""
ROLLING_DAYS = 8
"""Newest days predicted from earlier labels alone, for calibration and intervals."""
FEWEST_BUYERS = 30
FEWEST_OUTCOMES = 10
ALL_TASKS: tuple[Task, ...] = ("churn", "spend")

Say = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Trees:
    """The boosters of both tasks; None before there is enough history for any."""

    churn: lgb.Booster | None = None
    spend: lgb.Booster | None = None

    def corrections(self, matrix: Float, threads: int = 1) -> tuple[Float, Float]:
        """What both add to the prior, shape (n,) each."""
        churn, spend = corrections((self.churn, self.spend), matrix, threads)
        return churn, spend

    def walk(self, matrix: Float, threads: int = 1, attributed: bool = False) -> tuple[Walk, Walk]:
        """Send rows through both, to the same corrections.

        Parameters
        ----------
        attributed
            The leaves of churn are wanted, as its attribution follows from them.
        """
        # Leaves are read when they are first asked for: it takes a second for a large model.
        churn, spend = self.leaves("churn"), self.leaves("spend")
        parts = []
        for start in range(0, max(len(matrix), 1), PREDICTED_ROWS):
            rows = tree_matrix(matrix[start : start + PREDICTED_ROWS])
            none = Walk(np.zeros(len(rows)), None)
            parts.append(
                (
                    none if churn is None else churn.walk(rows, threads, attributed),
                    none if spend is None else spend.walk(rows, threads),
                )
            )
        of_churn, of_spend = (Walk.joined(of_task) for of_task in zip(*parts, strict=True))
        return of_churn, of_spend

    def leaves(self, task: Task) -> Leaves | None:
        """Give the leaves of a task's trees, read once."""
        return self._churn_leaves if task == "churn" else self._spend_leaves

    @cached_property
    def _churn_leaves(self) -> Leaves | None:
        return None if self.churn is None else Leaves.of(self.churn)

    @cached_property
    def _spend_leaves(self) -> Leaves | None:
        return None if self.spend is None else Leaves.of(self.spend)


@dataclass(frozen=True)
class Recipe:
    """Tuned parameters of both tasks, and the machine to fit them on."""

    churn: Tuned
    spend: Tuned
    machine: Machine

    def fit(self, days: Sequence[LabelledDay]) -> Trees:
        """Fit both tasks on the rows of some days."""
        boosters: dict[Task, lgb.Booster] = {
            task: fit(task, Rows(task, days), getattr(self, task).parameters, self.machine)
            for task in ALL_TASKS
        }
        return Trees(boosters["churn"], boosters["spend"])


@dataclass(frozen=True)
class Learned:
    """Everything that a training found.

    Attributes
    ----------
    judged
        Matured days, oldest first, each predicted and calibrated from labels that ended by then;
        the last is the newest matured day. Empty where there are no earlier labels.
    judged_trees
        Whether trees took part in that; with little history only the prior could.
    pool
        What calibrations and intervals are fitted on.
    outcomes
        Every labelled day, those too early to learn from among them: what levels are forecast from.
    curves
        How the loss of the newest rolling-origin trees fell: on the newest day that they had
        learned from, and on the day after, which they had not.
    """

    calendar: Calendar
    recipe: Recipe
    trees: Trees
    judged: tuple[Judged, ...]
    judged_trees: bool
    pool: tuple[Predicted, ...]
    outcomes: tuple[LabelledDay, ...]
    curves: Mapping[Task, tuple[Curve, ...]] = field(default_factory=dict)


def learn(
    calendar: Calendar,
    days: Sequence[LabelledDay],
    trials: int,
    machine: Machine,
    say: Say,
    studies: Studies | None = None,
) -> Learned:
    """Tune on early folds, judge on the newest matured day, then refit on every matured day.

    ``studies`` says where tuning is kept, so that it can be gone on with; by default nowhere.

    Raises
    ------
    NotEnoughData
        Too few customers, or only one kind of outcome, to learn from.
    """
    by_day = {d.as_of: d for d in days}
    check_enough(by_day.get(calendar.evaluation), calendar)
    matured = [by_day[d] for d in calendar.matured if d in by_day]
    outcomes = [by_day[d] for d in calendar.labelled if d in by_day]
    earlier = _pool_days(calendar, by_day, calendar.evaluation)
    recipe = search(calendar, by_day, trials, machine, say, studies)
    pool = []
    curves: dict[Task, tuple[Curve, ...]] = {}
    foldable = [d for d in calendar.foldable() if d in by_day][-ROLLING_DAYS:]
    for done, day in enumerate(foldable, start=1):
        earlier_days = [by_day[d] for d in calendar.before(day) if d in by_day]
        unseen = recipe.fit(earlier_days)
        pool.append(_predict(unseen, by_day[day], machine))
        if day == foldable[-1]:
            curves = _curves(unseen, (earlier_days[-1], by_day[day]), machine)
        say("rolling-origin predictions", done, len(foldable))
    judged = judge_days(calendar, outcomes, pool)
    if not earlier:
        judged = judge_days(calendar, outcomes, [Predicted.bare(d) for d in matured], trees=False)
    trees = recipe.fit(matured) if pool else Trees()
    say("final trees", 1, 1)
    final = tuple(pool) or tuple(Predicted.bare(d) for d in matured)
    return Learned(
        calendar, recipe, trees, tuple(judged), bool(earlier), final, tuple(outcomes), curves
    )


def check_enough(newest: LabelledDay | None, calendar: Calendar) -> None:
    """Refuse data from which nothing can be learned, and say what is missing.

    Raises
    ------
    NotEnoughData
        See the message.
    """
    day, until = calendar.evaluation, calendar.as_of
    buyers = len(newest.matrix) if newest is not None else 0
    if newest is None or buyers < FEWEST_BUYERS:
        raise NotEnoughData(
            f"{buyers} customers had bought by {day}, {FEWEST_BUYERS} are needed to train; "
            "ingest more customers or choose a later --as-of"
        )
    again = int(newest.purchased.sum())
    if min(again, buyers - again) < FEWEST_OUTCOMES:
        raise NotEnoughData(
            f"of {buyers} customers on {day}, {again} bought again by {until} and "
            f"{buyers - again} did not; {FEWEST_OUTCOMES} of each kind are needed to train: "
            "change --horizon-days, or ingest orders with repeat purchases"
        )


def judge_days(
    calendar: Calendar,
    days: Sequence[LabelledDay],
    pool: Sequence[Predicted],
    trees: bool = True,
) -> list[Judged]:
    """Judge every day of a pool by what the days before it, as far as matured by then, taught.

    Parameters
    ----------
    days
        Every labelled day, oldest first.
    """
    judged: list[Judged] = []
    for predicted in pool:
        as_of = predicted.day.as_of
        known = calendar.before(as_of)
        before = [p for p in pool if p.day.as_of in known]
        if any(p.day.purchased.any() for p in before):
            over = calendar.over_by(as_of)
            outcomes = [day for day in days if day.as_of in over]
            adjustment = adjust(before, outcomes, calendar, as_of, trees)
            judged.append(judge(predicted, adjustment))
    return judged


def _pool_days(
    calendar: Calendar, by_day: dict[date, LabelledDay], judged: date
) -> tuple[date, ...]:
    """Foldable days whose labels end before the judged day begins."""
    newest = [d for d in calendar.foldable() if d in by_day][-ROLLING_DAYS:]
    return tuple(d for d in newest if d in calendar.before(judged))


def search(
    calendar: Calendar,
    by_day: dict[date, LabelledDay],
    trials: int,
    machine: Machine,
    say: Say,
    studies: Studies | None = None,
) -> Recipe:
    """Tune both tasks on folds whose labels end before the newest matured day."""
    earlier = _pool_days(calendar, by_day, calendar.evaluation)
    chosen = earlier[::-1][:TUNING_FOLDS]
    rng = np.random.default_rng(machine.seed)
    found: dict[Task, Tuned] = {}
    for task in ALL_TASKS:
        pairs = []
        for day in chosen:
            learn_from = [by_day[d] for d in calendar.before(day) if d in by_day]
            pairs.append((_sample(learn_from, task, rng), by_day[day]))

        def progress(done: int, of: int, task: Task = task) -> None:
            say(f"tuning {task}", done, of)

        found[task] = tune(task, folds(task, pairs), trials, machine, progress, studies)
    return Recipe(found["churn"], found["spend"], machine)


def _sample(days: Sequence[LabelledDay], task: Task, rng: np.random.Generator) -> list[LabelledDay]:
    """Keep a tuning fold within :data:`TUNING_CUSTOMERS` rows, the same share of each day."""
    rows = sum(int(d.purchased.sum()) if task == "spend" else len(d.matrix) for d in days)
    if rows <= TUNING_CUSTOMERS:
        return list(days)
    share = TUNING_CUSTOMERS / rows
    return [
        d.take(np.flatnonzero(rng.random(len(d.matrix)) < share).astype(np.int64)) for d in days
    ]


def _predict(trees: Trees, day: LabelledDay, machine: Machine) -> Predicted:
    return Predicted(day, *trees.corrections(day.matrix, machine.threads))


def _curves(
    trees: Trees, days: Sequence[LabelledDay], machine: Machine
) -> dict[Task, tuple[Curve, ...]]:
    found: dict[Task, tuple[Curve, ...]] = {}
    for task in ALL_TASKS:
        booster = getattr(trees, task)
        curves = [curve(task, booster, day, machine.seed, machine.threads) for day in days]
        found[task] = tuple(c for c in curves if c is not None)
    return found


def parameters_of(recipe: Recipe) -> dict[str, Any]:
    """Flatten the tuned parameters for a run's table."""
    return {
        f"{task}_{key}": value
        for task in ALL_TASKS
        for key, value in getattr(recipe, task).parameters.items()
    }
