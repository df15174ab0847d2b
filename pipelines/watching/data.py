"""Whether the data are what they were: volumes, labels, columns, amounts, days, delays."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.days import day_of
from pipelines.watching.charts import FEWEST, RANGE, Kind, Reading, Series, read
from pipelines.watching.checks import CORE, Check
from pipelines.watching.month import month_factors
from pipelines.watching.weeks import WEEK, Weeks

FEWEST_ROWS = 5.0
"""A label of fewer rows in a usual week is not looked at."""
USUAL = 0.9
"""Share of weeks in which a table has rows, from which on it is looked at weekly."""
_DAY_HISTORY = 26
_CORE = ("rows", "orders", "amount")
_STALE = 1e-12


@dataclass(frozen=True)
class _Look:
    """A series and how it is told.

    Attributes
    ----------
    matters
        For counts and means, the ratio's distance from 1; for shares, the distance of shares.
    """

    name: str
    words: str
    series: Series
    matters: float


def data_checks(weeks: Weeks, as_of: int) -> tuple[list[Check], list[str]]:
    """Check the newest week of a table.

    Gives checks, and sentences on what could not be looked at.
    """
    table = weeks.table
    regular = weeks.rows[:-1] > 0
    if len(regular) < FEWEST or regular[-2 * _DAY_HISTORY :].mean() < USUAL:
        return [], [
            f"{table}: {int(regular.sum())} earlier weeks have rows, of {len(regular)}; a table is "
            f"looked at weekly where at least {FEWEST} weeks, and {USUAL:.0%} of them, do"
        ]
    found = [
        check
        for look in _looks(weeks, as_of)
        if (reading := read(look.series)) is not None
        for check in [_check(table, look, reading)]
    ]
    days = _days(weeks, as_of)
    return [*found, *([days] if days is not None else [])], []


def _looks(weeks: Weeks, as_of: int) -> Iterator[_Look]:
    table, rows = weeks.table, weeks.rows
    unit = "lines" if table == "orders" else "rows"
    month = month_factors(weeks.days, as_of)
    yield _Look("rows", f"{unit} of {table}", Series("count", rows, month), 0.2)
    if (orders := weeks.counts.get("orders")) is not None:
        yield _Look("orders", "orders", Series("count", orders, month), 0.2)
        with np.errstate(invalid="ignore", divide="ignore"):
            per_order = np.where(orders > 0, np.log(np.maximum(rows, 1) / orders), 0)
        yield _Look("lines_per_order", "lines an order", Series("mean", per_order, orders), 0.15)
    for name, words in (
        ("zero", "lines of amount zero"),
        ("returns", "lines that are returns"),
        ("repeats", "lines that repeat another"),
    ):
        if name in weeks.counts:
            yield _Look(name, words, Series("share", weeks.counts[name], rows), 0.05)
    if weeks.money is not None:
        logs, many, spread = weeks.money
        words = (
            "what an order is worth, as a multiple of what its customer paid before"
            if table == "orders"
            else "the fee of a term"
        )
        yield _Look("amount", words, Series("mean", logs, many, spread), 0.1)
    for label, counts in weeks.labels.items():
        if np.median(counts[-_DAY_HISTORY:-1]) >= FEWEST_ROWS or counts[-1] >= 4 * FEWEST_ROWS:
            words = f"{unit} of {table} of {weeks.label} {label}"
            yield _Look(f"{weeks.label}/{label}", words, Series("count", counts, month), 0.5)
    for column, empty in weeks.empty.items():
        if empty.sum() < rows.sum():
            words = f"{unit} of {table} without {column.removesuffix('_e4')}"
            yield _Look(f"empty/{column}", words, Series("share", empty, rows), 0.1)
    if weeks.late.any():
        words = f"{unit} of {table} that arrived late"
        yield _Look("late", words, Series("share", weeks.late, weeks.arrived), 0.1)


def _check(table: str, look: _Look, reading: Reading) -> Check:
    kind = look.series.kind
    value, expected, lower, upper = (
        _unit(kind, one) for one in (reading.value, reading.expected, reading.lower, reading.upper)
    )
    far = abs(value - expected) >= look.matters if kind == "share" else (
        abs(math.log(max(value, 0.5) / max(expected, 0.5)) if kind == "count"
            else math.log(value / expected)) >= math.log1p(look.matters)
    )  # fmt: skip
    return Check(
        key=f"data/{table}/{look.name}",
        group="data",
        value=value,
        expected=expected,
        chance=reading.chance,
        matters=bool(far),
        may_alarm=True,
        sentence=_sentence(kind, look.words, value, expected, lower, upper),
        lower=lower,
        upper=upper,
        figures={"weeks": reading.weeks},
        weight=CORE if look.name in _CORE else 1.0,
    )


def _unit(kind: Kind, value: float) -> float:
    return math.exp(value) if kind == "mean" else value


def _sentence(
    kind: Kind, words: str, value: float, expected: float, lower: float, upper: float
) -> str:
    spell = {"count": "{:,.0f}", "share": "{:.1%}", "mean": "{:,.2f}"}[kind].format
    start = words[0].upper() + words[1:]
    return (
        f"{start}: {spell(value)} in the newest week, {spell(expected)} expected "
        f"({RANGE:.0%} of such weeks: {spell(lower)} to {spell(upper)})."
    )


def _days(weeks: Weeks, as_of: int) -> Check | None:
    """Find days of the newest week without a row, and say how likely that many rows were none.

    Rows of a day scatter more than Poisson's: a weekday's are taken for negative binomial, its mean
    and spread those of the same weekday in the half year before.
    """
    by_week = weeks.days.reshape(-1, WEEK)
    past, newest = by_week[-_DAY_HISTORY - 1 : -1], by_week[-1]
    mean = past.mean(axis=0)
    excess = np.maximum(past.var(axis=0, ddof=1) - mean, 0.01 * mean**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.where(mean > 0, mean**2 / excess, 1.0)
        nothing = np.where(mean > 0, (1 + mean / size) ** -size, 1.0)
    # A weekday that was often without rows is no surprise, whatever its mean.
    nothing = np.maximum(nothing, ((past == 0).sum(axis=0)) / len(past))
    gone = np.flatnonzero(newest == 0)
    chance = float(np.prod(nothing[gone])) * WEEK if len(gone) else 1.0
    named = ", ".join(day_of(as_of - WEEK + 1 + int(place)).isoformat() for place in gone)
    usual = float(mean[gone].mean()) if len(gone) else float(mean.mean())
    figures: dict[str, Any] = {"days": named.split(", ") if named else []}
    return Check(
        key=f"data/{weeks.table}/days",
        group="data",
        value=float(len(gone)),
        expected=float(nothing.sum()),
        chance=min(max(chance, _STALE), 1.0),
        matters=bool(len(gone)),
        may_alarm=True,
        sentence=(
            f"No row of {weeks.table} on {named}, where {usual:,.0f} a day are usual."
            if named
            else f"Every day of the newest week has rows of {weeks.table}."
        ),
        figures=figures,
        weight=CORE,
    )
