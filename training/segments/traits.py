"""What customers are told apart by: habits of buying and of contact, never who they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features import catalogue

Float = NDArray[np.float64]

LOGGED = (
    "purchase_days", "recency_days", "tenure_days", "order_value_mean", "lines_per_purchase",
    "categories", "interactions_365d",
)  # fmt: skip
"""Skewed: what counts is by which factor they differ."""
SHARES = ("discount_share", "returns_share")
NAMES = (*LOGGED, *SHARES)
MOSTLY_KNOWN = 0.5
"""A trait that is unknown of more buyers than this share is left out."""
MOSTLY_SAME = 0.9
"""A trait in which more buyers than this share are equal tells too few apart."""
FURTHEST = 3.0
"""Standard deviations beyond which somebody is as far as this: a few giants make no cluster."""


@dataclass(frozen=True)
class Traits:
    """How traits become numbers of one scale, fitted on the buyers of one day.

    Attributes
    ----------
    names : tuple of str
        The features, d of them.
    fill, middle, spread : float64 arrays of shape (d,)
        Taken where a value is unknown; mean and standard deviation, after the logarithm where
        there is one.
    """

    names: tuple[str, ...]
    fill: Float
    middle: Float
    spread: Float

    @classmethod
    def fit(cls, matrix: Float) -> Traits:
        """Choose the traits that tell these buyers apart, and fit their scale."""
        kept = [name for name in NAMES if _tells(matrix[:, _place(name)])]
        values = _logged(kept, matrix)
        fill = np.nanmedian(values, axis=0) if kept else np.zeros(0)
        known = np.where(np.isnan(values), fill, values)
        return cls(tuple(kept), fill, known.mean(axis=0), known.std(axis=0))

    def scaled(self, matrix: Float) -> Float:
        """Put customers on the scale, shape (n, d): 0 is the mean, 1 a standard deviation above."""
        values = _logged(self.names, matrix)
        known = np.where(np.isnan(values), self.fill, values)
        return np.clip((known - self.middle) / self.spread, -FURTHEST, FURTHEST)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            name: {"fill": fill, "middle": middle, "spread": spread}
            for name, fill, middle, spread in zip(
                self.names, self.fill.tolist(), self.middle.tolist(), self.spread.tolist(),
                strict=True,
            )
        }  # fmt: skip

    @classmethod
    def from_dict(cls, values: Mapping[str, Mapping[str, float]]) -> Traits:
        """Read what :meth:`to_dict` wrote; a file may have put the names in another order."""
        names = tuple(name for name in NAMES if name in values)
        columns = (
            np.array([values[name][what] for name in names], dtype=np.float64)
            for what in ("fill", "middle", "spread")
        )
        return cls(names, *columns)


def _place(name: str) -> int:
    return catalogue.NAMES.index(name)


def _tells(values: Float) -> bool:
    known = values[~np.isnan(values)]
    if not len(known) or len(known) < MOSTLY_KNOWN * len(values):
        return False
    _, counts = np.unique(known, return_counts=True)
    return bool(counts.max() <= MOSTLY_SAME * len(known))


def _logged(names: Sequence[str], matrix: Float) -> Float:
    values: Float = matrix[:, [_place(name) for name in names]]
    logged = np.array([name in LOGGED for name in names], dtype=bool)
    return np.where(logged, np.log1p(np.maximum(values, 0.0)), values)
