"""What may make an action move one customer more than another: a few facts that everybody has.

Few and named beforehand, so that a company of ten thousand customers can learn what they do: an
action's effect on one customer differs from its effect on another by less than a tenth of the
noise in what either then buys, and trees over a hundred features find noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from training.dataset import TREE_FEATURES

Float = NDArray[np.float64]

MODERATORS = (
    "lateness", "recency_days", "tenure_days", "purchases", "order_value_mean", "discount_share",
    "days_since_interaction", "visit_90d", "intent_90d",
)  # fmt: skip
_SHARES = ("discount_share",)
"""Taken as they are; of all others the logarithm is taken, of one more."""
FARTHEST = 3.0
"""Standard deviations from the mean beyond which a fact says no more."""


@dataclass(frozen=True)
class Moderators:
    """Mean and spread of the facts among those who were assigned; a place for each.

    Examples
    --------
    What is unknown lies in the middle, what is far out not too far:

    >>> rows = np.array([[0.0], [np.nan], [np.e - 1], [1e9]])
    >>> Moderators(("purchases",), (0.5,), (0.5,)).of(rows, ["purchases"]).tolist()
    [[-1.0], [0.0], [1.0], [3.0]]
    """

    names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    sd: tuple[float, ...] = ()

    @classmethod
    def fit(cls, rows: NDArray[np.floating], names: Sequence[str] = TREE_FEATURES) -> Moderators:
        """Take the mean and spread of those that say anything here."""
        known = [name for name in MODERATORS if name in names]
        raw = _raw(rows, known, names)
        told = np.isfinite(raw).sum(axis=0) > 1
        kept = [n for n, place in enumerate(known) if told[n] and np.nanstd(raw[:, n]) > 0]
        return cls(
            tuple(known[n] for n in kept),
            tuple(float(np.nanmean(raw[:, n])) for n in kept),
            tuple(float(np.nanstd(raw[:, n])) for n in kept),
        )

    def of(self, rows: NDArray[np.floating], names: Sequence[str] = TREE_FEATURES) -> Float:
        """Give the facts of some rows in standard deviations, shape (n, facts)."""
        about = (_raw(rows, self.names, names) - np.array(self.mean)) / np.array(self.sd)
        facts: Float = np.clip(np.nan_to_num(about), -FARTHEST, FARTHEST)
        return facts


def _raw(rows: NDArray[np.floating], wanted: Sequence[str], names: Sequence[str]) -> Float:
    taken = rows[:, _places(tuple(wanted), tuple(names))].astype(np.float64)
    for place, name in enumerate(wanted):
        if name not in _SHARES:
            taken[:, place] = np.log1p(np.maximum(taken[:, place], 0.0))
    return taken


@cache
def _places(wanted: tuple[str, ...], names: tuple[str, ...]) -> list[int]:
    return [names.index(name) for name in wanted]
