"""Whether the product is better than the best baseline, day by day and over all days."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from training.answers import PRODUCT
from training.evaluation import Evaluation
from training.findings import DayEvaluation, Pooled
from training.plots.canvas import COLOURS, GREY, SECOND, SEEN, canvas, label, legend, percent

SKILLS = {
    "primary": ("primary (mean of both)", COLOURS[PRODUCT]),
    "log_loss_skill": ("churn (log loss)", SEEN),
    "spend_deviance_skill": ("spend (deviance)", SECOND),
}


def skills(evaluation: Evaluation, horizon_days: int) -> Figure:
    """Draw the three skills of every judged day, oldest first, and of all together."""
    figure, (axes,) = canvas(
        "Is it better than the best baseline?",
        "Share of the best baseline's loss that is saved, on the same customers and days, the "
        f"{horizon_days} days after each, with 95% intervals over customers; above 0 is better",
        below=0.85,
    )
    judged: list[DayEvaluation | Pooled] = [*evaluation.days, evaluation.pooled]
    place = np.arange(len(judged), dtype=float)
    place[-1] += 0.4
    for shift, (name, (words, colour)) in zip((-0.16, 0.0, 0.16), SKILLS.items(), strict=True):
        found = [one.skills[name] for one in judged]
        value = np.array([f.value for f in found])
        sides = np.array([[f.value - f.lower, f.upper - f.value] for f in found]).T
        axes.errorbar(
            place + shift, value, yerr=np.maximum(sides, 0), color=colour, marker="o",
            linestyle="", capsize=3, label=words,
        )  # fmt: skip
    axes.axhline(0, color=GREY, linewidth=1)
    axes.axvline(len(judged) - 1.3, color=GREY, linewidth=0.8, linestyle=":")
    learned = [f"{day.day}\n{_days(day.learned_days)}" for day in evaluation.days]
    together = f"all together\n{_days(evaluation.pooled.days)}"
    axes.set_xticks(place, [*learned, together], size=9)
    label(axes, "", "judged day, and how many labelled days it learned from", "skill")
    percent(axes.yaxis)
    axes.grid(visible=False, axis="x")
    legend(axes, "best")
    return figure


def _days(count: int) -> str:
    return f"{count} day{'s' * (count != 1)}"
