"""Which days are learned from, and which are kept to judge by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from features.errors import InputError, NotEnoughData

EARLIEST_DAYS = 7
"""Before this many days of orders nobody is known whose level there could be."""


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

        >>> calendar = plan(date(1997, 1, 1), date(1997, 1, 1), date(1998, 6, 30), 91, 30, 18)
        >>> calendar.before(date(1997, 9, 1))[-1].isoformat()
        '1997-05-05'
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
    """Lay out the snapshot days, counted back from the newest that has matured.

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
    """
    if as_of < first_day:
        raise InputError(
            f"as-of day {as_of} lies before the first order ({first_day}); choose a later day"
        )
    newest = as_of - timedelta(days=horizon_days)
    days: list[date] = []
    day = newest
    while day >= history_from and len(days) < max_snapshots:
        days.append(day)
        day -= timedelta(days=step_days)
    if not days:
        raise NotEnoughData(
            f"a horizon of {horizon_days} days before {as_of} needs orders from "
            f"{newest - (history_from - first_day)} on, the first is of {first_day}; "
            "shorten --horizon-days, choose a later --as-of or ingest older orders"
        )
    early: list[date] = []
    while len(days) + len(early) < max_snapshots and (day - first_day).days >= EARLIEST_DAYS:
        early.append(day)
        day -= timedelta(days=step_days)
    return Calendar(first_day, as_of, horizon_days, tuple(reversed(days)), tuple(reversed(early)))


def enough_history(first_day: date, horizon_days: int) -> date:
    """The first day with enough behind it to learn from: half a horizon, two to six weeks."""
    return first_day + timedelta(days=max(14, min(horizon_days // 2, 42)))


def default_step(days_to_learn_from: int) -> int:
    """Days between snapshots: a month, so that eighteen reach beyond a year; less in a young shop.

    Parameters
    ----------
    days_to_learn_from
        From the first day with enough behind it to the newest that has matured.

    Examples
    --------
    >>> default_step(500), default_step(100), default_step(10)
    (30, 16, 7)
    """
    return max(7, min(days_to_learn_from // 6, 30))
