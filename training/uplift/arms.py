"""Treated against control, as they were assigned: differences with intervals.

Rows weigh by one over the chance of the arm that they were drawn into (Hájek 1971), so that groups
whose shares differ may be put together. What was predicted beforehand is taken out of an outcome
first, as far as it explains it, which makes the interval narrower and moves nothing on average
(Deng, Xu, Kohavi and Walker 2013, "Improving the sensitivity of online controlled experiments by
utilizing pre-experiment data").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.uplift.curves import Estimate
from training.uplift.experiment import Bool, Float

FEWEST_ROWS = 50
FEWEST_BUYERS = 10
"""In either arm; with fewer an interval by the normal distribution says nothing."""


@dataclass(frozen=True)
class Assigned:
    """Customers as they were assigned, and what followed, one row for each.

    Attributes
    ----------
    treated
        Assigned to the action; else it was withheld.
    chance
        Of the arm that each was drawn into, above 0.
    purchased, net_spend
        What followed.
    said_purchase, said_spend
        What was predicted of it without the action.
    """

    treated: Bool
    chance: Float
    purchased: Bool
    net_spend: Float
    said_purchase: Float
    said_spend: Float

    def take(self, rows: Bool) -> Assigned:
        """Keep some rows."""
        columns = {name: getattr(self, name)[rows] for name in self.__dataclass_fields__}
        return Assigned(**columns)


@dataclass(frozen=True)
class Compared:
    """What the arms show.

    Attributes
    ----------
    treated, control
        Customers in either arm.
    treated_buyers, control_buyers
        Of them, who bought.
    purchase, spend
        Change of the chance of buying and of net spend that the action made; None where the arms
        are too small to tell.
    """

    treated: int
    control: int
    treated_buyers: int
    control_buyers: int
    purchase: Estimate | None
    spend: Estimate | None


def compare(assigned: Assigned) -> Compared:
    """Compare the arms.

    Examples
    --------
    Of 1,000 treated half buy, of 1,000 others four in ten:

    >>> treated = np.repeat([True, False], 1000)
    >>> bought = np.tile([True, False], 1000)
    >>> bought[1000:] = np.tile([True, True, False, False, False], 200)
    >>> flat = np.full(2000, 0.5)
    >>> arms = Assigned(treated, flat, bought, 30.0 * bought, flat, 20 * flat)
    >>> found = compare(arms)
    >>> round(found.purchase.value, 3), round(found.purchase.error, 3), round(found.spend.value, 3)
    (0.1, 0.022, 3.0)

    With ten in an arm nothing is said:

    >>> compare(arms.take(np.arange(2000) < 1010)).purchase is None
    True
    """
    treated, bought = assigned.treated, assigned.purchased
    buyers = int((treated & bought).sum()), int((~treated & bought).sum())
    rows = int(treated.sum()), int((~treated).sum())
    purchase = spend = None
    if min(rows) >= FEWEST_ROWS and min(buyers) >= FEWEST_BUYERS:
        purchase = _difference(assigned, bought.astype(np.float64), assigned.said_purchase)
        spend = _difference(assigned, assigned.net_spend, assigned.said_spend)
    return Compared(*rows, *buyers, purchase, spend)


def _difference(assigned: Assigned, outcome: Float, said: Float) -> Estimate:
    left = outcome - _explained(assigned, outcome, said)
    value = variance = 0.0
    for arm, sign in ((assigned.treated, 1.0), (~assigned.treated, -1.0)):
        weight = 1 / assigned.chance[arm]
        weight /= weight.sum()
        mean = float(weight @ left[arm])
        count = len(weight)
        value += sign * mean
        variance += float((weight**2) @ (left[arm] - mean) ** 2) * count / (count - 1)
    return Estimate(value, float(np.sqrt(variance)))


def _explained(assigned: Assigned, outcome: Float, said: Float) -> Float:
    """What a prediction explains of an outcome within the arms, about its mean."""
    about, changed = np.empty_like(said), np.empty_like(said)
    for arm in (assigned.treated, ~assigned.treated):
        about[arm] = said[arm] - said[arm].mean()
        changed[arm] = outcome[arm] - outcome[arm].mean()
    spread = float(about @ about)
    slope = float(about @ changed) / spread if spread > 0 else 0.0
    explained: Float = slope * (said - np.average(said, weights=1 / assigned.chance))
    return explained
