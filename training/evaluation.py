"""The product beside what a careful analyst would use, on the same customers and days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.answers import BASELINES, PRODUCT, Answers
from training.bootstrap import MEASURES, REPLICATES, Draws, Estimate, draw
from training.contest import Contest
from training.findings import (
    SMALLEST_STAGE,
    SURE,
    DayEvaluation,
    Pooled,
    StageCoverage,
    plain,
)
from training.grade import Grade, grade, more_data
from training.intervals import PROMISED
from training.metrics import (
    calibration_range,
    churn_metrics,
    decile_noise,
    interval_metrics,
    spend_metrics,
)
from training.prospects import Conversion, NeverBought
from training.stages import STAGES

Float = NDArray[np.float64]
Int = NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """Every judged day, oldest first, and what they say together.

    Attributes
    ----------
    grade
        What that is worth against the baselines.
    more_data
        What more history would buy, in a sentence.
    prospects
        How many had not bought by the newest day, and the share that was said to, and did, convert
        in the horizon; empty without any. They stand in no other measure.
    renewals
        How customers under contract were judged (:attr:`training.renewals.Learned.quality`); empty
        without any. All other measures are of orders, theirs included.
    """

    days: tuple[DayEvaluation, ...]
    pooled: Pooled
    grade: Grade
    more_data: str
    prospects: dict[str, float] = field(default_factory=dict)
    renewals: dict[str, float] = field(default_factory=dict)

    @property
    def newest(self) -> DayEvaluation:
        """The newest judged day."""
        return self.days[-1]

    @property
    def beats_baselines(self) -> bool:
        """Whether the primary score over all days is no worse than the best baseline's."""
        return self.pooled.skills["primary"].value >= 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: the newest day's at the top, each day's in ``days``."""
        return {
            **self.newest.to_dict(),
            "prospects": plain(self.prospects),
            "renewals": plain(self.renewals),
            "days": [day.to_dict() for day in self.days],
            "pooled": self.pooled.to_dict(),
            "grade": self.grade.to_dict(),
            "more_data": self.more_data,
        }


def evaluate(
    contests: Sequence[Contest],
    prospects: dict[str, float] | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Evaluation:
    """Judge the product and its rivals on days that none had seen.

    Raises
    ------
    ValueError
        There is no day.
    """
    drawn = draw(contests, replicates, seed)
    days = tuple(
        DayEvaluation(
            day=contest.day,
            customers=len(contest.customer_ids),
            learned_days=contest.learned_days,
            metrics=_day_metrics(contest, seed),
            active=_by_method(contest.take(np.flatnonzero(contest.active)))
            if contest.active.any()
            else {},
            skills=skills_of(drawn, place),
            differences=differences_of(drawn, place),
            stages=stage_coverage([contest]),
        )
        for place, contest in enumerate(contests)
    )
    pooled = _pooled(contests, days, drawn)
    advice = more_data(days, contests[0].horizon_days)
    return Evaluation(days, pooled, grade(pooled), advice, prospects or {})


def skills_of(drawn: Draws, day: int | None = None) -> dict[str, Estimate]:
    """Both skills of the product and their mean, on a day or pooled."""
    return {
        "log_loss_skill": Estimate.of(drawn.skill("log_loss", BASELINES, day=day)),
        "spend_deviance_skill": Estimate.of(drawn.skill("spend_deviance", BASELINES, day=day)),
        "primary": Estimate.of(drawn.primary(BASELINES, day=day)),
    }


def differences_of(drawn: Draws, day: int | None = None) -> dict[str, dict[str, Estimate]]:
    """Product minus each baseline in every measure, on a day or pooled."""
    return {
        other: {m: Estimate.of(drawn.difference(m, other, day=day)) for m in MEASURES}
        for other in BASELINES
    }


def stage_coverage(contests: Sequence[Contest]) -> tuple[StageCoverage, ...]:
    """Coverage of the 90% interval by stage, over the rows of some days; small stages together."""
    stage = np.concatenate([c.stage for c in contests])
    churn = np.concatenate([c.answers[PRODUCT].churn_probability for c in contests])
    inside = np.concatenate([_inside(c.answers[PRODUCT], c.net_spend, 0.9) for c in contests])
    counts = np.bincount(stage, minlength=len(STAGES))
    groups = [[place] for place in np.flatnonzero(counts >= SMALLEST_STAGE)]
    if small := list(np.flatnonzero((counts > 0) & (counts < SMALLEST_STAGE))):
        groups.append(small)
    rows = []
    for group in groups:
        member = np.isin(stage, group)
        unsure = member & (churn < SURE)
        rows.append(
            StageCoverage(
                tuple(STAGES[place] for place in group),
                int(member.sum()),
                float(inside[member].mean()),
                float(inside[unsure].mean()) if unsure.any() else float("nan"),
            )
        )
    return tuple(rows)


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


def _day_metrics(contest: Contest, seed: int) -> dict[str, dict[str, float]]:
    metrics = _by_method(contest)
    said, seen = contest.answers[PRODUCT], contest.net_spend
    low, high = calibration_range(said.churn_probability, seed=seed)
    unsure = said.churn_probability < SURE
    below, above = contest.total
    metrics[PRODUCT] |= {
        "calibration_error_chance_low": low,
        "calibration_error_chance_high": high,
        "spend_decile_noise": decile_noise(
            said.churn_probability, said.expected_spend, seen, ~contest.churned, seed=seed
        ),
        "spend_total_lower": below,
        "spend_total_upper": above,
        "spend_total_inside": float(below <= seen.sum() <= above),
        "coverage_90_below_sure": float(_inside(said, seen, 0.9)[unsure].mean())
        if unsure.any()
        else float("nan"),
    }
    return metrics


def _by_method(contest: Contest) -> dict[str, dict[str, float]]:
    return {
        method: {
            **churn_metrics(answers.churn_probability, contest.churned),
            **spend_metrics(answers.expected_spend, contest.net_spend),
            **_intervals(answers, contest.net_spend),
        }
        for method, answers in contest.answers.items()
    }


def _intervals(answers: Answers, seen: Float) -> dict[str, float]:
    found: dict[str, float] = {}
    for coverage in PROMISED:
        found |= interval_metrics(*answers.bounds(coverage), seen, coverage)
    return found


def _inside(answers: Answers, seen: Float, coverage: float) -> NDArray[np.bool_]:
    lower, upper = answers.bounds(coverage)
    return (seen >= lower) & (seen <= upper)


def _pooled(contests: Sequence[Contest], days: Sequence[DayEvaluation], drawn: Draws) -> Pooled:
    ours = [day.metrics[PRODUCT] for day in days]
    inside = [_inside(c.answers[PRODUCT], c.net_spend, 0.9) for c in contests]
    return Pooled(
        days=len(days),
        customer_days=sum(day.customers for day in days),
        metrics={
            method: {m: float(drawn.of(m, method)[0]) for m in MEASURES} for method in drawn.methods
        },
        skills=skills_of(drawn),
        differences=differences_of(drawn),
        calibration_excess=float(
            np.mean([m["calibration_error"] - m["calibration_error_chance_high"] for m in ours])
        ),
        coverage=float(np.concatenate(inside).mean()),
        totals_inside=float(np.mean([m["spend_total_inside"] for m in ours])),
        stages=stage_coverage(contests),
    )
