"""How every picture looks: a title in words, what it is of beneath it, quiet axes with units."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from training.answers import BTYD, PAST, PRODUCT

NAMES = {
    PRODUCT: "Lifecycle",
    BTYD: "BG/NBD + Gamma-Gamma",
    PAST: "recency and past spend",
}
COLOURS = {PRODUCT: "#0072b2", BTYD: "#d55e00", PAST: "#8c8c8c"}
SEEN, SECOND = "#009e73", "#e69f00"
INK, GREY, PALE = "#222222", "#666666", "#e6e6e6"
DPI = 100
LINE = 125
"""Letters that fit beneath the title."""
SIGMA = 1.96
"""Standard errors on each side of a 95% interval."""


def canvas(
    title: str,
    about: str,
    *,
    panels: tuple[int, int] = (1, 1),
    size: tuple[float, float] = (9.6, 5.2),
    left: float = 0.085,
    right: float = 0.975,
    between: float = 0.25,
    above: float = 0.35,
    below: float = 0.6,
    heights: Sequence[float] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Open a picture with rows and columns of panels.

    A layout that measures every text first would take three times as long to draw.

    Parameters
    ----------
    about
        Wrapped into lines.
    left, right
        Edges of the panels, as shares of the width.
    between, above
        Room between columns and rows, as shares of a panel.
    below
        Room for what stands under the lowest axis, in inches.
    heights
        Of the rows, in proportion.
    """
    figure = Figure(figsize=size, dpi=DPI, facecolor="white")
    grid = figure.subplots(*panels, squeeze=False, height_ratios=heights)
    height, lines = size[1], wrap(about, LINE)
    figure.subplots_adjust(
        left=left,
        right=right,
        bottom=below / height,
        top=1 - (0.82 + 0.18 * len(lines)) / height,
        wspace=between,
        hspace=above,
    )
    figure.text(0.02, 1 - 0.34 / height, title, size=13.5, weight="bold", color=INK)
    figure.text(
        0.02, 1 - 0.44 / height, "\n".join(lines), size=9.5, color=GREY, va="top",
        linespacing=1.3,
    )  # fmt: skip
    axes = list(grid.ravel())
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.spines[["left", "bottom"]].set_color(GREY)
        one.tick_params(labelsize=9, colors=GREY, labelcolor=INK, length=3)
        one.grid(visible=True, color=PALE, linewidth=0.7)
        one.set_axisbelow(True)
    return figure, axes


def label(axes: Axes, title: str, across: str, up: str) -> None:
    """Title a panel and name its axes."""
    axes.set_title(title, loc="left", size=10.5, color=INK)
    axes.set_xlabel(across, size=9.5, color=INK)
    axes.set_ylabel(up, size=9.5, color=INK)


def percent(axis: Any, decimals: int | None = 0) -> None:  # noqa: ANN401 - of matplotlib
    """Show shares as percentages."""
    axis.set_major_formatter(PercentFormatter(1.0, decimals=decimals))


def legend(axes: Axes, place: str = "best", **options: object) -> None:
    """Explain the marks, without a box."""
    axes.legend(frameon=False, fontsize=9, loc=place, **options)


def half_width(values: NDArray[Any]) -> float:
    """Half of the 95% interval of a mean.

    >>> round(half_width(np.array([0.0, 1.0] * 50)), 3)
    0.098
    """
    if len(values) < 2:
        return float("nan")
    return float(SIGMA * np.std(values, ddof=1) / np.sqrt(len(values)))


def rows_of(axes: Axes, names: Sequence[str], size: float = 9) -> None:
    """Name the rows of a horizontal picture, the first on top."""
    axes.set_yticks(range(len(names)), names, size=size)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
