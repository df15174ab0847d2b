"""What has moved since the champion: features, and the probabilities that are said."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.answers import BTYD, PRODUCT
from training.plots.canvas import (
    COLOURS,
    GREY,
    SECOND,
    canvas,
    label,
    legend,
    percent,
    rows_of,
)
from training.tracking.drift import MUCH, SOME, Drift
from training.tracking.population import QUANTILES

SHOWN = 15
SHORTEST = 0.002


def drift(found: Drift) -> Figure:
    """Draw the features that moved most, and the churn probabilities then and now."""
    figure, (moved, said) = canvas(
        f"What has moved since version {found.version}, the champion?",
        f"{found.then.customers:,} customers on {found.then.as_of} beside "
        f"{found.now.customers:,} on {found.now.as_of}",
        panels=(1, 2),
        left=0.25,
        between=0.25,
        size=(9.6, 5.6),
    )
    names = list(found.psi)[:SHOWN]
    index = np.array([found.psi[name] for name in names])
    colours = [
        COLOURS[BTYD] if value >= MUCH else SECOND if value >= SOME else GREY for value in index
    ]
    rows = np.arange(len(names))
    moved.hlines(rows, SHORTEST, np.maximum(index, SHORTEST), color=colours, linewidth=2)
    moved.scatter(np.maximum(index, SHORTEST), rows, c=colours, s=28, zorder=3)
    for mark, text, side in ((SOME, "some ", "right"), (MUCH, " much", "left")):
        moved.axvline(mark, color=GREY, linestyle=":", linewidth=1)
        moved.text(
            mark, 1.01, text, size=9, color=GREY, ha=side, transform=moved.get_xaxis_transform()
        )
    moved.set_xscale("log")
    moved.set_xlim(SHORTEST, max(1.0, 1.6 * index.max(initial=0.0)))
    moved.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    rows_of(moved, names)
    label(moved, "Features", "population stability index (log scale)", "")
    _said(said, found)
    return figure


def _said(axes: Axes, found: Drift) -> None:
    lines = [(found.then.said, f"champion, {found.then.as_of}", GREY, "--")]
    if found.champion_now is not None:
        lines.append((found.champion_now, f"champion, {found.now.as_of}", SECOND, "-"))
    lines.append((found.now.said, f"this version, {found.now.as_of}", COLOURS[PRODUCT], "-"))
    for one, words, colour, style in lines:
        axes.plot(
            QUANTILES,
            one.churn_quantiles,
            color=colour,
            linestyle=style,
            label=f"{words}: mean {one.churn:.3f}",
        )
    label(axes, "Churn probability said", "customers, the safest first", "churn probability")
    axes.set_xlim(0, 1)
    percent(axes.xaxis)
    percent(axes.yaxis)
    legend(axes, "lower right")
