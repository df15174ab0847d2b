"""What actions are worth above doing nothing, for every customer and every action at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from serving.playbook import Action

Floats = NDArray[np.float64]
Level = Literal["low", "mid", "high"]
LEVELS: tuple[Level, ...] = get_args(Level)


@dataclass(frozen=True)
class Outlook:
    """What is expected of customers over the horizon if nothing is done, one row for each.

    Attributes
    ----------
    purchase_probability : float64 array
        Chance of buying within the horizon.
    spend_if_purchase, spend_if_none : float64 arrays
        Mean net spend of those who buy and of those who do not (returns: at most 0).
    margin : float
        Contribution margin on net spend.
    """

    purchase_probability: Floats
    spend_if_purchase: Floats
    spend_if_none: Floats
    margin: float


@dataclass(frozen=True)
class Effects:
    """What some actions cost and bring, one column for each.

    Attributes
    ----------
    lift_log_odds, lift_spend : float64 arrays of shape (3, k)
        Effects on the chance of buying and on a buyer's spend, a row a level.
    contact_cost, redemption_rate : float64 arrays of shape (k,)
    amount, share_of_order : float64 arrays of shape (k,)
        Cost of a redeemed incentive; both 0 where there is none.
    """

    lift_log_odds: Floats
    lift_spend: Floats
    contact_cost: Floats
    redemption_rate: Floats
    amount: Floats
    share_of_order: Floats

    @classmethod
    def of(cls, actions: Sequence[Action]) -> Effects:
        """Read the effects that a playbook assumes."""
        incentives = [action.incentive for action in actions]
        return cls(
            np.array([[getattr(a.lift_log_odds, level) for a in actions] for level in LEVELS]),
            np.array([[getattr(a.lift_spend, level) for a in actions] for level in LEVELS]),
            np.array([action.contact_cost for action in actions]),
            np.array([action.redemption_rate for action in actions]),
            np.array([one.amount or 0.0 if one else 0.0 for one in incentives]),
            np.array([one.share_of_order or 0.0 if one else 0.0 for one in incentives]),
        )


def probability_change(probability: Floats, shift: Floats | float) -> Floats:
    """Change of a probability when its odds are multiplied by one plus a shift.

    A lift on the log-odds is a shift of ``expm1(lift)``: the new odds are ``odds * exp(lift)``.
    Solved for the difference, which is exact where there is none: certain buyers and certain
    non-buyers are not moved.

    >>> probability_change(np.array([0.0, 0.5, 1.0]), np.expm1(np.log(3))).round(9).tolist()
    [0.0, 0.25, 0.0]
    """
    return probability * (1 - probability) * shift / (1 + probability * shift)


@dataclass(frozen=True)
class Parts:
    """What the playbook's effects bring and cost, by level, customer and action.

    Attributes
    ----------
    gain : float64 array of shape (3, n, k)
        Change of the expected margin.
    incentive : float64 array of shape (3, n, k)
        What redeemed incentives are expected to cost.
    """

    gain: Floats
    incentive: Floats


def assumed_parts(effects: Effects, outlook: Outlook) -> Parts:
    """Take apart what :func:`incremental_values` adds up."""
    before = outlook.purchase_probability[:, None]
    spend, none = outlook.spend_if_purchase[:, None], outlook.spend_if_none[:, None]
    lift_spend = effects.lift_spend[:, None, :]
    change = probability_change(before, np.expm1(effects.lift_log_odds)[:, None, :])
    after = before + change
    order = np.maximum(spend * (1 + lift_spend), 0.0)
    incentive = effects.amount + effects.share_of_order * order
    return Parts(
        change * (outlook.margin * (spend - none)) + after * (outlook.margin * spend * lift_spend),
        after * (effects.redemption_rate * incentive),
    )


def expected_costs(effects: Effects, outlook: Outlook) -> Floats:
    """Cost of each action, contact and redeemed incentive, at the likely value of its effects.

    Returns
    -------
    float64 array of shape (n, k)
        By customer and action, part of :func:`incremental_values` already.

    Examples
    --------
    A contact of 1, and 5 that 80% of the buyers redeem, of whom a chance of 75% under the action
    makes: 1 + 0.75 x 0.8 x 5.

    >>> effects = Effects(*(np.full((3, 1), lift) for lift in (np.log(3), 0.0)),
    ...     contact_cost=np.array([1.0]), redemption_rate=np.array([0.8]),
    ...     amount=np.array([5.0]), share_of_order=np.array([0.0]))
    >>> customer = Outlook(np.array([0.5]), np.array([100.0]), np.array([0.0]), margin=0.4)
    >>> expected_costs(effects, customer).round(9).tolist()
    [[4.0]]
    """
    mid = LEVELS.index("mid")
    before = outlook.purchase_probability[:, None]
    change = probability_change(before, np.expm1(effects.lift_log_odds[mid]))
    spend = outlook.spend_if_purchase[:, None] * (1 + effects.lift_spend[mid])
    incentive = effects.amount + effects.share_of_order * np.maximum(spend, 0.0)
    redeemed: Floats = (before + change) * (effects.redemption_rate * incentive)
    return effects.contact_cost + redeemed


def incremental_values(effects: Effects, outlook: Outlook) -> Floats:
    """Value of each action above doing nothing, over the horizon.

    E[margin | action] - E[margin | nothing] = change in p x (margin if they buy - margin if they
    do not) + p under the action x change in a buyer's margin - contact cost - p under the action x
    redemption rate x incentive. Those who would have bought anyway redeem too. A share of the order
    is taken of all that a buyer spends within the horizon, the most that it can cost; of a negative
    order none is taken.

    Returns
    -------
    float64 array of shape (3, n, k)
        By level of the effects, customer and action.

    Examples
    --------
    A chance of 50% raised to 75%, 100 of spend at a margin of 0.4, and a coupon of 5 which 80% of
    the buyers redeem: 0.25 x 40 - 1 - 0.75 x 0.8 x 5 = 6. Without an effect only the costs remain,
    and those who buy anyway redeem: -1 - 0.5 x 0.8 x 5.

    >>> nothing = {"low": 0, "mid": 0, "high": 0}
    >>> coupon = Action(key="coupon", name_en="Coupon", name_zh="优惠券", purpose="marketing",
    ...     stages=["new"], channel="email", contact_cost=1, incentive={"amount": 5},
    ...     redemption_rate=0.8, lift_log_odds={"low": 0, "mid": np.log(3), "high": 2},
    ...     lift_spend=nothing, cooldown_days=0)
    >>> customer = Outlook(np.array([0.5]), np.array([100.0]), np.array([0.0]), margin=0.4)
    >>> incremental_values(Effects.of([coupon]), customer)[:2, 0, 0].round(9).tolist()
    [-3.0, 6.0]
    """
    parts = assumed_parts(effects, outlook)
    return parts.gain - effects.contact_cost - parts.incentive
