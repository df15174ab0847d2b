"""What was said of customers against what they did, of a whole horizon or of its first part.

How far a day's answers are off is itself uncertain: the days that the model was judged on in
training say by how much. A few days say little, so a spread that is believed beforehand counts as
some more (a scaled inverse chi-square prior: Gelman et al., "Bayesian Data Analysis", section 3.3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from features.days import day_number
from training.answers import PRODUCT
from training.contest import Contest
from training.dataset import with_outcomes
from training.labels import labels
from training.metrics import churn_metrics

Float = NDArray[np.float64]

COLUMNS = (
    "customer_id", "churn_probability", "expected_spend", "spend_lower", "spend_upper",
)  # fmt: skip
_BINS = 5


@dataclass(frozen=True)
class Counted:
    """Some customers of a day, as a whole.

    Attributes
    ----------
    buyers_said, buyers
        How many were to buy by the end of the part of the horizon, and did.
    buyers_noise
        Spread that chance leaves of the logarithm of their ratio.
    spend_said, spend, spend_noise
        The same of net spend.
    covered
        Share whose spend lay in its 90% interval; NaN where the horizon is not over.
    auc, log_loss
        Of the churn probabilities; NaN likewise, or where nobody or everybody bought.
    """

    day: date
    days: int
    customers: int
    buyers_said: float
    buyers: float
    buyers_noise: float
    spend_said: float
    spend: float
    spend_noise: float
    covered: float
    auc: float
    log_loss: float

    @property
    def buyers_gap(self) -> float:
        """Logarithm of seen over said."""
        return math.log((self.buyers + 0.5) / (self.buyers_said + 0.5))

    @property
    def spend_gap(self) -> float:
        """Logarithm of seen over said; NaN where either is not positive."""
        if self.spend <= 0 or self.spend_said <= 0:
            return math.nan
        return math.log(self.spend / self.spend_said)


@dataclass(frozen=True)
class Course:
    """Which part of a horizon's buyers have bought by a day within it, and of its spend.

    Attributes
    ----------
    edges
        Of the chance of buying, which parts customers.
    bought
        Share of a part's buyers, those who buy often sooner.
    spent
        Share of the net spend.
    """

    days: int
    edges: Float
    bought: Float
    spent: float

    @classmethod
    def learn(cls, contests: Sequence[Contest], orders: Path, days: int) -> Course:
        """Read it off the judged days."""
        horizon = contests[0].horizon_days
        whole = Course(horizon, np.array([]), np.ones(1), 1.0)
        if days >= horizon:
            return whole
        frames = [_frame(contest) for contest in contests]
        chance = np.concatenate([1 - f["churn_probability"].to_numpy() for f in frames])
        edges = np.quantile(chance, np.arange(1, _BINS) / _BINS)
        early, late = np.zeros(_BINS), np.zeros(_BINS)
        spent = [0.0, 0.0]
        for contest, frame in zip(contests, frames, strict=True):
            place = np.searchsorted(edges, 1 - frame["churn_probability"].to_numpy())
            for until, counts, at in ((days, early, 0), (horizon, late, 1)):
                seen = _seen(frame, contest.day, until, orders)
                np.add.at(counts, place, seen["purchased"].to_numpy())
                spent[at] += float(seen["net_spend"].sum())
        share = spent[0] / spent[1] if spent[1] > 0 else days / horizon
        return cls(days, edges, early / np.maximum(late, 1), share)


def count_contest(contest: Contest, course: Course, orders: Path) -> Counted:
    """Count a judged day by the end of a part of its horizon."""
    frame = _frame(contest)
    return count(frame, contest.day, course, orders, contest.horizon_days)


def count(
    said: pl.DataFrame,
    day: date,
    course: Course,
    orders: Path,
    horizon: int,
    known_by: date | None = None,
) -> Counted:
    """Set what was said of some customers beside what they did by the end of a part.

    Parameters
    ----------
    said
        :data:`COLUMNS`, a row a customer who had bought.
    known_by
        What had arrived by this day; default: by the end of the part.
    """
    seen = _seen(said, day, course.days, orders, known_by)
    chance = 1 - seen["churn_probability"].to_numpy()
    chance = chance * course.bought[np.searchsorted(course.edges, chance)]
    bought = seen["purchased"].to_numpy()
    net = seen["net_spend"].to_numpy()
    whole = course.days >= horizon
    metrics = {}
    if whole and bought.any() and not bought.all():
        metrics = churn_metrics(seen["churn_probability"].to_numpy(), ~bought)
    inside = seen["net_spend"].is_between(seen["spend_lower"], seen["spend_upper"])
    return Counted(
        day,
        course.days,
        seen.height,
        float(chance.sum()),
        float(bought.sum()),
        math.sqrt(float((chance * (1 - chance)).sum())) / max(float(chance.sum()), 1.0),
        float(seen["expected_spend"].sum()) * course.spent,
        float(net.sum()),
        math.sqrt(float((net**2).sum())) / max(abs(float(net.sum())), 1e-9),
        float(inside.to_numpy().mean()) if whole and seen.height else math.nan,
        metrics.get("auc", math.nan),
        metrics.get("log_loss", math.nan),
    )


def auc_of_recency(said: pl.DataFrame, day: date, horizon: int, orders: Path) -> float | None:
    """The AUC that days since the last purchase alone would have had on the same customers."""
    seen = _seen(said, day, horizon, orders)
    until = day_number(day)
    last = (
        pl.scan_parquet(orders)
        .filter(pl.col("event_day") <= until, pl.col("known_day") <= until)
        .filter(pl.col("amount_e4") > 0)
        .group_by("customer_id")
        .agg(recency=until - pl.col("event_day").max())
        .collect()
    )
    rows = seen.join(last, on="customer_id", how="inner")
    gone = ~rows["purchased"].to_numpy()
    if not gone.any() or gone.all():
        return None
    return float(roc_auc_score(gone, rows["recency"].to_numpy()))


def _seen(
    said: pl.DataFrame, day: date, days: int, orders: Path, known_by: date | None = None
) -> pl.DataFrame:
    by = known_by or day + timedelta(days=days)
    return with_outcomes(said, labels(orders, day, days, by))


def _frame(contest: Contest) -> pl.DataFrame:
    answers = contest.answers[PRODUCT]
    lower, upper = answers.bounds(0.9)
    columns: dict[str, Any] = {
        "customer_id": contest.customer_ids,
        "churn_probability": answers.churn_probability,
        "expected_spend": answers.expected_spend,
        "spend_lower": lower,
        "spend_upper": upper,
    }
    return pl.DataFrame(columns)
