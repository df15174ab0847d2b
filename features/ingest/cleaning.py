"""Turn raw rows into clean ones, and set aside with a reason what cannot be one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl

from features.errors import InputError
from features.ingest.codes import IdType, as_integers, read_labels
from features.ingest.columns import resolve_columns
from features.ingest.contract import CONTRACT, Table
from features.ingest.customers import shape_customers
from features.ingest.given import Finding, Given, read_given
from features.ingest.interactions import shape_interactions
from features.ingest.lines import money_of, shape_lines
from features.ingest.quarantine import first_reasons, nothing_kept, set_aside
from features.ingest.schemas import id_columns
from features.ingest.shaping import Shaped
from features.ingest.terms import shape_terms
from features.ingest.treatments import shape_treatments
from features.settings import DataSettings

_SHAPES: Final[dict[Table, Callable[[Given, DataSettings], Shaped]]] = {
    "orders": shape_lines,
    "customers": shape_customers,
    "interactions": shape_interactions,
    "treatments": shape_treatments,
    "contracts": shape_terms,
}
_LONGEST_EXAMPLE = 40


@dataclass(frozen=True)
class Cleaned:
    """An export after cleaning: every row is in `rows` or in `quarantine`."""

    rows: pl.DataFrame
    """Clean rows in the file's order; columns as in ``clean_schema``."""
    quarantine: pl.DataFrame
    """`row` (from 1), `reason`, and the raw row as text."""
    counts: dict[str, int]
    """rows_in = kept + quarantined; rows per reason; and what is notable among those kept."""
    examples: dict[str, str]
    """For what is counted, the commonest text that shows it."""
    money_e4: dict[str, int]
    """Of orders, what they come to; see ``money_of``."""
    customer_id_type: IdType
    date_reading: str
    """How the dates were read, such as "day/month/year", a format, "typed", or "none"."""


def as_clean(rows: pl.DataFrame) -> Cleaned:
    """Take rows as cleaned that were so one by one."""
    return Cleaned(
        rows=rows,
        quarantine=pl.DataFrame(schema={"row": pl.Int64, "reason": pl.String}),
        counts={"rows_in": rows.height, "kept": rows.height, "quarantined": 0},
        examples={},
        money_e4={},
        customer_id_type="integer" if rows.schema["customer_id"] == pl.Int64 else "text",
        date_reading="typed",
    )


def clean(
    table: Table,
    raw: pl.DataFrame,
    mapping: Mapping[str, str],
    settings: DataSettings,
    *,
    all_refused: bool = False,
) -> Cleaned:
    """Clean the rows of an export; none is lost, each is kept or quarantined with its reason.

    >>> raw = pl.DataFrame(
    ...     {
    ...         "who": ["00123", "", "7", "8"],
    ...         "ordered_at": ["1997-01-12", "1997-01-12", "1997-02-30", "1997-03-01 10:00"],
    ...         "quantity": ["3", "1", "1", "-1"],
    ...         "unit_price": ["0.85", "1", "1", "2.50"],
    ...     }
    ... )
    >>> cleaned = clean("orders", raw, {"customer_id": "who"}, DataSettings())
    >>> cleaned.rows.select("customer_id", "order_key", "event_day", "amount_e4").rows()
    [('00123', '@1997-01-12T00:00:00.000000', 9873, 25500), \
('8', '@1997-03-01T10:00:00.000000', 9921, -25000)]
    >>> cleaned.quarantine.select("row", "reason").rows()
    [(2, 'no_customer'), (3, 'unreadable_date')]

    Parameters
    ----------
    table
        What the file is said to be.
    raw
        The file as it is; see ``features.ingest.reading.read_raw``.
    mapping
        The file's column for each contract column that is named otherwise.
    settings
        How to read it; see the section ``data``.
    all_refused
        Whether it is no error that none can be kept.

    Raises
    ------
    InputError
        A column is missing, there are no rows, or none can be kept; the message names the column
        or the commonest reason and what to change.
    """
    columns = resolve_columns(table, raw.columns, mapping)
    if raw.height == 0:
        raise InputError(f"the file of {table} has no rows; export it again")
    given = read_given(table, raw, columns, settings)
    shaped = _SHAPES[table](given, settings)
    reason = first_reasons(shaped.reasons, raw.height)
    kept = shaped.rows.filter(reason.is_null())
    if kept.height == 0 and not all_refused:
        raise InputError(nothing_kept(reason, shaped.reasons, columns))
    rows, id_type = _with_typed_ids(table, kept)
    notes = [_among(found, reason.is_null()) for found in shaped.notes]
    refused = [_among(found, reason == found.name) for found in shaped.reasons]
    return Cleaned(
        rows=rows,
        quarantine=set_aside(raw, reason),
        counts={
            "rows_in": raw.height,
            "kept": rows.height,
            "quarantined": raw.height - rows.height,
            **_totalled(refused),
            **_notable(table, rows, settings),
            **_totalled(notes),
        },
        examples={**_examples(given, [*refused, *notes]), **_non_products(table, rows)},
        money_e4=money_of(shaped, reason.is_null()) if table == "orders" and rows.height else {},
        customer_id_type=id_type,
        date_reading=next((read.reading for read in given.moments.values()), "none"),
    )


def after_observed_until(table: Table, rows: pl.DataFrame, last: date | None) -> int:
    """Count the rows whose day lies after the last one that the export is said to cover."""
    if last is None or table == "customers":
        return 0
    return int((rows["event_day"] > pl.Series([last]).dt.epoch("d")[0]).sum())


def _with_typed_ids(table: Table, rows: pl.DataFrame) -> tuple[pl.DataFrame, IdType]:
    """Give the rows with integer ids if every id in every column of them is an integer."""
    typed = []
    for name in id_columns(table):
        integers = as_integers(rows[name])
        if integers is None:
            return rows, "text"
        typed.append(integers.alias(name))
    return rows.with_columns(typed), "integer"


def _among(found: Finding, chosen: pl.Series) -> Finding:
    return Finding(found.name, (found.rows & chosen).fill_null(value=False), found.column)


def _totalled(findings: Sequence[Finding]) -> dict[str, int]:
    return {found.name: int(found.rows.sum()) for found in findings}


def _examples(given: Given, findings: Sequence[Finding]) -> dict[str, str]:
    """Quote the commonest text behind each finding, for a person to recognise the trouble by."""
    examples = {}
    for found in findings:
        if found.column is not None and found.column in given.columns and found.rows.any():
            texts = read_labels(given.cells(found.column).filter(found.rows)).drop_nulls()
            if len(texts):
                counted = texts.alias("text").value_counts(name="rows")
                commonest = counted.sort("rows", "text", descending=[True, False])["text"][0]
                examples[found.name] = commonest[:_LONGEST_EXAMPLE]
    return examples


def _repeats(rows: pl.DataFrame) -> int:
    """Count the rows that say the same as another before them."""
    # Only rows whose hash is there twice can be equal, and to compare all columns is slow.
    hashes = rows.hash_rows()
    alike = rows.filter(hashes.is_duplicated())
    return alike.height - alike.n_unique()


def _non_products(table: Table, rows: pl.DataFrame) -> dict[str, str]:
    """Name the commonest categories that are taken for no products."""
    if table != "orders" or rows["is_product"].all():
        return {}
    counted = rows.filter(~pl.col("is_product"))["category"].value_counts(name="rows")
    commonest = counted.sort("rows", "category", descending=[True, False])["category"]
    return {"non_product": ", ".join(commonest.head(8))}


def _notable(table: Table, rows: pl.DataFrame, settings: DataSettings) -> dict[str, int]:
    """Count the kept rows that a person should know of."""
    notable = {}
    if table == "orders":
        notable = {
            "returns": int((rows["amount_e4"] < 0).sum()),
            "zero_amount": int((rows["amount_e4"] == 0).sum()),
            "non_product": int((~rows["is_product"]).sum()),
        }
    if not CONTRACT[table].key:
        notable["duplicate_lines"] = _repeats(rows)
    late = after_observed_until(table, rows, settings.observed_until)
    return {**notable, "after_observed_until": late}
