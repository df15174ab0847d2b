"""The level of a day: how far its customers as a whole did better or worse than the prior said.

Ranks are learned from features; levels move with the season, with prices and with the news, for
everybody at once. A day's level is the one number that puts the prior's total right: a shift of
the log-odds of churn, or the log of a factor on spend. Trees learn beside it (each day's own level
is in their offset), and the level of a day to come is forecast from those that have matured.

The forecast is a Gaussian process over days (Rasmussen and Williams 2006, eq. 2.25 and 5.8) with

- a lasting part, which fades over a year;
- a yearly part (their eq. 4.31), so that the same weeks of last year count and a year without
  a season counts for nothing;
- a shock to each stretch of time, which two windows share as far as they overlap;
- a start, which fades in weeks: to a ledger that has just begun every customer is new, also those
  who have bought for years, and the prior misreads them all alike.

How large each part is, is not chosen but weighed: the forecast is the mean over a grid of sizes,
each by how likely it makes the levels that were seen, so that a level is believed as far as earlier
ones came true, and the spread says how little a short history knows.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky
from scipy.optimize import brentq
from scipy.special import expit

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

YEAR_DAYS = 365.25
LASTING_DAYS = 365.0
"""Over which the lasting part fades."""
SEASON_LENGTH = 0.3
"""Length scale of the yearly part: a month apart half is shared, two months apart little."""
SIZES = {
    "lasting": (0.03, 0.1, 0.25),
    "yearly": (0.15, 0.3, 0.6),
    "shock": (0.05, 0.15, 0.35),
    "start": (0.1, 0.5, 1.0),
}
"""Standard deviations that are weighed, in log-odds or logs. The yearly part is never nothing: calm
months say nothing of a December that nobody has seen."""
START_DAYS = 45.0
"""Over which the start fades."""
MOST = 1.5
"""Largest level that is believed, in log-odds or logs."""
PULL = 2.0
"""Pull of a day's level towards none, in units of outcomes: a few customers say little."""


@dataclass(frozen=True)
class Level:
    """What one matured day showed.

    Attributes
    ----------
    day
        Days since 1970-01-01.
    value
        In log-odds or logs.
    variance
        Of the value, by chance alone.
    """

    day: int
    value: float
    variance: float


@dataclass(frozen=True)
class Forecast:
    """The level of a day whose outcomes are not known yet.

    Attributes
    ----------
    mean, sd
        Of the level of that day's window.
    lasting
        Mean of its lasting part alone: what remains beyond the window.
    """

    mean: float
    sd: float
    lasting: float


def churn_level(day: int, log_odds: Float, churned: Bool) -> Level:
    """Find the shift of log-odds that makes the said number of churners the seen one.

    >>> level = churn_level(0, np.zeros(10_000), np.arange(10_000) < 7_311)
    >>> round(level.value, 2)
    1.0
    """

    def excess(shift: float) -> float:
        return float(expit(log_odds + shift).sum() + PULL * shift - churned.sum())

    bound = len(log_odds) / PULL + 1.0
    shift = float(brentq(excess, -bound, bound))
    chance = expit(log_odds + shift)
    return Level(day, shift, 1.0 / (float((chance * (1 - chance)).sum()) + PULL))


def spend_level(
    day: int, mean: Float, churn_probability: Float, purchased: Bool, net_spend: Float
) -> Level:
    """Find the log of the factor that makes the said total of spend the seen one.

    Parameters
    ----------
    mean
        Mean spend given a purchase, in currency.
    churn_probability
        With the level of the day in it, so that only what buyers spend is compared.
    """
    said = float(((1 - churn_probability) * mean).sum())
    spent = float(net_spend[purchased].sum())
    buyers = mean[purchased]
    if not len(buyers) or said <= 0:
        return Level(day, 0.0, 1.0)
    value = float(np.log(np.clip(spent / said, 1 / 20, 20)))
    ratio = net_spend[purchased] / buyers
    # The largest customers make the total: what their spend varies by is what it varies by.
    shares = float((buyers**2).sum() / buyers.sum() ** 2)
    return Level(day, value, min(1.0, shares * (1 + max(float(ratio.var()), 0.3))))


def forecast(
    levels: Sequence[Level], as_of_day: int, horizon_days: int, first_day: int
) -> Forecast:
    """Forecast the level of the window after a day from those of matured days.

    Until a year and a half of levels are known, only a part of the forecast is believed, half of it
    within the first year: nothing has shown yet how the seasons turn, and on both real shops that
    were looked at the whole of it was worse than none.

    Parameters
    ----------
    first_day
        Of the ledger's orders; like all days here since 1970-01-01.

    Examples
    --------
    >>> calm = [Level(30 * month, 0.2, 1e-4) for month in range(4, 24)]
    >>> steady = forecast(calm, 750, 30, first_day=0)
    >>> round(steady.mean, 1), steady.sd < 0.2
    (0.2, True)

    Of the first year half is believed:

    >>> round(forecast(calm[:8], 390, 30, first_day=0).mean, 1)
    0.1

    Without any history it is none, and may be anything:

    >>> unknown = forecast([], 390, 30, first_day=0)
    >>> unknown.mean, unknown.sd > 0.3
    (0.0, True)
    """
    sizes = list(itertools.product(*SIZES.values()))
    if not levels:
        spread = float(np.mean([np.sum(np.square(size[:-1])) for size in sizes]))
        return Forecast(0.0, float(np.sqrt(spread)), 0.0)
    days = np.array([level.day for level in levels], dtype=np.float64)
    values = np.array([level.value for level in levels])
    noise = np.diag([level.variance + 1e-6 for level in levels])
    now = np.array(float(as_of_day))
    between, until, itself = (
        _parts(one, other, horizon_days, first_day)
        for one, other in ((days[:, None], days), (days, now), (now, now))
    )
    weights, means, variances, lastings = [], [], [], []
    for size in sizes:
        squares = np.square(size)
        factor = cholesky(np.tensordot(squares, between, 1) + noise, lower=True)
        solved = cho_solve((factor, True), values)
        shared = np.tensordot(squares, until, 1)
        weights.append(-0.5 * float(values @ solved) - float(np.log(np.diag(factor)).sum()))
        means.append(float(shared @ solved))
        own = float(squares @ itself)
        variances.append(own - float(shared @ cho_solve((factor, True), shared)))
        lastings.append(float(squares[0] * until[0] @ solved))
    weight = np.exp(np.array(weights) - max(weights))
    weight /= weight.sum()
    mean = float(weight @ means)
    belief = float(np.clip((days.max() + horizon_days - days.min()) / YEAR_DAYS - 0.5, 0.5, 1.0))
    spread = float(weight @ (np.array(variances) + (np.array(means) - mean) ** 2))
    return Forecast(
        belief * float(np.clip(mean, -MOST, MOST)),
        float(np.sqrt(spread)),
        belief * float(np.clip(weight @ lastings, -MOST, MOST)),
    )


def _parts(one: Float, other: Float, horizon_days: int, first_day: int) -> Float:
    """Correlations of the parts between some days, stacked in their order."""
    apart = one - other
    away = np.abs(apart)
    turn = np.sin(np.pi * apart / YEAR_DAYS)
    return np.stack(
        [
            np.exp(-away / LASTING_DAYS),
            np.exp(-2 * (turn / SEASON_LENGTH) ** 2),
            np.clip(1 - away / horizon_days, 0, None),
            np.exp(-(one + other - 2 * first_day) / START_DAYS),
        ]
    )
