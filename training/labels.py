"""What happened in the window after a snapshot."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import narwhals as nw
import polars as pl

from features.days import day_number
from features.definitions.expressions import UNIT_E4
from features.definitions.orders import purchases


def labels(orders: Path, as_of: date, horizon_days: int, known_by: date) -> pl.DataFrame:
    """Read the outcomes of (as_of, as_of + horizon] that were known by a day.

    Parameters
    ----------
    orders
        The ledger's Parquet file.
    known_by
        Lines that arrived after this day are not seen, as on that day.

    Returns
    -------
    polars.DataFrame
        ``customer_id``, ``purchased`` (Boolean), ``net_spend`` (Float64, currency), one row for
        each customer with any line in the window; whoever is missing did nothing.
    """
    start = day_number(as_of)
    window = pl.scan_parquet(orders).filter(
        pl.col("event_day") > start,
        pl.col("event_day") <= start + horizon_days,
        pl.col("known_day") <= day_number(known_by),
    )
    bought = (
        purchases(nw.from_native(window))
        .to_native()
        .select("customer_id", purchased=pl.lit(True))
        .unique()
    )
    return (
        window.group_by("customer_id")
        .agg(net_e4=pl.col("amount_e4").sum())
        .join(bought, on="customer_id", how="left")
        .select(
            "customer_id",
            purchased=pl.col("purchased").fill_null(False),
            net_spend=pl.col("net_e4").cast(pl.Float64) / UNIT_E4,
        )
        .sort("customer_id")
        .collect()
    )
