"""What of an action's effect falls into the first weeks, and what is left of it later.

Most of what a message or an offer does it does soon, and the rest of the horizon adds the noise of
everything else that customers then buy: measured in the first month of three, an effect is nearly
twice as sharp. What follows later is not taken to be nothing: how much of an early effect goes on,
or is taken back because purchases were only brought forward, is learned from all actions that were
tried together (empirical Bayes, Efron and Morris 1973), and each action's own later weeks count as
much as they tell. An early outcome in the place of a late one is a surrogate (Athey, Chetty, Imbens
and Kang 2019, "The surrogate index").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.uplift.curves import Estimate

Float = NDArray[np.float64]

GOES_ON = np.linspace(-1.0, 1.0, 21)
"""Shares of an early effect that may go on later, all as likely beforehand: 1 all of it, 0 nothing,
below 0 what was brought forward."""
APART = np.array([0.0, 0.01, 0.02, 0.04, 0.08])
"""Sizes by which actions may differ in that, in logs."""


@dataclass(frozen=True)
class Weeks:
    """Effects on spend of the first weeks, and of the rest of the horizon.

    Attributes
    ----------
    early, late
        Logarithms of the factors on expected net spend.
    together
        Covariance of their errors.
    share
        Of the expected spend, what falls into the first weeks, within (0, 1).
    """

    early: Estimate
    late: Estimate
    together: float
    share: float

    @property
    def covariance(self) -> Float:
        """Covariance of the errors of both, shape (2, 2)."""
        return np.array(
            [
                [self.early.error**2, self.together],
                [self.together, self.late.error**2],
            ]
        )


def whole(actions: Sequence[Weeks]) -> list[Estimate]:
    """Give each action's effect on the whole horizon's spend, as a logarithm.

    Examples
    --------
    Where nothing goes on later, an effect of 30% in the first third is one of a tenth, and the
    noise of the later weeks falls out:

    >>> sharp, vague = Estimate(float(np.log(1.3)), 0.03), Estimate(0.0, 0.03)
    >>> one = Weeks(sharp, vague, 0.0, 1 / 3)
    >>> [round(x.value, 2) for x in whole([one] * 9)][:1]
    [0.1]
    """
    weight = _likely(actions)
    return [_over(one, weight) for one in actions]


def _likely(actions: Sequence[Weeks]) -> Float:
    """How likely each share and size is by all actions, shape (shares, sizes); 1 in total."""
    rho, tau = GOES_ON[:, None], APART[None, :]
    log = np.zeros((len(GOES_ON), len(APART)))
    for one in actions:
        early, late = one.covariance.diagonal()
        variance = tau**2 + late + rho**2 * early - 2 * rho * one.together
        off = one.late.value - rho * one.early.value
        log -= 0.5 * (np.log(variance) + off**2 / variance)
    likely = np.exp(log - log.max())
    weight: Float = likely / likely.sum()
    return weight


def _over(one: Weeks, weight: Float) -> Estimate:
    seen = np.array([one.early.value, one.late.value])
    known = np.linalg.inv(one.covariance)
    means, variances = np.zeros(weight.shape), np.zeros(weight.shape)
    for row, rho in enumerate(GOES_ON):
        for column, tau in enumerate(APART):
            # Of the early effect, and of what the later has beyond the share that goes on.
            design = np.array([[1.0, 0.0], [rho, 1.0]])[:, : 1 if tau == 0 else 2]
            prior = np.diag([0.0] if tau == 0 else [0.0, tau**-2])
            covariance = np.linalg.inv(design.T @ known @ design + prior)
            effects = design @ covariance @ (design.T @ known @ seen)
            shares = np.array([one.share, 1 - one.share])
            lean = shares * np.exp(effects)
            means[row, column] = shares @ np.expm1(effects)
            variances[row, column] = lean @ (design @ covariance @ design.T) @ lean
    mean = float((weight * means).sum())
    variance = float((weight * (variances + (means - mean) ** 2)).sum())
    return Estimate(float(np.log1p(mean)), float(np.sqrt(variance)) / (1 + mean))
