"""What tuning found: the loss trial by trial, and along each parameter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from training.answers import BTYD, PRODUCT
from training.plots.canvas import COLOURS, GREY, SECOND, canvas, label
from training.tuning.search import Trial
from training.tuning.space import SPACE

Float = NDArray[np.float64]

FEWEST = 10
"""Trials below which no share of the loss is told: a parabola fits a handful anyway."""
MEASURES = {"churn": "log loss", "spend": "gamma deviance"}
SHOWN = 4.0
"""Losses beyond so many times the middle one's distance from the best are cut off."""


def tuning(trials: Sequence[Trial], task: str) -> Figure:
    """Draw the loss of each trial with the best so far, and against every parameter."""
    done = [t for t in trials if t.value is not None and t.state == "complete"]
    loss = np.array([t.value for t in done], dtype=np.float64)
    pruned = len(trials) - len(done)
    figure, panels = canvas(
        f"What did tuning find for {task}?",
        f"{len(done)} trials run to the end, {pruned} stopped early; {MEASURES[task]} over the "
        "folds, less is better; the ring is what was chosen",
        panels=(2, 4),
        size=(9.6, 5.6),
        above=0.62,
        between=0.16,
    )
    slices = {name: [t.parameters[name] for t in done] for name in (*SPACE, "rounds")}
    _history(panels[0], done, loss)
    for axes, (name, values) in zip(panels[1:], slices.items(), strict=True):
        where = np.array(values, dtype=np.float64)
        if getattr(SPACE.get(name), "log", False):
            marks = _marks(where)
            where = np.log(where)
            # A logarithmic axis takes three times as long to draw.
            axes.set_xticks(np.log(marks), [f"{mark:g}" for mark in marks])
        else:
            axes.xaxis.set_major_locator(MaxNLocator(3))
        _slice(axes, where, loss)
        told = explained(where, loss)
        label(axes, name + (f": {told:.0%}" if np.isfinite(told) else ""), "", "")
    for place, axes in enumerate(panels):
        axes.set_ylim(*_limits(loss))
        axes.tick_params(labelsize=8)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        if place % 4:
            axes.set_yticklabels([])
        else:
            axes.set_ylabel(MEASURES[task], size=9)
    figure.text(
        0.02, 0.02,
        "percentages: the share of the loss's variance along a parabola in that parameter alone"
        if len(done) >= FEWEST
        else f"fewer than {FEWEST} trials: which parameter mattered cannot be told",
        size=9, color=GREY,
    )  # fmt: skip
    return figure


def explained(where: Float, loss: Float) -> float:
    """Share of the loss's variance along a parabola in one parameter; NaN with few trials.

    >>> x = np.linspace(-1, 1, 20)
    >>> round(explained(x, 3 * x**2), 2), round(explained(x, np.sin(40 * x)), 1)
    (1.0, 0.0)
    """
    if len(loss) < FEWEST or np.ptp(where) == 0 or np.ptp(loss) == 0:
        return float("nan")
    left = loss - np.polyval(np.polyfit(where, loss, 2), where)
    return float(1 - left.var() / loss.var())


def _history(axes: Axes, done: Sequence[Trial], loss: Float) -> None:
    number = [t.number for t in done]
    axes.plot(number, loss, "o", color=SECOND, markersize=4)
    if len(loss):
        axes.step(number, np.minimum.accumulate(loss), where="post", color=COLOURS[PRODUCT])
    label(axes, "trial by trial", "", "")


def _slice(axes: Axes, where: Float, loss: Float) -> None:
    axes.plot(where, loss, "o", color=COLOURS[PRODUCT], markersize=4, alpha=0.7)
    if len(loss):
        best = int(np.argmin(loss))
        axes.plot(
            where[best], loss[best], "o", markersize=10, markerfacecolor="none",
            markeredgecolor=COLOURS[BTYD], markeredgewidth=1.8,
        )  # fmt: skip


def _marks(where: Float) -> list[float]:
    """Three round numbers on a logarithmic axis."""
    if not len(where) or np.ptp(where) == 0:
        return []
    ends = np.geomspace(where.min(), where.max(), 3)
    return [float(f"{mark:.1g}") for mark in ends]


def _limits(loss: Float) -> tuple[float, float]:
    if not len(loss):
        return 0.0, 1.0
    best = float(loss.min())
    reach = min(float(loss.max()), best + SHOWN * float(np.median(loss) - best))
    room = max(reach - best, 1e-9)
    return best - 0.12 * room, reach + 0.12 * room
