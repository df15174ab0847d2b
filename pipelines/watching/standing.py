"""Customers as they stood at the end of each week, and who of them bought after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import narwhals as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.definitions.orders import purchases
from pipelines.watching.weeks import WEEK

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]

WARM_UP_WEEKS = 8
"""In a company's first weeks nobody can have come back."""
_NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Bought:
    """A row for each customer and day with a purchase.

    Attributes
    ----------
    who
        Customers, counted from 0.
    day, known
        When it was, and when it became known, in days since 1970-01-01.
    """

    who: Int
    day: Int
    known: Int

    @classmethod
    def read(cls, orders: Path, as_of: int) -> Bought:
        """Read what was known by the end of a day."""
        lines = pl.scan_parquet(orders).filter(
            pl.col("event_day") <= as_of, pl.col("known_day") <= as_of
        )
        order = ("customer_id", "order_key", "event_day")
        rows = (
            purchases(nw.from_native(lines))
            .to_native()
            .join(lines.group_by(order).agg(pl.col("known_day").min()), on=order)
            .group_by("customer_id", "event_day")
            .agg(pl.col("known_day").min())
            .sort("customer_id", "event_day")
            .with_columns(who=pl.col("customer_id").rle_id())
            .collect()
        )
        return cls(
            rows["who"].to_numpy().astype(np.int64),
            rows["event_day"].to_numpy().astype(np.int64),
            rows["known_day"].to_numpy().astype(np.int64),
        )

    def __len__(self) -> int:
        return len(self.day)


@dataclass(frozen=True)
class Standing:
    """Who had bought by the end of a day, and who came back in the weeks after it.

    Attributes
    ----------
    day
        The day, by whose end everything but ``came`` was known.
    first, last
        Each customer's first and last day with a purchase.
    times
        Days with a purchase.
    came
        Whether they bought in the weeks after, as known at the end of those.
    """

    day: int
    first: Int
    last: Int
    times: Int
    came: Bool


def ends_of(bought: Bought, as_of: int, most: int, weeks: int = 1) -> Int:
    """The last days of the windows of some weeks, one a week, that are old enough to be looked at.

    Parameters
    ----------
    most
        So many weeks back at most.
    """
    if not len(bought):
        return np.array([], dtype=np.int64)
    number = min((as_of - int(bought.day.min())) // WEEK - WARM_UP_WEEKS, most) - weeks
    return as_of - WEEK * np.arange(number, -1, -1, dtype=np.int64)


def standings(bought: Bought, ends: Int, weeks: int = 1) -> Iterator[Standing]:
    """Look at customers before each window of some weeks.

    Parameters
    ----------
    ends
        Last day of each window, ascending.
    """
    number = int(bought.who.max()) + 1 if len(bought) else 0
    first, last = np.full(number, -_NEVER - 1), np.full(number, _NEVER)
    times = np.zeros(number, dtype=np.int64)
    since = np.maximum(bought.day, bought.known)
    arrived, happened = np.argsort(since, kind="stable"), np.argsort(bought.day, kind="stable")
    days = bought.day[happened]
    done = 0
    for end in ends:
        day = int(end) - WEEK * weeks
        until = int(np.searchsorted(since[arrived], day, side="right"))
        new = arrived[done:until]
        done = until
        np.minimum.at(first, bought.who[new], bought.day[new])
        np.maximum.at(last, bought.who[new], bought.day[new])
        times += np.bincount(bought.who[new], minlength=number)
        window = happened[np.searchsorted(days, day, "right") : np.searchsorted(days, end, "right")]
        came = np.zeros(number, dtype=np.bool_)
        came[bought.who[window[bought.known[window] <= end]]] = True
        there = np.flatnonzero(times)
        yield Standing(day, first[there], last[there], times[there], came[there])


def counted(
    bought: Bought, ends: Int, cell_of: Callable[[Standing], Int], cells: int, weeks: int = 1
) -> tuple[Float, Float]:
    """Count customers by cell before each window, and those of them who came back.

    Parameters
    ----------
    cell_of
        The cell of each customer, from 0.
    cells
        How many there are.

    Returns
    -------
    tuple of numpy.ndarray
        Both of shape (windows, cells).
    """
    people, came = np.zeros((len(ends), cells)), np.zeros((len(ends), cells))
    for place, standing in enumerate(standings(bought, ends, weeks)):
        cell = cell_of(standing)
        people[place] = np.bincount(cell, minlength=cells)
        came[place] = np.bincount(cell[standing.came], minlength=cells)
    return people, came
