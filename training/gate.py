"""Whether a fresher model may answer: no worse than the champion beyond stated margins.

Both are judged on the same customers and days, which lie after the labels that either learned
from. A loss counts where it exceeds its margin, and would in most draws of customers: a small shop
cannot refuse a fresher model for noise, nor wave a worse one through for want of certainty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.settings import GateSettings
from training.answers import BASELINES, PRODUCT, Answers
from training.bootstrap import REPLICATES, Draws, Estimate, draw
from training.contest import Contest

Float = NDArray[np.float64]

CHAMPION = "champion"


@dataclass(frozen=True)
class Said:
    """What the champion said of the customers of a day."""

    customer_ids: NDArray[Any]
    answers: Answers


@dataclass(frozen=True)
class Loss:
    """What the challenger loses against the champion in one measure; below 0 it gains.

    Attributes
    ----------
    beyond
        Share of draws of customers in which the loss exceeds the margin.
    """

    measure: str
    estimate: Estimate
    margin: float
    beyond: float

    def tolerable(self, confidence: float) -> bool:
        """Whether the loss is within its margin, or too uncertain to hold against anyone."""
        exceeds = np.isfinite(self.estimate.value) and self.estimate.value > self.margin
        return not (exceeds and self.beyond >= confidence)

    def __str__(self) -> str:
        return (
            f"{self.measure} {self.estimate} against a margin of {self.margin:g} "
            f"(beyond it in {self.beyond:.0%} of draws)"
        )


@dataclass(frozen=True)
class Comparison:
    """Challenger against champion on the days that both can be judged on.

    Attributes
    ----------
    customers
        Rows over all days.
    """

    days: tuple[date, ...]
    customers: int
    losses: tuple[Loss, ...]
    confidence: float

    @property
    def excessive(self) -> tuple[Loss, ...]:
        """The losses for which the challenger is refused."""
        return tuple(loss for loss in self.losses if not loss.tolerable(self.confidence))

    @property
    def primary(self) -> Estimate:
        """Loss of primary skill."""
        return self.losses[0].estimate

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "days": [day.isoformat() for day in self.days],
            "customer_days": self.customers,
            "losses": {
                loss.measure: {
                    **loss.estimate.to_dict(),
                    "margin": loss.margin,
                    "beyond_margin": loss.beyond,
                }
                for loss in self.losses
            },
            "refused_for": [loss.measure for loss in self.excessive],
        }


def compare(
    challenger: Sequence[Contest],
    champion: dict[date, Said],
    gate: GateSettings,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> Comparison | None:
    """Judge the challenger against the champion on the days and customers that both answered.

    Parameters
    ----------
    challenger
        The days that it was judged on, with its answers.
    champion
        Its answers by day, of days that it had not learned from.

    Returns
    -------
    Comparison or None
        None where they have no customer of a day in common.
    """
    paired = [pair for c in challenger if c.day in champion if (pair := _pair(c, champion[c.day]))]
    if not paired:
        return None
    drawn = draw(paired, replicates, seed)
    losses = (
        _loss("primary skill", -_primary_gain(drawn), gate.primary_margin),
        _loss("calibration error", _added(drawn, "calibration_error"), gate.calibration_margin),
        _loss("total (log error)", _added(drawn, "total_log_error"), gate.total_margin),
        _loss("value capture", -_added(drawn, "value_capture"), gate.value_capture_margin),
    )
    return Comparison(
        tuple(pair.day for pair in paired),
        sum(len(pair.customer_ids) for pair in paired),
        losses,
        gate.confidence,
    )


def _pair(contest: Contest, said: Said) -> Contest | None:
    _, ours, theirs = np.intersect1d(
        contest.customer_ids, said.customer_ids, assume_unique=True, return_indices=True
    )
    if not len(ours):
        return None
    kept = contest.take(ours)
    answers = {**kept.answers, CHAMPION: said.answers.take(theirs)}
    return Contest(**{**vars(kept), "answers": answers})


def _primary_gain(drawn: Draws) -> Float:
    return drawn.primary(BASELINES, PRODUCT) - drawn.primary(BASELINES, CHAMPION)


def _added(drawn: Draws, measure: str) -> Float:
    return drawn.difference(measure, CHAMPION)


def _loss(measure: str, drawn: Float, margin: float) -> Loss:
    finite = drawn[1:][np.isfinite(drawn[1:])]
    beyond = float((finite > margin).mean()) if len(finite) else 0.0
    return Loss(measure, Estimate.of(drawn), margin, beyond)
