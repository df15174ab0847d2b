"""Treatments made experiments: what was known the day before, and what followed.

A treatment is ripe when its horizon is over; what has not followed by then is no outcome.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.catalogue import JOIN_KEY
from features.days import day_number, day_of
from features.definitions.expressions import UNIT_E4
from features.matrix import Vocabulary, matrix_of
from training.dataset import tree_matrix, with_outcomes
from training.labels import labels
from training.training_set import TrainingSet
from training.uplift.experiment import Experiment

TREATED = "treated"
MOST_DAYS = 60
"""Days of assignments that are measured on at most: each needs a snapshot of the day before."""
MOST_ROWS = 60_000
"""Assignments of an action that are measured on at most."""
EARLY_DAYS = 30
"""Within which most of what an action does is looked for; the horizon's other days add noise."""


def ripe_assignments(treatments: Path, as_of: date, horizon_days: int) -> pl.DataFrame:
    """Read the assignments whose horizon is over by a day, as they were known on it.

    Of several assignments of a customer on one day the first counts: they cannot be told apart.

    Returns
    -------
    polars.DataFrame
        ``customer_id``, ``event_day`` (Int32), ``action``, ``treated`` (Boolean) and ``chance``
        (Float64), the chance of being treated; null where it was not written down.
    """
    until = day_number(as_of)
    arm = pl.col("arm") == TREATED
    return (
        pl.scan_parquet(treatments)
        .filter(pl.col("known_day") <= until, pl.col("event_day") + horizon_days <= until)
        .sort(JOIN_KEY, "at", "action")
        .unique([JOIN_KEY, "event_day"], keep="first", maintain_order=True)
        .select(
            JOIN_KEY,
            "event_day",
            "action",
            treated=arm,
            chance=pl.when(arm).then(pl.col("propensity")).otherwise(1 - pl.col("propensity")),
        )
        .sort("event_day", JOIN_KEY)
        .collect()
    )


def bounded(assignments: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Keep as many assignments as are measured on: of the newest days, by whole customers.

    Of an action that was assigned more often than :data:`MOST_ROWS` times, customers are drawn.
    """
    newest = assignments["event_day"].unique().sort(descending=True)[:MOST_DAYS]
    rows = assignments.filter(pl.col("event_day").is_in(newest.implode()))
    lot = pl.struct(JOIN_KEY, "action").hash(seed)
    return (
        rows.with_columns(lot=lot)
        .sort("action", "lot", "event_day")
        .filter(pl.int_range(pl.len()).over("action") < MOST_ROWS)
        .drop("lot")
        .sort("event_day", JOIN_KEY)
    )


def eves(assignments: pl.DataFrame) -> list[date]:
    """Name the days before the assignments, whose features tell what was known."""
    return [day_of(day - 1) for day in sorted(assignments["event_day"].unique().to_list())]


def experiments(
    assignments: pl.DataFrame,
    known: TrainingSet,
    vocabulary: Vocabulary,
    orders: Path,
    as_of: date,
    horizon_days: int,
    interactions: Path | None = None,
) -> list[Experiment]:
    """Join assignments with what was known before and what followed, an experiment an action.

    A chance that was not written down is taken to be the share that was treated of the action on
    the day; :mod:`training.uplift.balance` tells whether that can be.

    Parameters
    ----------
    known
        Features of the customers of each eve, as of it.
    orders, interactions
        The ledger's lines.
    """
    share = pl.col("treated").mean().over("event_day", "action")
    rows = assignments.with_columns(chance=pl.coalesce(pl.col("chance"), share))
    # Where nobody or everybody of a day was treated there is no control arm to learn from.
    rows = rows.filter(pl.col("chance").is_between(0, 1, closed="none"))
    parts, matrices = [], []
    for eve in known.days:
        of_day = rows.filter(pl.col("event_day") == day_number(eve + timedelta(days=1)))
        features = pl.DataFrame(pl.from_arrow(known.day(eve)))
        joined = of_day.join(features, on=JOIN_KEY, how="inner", maintain_order="left")
        matrices.append(tree_matrix(matrix_of(joined.to_arrow(), vocabulary)).astype(np.float32))
        followed = labels(orders, eve, horizon_days, as_of)
        part = with_outcomes(joined.select(rows.columns), followed)
        if horizon_days > EARLY_DAYS:
            part = _with_early(part, labels(orders, eve, EARLY_DAYS, as_of))
        if interactions is not None:
            caused = _costs(interactions, eve, horizon_days, as_of)
            part = part.join(caused, on=JOIN_KEY, how="left", maintain_order="left")
        parts.append(part)
    if not parts:
        return []
    whole, matrix = pl.concat(parts), np.concatenate(matrices)
    return [
        _experiment(action, whole, matrix) for action in sorted(whole["action"].unique().to_list())
    ]


def _with_early(part: pl.DataFrame, followed: pl.DataFrame) -> pl.DataFrame:
    """Add what was spent in the first days."""
    early = followed.select(JOIN_KEY, early_spend="net_spend")
    joined = part.join(early, on=JOIN_KEY, how="left", maintain_order="left")
    return joined.with_columns(pl.col("early_spend").fill_null(0.0))


def _costs(interactions: Path, eve: date, horizon_days: int, as_of: date) -> pl.DataFrame:
    """Add up what customers' interactions cost within the horizon, in currency."""
    start = day_number(eve)
    return (
        pl.scan_parquet(interactions)
        .filter(
            pl.col("event_day").is_between(start + 1, start + horizon_days),
            pl.col("known_day") <= day_number(as_of),
            pl.col("cost_e4").is_not_null(),
        )
        .group_by(JOIN_KEY)
        .agg(cost=pl.col("cost_e4").sum().cast(pl.Float64) / UNIT_E4)
        .sort(JOIN_KEY)
        .collect()
    )


def _experiment(action: str, rows: pl.DataFrame, matrix: NDArray[np.float32]) -> Experiment:
    mask = (rows["action"] == action).to_numpy()
    recorded = "cost" in rows.columns and rows["cost"].is_not_null().any()
    own = rows.filter(mask)
    return Experiment(
        action,
        own[JOIN_KEY].to_numpy(),
        matrix[mask],
        own["treated"].to_numpy(),
        own["chance"].to_numpy(),
        own["purchased"].to_numpy(),
        own["net_spend"].to_numpy(),
        cost=own["cost"].fill_null(0.0).to_numpy() if recorded else None,
        early_spend=own["early_spend"].to_numpy() if "early_spend" in own.columns else None,
    )
