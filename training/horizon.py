"""How long a silence means that a customer has left: the churn horizon, from their own cadence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import narwhals as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.days import day_number
from features.definitions.expressions import known_by
from features.definitions.orders import purchases

ROUND_DAYS = (7, 14, 30, 61, 91, 122, 182, 365)
"""Horizons that people plan by: a week to a year."""
DEFAULT_DAYS = 91
SHARE = 0.8
"""Of the purchases that are followed by another one, so many are followed within the horizon."""
FEWEST_GAPS = 50
HISTORIES = 3
"""A history holds the horizon so many times: to learn from, to calibrate and to judge."""


@dataclass(frozen=True)
class Horizon:
    """A churn horizon and why it is this one.

    >>> Horizon(91, "set by churn.horizon_days").days
    91
    """

    days: int
    why: str


def derive_horizon(gap_days: NDArray[np.int64], history_days: int) -> Horizon:
    """Choose the shortest round horizon within which most repeat purchases follow.

    Parameters
    ----------
    gap_days
        Days between a customer's purchase days and the next, of all customers.
    history_days
        Days from the first order to the day of the choice.

    Examples
    --------
    >>> derive_horizon(np.repeat([10, 25, 80], [50, 40, 10]), 700)
    Horizon(days=30, why='of 100 repeat purchases 80% followed within 25 days')

    A short history bounds it, and a few purchases say nothing:

    >>> derive_horizon(np.repeat([10, 80], [50, 50]), 180).why
    'of 100 repeat purchases 80% followed within 80 days; 180 days of history hold 30 three times'
    >>> derive_horizon(np.array([3, 4]), 700)
    Horizon(days=91, why='2 repeat purchases are too few to tell: a quarter')
    """
    longest = max((d for d in ROUND_DAYS if d * HISTORIES <= history_days), default=ROUND_DAYS[0])
    if len(gap_days) < FEWEST_GAPS:
        days = min(DEFAULT_DAYS, longest)
        usual = "a quarter" if days == DEFAULT_DAYS else f"{days} days"
        return Horizon(days, f"{len(gap_days)} repeat purchases are too few to tell: {usual}")
    usual_days = int(np.quantile(gap_days, SHARE, method="higher"))
    days = min((d for d in ROUND_DAYS if d >= usual_days), default=ROUND_DAYS[-1])
    why = f"of {len(gap_days):,} repeat purchases {SHARE:.0%} followed within {usual_days} days"
    if days > longest:
        return Horizon(
            longest, f"{why}; {history_days:,} days of history hold {longest} three times"
        )
    return Horizon(days, why)


def purchase_gaps(orders: Path, as_of: date) -> NDArray[np.int64]:
    """Days between each customer's purchase days, from the lines known by a day.

    Parameters
    ----------
    orders
        The ledger's Parquet file.
    """
    lines = known_by(nw.from_native(pl.scan_parquet(orders)), day_number(as_of))
    days: pl.LazyFrame = purchases(lines).to_native().select("customer_id", "event_day").unique()
    gaps = days.sort("customer_id", "event_day").select(
        gap=pl.col("event_day").diff().over("customer_id")
    )
    return gaps.drop_nulls().collect()["gap"].cast(pl.Int64).to_numpy()
