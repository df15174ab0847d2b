"""Customer lifetime value: net present value of the margin that is still to come, net of costs.

Beyond the horizon that the models learned, a prediction is carried on by the prior's purchase
process: expected purchases by then over those within the horizon, given that the customer lives
(:attr:`training.prior.Foretold.growth`). What is special to the next window, such as a
season, is not carried on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

YEAR_DAYS = 365.25
CLV_MONTHS = (3, 6, 12, 24)
"""Horizons of the values that are told."""
CLV_DAYS = np.array(CLV_MONTHS) / 12 * YEAR_DAYS
_YEARS = np.array([0.25, 0.5, 0.75, 1.0, 1.5, 2.0])
"""Ends of the pieces that are discounted as one, in years; the horizons are among them."""
GROWTH_DAYS = _YEARS * YEAR_DAYS
_ENDS = np.array([np.flatnonzero(months / 12 == _YEARS)[0] for months in CLV_MONTHS])


@dataclass(frozen=True)
class ValueTerms:
    """What a customer's spend is worth to the company, and what serving it costs.

    Attributes
    ----------
    margin
        Contribution margin on net revenue, above 0, at most 1.
    discount_rate_yearly
        For net present values.
    service_cost_yearly, marketing_cost_yearly
        Of one customer while it is one, in currency.
    complaint_loss
        What a complaint is assumed to cost in customers who are put off, in currency.
    service_saved_yearly
        What serving an experienced customer saves of that, in currency, at most the service cost.
    experienced_years
        From how many years after the first purchase on a customer is one.
    """

    margin: float
    discount_rate_yearly: float
    service_cost_yearly: float = 0.0
    marketing_cost_yearly: float = 0.0
    complaint_loss: float = 0.0
    service_saved_yearly: float = 0.0
    experienced_years: float = 1.0


def lifetime_value(
    terms: ValueTerms,
    expected_spend: Float,
    lasting_spend: Float,
    growth: Float,
    alive: Float,
    tenure_days: Float | None = None,
) -> tuple[Float, Float, Float]:
    """Margin to come, costs and what of these is saved, over each of :data:`CLV_MONTHS`.

    Value is the margin less the costs plus what is saved: whoever knows the company by now asks
    less of it (Reichheld and Sasser 1990, "Zero Defections", Harvard Business Review 68(5)).

    Parameters
    ----------
    expected_spend, lasting_spend
        Mean net spend in the learned horizon, and in one like any other, in currency, shape (n,).
    growth
        Mean purchases by the ends :data:`GROWTH_DAYS` of the pieces over those of the learned
        horizon, never falling, shape (n, 6).
    alive
        P(still a customer today), shape (n,).
    tenure_days
        Since the first purchase, shape (n,); None where nothing is saved.

    Returns
    -------
    margin, cost, saved
        Net present values in currency, shape (n, 4) each.

    Examples
    --------
    A customer who spends 100 in each quarter for two years, on a margin of all, undiscounted, and
    one who will have left after the first:

    >>> growth = np.array([[1, 2, 3, 4, 6, 8], [1, 1, 1, 1, 1, 1.0]])
    >>> hundred, alive = np.full(2, 100.0), np.ones(2)
    >>> lifetime_value(ValueTerms(1.0, 0.0), hundred, hundred, growth, alive)[0]
    array([[100., 200., 400., 800.],
           [100., 100., 100., 100.]])

    Costs can make a longer horizon worth less, as long as there is a customer to serve:

    >>> costly = ValueTerms(0.5, 0.0, service_cost_yearly=240.0)
    >>> margin, cost, _ = lifetime_value(costly, hundred, hundred, growth, alive)
    >>> (margin - cost).round()
    array([[-10., -20., -40., -80.],
           [-10., -10., -10., -10.]])

    A third of it is saved from a year after the first purchase on, which was half a year ago:

    >>> terms = ValueTerms(0.5, 0.0, service_cost_yearly=240.0, service_saved_yearly=80.0)
    >>> lifetime_value(terms, hundred, hundred, growth, alive, np.full(2, 182.625))[2].round()
    array([[  0.,   0.,  40., 120.],
           [  0.,   0.,   0.,   0.]])
    """
    within = np.minimum(growth, 1.0)
    spend = expected_spend[:, None] * within + lasting_spend[:, None] * (growth - within)
    lengths = np.diff(_YEARS, prepend=0.0)
    discount = (1 + terms.discount_rate_yearly) ** -(_YEARS - lengths / 2)
    cost = terms.service_cost_yearly + terms.marketing_cost_yearly
    gained = np.diff(growth, axis=1, prepend=0.0)
    # Whoever buys half as often as at first is half as likely to be a customer still.
    with np.errstate(invalid="ignore", divide="ignore"):
        pace = np.nan_to_num((gained / lengths) / (gained[:, :1] / lengths[0]))
    served = alive[:, None] * np.minimum(pace, 1.0) * lengths
    saved = terms.service_saved_yearly * served
    if tenure_days is not None and terms.service_saved_yearly:
        begins = terms.experienced_years - tenure_days[:, None] / YEAR_DAYS
        saved = saved * np.clip((_YEARS - begins) / lengths, 0.0, 1.0)
    pieces = terms.margin * np.diff(spend, axis=1, prepend=0.0), cost * served, saved
    # Not a matrix product: BLAS rounds a row by the number of rows beside it.
    margin, costs, spared = (np.cumsum(piece * discount, axis=1)[:, _ENDS] for piece in pieces)
    return margin, costs, spared


def growth_of_horizons(growth: Float) -> Float:
    """Take :data:`CLV_MONTHS` out of growths by :data:`GROWTH_DAYS`, shape (n, 4)."""
    return growth[:, _ENDS]
