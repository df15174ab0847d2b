"""What a careful analyst would use instead: BG/NBD + Gamma-Gamma, and recency with past spend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from training.answers import BTYD, PAST, Answers
from training.dataset import LabelledDay
from training.intervals import IntervalTable
from training.prior import column

Float = NDArray[np.float64]


def baselines(
    day: LabelledDay, earlier: Sequence[LabelledDay], horizon_days: int
) -> dict[str, Answers]:
    """Answer for a day's customers by both, from labels that had ended by that day.

    Their intervals come from the product's own wrapper, fitted to what each said of the earlier
    days, so that interval scores compare what is wrapped and not the wrapping. Recency and past
    spend have four fitted numbers, which those days chose; BG/NBD and Gamma-Gamma see no label.

    Parameters
    ----------
    earlier
        Labelled days whose outcomes were known: recency becomes a probability, and past spend a
        total, by what was seen there.
    """
    past = PastRule.fit(earlier, horizon_days)
    said = {
        BTYD: ([_btyd(d) for d in earlier], _btyd(day)),
        PAST: ([past.answer(d) for d in earlier], past.answer(day)),
    }
    return {name: _wrapped(earlier, before, now) for name, (before, now) in said.items()}


@dataclass(frozen=True)
class PastRule:
    """Churn by a logistic curve of log recency, spend in proportion to that of the last horizon.

    Attributes
    ----------
    scale
        Spend of a horizon over that of the one before, of those who had spent.
    floor
        Mean spend of those who had not: silence is not a sure nothing, in currency.
    """

    horizon_days: int
    curve: LogisticRegression
    scale: float
    floor: float

    @classmethod
    def fit(cls, days: Sequence[LabelledDay], horizon_days: int) -> PastRule:
        """Fit on labelled days."""
        silence = np.concatenate([_log_silence(d) for d in days])
        curve = LogisticRegression().fit(silence, np.concatenate([d.churned for d in days]))
        seen = np.concatenate([d.net_spend for d in days]).clip(0)
        said = np.concatenate([_recent_spend(d, horizon_days) for d in days])
        quiet = said == 0
        floor = float(seen[quiet].mean()) if quiet.any() else float(seen.mean()) * 0.1
        scale = float(seen[~quiet].sum() / said[~quiet].sum()) if (~quiet).any() else 1.0
        return cls(horizon_days, curve, scale, max(floor, 1e-6))

    def answer(self, day: LabelledDay) -> tuple[Float, Float]:
        """Churn probability and expected spend, shape (n,) each."""
        spent = _recent_spend(day, self.horizon_days)
        churn: Float = self.curve.predict_proba(_log_silence(day))[:, 1]
        return churn, np.where(spent > 0, self.scale * spent, self.floor)


def _log_silence(day: LabelledDay) -> Float:
    logged: Float = np.log1p(column(day.matrix, "recency_days")).reshape(-1, 1)
    return logged


def _recent_spend(day: LabelledDay, horizon_days: int) -> Float:
    """Net spend of about one horizon before the day: the nearest window of the catalogue."""
    windows = np.array([30, 60, 90, 180, 365])
    nearest = int(windows[np.argmin(abs(windows - horizon_days))])
    return np.maximum(column(day.matrix, f"spend_{nearest}d") * horizon_days / nearest, 0.0)


def _btyd(day: LabelledDay) -> tuple[Float, Float]:
    return day.prior_churn, (1 - day.prior_churn) * day.prior_spend


def _wrapped(
    earlier: Sequence[LabelledDay],
    before: Sequence[tuple[Float, Float]],
    now: tuple[Float, Float],
) -> Answers:
    churn, spend = (np.concatenate(side) for side in zip(*before, strict=True))
    table = IntervalTable.fit(
        churn,
        _if_purchase(churn, spend),
        np.concatenate([d.purchased for d in earlier]),
        np.concatenate([d.net_spend for d in earlier]),
    )
    return Answers(*now, *table.bounds(now[0], _if_purchase(*now)))


def _if_purchase(churn: Float, expected_spend: Float) -> Float:
    """Mean spend given a purchase of a method that knows nothing of returns alone."""
    return expected_spend / np.maximum(1 - churn, 1e-6)
