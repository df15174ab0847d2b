"""Orders: a row is a line of a purchase, or a return."""

from __future__ import annotations

from typing import Final

import polars as pl

from features.ingest.given import Finding, Given
from features.ingest.schemas import clean_schema
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

LINE_SCHEMA: Final = clean_schema("orders")
"""Columns of a clean line; `customer_id` is Int64 where every one is an integer.

Times are in UTC, days are counted from 1970-01-01, and money in ten-thousandths of the currency
unit. `order_key` is the order's id, or where it has none the moment; `known_day` is the day from
which the line may be used: that of the order or of its arrival, whichever is later.
"""


def shape_lines(given: Given, settings: DataSettings) -> Shaped:
    """Make order lines of the rows of a file."""
    amount, said, ambiguous = _amounts(given)
    missing = amount.is_null()
    return Shaped(
        rows=_with_derived(given.frame(amount_e4=amount), settings),
        reasons=[
            *structural_reasons(given),
            customer_reason(given),
            *time_reasons(given, "ordered_at"),
            Finding("absurd_amount", missing & said, _money_column(given)),
            Finding("ambiguous_amount", missing & ambiguous, _money_column(given)),
            Finding("unreadable_amount", missing, _money_column(given)),
        ],
        notes=[
            zone_note(given, "ordered_at"),
            *unreadable_notes(given, ("arrived_at", "quantity", "discount", "cost")),
        ],
    )


def product_flag(settings: DataSettings) -> pl.Expr:
    """Whether a line's category counts as a product; a line without a category does.

    >>> lines = pl.DataFrame({"category": ["85048", "post", None]})
    >>> lines.select(product_flag(DataSettings())).to_series().to_list()
    [True, False, True]
    """
    outside = [name.strip().upper() for name in settings.non_product_categories]
    found = pl.col("category").str.to_uppercase().is_in(outside)
    return (~found.fill_null(value=False)).alias("is_product")


def returns_without_sale(lines: pl.DataFrame) -> int:
    """Count the returned products of which the customer bought none before, as far as is known.

    >>> lines = pl.DataFrame(
    ...     {
    ...         "customer_id": [1, 1, 2],
    ...         "category": ["tea", "tea", "tea"],
    ...         "ordered_at": [10, 20, 30],
    ...         "amount_e4": [50_000, -50_000, -50_000],
    ...         "is_product": [True, True, True],
    ...     }
    ... )
    >>> returns_without_sale(lines)
    1
    """
    what = ["customer_id", "category"]
    returns = lines.filter(pl.col("amount_e4") < 0, pl.col("is_product"))
    if returns.is_empty():
        return 0
    sales = (
        lines.filter(pl.col("amount_e4") > 0)
        .join(returns, on="customer_id", how="semi")
        .group_by(what)
        .agg(first_sale=pl.min("ordered_at"))
    )
    matched = returns.join(sales, on=what, how="left", nulls_equal=True)
    sold_before = (pl.col("first_sale") <= pl.col("ordered_at")).fill_null(value=False)
    return int(matched.select((~sold_before).sum()).item())


def money_of(shaped: Shaped, kept: pl.Series) -> dict[str, int]:
    """Sum the money of the rows that are kept, and of those with a readable amount that are not.

    Returns
    -------
    dict of str to int
        Ten-thousandths: `kept` and `quarantined`, and of the kept the `least`, `middle` and `most`.
    """
    amounts = pl.DataFrame({"kept": kept, "e4": shaped.rows["amount_e4"]})
    # Two million of the largest amounts would overflow 64 bits.
    sums = amounts.select(
        kept=pl.col("e4").filter(pl.col("kept")).cast(pl.Int128).sum(),
        quarantined=pl.col("e4").filter(~pl.col("kept")).cast(pl.Int128).sum(),
        least=pl.col("e4").filter(pl.col("kept")).min(),
        middle=pl.col("e4").filter(pl.col("kept")).median().cast(pl.Int64),
        most=pl.col("e4").filter(pl.col("kept")).max(),
    )
    return {name: int(value) for name, value in sums.row(0, named=True).items()}


def _money_column(given: Given) -> str:
    return "amount" if "amount" in given.numbers else "unit_price"


def _amounts(given: Given) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Give the amounts, where there was a number (be it absurd), and where it has two readings."""
    numbers = given.numbers
    if "amount" in numbers:
        amount = numbers["amount"]
        return amount.to_e4(), amount.rough.is_not_null(), amount.ambiguous
    quantity, price = numbers["quantity"], numbers["unit_price"]
    return (
        quantity.times_e4(price),
        (quantity.rough * price.rough).is_not_null(),
        quantity.ambiguous | price.ambiguous,
    )


def _with_derived(lines: pl.DataFrame, settings: DataSettings) -> pl.DataFrame:
    # Lines of one moment are one order, for want of an order's id.
    moment = pl.col("ordered_at").dt.strftime("@%Y-%m-%dT%H:%M:%S%.6f")
    return dated(lines, "ordered_at").with_columns(
        pl.col("order_key").fill_null(moment), product_flag(settings)
    )
