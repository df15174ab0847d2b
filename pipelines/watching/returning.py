"""Whether customers come back as customers like them did: churn as it can be known at once.

Customers of a past day stand in cells by how recently and how often they had bought. How many of a
cell bought in a later window is foretold by how many of the same cell did on the days before
(indirect standardisation, as of death rates), and the sum is set beside what is seen. That asks no
model, rests on the company's own weeks, and speaks long before a horizon has ended: of the newest
week and of the newest four. Slower losses add up in those who were customers a quarter ago, so
these are set beside customers of a month ago in the same weeks as well. Half a year ago was tried,
and left out: in a growing company what is usual of those drifts by more than such losses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import narwhals as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.definitions.orders import purchases
from pipelines.watching.charts import RANGE, from_scale, judge, reach_of, seasoned
from pipelines.watching.checks import CORE, Check
from pipelines.watching.weeks import WEEK

Float = NDArray[np.float64]
Int = NDArray[np.int64]

_RECENCY = (7, 14, 28, 56, 112, 224, 448)
_TIMES = (2, 3, 5, 9)
CELLS = (len(_RECENCY) + 1) * (len(_TIMES) + 1)
REFERENCE_WEEKS = 26
"""Rates of a cell are those of so many weeks before."""
RETURNING = ("week", "month", "quarter")
LEAVING = ("quarter",)
"""Windows whose customers are set beside those of a month ago."""
MATTERS = 0.05
GUARD_WEEKS = 8
BELIEVED = (1.3, 12.0)
"""Spread of errors that is believed before any was seen, chance alone being 1, and its worth."""
WARM_UP_WEEKS = 8


@dataclass(frozen=True)
class Window:
    """Who is looked at, and when: customers of ``gap + length`` weeks ago, in the last ``length``.

    Attributes
    ----------
    gap
        Weeks between the day on which they were customers and the window.
    """

    name: str
    gap: int
    length: int
    words: str


WINDOWS = (
    Window("week", 0, 1, "in the newest week"),
    Window("month", 0, 4, "in the newest four weeks"),
    Window("quarter", 9, 4, "in the newest four weeks, of the customers of a quarter ago"),
)


@dataclass(frozen=True)
class _Bought:
    """A row for each customer and day with a purchase, by customer and day."""

    who: Int
    day: Int
    known: Int

    @classmethod
    def read(cls, orders: Path, as_of: int) -> _Bought:
        lines = pl.scan_parquet(orders).filter(
            pl.col("event_day") <= as_of, pl.col("known_day") <= as_of
        )
        order = ("customer_id", "order_key", "event_day")
        rows = (
            purchases(nw.from_native(lines))
            .to_native()
            .join(lines.group_by(order).agg(pl.col("known_day").min()), on=order)
            .group_by("customer_id", "event_day")
            .agg(pl.col("known_day").min())
            .sort("customer_id", "event_day")
            .with_columns(who=pl.col("customer_id").rle_id())
            .collect()
        )
        return cls(
            rows["who"].to_numpy().astype(np.int64),
            rows["event_day"].to_numpy().astype(np.int64),
            rows["known_day"].to_numpy().astype(np.int64),
        )


def returning_checks(
    orders: Path, as_of: int, most_weeks: int, month: Float | None = None
) -> list[Check]:
    """Check how many came back, in every window whose past is long enough.

    Parameters
    ----------
    month
        By how much the days of the month raise each week, the newest last; see
        :func:`pipelines.watching.month.month_factors`.
    """
    bought = _Bought.read(orders, as_of)
    if not len(bought.day):
        return []
    weeks = min((as_of - int(bought.day.min())) // WEEK - WARM_UP_WEEKS, most_weeks)
    courses = {
        window.name: course
        for window in WINDOWS
        if (course := _course(bought, window, as_of, weeks, month)) is not None
    }
    found = [_returning(courses[name]) for name in RETURNING if name in courses]
    if "month" in courses:
        found += [_leaving(courses[n], courses["month"]) for n in LEAVING if n in courses]
    return [check for check in found if check is not None]


@dataclass(frozen=True)
class _Course:
    """A window at the end of each week, the newest last.

    Attributes
    ----------
    customers
        Who is looked at in the newest.
    seen
        Customers who came back.
    expected
        The same by the rates of their cells; NaN where too few weeks lie before.
    raised
        By how much the days of the month raise the window.
    """

    window: Window
    customers: float
    seen: Float
    expected: Float
    raised: Float


def _course(
    bought: _Bought, window: Window, as_of: int, weeks: int, month: Float | None
) -> _Course | None:
    span = window.gap + window.length
    number = weeks - span
    if number < REFERENCE_WEEKS // 2 + window.length:
        return None
    ends = as_of - WEEK * np.arange(number, -1, -1)
    counted = [_counted(bought, int(end), window) for end in ends]
    people = np.stack([of for of, _ in counted])
    seen = np.stack([came for _, came in counted])
    raised = _raised(month, window.length, len(ends))
    expected = _expected(people, seen / raised[:, None], span)
    return _Course(window, float(people[-1].sum()), seen.sum(axis=1), expected, raised)


def _returning(course: _Course) -> Check | None:
    """Set who came back beside what their cells did before."""
    window, usual = course.window, course.seen / course.raised
    errors = 2 * (np.sqrt(usual + 3 / 8) - np.sqrt(course.expected + 3 / 8))
    past, newest, _ = seasoned(errors, window.length - 1 + GUARD_WEEKS)
    judged = judge(past, newest, 1.0, BELIEVED, _overlap(window.length))
    if judged is None:
        return None
    chance, centre, scale, freedom = judged
    # Errors are of roots: what was expected follows from what was seen.
    root = 2 * math.sqrt(usual[-1] + 3 / 8) - newest + centre
    reach = reach_of(scale, freedom)
    expected, lower, upper = (
        from_scale("count", one, float(course.raised[-1]))
        for one in (root, root - reach, root + reach)
    )
    words = (
        f"Customers who came back {window.words}: {course.seen[-1]:,.0f}, where {expected:,.0f} "
        "were to be expected of customers who had bought as recently and as often"
    )
    key = f"outcomes/returning/{window.name}"
    return _check(key, words, course, (expected, lower, upper), chance, len(past))


def _leaving(course: _Course, recent: _Course) -> Check | None:
    """Set those of long ago beside those of a month ago in the same weeks.

    Whatever moves everybody, a season or a campaign, moves both; who has left since is missing from
    the first alone.
    """
    number = min(len(course.seen), len(recent.seen))
    errors = _logs(course)[-number:] - _logs(recent)[-number:]
    past, newest, _ = seasoned(errors, course.window.length - 1 + GUARD_WEEKS)
    value = float(course.seen[-1])
    noise = math.sqrt(1 / max(value, 1.0) + 1 / max(float(recent.seen[-1]), 1.0))
    believed = (noise, BELIEVED[1])
    # Most of those of long ago are among those of a month ago: their chance is the same.
    judged = judge(past, newest, noise / 2, believed, _overlap(course.window.length))
    if judged is None:
        return None
    chance, centre, scale, freedom = judged
    expected, reach = value * math.exp(centre - newest), reach_of(scale, freedom)
    lower, upper = expected * math.exp(-reach), expected * math.exp(reach)
    words = (
        f"Customers who came back {course.window.words}: {value:,.0f}, where {expected:,.0f} were "
        "to be expected by what customers of a month ago did"
    )
    key = f"outcomes/leaving/{course.window.name}"
    return _check(key, words, course, (expected, lower, upper), chance, len(past))


def _logs(course: _Course) -> Float:
    found: Float = np.log((course.seen / course.raised + 0.5) / (course.expected + 0.5))
    return found


def _check(
    key: str,
    words: str,
    course: _Course,
    expected: tuple[float, float, float],
    chance: float,
    weeks: int,
) -> Check:
    middle, lower, upper = expected
    value = float(course.seen[-1])
    ratio = value / max(middle, 0.5)
    return Check(
        key=key,
        group="outcomes",
        value=value,
        expected=middle,
        chance=chance,
        matters=bool(abs(ratio - 1) >= MATTERS),
        may_alarm=True,
        sentence=f"{words} ({RANGE:.0%} of such weeks: {lower:,.0f} to {upper:,.0f}).",
        lower=lower,
        upper=upper,
        figures={"ratio": ratio, "customers": course.customers, "weeks": weeks},
        weight=CORE,
    )


def _overlap(length: int) -> float:
    """How many errors of windows of some weeks, one a week, tell as much as one.

    Their correlations fall linearly, and the variance of a variance goes with the sum of squares.

    >>> _overlap(1), _overlap(4)
    (1.0, 2.75)
    """
    return 1.0 + 2 * sum((1 - lag / length) ** 2 for lag in range(1, length))


def _raised(month: Float | None, length: int, number: int) -> Float:
    """By how much the days of the month raise each window."""
    raised = np.ones(number)
    if month is not None:
        means = np.convolve(month, np.ones(length) / length, "valid")[-number:]
        raised[number - len(means) :] = means
    return raised


def _counted(bought: _Bought, end: int, window: Window) -> tuple[Float, Float]:
    """Customers by cell, and those of them who bought in the window, as known at its end."""
    start = end - WEEK * window.length
    day = start - WEEK * window.gap
    before = (bought.day <= day) & (bought.known <= day)
    who, last = bought.who[before], bought.day[before]
    newest = (
        np.append(np.flatnonzero(np.diff(who)), len(who) - 1) if len(who) else np.array([], int)
    )
    times = np.diff(newest, prepend=-1)
    cell = np.searchsorted(_RECENCY, day - last[newest]) * (len(_TIMES) + 1)
    cell += np.searchsorted(_TIMES, times, side="right")
    inside = (bought.day > start) & (bought.day <= end) & (bought.known <= end)
    came = np.isin(who[newest], bought.who[inside])
    return (
        np.bincount(cell, minlength=CELLS).astype(np.float64),
        np.bincount(cell[came], minlength=CELLS).astype(np.float64),
    )


def _expected(people: Float, seen: Float, span: int) -> Float:
    """How many were to come back by the rates of their cells in the weeks before."""
    expected = np.full(len(people), np.nan)
    for week in range(len(people)):
        # Windows that had ended when this one's customers were looked at.
        until = week - span + 1
        since = max(until - REFERENCE_WEEKS, 0)
        if until - since >= REFERENCE_WEEKS // 2:
            rates = seen[since:until].sum(axis=0) / np.maximum(people[since:until].sum(axis=0), 1)
            expected[week] = float(people[week] @ rates)
    return expected
