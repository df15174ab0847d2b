"""Contracts: a row is a term of a subscription, as it was known at its arrival."""

from __future__ import annotations

import polars as pl

from features.ingest.given import Finding, Given
from features.ingest.shaping import (
    Shaped,
    customer_reason,
    dated,
    day,
    structural_reasons,
    time_reasons,
    unreadable_notes,
    zone_note,
)
from features.settings import DataSettings


def shape_terms(given: Given, settings: DataSettings) -> Shaped:
    """Make subscription terms of the rows of a file."""
    del settings
    rows = dated(given.frame(), "starts_at").with_columns(
        ends_day=day(pl.col("ends_at")),
        renewed_day=day(pl.col("renewed_at")),
        cancelled_day=day(pl.col("cancelled_at")),
    )
    return Shaped(
        rows=rows,
        reasons=[
            *structural_reasons(given),
            customer_reason(given),
            Finding("no_contract", given.values["contract_id"].is_null(), "contract_id"),
            *time_reasons(given, "starts_at"),
            Finding("ends_before_start", _ends_before_start(rows), "ends_at"),
        ],
        notes=[
            zone_note(given, "starts_at"),
            *unreadable_notes(
                given, ("arrived_at", "ends_at", "renewed_at", "cancelled_at", "fee")
            ),
        ],
    )


def _ends_before_start(rows: pl.DataFrame) -> pl.Series:
    starts, ends = pl.col("starts_at"), pl.col("ends_at")
    # A day without a time is its whole day, so a term that ends on the day it starts is one.
    whole_day = (ends == ends.dt.truncate("1d")) & (day(ends) == day(starts))
    return rows.select(((ends < starts) & ~whole_day).fill_null(value=False)).to_series()
