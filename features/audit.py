"""A look for leaks: features must not change when everything after their day is taken away.

The definitions filter by day themselves; this check does not trust them. It cuts the ledger at the
day, computes the features anew from what is left and compares them, bit for bit, with those that a
model is about to learn from, as they came out of the store.
"""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow as pa

from features import catalogue
from features.days import closing, day_number
from features.errors import LifecycleError
from features.snapshots import Engine, compute_snapshot


class LeakError(LifecycleError):
    """A feature of a day depends on what was not known then."""


def check_no_leak(orders: Path, retrieved: pa.Table, as_of: date, engine: Engine) -> None:
    """Compare retrieved features of a day with features computed from a ledger cut at that day.

    Parameters
    ----------
    orders
        The ledger's Parquet file.
    retrieved
        ``customer_id``, ``event_timestamp`` and the features, of this and maybe other days.

    Raises
    ------
    LeakError
        They differ; the message names the feature, a customer and both values.
    """
    with tempfile.TemporaryDirectory() as folder:
        cut = Path(folder) / "cut.parquet"
        pl.scan_parquet(orders).filter(pl.col("known_day") <= day_number(as_of)).sink_parquet(cut)
        honest = pl.DataFrame(pl.from_arrow(compute_snapshot(cut, as_of, engine)))
    frame = pl.DataFrame(pl.from_arrow(retrieved))
    given = frame.filter(pl.col("event_timestamp") == closing(as_of)).sort("customer_id")
    if given.height != honest.height:
        raise LeakError(
            f"the features of {as_of} hold {given.height} customers, {honest.height} were known "
            "by then; delete the workspace's features folder and run the command again"
        )
    for name in (catalogue.JOIN_KEY, *catalogue.NAMES):
        differs = given[name].ne_missing(honest[name]).arg_true()
        if len(differs):
            row = int(differs[0])
            raise LeakError(
                f"feature {name} of customer {given['customer_id'][row]} on {as_of} is "
                f"{given[name][row]}, but {honest[name][row]} without what came later: it looks "
                "into the future, or its snapshot was altered; correct its definition, delete the "
                "workspace's features folder and train again"
            )
