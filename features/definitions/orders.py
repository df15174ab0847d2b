"""What a customer's orders add up to: one definition in narwhals for every engine.

It goes in steps, each of whole numbers alone (money and quantities in ten-thousandths), so that no
order of the lines, no thread and no engine changes a digit:

- :func:`by_day` sums lines to a row for a customer and a day, :func:`by_label` to a row for a
  customer and a category (or channel);
- :func:`totals` sums days to a row a customer, and :func:`merge` adds the totals of later days to
  those of earlier ones, so that a snapshot costs what is new since the former one;
- :func:`windows` looks at the days of the last year and a quarter;
- :func:`breadth` looks at the labels: distinct counts, entropies and favourites do not add up, so
  they are computed from a customer's whole list of labels, but only for customers with news.

The whole history at once and a part at a time give the same digits, which a test checks.
"""

from __future__ import annotations

from typing import Literal

import narwhals as nw

from features.catalogue import (
    CATEGORIES_LISTED,
    LOOK_BACK_DAYS,
    SEASON_DAYS,
    WINDOW_DAYS,
    YEAR,
)
from features.definitions.expressions import (
    UNIT_E4,
    Frame,
    after,
    commonest,
    count_where,
    foremost,
    in_parts,
    sum_where,
    whole,
)

Label = Literal["category", "channel"]
LABELS: tuple[Label, ...] = ("category", "channel")

LINE_COLUMNS = (
    "customer_id",
    "order_key",
    "event_day",
    "known_day",
    "amount_e4",
    "quantity",
    "discount_e4",
    "cost_e4",
    "category",
    "channel",
    "is_product",
)
"""Columns of the ledger that the definitions read."""

_PURCHASE_SUMS = ("purchases", "gross_e4", "log_values", "rough_logs", "rough_logs_squared")
# Columns of a day that add up over days.
_DAY_SUMS = (
    "net_e4",
    "uncosted_e4",
    "margin_e4",
    "returned_e4",
    "returns",
    "product_lines",
    "quantity_lines",
    "quantity_e4",
    "discount_lines",
    "discount_e4",
    "discounted_lines",
    "sold_lines",
    "category_lines",
    "channel_lines",
    *_PURCHASE_SUMS,
)
_TOTAL_SUMS = (*_DAY_SUMS, "purchase_days", "gaps_squared")
_EARLIEST = ("first_line_day", "first_day")
_LATEST = ("last_return_day", "last_day", "max_e4", "gap_max_days")
# Facts of the first or last purchase days: taken from the earlier or the later part.
_AT_ENDS = ("first_e4", "last_e4", "gap_first_days", "gap_last_days")
TOTALS = (*_TOTAL_SUMS, *_EARLIEST, *_LATEST, *_AT_ENDS)
"""Columns of :func:`totals`, all Int64."""

WINDOWED = ("net_e4", "gross_e4", "purchases", "returns", "returned_e4", "discount_e4")
"""Columns of a day that :func:`windows` looks at."""
LOG_PARTS = 2.0**20
"""Parts of one in the logarithm of an order's value."""
ROUGH_LOG_PARTS = 2.0**10
"""The same where it is squared: sums of squares stay within 64 bits."""
NLOGN_PARTS = 2.0**20
"""Parts of one in n ln n of a label's lines."""


def orders(lines: Frame) -> Frame:
    """Sum lines to orders: one row for a customer, an order and a day.

    A return under the number of an earlier sale is a row of its own day, so that it never
    rewrites that sale.
    """
    return lines.group_by("customer_id", "order_key", "event_day").agg(
        nw.col("amount_e4").sum().alias("amount_e4")
    )


def purchases(lines: Frame) -> Frame:
    """Orders with a positive amount."""
    return orders(lines).filter(nw.col("amount_e4") > 0)


def margins() -> list[nw.Expr]:
    """Sum what lines leave: the amounts of those without a cost of goods, and the others' margin.

    Goods that come back bring their cost back, whatever sign the export gives it.

    Returns
    -------
    list of narwhals.Expr
        ``uncosted_e4`` and ``margin_e4``, which add up over any parts of the lines.
    """
    amount, cost = nw.col("amount_e4"), nw.col("cost_e4")
    goods = nw.when(amount < 0).then(0 - cost.abs()).otherwise(cost)
    left = nw.when(~cost.is_null()).then(amount - goods).otherwise(nw.lit(0))
    return [
        sum_where(cost.is_null(), "amount_e4").alias("uncosted_e4"),
        left.sum().alias("margin_e4"),
    ]


def by_day(lines: Frame) -> Frame:
    """Sum lines to a row for a customer and a day on which something was bought or returned.

    Returns
    -------
    narwhals.LazyFrame
        ``customer_id``, ``event_day`` and whole numbers that add up over days; ``max_e4`` (the
        largest purchase) and ``last_return_day`` are null on days without.
    """
    bought = nw.col("amount_e4") > 0
    returned = nw.col("amount_e4") < 0
    product = bought & nw.col("is_product")
    flagged = lines.with_columns(
        # Whole ten-thousandths, as money: a sum of fractions would depend on the lines' order.
        nw.when(product)
        .then((nw.col("quantity") * UNIT_E4 + 0.5).floor().cast(nw.Int64))
        .alias("_quantity_e4"),
        # The discount of a returned line was given with its sale; the sale is not rewritten.
        nw.when(~returned).then(nw.col("discount_e4")).alias("_discount_e4"),
    )
    of_lines = flagged.group_by("customer_id", "event_day").agg(
        nw.col("amount_e4").sum().alias("net_e4"),
        *margins(),
        sum_where(returned, "amount_e4").alias("returned_e4"),
        count_where(returned).alias("returns"),
        count_where(product).alias("product_lines"),
        nw.col("_quantity_e4").count().alias("quantity_lines"),
        nw.col("_quantity_e4").sum().alias("quantity_e4"),
        nw.col("_discount_e4").count().alias("discount_lines"),
        nw.col("_discount_e4").sum().alias("discount_e4"),
        count_where(bought & (nw.col("discount_e4") > 0)).alias("discounted_lines"),
        count_where(bought).alias("sold_lines"),
        # That a table has categories at all shows on any line, be it a return.
        nw.col("category").count().alias("category_lines"),
        nw.col("channel").count().alias("channel_lines"),
    )
    logged = (
        purchases(lines)
        .with_columns(nw.col("amount_e4").cast(nw.Float64).log().alias("_log"))
        .with_columns(
            in_parts(nw.col("_log"), LOG_PARTS).alias("_fine"),
            in_parts(nw.col("_log"), ROUGH_LOG_PARTS).alias("_rough"),
        )
        .with_columns((nw.col("_rough") * nw.col("_rough")).alias("_squared"))
    )
    of_purchases = logged.group_by("customer_id", "event_day").agg(
        nw.len().alias("purchases"),
        nw.col("amount_e4").sum().alias("gross_e4"),
        nw.col("amount_e4").max().alias("max_e4"),
        nw.col("_fine").sum().alias("log_values"),
        nw.col("_rough").sum().alias("rough_logs"),
        nw.col("_squared").sum().alias("rough_logs_squared"),
    )
    return whole(
        of_lines.join(of_purchases, on=["customer_id", "event_day"], how="left").with_columns(
            nw.col(_PURCHASE_SUMS).fill_null(0),
            nw.when(nw.col("returns") > 0).then(nw.col("event_day")).alias("last_return_day"),
        )
    )


def by_label(lines: Frame, label: Label) -> Frame:
    """Sum purchased lines to a row for a customer and a category of products, or a channel.

    Returns
    -------
    narwhals.LazyFrame
        ``customer_id``, ``label``, ``lines``, ``days`` (different days on which it was bought),
        ``last_day``; the first two add up over parts of a history that share no day.
    """
    bought = nw.col("amount_e4") > 0
    if label == "category":
        bought = bought & nw.col("is_product")
    return whole(
        lines.filter(bought, ~nw.col(label).is_null())
        .group_by("customer_id", nw.col(label).alias("label"), "event_day")
        .agg(nw.len().alias("lines"))
        .group_by("customer_id", "label")
        .agg(
            nw.col("lines").sum(),
            nw.len().alias("days"),
            nw.col("event_day").max().alias("last_day"),
        ),
        "label",
    )


def totals(days: Frame) -> Frame:
    """Sum days to a row a customer.

    Parameters
    ----------
    days
        From :func:`by_day`.

    Returns
    -------
    narwhals.LazyFrame
        ``customer_id`` and :data:`TOTALS`; null where there was no purchase, return or gap.
    """
    of_days = days.group_by("customer_id").agg(
        *(nw.col(name).sum() for name in _DAY_SUMS),
        nw.col("event_day").min().alias("first_line_day"),
        nw.col("last_return_day").max(),
        nw.col("max_e4").max(),
    )
    bought = days.filter(nw.col("purchases") > 0).select("customer_id", "event_day", "gross_e4")
    previous = nw.col("event_day").shift(1).over("customer_id", order_by="event_day")
    gaps = bought.with_columns(previous.alias("_previous")).with_columns(
        (nw.col("event_day") - nw.col("_previous")).alias("_gap")
    )
    ends = gaps.group_by("customer_id").agg(
        nw.col("event_day").min().alias("first_day"),
        nw.col("event_day").max().alias("last_day"),
        nw.len().alias("purchase_days"),
        (nw.col("_gap") * nw.col("_gap")).sum().alias("gaps_squared"),
        nw.col("_gap").max().alias("gap_max_days"),
    )
    first, last = (
        nw.col("event_day") == nw.col("first_day"),
        (nw.col("event_day") == nw.col("last_day")),
    )
    at_ends = (
        gaps.join(ends.select("customer_id", "first_day", "last_day"), on="customer_id", how="left")
        .filter(first | last | (nw.col("_previous") == nw.col("first_day")))
        .group_by("customer_id")
        .agg(
            nw.when(first).then(nw.col("gross_e4")).max().alias("first_e4"),
            nw.when(last).then(nw.col("gross_e4")).max().alias("last_e4"),
            nw.when(nw.col("_previous") == nw.col("first_day"))
            .then(nw.col("_gap"))
            .max()
            .alias("gap_first_days"),
            nw.when(last).then(nw.col("_gap")).max().alias("gap_last_days"),
        )
    )
    joined = of_days.join(ends, on="customer_id", how="left").join(
        at_ends, on="customer_id", how="left"
    )
    counted = joined.with_columns(nw.col("purchase_days", "gaps_squared").fill_null(0))
    return whole(counted).select("customer_id", *TOTALS)


def merge(earlier: Frame, later: Frame) -> Frame:
    """Add the totals of later days to those of earlier ones, customer by customer.

    Every purchase day in ``later`` must lie after every one in ``earlier`` of that customer: the
    gap between the last of these and the first of those then joins the gaps of both.

    Returns
    -------
    narwhals.LazyFrame
        As :func:`totals` over all the days.
    """
    both = nw.concat(
        [
            earlier.with_columns(nw.lit(0).alias("_part")),
            later.with_columns(nw.lit(1).alias("_part")),
        ]
    )

    def of(part: int, name: str) -> nw.Expr:
        return nw.when(nw.col("_part") == part).then(nw.col(name)).max()

    parts = both.group_by("customer_id").agg(
        *(nw.col(name).sum() for name in _TOTAL_SUMS),
        *(nw.col(name).min() for name in _EARLIEST),
        *(nw.col(name).max() for name in _LATEST),
        *(of(0, name).alias(f"{name}_0") for name in (*_AT_ENDS, "last_day", "purchase_days")),
        *(of(1, name).alias(f"{name}_1") for name in (*_AT_ENDS, "first_day", "purchase_days")),
    )
    bridge = nw.col("first_day_1") - nw.col("last_day_0")
    bridged = parts.with_columns(bridge.alias("_bridge"))
    one_before, one_after = nw.col("purchase_days_0") == 1, nw.col("purchase_days_1") == 1
    return whole(
        bridged.with_columns(
            (nw.col("gaps_squared") + (nw.col("_bridge") * nw.col("_bridge")).fill_null(0)).alias(
                "gaps_squared"
            ),
            nw.max_horizontal("gap_max_days", "_bridge").alias("gap_max_days"),
            nw.coalesce("first_e4_0", "first_e4_1").alias("first_e4"),
            nw.coalesce("last_e4_1", "last_e4_0").alias("last_e4"),
            nw.coalesce(
                nw.col("gap_first_days_0"),
                nw.when(one_before).then(nw.col("_bridge")),
                nw.when(nw.col("purchase_days_0").fill_null(0) == 0).then(
                    nw.col("gap_first_days_1")
                ),
            ).alias("gap_first_days"),
            nw.coalesce(
                nw.col("gap_last_days_1"),
                nw.when(one_after).then(nw.col("_bridge")),
                nw.col("gap_last_days_0"),
            ).alias("gap_last_days"),
        ).select("customer_id", *TOTALS)
    )


def merge_labels(earlier: Frame, later: Frame) -> Frame:
    """Add later rows of :func:`by_label` to earlier ones that share no day with them."""
    return whole(
        nw.concat([earlier, later])
        .group_by("customer_id", "label")
        .agg(nw.col("lines").sum(), nw.col("days").sum(), nw.col("last_day").max()),
        "label",
    )


def windows(days: Frame, as_of_day: int) -> Frame:
    """Sum the recent days within each window.

    Parameters
    ----------
    days
        Rows of :func:`by_day` known by the day, at least those of the last
        :data:`features.catalogue.LOOK_BACK_DAYS` days.

    Returns
    -------
    narwhals.LazyFrame
        ``customer_id`` and Int64 sums, for customers with such a day.
    """
    recent = days.filter(after(as_of_day, LOOK_BACK_DAYS))
    year_ago = as_of_day - YEAR

    def then_next(days_after: int) -> nw.Expr:
        day = nw.col("event_day")
        return (day > year_ago) & (day <= year_ago + days_after)

    return whole(
        recent.group_by("customer_id").agg(
            *(sum_where(after(as_of_day, n), "net_e4").alias(f"net_e4_{n}d") for n in WINDOW_DAYS),
            *(
                sum_where(after(as_of_day, n), "purchases").alias(f"purchases_{n}d")
                for n in WINDOW_DAYS
            ),
            *(
                sum_where(after(as_of_day, n), name).alias(f"{name}_{n}d")
                for name in ("returns", "returned_e4")
                for n in (90, YEAR)
            ),
            sum_where(after(as_of_day, YEAR), "discount_e4").alias(f"discount_e4_{YEAR}d"),
            sum_where(after(as_of_day, YEAR), "gross_e4").alias(f"gross_e4_{YEAR}d"),
            *(
                sum_where(then_next(n), name).alias(f"{name}_next_{n}d_last_year")
                for name in ("purchases", "net_e4")
                for n in SEASON_DAYS
            ),
            sum_where((nw.col("event_day") <= year_ago) & after(year_ago, 90), "purchases").alias(
                "purchases_90d_last_year"
            ),
        )
    )


def breadth(labels: Frame, name: Label) -> Frame:
    """Look at a customer's whole list of categories or channels.

    Returns
    -------
    narwhals.LazyFrame
        ``customer_id``, and with the label's name before them ``_count``, ``_lines``,
        ``_line_logs`` (sum of n ln n over labels of n lines, in parts of 2^-20), ``_most``
        (lines of the favourite), ``_repeated`` (labels bought on more days than one) as Int64, and
        ``_favourite`` (String); of categories :data:`features.catalogue.CATEGORIES_LISTED` too.
    """
    lines = nw.col("lines").cast(nw.Float64)
    logged = labels.with_columns(in_parts(lines * lines.log(), NLOGN_PARTS).alias("_nlogn"))
    counted = whole(
        logged.group_by("customer_id").agg(
            nw.len().alias(f"{name}_count"),
            nw.col("lines").sum().alias(f"{name}_lines_in_all"),
            nw.col("_nlogn").sum().alias(f"{name}_line_logs"),
            nw.col("lines").max().alias(f"{name}_most"),
            count_where(nw.col("days") > 1).alias(f"{name}_repeated"),
        )
    )
    found = counted.join(
        commonest(labels, "label", "lines", f"{name}_favourite"), on="customer_id", how="left"
    )
    if name == "channel":
        return found
    return found.join(
        foremost(labels, "label", "lines", CATEGORIES_LISTED), on="customer_id", how="left"
    )


def recent_labels(labels: Frame, name: Label, as_of_day: int) -> Frame:
    """Count the labels bought in the last 180 days."""
    recent = labels.filter(nw.col("last_day") > as_of_day - 180)
    return whole(recent.group_by("customer_id").agg(nw.len().alias(f"{name}_count_180d")))
