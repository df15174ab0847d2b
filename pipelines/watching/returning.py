"""Whether customers come back as customers like them did: churn as it can be known at once.

Customers of a past day stand in cells by how recently and how often they had bought. How many of a
cell bought in the weeks after it is foretold by how many of the same cell did on the days before
(indirect standardisation, as of death rates), and the sum is set beside what is seen. That asks no
model, rests on the company's own weeks, and speaks long before a horizon has ended: of the newest
week and of the newest four. What moves everybody at once, a season or a campaign, widens its band;
slow losses that such a band hides are found by :mod:`pipelines.watching.leaving`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.watching.charts import (
    RANGE,
    from_scale,
    judge,
    overlap_of,
    reach_of,
    seasoned,
)
from pipelines.watching.checks import CORE, Check
from pipelines.watching.standing import Bought, Int, Standing, counted, ends_of

Float = NDArray[np.float64]

_RECENCY = (7, 14, 28, 56, 112, 224, 448)
_TIMES = (2, 3, 5, 9)
CELLS = (len(_RECENCY) + 1) * (len(_TIMES) + 1)
REFERENCE_WEEKS = 26
"""Rates of a cell are those of so many weeks before."""
MATTERS = 0.05
GUARD_WEEKS = 8
RECENT_WEEKS = 13
"""Of so many weeks before: rates of cells follow slowly, so that a winter's errors are a summer's
no longer."""
BELIEVED = (1.3, 12.0)
"""Spread of errors that is believed before any was seen, chance alone being 1, and its worth."""


@dataclass(frozen=True)
class Window:
    """So many of the newest weeks, and how they are called."""

    name: str
    length: int
    words: str


WINDOWS = (
    Window("week", 1, "in the newest week"),
    Window("month", 4, "in the newest four weeks"),
)


def returning_checks(
    bought: Bought, as_of: int, most_weeks: int, month: Float | None = None
) -> list[Check]:
    """Check how many came back, in every window whose past is long enough.

    Parameters
    ----------
    bought
        What was known by ``as_of``.
    month
        By how much the days of the month raise each week, the newest last; see
        :func:`pipelines.watching.month.month_factors`.
    """
    courses = (_course(bought, window, as_of, most_weeks, month) for window in WINDOWS)
    found = (_returning(course) for course in courses if course is not None)
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
    bought: Bought, window: Window, as_of: int, most_weeks: int, month: Float | None
) -> _Course | None:
    ends = ends_of(bought, as_of, most_weeks, window.length)
    if len(ends) <= REFERENCE_WEEKS // 2 + window.length:
        return None
    people, seen = counted(bought, ends, _cell, CELLS, window.length)
    raised = _raised(month, window.length, len(ends))
    expected = _expected(people, seen / raised[:, None], window.length)
    return _Course(window, float(people[-1].sum()), seen.sum(axis=1), expected, raised)


def _returning(course: _Course) -> Check | None:
    """Set who came back beside what their cells did before."""
    window, usual = course.window, course.seen / course.raised
    errors = 2 * (np.sqrt(usual + 3 / 8) - np.sqrt(course.expected + 3 / 8))
    past, newest, _ = seasoned(errors, window.length - 1 + GUARD_WEEKS, RECENT_WEEKS)
    judged = judge(past, newest, 1.0, BELIEVED, overlap_of(window.length))
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


def _raised(month: Float | None, length: int, number: int) -> Float:
    """By how much the days of the month raise each window."""
    raised = np.ones(number)
    if month is not None:
        means = np.convolve(month, np.ones(length) / length, "valid")[-number:]
        raised[number - len(means) :] = means
    return raised


def _cell(standing: Standing) -> Int:
    cell: Int = np.searchsorted(_RECENCY, standing.day - standing.last) * (len(_TIMES) + 1)
    return cell + np.searchsorted(_TIMES, standing.times, side="right")


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
