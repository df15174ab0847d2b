"""Profit to date: what a customer has left so far, item by item, acquisition cost included.

Money is summed exactly in the features (whole ten-thousandths); here each customer's sums are
brought together. What the data do not say is missing, never zero: it is left out of the total, and
named.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from features import catalogue
from training.value import YEAR_DAYS, ValueTerms

Float = NDArray[np.float64]

COSTS = (
    "interaction_cost_to_date",
    "treatment_cost_to_date",
    "acquisition_cost",
    "complaint_loss_to_date",
    "upkeep_to_date",
)
"""Items that are taken off, as positive numbers."""
ITEMS = ("margin_to_date", *COSTS, "referral_income_to_date")
"""The last stands apart: it is the margin of other customers."""
NUMBERS = ("profit_to_date", *ITEMS)

# In the order of the items; then what is added to them, and how long ago the last purchase was.
_FACTS = (
    "spend_without_cost", "interaction_cost", "treatment_cost", "acquisition_cost", "complaints",
    "tenure_days", "referred_spend_without_cost", "margin_recorded", "referred_margin_recorded",
    "recency_days",
)  # fmt: skip
_PLACES = np.array([catalogue.NAMES.index(name) for name in _FACTS])
MISSING: tuple[list[str], ...] = tuple(
    [name for place, name in enumerate(ITEMS) if code >> place & 1]
    for code in range(1 << len(ITEMS))
)
"""Which items are missing, by the code of :attr:`Profit.missing`."""


@dataclass(frozen=True)
class Profit:
    """What customers have left so far, in currency.

    Attributes
    ----------
    total : float64 array of shape (n,)
        Margin less costs, those that are known; NaN where the margin is not.
    items : float64 array of shape (7, n)
        A row for each of :data:`ITEMS`, NaN where it is missing.
    missing : uint8 array of shape (n,)
        Which items are, a place in :data:`MISSING`.
    """

    total: Float
    items: Float
    missing: NDArray[np.uint8]

    def numbers(self) -> dict[str, Float]:
        """Name every number, as :data:`NUMBERS` does."""
        return dict(zip(NUMBERS, (self.total, *self.items), strict=True))


def profit_to_date(terms: ValueTerms, silent_days: float, matrix: Float) -> Profit:
    """Bring together what customers have left by the day of their features.

    The margin is the amount less the cost of goods where a line records one, and
    :attr:`~training.value.ValueTerms.margin` of the amount where it does not; returns count. Upkeep
    (service and marketing, by the year) runs from the first purchase while the customer is one:
    until ``silent_days`` after the last. Referral income is the margin of whom a customer brought.

    Parameters
    ----------
    silent_days
        Silence after which a customer has left.
    matrix
        Features in the catalogue's order, NaN where unknown, shape (n, features).

    Examples
    --------
    Two years ago a customer spent 100 on lines without a cost of goods, and other lines left 30
    above theirs; winning the customer cost 12. The shop has no interactions.

    >>> facts = {"spend_without_cost": 100, "margin_recorded": 30, "acquisition_cost": 12,
    ...          "treatment_cost": 1, "tenure_days": 730.5, "recency_days": 730.5,
    ...          "referred_spend_without_cost": 50, "referred_margin_recorded": 0}
    >>> matrix = np.array([[facts.get(name, np.nan) for name in catalogue.NAMES]])
    >>> profit = profit_to_date(ValueTerms(0.5, 0.0), 91, matrix)
    >>> profit.total, MISSING[profit.missing[0]]
    (array([67.]), ['interaction_cost_to_date'])
    >>> profit.numbers()["referral_income_to_date"]
    array([25.])

    With 4 a year of service until the customer had been silent for a year and a day; a complaint
    would have cost something, and nothing says whether there was one:

    >>> terms = ValueTerms(0.5, 0.0, service_cost_yearly=4.0, complaint_loss=10.0)
    >>> dear = profit_to_date(terms, 365.25, matrix)
    >>> dear.total, MISSING[dear.missing[0]]
    (array([63.]), ['interaction_cost_to_date', 'complaint_loss_to_date'])
    """
    facts = matrix.T[_PLACES]
    yearly = terms.service_cost_yearly + terms.marketing_cost_yearly
    items = facts[:7] * _weights(terms)
    items[0] += facts[7]
    items[6] += facts[8]
    if not terms.complaint_loss:
        items[4] = 0.0
    items[5] = yearly * _years(facts[5], facts[9], silent_days) if yearly else 0.0
    missing = np.isnan(items)
    # Added one after another, so that a row alone is rounded as a row among others.
    costs = np.where(missing, 0.0, items)[1:6].sum(axis=0)
    return Profit(items[0] - costs, items, np.packbits(missing, axis=0, bitorder="little")[0])


def _years(tenure_days: Float, recency_days: Float, silent_days: float) -> Float:
    """How long customers have been customers; who never bought has not been one."""
    days = tenure_days - np.maximum(recency_days - silent_days, 0.0)
    return np.where(days > 0, days, 0.0) / YEAR_DAYS


@cache
def _weights(terms: ValueTerms) -> Float:
    margin = terms.margin
    return np.array([[margin], [1], [1], [1], [terms.complaint_loss], [1], [margin]])
