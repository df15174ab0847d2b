"""What exactly an action offers a customer: which category goes with theirs, which tier is theirs.

An action of the playbook says that it names one (``names: category`` or ``names: tier``). The
category is that which most surely goes with one of those that the customer bought most, and is none
of them; where nothing is clear, nothing is named. The tier is the customer's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features import catalogue
from features.listed import name_code
from serving.numerals import number
from serving.playbook import Playbook
from serving.sentences import Language, load_table
from training.affinity import COMPANIONS, STRATA, Affinity, Companion
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
        'garden goes with kitchen, which this customer buys: both are bought together 2 times as
        often as chance has it'
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
    pairs
        Which categories go with which.
    naming
        Places in the playbook of the actions that name a category, and a tier.
    """

    offers: tuple[Offer, ...]
    pairs: Pairs
    naming: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, playbook: Playbook, affinity: Affinity) -> NamedOffers:
        """Lay out what can be offered."""
        offers = [Offer(metal) for metal in METALS]
        pairs = Pairs.of(affinity, len(offers))
        offers += [
            Offer(one.category, held, one.lift)
            for held, some in affinity.companions.items()
            for one in some
        ]
        naming = {
            what: tuple(p for p, action in enumerate(playbook.actions) if action.names == what)
            for what in ("category", "tier")
        }
        return cls(tuple(offers), pairs, naming)

    def codes(self, matrix: NDArray[np.float64], value_tier: NDArray[np.int8]) -> dict[int, Codes]:
        """Say what each customer would be offered, by the place of the action in the playbook.

        Parameters
        ----------
        matrix
            Features in the catalogue's order, shape (n, features).
        value_tier : int8 array
            Index into :data:`training.tiers.TIERS`, below 0 for who is in none.

        Returns
        -------
        dict of int to int16 array
            Indices into :attr:`offers`, below 0 where nothing is named.

        Examples
        --------
        Gardeners' things go with either kind of kitchenware, and most surely with pans:

        >>> from serving.playbook import load_playbook
        >>> def companion(name, lower):
        ...     return Companion(name, 2.0, lower, (0.6,) * (len(STRATA) - 1))
        >>> made = NamedOffers.of(load_playbook(), Affinity({
        ...     "pots": (companion("garden", 1.5), companion("pans", 1.4)),
        ...     "pans": (companion("garden", 1.8),)}))
        >>> def offered(*categories):
        ...     row = np.full((1, len(catalogue.NAMES)), np.nan)
        ...     for column, category in enumerate(categories, _LISTED.start):
        ...         row[0, column] = name_code(category)
        ...     row[0, _CATEGORIES] = len(categories)
        ...     category, tier = made.codes(row, np.int8([3])).values()
        ...     return made.offers[category[0]][:2] if category[0] >= 0 else None
        >>> offered("pots"), offered("books", "pots", "pans")
        (('garden', 'pots'), ('garden', 'pans'))

        What the customer buys is not named:

        >>> offered("pots", "garden"), offered("pots", "garden", "pans"), offered("books")
        (('pans', 'pots'), None, None)
        """
        found: dict[int, Codes] = {}
        if self.naming["category"]:
            named = self.pairs.offered(matrix)
            found |= dict.fromkeys(self.naming["category"], named)
        for place in self.naming["tier"]:
            found[place] = np.where(value_tier < 0, NOTHING, np.maximum(value_tier - 1, 0)).astype(
                np.int16
            )
        return found

    def name(self, code: int) -> str | None:
        """Name what is offered."""
        return self.offers[code].name if code >= 0 else None


@dataclass(frozen=True)
class Pairs:
    """Which categories go with which, as arrays; the last row is of categories without any.

    Attributes
    ----------
    codes : float64 array
        Digests of the categories, ascending.
    other : intp array of shape (categories + 1, companions)
        Place of each companion, below 0 for none.
    rank : int64 array, likewise
        The surest pair of all has 0.
    offer : int16 array, likewise
        What it is as an offer.
    new : bool array of shape (categories + 1, companions, strata + 2)
        Whether most customers with so many categories have not bought it.
    """

    codes: NDArray[np.float64]
    other: NDArray[np.intp]
    rank: NDArray[np.int64]
    offer: Codes
    new: NDArray[np.bool_]

    @classmethod
    def of(cls, affinity: Affinity, first: int) -> Pairs:
        """Lay pairs out; their offers are counted from ``first`` on, in the affinity's order."""
        names = set(affinity.companions)
        names |= {one.category for some in affinity.companions.values() for one in some}
        ordered = sorted(names, key=name_code)
        places = {name: place for place, name in enumerate(ordered)}
        shape = (len(ordered) + 1, COMPANIONS)
        other, rank = np.full(shape, -1), np.full(shape, _NO_RANK)
        offer, new = np.full(shape, NOTHING, np.int16), np.zeros((*shape, len(STRATA) + 1), bool)
        pairs = [(held, n, one) for held, some in affinity.companions.items()
                 for n, one in enumerate(some)]  # fmt: skip
        for at, (held, n, one) in enumerate(pairs):
            cell = places[held], n
            other[cell], offer[cell], new[cell] = places[one.category], first + at, _is_new(one)
        surest = sorted(pairs, key=lambda pair: (-pair[2].lift_lower, pair[0], pair[1]))
        for place, (held, n, _) in enumerate(surest):
            rank[places[held], n] = place
        return cls(np.array([name_code(name) for name in ordered]), other, rank, offer, new)

    def offered(self, matrix: NDArray[np.float64]) -> Codes:
        """Take for each customer the surest pair of which they buy one and not the other."""
        nothing = np.full(len(matrix), NOTHING, np.int16)
        if not len(self.codes):
            return nothing
        listed = matrix[:, _LISTED]
        at = np.searchsorted(self.codes, listed).clip(max=len(self.codes) - 1)
        # The last row is of what goes with nothing.
        held = np.where(self.codes[at] == listed, at, -1)
        some = np.flatnonzero((held >= 0).any(axis=1))
        if not len(some):
            return nothing
        held = held[some]
        rank, other = self.rank[held], self.other[held]
        for own in held.T:
            # Of whose categories one is no companion of anything its place is below 0, as none is.
            rank = np.where(other == own[:, None, None], _NO_RANK, rank)
        # Of a list that is full there may be more that they bought.
        bought = matrix[some, _CATEGORIES]
        more = np.flatnonzero(bought > listed.shape[1])
        if len(more):
            stratum = np.searchsorted(_BOUNDS, bought[more], side="right")
            common = ~self.new[held[more], :, stratum[:, None]]
            rank[more] = np.where(common, _NO_RANK, rank[more])
        flat = rank.reshape(len(some), -1)
        best = flat.argmin(axis=1)
        rows = np.arange(len(some))
        codes = self.offer[held].reshape(len(some), -1)[rows, best]
        nothing[some] = np.where(flat[rows, best] < _NO_RANK, codes, NOTHING)
        return nothing


_NO_RANK = 2**31
_LISTED = slice(
    catalogue.NAMES.index(catalogue.CATEGORIES_LISTED[0]),
    catalogue.NAMES.index(catalogue.CATEGORIES_LISTED[-1]) + 1,
)
_CATEGORIES = catalogue.NAMES.index("categories")


def _is_new(companion: Companion) -> NDArray[np.bool_]:
    """Tell in which strata most have not bought it: whoever buys one category has bought no other.

    The strata are those below two categories, those of `STRATA`, and none at all.
    """
    return np.array([True, *(share < MOSTLY for share in companion.held), False])
