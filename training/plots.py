"""The pictures of a run: what was said against what was seen."""

from __future__ import annotations

from collections.abc import Sequence

import lightgbm as lgb
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.answers import BTYD, PRODUCT
from training.contest import Contest
from training.dataset import TREE_FEATURES
from training.metrics import equal_mass_bins
from training.tuning.search import Trial

Float = NDArray[np.float64]

NAMES = {PRODUCT: "Lifecycle", BTYD: "BG/NBD + Gamma-Gamma"}
COLOURS = {PRODUCT: "#0072b2", BTYD: "#d55e00"}


def calibration(contest: Contest) -> Figure:
    """Churn probability said against seen, in 20 bins of equal mass."""
    figure, axes = _canvas("Churn: said against seen", "said", "seen")
    axes.plot([0, 1], [0, 1], color="#999999", linestyle=":", label="perfect")
    for name, probability in _churn_answers(contest).items():
        bins = equal_mass_bins(probability, 20)
        said = [probability[g].mean() for g in bins]
        seen = [contest.churned[g].mean() for g in bins]
        axes.plot(said, seen, marker="o", markersize=4, color=COLOURS[name], label=NAMES[name])
    axes.legend(frameon=False)
    return figure


def gains(contest: Contest) -> Figure:
    """Share of the churners found among the customers of highest risk."""
    figure, axes = _canvas("Churn: gains", "share of customers, riskiest first", "churners found")
    axes.plot([0, 1], [0, 1], color="#999999", linestyle=":", label="at random")
    churned = contest.churned.astype(float)
    for name, probability in _churn_answers(contest).items():
        found = np.cumsum(churned[np.argsort(-probability, kind="stable")]) / churned.sum()
        axes.plot(
            np.arange(1, len(found) + 1) / len(found), found, color=COLOURS[name], label=NAMES[name]
        )
    axes.legend(frameon=False)
    return figure


def deciles(contest: Contest) -> Figure:
    """Mean spend said against seen, by tenth of customers, the most valuable first."""
    figure, axes = _canvas(
        "Spend: said against seen", "tenth of customers by prediction", "mean spend"
    )
    said = contest.answers[PRODUCT].expected_spend
    groups = equal_mass_bins(said, 10)[::-1]
    place = np.arange(1, len(groups) + 1)
    axes.bar(
        place - 0.2,
        [said[g].mean() for g in groups],
        width=0.4,
        color=COLOURS[PRODUCT],
        label="said",
    )
    axes.bar(
        place + 0.2,
        [contest.net_spend[g].mean() for g in groups],
        width=0.4,
        color="#009e73",
        label="seen",
    )
    btyd = contest.answers[BTYD].expected_spend
    axes.plot(
        place,
        [btyd[g].mean() for g in groups],
        color=COLOURS[BTYD],
        marker="_",
        linestyle="",
        markersize=14,
        label=f"{NAMES[BTYD]} said",
    )
    axes.set_xticks(place)
    axes.legend(frameon=False)
    return figure


def coverage(contest: Contest) -> Figure:
    """Share of customers whose spend fell in its 90% interval, by tenth of prediction."""
    figure, axes = _canvas("Spend: coverage of the 90% interval", "tenth by prediction", "covered")
    answers, seen = contest.answers[PRODUCT], contest.net_spend
    groups = equal_mass_bins(answers.expected_spend, 10)[::-1]
    lower, upper = answers.bounds(0.9)
    covered = (seen >= lower) & (seen <= upper)
    place = np.arange(1, len(groups) + 1)
    axes.bar(place, [covered[g].mean() for g in groups], color=COLOURS[PRODUCT])
    axes.axhline(0.9, color="#d55e00", linestyle="--", label="promised")
    axes.set_ylim(0.5, 1.0)
    axes.set_xticks(place)
    axes.legend(loc="lower right")
    return figure


def importance(booster: lgb.Booster, task: str) -> Figure:
    """The features with the largest total gain over the prior."""
    gain = booster.feature_importance("gain")
    top = np.argsort(gain)[::-1][:15][::-1]
    top = top[gain[top] > 0]
    figure, axes = _canvas(f"{task.title()}: what the trees add to the prior", "share of gain", "")
    axes.barh(
        [TREE_FEATURES[i] for i in top], gain[top] / max(gain.sum(), 1e-12), color=COLOURS[PRODUCT]
    )
    return figure


def tuning_history(trials: Sequence[Trial], task: str) -> Figure:
    """Loss of each trial and the best so far."""
    figure, axes = _canvas(f"{task.title()}: tuning", "trial", "loss")
    done = [(t.number, t.value) for t in trials if t.value is not None and t.state == "complete"]
    if done:
        number, value = np.array(done).T
        axes.plot(number, value, marker="o", linestyle="", color="#56b4e9", label="trial")
        axes.step(
            number, np.minimum.accumulate(value), where="post", color=COLOURS[PRODUCT], label="best"
        )
        axes.legend(frameon=False)
    return figure


def _churn_answers(contest: Contest) -> dict[str, Float]:
    return {name: contest.answers[name].churn_probability for name in NAMES}


def _canvas(title: str, across: str, up: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 4.6), layout="constrained", dpi=110)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left")
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
