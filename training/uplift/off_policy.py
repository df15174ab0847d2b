"""What a policy would have brought on past assignments whose chances are known.

A past row was drawn between one action and nothing. Where the policy would have done that action,
or nothing, the row tells of it; where it would have done something else, no past row can. Two
answers are given beside each other: rows of the policy's own arm, weighed by one over its chance
and normalised by the weights (Hájek 1971; Swaminathan and Joachims 2015, "The self-normalized
estimator for counterfactual learning"), and the doubly robust one (Dudik, Erhan, Langford and Li
2014, "Doubly robust policy evaluation and optimization", Statistical Science 29(4)), in which
models of other customers' outcomes stand for what was not seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.uplift.curves import Estimate
from training.uplift.experiment import Bool, Float, Int, clustered


@dataclass(frozen=True)
class Logged:
    """Past assignments, one row for each.

    Attributes
    ----------
    customer
        Number of each row's customer: rows of one are not independent.
    treated
        Drawn into the action; else it was withheld.
    chance
        P(treated) when it was drawn, within (0, 1).
    margin
        Margin of what followed, in currency.
    score
        Doubly robust score of the action's effect on that margin; see
        :class:`training.uplift.learners.Responses`.
    """

    customer: Int
    treated: Bool
    chance: Float
    margin: Float
    score: Float


@dataclass(frozen=True)
class PolicyValue:
    """What a policy brings above doing nothing, a row that the past can tell of.

    Attributes
    ----------
    rows, acts
        Rows, and in how many of them the policy acts.
    weighted, robust
        By the weights alone, and doubly robust; net of costs, in currency.
    effective
        How many rows of equal weight the weighted one rests on (Kish 1965).
    """

    rows: int
    acts: int
    weighted: Estimate
    robust: Estimate
    effective: float


def policy_value(logged: Logged, acts: Bool, cost: Float) -> PolicyValue:
    """Value a policy that acts for some rows and does nothing for the others.

    Parameters
    ----------
    acts
        Whether the policy does the action that the row was drawn for.
    cost
        Of the action for each row's customer, in currency.

    Examples
    --------
    An action that brings 10 to the first half and takes 10 from the other, drawn by a fair coin, is
    worth 5 a row if done for the first half alone, less what it costs there:

    >>> half, coin = np.repeat([True, False], 2000), np.tile([True, False], 2000)
    >>> effect = np.where(half, 10.0, -10.0)
    >>> logged = Logged(np.arange(4000), coin, np.full(4000, 0.5), 20 + coin * effect, effect)
    >>> found = policy_value(logged, half, np.full(4000, 1.0))
    >>> round(found.weighted.value, 2), round(found.robust.value, 2), round(found.effective)
    (4.5, 4.5, 2000)
    """
    gain = gains(logged, acts, cost)
    followed = logged.treated == acts
    weight = np.where(followed, 1 / np.where(acts, logged.chance, 1 - logged.chance), 0.0)
    nothing = np.where(logged.treated, 0.0, 1 / (1 - logged.chance))
    value = logged.margin - np.where(acts, cost, 0.0)
    policy, about = _normalised(weight, value)
    usual, about_usual = _normalised(nothing, logged.margin)
    _, error = clustered(about - about_usual, logged.customer)
    total = float(weight.sum())
    return PolicyValue(
        len(gain),
        int(acts.sum()),
        Estimate(policy - usual, error),
        Estimate(*clustered(gain, logged.customer)),
        total**2 / float((weight**2).sum()) if total else 0.0,
    )


def difference(logged: Logged, gains: tuple[Float, Float]) -> Estimate:
    """Doubly robust difference of two policies on the same rows, first less second.

    Parameters
    ----------
    gains
        Of :func:`gains`.
    """
    return Estimate(*clustered(gains[0] - gains[1], logged.customer))


def gains(logged: Logged, acts: Bool, cost: Float) -> Float:
    """Doubly robust gain of a policy, row by row."""
    return np.where(acts, logged.score - cost, 0.0)


def _normalised(weight: Float, value: Float) -> tuple[float, Float]:
    """Weighted mean, and how each row moves it, about 0."""
    total = float(weight.sum())
    if total <= 0:
        return float("nan"), np.zeros(len(weight))
    mean = float(weight @ value) / total
    moves: Float = weight * (value - mean) * (len(weight) / total)
    return mean, moves
