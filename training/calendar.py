"""Which days are learned from, and which are kept to judge by.

All but the newest lie on a grid of fixed days, not so many days back from the training: two
trainings a week apart share them, so that they can be compared on what both said of one day, and
the second finds their snapshots made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice

from features.errors import InputError, NotEnoughData

EARLIEST_DAYS = 7
"""Before this many days of orders nobody is known whose level there could be."""

STEPS = (28, 14, 7)
"""Days between snapshots, of which each grid holds those before it: whole weeks, so that every
snapshot but the newest ends on a Sunday."""


@dataclass(frozen=True)
class Calendar:
    """The snapshot days of one training, oldest first.

    Attributes
    ----------
    first_day
        Day of the first order that was known by ``as_of``.
    matured
        Days whose whole label window lies on or before ``as_of``.
    early
        Older ones, with too little behind them to learn from, which show levels all the same: the
        weeks of a year ago are often among them.
    """

    first_day: date
    as_of: date
    horizon_days: int
    matured: tuple[date, ...]
    early: tuple[date, ...] = ()

    @property
    def labelled(self) -> tuple[date, ...]:
        """All days whose outcomes are known."""
        return (*self.early, *self.matured)

    @property
    def evaluation(self) -> date:
        """The newest matured day: the model is judged there before it is refitted."""
        return self.matured[-1]

    def before(self, day: date) -> tuple[date, ...]:
        """Matured days whose labels end on or before ``day``.

        >>> calendar = plan(date(1997, 1, 1), date(1997, 1, 1), date(1998, 6, 30), 91, 28, 18)
        >>> calendar.before(date(1997, 9, 1))[-1].isoformat()
        '1997-06-01'
        """
        return tuple(d for d in self.matured if d + timedelta(days=self.horizon_days) <= day)

    def over_by(self, day: date) -> frozenset[date]:
        """Those of all labelled days whose labels end on or before ``day``."""
        window = timedelta(days=self.horizon_days)
        return frozenset(d for d in self.labelled if d + window <= day)

    def foldable(self) -> tuple[date, ...]:
        """Matured days that a model trained on earlier labels alone can predict."""
        return tuple(d for d in self.matured if self.before(d))


def plan(
    first_day: date,
    history_from: date,
    as_of: date,
    horizon_days: int,
    step_days: int,
    max_snapshots: int,
) -> Calendar:
    """Lay out the snapshot days: the newest that has matured, and those of the grid before it.

    The grid is of the days whose ordinal is a multiple of the step, whatever the training's day.
    One that lies less than half a step before the newest is left out.

    Parameters
    ----------
    first_day
        Day of the first order.
    history_from
        Nothing is learned from a snapshot before this day: there would be too little behind it.

    Raises
    ------
    InputError
        ``as_of`` lies before the data.
    NotEnoughData
        No day has both enough history behind it and a whole horizon before ``as_of``.

    Examples
    --------
    Two trainings a week apart:

    >>> start, sunday = date(2023, 1, 1), date(2024, 3, 31)
    >>> for as_of in (sunday, sunday + timedelta(days=7)):
    ...     print(*plan(start, start, as_of, 91, 28, 4).matured)
    2023-10-15 2023-11-12 2023-12-10 2023-12-31
    2023-10-15 2023-11-12 2023-12-10 2024-01-07
    """
    if as_of < first_day:
        raise InputError(
            f"as-of day {as_of} lies before the first order ({first_day}); choose a later day"
        )
    newest = as_of - timedelta(days=horizon_days)
    if newest < history_from:
        raise NotEnoughData(
            f"a horizon of {horizon_days} days before {as_of} needs orders from "
            f"{newest - (history_from - first_day)} on, the first is of {first_day}; "
            "shorten --horizon-days, choose a later --as-of or ingest older orders"
        )
    latest = newest - timedelta(days=(step_days + 1) // 2)
    oldest = first_day + timedelta(days=EARLIEST_DAYS)
    found = list(islice(_grid(latest, oldest, step_days), max_snapshots - 1))
    days = (*reversed(found), newest)
    return Calendar(
        first_day,
        as_of,
        horizon_days,
        tuple(day for day in days if day >= history_from),
        tuple(day for day in days if day < history_from),
    )


def _grid(latest: date, oldest: date, step_days: int) -> Iterator[date]:
    """Days of the grid between two, the latest first."""
    day = latest - timedelta(days=latest.toordinal() % step_days)
    while day >= oldest:
        yield day
        day -= timedelta(days=step_days)


def enough_history(first_day: date, horizon_days: int) -> date:
    """The first day with enough behind it to learn from: half a horizon, two to six weeks."""
    return first_day + timedelta(days=max(14, min(horizon_days // 2, 42)))


def default_step(days_to_learn_from: int) -> int:
    """Days between snapshots: four weeks, so that eighteen reach beyond a year; less if young.

    Parameters
    ----------
    days_to_learn_from
        From the first day with enough behind it to the newest that has matured.

    Examples
    --------
    >>> default_step(500), default_step(100), default_step(10)
    (28, 14, 7)
    """
    return next((step for step in STEPS if step <= days_to_learn_from // 6), STEPS[-1])
