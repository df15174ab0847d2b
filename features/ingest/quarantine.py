"""Rows that cannot be facts: set aside whole, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from features.ingest.codes import as_text
from features.ingest.given import Finding

REASONS: Final = {
    "too_many_fields": "put quotes around fields that hold the separator",
    "oversized_field": "a cell holds more than 10,000 bytes, so mend the quotes around it",
    "no_customer": "map customer_id to the column that says who it was",
    "no_contract": "map contract_id to the column that names the subscription",
    "unreadable_date": "map {column} to a column of dates, or set data.date_format",
    "date_out_of_range": "dates must lie in the years 1970 to 2100, so map {column} to another "
    "column or set data.date_format",
    "ends_before_start": "map starts_at and ends_at the other way round",
    "unreadable_amount": "map amount, or quantity and unit_price, to columns of numbers",
    "ambiguous_amount": "1.500 or 1,500 may be thousands or a fraction, so set data.decimal_mark",
    "absurd_amount": "amounts must stay below 1e11, so map amount to another column",
    "no_kind": "map kind to the column that says what happened",
    "no_action": "map action to the column that says what was assigned",
    "unknown_arm": "map arm to a column that says treated or control",
}
"""Why a row is set aside, with what to change if it is so for all."""


def first_reasons(reasons: Sequence[Finding], height: int) -> pl.Series:
    """Give the first reason that holds for each row, null where the row is kept.

    >>> both = [Finding("a", pl.Series([True, False])), Finding("b", pl.Series([True, True]))]
    >>> first_reasons(both, 2).to_list()
    ['a', 'b']
    """
    tests = pl.DataFrame([found.rows.alias(f"{n}") for n, found in enumerate(reasons)])
    first = pl.coalesce(
        pl.when(pl.col(f"{n}")).then(pl.lit(found.name)) for n, found in enumerate(reasons)
    )
    return tests.select(first.alias("reason")).to_series() if height else pl.Series("reason", [])


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


def nothing_kept(reason: pl.Series, reasons: Sequence[Finding], columns: Mapping[str, str]) -> str:
    """Say why no row of a file can be used, and what to change.

    >>> nobody = Finding("no_customer", pl.Series([True, True]), "customer_id")
    >>> nothing_kept(pl.Series(["no_customer"] * 2), [nobody], {"customer_id": "who"})
    "none of the 2 rows can be used, 2 because of no_customer; map customer_id to the column that \
says who it was (mapping: customer_id='who')"
    """
    counts = [int((reason == found.name).sum()) for found in reasons]
    place = max(range(len(counts)), key=counts.__getitem__)
    commonest = reasons[place]
    remedy = REASONS[commonest.name].format(column=commonest.column)
    named = ", ".join(f"{column}={name!r}" for column, name in columns.items())
    return (
        f"none of the {len(reason):,} rows can be used, {counts[place]:,} because of "
        f"{commonest.name}; {remedy} (mapping: {named})"
    )


def _beside_ours(name: str, present: list[str]) -> str:
    """Rename a file's own `row` or `reason`, so that ours have those names."""
    if name not in ("row", "reason"):
        return name
    while name in present:
        name += " (file)"
    return name
