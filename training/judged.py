"""Predictions of a day whose outcomes are known, by a model that had not seen them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.dataset import LabelledDay
from training.intervals import PROMISED

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """Calibrated predictions of one labelled day, made from labels that ended by that day.

    Attributes
    ----------
    churn_probability, expected_spend
        Shape (n,).
    lower, upper
        Bounds of the net spend that will be seen, a column for each coverage of
        :data:`training.intervals.PROMISED`, shape (n, 3).
    total_lower, total_upper
        90% interval of the net spend of all the day's customers together.
    """

    day: LabelledDay
    churn_probability: Float
    expected_spend: Float
    lower: Float
    upper: Float
    total_lower: float
    total_upper: float

    @property
    def spend_lower(self) -> Float:
        """Lower bound at 90%."""
        return self.lower[:, PROMISED.index(0.9)]

    @property
    def spend_upper(self) -> Float:
        """Upper bound at 90%."""
        return self.upper[:, PROMISED.index(0.9)]
