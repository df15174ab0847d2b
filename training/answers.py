"""What one method said of the customers of a day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.intervals import PROMISED

Float = NDArray[np.float64]

PRODUCT = "lifecycle"
BTYD = "bg_nbd_gamma_gamma"
PAST = "recency_and_past_spend"
BASELINES = (BTYD, PAST)


@dataclass(frozen=True)
class Answers:
    """Answers of one method, a row a customer.

    Attributes
    ----------
    churn_probability, expected_spend
        Shape (n,); spend is the mean over all outcomes, in currency.
    lower, upper
        Bounds of the net spend that will be seen, a column for each coverage of
        :data:`training.intervals.PROMISED`, shape (n, 3).
    """

    churn_probability: Float
    expected_spend: Float
    lower: Float
    upper: Float

    def bounds(self, coverage: float) -> tuple[Float, Float]:
        """Lower and upper bound at one of the promised coverages."""
        place = PROMISED.index(coverage)
        return self.lower[:, place], self.upper[:, place]

    def take(self, rows: NDArray[np.int64]) -> Answers:
        """Keep some customers."""
        return Answers(
            self.churn_probability[rows],
            self.expected_spend[rows],
            self.lower[rows],
            self.upper[rows],
        )
