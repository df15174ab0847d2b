"""A value with its interval, a series of them over periods, and whether two of them differ.

Shares have Wilson's interval (1927), means Student's, and totals over customers that of a sum of
independent customers, whose variance is the sum of the squares (a compound Poisson's). Two values
are compared by their own intervals (the method of variance estimates recovery: Newcombe 1998, Zou
and Donner 2008, "Construction of confidence limits about effect measures"), so that one rule serves
shares, means and totals alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from scipy.stats import norm
from scipy.stats import t as student

from pipelines.report.periods import Period

Theme = Literal["trade", "acquisition", "journey", "development", "retention", "loss"]
Unit = Literal["share", "count", "money", "number", "days", "seconds"]
Wanted = Literal["more", "less", "neither"]

COVERAGE = 0.95
Z = float(norm.ppf((1 + COVERAGE) / 2))


@dataclass(frozen=True)
class Point:
    """A value and its 95% interval.

    Attributes
    ----------
    value
        None where nothing can be said: nobody whom it would be of, or too short a time since.
    low, high
        None where there is no interval.
    of
        How many it rests on: the denominator of a share, the number behind a mean, the customers
        behind a total.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    of: int = 0

    @property
    def known(self) -> bool:
        """Whether there is a value."""
        return self.value is not None


UNKNOWN = Point()


def share(part: int, of: int) -> Point:
    """Give a share with Wilson's interval; nothing of nobody.

    >>> point = share(0, 20)
    >>> point.value, point.low, round(point.high, 3)
    (0.0, 0.0, 0.161)
    >>> share(0, 0).known
    False
    """
    if of <= 0:
        return UNKNOWN
    p, z2 = part / of, Z**2
    middle = (p + z2 / (2 * of)) / (1 + z2 / of)
    half = Z * math.sqrt(p * (1 - p) / of + z2 / (4 * of**2)) / (1 + z2 / of)
    return Point(p, max(0.0, min(middle - half, p)), min(1.0, max(middle + half, p)), of)


def mean(total: float, squares: float, of: int) -> Point:
    """Give a mean with Student's interval, out of sum, sum of squares and number.

    >>> point = mean(30.0, 350.0, 3)
    >>> point.value, round(point.low, 1), round(point.high, 1)
    (10.0, -2.4, 22.4)
    """
    if of <= 0:
        return UNKNOWN
    value = total / of
    if of < 2:
        return Point(value, None, None, of)
    variance = max(squares - of * value**2, 0.0) / (of - 1)
    half = float(student.ppf((1 + COVERAGE) / 2, of - 1)) * math.sqrt(variance / of)
    return Point(value, value - half, value + half, of)


def total(value: float, squares: float, of: int) -> Point:
    """Give a total over customers, out of their sum and sum of squares.

    >>> point = total(100.0, 400.0, 25)
    >>> round(point.low, 1), round(point.high, 1)
    (60.8, 139.2)
    """
    half = Z * math.sqrt(max(squares, 0.0))
    return Point(value, value - half, value + half, of)


def count(value: int) -> Point:
    """Give a number of independent events, with Poisson's interval (Garwood's, by its score).

    >>> point = count(100)
    >>> round(point.low), round(point.high)
    (82, 122)
    """
    middle = value + Z**2 / 2
    half = Z * math.sqrt(value + Z**2 / 4)
    return Point(float(value), max(middle - half, 0.0), middle + half, value)


def bare(value: float, of: int = 0) -> Point:
    """Give a value without an interval."""
    return Point(value, None, None, of)


@dataclass(frozen=True)
class Series:
    """One indicator over periods.

    Attributes
    ----------
    key
        Names it in ``words_*.yaml``, ``docs/report.md`` and the JSON.
    unit
        Shares are between 0 and 1, money in the workspace's currency.
    wanted
        Which way is better.
    points
        A value a period, oldest first; empty where ``missing`` says why.
    per_day
        Whether periods of different lengths are compared by the day.
    compared
        Whether they are compared at all: what depends on a period's length in no simple way is not.
    rests_on_past
        Whether it takes telling newcomers from customers of old, which a young ledger cannot.
    missing
        What would bring it: a key of the words' ``missing``.
    """

    key: str
    theme: Theme
    unit: Unit
    wanted: Wanted
    points: tuple[Point, ...] = ()
    per_day: bool = False
    compared: bool = True
    rests_on_past: bool = False
    missing: str | None = None

    @property
    def newest(self) -> int | None:
        """Place of the newest period of which it is known; None where it is of none."""
        known = (place for place in reversed(range(len(self.points))) if self.points[place].known)
        return next(known, None)

    @property
    def last(self) -> Point:
        """The newest value that is known."""
        return UNKNOWN if self.newest is None else self.points[self.newest]


@dataclass(frozen=True)
class Change:
    """A value against an earlier one.

    Attributes
    ----------
    now, then
        Both values, by the day where the series is.
    change, low, high
        The difference and its 95% interval, in the unit of the value.
    p
        Chance of a difference as large where nothing has changed.
    """

    now: float
    then: float
    change: float
    low: float
    high: float
    p: float

    @property
    def relative(self) -> float | None:
        """The difference in shares of the earlier value."""
        return self.change / abs(self.then) if self.then else None


def settled(series: Series, periods: Sequence[Period], since: date) -> Series:
    """Leave periods unknown in which the ledger was too young to tell newcomers.

    Parameters
    ----------
    since
        The first day by which whoever has not been seen is new.
    """
    if not series.rests_on_past or series.missing is not None:
        return series
    points = tuple(
        point if period.first >= since else UNKNOWN
        for point, period in zip(series.points, periods, strict=True)
    )
    if any(point.known for point in points):
        return replace(series, points=points)
    return replace(series, points=(), missing="history")


def compare(series: Series, periods: Sequence[Period], now: int, then: int) -> Change | None:
    """Compare two periods of a series; None where either is not known or has no interval.

    Examples
    --------
    >>> from datetime import date
    >>> from pipelines.report.periods import whole_periods
    >>> two = whole_periods("month", date(2024, 1, 1), date(2024, 2, 29), 2)
    >>> rates = Series("x", "loss", "share", "less", (share(100, 1000), share(150, 1000)))
    >>> found = compare(rates, two, 1, 0)
    >>> round(found.change, 3), round(found.low, 3), round(found.high, 3), found.p < 0.001
    (0.05, 0.021, 0.079, True)
    """
    if not (0 <= then < len(series.points) and 0 <= now < len(series.points)):
        return None
    new, old = (
        _daily(series.points[place], periods[place].days if series.per_day else 1)
        for place in (now, then)
    )
    if new is None or old is None:
        return None
    (value, low, high), (former, former_low, former_high) = new, old
    change = value - former
    below = math.hypot(value - low, former_high - former)
    above = math.hypot(high - value, former - former_low)
    towards = below if change > 0 else above
    z = abs(change) / (towards / Z) if towards > 0 else 0.0
    return Change(value, former, change, change - below, change + above, float(2 * norm.sf(z)))


def _daily(point: Point, days: int) -> tuple[float, float, float] | None:
    if point.value is None or point.low is None or point.high is None:
        return None
    return point.value / days, point.low / days, point.high / days


def beyond_noise(chances: Sequence[float], error: float = 1 - COVERAGE) -> list[bool]:
    """Say which of several differences are more than chance (Holm 1979).

    One time in twenty, at most, any is named although nothing has changed at all.

    >>> beyond_noise([0.001, 0.03, 0.2])
    [True, False, False]
    """
    order = sorted(range(len(chances)), key=lambda place: chances[place])
    found = [False] * len(chances)
    for done, place in enumerate(order):
        if chances[place] > error / (len(chances) - done):
            break
        found[place] = True
    return found
