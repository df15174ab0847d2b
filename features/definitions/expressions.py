"""Words that every definition is written in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw

Frame = nw.LazyFrame[Any]

UNIT_E4 = 10_000.0
"""Ten-thousandths in one unit of currency."""
_HALF_WORD = 2**26


def known_by(rows: Frame, as_of_day: int) -> Frame:
    """Keep what had both happened and arrived by the end of ``as_of_day``."""
    return rows.filter(nw.col("known_day") <= as_of_day, nw.col("event_day") <= as_of_day)


def customers_of(*frames: Frame) -> Frame:
    """Name every customer of some tables once."""
    return nw.concat([frame.select("customer_id") for frame in frames]).unique("customer_id")


def after(as_of_day: int, days: int) -> nw.Expr:
    """Within the last ``days`` days, the day itself counted."""
    return nw.col("event_day") > as_of_day - days


def sum_where(condition: nw.Expr, column: str) -> nw.Expr:
    """Sum a column over the rows that meet a condition."""
    return nw.when(condition).then(nw.col(column)).otherwise(nw.lit(0)).sum()


def stated_sum(condition: nw.Expr, column: str, name: str) -> list[nw.Expr]:
    """Sum a column that rows may lack, with the numbers of such rows and of values in them."""
    return [
        sum_where(condition, column).alias(f"{name}_e4"),
        count_where(condition).alias(f"{name}_rows"),
        count_where(condition & ~nw.col(column).is_null()).alias(f"{name}_given"),
    ]


def count_where(condition: nw.Expr) -> nw.Expr:
    """Count the rows that meet a condition."""
    return nw.when(condition).then(nw.lit(1)).otherwise(nw.lit(0)).sum()


def in_parts(value: nw.Expr, parts: float) -> nw.Expr:
    """Round a fraction to whole parts: a sum of fractions would depend on the rows' order."""
    return (value * parts + 0.5).floor().cast(nw.Int64)


def whole(frame: Frame, *but: str) -> Frame:
    """Give every column but some as Int64: SQL engines widen a sum beyond 64 bits."""
    return frame.with_columns(nw.exclude("customer_id", *but).cast(nw.Int64))


def commonest(pairs: Frame, label: str, weight: str, name: str) -> Frame:
    """Pick each customer's label of the largest weight, the first by name where two tie."""
    most = pairs.group_by("customer_id").agg(nw.col(weight).max().alias("_most"))
    return (
        pairs.join(most, on="customer_id", how="inner")
        .filter(nw.col(weight) == nw.col("_most"))
        .group_by("customer_id")
        .agg(nw.col(label).min().alias(name))
    )


def foremost(
    pairs: Frame, label: str, weight: str, names: Sequence[str], told: str | None = None
) -> Frame:
    """List each customer's labels of the largest weights, the first by name where two tie.

    Parameters
    ----------
    pairs
        Each label of a customer once.
    names
        Columns of the list: that many labels are kept.
    told
        Column that is listed in the place of the label.
    """
    placed = (
        pairs.with_columns(nw.lit(1).alias("_one"), (0 - nw.col(weight)).alias("_least"))
        .with_columns(
            nw.col("_one").cum_sum().over("customer_id", order_by=["_least", label]).alias("_place")
        )
        .filter(nw.col("_place") <= len(names))
    )
    return placed.group_by("customer_id").agg(
        *(
            nw.when(nw.col("_place") == place).then(nw.col(told or label)).max().alias(name)
            for place, name in enumerate(names, 1)
        )
    )


def as_float(number: nw.Expr) -> nw.Expr:
    """Give the float nearest to a whole number of any size; Arrow casts none beyond 2^53."""
    high = number // _HALF_WORD
    low = number - high * _HALF_WORD
    return high.cast(nw.Float64) * float(_HALF_WORD) + low.cast(nw.Float64)


def money(column: str) -> nw.Expr:
    """Turn ten-thousandths into currency."""
    return as_float(nw.col(column)) / UNIT_E4


def where(condition: nw.Expr, value: nw.Expr) -> nw.Expr:
    """Give a value where a condition holds, null elsewhere."""
    return nw.when(condition).then(value)


def ratio(over: nw.Expr, under: nw.Expr, unit: float = 1.0) -> nw.Expr:
    """Divide, null where there is nothing to divide by."""
    divisor = under.cast(nw.Float64)
    return nw.when(divisor > 0).then(over.cast(nw.Float64) / divisor / unit)


def spread(squares: nw.Expr, total: nw.Expr, count: nw.Expr) -> nw.Expr:
    """Population standard deviation of whole numbers >= 0 from their exact sums.

    With total = q n + r the sum of squares about q is a whole number s, and the variance
    ((s - r) + r (n - r) / n) / n: nothing leaves 64 bits, as n^2 would, and nothing cancels.
    """
    n = nw.when(count > 0).then(count).cast(nw.Int64)
    quotient = total // n
    rest = total - quotient * n
    about = squares - quotient * (total + rest)
    parts = n.cast(nw.Float64)
    return ((as_float(about - rest) + as_float(rest * (n - rest)) / parts) / parts).sqrt()
