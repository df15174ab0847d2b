"""Who is held out of a plan, so that what it changed can be seen: how many, and by which chance.

The size follows from the smallest effect that is worth seeing, by the usual power of 80% at 5%
two-sided, with unequal arms (Fleiss, Levin and Paik 2003, "Statistical methods for rates and
proportions", chapter 4; List, Sadoff and Wagner 2011, "So you want to run an experiment, now
what?", Experimental Economics 14). Worth seeing is the effect at which an action breaks even, for
no smaller one would change what is done; where that takes more customers than may be held out, the
effect that is expected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from serving.plan.offers import Floats

Measure = Literal["purchase", "spend"]
Target = Literal["break_even", "expected", "too_few", "none"]
_Z = 1.959964 + 0.841621
FEWEST = 2
_NO_CHANGE = 1e-9


@dataclass(frozen=True)
class Group:
    """The customers whom an action was chosen for, as far as their number's size needs.

    Attributes
    ----------
    customers
        How many.
    measure
        By what the effect is seen: the share who buy, or net spend where an action moves spend
        alone.
    usual, variance
        Of the measure without the action: its mean, and its variance over customers.
    effect
        Mean change that is expected of the measure.
    break_even
        Share of that change at which the action earns what it costs.
    """

    customers: int
    measure: Measure
    usual: float
    variance: float
    effect: float
    break_even: float

    @classmethod
    def of(
        cls, chance: Floats, spend: Floats, deviation: Floats, moved: Floats, gain: Floats,
        cost: Floats, margin: float,
    ) -> Group:  # fmt: skip
        """Sum customers up.

        Parameters
        ----------
        chance, spend, deviation
            Of a purchase, mean net spend, and the standard deviation of what will be seen of it.
        moved, gain, cost
            Change of the chance, value before costs, and costs of the action.
        """
        share = float(np.clip(cost.sum() / gain.sum(), 0.0, 1.0)) if gain.sum() > 0 else 1.0
        mean = float(chance.mean())
        if abs(moved.mean()) > _NO_CHANGE:
            variance = mean * (1 - mean)
            return cls(len(chance), "purchase", mean, variance, float(moved.mean()), share)
        variance = float((deviation**2).mean() + spend.var())
        effect = float(gain.mean()) / margin
        return cls(len(chance), "spend", float(spend.mean()), variance, effect, share)

    def visible(self, control: float) -> float:
        """Find the smallest effect that so many held out show.

        >>> group = Group(10_000, "purchase", 0.2, 0.16, 0.03, 0.5)
        >>> round(group.visible(2_000), 3)
        0.028
        """
        treated = self.customers - control
        if min(control, treated) < FEWEST:
            return float("inf")
        if self.measure == "spend":
            return _Z * float(np.sqrt(self.variance * (1 / control + 1 / treated)))

        def missing(effect: float) -> float:
            after = min(self.usual + effect, 1.0)
            error = np.sqrt(self.variance / control + after * (1 - after) / treated)
            return effect - _Z * float(error)

        return float(brentq(missing, 0.0, 3.0 * _Z)) if missing(0.0) < 0 else 0.0

    def needed(self, effect: float) -> float:
        """Find how many held out show an effect; infinite where no split does."""
        half = self.customers / 2
        if self.visible(half) > effect:
            return float("inf")
        return float(brentq(lambda count: self.visible(count) - effect, FEWEST, half))


@dataclass(frozen=True)
class HoldOut:
    """How many of an action's customers are held out, and what they will show.

    Attributes
    ----------
    share
        Chance of each to be held out.
    target
        What the share was made for: the effect at which the action breaks even, the expected one,
        or neither because too few (or none) may be held out.
    expected, break_even
        The effect that is expected, and the one at which the action earns what it costs: changes
        of the chance of buying, or of net spend.
    visible
        The smallest effect that it shows with a power of 80%.
    wanted
        Share that the expected effect would take; infinite where no share shows it.
    """

    share: float
    measure: Measure
    target: Target
    expected: float
    break_even: float
    visible: float
    wanted: float


def hold_out(group: Group, most: float) -> HoldOut:
    """Choose the share of an action's customers that is held out.

    Examples
    --------
    An effect that breaks even at half of what is expected takes four times the customers that the
    expected one takes. A fifth at most may be held out: of 10,000 that shows the expected 3 points,
    of 100,000 also the 1.5 points at which the action breaks even.

    >>> for customers in (1_000, 10_000, 100_000):
    ...     group = Group(customers, "purchase", 0.2, 0.16, 0.03, 0.5)
    ...     held = hold_out(group, 0.2)
    ...     print(held.target, round(held.share, 3), round(held.visible, 4))
    too_few 0.2 0.0911
    expected 0.172 0.03
    break_even 0.06 0.015
    """
    even, expected = abs(group.effect) * group.break_even, abs(group.effect)
    if most <= 0:
        return HoldOut(0.0, group.measure, "none", expected, even, float("inf"), float("inf"))
    wanted = group.needed(expected) / group.customers
    targets: tuple[tuple[Target, float], ...] = (("break_even", even), ("expected", expected))
    for target, effect in targets:
        count = group.needed(effect) if effect > 0 else float("inf")
        if count <= most * group.customers:
            share = count / group.customers
            visible = group.visible(count)
            return HoldOut(share, group.measure, target, expected, even, visible, wanted)
    visible = group.visible(most * group.customers)
    return HoldOut(most, group.measure, "too_few", expected, even, visible, wanted)


def lots(campaign: str, customers: Sequence[int | str]) -> NDArray[np.float64]:
    """Draw a number in [0, 1) for each customer, the same whenever it is drawn for a campaign.

    >>> lots("spring", [7, 8]).tolist() == lots("spring", [8, 7])[::-1].tolist()
    True
    >>> bool(lots("spring", [7])[0] == lots("autumn", [7])[0])
    False
    """
    start = blake2b(campaign.encode() + b"\0", digest_size=8)
    drawn = []
    for customer in customers:
        one = start.copy()
        one.update(repr(customer).encode())
        drawn.append(int.from_bytes(one.digest(), "big") >> 11)
    return np.array(drawn, dtype=np.float64) / 2**53
