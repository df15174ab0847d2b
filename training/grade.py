"""What a model is worth against the baselines, in a letter and words, and what more would buy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from training.findings import ALLOWED_CALIBRATION, DayEvaluation, Pooled

Float = NDArray[np.float64]
Letter = Literal["A", "B", "C", "D"]

HOLDS = 0.88
"""Share of outcomes that the 90% intervals must hold over all days."""
FEWEST_DAYS = 4
"""Judged days below which no trend is sought in them."""


@dataclass(frozen=True)
class Grade:
    """A letter, and why.

    - **A**: better than every baseline, with the 95% interval clear of zero in log loss and in
      spend deviance, and calibrated (within :data:`training.findings.ALLOWED_CALIBRATION` of
      what chance alone leaves), and the 90% intervals hold at least :data:`HOLDS` of outcomes.
    - **B**: better than every baseline in the primary score, the interval clear of zero.
    - **C**: level with the best baseline: the interval holds zero.
    - **D**: worse than the best baseline, or not judged.
    """

    letter: Letter
    why: str

    def to_dict(self) -> dict[str, str]:
        """Plain values for JSON."""
        return {"letter": self.letter, "why": self.why}


NOT_JUDGED = Grade("D", "not judged: history is too short to keep a day to judge by")


def grade(pooled: Pooled) -> Grade:
    """Grade what was judged out of time."""
    primary = pooled.skills["primary"]
    days = f"{pooled.days} judged day{'s' * (pooled.days != 1)}"
    score = f"primary skill {primary} over {days}"
    if not np.isfinite(primary.lower):
        return Grade("D", f"not judged: the score cannot be computed over {days}")
    if primary.upper < 0:
        return Grade("D", f"worse than the best baseline: {score}")
    if primary.lower <= 0:
        return Grade("C", f"level with the best baseline: {score}")
    missing = list(_missing(pooled))
    if missing:
        return Grade("B", f"better than every baseline: {score}; for an A, {'; '.join(missing)}")
    return Grade(
        "A", f"better than every baseline in churn and spend, calibrated, intervals hold: {score}"
    )


def _missing(pooled: Pooled) -> list[str]:
    found = [
        f"{name} would have to be clear of zero ({pooled.skills[key]})"
        for name, key in (
            ("log-loss skill", "log_loss_skill"),
            ("spend-deviance skill", "spend_deviance_skill"),
        )
        if not pooled.skills[key].lower > 0
    ]
    if not pooled.calibrated:
        found.append(
            f"calibration error exceeds what chance leaves by {pooled.calibration_excess:.3f}, "
            f"{ALLOWED_CALIBRATION} is allowed"
        )
    if pooled.coverage < HOLDS:
        found.append(f"the 90% intervals hold {pooled.coverage:.1%}, not {HOLDS:.0%}")
    return found


def more_data(days: Sequence[DayEvaluation], horizon_days: int) -> str:
    """Say what more history would buy, from how the skill grew with the days learned from.

    Every judged day was predicted from the labelled days before it alone, so that the judged days
    are a learning curve already. The primary skill is regressed on the logarithm of the number of
    labelled days; windows that overlap count as one another's repetition, which widens the
    interval.
    """
    known = [d for d in days if np.isfinite(d.skills["primary"].value) and d.learned_days > 0]
    amounts = sorted({d.learned_days for d in known})
    if len(known) < FEWEST_DAYS or len(amounts) < 3:
        return (
            f"what more data would buy cannot be told yet: {len(known)} judged "
            f"day{'s' * (len(known) != 1)}, "
            f"{FEWEST_DAYS} that learned from different amounts are needed"
        )
    doubled = np.log2([d.learned_days for d in known])
    skill = np.array([d.skills["primary"].value for d in known])
    slope, half = _slope(doubled, skill, _windows(known, horizon_days))
    span = f"{len(known)} judged days that learned from {amounts[0]} to {amounts[-1]} labelled days"
    interval = f"{slope:+.3f} ({slope - half:+.3f} to {slope + half:+.3f})"
    if not np.isfinite(half) or slope - half <= 0 <= slope + half:
        told = f"{slope:+.3f}" if not np.isfinite(half) else interval
        return (
            f"the data cannot tell what more history would buy: twice the labelled days went with "
            f"{told} of primary skill over {span}"
        )
    verb = "more" if slope > 0 else "less"
    return (
        f"twice the labelled days went with {interval} of primary skill over {span}: another "
        f"{amounts[-1]} of them would buy about {abs(slope):.3f} {verb}, if that goes on"
    )


def _windows(days: Sequence[DayEvaluation], horizon_days: int) -> float:
    """How many label windows that do not overlap the judged days amount to."""
    span = (max(d.day for d in days) - min(d.day for d in days)).days
    return min(float(len(days)), span / horizon_days + 1.0)


def _slope(x: Float, y: Float, windows: float) -> tuple[float, float]:
    """Least squares and the half width of its 95% interval, with as many windows as are apart."""
    spread = x - x.mean()
    slope = float(spread @ (y - y.mean()) / (spread @ spread))
    left = y - y.mean() - slope * spread
    free = windows - 2
    if free <= 0:
        return slope, float("inf")
    # The residual variance is that of the days; the evidence is that of the windows.
    variance = float(left @ left) / (len(x) - 2) * len(x) / windows / float(spread @ spread)
    return slope, float(student.ppf(0.975, free) * np.sqrt(variance))
