"""Where everybody stands at the end of a day, what the tables show and what they do not."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipelines.worlds.draws import Floats, Ints
from pipelines.worlds.parameters import Effects
from pipelines.worlds.responses import DISCOUNTER, ENGAGED, LATE

Flags = NDArray[np.bool_]
NEVER = -100_000
"""A day long before any."""


@dataclass
class State:
    """Arrays with a place for each person; days are counted from the world's start.

    Attributes
    ----------
    there
        Has registered and not left; that someone left, no table shows.
    interested
        In a spell of interest, which no table shows either.
    complaining
        A complaint is open.
    orders, discounted, first_order, last_order, last_visit
        What the tables show of orders and visits; whoever has no order is a prospect.
    action, cell, works_until
        The newest treatment, the observable state it met, the last day on which it works.
    unredeemed
        No order has followed the newest treatment.
    decides, ends, fee
        Contract world: the day on which the term is renewed or cancelled, its last, and its price.
    cancelled
        Contract world: the contract is over.
    referrers
        Who ordered last and brings friends.
    """

    there: Flags
    interested: Flags
    complaining: Flags
    orders: Ints
    discounted: Ints
    first_order: Ints
    last_order: Ints
    last_visit: Ints
    action: Ints
    cell: Ints
    works_until: Ints
    unredeemed: Flags
    decides: Ints
    ends: Ints
    fee: Floats
    cancelled: Flags
    referrers: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @classmethod
    def empty(cls, size: int) -> State:
        """Nobody has come yet."""

        def days() -> Ints:
            return np.full(size, NEVER, dtype=np.int32)

        def no() -> Flags:
            return np.zeros(size, dtype=np.bool_)

        def zero() -> Ints:
            return np.zeros(size, dtype=np.int32)

        return cls(
            there=no(), interested=no(), complaining=no(), orders=zero(), discounted=zero(),
            first_order=days(), last_order=days(), last_visit=days(), action=zero(), cell=zero(),
            works_until=days(), unredeemed=no(), decides=days(), ends=days(), fee=np.zeros(size),
            cancelled=no(),
        )  # fmt: skip

    def copy(self) -> State:
        """Give a state that goes its own way from here."""
        return copy.deepcopy(self)

    def working(self, ids: Ints | slice, day: int) -> Ints:
        """Give the action that works on people on a day: 0 where none does."""
        return np.where(self.works_until[ids] >= day, self.action[ids], 0)

    def cells(self, ids: Ints | slice, day: int, effects: Effects) -> Ints:
        """Tell the observable state of people at the end of a day, as bits."""
        orders = self.orders[ids]
        several = orders > 1
        gap = np.where(
            several,
            (self.last_order[ids] - self.first_order[ids]) / np.maximum(orders - 1, 1),
            effects.usual_gap_days,
        )
        late = (orders > 0) & (day - self.last_order[ids] > effects.late_gaps * gap)
        discounter = self.discounted[ids] > effects.discounter_share * orders
        engaged = day - self.last_visit[ids] < effects.engaged_days
        bits: Ints = LATE * late + DISCOUNTER * discounter + ENGAGED * engaged
        return bits
