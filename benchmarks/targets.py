"""The targets of the predictions, one by one, over the judged days of several shops.

A case is a shop, a day and a horizon. Within a shop the bootstrap draws customers for all its cases
together; shops are independent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.answers import BASELINES, BTYD, PRODUCT
from training.bootstrap import HIGHER_IS_BETTER, Draws, Estimate, draw
from training.contest import Contest
from training.evaluation import Evaluation, evaluate, stage_coverage

Float = NDArray[np.float64]

RANKED = ("log_loss", "auc", "spend_gini")


@dataclass(frozen=True)
class Shop:
    """One shop's cases, and what they came to."""

    name: str
    contests: tuple[Contest, ...]
    drawn: Draws
    evaluation: Evaluation

    @classmethod
    def of(cls, name: str, contests: Sequence[Contest], seed: int) -> Shop:
        """Draw customers once for all of a shop's cases."""
        return cls(name, tuple(contests), draw(contests, seed=seed), evaluate(contests, seed=seed))

    def cases(self) -> Iterator[tuple[int, str]]:
        """Each case's place and name."""
        for place, contest in enumerate(self.contests):
            yield place, f"{self.name} {contest.day} + {contest.horizon_days} days"


@dataclass(frozen=True)
class Target:
    """One target, whether it is met, and the figures."""

    name: str
    met: bool
    figures: tuple[str, ...]

    def __str__(self) -> str:
        head = f"{'met    ' if self.met else 'NOT MET'}  {self.name}"
        return "\n".join([head, *(f"           {line}" for line in self.figures)])


def targets(shops: Sequence[Shop]) -> Iterator[Target]:
    """Judge every target."""
    yield _no_worse_anywhere(shops)
    yield _better_over_all(shops)
    yield _calibrated(shops)
    yield from _totals(shops)
    yield _deciles(shops)
    yield _covered(shops)
    yield _interval_score(shops)


def _no_worse_anywhere(shops: Sequence[Shop]) -> Target:
    worse = []
    for shop in shops:
        for place, case in shop.cases():
            for measure in RANKED:
                found = Estimate.of(
                    shop.drawn.of(measure, PRODUCT, place)
                    - shop.drawn.best(measure, BASELINES, place)
                )
                bad = found.upper < 0 if measure in HIGHER_IS_BETTER else found.lower > 0
                if bad:
                    worse.append(f"{case}: {measure} {_told(found)} against the best baseline")
    name = "log loss, AUC and Gini no worse than the best baseline beyond noise, in every case"
    return Target(name, not worse, tuple(worse))


def _better_over_all(shops: Sequence[Shop]) -> Target:
    parts: dict[str, Callable[[Draws, int], Float]] = {
        "log-loss skill": lambda d, p: d.skill("log_loss", BASELINES, day=p),
        "spend-deviance skill": lambda d, p: d.skill("spend_deviance", BASELINES, day=p),
        "Gini minus the best": lambda d, p: (
            d.of("spend_gini", PRODUCT, p) - d.best("spend_gini", BASELINES, p)
        ),
    }
    found = {name: Estimate.of(_over_all(shops, part)) for name, part in parts.items()}
    return Target(
        "log loss, spend deviance and Gini better over all cases, clear of zero",
        all(estimate.lower > 0 for estimate in found.values()),
        tuple(f"{name} {_told(estimate)}" for name, estimate in found.items()),
    )


def _calibrated(shops: Sequence[Shop]) -> Target:
    lines, met = [], True
    for shop in shops:
        for place, case in shop.cases():
            ours = _product(shop, place)
            allowed = ours["calibration_error_chance_high"] + 0.01
            met &= ours["calibration_error"] <= allowed
            lines.append(
                f"{case}: {ours['calibration_error']:.3f}, at most {allowed:.3f}; slope "
                f"{ours['calibration_slope']:.2f}, intercept {ours['calibration_intercept']:+.2f}"
            )
    name = "calibration error within .01 of what chance leaves, in every case"
    return Target(name, met, tuple(lines))


def _totals(shops: Sequence[Shop]) -> Iterator[Target]:
    rows = [(case, _product(shop, place)) for shop in shops for place, case in shop.cases()]
    inside = float(np.mean([ours["spend_total_inside"] for _, ours in rows]))
    lines = (
        f"{case}: said/seen {ours['spend_total_ratio']:.2f}, the interval "
        f"{ours['spend_total_upper'] / ours['spend_total_lower']:.1f} times as high as low"
        + ("" if ours["spend_total_inside"] else ", outside its interval")
        for case, ours in rows
    )
    yield Target(
        f"the total's 90% interval holds on about nine of ten days (here {inside:.0%})",
        inside >= 0.8,
        tuple(lines),
    )
    errors = {m: _mean(shops, "total_log_error", m) for m in (PRODUCT, *BASELINES)}
    best = min(errors[name] for name in BASELINES)
    yield Target(
        "mean absolute log error of totals at most half of the best baseline's",
        errors[PRODUCT] <= best / 2,
        (f"{errors[PRODUCT]:.3f} against {best:.3f}",),
    )


def _deciles(shops: Sequence[Shop]) -> Target:
    ours, theirs = (_mean(shops, "spend_decile_error", m) for m in (PRODUCT, BTYD))
    floor = np.mean([_product(s, p)["spend_decile_noise"] for s in shops for p, _ in s.cases()])
    return Target(
        "decile error better than BG/NBD + Gamma-Gamma's",
        ours < theirs,
        (f"{ours:.3f} against {theirs:.3f}; chance alone leaves {floor:.3f}",),
    )


def _covered(shops: Sequence[Shop]) -> Target:
    lines, met = [], True
    for shop in shops:
        coverage = shop.evaluation.pooled.coverage
        met &= coverage >= 0.88
        stages = stage_coverage(shop.contests)
        met &= all(row.coverage >= 0.85 for row in stages if not row.pooled)
        told = ", ".join(
            f"{'+'.join(row.stages)} {row.coverage:.3f}{' (few)' if row.pooled else ''}"
            for row in stages
        )
        unsure = np.mean([_product(shop, p)["coverage_90_below_sure"] for p, _ in shop.cases()])
        lines.append(f"{shop.name}: {coverage:.3f}; {told}; churn chance below .9: {unsure:.3f}")
        for place, case in shop.cases():
            low = [
                f"{row.stages[0]} {row.coverage:.3f}"
                for row in shop.evaluation.days[place].stages
                if row.coverage < 0.85 and not row.pooled
            ]
            covered = _product(shop, place)["coverage_90"]
            met &= covered >= 0.88 and not low
            if covered < 0.88 or low:
                lines.append(f"{case}: {covered:.3f}{' ' + ', '.join(low) if low else ''}")
    name = "90% intervals cover at least .88, and .85 in every stage of 400 customers or more"
    return Target(name, met, tuple(lines))


def _interval_score(shops: Sequence[Shop]) -> Target:
    found = Estimate.of(
        _over_all(shops, lambda d, p: d.skill("interval_score_90", BASELINES, day=p))
    )
    return Target(
        "interval score beats the same wrapper around the baselines",
        found.lower > 0,
        (f"lower than the best baseline's by {_told(found)} of it",),
    )


def _over_all(shops: Sequence[Shop], part: Callable[[Draws, int], Float]) -> Float:
    cases = [part(shop.drawn, place) for shop in shops for place, _ in shop.cases()]
    mean: Float = np.mean(cases, axis=0)
    return mean


def _mean(shops: Sequence[Shop], measure: str, method: str) -> float:
    values = [shop.drawn.of(measure, method, p)[0] for shop in shops for p, _ in shop.cases()]
    return float(np.nanmean(values))


def _product(shop: Shop, place: int) -> Mapping[str, float]:
    return shop.evaluation.days[place].metrics[PRODUCT]


def _told(found: Estimate) -> str:
    return f"{found.value:+.4f} ({found.lower:+.4f} to {found.upper:+.4f})"
