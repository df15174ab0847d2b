"""What the tables have in common when rows as read become clean rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from features.ingest.codes import as_text
from features.ingest.given import Finding, Given
from features.ingest.reading import SURPLUS_COLUMN

LONGEST_TEXT = 10_000
"""Bytes of the longest cell that is believed to be one."""


@dataclass(frozen=True)
class Shaped:
    """A file's rows in the clean columns, as many as it has, and what is to be said of them."""

    rows: pl.DataFrame
    """Columns as in ``clean_schema``; ids still text."""
    reasons: list[Finding]
    """Why rows are set aside; of several reasons the first counts."""
    notes: list[Finding]
    """What is odd about a row, but no reason to set it aside."""


def day(moment: pl.Expr) -> pl.Expr:
    """The UTC day of a moment, counted from 1970-01-01."""
    return moment.dt.epoch("d").cast(pl.Int32)


def dated(rows: pl.DataFrame, time: str) -> pl.DataFrame:
    """Add when a fact happened and when it became known; nothing is known before it happened."""
    at, arrived_at = pl.col(time), pl.col("arrived_at")
    return rows.with_columns(
        arrived_at.fill_null(at),
        event_day=day(at),
        known_day=day(pl.max_horizontal(at, arrived_at)),
    )


def structural_reasons(given: Given) -> list[Finding]:
    """Rows in which no cell is sure to be its column's; so these reasons come first."""
    surplus = SURPLUS_COLUMN in given.raw.columns
    return [
        Finding(
            "too_many_fields",
            given.raw[SURPLUS_COLUMN].is_not_null() if surplus else given.nothing(),
        ),
        Finding("oversized_field", _oversized(given)),
    ]


def _oversized(given: Given) -> pl.Series:
    found = given.nothing()
    for column in given.raw.iter_columns():
        if column.dtype in (pl.String, pl.Binary, pl.Categorical):
            found |= (as_text(column).str.len_bytes() > LONGEST_TEXT).fill_null(value=False)
    return found


def customer_reason(given: Given) -> Finding:
    """Rows that say of nobody."""
    return Finding("no_customer", given.values["customer_id"].is_null(), "customer_id")


def time_reasons(given: Given, time: str) -> list[Finding]:
    """Rows that do not say when."""
    read = given.moments[time]
    return [
        Finding("date_out_of_range", read.out_of_range, time),
        Finding("unreadable_date", read.at.is_null(), time),
    ]


def zone_note(given: Given, time: str) -> Finding:
    """Rows whose time is taken for UTC because it does not say its zone."""
    return Finding("times_without_zone", ~given.moments[time].zoned)


def unreadable_notes(given: Given, columns: Iterable[str]) -> list[Finding]:
    """Rows in which an optional column says something that came to nothing."""
    found = []
    for name in columns:
        if not given.read(name):
            continue
        nothing = given.unreadable(name)
        if name in given.moments:
            outside = given.moments[name].out_of_range
            found.append(Finding(f"unbelievable_{name}", outside, name))
            nothing &= ~outside
        if name in given.numbers:
            ambiguous = given.numbers[name].ambiguous
            found.append(Finding(f"ambiguous_{name}", ambiguous, name))
            nothing &= ~ambiguous
        found.append(Finding(f"unreadable_{name}", nothing, name))
    return found
