"""What was measured of the actions of a playbook, beside what the playbook assumes.

The playbook's range is a prior belief, and measurements update it (:mod:`serving.belief`). People's
ranges hold the truth about half of the time, whatever they were asked to cover (Soll and Klayman
2004, "Overconfidence in interval estimates"): low and high are read as the quartiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from serving.belief import Belief, believe
from serving.playbook import Action
from serving.worth import Effects, probability_change
from training.uplift.curves import Estimate
from training.uplift.lift import Lift
from training.uplift.lifts import Lifts
from training.uplift.moderators import Moderators

Floats = NDArray[np.float64]
Provenance = Literal["assumed", "mixed", "measured"]

QUARTILE = 0.6745
NOT_TOLD, NOT_ASSUMED = 0.05, 0.95
"""Shares of the evidence up to which an effect is called assumed, and from which measured."""
SUREST = 0.02
"""Nobody knows a relative change of spend better than this beforehand (a standard deviation)."""
_ANYBODY = Lift(Estimate(0.0, np.inf), None, (), (), (), chance=(0.2, 0.5, 0.8), weight=(1, 1, 1))
"""On whom an untried action's promise is thought of."""
RECORDED = 3.0
"""Errors above zero from which on incentives are seen to be recorded where they are redeemed."""


@dataclass(frozen=True)
class Evidence:
    """What was measured, one column for each action of a menu; d facts tell customers apart.

    Attributes
    ----------
    belief
        What counts of the playbook's promises, and of what was measured.
    level, level_error : float64 arrays of shape (k,)
        Logarithm of the factor on expected net spend, and its standard error.
    cost : float64 array of shape (k,)
        What incentives were seen to cost per unit of expected net spend; NaN where the playbook
        alone says it. It counts by the share of the effect that is measured: effect and cost of an
        action are believed together.
    moderators
        The facts.
    centre, slope : float64 arrays of shape (k, d)
        Where a customer's effect is the level, and what each fact adds.
    slope_covariance : float64 array of shape (k, d, d)
    """

    belief: Belief
    level: Floats
    level_error: Floats
    cost: Floats
    moderators: Moderators
    centre: Floats
    slope: Floats
    slope_covariance: Floats

    @classmethod
    def none(cls, count: int, moderators: Moderators | None = None) -> Evidence:
        """Nothing was measured of so many actions."""
        facts = moderators or Moderators()
        d = len(facts.names)
        return cls(
            belief=Belief.none(count),
            level=np.zeros(count),
            level_error=np.zeros(count),
            cost=np.full(count, np.nan),
            moderators=facts,
            centre=np.zeros((count, d)),
            slope=np.zeros((count, d)),
            slope_covariance=np.zeros((count, d, d)),
        )

    @classmethod
    def of(cls, actions: Sequence[Action], lifts: Lifts) -> Evidence:
        """Weigh what was measured against what a playbook assumes."""
        found = cls.none(len(actions), lifts.moderators)
        for place, action in enumerate(actions):
            one = lifts.measured.get(action.key)
            if one is None:
                continue
            found.level[place], found.level_error[place] = one.level.value, one.level.error
            found.centre[place] = one.centre
            found.slope[place], found.slope_covariance[place] = lifts.differences(action.key)
            if action.incentive is not None and one.cost is not None and one.cost.z > RECORDED:
                found.cost[place] = one.cost.value
        return replace(found, belief=belief_of(actions, lifts))

    @property
    def any(self) -> bool:
        """Whether anything was measured of any action."""
        return bool(self.belief.share.any())

    @property
    def share(self) -> Floats:
        """How much of each effect is measured, 0 to 1; the rest is assumed. Shape (k,)."""
        return self.belief.share

    @property
    def differs(self) -> bool:
        """Whether any action is believed to move some customers more than others."""
        return bool(self.slope.any())

    @cached_property
    def cost_terms(self) -> tuple[Floats, Floats]:
        """What counts of an incentive's assumed cost, and what it costs a unit of spend beside."""
        share = np.where(np.isnan(self.cost), 0.0, self.share)
        return 1 - share, share * np.nan_to_num(self.cost)

    @cached_property
    def log_terms(self) -> Floats:
        """Coefficients of one and the facts in the logarithm of the factor, shape (1 + d, k)."""
        at_zero = self.level - (self.centre * self.slope).sum(axis=1)
        return np.vstack([at_zero, self.slope.T])

    @cached_property
    def terms(self) -> Floats:
        """Coefficients of one, the facts and their :attr:`pairs` in its variance, (terms, k)."""
        known = (self.centre[:, None, :] * self.slope_covariance).sum(axis=2)
        at_zero = self.level_error**2 + (known * self.centre).sum(axis=1)
        left, right = self.pairs
        pairs = np.where(left == right, 1.0, 2.0) * self.slope_covariance[:, left, right]
        return np.vstack([at_zero, -2 * known.T, pairs.T])

    @cached_property
    def pairs(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Which facts are multiplied, each pair once."""
        left, right = np.triu_indices(len(self.moderators.names))
        return left, right


def provenance(share: float) -> Provenance:
    """Name where an effect comes from by how much of it is measured.

    >>> [provenance(share) for share in (0.0, 0.5, 0.99)]
    ['assumed', 'mixed', 'measured']
    """
    if share < NOT_TOLD:
        return "assumed"
    return "measured" if share > NOT_ASSUMED else "mixed"


def belief_of(actions: Sequence[Action], lifts: Lifts) -> Belief:
    """Weigh what a playbook promises against everything that was measured.

    Examples
    --------
    A belief that an action raises a chance of a half by between 0 and 0.4 on the log-odds, so
    spend by 0 to 20%; a measurement that is as good as exact decides, and one that says nothing
    leaves the belief alone:
    """
    effects, count = Effects.of(actions), len(actions)
    if not lifts.measured or not count:
        return Belief.none(count)
    promise, doubt = np.zeros(count), np.zeros(count)
    measured, error = np.full(count, np.nan), np.full(count, np.nan)
    for place, action in enumerate(actions):
        one = lifts.measured.get(action.key)
        if one is not None:
            measured[place], error[place] = one.level.value, one.level.error
        low, mid, high = np.log1p(assumed_gains(effects, place, one or _ANYBODY))
        promise[place] = mid
        doubt[place] = max(float(high - low) / 2 / QUARTILE, SUREST)
    return believe(promise, doubt, measured, error, lifts.differ)


def assumed_gains(effects: Effects, place: int, one: Lift) -> Floats:
    """Say what a playbook assumes of those on whom was measured: relative changes of spend."""
    chance, weight = np.array(one.chance), np.array(one.weight)
    lift, more = effects.lift_log_odds[:, place, None], effects.lift_spend[:, place, None]
    change = probability_change(chance, np.expm1(lift))
    gain = (weight * (change + (chance + change) * more)).sum(axis=1)
    ratio: Floats = gain / max(float((weight * chance).sum()), 1e-12)
    return ratio


def borne_out(actions: Sequence[Action], lifts: Lifts) -> tuple[float, float]:
    """Say how much of what a playbook assumes has shown, over all actions that were measured.

    Returns
    -------
    share, error
        1 if effects are on the whole as assumed, 0 if there are none; infinitely uncertain where
        nothing was measured. The weighted regression of what was measured on what was assumed.
    """
    effects = Effects.of(actions)
    product = square = 0.0
    for place, action in enumerate(actions):
        one = lifts.measured.get(action.key)
        if one is not None:
            assumed = float(assumed_gains(effects, place, one)[1])
            product += assumed * one.level.value / one.level.error**2
            square += assumed**2 / one.level.error**2
    return (product / square, square**-0.5) if square > 0 else (0.0, np.inf)
