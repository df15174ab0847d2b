"""Interactions: a row is anything else that a customer did or said."""

from __future__ import annotations

import polars as pl

from features.ingest.codes import read_labels
from features.ingest.contract import KINDS
from features.ingest.given import Finding, Given, one_of
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

OTHER_KIND = "event"
"""The kind of whatever the contract has no name for."""


def shape_interactions(given: Given, settings: DataSettings) -> Shaped:
    """Make interactions of the rows of a file; unknown kinds are kept as `event`."""
    said = read_labels(given.cells("kind"))
    kind = read_kinds(said, settings)
    unknown = said.is_not_null() & kind.is_null()
    return Shaped(
        rows=dated(given.frame(kind=kind.set(unknown, OTHER_KIND)), "at"),
        reasons=[
            *structural_reasons(given),
            customer_reason(given),
            *time_reasons(given, "at"),
            Finding("no_kind", said.is_null(), "kind"),
        ],
        notes=[
            zone_note(given, "at"),
            Finding("unknown_kind", unknown, "kind"),
            *unreadable_notes(given, ("arrived_at", "value", "cost")),
        ],
    )


def read_kinds(said: pl.Series, settings: DataSettings) -> pl.Series:
    """Translate kinds by the setting `data.kinds`, then by the contract; null where unknown.

    >>> settings = DataSettings(kinds={"PDP": "product_view"})
    >>> read_kinds(pl.Series(["PDP", "Email Open", "newsletter"]), settings).to_list()
    ['product_view', 'email_open', None]
    """
    return one_of(said, {kind: kind for kind in KINDS} | settings.kinds)
