"""A folder of daily snapshots: one Parquet file a day, every row stamped with the day's end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.days import closing
from features.stores.times import micros_of

_BUFFER_BYTES = 65_536
_NAME = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class Snapshot:
    """One day's file.

    Attributes
    ----------
    path
        The Parquet file.
    closed
        The last microsecond of the day in UTC, in microseconds since 1970: the time of every row.
    """

    path: Path
    closed: int

    def column(self, name: str) -> pa.Array:
        """Read one column."""
        with pq.ParquetFile(self.path, memory_map=True) as file:
            read = file.read(columns=[name], use_threads=False)[name]
        return _one_array(read)

    def table(self, columns: list[str]) -> pa.Table:
        """Read some columns."""
        with pq.ParquetFile(self.path, memory_map=True) as file:
            return file.read(columns=columns)

    def batches(
        self, columns: list[str], rows: int, start: int = 0, stop: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Read some columns, some rows at a time, from one row of the file to before another.

        Row groups that hold none of them are not read.
        """
        # What was read of a mapped file would stay in memory beside the rows.
        with pq.ParquetFile(self.path, buffer_size=_BUFFER_BYTES) as file:
            stop = file.metadata.num_rows if stop is None else stop
            groups, first = _groups_between(file.metadata, start, stop)
            place = first
            for batch in file.iter_batches(rows, groups, columns, use_threads=False):
                wanted = slice(max(start - place, 0), min(stop - place, batch.num_rows))
                place += batch.num_rows
                if wanted.start < wanted.stop:
                    yield batch.slice(wanted.start, wanted.stop - wanted.start)

    @property
    def schema(self) -> pa.Schema:
        """The columns' types."""
        return _schema(self.path, self.path.stat().st_mtime_ns)


def _groups_between(metadata: pq.FileMetaData, start: int, stop: int) -> tuple[list[int], int]:
    """List the row groups that hold some rows, and say which row the first of them begins with."""
    groups: list[int] = []
    first = place = 0
    for group in range(metadata.num_row_groups):
        end = place + metadata.row_group(group).num_rows
        if place < stop and end > start:
            first = first if groups else place
            groups.append(group)
        place = end
    return groups, first


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    # Offsets of 4 bytes end at 2 GiB of text.
    if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        wide = pa.large_string() if pa.types.is_string(column.type) else pa.large_binary()
        column = column.cast(wide)
    return column.combine_chunks()


def snapshots_in(folder: str, timestamp: str) -> tuple[Snapshot, ...] | None:
    """List a folder's snapshots from the oldest on, or None if it is not a folder of snapshots.

    Every Parquet file must be named after a day and be stamped with that day's end, which is read
    from the files' own statistics. Whatever else there is (hidden files, other kinds) is ignored.
    """
    path = Path(folder)
    if "://" in folder or not path.is_dir():
        return None
    found = []
    for file in sorted(path.iterdir()):
        if file.suffix != ".parquet" or file.name.startswith("."):
            continue
        stamp = file.stat()
        closed = _closed(file, stamp.st_mtime_ns, stamp.st_size, timestamp)
        if closed is None:
            return None
        found.append(Snapshot(file, closed))
    return tuple(found) or None


@lru_cache(maxsize=4096)
def _closed(path: Path, _changed: int, _size: int, timestamp: str) -> int | None:
    """When a snapshot's day ended, or None if the file is no snapshot."""
    if not _NAME.fullmatch(path.stem):
        return None
    try:
        closed = micros_of(closing(date.fromisoformat(path.stem)))
    except ValueError:
        return None
    times = _times_in(path, timestamp)
    return closed if times in (set(), {closed}) else None


def _times_in(path: Path, timestamp: str) -> set[int | None]:
    """Say between which times the rows of a file lie; None stands for an unknown one."""
    metadata = pq.read_metadata(path)
    if timestamp not in metadata.schema.to_arrow_schema().names:
        return {None}
    place = metadata.schema.names.index(timestamp)
    times: set[int | None] = set()
    for group in range(metadata.num_row_groups):
        column = metadata.row_group(group).column(place)
        statistics = column.statistics
        known = statistics is not None and statistics.has_min_max and not statistics.null_count
        if column.num_values:
            ends = (statistics.min, statistics.max) if known else (None, None)
            times |= {micros_of(end) if isinstance(end, datetime) else None for end in ends}
    return times


@lru_cache(maxsize=4096)
def _schema(path: Path, _changed: int) -> pa.Schema:
    return pq.read_schema(path)


def is_unique(keys: pa.Array) -> bool:
    """Whether every value of a column occurs once and none is null.

    >>> is_unique(pa.array(["a", "b"])), is_unique(pa.array([1, 1])), is_unique(pa.array([1, None]))
    (True, False, False)
    """
    return not keys.null_count and pc.count_distinct(keys).as_py() == len(keys)
