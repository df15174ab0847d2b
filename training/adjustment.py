"""What turns a prior and trees into calibrated answers, fitted on predictions of unseen days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from features.days import day_number
from training.calendar import Calendar
from training.calibration import WEIGHTS, ChurnCalibration, SpendCalibration
from training.dataset import LabelledDay
from training.intervals import IntervalTable
from training.judged import Judged
from training.levels import forecast
from training.totals import total_interval

Float = NDArray[np.float64]

T = TypeVar("T", bound=np.generic)
NO_TREES = np.zeros(1)


@dataclass(frozen=True)
class Predicted:
    """A labelled day and what unseen trees add to its prior."""

    day: LabelledDay
    churn_trees: Float
    spend_trees: Float

    @classmethod
    def bare(cls, day: LabelledDay) -> Predicted:
        """Leave the answer to the prior."""
        nothing = np.zeros(len(day.matrix))
        return cls(day, nothing, nothing)


@dataclass(frozen=True)
class Adjustment:
    """Calibrations of both models for the window after a day, and the intervals around them."""

    churn: ChurnCalibration
    spend: SpendCalibration
    intervals: IntervalTable


def adjust(
    pool: Sequence[Predicted],
    outcomes: Sequence[LabelledDay],
    calendar: Calendar,
    as_of: date,
    trees: bool = True,
) -> Adjustment:
    """Fit calibrations and intervals for the window after a day.

    Parameters
    ----------
    pool
        Predictions by trees that had not seen the outcomes.
    outcomes
        All days whose outcomes are known by ``as_of``: what the prior alone got wrong there is
        what levels are forecast from.
    trees
        Without them their weight is 0.
    """
    weights = WEIGHTS if trees else NO_TREES
    churn_levels, spend_levels = zip(*(day.levels for day in outcomes), strict=True)
    when = (day_number(as_of), calendar.horizon_days, day_number(calendar.first_day))
    purchased = _joined([p.day.purchased for p in pool])
    net_spend = _joined([p.day.net_spend for p in pool])
    day = np.repeat([day_number(p.day.as_of) for p in pool], [len(p.day.matrix) for p in pool])
    churn, probability = ChurnCalibration.fit(
        _joined([p.day.prior_churn for p in pool]),
        _joined([p.churn_trees for p in pool]),
        ~purchased,
        day,
        churn_levels,
        forecast(churn_levels, *when),
        weights,
    )
    spend, mean = SpendCalibration.fit(
        _joined([p.day.prior_spend for p in pool]),
        _joined([p.spend_trees for p in pool]),
        probability,
        purchased,
        net_spend,
        day,
        spend_levels,
        forecast(spend_levels, *when),
        weights,
    )
    intervals = IntervalTable.fit(probability, mean, purchased, net_spend)
    return Adjustment(churn, spend, intervals.widened(churn.level_sd, spend.level_sd))


def judge(predicted: Predicted, adjustment: Adjustment) -> Judged:
    """Apply an adjustment to a day that it was not fitted on."""
    day = predicted.day
    churn = adjustment.churn.probability(day.prior_churn, predicted.churn_trees)
    mean = adjustment.spend.spend_if_purchase(day.prior_spend, predicted.spend_trees)
    lower, upper = adjustment.intervals.bounds(churn, mean)
    none = adjustment.spend.spend_if_none
    expected = (1 - churn) * mean + churn * none
    total = total_interval(churn, mean, none, adjustment.churn.level_sd, adjustment.spend.level_sd)
    return Judged(day, churn, expected, lower, upper, *total)


def _joined(columns: Sequence[NDArray[T]]) -> NDArray[T]:
    return np.concatenate(columns)
