"""All order features of one day, written by hand for Polars' streaming engine: the peer to beat."""

from __future__ import annotations

from pathlib import Path

import polars as pl

WINDOWS = (7, 14, 30, 60, 90, 180, 365)


def snapshot(orders: Path, today: int, out: Path) -> None:
    """Compute a day's snapshot from all lines and write it."""
    lines = pl.scan_parquet(orders).filter(
        pl.col("known_day") <= today, pl.col("event_day") <= today
    )
    day, amount = pl.col("event_day"), pl.col("amount_e4")
    bought = amount > 0
    product = bought & pl.col("is_product")

    def within(days: int) -> pl.Expr:
        return day > today - days

    of_lines = lines.group_by("customer_id").agg(
        known=day.min(),
        net=amount.sum(),
        **{f"net_{n}": amount.filter(within(n)).sum() for n in WINDOWS},
        net_next_30=amount.filter(day.is_between(today - 364, today - 335)).sum(),
        net_next_90=amount.filter(day.is_between(today - 364, today - 275)).sum(),
        returns=(amount < 0).sum(),
        returns_90=((amount < 0) & within(90)).sum(),
        returns_365=((amount < 0) & within(365)).sum(),
        returned=amount.filter(amount < 0).sum(),
        returned_365=amount.filter((amount < 0) & within(365)).sum(),
        last_return=day.filter(amount < 0).max(),
        product_lines=product.sum(),
        sold=bought.sum(),
        quantity=pl.col("quantity").filter(product).sum(),
        discount=pl.col("discount_e4").filter(amount >= 0).sum(),
        discount_365=pl.col("discount_e4").filter((amount >= 0) & within(365)).sum(),
        discounted=(bought & (pl.col("discount_e4") > 0)).sum(),
    )
    bought_orders = (
        lines.group_by("customer_id", "order_key", "event_day").agg(amount.sum()).filter(amount > 0)
    )
    value = amount.log()
    of_orders = bought_orders.group_by("customer_id").agg(
        purchases=pl.len(),
        gross=amount.sum(),
        gross_365=amount.filter(within(365)).sum(),
        largest=amount.max(),
        log_mean=value.mean(),
        log_std=value.std(ddof=0),
        **{f"purchases_{n}": within(n).sum().cast(pl.Int64) for n in WINDOWS},
        next_30=day.is_between(today - 364, today - 335).sum(),
        next_90=day.is_between(today - 364, today - 275).sum(),
        last_year_90=day.is_between(today - 454, today - 365).sum(),
        first=day.min(),
        last=day.max(),
        purchase_days=day.n_unique(),
        value_first=amount.filter(day == day.min()).sum(),
        value_last=amount.filter(day == day.max()).sum(),
        gap_list=day.unique().sort().diff().drop_nulls(),
    )
    categories = _labels(lines.filter(product), "category", today)
    channels = _labels(lines.filter(bought), "channel", today)
    joined = (
        of_lines.join(of_orders, on="customer_id", how="left")
        .join(categories, on="customer_id", how="left")
        .join(channels, on="customer_id", how="left")
    )
    _finished(joined, today).sort("customer_id").sink_parquet(
        out, compression="zstd", compression_level=1, engine="streaming"
    )


def _labels(lines: pl.LazyFrame, label: str, today: int) -> pl.LazyFrame:
    pairs = lines.group_by("customer_id", label).agg(
        n=pl.len(), days=pl.col("event_day").n_unique(), last=pl.col("event_day").max()
    )
    n, share = pl.col("n"), pl.col("n") / pl.col("n").sum()
    return pairs.group_by("customer_id").agg(
        **{
            f"{label}_count": pl.len(),
            f"{label}_count_180d": (pl.col("last") > today - 180).sum(),
            f"{label}_entropy": -(share * share.log()).sum(),
            f"{label}_repeated": (pl.col("days") > 1).mean(),
            f"{label}_favourite": pl.col(label).filter(n == n.max()).min(),
            f"{label}_share": share.max(),
        }
    )


def _finished(frame: pl.LazyFrame, today: int) -> pl.LazyFrame:
    e4 = 1e4
    c = pl.col
    gaps = c("gap_list").list
    return frame.with_columns(
        c("purchases", "gross", "purchase_days", *(f"purchases_{n}" for n in WINDOWS)).fill_null(0)
    ).select(
        "customer_id",
        as_of_day=pl.lit(today),
        purchases=c("purchases"),
        purchase_days=c("purchase_days"),
        recency_days=today - c("last"),
        tenure_days=today - c("first"),
        known_days=today - c("known"),
        spend_net=c("net") / e4,
        spend_gross=c("gross") / e4,
        monetary_value=pl.when(c("purchase_days") > 1).then(
            (c("gross") - c("value_first")) / (c("purchase_days") - 1) / e4
        ),
        order_value_mean=c("gross") / c("purchases") / e4,
        order_value_geometric_mean=c("log_mean").exp() / e4,
        order_value_max=c("largest") / e4,
        order_value_first=c("value_first") / e4,
        order_value_last=c("value_last") / e4,
        **{f"purchases_{n}d": c(f"purchases_{n}") for n in WINDOWS},
        **{f"spend_{n}d": c(f"net_{n}") / e4 for n in WINDOWS},
        purchases_change_30d=2 * c("purchases_30") - c("purchases_60"),
        purchases_change_90d=2 * c("purchases_90") - c("purchases_180"),
        spend_change_30d=(2 * c("net_30") - c("net_60")) / e4,
        spend_change_90d=(2 * c("net_90") - c("net_180")) / e4,
        purchases_acceleration_30d=3 * c("purchases_30")
        - 3 * c("purchases_60")
        + c("purchases_90"),
        spend_acceleration_30d=(3 * c("net_30") - 3 * c("net_60") + c("net_90")) / e4,
        gap_mean_days=gaps.mean(),
        gap_std_days=gaps.std(ddof=0),
        gap_cv=gaps.std(ddof=0) / gaps.mean(),
        gap_max_days=gaps.max(),
        gap_first_days=gaps.first(),
        gap_last_days=gaps.last(),
        lateness=(today - c("last")) / gaps.mean(),
        purchase_rate=c("purchase_days") / (today - c("first") + 1),
        order_value_log_std=c("log_std"),
        lines_per_purchase=c("product_lines") / c("purchases"),
        quantity_per_purchase=c("quantity") / c("purchases"),
        discount_share=c("discount") / (c("gross") + c("discount")),
        discount_share_365d=c("discount_365") / (c("gross_365") + c("discount_365")),
        discounted_line_share=c("discounted") / c("sold"),
        categories=c("category_count"),
        categories_180d=c("category_count_180d"),
        category_entropy=c("category_entropy"),
        category_repeat_rate=c("category_repeated"),
        category_favourite=c("category_favourite"),
        category_favourite_share=c("category_share"),
        channels=c("channel_count"),
        channel_entropy=c("channel_entropy"),
        channel_favourite=c("channel_favourite"),
        channel_favourite_share=c("channel_share"),
        returns=c("returns"),
        returns_90d=c("returns_90"),
        returns_365d=c("returns_365"),
        returns_value=-c("returned") / e4,
        returns_value_365d=-c("returned_365") / e4,
        returns_share=-c("returned") / c("gross"),
        days_since_return=today - c("last_return"),
        purchases_next_30d_last_year=c("next_30"),
        spend_next_30d_last_year=c("net_next_30") / e4,
        purchases_next_90d_last_year=c("next_90"),
        spend_next_90d_last_year=c("net_next_90") / e4,
        purchases_90d_last_year=c("last_year_90"),
    )


def check_equal(product: Path, hand_written: Path) -> None:
    """Say where the product's snapshot differs from the one by hand, beyond rounding."""
    one, other = pl.read_parquet(product), pl.read_parquet(hand_written)
    buyers = one["purchases"] > 0
    one, other = one.filter(buyers), other.filter(buyers)
    for name in other.columns:
        left, right = one[name], other[name]
        if pl.String in {left.dtype, right.dtype}:
            differs = left.ne_missing(right)
        else:
            left, right = left.cast(pl.Float64), right.cast(pl.Float64)
            # Logarithms are kept to 1/1024 in the product.
            tolerance = 2e-3 if "log" in name or "geometric" in name else 1e-4
            apart = (left - right).abs() > tolerance * (1 + right.abs())
            differs = (apart & left.is_not_null()).fill_null(value=False) | (
                left.is_null() & right.is_not_null() & ~right.is_nan()
            )
        if name.endswith("last_year"):
            differs &= left.is_not_null()
        if differs.any():
            print(f"  {name} differs for {int(differs.sum())} of {len(differs)} customers")
