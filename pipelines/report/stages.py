"""Where customers stand and how they move: by facts alone, and as the models say."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from features.days import day_number
from pipelines.report.known import PASSIVE, Known
from pipelines.report.periods import Period
from pipelines.report.points import UNKNOWN, Point, share
from pipelines.report.scored import Scored
from pipelines.report.silence import running_on
from training.stage_moves import Counts, transitions
from training.stages import STAGES

OBSERVED = ("prospect", "new", "active", "won_back", "churned")
"""Stages that orders alone tell apart; ``active`` are developing, loyal and declining together, and
whoever has a running contract."""


@dataclass(frozen=True)
class Observed:
    """How many stood where at the end of each period, by facts alone.

    Attributes
    ----------
    counts
        A row a period, a column for each of :data:`OBSERVED`.
    silent_days, activation_days
        Silence beyond the first is churn; a first order (or the first after such a silence) is new
        (won back) up to the second.
    """

    days: tuple[date, ...]
    counts: tuple[tuple[int, ...], ...]
    silent_days: int
    activation_days: int


@dataclass(frozen=True)
class StageRow:
    """One of the eight stages on the day of the report, and what its customers did.

    Attributes
    ----------
    customers, before
        On the day and on the one before that was scored; None where there is none.
    churn, expected_spend, value, at_risk, profit
        Mean churn probability; totals of expected spend, 12-month value, value at risk and profit
        to date.
    action, action_value
        The commonest action and the net value of all actions in the stage.
    bought, spent, complained, engaged
        Of who was in the stage when the newest whole period began, if that day was scored: the
        share who bought in it, net sales each, and the shares who complained and who did something
        of their own accord.
    """

    stage: str
    customers: int
    before: int | None
    churn: float
    expected_spend: float
    value: float
    at_risk: float
    profit: float
    action: str
    action_value: float
    bought: Point
    spent: float | None
    complained: Point
    engaged: Point


@dataclass(frozen=True)
class Flow:
    """Who moved where between scored days.

    Attributes
    ----------
    counts
        A row a day: customers of each of :data:`training.stages.STAGES`.
    moves
        For each pair of days that follow each other, a 9 x 9 matrix
        (:func:`training.stage_moves.transitions`).
    hindsight
        Which days were scored by a model that had learned from what came after.
    """

    days: tuple[date, ...]
    counts: tuple[tuple[int, ...], ...]
    moves: tuple[Counts, ...]
    hindsight: tuple[bool, ...]

    def conversion(self, place: int, start: int, end: int) -> Point:
        """Share of a stage's customers who were in another at the end of a step."""
        moved = self.moves[place]
        return share(int(moved[start, end]), int(moved[start].sum()))


def observed(
    known: Known, periods: Sequence[Period], silent_days: int, activation_days: int
) -> Observed:
    """Put everybody known at each period's end where the facts put them."""
    return Observed(
        tuple(period.last for period in periods),
        tuple(_counted(known, period.last, silent_days, activation_days) for period in periods),
        silent_days,
        activation_days,
    )


def _counted(known: Known, day: date, silent_days: int, activation_days: int) -> tuple[int, ...]:
    end = day_number(day)
    buyers = (
        known.purchase_days.filter(pl.col("event_day") <= end)
        .group_by("customer_id")
        .agg(
            first=pl.col("event_day").min(),
            last=pl.col("event_day").max(),
            gap=(pl.col("event_day") - pl.col("former_day")).sort_by("event_day").last(),
        )
    )
    running = running_on(known, end)
    under = pl.lit(value=False)
    if running is not None:
        marked = running.with_columns(under=pl.lit(value=True))
        buyers = buyers.join(marked, on="customer_id", how="left")
        under = pl.col("under").fill_null(value=False)
    recency, tenure = end - pl.col("last"), end - pl.col("first")
    silent = (recency > silent_days) & ~under
    back = (pl.col("gap") > silent_days).fill_null(value=False) & (recency <= activation_days)
    counts = buyers.select(
        churned=silent.sum(),
        won_back=(~silent & back).sum(),
        new=(~silent & ~back & (tenure <= activation_days)).sum(),
        active=(~silent & ~back & (tenure > activation_days)).sum(),
    ).row(0, named=True)
    people = known.people
    prospects = people.filter(
        pl.col("known_since") <= end,
        pl.col("first_day").is_null() | (pl.col("first_day") > end),
    ).height
    return tuple(int(counts.get(name, prospects)) for name in OBSERVED)


def flow(days: Sequence[Scored]) -> Flow | None:
    """Count who moved where from one scored day to the next; None where there is only one."""
    if len(days) < 2:
        return None
    size = len(STAGES)
    frames = [one.rows.select("customer_id", "stage") for one in days]
    return Flow(
        tuple(one.day for one in days),
        tuple(
            tuple(int(n) for n in np.bincount(frame["stage"].to_numpy(), minlength=size))
            for frame in frames
        ),
        tuple(transitions(before, after) for before, after in itertools.pairwise(frames)),
        tuple(one.hindsight for one in days),
    )


def stage_rows(
    known: Known, today: Scored, former: Scored | None, began: Scored | None, newest: Period
) -> tuple[StageRow, ...]:
    """Sum up every stage that has customers.

    Parameters
    ----------
    former
        The scored day before.
    began
        Scores of the eve of the newest whole period.
    """
    sums = (
        today.rows.group_by("stage")
        .agg(
            pl.len().alias("n"),
            pl.mean("churn_probability"),
            pl.sum("expected_spend", "clv_12m", "value_at_risk", "profit_to_date", "action_value"),
        )
        .sort("stage")
    )
    actions = {
        stage: action
        for stage, action, _ in today.rows.group_by("stage", "action")
        .len("n")
        .sort(["n", "action"], descending=[False, True])
        .rows()
    }
    before = None if former is None else dict(former.rows.group_by("stage").len("n").rows())
    did = {} if began is None else _did(known, began, newest)
    nothing = (UNKNOWN, None, UNKNOWN, UNKNOWN)
    return tuple(
        StageRow(
            STAGES[row["stage"]],
            row["n"],
            None if before is None else int(before.get(row["stage"], 0)),
            row["churn_probability"],
            row["expected_spend"],
            row["clv_12m"],
            row["value_at_risk"],
            row["profit_to_date"],
            actions[row["stage"]],
            row["action_value"],
            *did.get(row["stage"], nothing),
        )
        for row in sums.iter_rows(named=True)
    )


def _did(
    known: Known, began: Scored, newest: Period
) -> dict[int, tuple[Point, float | None, Point, Point]]:
    inside = pl.col("event_day").is_between(day_number(newest.first), day_number(newest.last))
    spent = (
        known.orders.filter(inside)
        .group_by("customer_id")
        .agg(pl.col("net").sum(), bought=pl.col("purchase").any())
    )
    marked = began.rows.select("customer_id", "stage").join(spent, on="customer_id", how="left")
    have = {"complained": False, "engaged": False}
    if known.interactions is not None:
        there = known.interactions.filter(inside)
        for name, which in (
            ("complained", pl.col("kind") == "complaint"),
            ("engaged", ~pl.col("kind").is_in(list(PASSIVE))),
        ):
            have[name] = True
            own = there.filter(which).select("customer_id").unique().collect()
            own = own.with_columns(pl.lit(value=True).alias(name))
            marked = marked.join(own, on="customer_id", how="left")
    sums = marked.group_by("stage").agg(
        pl.len().alias("n"),
        pl.col("net").sum(),
        pl.col("bought").sum(),
        *(pl.col(name).sum() for name, there in have.items() if there),
    )
    return {
        row["stage"]: (
            share(row["bought"], row["n"]),
            row["net"] / row["n"],
            share(row["complained"], row["n"]) if have["complained"] else UNKNOWN,
            share(row["engaged"], row["n"]) if have["engaged"] else UNKNOWN,
        )
        for row in sums.iter_rows(named=True)
    }
