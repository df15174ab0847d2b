"""Orders carried from one snapshot to the next, so that a month costs about a month.

What is known of orders on a day is kept as a few tables (:class:`OrderHistory`). The next day's
tables are made from these and the lines that became known in between. A customer with a line that
arrived late, of a day that the former snapshot had already seen, is computed anew from all lines:
the former sums never saw the order of days that is now true.

The daily partial sums are those of the stream-windowing literature (Li et al., "No pane, no
gain", SIGMOD Record 2005); carrying them forward is their reuse by later windows.
"""

from __future__ import annotations

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
        return _sum_up(engine, known_by(lines, as_of_day), as_of_day)

    def advance(self, engine: Engine, lines: Frame, as_of_day: int) -> OrderHistory:
        """Sum up to a later day from what this one has and what became known since.

        Parameters
        ----------
        lines
            The ledger's lines; of those known by this history's day, only the lines of customers
            with late arrivals are read.
        """
        fresh = known_by(lines, as_of_day).filter(nw.col("known_day") > self.as_of_day)
        late = engine.collect(
            fresh.filter(nw.col("event_day") <= self.as_of_day).select(JOIN_KEY).unique(JOIN_KEY)
        )
        news = fresh
        if late.num_rows:
            before = known_by(lines, self.as_of_day)
            anew = before.join(engine.frame(late), on=JOIN_KEY, how="semi")
            news = nw.concat([anew, fresh])
        return self._without(late)._plus(engine, _sum_up(engine, news, as_of_day))

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

    def _without(self, customers: pa.Table) -> OrderHistory:
        if not customers.num_rows:
            return self
        keys = customers[JOIN_KEY].combine_chunks()
        return OrderHistory(
            self.as_of_day,
            _drop(self.totals, keys),
            _drop(self.days, keys),
            {name: _drop(table, keys) for name, table in self.labels.items()},
            {name: _drop(table, keys) for name, table in self.breadths.items()},
        )

    def _plus(self, engine: Engine, later: OrderHistory) -> OrderHistory:
        """Add a part of the history in which every day lies after this one's, or is another's."""
        if not later.totals.num_rows:
            return OrderHistory(
                later.as_of_day,
                self.totals,
                _recent(self.days, later.as_of_day),
                self.labels,
                self.breadths,
            )
        heard_of = later.totals[JOIN_KEY].combine_chunks()
        untouched = _drop(self.totals, heard_of)
        touched = _keep(self.totals, heard_of)
        merged = engine.collect(merge(engine.frame(touched), engine.frame(later.totals)))
        labels, breadths = {}, {}
        for name in LABELS:
            theirs = _keep(self.labels[name], heard_of)
            added = engine.collect(
                merge_labels(engine.frame(theirs), engine.frame(later.labels[name]))
            )
            labels[name] = _joined(_drop(self.labels[name], heard_of), added)
            # A list of labels does not add up: it is looked at anew, but for these alone.
            looked_at = engine.collect(breadth(engine.frame(added), name))
            breadths[name] = _joined(_drop(self.breadths[name], heard_of), looked_at)
        return OrderHistory(
            later.as_of_day,
            _joined(untouched, merged),
            _joined(_recent(self.days, later.as_of_day), later.days),
            labels,
            breadths,
        )


def _sum_up(engine: Engine, lines: Frame, as_of_day: int) -> OrderHistory:
    lines = engine.keep(lines)
    days = engine.collect(by_day(lines))
    labels = {name: engine.collect(by_label(lines, name)) for name in LABELS}
    return OrderHistory(
        as_of_day,
        engine.collect(totals(engine.frame(days))),
        _recent(days, as_of_day),
        labels,
        {name: engine.collect(breadth(engine.frame(labels[name]), name)) for name in LABELS},
    )


def _recent(days: pa.Table, as_of_day: int) -> pa.Table:
    narrow = days.select([JOIN_KEY, "event_day", *WINDOWED])
    return narrow.filter(pc.greater(narrow["event_day"], as_of_day - LOOK_BACK_DAYS))


def _keep(table: pa.Table, customers: pa.Array) -> pa.Table:
    return table.filter(_is_of(table, customers))


def _drop(table: pa.Table, customers: pa.Array) -> pa.Table:
    return table.filter(pc.invert(_is_of(table, customers)))


def _is_of(table: pa.Table, customers: pa.Array) -> pa.ChunkedArray:
    keys = table[JOIN_KEY]
    return pc.is_in(keys, customers.cast(keys.type))


def _joined(one: pa.Table, other: pa.Table) -> pa.Table:
    return pa.concat_tables([one, other.cast(one.schema)])
