"""Which features the answers rest on: the trees' gain, and what each adds for each customer."""

from __future__ import annotations

from collections.abc import Sequence

import lightgbm as lgb
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from features import catalogue
from training.answers import PRODUCT
from training.dataset import TREE_FEATURES
from training.plots.canvas import COLOURS, GREY, SEEN, canvas, label, percent, rows_of

Float = NDArray[np.float64]

SHOWN = 14
HEAVY = 0.2
"""Of the largest mean: below it features have a scale of their own."""
_LOW_TO_HIGH = LinearSegmentedColormap.from_list("low to high", ["#2c7fb8", "#c9c9c9", "#d7301f"])
_UNKNOWN = "#bdbdbd"


def importance(churn: lgb.Booster, spend: lgb.Booster) -> Figure:
    """Draw the features of largest gain over the prior, of both models."""
    figure, panels = canvas(
        "Which features do the trees use?",
        "Share of all that splits on a feature gained over the prior, which already knows recency, "
        "frequency and order value",
        panels=(1, 2),
        left=0.225,
        between=0.85,
    )
    told = (("Churn", churn, COLOURS[PRODUCT]), ("Spend of buyers", spend, SEEN))
    for axes, (title, booster, colour) in zip(panels, told, strict=True):
        share = gain_shares(booster)
        top = [i for i in np.argsort(-share, kind="stable")[:SHOWN] if share[i] > 0]
        axes.barh(range(len(top)), share[top], color=colour, height=0.7)
        rows_of(axes, [TREE_FEATURES[i] for i in top])
        label(axes, title, "share of the gain", "")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        percent(axes.xaxis)
    return figure


def gain_shares(booster: lgb.Booster | None) -> Float:
    """Share of each of :data:`training.dataset.TREE_FEATURES` in the trees' gain; all 0 without."""
    if booster is None:
        return np.zeros(len(TREE_FEATURES))
    gain: Float = np.asarray(booster.feature_importance("gain"), dtype=np.float64)
    share: Float = gain / max(gain.sum(), 1e-12)
    return share


def contributions(matrix: Float, added: Float, title: str, about: str, unit: str) -> Figure:
    """Draw a dot a customer for the features that add most, coloured by the feature's value.

    Parameters
    ----------
    matrix
        Features in the catalogue's order, NaN where unknown.
    added
        What each adds to the answer, of the same shape.
    """
    weight = abs(added).mean(axis=0)
    top = [i for i in np.argsort(-weight, kind="stable")[:SHOWN] if weight[i] > 0]
    # The prior's two features would press the others into a line.
    heavy = [i for i in top if weight[i] >= HEAVY * weight[top[0]]]
    groups = [group for group in (heavy, top[len(heavy) :]) if group]
    figure, panels = canvas(
        title,
        about,
        panels=(max(len(groups), 1), 1),
        heights=[len(group) + 0.5 for group in groups] or None,
        left=0.225,
        right=0.89,
        above=0.3,
        size=(9.6, 5.8),
    )
    for axes, group in zip(panels, groups, strict=False):
        _dots(axes, matrix, added, group)
    label(panels[-1], "", f"adds to the {unit}; at the right its mean size", "")
    bar = figure.colorbar(
        ScalarMappable(cmap=_LOW_TO_HIGH), cax=figure.add_axes((0.915, 0.3, 0.012, 0.35)), ticks=[]
    )
    bar.outline.set_visible(False)
    bar.set_label("value: low to high", size=9, color=GREY)
    figure.text(0.9, 0.24, "grey: unknown,\nor a category", size=8.5, color=GREY, va="top")
    return figure


def _dots(axes: Axes, matrix: Float, added: Float, features: Sequence[int]) -> None:
    reach = abs(added[:, features]).max(initial=1e-9)
    across, up, high = [], [], []
    for row, place in enumerate(features):
        value = added[:, place]
        across.append(value)
        up.append(row + swarm(value, reach))
        high.append(_standing(matrix[:, place], catalogue.NAMES[place] in catalogue.CATEGORIES))
        axes.text(
            1.0, row, f"{abs(value).mean():.2g}", transform=axes.get_yaxis_transform(),
            ha="right", va="center", size=8.5, color=GREY,
        )  # fmt: skip
    x, y, standing = (np.concatenate(part) for part in (across, up, high))
    known = np.isfinite(standing)
    axes.scatter(x[~known], y[~known], s=6, color=_UNKNOWN, linewidths=0)
    axes.scatter(
        x[known], y[known], c=standing[known], cmap=_LOW_TO_HIGH, vmin=0, vmax=1, s=6, linewidths=0
    )
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_xlim(-1.05 * reach, 1.2 * reach)
    rows_of(axes, [catalogue.NAMES[i] for i in features])


def swarm(value: Float, reach: float, bins: int = 120) -> Float:
    """Spread dots of like value up and down, at most 0.4 from their row.

    >>> swarm(np.array([0.0, 0.0, 0.0, 1.0]), 1.0, bins=4).round(2).tolist()
    [0.0, 0.13, -0.13, 0.0]
    """
    bin_of = np.round(value / reach * bins / 2).astype(np.int64)
    order = np.argsort(bin_of, kind="stable")
    _, first, count = np.unique(bin_of[order], return_index=True, return_counts=True)
    rank = np.arange(len(value)) - np.repeat(first, count)
    side = np.where(rank % 2 == 1, 1, -1) * ((rank + 1) // 2)
    height = np.empty(len(value))
    height[order] = side * min(0.8 / max(count.max(initial=1), 1), 0.4 / 3)
    return height


def _standing(values: Float, category: bool) -> Float:
    """Place of each value among the others, 0 to 1; NaN where unknown or of no order."""
    standing = np.full(len(values), np.nan)
    known = np.isfinite(values)
    if category or not known.any():
        return standing
    different, place = np.unique(values[known], return_inverse=True)
    share = np.cumsum(np.bincount(place)) - np.bincount(place) / 2
    standing[known] = (share / len(place))[place] if len(different) > 1 else 0.5
    return standing
