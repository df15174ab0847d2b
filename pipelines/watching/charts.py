"""Control charts whose noise is the company's own past.

A series is brought to a scale on which chance alone has about one spread (counts by the root of
Anscombe 1948, shares by the arcsine, means of logarithms as they are). Each week is foretold by the
middle of the eight before it, and by as much of what the same week of the year before was off as
helped so far; the newest week's error is then set beside the past errors of the same foretelling,
as a new observation beside a sample (Student's prediction interval: Hahn and Meeker 1991,
"Statistical Intervals"). Seasons, promotions and growth are in those errors, so they widen the
band instead of raising alarms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import poisson
from scipy.stats import t as student

Float = NDArray[np.float64]
Kind = Literal["count", "share", "mean"]

LEVEL_WEEKS = 8
"""The middle of so many weeks foretells the next."""
YEAR_WEEKS = 52
RECENT_WEEKS = 26
SEASON_WEEKS = 6
"""Weeks around the same week of earlier years."""
FEWEST = 12
"""Past errors that a chart needs."""
RANGE = 0.99
"""Of weeks in which nothing has changed, so many lie within the range that is told."""
_BURN_IN = 4


@dataclass(frozen=True)
class Series:
    """A figure by week, the oldest first; the last is the one that is checked.

    Attributes
    ----------
    values
        Counts; or parts of ``of`` for a share; or means.
    of
        What a share is of, and the number behind a mean; of a count, the factor by which its week
        is above a usual one.
    spread
        Of single values behind a mean.
    """

    kind: Kind
    values: Float
    of: Float
    spread: float = 0.0

    def scaled(self) -> Float:
        """The values on a scale of even noise; NaN where there is none."""
        return to_scale(self.kind, self.values, self.of)

    @property
    def least_noise(self) -> float:
        """The spread that chance alone leaves the newest value, on that scale."""
        if self.kind == "count":
            return 1.0
        number = max(float(self.of[-1]), 0.5)
        return (1.0 if self.kind == "share" else self.spread) / math.sqrt(number)

    @property
    def newest(self) -> float:
        """The newest value in its own unit."""
        if self.kind != "share":
            return float(self.values[-1])
        return float(self.values[-1] / self.of[-1]) if self.of[-1] else 0.0


@dataclass(frozen=True)
class Reading:
    """What a chart says of the newest week.

    Attributes
    ----------
    value, expected
        In the series' own unit (a mean of logarithms stays one).
    lower, upper
        Of the prediction interval at :data:`RANGE`.
    chance
        Two-sided, of an error as large as this.
    weeks
        Past errors that it rests on.
    """

    value: float
    expected: float
    lower: float
    upper: float
    chance: float
    weeks: int


def to_scale(kind: Kind, values: Float, of: Float) -> Float:
    """Even out the noise.

    >>> to_scale("count", np.array([0.625, 99.625]), np.ones(2)).tolist()
    [2.0, 20.0]
    """
    if kind == "count":
        return 2 * np.sqrt(values / of + 3 / 8)
    with np.errstate(invalid="ignore", divide="ignore"):
        if kind == "share":
            rates = np.clip((values + 3 / 8) / (of + 3 / 4), 0, 1)
            return np.where(of > 0, 2 * np.arcsin(np.sqrt(rates)), np.nan)
        return np.where(of > 0, values, np.nan)


def from_scale(kind: Kind, scaled: float, factor: float = 1.0) -> float:
    """Undo :func:`to_scale`, for a share of many.

    >>> round(from_scale("count", 20.0), 3), from_scale("share", 0.0)
    (99.625, 0.0)
    """
    if kind == "count":
        return factor * max((max(scaled, 0.0) / 2) ** 2 - 3 / 8, 0.0)
    if kind == "share":
        return float(np.sin(np.clip(scaled, 0, np.pi) / 2) ** 2)
    return scaled


def read(series: Series) -> Reading | None:
    """Set the newest week beside what was to be expected; None where the past is too short."""
    scaled = series.scaled()
    errors, foretold = _errors(scaled)
    if not np.isfinite(errors[-1]):
        return None
    past, newest, shift = seasoned(errors)
    judged = judge(past, newest, series.least_noise)
    if judged is None:
        return None
    chance, centre, scale, freedom = judged
    middle = foretold[-1] + shift + centre
    reach = reach_of(scale, freedom)
    factor = float(series.of[-1])
    if series.kind == "count":
        chance = max(chance, poisson_chance(series.newest, from_scale("count", middle, factor)))
    return Reading(
        series.newest,
        from_scale(series.kind, middle, factor),
        from_scale(series.kind, middle - reach, factor),
        from_scale(series.kind, middle + reach, factor),
        chance,
        len(past),
    )


def judge(
    past: Float,
    newest: float,
    least_noise: float = 0.0,
    prior: tuple[float, float] = (0.0, 0.0),
    overlap: float = 1.0,
) -> tuple[float, float, float, float] | None:
    """Set one error beside past errors.

    Parameters
    ----------
    least_noise
        What chance alone leaves.
    prior
        A spread that is believed before anything was seen, and how many errors that is worth.
    overlap
        How many neighbouring errors share what they rest on: so many count as one.

    Returns
    -------
    tuple or None
        Two-sided chance, centre, scale and degrees of freedom; None where too little is known.

    >>> chance, centre, scale, freedom = judge(np.array([1.0, -1.0] * 10), 0.0)
    >>> chance, centre, freedom
    (1.0, 0.0, 19.0)
    """
    past = past[np.isfinite(past)]
    number = len(past) / overlap
    if number + prior[1] < 4 or (not prior[1] and len(past) < FEWEST):
        return None
    # Without much of a past, errors are believed to lie around nothing.
    centre = float(past.sum() / (len(past) + prior[1] * overlap)) if len(past) else 0.0
    seen = float(((past - centre) ** 2).mean()) if len(past) else 0.0
    variance = (number * seen + prior[1] * prior[0] ** 2) / max(number + prior[1] - 1, 1)
    scale = np.sqrt(max(variance, least_noise**2) * (1 + 1 / (number + prior[1])))
    freedom = max(number + prior[1] - 1, 1.0)
    if scale == 0:
        return (1.0 if newest == centre else 0.0), centre, 0.0, freedom
    chance = float(2 * student.sf(abs(newest - centre) / scale, freedom))
    return min(chance, 1.0), centre, float(scale), freedom


def overlap_of(length: int) -> float:
    """How many errors of windows of some weeks, one a week, tell as much as one.

    Their correlations fall linearly, and the variance of a variance goes with the sum of squares.

    >>> overlap_of(1), overlap_of(4)
    (1.0, 2.75)
    """
    return 1.0 + 2 * sum((1 - lag / length) ** 2 for lag in range(1, length))


def reach_of(scale: float, freedom: float) -> float:
    """How far the range that is told reaches from its middle."""
    return float(student.isf((1 - RANGE) / 2, freedom)) * scale


def poisson_chance(value: float, expected: float) -> float:
    """Two-sided chance of a count as far off as this by Poisson's law, which nothing undercuts.

    >>> round(poisson_chance(1.0, 10.0), 4), poisson_chance(10.0, 10.0)
    (0.001, 1.0)
    """
    low, high = poisson.cdf(value, expected), poisson.sf(value - 1, expected)
    return float(min(2 * min(low, high), 1.0))


def _errors(scaled: Float) -> tuple[Float, Float]:
    """How far each week was off the middle of those before it, and that middle."""
    errors, foretold = np.full(len(scaled), np.nan), np.full(len(scaled), np.nan)
    for week in range(_BURN_IN, len(scaled)):
        before = scaled[max(week - LEVEL_WEEKS, 0) : week]
        before = before[np.isfinite(before)]
        if len(before) >= _BURN_IN:
            foretold[week] = np.median(before)
            errors[week] = scaled[week] - foretold[week]
    return errors, foretold


def seasoned(
    errors: Float, guard: int = 0, recent: int = RECENT_WEEKS
) -> tuple[Float, float, float]:
    """Take off what the year before foretold of the errors.

    Parameters
    ----------
    guard
        So many of the newest past errors are left out: a loss that has begun must not become what
        is usual before it is told.
    recent
        So many weeks before these say what is usual.

    Gives past errors, the newest one, and what was taken off it. Past errors are the recent ones
    and those of the same season of earlier years: Christmas says nothing of the noise in July.
    """
    ago = np.zeros(len(errors))
    if len(errors) > YEAR_WEEKS:
        # Seasons do not keep to a week, and one week's error is mostly chance.
        around = np.convolve(np.nan_to_num(errors), np.ones(3) / 3, "same")
        ago[YEAR_WEEKS:] = around[:-YEAR_WEEKS]
    known = np.isfinite(errors) & (np.arange(len(errors)) >= YEAR_WEEKS + _BURN_IN)
    known[-1] = False
    pairs = int(known.sum())
    slope = 0.0
    if pairs:
        then, now = ago[known], errors[known]
        # As if eight pairs more had been seen that had nothing to do with each other.
        ridge = LEVEL_WEEKS * float(np.nanvar(errors[:-1]))
        slope = float(np.clip((then @ now) / (then @ then + ridge + 1e-12), 0, 1))
    shift = slope * float(ago[-1])
    age = len(errors) - 1 - np.arange(len(errors))
    of_season = np.abs((age + YEAR_WEEKS // 2) % YEAR_WEEKS - YEAR_WEEKS // 2) <= SEASON_WEEKS
    alike = (age > guard) & ((age <= recent + guard) | of_season) & np.isfinite(errors)
    return (errors - slope * ago)[alike], float(errors[-1]) - shift, shift
