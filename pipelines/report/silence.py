"""Who is active on a day, and who has fallen silent: facts, whatever is predicted."""

from __future__ import annotations

import polars as pl

from features.days import day_number
from pipelines.report.known import Known
from pipelines.report.periods import Period


def active_on(known: Known, day: int, silent_days: int) -> pl.DataFrame:
    """List who bought within ``silent_days`` of the end of a day (since 1970): ``customer_id``."""
    return (
        known.purchase_days.filter(pl.col("event_day").is_between(day - silent_days, day))
        .select("customer_id")
        .unique()
    )


def running_on(known: Known, day: int) -> pl.DataFrame | None:
    """List who has a contract that runs on a day: ``customer_id``; None without contracts."""
    if known.contracts is None:
        return None
    return (
        known.contracts.filter(
            pl.col("event_day") <= day,
            pl.col("ends_day").is_null() | (pl.col("ends_day") >= day),
            pl.col("cancelled_day").is_null() | (pl.col("cancelled_day") > day),
        )
        .select("customer_id")
        .unique()
    )


def lost_in(known: Known, period: Period, silent_days: int) -> tuple[int, pl.DataFrame]:
    """Count who was active on a period's eve, and list who of them was silent at its end.

    Under a running contract nobody is. The list has ``customer_id`` and ``last_day``, that of the
    last purchase.
    """
    first, last = day_number(period.first), day_number(period.last)
    active = active_on(known, first - 1, silent_days)
    ends = (
        known.purchase_days.filter(pl.col("event_day") <= last)
        .group_by("customer_id")
        .agg(last_day=pl.col("event_day").max())
    )
    gone = active.join(ends, on="customer_id").filter(last - pl.col("last_day") > silent_days)
    running = running_on(known, last)
    return active.height, gone if running is None else gone.join(
        running, on="customer_id", how="anti"
    )
