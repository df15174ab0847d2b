"""Treatments: a row is what we assigned to a customer."""

from __future__ import annotations

import polars as pl

from features.ingest.given import Finding, Given
from features.ingest.shaping import (
    Shaped,
    customer_reason,
    dated,
    structural_reasons,
    time_reasons,
    unreadable_notes,
    zone_note,
)
from features.settings import DataSettings


def shape_treatments(given: Given, settings: DataSettings) -> Shaped:
    """Make treatments of the rows of a file; one of unknown arm is set aside."""
    del settings
    if "propensity" in given.values:
        given.values["propensity"] = _chances(given.values["propensity"])
    return Shaped(
        rows=dated(given.frame(), "at"),
        reasons=[
            *structural_reasons(given),
            customer_reason(given),
            *time_reasons(given, "at"),
            Finding("no_action", given.values["action"].is_null(), "action"),
            Finding("unknown_arm", given.values["arm"].is_null(), "arm"),
        ],
        notes=[
            zone_note(given, "at"),
            *unreadable_notes(given, ("arrived_at", "propensity", "cost")),
        ],
    )


def _chances(numbers: pl.Series) -> pl.Series:
    """Keep what can be the chance of something that was done: above 0, at most 1."""
    return numbers.set(~((numbers > 0) & (numbers <= 1)), None)
