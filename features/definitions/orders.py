"""What a customer's orders looked like on a day: one definition in narwhals for every engine.

The input is the ledger (see :mod:`features.ingest.ledger`). Nothing here reads a clock: the day is
an argument. It goes in two steps. :func:`sums_as_of` runs on the engine and gives whole numbers alone
(money and quantities in ten-thousandths), so that no order of the lines, no thread and no engine
changes a digit. :func:`finish` turns them into the features, row by row, on Arrow: there a division
is rounded as IEEE 754 says, where Polars multiplies by a reciprocal if a batch holds one row.
"""

from __future__ import annotations

from typing import Any

import narwhals as nw

from features.catalogue import FEATURES, WINDOW_DAYS

UNIT_E4 = 10_000.0
"""Ten-thousandths in one unit of currency."""


def known_by(lines: nw.LazyFrame[Any], as_of_day: int) -> nw.LazyFrame[Any]:
    """Keep what had both happened and arrived by the end of ``as_of_day``."""
    return lines.filter(nw.col("known_day") <= as_of_day, nw.col("event_day") <= as_of_day)


def orders(lines: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Sum lines to orders: one row for a customer, an order and a day.

    A return under the number of an earlier sale is a row of its own day, so that it never
    rewrites that sale.
    """
    return lines.group_by("customer_id", "order_key", "event_day").agg(
        nw.col("amount_e4").sum().alias("amount_e4")
    )


def purchases(lines: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Orders with a positive amount."""
    return orders(lines).filter(nw.col("amount_e4") > 0)


def sums_as_of(lines: nw.LazyFrame[Any], as_of_day: int) -> nw.LazyFrame[Any]:
    """Sum up, count and date what every customer known by the end of a day had done.

    Parameters
    ----------
    lines
        The ledger's lines; later ones are left out here.
    as_of_day
        Days since 1970-01-01 (UTC).

    Returns
    -------
    narwhals.LazyFrame
        ``customer_id`` and whole numbers (the median of order values may end in a half), a row a
        customer; the input of :func:`finish`.
    """
    known = known_by(lines, as_of_day)
    bought = purchases(known)
    days = bought.group_by("customer_id", "event_day").agg(
        nw.col("amount_e4").sum().alias("amount_e4")
    )
    return (
        _line_facts(known, as_of_day)
        .join(_purchase_facts(bought, as_of_day), on="customer_id", how="left")
        .join(_rhythm_facts(days), on="customer_id", how="left")
        # SQL engines widen a sum beyond 64 bits.
        .with_columns(
            nw.exclude("customer_id", "median_e4").cast(nw.Int64),
            nw.col("median_e4").cast(nw.Float64),
        )
    )


def _within(days: int, as_of_day: int) -> nw.Expr:
    return nw.col("event_day") > as_of_day - days


def _sum_where(condition: nw.Expr, column: str) -> nw.Expr:
    return nw.when(condition).then(nw.col(column)).otherwise(nw.lit(0)).sum()


def _line_facts(known: nw.LazyFrame[Any], as_of_day: int) -> nw.LazyFrame[Any]:
    bought = nw.col("amount_e4") > 0
    returned = nw.col("amount_e4") < 0
    product = bought & nw.col("is_product")
    category = nw.when(product).then(nw.col("category"))
    recent = nw.when(product & _within(180, as_of_day)).then(nw.col("category"))
    flagged = known.with_columns(
        category.alias("_category"),
        recent.alias("_category_180d"),
        nw.when(bought).then(nw.col("channel")).alias("_channel"),
        # Whole ten-thousandths, as money: a sum of fractions would depend on the lines' order.
        nw.when(product)
        .then((nw.col("quantity") * UNIT_E4 + 0.5).floor().cast(nw.Int64))
        .alias("_quantity_e4"),
        # The discount of a returned line was given with its sale; the sale is not rewritten.
        nw.when(~returned).then(nw.col("discount_e4")).alias("_discount_e4"),
        nw.when(returned).then(nw.col("event_day")).alias("_return_day"),
    )
    return flagged.group_by("customer_id").agg(
        nw.col("event_day").min().alias("first_line_day"),
        nw.col("amount_e4").sum().alias("net_e4"),
        *(
            _sum_where(_within(n, as_of_day), "amount_e4").alias(f"net_e4_{n}d")
            for n in WINDOW_DAYS
        ),
        nw.col("_return_day").count().alias("returns"),
        nw.col("_return_day").max().alias("last_return_day"),
        _sum_where(returned, "amount_e4").alias("returned_e4"),
        nw.when(product).then(nw.lit(1)).otherwise(nw.lit(0)).sum().alias("product_lines"),
        nw.col("_quantity_e4").count().alias("quantity_lines"),
        nw.col("_quantity_e4").sum().alias("quantity_e4"),
        nw.col("_discount_e4").count().alias("discount_lines"),
        nw.col("_discount_e4").sum().alias("discount_e4"),
        # A distinct count ignores nulls in SQL but not in every engine: count the values alone.
        (nw.col("_category").n_unique() - _has_null("_category")).alias("categories"),
        (nw.col("_category_180d").n_unique() - _has_null("_category_180d")).alias(
            "categories_180d"
        ),
        (nw.col("_channel").n_unique() - _has_null("_channel")).alias("channels"),
        nw.col("category").count().alias("category_lines"),
        nw.col("channel").count().alias("channel_lines"),
    )


def _has_null(column: str) -> nw.Expr:
    return nw.col(column).is_null().cast(nw.Int64).max()


def _purchase_facts(bought: nw.LazyFrame[Any], as_of_day: int) -> nw.LazyFrame[Any]:
    return bought.group_by("customer_id").agg(
        nw.len().alias("purchases"),
        nw.col("amount_e4").sum().alias("gross_e4"),
        nw.col("amount_e4").max().alias("max_e4"),
        nw.col("amount_e4").median().alias("median_e4"),
        *(
            nw.when(_within(n, as_of_day))
            .then(nw.lit(1))
            .otherwise(nw.lit(0))
            .sum()
            .alias(f"purchases_{n}d")
            for n in WINDOW_DAYS
        ),
    )


def _rhythm_facts(days: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    bounds = days.group_by("customer_id").agg(
        nw.col("event_day").min().alias("first_day"),
        nw.col("event_day").max().alias("last_day"),
        nw.len().alias("purchase_days"),
    )
    previous = nw.col("event_day").shift(1).over("customer_id", order_by="event_day")
    gaps = (
        days.with_columns(previous.alias("previous_day"))
        .with_columns((nw.col("event_day") - nw.col("previous_day")).cast(nw.Int64).alias("gap"))
        .join(bounds, on="customer_id", how="left")
        .with_columns(
            (nw.col("gap") * nw.col("gap")).alias("gap_squared"),
            nw.when(nw.col("previous_day") == nw.col("first_day"))
            .then(nw.col("gap"))
            .alias("gap_first"),
            nw.when(nw.col("event_day") == nw.col("last_day"))
            .then(nw.col("gap"))
            .alias("gap_last"),
            nw.when(nw.col("event_day") == nw.col("first_day"))
            .then(nw.col("amount_e4"))
            .alias("first_e4"),
            nw.when(nw.col("event_day") == nw.col("last_day"))
            .then(nw.col("amount_e4"))
            .alias("last_e4"),
        )
    )
    sums = gaps.group_by("customer_id").agg(
        nw.col("gap_squared").sum().alias("gaps_squared"),
        nw.col("gap").max().alias("gap_max_days"),
        nw.col("gap_first").max().alias("gap_first_days"),
        nw.col("gap_last").max().alias("gap_last_days"),
        nw.col("first_e4").max().alias("first_e4"),
        nw.col("last_e4").max().alias("last_e4"),
    )
    return bounds.join(sums, on="customer_id", how="left")


def finish(sums: nw.DataFrame[Any], as_of_day: int) -> nw.DataFrame[Any]:
    """Turn whole numbers into the features, row by row.

    Parameters
    ----------
    sums
        What :func:`sums_as_of` gave.

    Returns
    -------
    narwhals.DataFrame
        ``customer_id`` and the columns of :data:`features.catalogue.FEATURES`.
    """
    counts = ("purchases", "purchase_days", *(f"purchases_{n}d" for n in WINDOW_DAYS))
    frame = sums.with_columns(nw.col(*counts).fill_null(0).cast(nw.Int64))
    repeat_days = nw.col("purchase_days") - 1
    span = nw.col("last_day") - nw.col("first_day")
    frame = frame.with_columns(
        nw.lit(as_of_day).alias("as_of_day"),
        (as_of_day - nw.col("last_day")).alias("recency_days"),
        (as_of_day - nw.col("first_day")).alias("tenure_days"),
        (as_of_day - nw.col("first_line_day")).alias("known_days"),
        (as_of_day - nw.col("last_return_day")).alias("days_since_return"),
        _money("net_e4").alias("spend_net"),
        _money("gross_e4").fill_null(0.0).alias("spend_gross"),
        _ratio(nw.col("gross_e4") - nw.col("first_e4"), repeat_days, UNIT_E4).alias(
            "monetary_value"
        ),
        _ratio(nw.col("gross_e4"), nw.col("purchases"), UNIT_E4).alias("order_value_mean"),
        _money("median_e4").alias("order_value_median"),
        _money("max_e4").alias("order_value_max"),
        _money("first_e4").alias("order_value_first"),
        _money("last_e4").alias("order_value_last"),
        *(_money(f"net_e4_{n}d").alias(f"spend_{n}d") for n in WINDOW_DAYS),
        (2 * nw.col("purchases_30d") - nw.col("purchases_60d")).alias("purchases_change_30d"),
        (2 * nw.col("purchases_90d") - nw.col("purchases_180d")).alias("purchases_change_90d"),
        ((2 * nw.col("net_e4_30d") - nw.col("net_e4_60d")).cast(nw.Float64) / UNIT_E4).alias(
            "spend_change_30d"
        ),
        ((2 * nw.col("net_e4_90d") - nw.col("net_e4_180d")).cast(nw.Float64) / UNIT_E4).alias(
            "spend_change_90d"
        ),
        _ratio(span, repeat_days).alias("gap_mean_days"),
        _spread(nw.col("gaps_squared"), span, repeat_days).alias("gap_std_days"),
        _ratio(nw.col("purchase_days"), as_of_day - nw.col("first_day") + 1).alias("purchase_rate"),
        ((0 - nw.col("returned_e4")).cast(nw.Float64) / UNIT_E4).alias("returns_value"),
        _ratio(0 - nw.col("returned_e4"), nw.col("gross_e4")).alias("returns_share"),
        _ratio(nw.col("product_lines"), nw.col("purchases")).alias("lines_per_purchase"),
        _known(
            _ratio(nw.col("quantity_e4"), nw.col("purchases"), UNIT_E4),
            nw.col("quantity_lines") > 0,
        ).alias("quantity_per_purchase"),
        _known(
            _ratio(nw.col("discount_e4"), nw.col("gross_e4").fill_null(0) + nw.col("discount_e4")),
            nw.col("discount_lines") > 0,
        ).alias("discount_share"),
        _known(nw.col("categories"), nw.col("category_lines") > 0).alias("categories"),
        _known(nw.col("categories_180d"), nw.col("category_lines") > 0).alias("categories_180d"),
        _known(nw.col("channels"), nw.col("channel_lines") > 0).alias("channels"),
    )
    frame = frame.with_columns(
        _ratio(nw.col("recency_days"), nw.col("gap_mean_days")).alias("lateness")
    )
    return frame.select(
        "customer_id",
        *(
            nw.col(f.name).cast(nw.Int64 if f.kind == "count" else nw.Float64).alias(f.name)
            for f in FEATURES
        ),
    )


def _money(column: str) -> nw.Expr:
    return nw.col(column).cast(nw.Float64) / UNIT_E4


def _known(value: nw.Expr, condition: nw.Expr) -> nw.Expr:
    return nw.when(condition).then(value)


def _ratio(over: nw.Expr, under: nw.Expr, unit: float = 1.0) -> nw.Expr:
    """Divide, null where there is nothing to divide by."""
    divisor = under.cast(nw.Float64)
    return nw.when(divisor > 0).then(over.cast(nw.Float64) / divisor / unit)


def _spread(squares: nw.Expr, total: nw.Expr, count: nw.Expr) -> nw.Expr:
    """Population standard deviation from exact sums: sqrt(n * sum of squares - sum^2) / n."""
    n = count.cast(nw.Int64)
    whole = total.cast(nw.Int64)
    variance = (n * squares - whole * whole).cast(nw.Float64)
    return nw.when(n > 0).then(variance.sqrt() / n.cast(nw.Float64))
