"""What an evaluation found: of a day, of a stage, and of all judged days together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from training.bootstrap import Estimate

SMALLEST_STAGE = 400
"""Stages of fewer customers are pooled: their coverage would be noise."""
SURE = 0.9
"""Churn probability from which a 90% interval is nothing alone: it cannot cover too much there."""
ALLOWED_CALIBRATION = 0.01
"""Calibration error beyond what chance alone leaves that still counts as calibrated."""


@dataclass(frozen=True)
class StageCoverage:
    """Share of outcomes inside the 90% interval, in one stage or in the small ones together.

    Attributes
    ----------
    stages
        More than one where each has fewer than :data:`SMALLEST_STAGE` customers.
    coverage_below_sure
        Among those of churn probability below :data:`SURE`: only there can it be too high.
    """

    stages: tuple[str, ...]
    customers: int
    coverage: float
    coverage_below_sure: float

    @property
    def pooled(self) -> bool:
        """Whether this is of small stages together, and too few to hold to a promise alone."""
        return len(self.stages) > 1 or self.customers < SMALLEST_STAGE

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        shares = {
            "coverage_90": self.coverage,
            "coverage_90_below_sure": self.coverage_below_sure,
        }
        return {
            "stages": list(self.stages),
            "customers": self.customers,
            "pooled": self.pooled,
            **plain(shares),
        }


@dataclass(frozen=True)
class DayEvaluation:
    """How every method did on one day.

    Attributes
    ----------
    learned_days
        Labelled days that the product had to learn from.
    metrics
        Method to metric to value, over all buyers.
    active
        The same over those who had bought within the horizon before the day: the long-gone make
        any AUC look good.
    skills
        Log-loss and spend-deviance skill against the best baseline, and their mean, ``primary``,
        each with its 95% interval; positive is better than every baseline.
    differences
        Baseline to measure to product minus baseline.
    stages
        Coverage by lifecycle stage.
    """

    day: date
    customers: int
    learned_days: int
    metrics: dict[str, dict[str, float]]
    active: dict[str, dict[str, float]]
    skills: dict[str, Estimate]
    differences: dict[str, dict[str, Estimate]]
    stages: tuple[StageCoverage, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a metric that cannot be computed is null."""
        return {
            "day": self.day.isoformat(),
            "customers": self.customers,
            "learned_days": self.learned_days,
            "metrics": {method: plain(values) for method, values in self.metrics.items()},
            "active": {method: plain(values) for method, values in self.active.items()},
            "skills": flat(self.skills),
            "differences": differences_dict(self.differences),
            "stages": [row.to_dict() for row in self.stages],
        }


@dataclass(frozen=True)
class Pooled:
    """All judged days together: rows for losses, days for ranks and totals.

    Attributes
    ----------
    metrics
        Method to measure to its value over all days.
    calibration_excess
        Mean over days of the calibration error beyond what chance alone allows (the upper end of
        the 95% range of a perfectly calibrated model of these probabilities); at most
        :data:`ALLOWED_CALIBRATION` counts as calibrated.
    coverage
        Share of outcomes inside the 90% interval.
    totals_inside
        Share of days whose total fell inside its 90% interval.
    """

    days: int
    customer_days: int
    metrics: dict[str, dict[str, float]]
    skills: dict[str, Estimate]
    differences: dict[str, dict[str, Estimate]]
    calibration_excess: float
    coverage: float
    totals_inside: float
    stages: tuple[StageCoverage, ...]

    @property
    def calibrated(self) -> bool:
        """Whether the calibration error is what chance alone allows, and a little more."""
        return self.calibration_excess <= ALLOWED_CALIBRATION

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "days": self.days,
            "customer_days": self.customer_days,
            "metrics": {method: plain(values) for method, values in self.metrics.items()},
            "skills": flat(self.skills),
            "differences": differences_dict(self.differences),
            "calibration_excess": self.calibration_excess,
            "coverage_90": self.coverage,
            "totals_inside": self.totals_inside,
            "stages": [row.to_dict() for row in self.stages],
        }


def plain(values: dict[str, float]) -> dict[str, float | None]:
    """Null for what JSON cannot say.

    >>> plain({"auc": float("nan"), "log_loss": 0.5})
    {'auc': None, 'log_loss': 0.5}
    """
    return {name: (value if np.isfinite(value) else None) for name, value in values.items()}


def flat(estimates: dict[str, Estimate]) -> dict[str, float | None]:
    """Give estimates as numbers side by side: ``primary``, ``primary_lower``, ``primary_upper``."""
    numbers: dict[str, float] = {}
    for name, estimate in estimates.items():
        numbers |= {
            name: estimate.value,
            f"{name}_lower": estimate.lower,
            f"{name}_upper": estimate.upper,
        }
    return plain(numbers)


def differences_dict(values: dict[str, dict[str, Estimate]]) -> dict[str, Any]:
    """Give differences by baseline and measure as plain values."""
    return {
        other: {measure: estimate.to_dict() for measure, estimate in found.items()}
        for other, found in values.items()
    }
