"""How customers move between stages: from day to day, how long they stay, and where to next.

All of it is counted on days whose stages are known. How long a stay lasts is estimated by Kaplan
and Meier (1958), so that stays which still go on count for what they are; its mean is the area
under their curve up to the longest stay seen, with Greenwood's variance (Klein and Moeschberger
2003, section 4.5). What comes next is counted over pairs of days a horizon apart, and shrunk where
few were seen: a third of a stage by churn probability towards the stage, and a stage towards all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from training.stages import STAGES

Float = NDArray[np.float64]
Counts = NDArray[np.int64]

OUTSIDE = len(STAGES)
"""Place of who was not, or is not any more, among the customers."""
THIRDS = 3
PRIOR_STAGE = 8.0
"""What all customers together weigh in a stage's probabilities, in customers."""
PRIOR_THIRD = 30.0
"""What the stage weighs in those of a third of it."""
FEWEST_STAYS = 20
"""Ended stays below which no mean is told."""
COVERAGE = 0.9
_Z = 1.6448536269514722


def transitions(before: pl.DataFrame, after: pl.DataFrame) -> Counts:
    """Count who moved where between two days.

    Parameters
    ----------
    before, after
        ``customer_id`` and ``stage``, a place in :data:`training.stages.STAGES`, a row a customer.

    Returns
    -------
    int64 array of shape (9, 9)
        Stage before by stage after; the last row are those who entered, the last column those who
        are gone.

    Examples
    --------
    >>> first = pl.DataFrame({"customer_id": [1, 2, 3], "stage": [4, 4, 7]})
    >>> second = pl.DataFrame({"customer_id": [1, 2, 9], "stage": [4, 7, 0]})
    >>> moved = transitions(first, second)
    >>> [moved[4, 4], moved[4, 7], moved[7, OUTSIDE], moved[OUTSIDE, 0]]
    [np.int64(1), np.int64(1), np.int64(1), np.int64(1)]
    """
    both = before.select("customer_id", was="stage").join(
        after.select("customer_id", "stage"), on="customer_id", how="full", coalesce=True
    )
    places = [both[name].fill_null(OUTSIDE).cast(pl.Int64).to_numpy() for name in ("was", "stage")]
    size = OUTSIDE + 1
    counts = np.bincount(places[0] * size + places[1], minlength=size * size)
    return counts.reshape(size, size).astype(np.int64)


@dataclass(frozen=True)
class Dwell:
    """How long customers stay in a stage, in days.

    Attributes
    ----------
    stays, ended
        Stays whose beginning was seen, and those of them whose end was.
    mean_days, mean_low, mean_high
        Mean up to ``longest_days``, with its 90% interval; None where too few ended.
    median_days
        By when half have left; None where fewer have.
    longest_days
        The longest stay seen: what lies beyond is not known.
    """

    stage: str
    stays: int
    ended: int
    mean_days: float | None
    mean_low: float | None
    mean_high: float | None
    median_days: float | None
    longest_days: float


def dwell(stage: str, days: ArrayLike, ended: ArrayLike, counts: ArrayLike) -> Dwell:
    """Estimate how long stays last, of which some still go on.

    Parameters
    ----------
    days, ended, counts
        Lengths, whether the end was seen, and how many such stays there are.

    Examples
    --------
    >>> told = dwell("new", [7, 14, 14, 21], [True, True, False, True], [10, 10, 10, 10])
    >>> told.stays, told.ended, told.median_days, round(told.mean_days, 1)
    (40, 30, 14.0, 15.8)
    >>> dwell("new", [7], [True], [1]).mean_days is None
    True
    """
    lengths, over = np.asarray(days, np.float64), np.asarray(ended, bool)
    many = np.asarray(counts, np.int64)
    begun, ends = int(many.sum()), int(many[over].sum())
    longest = float(lengths.max()) if len(lengths) else 0.0
    if ends < FEWEST_STAYS:
        return Dwell(stage, begun, ends, None, None, None, None, longest)
    times = np.unique(lengths[over])
    at_risk = np.array([many[lengths >= time].sum() for time in times])
    left = np.array([many[over & (lengths == time)].sum() for time in times])
    survival = np.cumprod(1 - left / at_risk)
    # Area under the curve: it is 1 up to the first end, and a step after each.
    edges = np.concatenate([[0.0], times, [longest]])
    pieces = np.diff(edges) * np.concatenate([[1.0], survival])
    mean = float(pieces.sum())
    beyond = np.cumsum(pieces[::-1])[::-1][1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = beyond**2 * left / (at_risk * (at_risk - left))
    error = float(np.sqrt(np.nansum(np.where(at_risk > left, terms, 0.0))))
    half = np.flatnonzero(survival <= 0.5)
    return Dwell(
        stage,
        begun,
        ends,
        mean,
        max(mean - _Z * error, 0.0),
        min(mean + _Z * error, longest),
        float(times[half[0]]) if len(half) else None,
        longest,
    )


def stays(days: Iterable[tuple[date, pl.DataFrame]]) -> pl.DataFrame:
    """Follow customers from day to day and list their stays in a stage.

    A stay that had begun by the first day is left out: nobody saw it begin. Whoever is gone has
    been seen until the last day there.

    Parameters
    ----------
    days
        In their order, each with ``customer_id`` and ``stage``.

    Returns
    -------
    polars.DataFrame
        ``stage``, ``days``, ``ended`` and how many such stays there are, ``count``.

    Examples
    --------
    >>> def on(number, stage): return date(2024, 1, number), pl.DataFrame(
    ...     {"customer_id": [1], "stage": [stage]})
    >>> stays([on(1, 4), on(8, 7), on(15, 7), on(22, 5)]).rows()
    [(5, 0, False, 1), (7, 14, True, 1)]
    """
    found: list[pl.DataFrame] = []
    state: pl.DataFrame | None = None
    former: date | None = None
    for day, frame in days:
        now = frame.select("customer_id", pl.col("stage").cast(pl.Int64).alias("now"))
        if state is None or former is None:
            state = now.select("customer_id", stage="now", since=pl.lit(None, pl.Date))
            former = day
            continue
        both = state.join(now, on="customer_id", how="full", coalesce=True)
        was_there = pl.col("stage").is_not_null()
        over = both.filter(
            was_there & (pl.col("now").is_null() | (pl.col("stage") != pl.col("now")))
        )
        ended = pl.col("now").is_not_null()
        until = pl.when(ended).then(pl.lit(day)).otherwise(pl.lit(former))
        found.append(_counted(over.with_columns(ended=ended, until=until)))
        stayed = pl.col("stage").eq_missing(pl.col("now"))
        state = both.filter(pl.col("now").is_not_null()).select(
            "customer_id",
            stage="now",
            since=pl.when(stayed).then("since").otherwise(pl.lit(day)),
        )
        former = day
    if state is None or former is None:
        return _counted(None)
    going = state.with_columns(ended=pl.lit(False), until=pl.lit(former))
    whole = pl.concat([*found, _counted(going)])
    return (
        whole.group_by("stage", "days", "ended")
        .agg(pl.col("count").sum())
        .sort("stage", "days", "ended")
    )


def _counted(spells: pl.DataFrame | None) -> pl.DataFrame:
    if spells is None:
        schema = {"stage": pl.Int64, "days": pl.Int64, "ended": pl.Boolean, "count": pl.UInt32}
        return pl.DataFrame(schema=schema)
    return (
        spells.filter(pl.col("since").is_not_null())
        .select("stage", (pl.col("until") - pl.col("since")).dt.total_days().alias("days"), "ended")
        .group_by("stage", "days", "ended")
        .agg(pl.len().alias("count"))
    )


@dataclass(frozen=True)
class NextStages:
    """Where customers of a stage are a horizon later.

    Attributes
    ----------
    pairs
        Pairs of days that were counted.
    customers
        Different customers that were seen of each stage and third, shape (8, 3).
    cuts
        Churn probabilities that part the thirds of each stage, shape (8, 2).
    chance, low, high
        Probability of each stage, with its 90% interval, shape (8, 3, 8). A customer seen twice
        counts as one in the interval.
    """

    horizon_days: int
    pairs: int
    customers: Counts
    cuts: Float
    chance: Float
    low: Float
    high: Float

    def third(self, stage: int, churn_probability: float) -> int:
        """Which third of a stage a churn probability is in."""
        return int(np.searchsorted(self.cuts[stage], churn_probability, side="right"))


def next_stages(
    pairs: Sequence[tuple[pl.DataFrame, pl.DataFrame]], horizon_days: int
) -> NextStages | None:
    """Count where customers were a horizon later; None where no pair of days is that far apart.

    Parameters
    ----------
    pairs
        Days a horizon apart: ``customer_id``, ``stage`` and ``churn_probability`` of the first,
        ``customer_id`` and ``stage`` of the second.
    """
    if not pairs:
        return None
    size = len(STAGES)
    seen = pl.concat(
        first.select("customer_id", "stage", "churn_probability").join(
            second.select("customer_id", later="stage"), on="customer_id", how="inner"
        )
        for first, second in pairs
    )
    stage = seen["stage"].cast(pl.Int64).to_numpy()
    churn, later = seen["churn_probability"].to_numpy(), seen["later"].cast(pl.Int64).to_numpy()
    cuts = np.array([_cuts(churn[stage == place]) for place in range(size)])
    third = (churn[:, None] >= cuts[stage]).sum(axis=1)
    cell = stage * THIRDS + third
    counts = np.bincount(cell * size + later, minlength=size * THIRDS * size)
    counts = counts.reshape(size, THIRDS, size)
    different = seen.select("customer_id", cell=cell).unique()["cell"].to_numpy()
    customers = np.bincount(different, minlength=size * THIRDS).reshape(size, THIRDS)
    chance = _shrunk(counts)
    # What is known beforehand is worth as many customers as it weighs.
    worth = (customers[:, :, None] + PRIOR_THIRD).astype(np.float64)
    low, high = _wilson(chance, worth)
    return NextStages(horizon_days, len(pairs), customers, cuts, chance, low, high)


def _wilson(chance: Float, seen: Float) -> tuple[Float, Float]:
    """Interval of shares of so many customers (Wilson 1927): it holds the share, be it none."""
    z2 = _Z**2
    middle = (chance + z2 / (2 * seen)) / (1 + z2 / seen)
    half = _Z * np.sqrt(chance * (1 - chance) / seen + z2 / (4 * seen**2)) / (1 + z2 / seen)
    return np.minimum(np.maximum(middle - half, 0.0), chance), np.maximum(middle + half, chance)


def _shrunk(counts: NDArray[Any]) -> Float:
    by_stage = counts.sum(axis=1)
    everybody = by_stage.sum(axis=0) / max(by_stage.sum(), 1.0)
    of_stage = (by_stage + PRIOR_STAGE * everybody) / (
        by_stage.sum(axis=1, keepdims=True) + PRIOR_STAGE
    )
    shrunk: Float = (counts + PRIOR_THIRD * of_stage[:, None, :]) / (
        counts.sum(axis=2, keepdims=True) + PRIOR_THIRD
    )
    return shrunk


def _cuts(churn: Float) -> Float:
    if not len(churn):
        return np.full(THIRDS - 1, np.inf)
    cuts: Float = np.quantile(churn, [1 / 3, 2 / 3])
    return cuts
