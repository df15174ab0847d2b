"""Churn: said against seen, and who is found first."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.answers import BTYD, PRODUCT
from training.contest import Contest
from training.metrics import equal_mass_bins, shared_outcome
from training.plots.canvas import (
    COLOURS,
    GREY,
    NAMES,
    PALE,
    SIGMA,
    canvas,
    label,
    legend,
    percent,
)

Float = NDArray[np.float64]

GROUPS = 20


def calibration(contest: Contest) -> Figure:
    """Draw churn seen against churn said, in 20 groups of equal size, beside what chance leaves."""
    figure, (curve, gap) = canvas(
        "Does churn come as often as said?",
        f"{_about(contest)}, in {GROUPS} groups of equal size by probability",
        panels=(1, 2),
    )
    place = np.arange(1, GROUPS + 1)
    lowest = 0.95
    for method in (BTYD, PRODUCT):
        said, seen, chance = _groups(contest, method)
        if method == PRODUCT:
            curve.fill_between(
                said, said - chance, said + chance, color=PALE, label="chance alone (95%)"
            )
            gap.fill_between(place[: len(said)], -chance, chance, color=PALE)
        curve.plot(said, seen, "o-", markersize=4, color=COLOURS[method], label=NAMES[method])
        lowest = min(lowest, float(said.min()), float(seen.min()))
        gap.plot(place[: len(said)], seen - said, "o-", markersize=4, color=COLOURS[method])
    curve.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    label(curve, "Share that left", "churn probability said", "share that left")
    low = max(0.0, lowest - 0.04)
    curve.set_xlim(low, 1.01)
    curve.set_ylim(low, 1.01)
    gap.axhline(0, color=GREY, linestyle=":", linewidth=1)
    label(gap, "Seen minus said", "group, the safest first", "percentage points of churn")
    gap.set_xticks([1, 5, 10, 15, 20])
    gap.yaxis.set_major_formatter(lambda value, _: f"{100 * value:+.0f}")
    percent(curve.xaxis)
    percent(curve.yaxis)
    legend(curve, "upper left")
    return figure


def gains(contest: Contest) -> Figure:
    """Draw how many of the rarer outcome are found among those who are likeliest to show it."""
    leaving = contest.churned.mean() <= 0.5
    happened = contest.churned if leaving else ~contest.churned
    who = "who left" if leaving else "who came back"
    first = "riskiest" if leaving else "likeliest to buy"
    figure, (gain, lift) = canvas(
        f"How many of those {who} are found first?",
        f"{_about(contest)}; {happened.mean():.1%} of them {who.removeprefix('who ')}",
        panels=(1, 2),
    )
    asked = np.linspace(0.01, 1.0, 100)
    for method in reversed(NAMES):
        chance = contest.answers[method].churn_probability
        found = found_share(chance if leaving else 1 - chance, happened, asked)
        colour, name = COLOURS[method], NAMES[method]
        gain.plot(np.append(0, asked), np.append(0, found), color=colour, label=name)
        lift.plot(asked, found / asked, color=colour)
    gain.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1, label="at random")
    lift.axhline(1, color=GREY, linestyle=":", linewidth=1)
    across = f"share of customers asked, the {first} first"
    label(gain, "Gains", across, f"share of those {who} that is found")
    label(lift, "Lift", across, "times as many as at random")
    lift.set_ylim(0)
    lift.set_xscale("log")
    lift.minorticks_off()
    lift.set_xticks([0.01, 0.03, 0.1, 0.3, 1.0])
    for axis in (gain.xaxis, gain.yaxis, lift.xaxis):
        percent(axis)
    legend(gain, "lower right", reverse=True)
    return figure


def found_share(score: Float, happened: NDArray[np.bool_], asked: Float) -> Float:
    """Share of all that happened which lies among the rows of highest score.

    >>> found_share(np.array([0.9, 0.5, 0.1, 0.2]), np.array([True, True, False, False]),
    ...     np.array([0.25, 0.5, 1.0])).tolist()
    [0.5, 1.0, 1.0]
    """
    hits = shared_outcome(score, happened)[np.argsort(-score, kind="stable")]
    total = max(hits.sum(), 1e-12)
    taken = np.round(asked * len(score)).astype(np.int64)
    share: Float = np.append(0.0, np.cumsum(hits))[taken] / total
    return share


def _groups(contest: Contest, method: str) -> tuple[Float, Float, Float]:
    """Said, seen, and half of the 95% range of what is seen where what was said is true."""
    probability = contest.answers[method].churn_probability
    seen = shared_outcome(probability, contest.churned)
    bins = equal_mass_bins(probability, GROUPS)
    spread = [SIGMA * np.sqrt((p := probability[g]) @ (1 - p)) / len(g) for g in bins]
    return (
        np.array([probability[g].mean() for g in bins]),
        np.array([seen[g].mean() for g in bins]),
        np.array(spread),
    )


def _about(contest: Contest) -> str:
    return (
        f"{len(contest.customer_ids):,} customers on {contest.day}, "
        f"the {contest.horizon_days} days after"
    )
