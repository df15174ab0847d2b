"""The product beside what a careful analyst would use, on the same customers and day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from training.dataset import LabelledDay
from training.judged import Judged
from training.metrics import churn_metrics, interval_metrics, spend_metrics
from training.prior import column
from training.prospects import Conversion, NeverBought

Float = NDArray[np.float64]

PRODUCT = "lifecycle"
BTYD = "bg_nbd_gamma_gamma"
PAST = "recency_and_past_spend"


@dataclass(frozen=True)
class Rival:
    """Answers of one method for every customer of a day."""

    churn_probability: Float
    expected_spend: Float


@dataclass(frozen=True)
class Evaluation:
    """How every method did on one day.

    Attributes
    ----------
    metrics
        Method to metric to value, over all buyers.
    active
        The same over those who had bought within the horizon before the day: the long-gone make
        any AUC look good.
    skills
        Log-loss and spend-deviance skill against the best baseline, and their mean, ``primary``;
        positive is better than every baseline.
    prospects
        How many had not bought by the day, and the share that was said to, and did, convert in the
        horizon; empty without any. They stand in no other measure.
    """

    day: str
    customers: int
    metrics: dict[str, dict[str, float]]
    active: dict[str, dict[str, float]]
    skills: dict[str, float]
    prospects: dict[str, float] = field(default_factory=dict)

    @property
    def beats_baselines(self) -> bool:
        """Whether the primary score is no worse than the best baseline."""
        return self.skills["primary"] >= 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a metric that cannot be computed is null."""

        def plain(values: dict[str, float]) -> dict[str, float | None]:
            return {k: (v if np.isfinite(v) else None) for k, v in values.items()}

        return {
            "day": self.day,
            "customers": self.customers,
            "metrics": {method: plain(values) for method, values in self.metrics.items()},
            "active": {method: plain(values) for method, values in self.active.items()},
            "skills": plain(self.skills),
            "prospects": plain(self.prospects),
        }


def baselines(
    day: LabelledDay, earlier: Sequence[LabelledDay], horizon_days: int
) -> dict[str, Rival]:
    """Answer with BG/NBD and Gamma-Gamma, and with recency and past spend.

    Parameters
    ----------
    earlier
        Labelled days whose outcomes were known: recency becomes a probability, and past spend a
        total, by what was seen there.
    """
    prior = Rival(day.prior_churn, (1 - day.prior_churn) * day.prior_spend)
    return {BTYD: prior, PAST: _past(day, earlier, horizon_days)}


def _past(day: LabelledDay, earlier: Sequence[LabelledDay], horizon_days: int) -> Rival:
    def silence(days: Sequence[LabelledDay]) -> Float:
        days_silent = np.concatenate([column(d.matrix, "recency_days") for d in days])
        logged: Float = np.log1p(days_silent).reshape(-1, 1)
        return logged

    def past(days: Sequence[LabelledDay]) -> Float:
        recent: Float = np.concatenate([_recent_spend(d, horizon_days) for d in days])
        return np.maximum(recent, 0.0)

    churned = np.concatenate([d.churned for d in earlier])
    probability: Float = (
        LogisticRegression().fit(silence(earlier), churned).predict_proba(silence([day]))[:, 1]
    )
    seen = np.concatenate([d.net_spend for d in earlier]).clip(0)
    said = past(earlier)
    # Someone silent through the window did not spend nothing for sure: mix in the mean of theirs.
    quiet = said == 0
    floor = float(seen[quiet].mean()) if quiet.any() else float(seen.mean()) * 0.1
    scale = float(seen[~quiet].sum() / said[~quiet].sum()) if (~quiet).any() else 1.0
    today = past([day])
    return Rival(probability, np.where(today > 0, scale * today, max(floor, 1e-6)))


def _recent_spend(day: LabelledDay, horizon_days: int) -> Float:
    """Net spend of about one horizon before the day: the nearest window of the catalogue."""
    windows = np.array([30, 60, 90, 180, 365])
    nearest = int(windows[np.argmin(abs(windows - horizon_days))])
    return column(day.matrix, f"spend_{nearest}d") * horizon_days / nearest


def evaluate_prospects(
    now: NeverBought, earlier: Sequence[NeverBought], horizon_days: int
) -> dict[str, float]:
    """Judge the chance of converting that earlier days give, as :attr:`Evaluation.prospects` does.

    >>> from datetime import date
    >>> before = NeverBought(date(2024, 1, 1), (1000, 0, 0, 0), (100, 0, 0, 0), 0.0)
    >>> now = NeverBought(date(2024, 3, 1), (200, 0, 0, 0), (30, 0, 0, 0), 0.0)
    >>> evaluate_prospects(now, [before], 60)["conversion_seen"]
    0.15
    >>> evaluate_prospects(NeverBought(date(2024, 3, 1), (0,) * 4, (0,) * 4, 0.0), [before], 60)
    {}
    """
    seen = np.array(now.seen)
    if not seen.sum():
        return {}
    chance = np.array(Conversion.fit(earlier, horizon_days, 0.0).probability)
    return {
        "prospects": float(seen.sum()),
        "conversion_said": float((seen * chance).sum() / seen.sum()),
        "conversion_seen": float(sum(now.converted) / seen.sum()),
    }


def evaluate(
    judged: Judged,
    rivals: Mapping[str, Rival],
    horizon_days: int,
    prospects: dict[str, float] | None = None,
    level: float = 0.9,
) -> Evaluation:
    """Judge the product and its rivals (see :func:`baselines`) on a day that none had seen."""
    day = judged.day
    answers = {PRODUCT: Rival(judged.churn_probability, judged.expected_spend), **rivals}
    everyone = np.ones(len(day.matrix), dtype=bool)
    active = column(day.matrix, "recency_days") <= horizon_days
    metrics = {name: _measure(answer, day, everyone) for name, answer in answers.items()}
    metrics[PRODUCT] |= interval_metrics(
        judged.spend_lower, judged.spend_upper, day.net_spend, level
    )
    return Evaluation(
        day=day.as_of.isoformat(),
        customers=len(day.matrix),
        metrics=metrics,
        active={name: _measure(answer, day, active) for name, answer in answers.items()}
        if active.any()
        else {},
        skills=_skills(metrics),
        prospects=prospects or {},
    )


def _measure(answer: Rival, day: LabelledDay, rows: NDArray[np.bool_]) -> dict[str, float]:
    return {
        **churn_metrics(answer.churn_probability[rows], day.churned[rows]),
        **spend_metrics(answer.expected_spend[rows], day.net_spend[rows]),
    }


def _skills(metrics: dict[str, dict[str, float]]) -> dict[str, float]:
    def skill(name: str) -> float:
        best = min(values[name] for method, values in metrics.items() if method != PRODUCT)
        return 1 - metrics[PRODUCT][name] / best

    churn, spend = skill("log_loss"), skill("spend_deviance")
    return {"log_loss_skill": churn, "spend_deviance_skill": spend, "primary": (churn + spend) / 2}
