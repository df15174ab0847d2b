"""Whether there were enough trees: the loss as they were added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from training.answers import PRODUCT
from training.plots.canvas import COLOURS, GREY, SECOND, canvas, label, legend, percent
from training.rounds import Curve
from training.trees import Task

WORDS: dict[Task, str] = {"churn": "Churn (log loss)", "spend": "Spend of buyers (gamma deviance)"}


def rounds(curves: Mapping[Task, Sequence[Curve]]) -> Figure:
    """Draw the share of the prior's loss that the trees save, on a learned and an unseen day."""
    figure, panels = canvas(
        "Were there enough trees, or too many?",
        "Share of the prior's loss that the trees of the newest rolling origin save; where the "
        "unseen day falls while the learned one rises, they learn noise",
        panels=(1, len(curves)),
    )
    for axes, (task, found) in zip(panels, curves.items(), strict=True):
        for one, colour, words in zip(
            found, (SECOND, COLOURS[PRODUCT]), ("learned from", "not seen before"), strict=False
        ):
            axes.plot(one.trees, one.saved, color=colour, label=f"{one.day}, {words}")
        axes.axhline(0, color=GREY, linestyle=":", linewidth=1)
        label(axes, WORDS[task], "trees", "loss saved against the prior alone")
        percent(axes.yaxis, None)
        if found:
            legend(axes)
    return figure
