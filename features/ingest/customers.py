"""Customers: a row is a person or an account, as it was from a day on."""

from __future__ import annotations

import json

import polars as pl

from features.ingest.codes import read_labels
from features.ingest.given import Finding, Given
from features.ingest.reading import SURPLUS_COLUMN
from features.ingest.shaping import (
    Shaped,
    customer_reason,
    day,
    structural_reasons,
    unreadable_notes,
)
from features.settings import DataSettings


def shape_customers(given: Given, settings: DataSettings) -> Shaped:
    """Make customers of the rows of a file; columns of its own become `attributes`."""
    del settings
    rows = given.frame(attributes=read_attributes(given))
    herself = (rows["referred_by"] == rows["customer_id"]).fill_null(value=False)
    rows = rows.with_columns(
        pl.when(~herself).then(pl.col("referred_by")).alias("referred_by"),
        registered_day=day(pl.col("registered_at")),
        event_day=day(pl.coalesce("valid_from", "registered_at")),
    ).with_columns(known_day=pl.col("event_day"))
    return Shaped(
        rows=rows,
        reasons=[
            *structural_reasons(given),
            customer_reason(given),
            *_unreadable_validity(given),
        ],
        notes=[
            Finding("undated", rows["event_day"].is_null()),
            Finding("self_referral", herself),
            *unreadable_notes(given, ("registered_at", "acquisition_cost", "marketing_consent")),
        ],
    )


def _unreadable_validity(given: Given) -> list[Finding]:
    """Rows true from a day that is unreadable: taken for another day's, they would leak."""
    if "valid_from" not in given.moments:
        return [Finding(name, given.nothing()) for name in ("date_out_of_range", "unreadable_date")]
    outside = given.moments["valid_from"].out_of_range
    return [
        Finding("date_out_of_range", outside, "valid_from"),
        Finding("unreadable_date", given.unreadable("valid_from") & ~outside, "valid_from"),
    ]


def read_attributes(given: Given) -> pl.Series:
    """Write the columns that the contract does not know as one JSON object a row, keys sorted.

    >>> raw = pl.DataFrame({"id": [1, 2, 3], "vip": [True, None, None], "B": ["x", "y", ""]})
    >>> read_attributes(Given("customers", raw, {"customer_id": "id"})).to_list()
    ['{"B":"x","vip":"true"}', '{"B":"y"}', None]
    """
    taken = {*given.columns.values(), SURPLUS_COLUMN}
    names = sorted(name for name in given.raw.columns if name not in taken)
    if not names:
        return pl.Series("attributes", [None], dtype=pl.String).new_from_index(0, given.raw.height)
    labels = [read_labels(given.raw[name]) for name in names]
    texts = pl.DataFrame([label.alias(f"{n}") for n, label in enumerate(labels)])
    members = [_member(name, f"{n}") for n, name in enumerate(names)]
    inside = pl.concat_str(members, separator=",", ignore_nulls=True)
    whole = pl.concat_str(pl.lit("{"), inside, pl.lit("}"))
    some = ~pl.all_horizontal(pl.all().is_null())
    return texts.select(pl.when(some).then(whole).alias("attributes")).to_series()


def _member(name: str, column: str) -> pl.Expr:
    """Write a key and its value; null where there is no value."""
    # Polars escapes a text only inside an object, so it is taken out of one: {"v":"text"}.
    held = pl.struct(pl.col(column).alias("v")).struct.json_encode()
    value = held.str.slice(5, held.str.len_chars() - 6)
    key = pl.lit(f"{json.dumps(name, ensure_ascii=False)}:")
    return pl.when(pl.col(column).is_not_null()).then(pl.concat_str(key, value))
