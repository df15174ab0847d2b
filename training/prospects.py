"""Customers who are known and have not bought yet: how likely they are to, by their engagement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaln

Float = NDArray[np.float64]

GROUPS = ("passive", "recent", "intent", "intent_recent")
"""Whether there was intent (compare, cart, trial, inquiry) and whether anything was recent."""
ENGAGEMENT = ("intent_90d", "interactions_30d", "known_days")
RECENT_DAYS = 30

PRIOR_CONVERTED, PRIOR_SEEN = 0.5, 10.0
"""Before anyone is seen, one prospect in twenty is assumed to buy, with the weight of ten."""
PRIOR_SPENDERS = 5.0
"""The company's mean order stands beside the converts' spend with the weight of so many of them."""
_STRENGTHS = np.geomspace(10_000, 1, 41)


def groups_of(
    intent_90d: ArrayLike, interactions_30d: ArrayLike, known_days: ArrayLike
) -> NDArray[np.int64]:
    """Put prospects into groups of engagement, indices into :data:`GROUPS`.

    Recent is an interaction within the last 30 days, or having become known in them. What is
    unknown (NaN) did not happen: without interactions only the newly known are recent.

    >>> unknown = np.nan
    >>> groups_of([0, 0, 2, 2, unknown], [0, 3, 0, 1, unknown], [90, 90, 90, 90, 4]).tolist()
    [0, 1, 2, 3, 1]
    """
    intent = np.asarray(intent_90d, dtype=np.float64) > 0
    touched = np.asarray(interactions_30d, dtype=np.float64) > 0
    recent = touched | (np.asarray(known_days, dtype=np.float64) < RECENT_DAYS)
    return 2 * intent.astype(np.int64) + recent


@dataclass(frozen=True)
class NeverBought:
    """Customers who were known on a day without a purchase, and how many then converted.

    Attributes
    ----------
    seen, converted
        Counts by group, in the order of :data:`GROUPS`.
    spend
        Net spend of those who converted, in the horizon after the day, in currency.
    """

    as_of: date
    seen: tuple[int, ...]
    converted: tuple[int, ...]
    spend: float

    @classmethod
    def count(
        cls, as_of: date, group: NDArray[np.int64], purchased: NDArray[np.bool_], net_spend: Float
    ) -> NeverBought:
        """Count one day's prospects, one row each."""
        seen = np.bincount(group, minlength=len(GROUPS))
        converted = np.bincount(group[purchased], minlength=len(GROUPS))
        return cls(
            as_of,
            tuple(map(int, seen)),
            tuple(map(int, converted)),
            float(net_spend[purchased].sum()),
        )


@dataclass(frozen=True)
class Conversion:
    """What is expected of a customer who is known and has not bought yet.

    Attributes
    ----------
    probability
        P(a purchase in the horizon) by group, in the order of :data:`GROUPS`.
    spend_if_purchase
        Mean net spend in the horizon of those who do buy, in currency.
    """

    probability: tuple[float, ...]
    spend_if_purchase: float

    @classmethod
    def fit(
        cls, days: Sequence[NeverBought], horizon_days: int, mean_order_value: float
    ) -> Conversion:
        """Estimate each group's rate, drawn towards the rate of all (empirical Bayes).

        The rates of the groups are taken as draws from a beta distribution around the rate of all,
        whose strength maximises the likelihood of what was seen: groups that look alike share one
        rate, groups that differ keep their own. Days whose windows overlap see the same
        purchases; their counts are reduced to what as many separate windows would have seen.

        Parameters
        ----------
        days
            The prospects of each training day.
        mean_order_value
            What a purchase day brings in this company, in currency.

        Examples
        --------
        >>> day = date(2024, 1, 1)
        >>> unlike = NeverBought(day, (1000, 0, 0, 1000), (10, 0, 0, 300), 6200.0)
        >>> [round(p, 2) for p in Conversion.fit([unlike], 60, 20.0).probability]
        [0.01, 0.15, 0.15, 0.3]
        >>> alike = NeverBought(day, (100, 10, 0, 100), (10, 2, 0, 10), 440.0)
        >>> [round(p, 2) for p in Conversion.fit([alike], 60, 20.0).probability]
        [0.1, 0.1, 0.1, 0.1]
        >>> Conversion.fit([], 60, 20.0)
        Conversion(probability=(0.05, 0.05, 0.05, 0.05), spend_if_purchase=20.0)
        """
        nobody = (0,) * len(GROUPS)
        seen = np.sum([nobody, *(d.seen for d in days)], axis=0)
        converted = np.sum([nobody, *(d.converted for d in days)], axis=0)
        share = _separate_windows([d.as_of for d in days], horizon_days)
        seen, won = seen * share, converted * share
        rate = (won.sum() + PRIOR_CONVERTED) / (seen.sum() + PRIOR_SEEN)
        strength = _strength(seen, won, rate)
        chance = (won + strength * rate) / (seen + strength)
        spend = sum(d.spend for d in days) + PRIOR_SPENDERS * mean_order_value
        return cls(
            tuple(map(float, chance)),
            max(float(spend / (converted.sum() + PRIOR_SPENDERS)), 1e-4),
        )

    def chance(self, group: NDArray[np.int64]) -> Float:
        """P(a purchase in the horizon) of prospects by their group, shape (n,)."""
        return np.array(self.probability)[group]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Conversion:
        """Undo :meth:`to_dict`."""
        return cls(tuple(values["probability"]), values["spend_if_purchase"])


def _separate_windows(days: Sequence[date], horizon_days: int) -> float:
    """Share of the days that remains when windows must not overlap."""
    if not days:
        return 1.0
    windows = (max(days) - min(days)) / timedelta(days=horizon_days) + 1
    return min(1.0, windows / len(days))


def _strength(seen: Float, converted: Float, rate: float) -> float:
    """How many prospects the rate of all is worth in each group (beta-binomial likelihood)."""
    won, lost = _STRENGTHS[:, None] * rate, _STRENGTHS[:, None] * (1 - rate)
    likelihood = betaln(won + converted, lost + seen - converted) - betaln(won, lost)
    return float(_STRENGTHS[np.argmax(likelihood.sum(axis=1))])
