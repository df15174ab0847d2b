"""Value tiers: who holds how much of the company's value, in four names a CRM manager uses.

A pyramid of customers by their worth (Zeithaml, Rust & Lemon 2001, "The Customer Pyramid: Creating
and Serving Profitable Customers", California Management Review 43(4)); the tiers serve as those of
a membership, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.population import holds_share

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

TIERS = ("basic", "silver", "gold", "diamond")
TIER_NAMES = {
    "en": {"basic": "Basic", "silver": "Silver", "gold": "Gold", "diamond": "Diamond"},
    "zh": {"basic": "普通", "silver": "银卡", "gold": "金卡", "diamond": "钻石卡"},
}
SHARES = (0.9, 0.6, 0.3)
"""Silver are the fewest customers who hold 90% of all value to come, gold 60%, diamond 30%."""
NONE = -1
"""Who never bought is in no tier."""
_UNPAID = TIERS.index("silver")


@dataclass(frozen=True)
class ValueTiers:
    """The annual values from which on a customer is silver, gold and diamond, in currency."""

    cuts: tuple[float, float, float]

    @classmethod
    def fit(cls, annual_value: Float) -> ValueTiers:
        """Fit the cuts on the active customers of one day.

        >>> ValueTiers.fit(np.array([50.0, 20, 10, 10, 5, 3, 2, 0])).cuts
        (10.0, 20.0, 50.0)
        """
        silver, gold, diamond = (holds_share(annual_value, share) for share in SHARES)
        return cls((silver, gold, diamond))

    def of(self, annual_value: Float, profit_to_date: Float, prospect: Bool) -> NDArray[np.int8]:
        """Put customers into tiers, indices into :data:`TIERS`.

        The value over twelve months decides; who has not paid back yet what they cost is silver at
        most.

        >>> tiers, nobody = ValueTiers((5.0, 20.0, 50.0)), np.zeros(5, dtype=bool)
        >>> worth, left = np.array([4.9, 5, 50, 50, 50]), np.array([9.0, 9, 9, -1, np.nan])
        >>> [TIERS[code] for code in tiers.of(worth, left, nobody)]
        ['basic', 'silver', 'diamond', 'silver', 'diamond']
        """
        tier = np.searchsorted(self.cuts, annual_value, side="right")
        unpaid = (profit_to_date <= 0) & (tier > _UNPAID)
        found: NDArray[np.int8] = np.where(prospect, NONE, np.where(unpaid, _UNPAID, tier)).astype(
            np.int8
        )
        return found

    def to_dict(self) -> dict[str, float]:
        """Give the cuts as plain numbers, for an artefact."""
        return dict(zip(TIERS[1:], self.cuts, strict=True))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ValueTiers:
        """Read what :meth:`to_dict` wrote."""
        silver, gold, diamond = (float(values[name]) for name in TIERS[1:])
        return cls((silver, gold, diamond))
