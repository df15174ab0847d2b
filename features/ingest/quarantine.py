"""Rows that cannot be order lines: set aside whole, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from features.ingest.codes import as_text
from features.ingest.lines import ReadLines
from features.ingest.reading import SURPLUS_COLUMN

REASONS: Final = {
    "too_many_fields": "put quotes around fields that hold the separator",
    "no_customer": "map customer_id to the column that says who bought",
    "unreadable_date": "map ordered_at to a column of dates, or set data.date_format",
    "date_out_of_range": "dates must lie in the years 1970 to 2100, so map ordered_at to another "
    "column or set data.date_format",
    "unreadable_amount": "map amount, or quantity and unit_price, to columns of numbers",
    "absurd_amount": "amounts must stay below 1e11, so map amount to another column",
}
"""Why a row is set aside, with what to change if it is so for all."""


def reasons(raw: pl.DataFrame, read: ReadLines) -> pl.Series:
    """Give the first reason that holds for each row, null where the row is kept."""
    amount_missing = pl.col("amount_e4").is_null()
    failed: dict[str, pl.Expr | pl.Series] = {
        "no_customer": pl.col("customer_id").is_null(),
        "date_out_of_range": read.ordered.out_of_range,
        "unreadable_date": pl.col("ordered_at").is_null(),
        "absurd_amount": amount_missing & read.amount_given,
        "unreadable_amount": amount_missing,
    }
    if SURPLUS_COLUMN in raw.columns:
        # First, because in such a row no field is sure to be its column's.
        failed = {"too_many_fields": raw[SURPLUS_COLUMN].is_not_null(), **failed}
    first = pl.coalesce(pl.when(test).then(pl.lit(reason)) for reason, test in failed.items())
    return read.lines.select(first.alias("reason")).to_series()


def set_aside(raw: pl.DataFrame, reason: pl.Series) -> pl.DataFrame:
    """Give the rows that have a reason: `row` (from 1), `reason`, and the row as text.

    >>> raw = pl.DataFrame({"who": ["7", ""], "row": [1.5, 2.5]})
    >>> set_aside(raw, pl.Series([None, "no_customer"])).to_dicts()
    [{'row': 2, 'reason': 'no_customer', 'who': '', 'row (file)': '2.5'}]
    """
    places = pl.arange(1, raw.height + 1, dtype=pl.Int64, eager=True).filter(reason.is_not_null())
    rows = raw.filter(reason.is_not_null())
    return pl.DataFrame(
        {
            "row": places,
            "reason": reason.drop_nulls(),
            **{_beside_ours(name, raw.columns): as_text(rows[name]) for name in raw.columns},
        }
    )


def nothing_kept(reason: pl.Series, columns: Mapping[str, str]) -> str:
    """Say why no row of a file can be used, and what to change.

    >>> nothing_kept(pl.Series(["no_customer"] * 2 + ["absurd_amount"]), {"customer_id": "who"})
    "none of the 3 rows can be used, 2 because of no_customer; map customer_id to the column that \
says who bought (mapping: customer_id='who')"
    """
    rows, commonest = max((int((reason == name).sum()), name) for name in REASONS)
    named = ", ".join(f"{column}={name!r}" for column, name in columns.items())
    return (
        f"none of the {len(reason):,} rows can be used, {rows:,} because of {commonest}; "
        f"{REASONS[commonest]} (mapping: {named})"
    )


def _beside_ours(name: str, present: list[str]) -> str:
    """Rename a file's own `row` or `reason`, so that ours have those names."""
    if name not in ("row", "reason"):
        return name
    while name in present:
        name += " (file)"
    return name
