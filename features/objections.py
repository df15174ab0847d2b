"""Who objected to profiling: the setting ``privacy.objection_column`` names where customers say so.

Their facts stay facts, and count in totals. Nothing is computed of them: they are in no snapshot,
so that no model learns from them, none scores them, no plan has them, and nothing of them is
online.
"""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from features.catalogue import JOIN_KEY
from features.ingest.contract import CONTRACT
from features.ingest.given import means_yes


def objecting(customers: pl.DataFrame, column: str | None) -> pl.Series:
    """List those whose newest word is that they object, sorted.

    Parameters
    ----------
    customers
        Clean rows of the table.
    column
        Of the contract, or one of the file's own; None: nobody is asked.

    Examples
    --------
    >>> rows = pl.DataFrame(
    ...     {
    ...         "customer_id": [1, 1, 2],
    ...         "valid_from": [1, 2, 1],
    ...         "attributes": ['{"objects":"yes"}', '{"objects":"no"}', '{"objects":"yes"}'],
    ...     }
    ... )
    >>> objecting(rows, "objects").to_list(), objecting(rows, None).to_list()
    ([2], [])
    """
    if column is None or customers.is_empty():
        return customers[JOIN_KEY].clear()
    if CONTRACT["customers"].column(column) is not None:
        said = customers[column].cast(pl.String)
    else:
        texts = customers["attributes"].unique().drop_nulls().to_list()
        told = {text: json.loads(text).get(column) for text in texts}
        said = customers["attributes"].replace_strict(told, default=None, return_dtype=pl.String)
    rows = customers.select(JOIN_KEY, "valid_from", said=means_yes(said))
    # A row without a day is today's: nothing is newer.
    newest = rows.filter(pl.col("said").is_not_null()).sort("valid_from", nulls_last=True)
    last = newest.group_by(JOIN_KEY, maintain_order=True).agg(pl.col("said").last())
    return last.filter("said")[JOIN_KEY].sort()


def objecting_in(path: Path | None, column: str | None) -> pl.Series:
    """List who objects by a table's file; nobody where there is none."""
    if path is None or column is None:
        return pl.Series(JOIN_KEY, [], dtype=pl.Int64)
    return objecting(pl.read_parquet(path), column)


def without(table: pa.Table, objectors: pl.Series) -> pa.Table:
    """Leave some customers out of rows by ``customer_id``."""
    if objectors.is_empty():
        return table
    keys = table[JOIN_KEY]
    names = pa.array(objectors.to_list(), keys.type)
    return table.filter(pc.invert(pc.is_in(keys, value_set=names)))
