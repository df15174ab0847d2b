"""The numbers of a run, in sections: skills, which rank runs, and raw figures, which never do.

A raw figure says as much of its day as of the model. It stands under the days that it is of, with
the day as its step and its time; the same figures of the baselines are in a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np

from training.answers import PRODUCT
from training.evaluation import Evaluation
from training.findings import DayEvaluation
from training.tracking.drift import Drift
from training.tuning.search import Trial

SKILLS = {
    "primary": "primary",
    "log_loss": "log_loss_skill",
    "spend_deviance": "spend_deviance_skill",
}
"""Name in a run to name in an evaluation."""
OF_A_DAY = (
    "auc", "log_loss", "calibration_error",
    "spend_gini", "spend_deviance", "spend_total_ratio", "spend_decile_error",
    "coverage_90", "interval_score_90",
)  # fmt: skip
DIGITS = 6
"""That are worth reading; `evaluation.json` has them all."""
POOLED = ("auc", "log_loss", "spend_gini", "spend_deviance", "interval_score_90")


@dataclass(frozen=True)
class Number:
    """One value of a metric.

    Attributes
    ----------
    step
        A judged day as YYYYMMDD, the number of a trial, else 0.
    day
        The day that it is of, where it is of one.
    """

    name: str
    value: float
    step: int = 0
    day: date | None = None

    @property
    def rounded(self) -> float:
        """The value to :data:`DIGITS` digits.

        >>> Number("skill/primary", 0.058265661467).rounded
        0.0582657
        """
        return float(f"{self.value:.{DIGITS}g}")

    @property
    def moment(self) -> int | None:
        """Midnight of the day in milliseconds since 1970, as MLflow keeps time."""
        if self.day is None:
            return None
        return int(
            datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC).timestamp()
        ) * (1000)


def judged(evaluation: Evaluation) -> list[Number]:
    """Skills over all judged days, and raw figures of each day and of all together."""
    numbers = [*_skills(evaluation)]
    for day in evaluation.days:
        numbers += _of_day(day)
    numbers += _pooled(evaluation)
    return [number for number in numbers if np.isfinite(number.value)]


def moved(drift: Drift) -> list[Number]:
    """How far the customers have moved since the champion."""
    return [
        Number("drift/largest_psi", max(drift.psi.values(), default=0.0)),
        Number("drift/churn_probability", drift.now.said.churn - drift.then.said.churn),
        Number("drift/expected_spend", drift.now.said.spend - drift.then.said.spend),
    ]


def tuned(task: str, trials: Sequence[Trial]) -> list[Number]:
    """The loss of every trial that has one, a step each."""
    return [
        Number(f"tuning/{task}_loss", trial.value, trial.number)
        for trial in trials
        if trial.value is not None
    ]


def _skills(evaluation: Evaluation) -> Iterator[Number]:
    for name, of_evaluation in SKILLS.items():
        found = evaluation.pooled.skills[of_evaluation]
        yield Number(f"skill/{name}", found.value)
        yield Number(f"skill/{name}_lower", found.lower)
        yield Number(f"skill/{name}_upper", found.upper)


def _pooled(evaluation: Evaluation) -> Iterator[Number]:
    pooled = evaluation.pooled
    for name in POOLED:
        yield Number(f"pooled/{name}", pooled.metrics[PRODUCT][name])
    yield Number("pooled/calibration_excess", pooled.calibration_excess)
    yield Number("pooled/coverage_90", pooled.coverage)
    yield Number("pooled/totals_inside", pooled.totals_inside)


def _of_day(day: DayEvaluation) -> Iterator[Number]:
    step = int(day.day.strftime("%Y%m%d"))
    for name in OF_A_DAY:
        yield Number(f"newest_day/{name}", day.metrics[PRODUCT][name], step, day.day)
    if PRODUCT in day.active:
        yield Number("newest_day/auc_of_active", day.active[PRODUCT]["auc"], step, day.day)
