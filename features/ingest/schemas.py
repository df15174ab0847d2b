"""What a clean table must look like: Polars' types, and pandera's checks before it is written."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from features.errors import WorkspaceError
from features.ingest.contract import CONTRACT, CleanColumn, Stored, Table
from features.ingest.moments import UTC_MOMENT

if TYPE_CHECKING:
    import pandera.polars as pa

Dtype = pl.DataType | type[pl.DataType]

DTYPES: Final[dict[Stored, Dtype]] = {
    "id": pl.String,
    "text": pl.String,
    "moment": UTC_MOMENT,
    "day": pl.Int32,
    "e4": pl.Int64,
    "number": pl.Float64,
    "flag": pl.Boolean,
}
"""Polars' type of each kind of clean column; ids are Int64 where every one is an integer."""


@cache
def clean_schema(table: Table) -> dict[str, Dtype]:
    """Columns of a clean table in their order, ids as text.

    >>> list(clean_schema("treatments"))[:5]
    ['customer_id', 'at', 'arrived_at', 'event_day', 'known_day']
    """
    return {column.name: DTYPES[column.stored] for column in CONTRACT[table].clean}


@cache
def id_columns(table: Table) -> tuple[str, ...]:
    """Clean columns that hold a customer's id.

    >>> id_columns("customers")
    ('customer_id', 'referred_by')
    """
    return tuple(column.name for column in CONTRACT[table].clean if column.stored == "id")


def check_table(table: Table, rows: pl.DataFrame) -> None:
    """Check a merged table against its contract, every row of it.

    Raises
    ------
    WorkspaceError
        It breaks the contract, which what was cleaned cannot; so what was stored is damaged.
    """
    # Pandera takes two seconds to import, and only who writes a table needs it.
    from pandera.errors import SchemaError  # noqa: PLC0415

    try:
        table_schema(table, integer_ids=rows.schema["customer_id"] == pl.Int64).validate(rows)
    except SchemaError as error:
        reason = str(error).splitlines()[0][:200]
        raise WorkspaceError(
            f"the merged {table} break the data contract ({reason}); nothing was written: restore "
            "the workspace's data folder from a backup, or ingest into a new workspace"
        ) from None


@cache
def table_schema(table: Table, *, integer_ids: bool) -> pa.DataFrameSchema:
    """Pandera's schema of a clean table: types, nulls, values, and time running forward."""
    import pandera.polars as pa  # noqa: PLC0415

    names = CONTRACT[table].clean_names
    return pa.DataFrameSchema(
        {column.name: _column(column, integer_ids) for column in CONTRACT[table].clean},
        checks=[
            _never_before(later, earlier)
            for later, earlier in (("known_day", "event_day"), ("ends_day", "event_day"))
            if later in names
        ],
        strict=True,
        ordered=True,
        name=table,
    )


def _column(column: CleanColumn, integer_ids: bool) -> pa.Column:
    import pandera.polars as pa  # noqa: PLC0415

    checks = []
    if column.within:
        checks.append(pa.Check.in_range(*column.within))
    if column.among:
        checks.append(pa.Check.isin(column.among))
    dtype = pl.Int64 if column.stored == "id" and integer_ids else DTYPES[column.stored]
    return pa.Column(dtype, checks, nullable=column.nullable)


def _never_before(later: str, earlier: str) -> pa.Check:
    import pandera.polars as pa  # noqa: PLC0415

    def runs_forward(data: Any) -> pl.LazyFrame:  # noqa: ANN401 - pandera's PolarsData
        frame: pl.LazyFrame = data.lazyframe
        return frame.select((pl.col(later) >= pl.col(earlier)).fill_null(value=True))

    return pa.Check(runs_forward, error=f"{later} is never before {earlier}")
