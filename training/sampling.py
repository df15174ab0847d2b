"""Fewer customers than there are: whole customers, the same ones on every day and machine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import duckdb
import numpy as np
import pyarrow as pa

_BUCKETS = 2**32


def sample_customers(asked: Mapping[date, pa.Array], most_rows: int | None) -> dict[date, pa.Array]:
    """Keep so many customers that all days together hold about ``most_rows`` rows.

    A customer is in or out by a digest of the id alone, on every day alike: a label's window and
    the history before it stay those of one person, and next month's sample holds the same people.

    Parameters
    ----------
    asked
        Customer ids by day.
    most_rows
        None keeps everyone, as does a number that is not reached.

    Examples
    --------
    >>> asked = {date(2024, 5, 1): pa.array(range(1000)), date(2024, 6, 1): pa.array(range(1100))}
    >>> kept = sample_customers(asked, 210)
    >>> [len(ids) for ids in kept.values()], kept[date(2024, 5, 1)][0].as_py()
    ([98, 110], 5)
    """
    rows = sum(len(ids) for ids in asked.values())
    if most_rows is None or rows <= most_rows:
        return dict(asked)
    below = int(most_rows / rows * _BUCKETS)
    return {day: ids.filter(pa.array(_buckets(ids) < below)) for day, ids in asked.items()}


def _buckets(ids: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    table = pa.table({"id": ids})
    with duckdb.connect() as database:
        database.register("asked", table)
        found = database.sql(
            f"SELECT md5_number_lower(CAST(id AS VARCHAR)) % {_BUCKETS} AS bucket FROM asked"
        ).fetchnumpy()
    return np.asarray(found["bucket"], dtype=np.uint64)
