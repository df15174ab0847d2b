"""Overlapping exports made one ledger, and a digest of each day of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import polars as pl

from features.ingest.lines import LINE_SCHEMA

IDENTITY: Final = [name for name in LINE_SCHEMA if name not in ("arrived_at", "known_day")]
"""What makes two lines of different exports the same purchase; when we learned of it does not."""

_ORDER: Final = ["customer_id", "ordered_at", "order_key"]
SORTED_BY: Final = _ORDER + [name for name in LINE_SCHEMA if name not in _ORDER]
"""The ledger's order, by every column, so that its bytes depend on its content alone."""


def merge_exports(exports: Sequence[pl.DataFrame]) -> tuple[pl.DataFrame, list[int]]:
    """Merge exports, and say how many lines each added to those before it.

    A line that one export has twice was bought twice; a line that two exports have once each was
    bought once. So a line is in the ledger as often as in the export that has it most often, and
    each copy became known when the first export to have that copy knew it.

    >>> line = {name: [None] for name in LINE_SCHEMA} | {"customer_id": [7], "amount_e4": [100]}
    >>> once = pl.DataFrame(line, schema=dict(LINE_SCHEMA) | {"customer_id": pl.Int64})
    >>> merged, added = merge_exports([once, pl.concat([once, once])])
    >>> merged.height, added
    (2, [1, 1])

    Ids are text as soon as one export has a text.

    >>> text = once.cast({"customer_id": pl.String})
    >>> merge_exports([once, text])[0].schema["customer_id"]
    String
    """
    if len(exports) == 1:
        return exports[0].sort(SORTED_BY, nulls_last=False).rechunk(), [exports[0].height]
    if any(export.schema["customer_id"] == pl.String for export in exports):
        exports = [export.cast({"customer_id": pl.String}) for export in exports]
    every = pl.concat(
        export.with_columns(pl.lit(place, pl.Int32).alias("export"))
        for place, export in enumerate(exports)
    ).sort([*IDENTITY, "export", "arrived_at"])
    merged = (
        every.with_columns(_run_of(IDENTITY).alias("line"))
        .with_columns(pl.int_range(pl.len()).over("line", "export").alias("copy"))
        .group_by("line", "copy")
        .agg(
            pl.first(*IDENTITY),
            pl.min("arrived_at", "known_day"),
            pl.min("export"),
        )
    )
    counts = dict(merged["export"].value_counts().iter_rows())
    added = [int(counts.get(place, 0)) for place in range(len(exports))]
    return merged.select(list(LINE_SCHEMA)).sort(SORTED_BY).rechunk(), added


def _run_of(columns: Sequence[str]) -> pl.Expr:
    """Give each run of rows that are equal in all columns a number."""
    starts = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in columns)
    return starts.cum_sum()


def daily_digests(lines: pl.DataFrame) -> pl.DataFrame:
    """Digest the lines of each day on which some became known.

    The digest is the SHA-256 of the day's lines, written out and sorted, and so depends on no
    library's hash, nor on the order of lines; equal lines count as often as they are there.

    Returns
    -------
    pl.DataFrame
        `known_day` (Int32, days since 1970-01-01, ascending), `lines` (Int64), `digest` (hex).
    """
    texts = lines.select("known_day", pl.concat_str(_canonical(lines)).alias("text"))
    days = (
        texts.group_by("known_day")
        .agg(pl.len().cast(pl.Int64).alias("lines"), pl.col("text").sort().str.join("\n"))
        .sort("known_day")
    )
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in days["text"]]
    return days.select("known_day", "lines", pl.Series("digest", digests, dtype=pl.String))


def _canonical(lines: pl.DataFrame) -> list[pl.Expr]:
    """Write each column so that no other content has the same text, in any version of Polars."""
    written = []
    for name, kind in LINE_SCHEMA.items():
        value = pl.col(name)
        if name == "customer_id":
            value = value.cast(pl.String)
        if kind == pl.Float64:
            value = value.reinterpret(dtype=pl.Int64)
        elif kind != pl.String:
            value = value.to_physical().cast(pl.Int64)
        text = value.cast(pl.String)
        if kind == pl.String:
            # A length before it keeps a text from running into the next column.
            text = pl.concat_str(text.str.len_bytes(), pl.lit(":"), text)
        written.append(pl.concat_str(text.fill_null("-"), pl.lit("|")))
    return written
