"""Bands: a customer's risk and value in words, relative to the company.

The cuts are those of the lifecycle stages, fitted with the model, so that no customer is called of
low risk in one place and declining for their risk in another.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.population import StageThresholds

Float = NDArray[np.float64]

BANDS = ("low", "mid", "high")
UNKNOWN = -1
LOW_VALUE_SHARE = 0.25
"""An annual value below this share of one that is high is low."""


def risk_band(churn_probability: Float, thresholds: StageThresholds) -> NDArray[np.int8]:
    """Put churn probabilities into bands, indices into :data:`BANDS`.

    High is above ``churn_high``, which three of four active customers are below when the model is
    fitted; low is up to ``churn_low``, their median.

    >>> company = StageThresholds(91, 30, 0.7, 0.3, 200, 2, 40)
    >>> risk_band(np.array([0.3, 0.5, 0.7, 0.71, np.nan]), company).tolist()
    [0, 1, 1, 2, -1]
    """
    return _bands(
        churn_probability,
        churn_probability <= thresholds.churn_low,
        churn_probability > thresholds.churn_high,
    )


def value_band(annual_value: Float, thresholds: StageThresholds) -> NDArray[np.int8]:
    """Put values over twelve months into bands, indices into :data:`BANDS`.

    High is from ``value_high`` on: the fewest active customers who held 60% of all value when the
    model was fitted. Low is below a quarter of that.

    >>> company = StageThresholds(91, 30, 0.7, 0.3, 200, 2, 40)
    >>> value_band(np.array([-3.0, 49.9, 50.0, 200.0, np.nan]), company).tolist()
    [0, 0, 1, 2, -1]
    """
    return _bands(
        annual_value,
        annual_value < LOW_VALUE_SHARE * thresholds.value_high,
        annual_value >= thresholds.value_high,
    )


def _bands(values: Float, low: NDArray[np.bool_], high: NDArray[np.bool_]) -> NDArray[np.int8]:
    # High last: where every customer looks alike the cuts coincide.
    bands = np.where(high, 2, np.where(low, 0, 1))
    return np.where(np.isnan(values), UNKNOWN, bands).astype(np.int8)
