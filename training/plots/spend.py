"""Spend: said against seen by tenth of customers, and whether the intervals hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.answers import BTYD, PRODUCT
from training.contest import Contest
from training.intervals import PROMISED
from training.metrics import equal_mass_bins, shared_outcome
from training.plots.canvas import (
    COLOURS,
    GREY,
    NAMES,
    SECOND,
    SEEN,
    SIGMA,
    canvas,
    half_width,
    label,
    legend,
    percent,
)
from training.stages import STAGES

Float = NDArray[np.float64]
Groups = Sequence[NDArray[np.int64]]

FEWEST = 30
"""Customers below whom a stage is left out: its share would be noise."""
_COLOURS = dict(zip(PROMISED, (SEEN, SECOND, COLOURS[PRODUCT]), strict=True))


def deciles(contest: Contest, currency: str) -> Figure:
    """Draw mean spend said and seen by tenth of customers, and their ratio."""
    figure, (money, ratio) = canvas(
        "Is spend what was said, tenth by tenth?",
        f"{_about(contest)}; tenths by expected spend; lines are 95% intervals of the mean",
        panels=(1, 2),
    )
    said, seen = contest.answers[PRODUCT].expected_spend, contest.net_spend
    groups = equal_mass_bins(said, 10)[::-1]
    place = np.arange(1, len(groups) + 1)
    ours, theirs = _means(said, groups), _means(shared_outcome(said, seen), groups)
    noise = np.array([half_width(seen[g]) for g in groups])
    money.bar(place - 0.2, ours, width=0.38, color=COLOURS[PRODUCT], label="said")
    money.bar(
        place + 0.2, theirs, width=0.38, color=SEEN, label="seen",
        yerr=noise, error_kw={"ecolor": GREY, "elinewidth": 1.2},
    )  # fmt: skip
    rival = contest.answers[BTYD].expected_spend
    money.plot(
        place, _means(rival, groups), color=COLOURS[BTYD], marker="_", linestyle="",
        markersize=16, markeredgewidth=2, label=f"{NAMES[BTYD]} said",
    )  # fmt: skip
    label(money, "Mean spend", "tenth, the most valuable first", f"{currency} a customer")
    legend(money, "upper right")
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio.errorbar(
            place, theirs / ours, yerr=noise / ours, color=COLOURS[PRODUCT], marker="o",
            linestyle="", capsize=3,
        )  # fmt: skip
    ratio.axhline(1, color=GREY, linestyle=":", linewidth=1)
    label(ratio, "Seen over said", "tenth, the most valuable first", "ratio; 1 is as said")
    # A tenth that was said to spend next to nothing may be out by any ratio.
    ratio.set_ylim(0, min(3.0, max(2.0, ratio.get_ylim()[1])))
    for axes in (money, ratio):
        axes.set_xticks(place)
        axes.grid(visible=False, axis="x")
    return figure


def coverage(contest: Contest) -> Figure:
    """Draw the share of outcomes in the intervals of 50, 80 and 90%, by tenth and by stage."""
    figure, (tenth, stage) = canvas(
        "Do the intervals of spend hold?",
        f"{_about(contest)}; dashes are the promises. Who is most likely gone has an interval of "
        "nothing alone, which holds more than was promised.",
        panels=(1, 2),
        left=0.075,
    )
    groups = equal_mass_bins(contest.answers[PRODUCT].expected_spend, 10)[::-1]
    stages = [place for place in range(len(STAGES)) if (contest.stage == place).sum() >= FEWEST]
    _covered(tenth, contest, groups)
    _covered(stage, contest, [np.flatnonzero(contest.stage == place) for place in stages])
    label(tenth, "By expected spend", "tenth, the most valuable first", "outcomes in the interval")
    tenth.set_xticks(range(len(groups)), [str(n + 1) for n in range(len(groups))])
    label(stage, "By lifecycle stage", "", "")
    stage.set_xticks(range(len(stages)), [_stage(contest, place) for place in stages])
    handles, names = tenth.get_legend_handles_labels()
    figure.legend(
        handles, names, frameon=False, fontsize=9, ncols=3, loc="upper right",
        bbox_to_anchor=(0.985, 0.995),
    )  # fmt: skip
    return figure


def _covered(axes: Axes, contest: Contest, groups: Groups) -> None:
    place = np.arange(len(groups))
    for coverage, colour in _COLOURS.items():
        lower, upper = contest.answers[PRODUCT].bounds(coverage)
        inside = (contest.net_spend >= lower) & (contest.net_spend <= upper)
        share = np.array([inside[g].mean() for g in groups])
        size = np.array([len(g) for g in groups])
        axes.errorbar(
            place, share, yerr=SIGMA * np.sqrt(share * (1 - share) / size), color=colour,
            marker="o", linestyle="", capsize=3, label=f"{coverage:.0%} interval",
        )  # fmt: skip
        axes.axhline(coverage, color=colour, linestyle="--", linewidth=1)
    axes.set_ylim(0.3, 1.03)
    axes.set_xlim(-0.5, len(groups) - 0.5)
    axes.grid(visible=False, axis="x")
    percent(axes.yaxis)


def residuals(contest: Contest, currency: str) -> Figure:
    """Draw said minus seen of churn and of spend, a mean with its interval for each stage."""
    figure, (churn, spend) = canvas(
        "In which stages is it off?",
        f"{_about(contest)}; said minus seen, with the 95% interval of the mean: 0 is right",
        panels=(1, 2),
        left=0.16,
        between=0.12,
    )
    said = contest.answers[PRODUCT]
    stages = [place for place in range(len(STAGES)) if (contest.stage == place).sum() >= 2]
    rows = [np.flatnonzero(contest.stage == place) for place in stages]
    residual = {
        churn: 100 * (said.churn_probability - contest.churned),
        spend: said.expected_spend - contest.net_spend,
    }
    for axes, values in residual.items():
        axes.axvline(0, color=GREY, linestyle=":", linewidth=1)
        axes.errorbar(
            [values[r].mean() for r in rows],
            range(len(rows)),
            xerr=[half_width(values[r]) for r in rows],
            color=COLOURS[PRODUCT], marker="o", linestyle="", capsize=3,
        )  # fmt: skip
        axes.set_yticks(range(len(rows)), [])
        axes.set_ylim(len(rows) - 0.5, -0.5)
    names = [_stage(contest, place) for place in stages]
    churn.set_yticks(range(len(rows)), names, size=9)
    label(churn, "Churn", "percentage points; right of 0: said too much", "")
    label(spend, "Spend", f"{currency} a customer; right of 0: said too much", "")
    return figure


def _stage(contest: Contest, place: int) -> str:
    return f"{STAGES[place]}\n{(contest.stage == place).sum():,}"


def _means(values: Float, groups: Groups) -> Float:
    return np.array([values[g].mean() for g in groups])


def _about(contest: Contest) -> str:
    return (
        f"{len(contest.customer_ids):,} customers on {contest.day}, "
        f"the {contest.horizon_days} days after"
    )
