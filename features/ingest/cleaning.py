"""Turn raw rows into clean order lines, and set aside with a reason what cannot be one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from features.errors import InputError
from features.ingest.codes import IdType, as_integers
from features.ingest.columns import resolve_columns
from features.ingest.lines import after_observed_until, read_lines
from features.ingest.quarantine import REASONS, nothing_kept, reasons, set_aside
from features.settings import DataSettings


@dataclass(frozen=True)
class CleanedOrders:
    """An export after cleaning: every row is in `lines` or in `quarantine`."""

    lines: pl.DataFrame
    """Clean lines in the file's order; columns as in ``LINE_SCHEMA``."""
    quarantine: pl.DataFrame
    """`row` (from 1), `reason`, and the raw row as text."""
    counts: dict[str, int]
    """rows_in = kept + quarantined; rows per reason; and what is notable among those kept."""
    customer_id_type: IdType
    date_reading: str
    """How the dates were read, such as "day/month/year", a format, or "typed"."""


def clean_orders(
    raw: pl.DataFrame, mapping: Mapping[str, str], settings: DataSettings
) -> CleanedOrders:
    """Clean the rows of an export; none is lost, each is kept or quarantined with its reason.

    >>> raw = pl.DataFrame(
    ...     {
    ...         "who": ["00123", "", "7", "8"],
    ...         "ordered_at": ["1997-01-12", "1997-01-12", "1997-02-30", "1997-03-01 10:00"],
    ...         "quantity": ["3", "1", "1", "-1"],
    ...         "unit_price": ["0.85", "1", "1", "2.50"],
    ...     }
    ... )
    >>> cleaned = clean_orders(raw, {"customer_id": "who"}, DataSettings())
    >>> cleaned.lines.select("customer_id", "order_key", "event_day", "amount_e4").rows()
    [('00123', '@1997-01-12T00:00:00.000000', 9873, 25500), \
('8', '@1997-03-01T10:00:00.000000', 9921, -25000)]
    >>> cleaned.quarantine.select("row", "reason").rows()
    [(2, 'no_customer'), (3, 'unreadable_date')]

    Parameters
    ----------
    raw
        The file as it is; see ``features.ingest.reading.read_raw``.
    mapping
        The file's column for each contract column that is named otherwise.
    settings
        Supplies `date_format`, `non_product_categories` and `observed_until`.

    Raises
    ------
    InputError
        A column is missing, there are no rows, or none can be kept; the message names the column
        or the commonest reason and what to change.
    """
    columns = resolve_columns(raw.columns, mapping)
    if raw.height == 0:
        raise InputError("the orders have no rows; export them again")
    read = read_lines(raw, columns, settings)
    reason = reasons(raw, read)
    kept = read.lines.filter(reason.is_null())
    if kept.height == 0:
        raise InputError(nothing_kept(reason, columns))
    integers = as_integers(kept["customer_id"])
    lines = kept if integers is None else kept.with_columns(integers.alias("customer_id"))
    return CleanedOrders(
        lines=lines,
        quarantine=set_aside(raw, reason),
        counts={
            "rows_in": raw.height,
            "kept": lines.height,
            "quarantined": raw.height - lines.height,
            **{name: int((reason == name).sum()) for name in REASONS},
            **_notable(lines, settings),
            **{note.name: int(note.sum()) for note in read.notes.filter(reason.is_null())},
        },
        customer_id_type="text" if integers is None else "integer",
        date_reading=read.ordered.reading,
    )


def _notable(lines: pl.DataFrame, settings: DataSettings) -> dict[str, int]:
    """Count the kept lines that a person should know of."""
    return {
        "returns": int((lines["amount_e4"] < 0).sum()),
        "zero_amount": int((lines["amount_e4"] == 0).sum()),
        "non_product": int((~lines["is_product"]).sum()),
        "duplicate_lines": lines.height - lines.n_unique(),
        "after_observed_until": after_observed_until(lines, settings),
    }
