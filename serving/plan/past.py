"""What was done before and is not to be done again yet: every treatment, not the newest alone.

A plan that others are still being treated by counts as if it had been carried out, in both arms: a
control customer who got the same action from the next plan would tell nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.catalogue import JOIN_KEY
from features.days import day_number

Flags = NDArray[np.bool_]


class Cooling:
    """Which customers are within the cooldown of which actions.

    Parameters
    ----------
    rows : int64 array
        Customers' places among those of the day, sorted.
    actions : int64 array
        Places of the actions that wait.
    count
        Actions in all.

    Examples
    --------
    >>> Cooling(np.array([1, 1, 4]), np.array([0, 2, 1]), 3).of(0, 2).tolist()
    [[False, False, False], [True, False, True]]
    """

    def __init__(self, rows: NDArray[np.int64], actions: NDArray[np.int64], count: int) -> None:
        self._rows = rows
        self._actions = actions
        self._count = count

    @classmethod
    def find(
        cls,
        customers: pa.Array,
        past: pl.DataFrame,
        keys: Sequence[str],
        wait_days: NDArray[np.float64],
        as_of: date,
    ) -> Cooling:
        """Look the customers of a day up in what was done.

        Parameters
        ----------
        past
            ``customer_id``, ``action``, ``event_day``: see :func:`treatments` and :func:`planned`.
        wait_days : float64 array of shape (k, k)
            How long each action waits after each that was done, a row for the latter; see
            :class:`serving.actions.Menu`.
        """
        done, waiting_place = np.nonzero(wait_days > 0)
        waits = pl.DataFrame(
            {
                "action": [keys[place] for place in done.tolist()],
                "place": waiting_place,
                "days": wait_days[done, waiting_place],
            },
            schema={"action": pl.String, "place": pl.Int64, "days": pl.Float64},
        )
        # As in `serving.actions.Menu.waits`: so many days after it, it may be done again.
        waiting = (
            past.join(waits, on="action", how="inner")
            .filter(day_number(as_of) - pl.col("event_day") < pl.col("days"))
            .select(JOIN_KEY, "place")
            .unique()
        )
        rows = pc.index_in(waiting[JOIN_KEY].to_arrow().cast(customers.type), customers)
        known = np.asarray(pc.is_valid(rows))
        found = np.asarray(pc.fill_null(rows, 0), dtype=np.int64)[known]
        order = np.argsort(found, kind="stable")
        return cls(found[order], waiting["place"].to_numpy()[known][order], len(keys))

    def of(self, start: int, count: int) -> Flags:
        """Whether each action waits, for so many customers from some place on."""
        waits = np.zeros((count, self._count), dtype=np.bool_)
        first, last = np.searchsorted(self._rows, [start, start + count])
        waits[self._rows[first:last] - start, self._actions[first:last]] = True
        return waits


def treatments(path: Path | None, as_of: date) -> pl.DataFrame:
    """Read who was treated with what, as was known by a day.

    Parameters
    ----------
    path
        The ledger's treatments, if there are any.
    """
    if path is None:
        return pl.DataFrame()
    until = day_number(as_of)
    return (
        pl.scan_parquet(path)
        .filter(pl.col("arm") == "treated", pl.col("known_day") <= until)
        .filter(pl.col("event_day") <= until)
        .group_by(JOIN_KEY, "action")
        .agg(pl.col("event_day").max().cast(pl.Int32))
        .collect()
    )


def planned(path: Path) -> pl.DataFrame:
    """Read whom a plan assigned what, in either arm."""
    day = pl.col("at").dt.epoch("d").cast(pl.Int32)
    return pl.scan_parquet(path).select(JOIN_KEY, "action", event_day=day).collect()


def together(parts: Sequence[pl.DataFrame], key: pl.DataType) -> pl.DataFrame:
    """Put what was done by several hands into one table."""
    schema = pl.Schema({JOIN_KEY: key, "action": pl.String(), "event_day": pl.Int32()})
    return pl.concat([pl.DataFrame(schema=schema), *(p.cast(schema) for p in parts if p.width)])
