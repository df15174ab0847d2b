"""Which snapshot's row each asked row gets, and the columns that follow from it.

The row of the newest snapshot that has the key and closed at or before the asked time. Snapshots
are gone through once, from the newest back; a row that has found its snapshot, or whose time to
live has run out, is not looked for any further. Where every asked time is a day's end and rows live
for less than a day that is an equality join a day; in all other cases it is an as-of join.

Columns are put together one by one, so that the answer and a column or two are all that is in
memory.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.stores.snapshot_folder import Snapshot
from features.stores.times import Micros

_MICROSECOND = timedelta(microseconds=1)
_NOWHERE = -1


@dataclass(frozen=True)
class Match:
    """Where each asked row's features stand.

    Attributes
    ----------
    snapshots
        The files that are needed, in the order of the first row that each answers.
    asked
        For each of these files, which rows of the question it answers.
    taken
        For each of these files, which of its rows those are.
    times
        What was asked for, microseconds since 1970.
    """

    snapshots: tuple[Snapshot, ...]
    asked: tuple[NDArray[np.intp], ...]
    taken: tuple[NDArray[np.int64], ...]
    times: Micros

    def run(self, lives: Sequence[timedelta | None]) -> tuple[Snapshot, int] | None:
        """Say which file answers all rows in its own order, and from which row of it on.

        None where it takes several, or another order, or some row is found nowhere or too old.
        """
        if len(self.snapshots) != 1 or any(self.order(life) is not None for life in lives):
            return None
        taken = self.taken[0]
        if (taken != np.arange(taken[0], taken[0] + len(taken))).any():
            return None
        return self.snapshots[0], int(taken[0])

    @cached_property
    def _places(self) -> NDArray[np.int64]:
        """Where each asked row stands once the files' answers are put behind one another."""
        places = np.full(len(self.times), _NOWHERE, np.int64)
        end = 0
        for asked in self.asked:
            places[asked] = np.arange(end, end + len(asked))
            end += len(asked)
        return places

    @cached_property
    def _closed(self) -> Micros:
        closed = np.zeros(len(self.times), np.int64)
        for snapshot, asked in zip(self.snapshots, self.asked, strict=True):
            closed[asked] = snapshot.closed
        return closed

    def order(self, lives: timedelta | None) -> pa.Array | None:
        """Say how to order the files' answers, null where a row is too old; None as they are."""
        places = self._places
        if lives:
            places = np.where(self.times - self._closed > lives // _MICROSECOND, _NOWHERE, places)
        if len(places) == sum(map(len, self.asked)) and (places == np.arange(len(places))).all():
            return None
        return pa.array(places, mask=places == _NOWHERE)


def match(
    snapshots: Sequence[Snapshot],
    key: str,
    keys: pa.Array,
    times: Micros,
    lives: timedelta | None,
) -> Match:
    """Find each asked row's snapshot.

    Parameters
    ----------
    snapshots
        From the oldest on.
    key
        The column of keys in the snapshots.
    keys, times
        What is asked for; a null key is found nowhere.
    lives
        For how long a row is good, the end included; None or nothing means forever.
    """
    # By time, so that the rows between two closings are a slice.
    in_order = bool((times[1:] >= times[:-1]).all())
    by_time = np.arange(len(times)) if in_order else np.argsort(times, kind="stable")
    ordered = times[by_time]
    span = lives // _MICROSECOND if lives else None
    end = len(times)
    waiting = np.empty(0, np.intp)
    found: list[tuple[Snapshot, NDArray[np.intp], NDArray[np.int64]]] = []
    for snapshot in reversed(snapshots):
        start = int(np.searchsorted(ordered, snapshot.closed))
        waiting = np.concatenate([waiting, by_time[start:end]]) if start < end else waiting
        end = start
        if span is not None:
            waiting = waiting[times[waiting] - snapshot.closed <= span]
        if not len(waiting):
            continue
        waiting = np.sort(waiting)
        taken, there = _located(snapshot.column(key), keys, waiting)
        if there.any():
            found.append((snapshot, waiting[there], taken[there]))
            waiting = waiting[~there]
    # Whoever asks day by day, in whatever order of days, then needs no reordering at the end.
    found.sort(key=lambda one: one[1][0])
    files, asked, rows = zip(*found, strict=True) if found else ((), (), ())
    return Match(tuple(files), tuple(asked), tuple(rows), times)


def _located(
    column: pa.Array, keys: pa.Array, asked: NDArray[np.intp]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Find keys in a snapshot: the row of each, and whether it is there."""
    wanted = keys if len(asked) == len(keys) else keys.take(pa.array(asked))
    # Whoever goes through a day asks for a run of its rows.
    start = pc.index(column, wanted[0]).as_py() if len(wanted) else -1
    if start >= 0 and wanted.equals(column.slice(start, len(wanted))):
        return np.arange(start, start + len(wanted)), np.ones(len(wanted), bool)
    places = pc.index_in(wanted, value_set=column, skip_nulls=True)
    there = places.is_valid().to_numpy(zero_copy_only=False)
    return places.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64), there


@dataclass(frozen=True)
class Wanted:
    """A column of the answer.

    Attributes
    ----------
    name
        What it is called in the answer.
    source
        What it is called in the snapshots.
    lives
        Its view's time to live.
    """

    name: str
    source: str
    lives: timedelta | None


def columns(found: Match, schema: pa.Schema, wanted: Sequence[Wanted]) -> list[pa.ChunkedArray]:
    """Put the columns of an answer together, a file at a time and then a column at a time."""
    names = list(dict.fromkeys(column.source for column in wanted))
    kinds = {name: schema.field(name).type for name in names}
    chunks: dict[str, list[pa.ChunkedArray]] = {name: [] for name in names}
    # Arrow reads and takes without holding the interpreter.
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for snapshot, taken in zip(found.snapshots, found.taken, strict=True):
            table = snapshot.table(names)
            whole = len(taken) == table.num_rows and (taken == np.arange(len(taken))).all()
            rows = None if whole else pa.array(taken)

            def chosen(name: str, table: pa.Table = table, rows: pa.Array = rows) -> None:
                chunks[name].append(table[name] if rows is None else table[name].take(rows))

            list(pool.map(chosen, names))
        orders = {lives: found.order(lives) for lives in {column.lives for column in wanted}}
        last = {column.source: place for place, column in enumerate(wanted)}

        def ordered(place: int) -> pa.ChunkedArray:
            column = wanted[place]
            # The last to need a column lets go of it, so that it is not held twice.
            mine = chunks.pop if last[column.source] == place else chunks.__getitem__
            return _ordered(mine(column.source), orders[column.lives], kinds[column.source])

        return list(pool.map(ordered, range(len(wanted))))


def _ordered(
    chunks: Sequence[pa.ChunkedArray], order: pa.Array | None, kind: pa.DataType
) -> pa.ChunkedArray:
    """Put the files' answers behind one another and bring them into the order of the question."""
    if order is None:
        arrays = [chunk.cast(kind) for column in chunks for chunk in column.chunks]
        return pa.chunked_array(arrays, kind)
    if not chunks:
        return pa.chunked_array([pa.nulls(len(order), kind)])
    # Offsets of 4 bytes end at 2 GiB of text.
    wide = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}.get(kind, kind)
    arrays = [chunk.cast(wide) for column in chunks for chunk in column.chunks]
    taken = pa.chunked_array([pa.chunked_array(arrays, wide).combine_chunks().take(order)])
    return taken.cast(kind) if wide == kind or taken.nbytes < 2**31 else taken
