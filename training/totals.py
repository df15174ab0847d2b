"""How far the total of a customer base may lie from what is said of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Float = NDArray[np.float64]

TOGETHER = 0.5
"""Correlation of the levels of churn and spend: a good season brings more buyers and more each."""
BUYERS_VARIATION = 1.5
"""Squared coefficient of variation of a buyer's spend around its mean, for the noise of a total."""


def total_interval(
    churn_probability: Float,
    spend_if_purchase: Float,
    spend_if_none: float | Float,
    churn_level_sd: float,
    spend_level_sd: float,
    coverage: float = 0.9,
) -> tuple[float, float]:
    """Interval of the net spend of all customers together.

    Customers' own chance averages out over many; what remains is the uncertainty of the two
    levels, which moves all at once. Both are taken as log-normal around the sum of the means.

    Parameters
    ----------
    churn_level_sd, spend_level_sd
        Standard deviations of the levels, in log-odds and logs.

    Returns
    -------
    lower, upper
        In currency.

    Examples
    --------
    >>> half, ten = np.full(10_000, 0.5), np.full(10_000, 10.0)
    >>> [round(bound, -2) for bound in total_interval(half, ten, 0.0, 0.0, 0.0)]
    [48400.0, 51700.0]
    >>> [round(bound, -2) for bound in total_interval(half, ten, 0.0, 0.2, 0.1)]
    [37500.0, 66600.0]
    """
    buys = 1 - churn_probability
    total = float((buys * spend_if_purchase + churn_probability * spend_if_none).sum())
    spent = float((buys * spend_if_purchase).sum())
    if total <= 0 or spent <= 0:
        return total, total
    # What a shift of everybody's log-odds does to the log of the total.
    moved = float((buys * churn_probability * spend_if_purchase).sum()) / spent * churn_level_sd
    levels = moved**2 + spend_level_sd**2 + 2 * TOGETHER * moved * spend_level_sd
    own = float((buys * spend_if_purchase**2 * (BUYERS_VARIATION + churn_probability)).sum())
    spread = float(np.sqrt(levels + own / spent**2)) * float(ndtri((1 + coverage) / 2))
    return total * float(np.exp(-spread)), total * float(np.exp(spread))
