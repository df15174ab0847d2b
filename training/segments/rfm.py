"""RFM: how recently, how often, for how much, in fifths of the buyers.

The fifths of direct marketing (Hughes 1994, "Strategic Database Marketing", chapter 4), each of the
three by itself; 5 is best. Customers who are equal are in one fifth, however many they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.prior import column

Float = NDArray[np.float64]

FIFTHS = 5
FEWEST = 25
"""Buyers for whom fifths are worth having."""
MEASURES = ("recency", "frequency", "monetary")
_FEATURES = ("recency_days", "purchase_days", "spend_net")


def measures(matrix: Float) -> Float:
    """Give the three of some customers, each so that more is better, shape (3, n)."""
    recency, frequency, spend = (column(matrix, name) for name in _FEATURES)
    return np.stack([-recency, frequency, spend])


@dataclass(frozen=True)
class RfmCuts:
    """Where a fifth ends, shape (3, 4): whoever is above a cut is at least in the next.

    >>> bought = np.array([1.0] * 6 + [2, 3, 5, 9])
    >>> cuts = RfmCuts.fit(np.stack([-np.arange(10.0), bought, bought * 10]))
    >>> cuts.scores(np.stack([-np.arange(10.0), bought, bought * 10]))[:2].tolist()
    [[5, 5, 4, 4, 3, 3, 2, 2, 1, 1], [1, 1, 1, 1, 1, 1, 4, 4, 5, 5]]
    """

    cuts: Float

    @classmethod
    def fit(cls, values: Float) -> RfmCuts:
        """Fit the cuts on buyers, shape (3, n)."""
        shares = np.arange(1, FIFTHS) / FIFTHS
        return cls(np.quantile(values, shares, axis=1, method="inverted_cdf").T)

    def scores(self, values: Float) -> NDArray[np.int8]:
        """Give each customer's fifth in each measure, 1 to 5, shape (3, n)."""
        above = values[:, :, None] > self.cuts[:, None, :]
        fifths: NDArray[np.int8] = (1 + above.sum(axis=2)).astype(np.int8)
        return fifths

    def to_dict(self) -> dict[str, list[float]]:
        """Give the cuts as plain numbers, by measure."""
        return dict(zip(MEASURES, self.cuts.tolist(), strict=True))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RfmCuts:
        """Read what :meth:`to_dict` wrote."""
        return cls(np.array([values[name] for name in MEASURES], dtype=np.float64))
