"""A look for leaks: features must not change when everything after their day is taken away.

The definitions filter by day themselves; this check does not trust them. It cuts every table at the
day, computes the features anew from what is left and compares them, bit for bit, with those that a
model is about to learn from, as they came out of the store.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow as pa

from features import catalogue
from features.computing import compute_snapshot
from features.days import closing, day_number
from features.definitions.customers import ATTRIBUTES
from features.definitions.rows import Rules
from features.engines import EngineName, engine
from features.errors import LifecycleError
from features.ingest.contract import Table
from features.objections import objecting_in, without

_LATER_FACTS = {
    "contracts": {"renewed_day": "renewed_at", "cancelled_day": "cancelled_at"},
    "customers": {"registered_day": "registered_at"},
}
"""Days in a row, beside its own, on which something else happened; each with its moment."""


class LeakError(LifecycleError):
    """A feature of a day depends on what was not known then."""


def check_no_leak(
    tables: Mapping[Table, Path],
    retrieved: pa.Table,
    as_of: date,
    engine_name: EngineName,
    rules: Rules,
    sampled: pa.Array | None = None,
) -> None:
    """Compare retrieved features of a day with features computed from tables cut at that day.

    Parameters
    ----------
    tables
        The ledger's Parquet files.
    retrieved
        ``customer_id``, ``event_timestamp`` and the features, of this and maybe other days.
    sampled
        The customers that were asked for; None when it was all that were known.

    Raises
    ------
    LeakError
        They differ; the message names the feature, a customer and both values.
    """
    with tempfile.TemporaryDirectory() as folder, engine(engine_name) as opened:
        cut = {table: Path(folder) / f"{table}.parquet" for table in tables}
        for table, path in tables.items():
            _cut(table, path, day_number(as_of), rules).sink_parquet(cut[table])
        # Whoever objected by today is left out of every day.
        objectors = objecting_in(tables.get("customers"), rules.objection)
        computed = without(compute_snapshot(opened, cut, as_of, rules), objectors)
        honest = pl.DataFrame(pl.from_arrow(computed))
    frame = pl.DataFrame(pl.from_arrow(retrieved))
    given = frame.filter(pl.col("event_timestamp") == closing(as_of)).sort("customer_id")
    key = catalogue.JOIN_KEY
    if sampled is not None:
        asked = pl.Series(pl.from_arrow(sampled)).implode()
        honest = honest.filter(pl.col(key).is_in(asked))
    if not given[key].equals(honest[key]):
        odd = set(given[key].to_list()) ^ set(honest[key].to_list())
        raise LeakError(
            f"the features of {as_of} hold {given.height} customers, {honest.height} were known by "
            f"then (customer {min(odd, default='twice')} makes a difference): they look into the "
            "future, or a snapshot was altered; correct the definitions, delete the workspace's "
            "features folder and run the command again"
        )
    for name in catalogue.NAMES:
        differs = given[name].ne_missing(honest[name]).arg_true()
        if len(differs):
            row = int(differs[0])
            raise LeakError(
                f"feature {name} of customer {given['customer_id'][row]} on {as_of} is "
                f"{given[name][row]}, but {honest[name][row]} without what came later: it looks "
                "into the future, or its snapshot was altered; correct its definition, delete the "
                "workspace's features folder and train again"
            )


def _cut(table: Table, path: Path, as_of_day: int, rules: Rules) -> pl.LazyFrame:
    """Keep what was known by a day; a row without a day says nothing but what is static."""
    kept = pl.scan_parquet(path).filter(
        pl.col("known_day").is_null() | (pl.col("known_day") <= as_of_day)
    )
    for day, moment in _LATER_FACTS.get(table, {}).items():
        happened = pl.col(day) <= as_of_day
        kept = kept.with_columns(pl.when(happened).then(pl.col(name)) for name in (moment, day))
    if table == "customers":
        todays = [name for name in ATTRIBUTES if name.removesuffix("_e4") not in rules.static]
        dated = pl.col("valid_from").is_not_null()
        kept = kept.with_columns(pl.when(dated).then(pl.col(name)) for name in todays)
    return kept
