"""What is believed of actions once some were measured: the playbook's promises, and how they held.

A normal hierarchical model (Efron and Morris 1973; Gelman et al. 2013, "Bayesian Data Analysis",
chapter 5). An action's effect is what the playbook promises of it, times how far promises hold here
at all, which is the same for all actions, and something of its own:

    effect = hold x promise + own,   own ~ N(0, (scale x doubt)^2),   measured ~ N(effect, error^2)

so that what was measured of some actions says something of all, and a large effect that was
measured with a large error is taken for what it likely is: partly luck. A posterior mean needs no
further correction for having been the best of many (Efron 2011, "Tweedie's formula and selection
bias"). Beside all that it is possible that nothing works here; the longer nothing shows, the
likelier. How far promises hold, and how much actions differ, is not fixed beforehand: every answer
is a mean over what it may be, weighed by how likely it makes what was measured.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NOTHING_WORKS = 0.1
"""Chance beforehand that no action does anything here."""
HOLD_SD = 0.5
"""Standard deviation beforehand of how far promises hold; on average they do."""
SCALES = (0.5, 1.0)
"""Sizes of what is an action's own, beside the playbook's doubt: whoever wrote the ranges knew as
much as they say, or twice as much."""


@dataclass(frozen=True)
class Belief:
    """What is believed of each action's effect, arrays of shape (k,).

    ``kept`` x promise + ``weight`` x measured is the posterior mean.

    Attributes
    ----------
    kept
        What counts of the playbook's promise: 1 where nothing was measured.
    weight
        What counts of the action's own measurement, 0 to 1.
    share
        How much of what was uncertain beforehand is known by measurements, 0 to 1.
    left
        Standard deviation of what the own measurement's error leaves aside, over that beforehand.
    nothing
        How likely it is that no action does anything here.
    """

    kept: Floats
    weight: Floats
    share: Floats
    left: Floats
    nothing: float = NOTHING_WORKS

    @classmethod
    def none(cls, count: int) -> Belief:
        """Nothing was measured of so many actions."""
        return cls(np.ones(count), np.zeros(count), np.zeros(count), np.ones(count))


def believe(
    promise: Floats, doubt: Floats, measured: Floats, error: Floats, differ: float = 0.0
) -> Belief:
    """Update a playbook by what was measured of some of its actions.

    Parameters
    ----------
    promise, doubt
        What the playbook says of each action, and its standard deviation (above 0), shape (k,).
    measured, error
        The same of the measurement; NaN where an action was never measured.
    differ
        How much likelier, in logs, the measurements are if actions move some customers more than
        others, which they cannot where nothing works.

    Examples
    --------
    Three promises of 10%, give or take 10, of which two were measured. They show about what was
    promised; they show nothing, vaguely; nothing, clearly:

    >>> def kept(measured, error):
    ...     seen = np.array([measured, measured, np.nan])
    ...     found = believe(np.full(3, 0.1), np.full(3, 0.1), seen, np.full(3, error))
    ...     mean = found.kept * 0.1 + found.weight * np.nan_to_num(seen)
    ...     return mean.round(3).tolist()
    >>> kept(0.1, 0.05), kept(0.0, 0.1), kept(0.0, 0.02)
    ([0.102, 0.102, 0.105], [0.04, 0.04, 0.061], [0.001, 0.001, 0.007])
    """
    tried = np.isfinite(measured)
    seen = np.where(tried, measured, 0.0)
    states = _states(promise[tried], doubt[tried], measured[tried], error[tried], differ)
    kept, weight = np.zeros(len(promise)), np.zeros(len(promise))
    mean, second = np.zeros(len(promise)), np.zeros(len(promise))
    prior = np.zeros(len(promise))
    for state in states:
        own = (state.scale * doubt) ** 2
        of_own = np.where(tried, own / np.maximum(own + np.nan_to_num(error) ** 2, 1e-300), 0.0)
        here = (1 - of_own) * state.hold * promise + of_own * seen
        spread = ((1 - of_own) * promise) ** 2 * state.variance + (1 - of_own) * own
        kept += state.chance * (1 - of_own) * state.hold
        weight += state.chance * of_own
        mean += state.chance * here
        second += state.chance * (spread + here**2)
        prior += state.prior * (own + promise**2 * (state.hold_before**2 + state.variance_before))
    variance = np.maximum(second - mean**2, 0.0)
    before = prior - promise**2
    noise = (weight * np.nan_to_num(error)) ** 2
    return Belief(
        kept,
        weight,
        np.clip(1 - variance / before, 0.0, 1.0),
        np.sqrt(np.clip((variance - noise) / before, 0.0, None)),
        sum(state.chance for state in states if state.scale == 0),
    )


@dataclass(frozen=True)
class _State:
    """One way that things may be: how much actions differ, and how far promises then hold."""

    chance: float
    prior: float
    scale: float
    hold: float
    variance: float
    hold_before: float
    variance_before: float


def _states(
    promise: Floats, doubt: Floats, measured: Floats, error: Floats, differ: float
) -> list[_State]:
    likelihood, found = [], []
    before, precision = 1 / (1 - NOTHING_WORKS), HOLD_SD**-2
    for scale in SCALES:
        spread = (scale * doubt) ** 2 + error**2
        known = precision + float((promise**2 / spread).sum())
        hold = (precision * before + float((promise * measured / spread).sum())) / known
        off = float((measured**2 / spread).sum()) + precision * before**2 - known * hold**2
        log = -0.5 * (float(np.log(spread).sum()) + off + np.log(known / precision))
        prior = (1 - NOTHING_WORKS) / len(SCALES)
        likelihood.append(np.log(prior) + log + differ)
        found.append(_State(0.0, prior, scale, hold, 1 / known, before, HOLD_SD**2))
    off = float((measured**2 / error**2).sum())
    likelihood.append(np.log(NOTHING_WORKS) - 0.5 * (float(np.log(error**2).sum()) + off))
    found.append(_State(0.0, NOTHING_WORKS, 0.0, 0.0, 0.0, 0.0, 0.0))
    chance = np.exp(np.array(likelihood) - max(likelihood))
    chance /= chance.sum()
    return [replace(one, chance=float(c)) for one, c in zip(found, chance, strict=True)]
