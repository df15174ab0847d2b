"""Orders carried from one snapshot to the next, so that a month costs about a month.

What is known of orders on a day is kept as a few tables (:class:`OrderHistory`). The next day's
tables are made from these and the lines that became known in between. A customer with a line that
arrived late, of a day that the former snapshot had already seen, is computed anew from all lines:
the former sums never saw the order of days that is now true.

The daily partial sums are those of the stream-windowing literature (Li et al., "No pane, no
gain", SIGMOD Record 2005); carrying them forward is their reuse by later windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import narwhals as nw
import pyarrow as pa
import pyarrow.compute as pc

from features.catalogue import JOIN_KEY, LOOK_BACK_DAYS
from features.definitions.expressions import Frame, known_by
from features.definitions.orders import (
    LABELS,
    WINDOWED,
    Label,
    breadth,
    by_day,
    by_label,
    merge,
    merge_labels,
    recent_labels,
    totals,
    windows,
)
from features.engines import Engine


@dataclass(frozen=True)
class OrderHistory:
    """What orders add up to by the end of a day, in tables of whole numbers.

    Attributes
    ----------
    as_of_day
        Days since 1970-01-01.
    totals
        A row a customer; see :func:`features.definitions.orders.totals`.
    days
        A row a customer and day of the last :data:`features.catalogue.LOOK_BACK_DAYS` days.
    labels
        A row a customer and category, and a customer and channel.
    breadths
        A row a customer; see :func:`features.definitions.orders.breadth`.
    """

    as_of_day: int
    totals: pa.Table
    days: pa.Table
    labels: dict[Label, pa.Table]
    breadths: dict[Label, pa.Table]

    @classmethod
    def start(cls, engine: Engine, lines: Frame, as_of_day: int) -> OrderHistory:
        """Sum up everything that was known by the end of a day."""
        sums = _sum_up(engine, known_by(lines, as_of_day))
        return cls(
            as_of_day,
            sums.totals,
            _recent(sums.days, as_of_day),
            sums.labels,
            {name: _breadth(engine, sums.labels[name], name) for name in LABELS},
        )

    def advance(self, engine: Engine, lines: Frame, as_of_day: int) -> OrderHistory:
        """Sum up to a later day from what this one has and what became known since.

        Parameters
        ----------
        lines
            The ledger's lines, at least those that became known since and all those of
            :func:`late_customers`.
        """
        fresh = known_by(lines, as_of_day).filter(nw.col("known_day") > self.as_of_day)
        late = engine.collect(late_customers(lines, [self.as_of_day, as_of_day]))
        news = fresh
        if late.num_rows:
            before = known_by(lines, self.as_of_day)
            anew = before.join(engine.frame(late), on=JOIN_KEY, how="semi")
            news = nw.concat([anew, fresh])
        return self._plus(engine, _sum_up(engine, news), as_of_day, _ids(late))

    def facts(self, engine: Engine) -> Frame:
        """Bring the tables together: a row for each customer with a line."""
        frame = engine.frame(self.totals).join(
            windows(engine.frame(self.days), self.as_of_day), on=JOIN_KEY, how="left"
        )
        for name in LABELS:
            recent = recent_labels(engine.frame(self.labels[name]), name, self.as_of_day)
            frame = frame.join(engine.frame(self.breadths[name]), on=JOIN_KEY, how="left")
            frame = frame.join(recent, on=JOIN_KEY, how="left")
        return frame

    def _plus(self, engine: Engine, later: _Sums, as_of_day: int, late: pa.Array) -> OrderHistory:
        """Add what later days brought; of the late customers ``later`` has the whole history."""
        heard_of = _ids(later.totals)
        days = _recent(self.days, as_of_day)
        if not len(heard_of):
            return OrderHistory(as_of_day, self.totals, days, self.labels, self.breadths)
        untouched, touched = _split(self.totals, heard_of)
        merged = engine.collect(
            merge(engine.frame(_split(touched, late)[0]), engine.frame(later.totals))
        )
        labels, breadths = {}, {}
        for name in LABELS:
            theirs, touched = _split(self.labels[name], heard_of)
            added = engine.collect(
                merge_labels(
                    engine.frame(_split(touched, late)[0]), engine.frame(later.labels[name])
                )
            )
            labels[name] = _joined(theirs, added)
            # A list of labels does not add up: it is looked at anew, but for these alone.
            looked_at = _breadth(engine, added, name)
            breadths[name] = _joined(_split(self.breadths[name], heard_of)[0], looked_at)
        return OrderHistory(
            as_of_day,
            _joined(untouched, merged),
            _joined(_split(days, late)[0], _recent(later.days, as_of_day)),
            labels,
            breadths,
        )


def late_customers(lines: Frame, days: Sequence[int]) -> Frame:
    """Name whoever has a line that became known after one of some days which it lies before.

    Parameters
    ----------
    days
        Ascending; what became known after the last of them is not looked at.
    """
    *seen, last = days
    late = (((nw.col("event_day") <= day) & (nw.col("known_day") > day)) for day in seen)
    return (
        known_by(lines, last)
        .filter(nw.any_horizontal(*late, ignore_nulls=False))
        .select(JOIN_KEY)
        .unique(JOIN_KEY)
    )


@dataclass(frozen=True)
class _Sums:
    """What some lines add up to."""

    totals: pa.Table
    days: pa.Table
    labels: dict[Label, pa.Table]


def _sum_up(engine: Engine, lines: Frame) -> _Sums:
    lines = engine.keep(lines)
    days = engine.collect(by_day(lines))
    return _Sums(
        engine.collect(totals(engine.frame(days))),
        days,
        {name: engine.collect(by_label(lines, name)) for name in LABELS},
    )


def _breadth(engine: Engine, labels: pa.Table, name: Label) -> pa.Table:
    return engine.collect(breadth(engine.frame(labels), name))


def _recent(days: pa.Table, as_of_day: int) -> pa.Table:
    narrow = days.select([JOIN_KEY, "event_day", *WINDOWED])
    return narrow.filter(pc.greater(narrow["event_day"], as_of_day - LOOK_BACK_DAYS))


def _ids(table: pa.Table) -> pa.Array:
    return table[JOIN_KEY].combine_chunks()


def _split(table: pa.Table, customers: pa.Array) -> tuple[pa.Table, pa.Table]:
    """Part the rows of all others from those of some customers."""
    if not len(customers):
        return table, table.slice(0, 0)
    keys = table[JOIN_KEY]
    theirs = pc.is_in(keys, customers.cast(keys.type))
    return table.filter(pc.invert(theirs)), table.filter(theirs)


def _joined(one: pa.Table, other: pa.Table) -> pa.Table:
    return pa.concat_tables([one, other.cast(one.schema)])
