"""What was said against what was seen, by stage and by tenth of what was said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from pipelines.report.points import Point, mean, share
from pipelines.report.scored import Scored
from training.answers import PRODUCT
from training.contest import Contest
from training.dataset import with_outcomes
from training.intervals import PROMISED
from training.labels import labels
from training.metrics import churn_metrics
from training.renewals import lost_of
from training.stages import STAGES

TENTHS = 10
FEWEST = 30
_NINETY = PROMISED.index(0.9)


@dataclass(frozen=True)
class SaidSeen:
    """Some customers: what was said of them, and what they did.

    Attributes
    ----------
    name
        A stage, or a tenth from 1 (lowest) to 10.
    churn_said, churn_seen
        Mean churn probability, and the share without a purchase in the horizon.
    spend_said, spend_seen
        Means of net spend.
    covered
        Share whose net spend lay within its 90% interval.
    """

    name: str
    customers: int
    churn_said: float
    churn_seen: Point
    spend_said: float
    spend_seen: Point
    covered: Point


@dataclass(frozen=True)
class Predictions:
    """How good the predictions of one day were, of customers who had bought by then.

    Attributes
    ----------
    source
        ``scores``: what a batch had said on that day. ``judged``: what the model of today says of
        it without having seen its outcomes, as it was judged in training.
    tenths
        Of the churn probability; ``spend_tenths`` of the expected spend.
    auc
        Chance that of a leaver and a stayer the leaver was given the higher churn probability.
    """

    day: date
    horizon_days: int
    source: str
    model_version: int
    whole: SaidSeen
    stages: tuple[SaidSeen, ...]
    tenths: tuple[SaidSeen, ...]
    spend_tenths: tuple[SaidSeen, ...]
    auc: float | None


def from_scores(
    days: Sequence[date],
    read: Callable[[date], Scored],
    orders: Path,
    horizon_days: int,
    as_of: date,
    contracts: Path | None = None,
    grace_days: int = 30,
) -> Predictions | None:
    """Judge the newest scores whose horizon is over, and that were no hindsight."""
    for day in reversed(days):
        if day + timedelta(days=horizon_days) > as_of:
            continue
        scored = read(day)
        bought = scored.rows.filter(~pl.col("prospect"))
        if scored.hindsight or bought.is_empty():
            continue
        seen = with_outcomes(bought, labels(orders, day, horizon_days, as_of)).with_columns(
            churned=~pl.col("purchased")
        )
        if contracts is not None:
            # Under contract no order is no loss.
            lost = lost_of(contracts, day, horizon_days, grace_days, as_of)
            seen = seen.join(lost, on="customer_id", how="left").with_columns(
                churned=pl.coalesce("lost", "churned")
            )
        return _judged(day, horizon_days, "scores", scored.model_version, seen)
    return None


def from_judged(contests: Sequence[Contest], version: int) -> Predictions | None:
    """Judge the newest day that a model was judged on in training."""
    if not contests:
        return None
    contest = max(contests, key=lambda one: one.day)
    said = contest.answers[PRODUCT]
    seen = pl.DataFrame(
        {
            "stage": contest.stage.astype(np.int64),
            "churn_probability": said.churn_probability,
            "expected_spend": said.expected_spend,
            "spend_lower": said.lower[:, _NINETY],
            "spend_upper": said.upper[:, _NINETY],
            "churned": contest.churned,
            "net_spend": contest.net_spend,
        }
    )
    return _judged(contest.day, contest.horizon_days, "judged", version, seen)


def _judged(
    day: date, horizon_days: int, source: str, version: int, seen: pl.DataFrame
) -> Predictions:
    within = pl.col("net_spend").is_between("spend_lower", "spend_upper")
    rows = seen.select(
        "stage", "churn_probability", "expected_spend", "churned", "net_spend", covered=within
    )
    churned = rows["churned"].to_numpy()
    both = bool(churned.any()) and not bool(churned.all())
    return Predictions(
        day,
        horizon_days,
        source,
        version,
        _told(rows, pl.lit("all"))[0],
        tuple(
            one
            for one in _told(rows, pl.col("stage").cast(pl.String).str.zfill(2), _stage)
            if one.customers >= FEWEST
        ),
        _told(rows, _tenth("churn_probability")),
        _told(rows, _tenth("expected_spend")),
        churn_metrics(rows["churn_probability"].to_numpy(), churned)["auc"] if both else None,
    )


def _stage(name: str) -> str:
    return STAGES[int(name)]


def _tenth(column: str) -> pl.Expr:
    """Give tenths of as many customers each, the lowest first; equals are parted by their place."""
    rank = pl.col(column).rank("ordinal") - 1
    return (rank * TENTHS // pl.len() + 1).cast(pl.String).str.zfill(2)


def _told(
    rows: pl.DataFrame, by: pl.Expr, named: Callable[[str], str] = lambda name: name.lstrip("0")
) -> tuple[SaidSeen, ...]:
    sums = (
        rows.with_columns(name=by)
        .group_by("name")
        .agg(
            pl.len().alias("n"),
            pl.mean("churn_probability", "expected_spend"),
            pl.sum("churned", "covered", "net_spend"),
            squares=(pl.col("net_spend") ** 2).sum(),
        )
        .sort("name")
    )
    return tuple(
        SaidSeen(
            named(row["name"]),
            row["n"],
            row["churn_probability"],
            share(row["churned"], row["n"]),
            row["expected_spend"],
            mean(row["net_spend"], row["squares"], row["n"]),
            share(row["covered"], row["n"]),
        )
        for row in sums.iter_rows(named=True)
    )
