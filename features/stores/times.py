"""Times as whole microseconds since 1970, and as bytes that sort as the times do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Micros = NDArray[np.int64]

NO_TIME = int(np.iinfo(np.int64).min)
"""Stands for a created time that there is not; it is older than every other."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SIGN = np.uint64(1 << 63)
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def micros_of(moment: datetime | None) -> int:
    """Count the microseconds of a moment; one without a zone is UTC, as everywhere in Feast.

    >>> micros_of(datetime(1970, 1, 1, 0, 0, 1)), micros_of(None) == NO_TIME
    (1000000, True)
    """
    if moment is None:
        return NO_TIME
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND


def moment_of(micros: int) -> datetime | None:
    """Turn microseconds back into a moment in UTC.

    >>> moment_of(1_000_000)
    datetime.datetime(1970, 1, 1, 0, 0, 1, tzinfo=datetime.timezone.utc)
    """
    return None if micros == NO_TIME else _EPOCH + int(micros) * _MICROSECOND


def sortable(micros: Micros) -> NDArray[np.uint64]:
    """Turn signed microseconds into unsigned numbers whose big-endian bytes sort as the times.

    >>> low, high = sortable(np.array([-1, 1]))
    >>> bool(low < high)
    True
    """
    return np.asarray(micros, np.int64).view(np.uint64) ^ _SIGN


def from_sortable(numbers: NDArray[np.uint64]) -> Micros:
    """Undo :func:`sortable`."""
    return (np.asarray(numbers, np.uint64) ^ _SIGN).view(np.int64)


def micros_of_column(column: pa.Array) -> Micros:
    """Count the microseconds of a column of timestamps; nanoseconds are cut, null is NO_TIME.

    >>> stamps = pa.array([1_999, None], pa.timestamp("ns", "UTC"))
    >>> [int(micros) for micros in micros_of_column(stamps)] == [1, NO_TIME]
    True
    """
    column = column.cast(pa.timestamp("us")) if pa.types.is_date(column.type) else column
    if not pa.types.is_timestamp(column.type):
        raise TypeError(f"a column of times has the type {column.type}; store it as a timestamp")
    # Without nulls first: NO_TIME is no timestamp that Arrow could scale.
    numbers = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    scale = _PER_SECOND[column.type.unit]
    micros = numbers // (scale // 10**6) if scale > 10**6 else numbers * (10**6 // scale)
    if column.null_count:
        micros = np.where(column.is_valid().to_numpy(zero_copy_only=False), micros, NO_TIME)
    return np.asarray(micros, np.int64)
