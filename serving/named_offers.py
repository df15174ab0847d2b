"""What exactly an action offers a customer: which category goes with theirs, which tier is theirs.

An action of the playbook says that it names one (``names: category`` or ``names: tier``). The
category is that which clearly goes with the customer's favourite and which most customers like them
have not bought yet; where nothing is clear, nothing is named. The tier is the customer's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from serving.numerals import number
from serving.playbook import Playbook
from serving.sentences import Language, load_table
from training.affinity import STRATA, Affinity, Companion
from training.tiers import TIERS

Codes = NDArray[np.int16]

METALS = TIERS[1:]
"""The tiers of a membership; a basic customer is offered the first."""
NOTHING = -1
_BOUNDS = np.array(STRATA)
MOSTLY = 0.5
"""A category that more customers like this one than this have bought is not named."""


class Offer(NamedTuple):
    """What is offered, and why it is that."""

    name: str
    favourite: str = ""
    lift: float = 1.0

    def why(self, language: Language) -> str:
        """Say why, in a sentence.

        >>> Offer("garden", "kitchen", 2.041).why("en")
        'garden goes with kitchen, which this customer buys most: both are bought together 2 times
        as often as chance has it'
        >>> Offer("gold").why("zh")
        '金卡：属于合计占未来 12 个月全部价值 60% 的少数客户'
        """
        texts = load_table(language).offers
        if not self.favourite:
            return texts[self.name]
        return texts["category"].format(
            category=self.name, favourite=self.favourite, lift=number(self.lift)
        )


@dataclass(frozen=True)
class NamedOffers:
    """What each customer is offered by those actions that name something.

    Attributes
    ----------
    offers
        All that can be named; codes are indices into it.
    by_category : int16 array of shape (favourites + 2, strata + 2)
        By the code of the favourite category and the stratum of the number of categories bought;
        the last of each is of who has none.
    naming
        Places in the playbook of the actions that name a category, and a tier.
    """

    offers: tuple[Offer, ...]
    by_category: Codes
    naming: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, playbook: Playbook, favourites: Sequence[str], affinity: Affinity) -> NamedOffers:
        """Lay out what can be offered to customers with each favourite, in a model's codes."""
        offers = [Offer(metal) for metal in METALS]
        table = np.full((len(favourites) + 2, len(STRATA) + 1), NOTHING, dtype=np.int16)
        for code, favourite in enumerate(favourites):
            for one in affinity.companions.get(favourite, ()):
                free = (table[code] == NOTHING) & _is_new(one)
                if free.any():
                    table[code, free] = len(offers)
                    offers.append(Offer(one.category, favourite, one.lift))
        naming = {
            what: tuple(p for p, action in enumerate(playbook.actions) if action.names == what)
            for what in ("category", "tier")
        }
        return cls(tuple(offers), table, naming)

    def codes(
        self,
        favourite: NDArray[np.float64],
        categories: NDArray[np.float64],
        value_tier: NDArray[np.int8],
    ) -> dict[int, Codes]:
        """Say what each customer would be offered, by the place of the action in the playbook.

        Parameters
        ----------
        favourite, categories : float64 arrays
            Code of the favourite category and number of categories bought, NaN where unknown.
        value_tier : int8 array
            Index into :data:`training.tiers.TIERS`, below 0 for who is in none.

        Returns
        -------
        dict of int to int16 array
            Indices into :attr:`offers`, below 0 where nothing is named.

        Examples
        --------
        >>> from serving.playbook import load_playbook
        >>> garden = Companion("garden", 2.0, 1.8, (0.3, 0.6) + (1.0,) * (len(STRATA) - 3))
        >>> made = NamedOffers.of(load_playbook(), ["kitchen"], Affinity({"kitchen": (garden,)}))
        >>> unknown = float("nan")
        >>> favourite = np.array([0.0, 0.0, 0.0, 1.0, unknown])
        >>> said = made.codes(favourite, np.array([1.0, 2.0, 3.0, 1.0, unknown]), np.int8([3] * 5))
        >>> category, tier = said.values()
        >>> [made.name(code) for code in category], made.name(tier[0])
        (['garden', 'garden', None, None, None], 'diamond')
        """
        found: dict[int, Codes] = {}
        for place in self.naming["category"]:
            held = np.where(favourite >= 0, favourite, -1.0).astype(np.intp)
            breadth = np.searchsorted(_BOUNDS, categories, side="right")
            found[place] = self.by_category[held, np.where(categories > 0, breadth, -1)]
        for place in self.naming["tier"]:
            found[place] = np.where(value_tier < 0, NOTHING, np.maximum(value_tier - 1, 0)).astype(
                np.int16
            )
        return found

    def name(self, code: int) -> str | None:
        """Name what is offered."""
        return self.offers[code].name if code >= 0 else None


def _is_new(companion: Companion) -> NDArray[np.bool_]:
    """Tell in which strata most have not bought it: whoever buys one category has bought no other.

    The strata are those below two categories, those of `STRATA`, and none at all.
    """
    return np.array([True, *(share < MOSTLY for share in companion.held), False])
