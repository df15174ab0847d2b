"""Calendar periods, whole ones: what a report compares with each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, get_args

import polars as pl

from features.days import day_number
from features.errors import NotEnoughData

PeriodKind = Literal["week", "month", "quarter"]
PERIOD_KINDS: tuple[PeriodKind, ...] = get_args(PeriodKind)
_MONTHS = {"month": 1, "quarter": 3}
A_YEAR = {"week": 52, "month": 12, "quarter": 4}
"""Periods after which the same season comes again."""


@dataclass(frozen=True, order=True)
class Period:
    """A week (Monday to Sunday), a month or a quarter, by its first and last day."""

    first: date
    last: date
    kind: PeriodKind

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.last - self.first).days + 1

    @property
    def key(self) -> str:
        """Name it for machines.

        >>> [period_of(date(2011, 2, 28), kind).key for kind in PERIOD_KINDS]
        ['2011-W09', '2011-02', '2011-Q1']
        """
        if self.kind == "week":
            year, week, _ = self.first.isocalendar()
            return f"{year}-W{week:02d}"
        if self.kind == "month":
            return f"{self.first:%Y-%m}"
        return f"{self.first.year}-Q{(self.first.month + 2) // 3}"

    def before(self) -> Period:
        """The period before it."""
        return period_of(self.first - timedelta(days=1), self.kind)


def period_of(day: date, kind: PeriodKind) -> Period:
    """Find the period that a day is in.

    >>> period_of(date(2011, 2, 28), "quarter")
    Period(first=datetime.date(2011, 1, 1), last=datetime.date(2011, 3, 31), kind='quarter')
    """
    if kind == "week":
        first = day - timedelta(days=day.weekday())
        return Period(first, first + timedelta(days=6), kind)
    months = _MONTHS[kind]
    first = date(day.year, (day.month - 1) // months * months + 1, 1)
    ahead = first.year * 12 + first.month - 1 + months
    return Period(first, date(ahead // 12, ahead % 12 + 1, 1) - timedelta(days=1), kind)


def whole_periods(kind: PeriodKind, first_day: date, as_of: date, most: int) -> tuple[Period, ...]:
    """List the newest periods that lie wholly between two days, oldest first.

    Raises
    ------
    NotEnoughData
        None does.

    Examples
    --------
    >>> [p.key for p in whole_periods("month", date(2009, 12, 1), date(2011, 3, 10), 2)]
    ['2011-01', '2011-02']
    """
    found: list[Period] = []
    period = period_of(as_of, kind)
    while period.first >= first_day and len(found) < most:
        if period.last <= as_of:
            found.append(period)
        period = period.before()
    if not found:
        shorter = " --period week or" if kind != "week" else ""
        raise NotEnoughData(
            f"no whole {kind} lies between {first_day} and {as_of}; give{shorter} a later --as-of"
        )
    return tuple(reversed(found))


def placed(periods: Sequence[Period]) -> pl.LazyFrame:
    """Lay periods out by day, to join events with: ``event_day`` (Int32) and ``period`` (Int32)."""
    days = [
        (day, place)
        for place, period in enumerate(periods)
        for day in range(day_number(period.first), day_number(period.last) + 1)
    ]
    return pl.LazyFrame(days, schema={"event_day": pl.Int32, "period": pl.Int32}, orient="row")
