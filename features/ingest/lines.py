"""Order lines: what each raw row says, read column by column, before any row is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from features.errors import InputError
from features.ingest.amounts import AMOUNT_LIMIT_E4, Numbers, read_numbers
from features.ingest.codes import read_ids, read_labels
from features.ingest.moments import UTC_MOMENT, Moments, read_moments
from features.settings import DataSettings

LINE_SCHEMA: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    "customer_id": pl.String,
    "ordered_at": UTC_MOMENT,
    "arrived_at": UTC_MOMENT,
    "order_key": pl.String,
    "event_day": pl.Int32,
    "known_day": pl.Int32,
    "amount_e4": pl.Int64,
    "quantity": pl.Float64,
    "discount_e4": pl.Int64,
    "cost_e4": pl.Int64,
    "category": pl.String,
    "channel": pl.String,
    "is_product": pl.Boolean,
}
"""Columns of a clean line; `customer_id` is Int64 where every one is an integer.

Times are in UTC, days are counted from 1970-01-01, and money in ten-thousandths of the currency
unit. `order_key` is the order's id, or where it has none the moment; `known_day` is the day from
which the line may be used: that of the order or of its arrival, whichever is later.
"""


@dataclass(frozen=True)
class ReadLines:
    """Rows as read: as many as the file has, in its order."""

    lines: pl.DataFrame
    """Columns as in ``LINE_SCHEMA``, null where unreadable; ids still text."""
    amount_given: pl.Series
    """Whether there was a number, be it absurd."""
    ordered: Moments
    notes: pl.DataFrame
    """What is odd about a row, but no reason to set it aside: one Boolean column each."""


def read_lines(raw: pl.DataFrame, columns: Mapping[str, str], settings: DataSettings) -> ReadLines:
    """Read each contract column from the file's column that holds it.

    Raises
    ------
    InputError
        A column cannot be what it is mapped to at all.
    """
    given = {contract: raw[name] for contract, name in columns.items()}
    ordered = read_moments(given["ordered_at"], settings.date_format)
    arrived_at, unreadable_arrivals = _arrivals(given.get("arrived_at"), settings, ordered)
    numbers: dict[str, Numbers] = {
        name: read_numbers(given[name])
        for name in ("amount", "quantity", "unit_price", "discount", "cost")
        if name in given
    }
    amount_e4, rough_amount = _amounts(numbers)
    read = {
        "customer_id": read_ids(given["customer_id"]),
        "ordered_at": ordered.at,
        "arrived_at": arrived_at,
        "order_key": read_ids(given["order_id"]) if "order_id" in given else None,
        "amount_e4": amount_e4,
        "quantity": _pieces(numbers["quantity"]) if "quantity" in numbers else None,
        "discount_e4": numbers["discount"].to_e4() if "discount" in numbers else None,
        "cost_e4": numbers["cost"].to_e4() if "cost" in numbers else None,
        "category": read_labels(given["category"]) if "category" in given else None,
        "channel": read_labels(given["channel"]) if "channel" in given else None,
    }
    lines = pl.DataFrame(
        {name: _or_nulls(values, name, raw.height) for name, values in read.items()}
    )
    unreadable = {
        f"unreadable_{name}": read_labels(given[name]).is_not_null() & lines[field].is_null()
        for name, field in _OPTIONAL_NUMBERS.items()
        if name in given
    }
    return ReadLines(
        lines=_with_derived(lines, settings),
        amount_given=rough_amount.is_not_null(),
        ordered=ordered,
        notes=pl.DataFrame(
            {
                "times_without_zone": ~ordered.zoned,
                "unreadable_arrivals": unreadable_arrivals,
                **unreadable,
            }
        ),
    )


_OPTIONAL_NUMBERS = {"quantity": "quantity", "discount": "discount_e4", "cost": "cost_e4"}


def product_flag(settings: DataSettings) -> pl.Expr:
    """Whether a line's category counts as a product; a line without a category does.

    >>> lines = pl.DataFrame({"category": ["85048", "post", None]})
    >>> lines.select(product_flag(DataSettings())).to_series().to_list()
    [True, False, True]
    """
    outside = [name.strip().upper() for name in settings.non_product_categories]
    found = pl.col("category").str.to_uppercase().is_in(outside)
    return (~found.fill_null(value=False)).alias("is_product")


def after_observed_until(lines: pl.DataFrame, settings: DataSettings) -> int:
    """Count the lines whose day lies after the last one that the export is said to cover."""
    if settings.observed_until is None:
        return 0
    last = pl.Series([settings.observed_until]).dt.epoch("d")[0]
    return int((lines["event_day"] > last).sum())


def _arrivals(
    column: pl.Series | None, settings: DataSettings, ordered: Moments
) -> tuple[pl.Series | None, pl.Series]:
    """Read the times of arrival, and note which of those given are unreadable."""
    given = read_labels(column).is_not_null() if column is not None else ~ordered.at.is_null()
    if column is None or not given.any():
        return None, given & False
    try:
        arrived = read_moments(column, settings.date_format, prefer=ordered.reading)
    except InputError:
        if settings.date_format is None:
            raise
        # The format is that of ordered_at; arrivals are often written by another system.
        arrived = read_moments(column, prefer=ordered.reading)
    return arrived.at, given & arrived.at.is_null()


def _amounts(numbers: Mapping[str, Numbers]) -> tuple[pl.Series, pl.Series]:
    if "amount" in numbers:
        return numbers["amount"].to_e4(), numbers["amount"].rough
    quantity, price = numbers["quantity"], numbers["unit_price"]
    return quantity.times_e4(price), quantity.rough * price.rough


def _pieces(quantity: Numbers) -> pl.Series:
    # Adding zero makes one zero of the two that floats have.
    pieces = quantity.rough + 0.0
    return pieces.set(pieces.abs() > AMOUNT_LIMIT_E4 / 10**4, None)


def _or_nulls(values: pl.Series | None, name: str, height: int) -> pl.Series:
    if values is not None:
        return values
    return pl.Series([None], dtype=LINE_SCHEMA[name]).new_from_index(0, height)


def _with_derived(lines: pl.DataFrame, settings: DataSettings) -> pl.DataFrame:
    ordered_at, arrived_at = pl.col("ordered_at"), pl.col("arrived_at")
    # Lines of one moment are one order, for want of an order's id.
    moment = ordered_at.dt.strftime("@%Y-%m-%dT%H:%M:%S%.6f")
    return lines.with_columns(
        arrived_at.fill_null(ordered_at),
        pl.col("order_key").fill_null(moment),
        event_day=_day(ordered_at),
        known_day=_day(pl.max_horizontal(ordered_at, arrived_at)),
        is_product=product_flag(settings),
    ).select(list(LINE_SCHEMA))


def _day(moment: pl.Expr) -> pl.Expr:
    return moment.dt.epoch("d").cast(pl.Int32)
