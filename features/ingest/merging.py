"""Overlapping exports made one table, and a digest of each day of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from features.ingest.codes import IdType
from features.ingest.contract import CONTRACT, Table
from features.ingest.schemas import clean_schema, id_columns


def empty(table: Table, id_type: IdType) -> pl.DataFrame:
    """A clean table without rows."""
    return typed_ids(table, pl.DataFrame(schema=clean_schema(table)), id_type)


def typed_ids(table: Table, rows: pl.DataFrame, id_type: IdType) -> pl.DataFrame:
    """Give a table with ids of a type; an integer and its plain text are one customer."""
    kind = pl.Int64 if id_type == "integer" else pl.String
    return rows.with_columns(pl.col(id_columns(table)).cast(kind))


def sort_rows(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """Sort by customer, time and every column, so that bytes depend on content alone."""
    return rows.sort(CONTRACT[table].sorted_by, nulls_last=False).rechunk()


@dataclass(frozen=True)
class Merged:
    """A table after an export was merged into it."""

    rows: pl.DataFrame
    """Sorted by :func:`sort_rows`."""
    added: int
    """Rows more than before."""
    changed_days: pl.Series
    """The `known_day` of every row that was added, removed or altered."""


def merge_export(table: Table, before: pl.DataFrame, export: pl.DataFrame) -> Merged:
    """Merge an export into a sorted table.

    A line that one export has twice happened twice; a line that two exports have once each
    happened once. So a line is in the table as often as in the export that has it most often, and
    each copy became known when the first export to have that copy knew it.

    >>> line = {name: [None] for name in clean_schema("orders")}
    >>> once = pl.DataFrame(line | {"amount_e4": [100]}, schema=clean_schema("orders"))
    >>> merged = merge_export("orders", once, pl.concat([once, once]))
    >>> merged.rows.height, merged.added
    (2, 1)

    Of a table with a key, such as customers, a later row replaces an earlier one.

    >>> row = pl.DataFrame({"customer_id": ["7"], "region": ["north"]})
    >>> before = pl.concat([empty("customers", "text"), row], how="diagonal")
    >>> merged = merge_export("customers", before, before.with_columns(region=pl.lit("south")))
    >>> merged.rows["region"].to_list(), merged.added
    (['south'], 0)

    Only customers whom the export names are looked at, so that a small export costs little more
    than to write the table.

    Parameters
    ----------
    before
        The table so far, sorted by :func:`sort_rows`; both have ids of one type.
    export
        Clean rows in the file's order.
    """
    # A null stands for nobody, and is no customer that a ledger has; a doctest may.
    customers = export["customer_id"].unique().implode()
    named = before["customer_id"].is_in(customers, nulls_equal=True)
    touched = before.filter(named)
    merge = _merged_by_key if CONTRACT[table].key else _merged_by_multiplicity
    merged = sort_rows(table, merge(table, touched, export))
    whole = (
        merged
        if touched.height == before.height
        else before.filter(~named).merge_sorted(merged, "customer_id").rechunk()
    )
    return Merged(whole, merged.height - touched.height, _changed_days(touched, merged))


def _changed_days(before: pl.DataFrame, after: pl.DataFrame) -> pl.Series:
    """Find the days whose rows differ, by a sum of hashes that this process alone compares."""
    sums = [
        rows.select("known_day", hash=rows.hash_rows())
        .group_by("known_day")
        .agg(pl.len(), pl.col("hash").sum())
        for rows in (before, after)
    ]
    same = sums[0].join(sums[1], on=["known_day", "len", "hash"], how="semi", nulls_equal=True)
    return (
        pl.concat(sums)["known_day"]
        .unique()
        .to_frame()
        .join(same, on="known_day", how="anti", nulls_equal=True)
        .to_series()
    )


def _merged_by_multiplicity(
    table: Table, before: pl.DataFrame, export: pl.DataFrame
) -> pl.DataFrame:
    """Keep as many copies of a line as the table or the export has, each known at the earliest."""
    if before.is_empty():
        return export.rechunk()
    identity = CONTRACT[table].identity
    numbered = [_with_copies(rows, identity) for rows in (before, export)]
    return (
        pl.concat(numbered)
        .group_by(*identity, "copy")
        .agg(pl.min("arrived_at", "known_day"))
        .select(list(clean_schema(table)))
    )


def _with_copies(rows: pl.DataFrame, identity: Sequence[str]) -> pl.DataFrame:
    """Number the copies of each line, the earliest known first."""
    # Rows that are alone, nearly all of them, need no order among themselves.
    alone = rows.select(pl.struct(identity).is_unique()).to_series()
    several = rows.filter(~alone).sort("arrived_at")
    return pl.concat(
        [
            rows.filter(alone).with_columns(copy=pl.lit(0, pl.Int64)),
            several.with_columns(copy=pl.int_range(pl.len()).over(identity)),
        ]
    )


def _merged_by_key(table: Table, before: pl.DataFrame, export: pl.DataFrame) -> pl.DataFrame:
    key = list(CONTRACT[table].key)
    return pl.concat([before, export]).unique(key, keep="last", maintain_order=True)


def daily_digests(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """Digest the rows of each day on which some became known.

    The digest is the SHA-256 of the day's rows, written out and sorted, and so depends on no
    library's hash, nor on the order of rows; equal rows count as often as they are there.

    Returns
    -------
    pl.DataFrame
        `known_day` (Int32, days since 1970-01-01, ascending; null first, for rows that are known
        always), `rows` (Int64), `digest` (hex).
    """
    texts = rows.select("known_day", pl.concat_str(_canonical(table)).alias("text"))
    days = (
        texts.group_by("known_day")
        .agg(pl.len().cast(pl.Int64).alias("rows"), pl.col("text").sort().str.join("\n"))
        .sort("known_day")
    )
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in days["text"]]
    return days.select("known_day", "rows", pl.Series("digest", digests, dtype=pl.String))


def renewed_digests(table: Table, days: pl.DataFrame, merged: Merged) -> pl.DataFrame:
    """Digest the days that changed anew, and keep the others as they were."""
    changed = merged.changed_days.implode()
    fresh = merged.rows.filter(pl.col("known_day").is_in(changed, nulls_equal=True))
    kept = days.filter(~pl.col("known_day").is_in(changed, nulls_equal=True))
    return pl.concat([kept, daily_digests(table, fresh)]).sort("known_day").rechunk()


def _canonical(table: Table) -> list[pl.Expr]:
    """Write each column so that no other content has the same text, in any version of Polars."""
    written = []
    for name, kind in clean_schema(table).items():
        value = pl.col(name)
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
