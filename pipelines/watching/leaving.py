"""Whether customers leave faster: what one by one cannot be seen, in who of a week's buyers is old.

Nobody says that they leave; they fall silent. Where more leave, fewer of those who have been silent
for long come back, *measured by how many come back who bought just now*. Both live through the
same weeks, so that a season, a promotion or a strike moves both, and what is left between them is
leaving. For each week the buyers are taken as given and it is asked which of the customers they
are: Cox's partial likelihood (1972, "Regression models and life-tables") with the week as stratum,
how often those of a cell of silence and usual rate bought in the year before as baseline, and the
length of the silence as the covariate whose slope is tested by its score.

Silence is counted in usual weeks: a week in which customers buy twice as much as they do in the
mean counts twice. Six silent weeks over Christmas say more than six in August, and without this
every January would look as if customers had left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipelines.watching.charts import judge, overlap_of, reach_of, seasoned
from pipelines.watching.checks import CORE, Check
from pipelines.watching.standing import Bought, Int, Standing, counted, ends_of
from pipelines.watching.weeks import WEEK

Float = NDArray[np.float64]

_SILENCE = np.array([1, 2, 3, 4, 6, 8, 11, 15, 20, 26, 35, 52])
_MIDDLE = np.array([0.5, 1.5, 2.5, 3.5, 5, 7, 9.5, 13, 17.5, 23, 30, 43, 70])
_RATE = 1 / np.array([52.0, 26, 13, 8, 5, 3])
"""Borders of the cells, and the middle of each silence, in usual weeks; purchases a usual week."""
_RATES = len(_RATE) + 1
CELLS = len(_MIDDLE) * _RATES
_PRIOR_WEEKS, _PRIOR_TIMES = 8.0, 0.5
"""What is believed of a customer's rate before anything was bought again."""
_PRIOR_CUSTOMERS = 30.0
"""A cell's rate is believed to be that of its silence by so many customers."""

REFERENCE_WEEKS, LEAST_REFERENCE = 52, 40
PACE_FROM = 13
"""The week from which on there is enough before to say how fast one goes."""
GUARD_WEEKS = 26
"""A slow loss has begun long before it is told: so many weeks say nothing of what is usual."""
BELIEVED = (1.1, 25.0)
"""Spread of scores that is believed before any was seen, chance alone being 1, and its worth."""
QUARTER = 13.0
MATTERS = 0.05
"""So many fewer of those who were silent for a quarter, against who has just bought."""
SILENT = 4.0
"""Whose return is told in numbers: silent for so many usual weeks."""


@dataclass(frozen=True)
class Window:
    """So many of the newest weeks, whose silence counts up to some weeks, and their words."""

    name: str
    length: int
    most: float
    words: str


WINDOWS = (
    Window("month", 4, 13.0, "in the newest four weeks"),
    Window("quarter", 13, 26.0, "in the newest 13 weeks"),
)


@dataclass(frozen=True)
class Cells:
    """Customers of each week by silence and usual rate, the newest week last, and who came."""

    people: Float
    came: Float


@dataclass(frozen=True)
class Score:
    """What the weeks of a window say of leaving.

    Attributes
    ----------
    z
        The score over its spread, if nothing had changed; below 0 where customers leave faster.
    slope
        Change of the logarithm of coming back, by week of silence.
    silent, expected, spread
        Buyers who had been silent, how many were to be expected, and the spread of that.
    """

    z: float
    slope: float
    silent: float
    expected: float
    spread: float


def leaving_checks(bought: Bought, as_of: int, most_weeks: int) -> list[Check]:
    """Check whether customers leave faster, where there is a year to compare with.

    Parameters
    ----------
    bought
        What was known by ``as_of``.
    """
    ends = ends_of(bought, as_of, most_weeks)
    if len(ends) < LEAST_REFERENCE + min(window.length for window in WINDOWS):
        return []
    cells = cells_of(bought, ends)
    found = (_check(cells, window) for window in WINDOWS)
    return [check for check in found if check is not None]


def cells_of(bought: Bought, ends: Int) -> Cells:
    """Count customers by cell in each week, in usual weeks of the company."""
    calendar = _Clock(ends, np.ones(len(ends)))
    clock = _Clock(ends, _pace(_by_clock(bought, ends, calendar)))
    return _by_clock(bought, ends, clock)


def score_of(cells: Cells, week: int, length: int, most: float) -> Score | None:
    """Score the weeks that end with one by those of the year before; None where it is too short."""
    begins = week - length + 1
    since = max(begins - REFERENCE_WEEKS, 0)
    if begins - since < LEAST_REFERENCE:
        return None
    rates = _rates(Cells(cells.people[since:begins], cells.came[since:begins]))
    people, came = cells.people[begins : week + 1], cells.came[begins : week + 1]
    chance = people * rates
    chance /= np.maximum(chance.sum(axis=1, keepdims=True), 1e-12)
    buyers = came.sum(axis=1)
    silence = np.repeat(np.minimum(_MIDDLE, most), _RATES)
    score, variance = _moments(came, chance, buyers, silence)
    # The year before is a sample too.
    variance *= 1 + length / (begins - since)
    silent = np.repeat((_MIDDLE > SILENT).astype(np.float64), _RATES)
    gap, spread = _moments(came, chance, buyers, silent)
    seen = float((came @ silent).sum())
    return Score(
        score / math.sqrt(max(variance, 1e-12)),
        score / max(variance, 1e-12),
        seen,
        seen - gap,
        math.sqrt(spread),
    )


def _moments(came: Float, chance: Float, buyers: Float, of: Float) -> tuple[float, float]:
    """How far the buyers' sum of something is above what was to be expected, and its variance."""
    mean = chance @ of
    variance = buyers * np.maximum(chance @ of**2 - mean**2, 0)
    return float((came @ of - buyers * mean).sum()), float(variance.sum())


def _check(cells: Cells, window: Window) -> Check | None:
    weeks = len(cells.people)
    scores = [score_of(cells, week, window.length, window.most) for week in range(weeks)]
    score = scores[-1]
    if score is None:
        return None
    course = np.array([math.nan if one is None else one.z for one in scores])
    past, newest, shift = seasoned(course, window.length - 1 + GUARD_WEEKS)
    judged = judge(past, newest, 1.0, BELIEVED, overlap_of(window.length))
    if judged is None:
        return None
    chance, centre, scale, freedom = judged
    faster = newest < centre
    # What is usual of the score, brought to how many came.
    expected = score.expected + (shift + centre) * score.spread
    reach = reach_of(scale, freedom) * score.spread
    kept = math.exp(QUARTER * score.slope)
    return Check(
        key=f"outcomes/leaving/{window.name}",
        group="outcomes",
        value=score.silent,
        expected=expected,
        # That they stay longer is never told, so that half of the chance is none.
        chance=chance / 2 if faster else 1.0,
        matters=bool(faster and kept <= 1 - MATTERS),
        may_alarm=True,
        sentence=(
            f"Customers silent for a quarter came back {abs(1 - kept):.0%} "
            f"{'less' if kept < 1 else 'more'} often {window.words} than in the year before, "
            f"beside those who had just bought; less is how leaving shows. Of the buyers "
            f"{score.silent:,.0f} had been silent for a month or more, {expected:,.0f} were to be "
            "expected."
        ),
        lower=max(expected - reach, 0.0),
        upper=expected + reach,
        figures={
            "score": score.z,
            "silent_for_a_quarter": kept,
            "customers": float(cells.people[-1].sum()),
            "weeks": len(past),
        },
        weight=CORE,
    )


class _Clock:
    """Counts time in usual weeks, of weeks that end on some days and go faster or slower."""

    def __init__(self, ends: Int, pace: Float) -> None:
        self._days = np.concatenate([[ends[0] - WEEK], ends]).astype(np.float64)
        self._time = np.concatenate([[0.0], np.cumsum(pace)])

    def __call__(self, day: Int) -> Float:
        """The time of the end of days; before the first week each is as long as usual."""
        before = np.minimum(day - self._days[0], 0) / WEEK
        found: Float = np.interp(day, self._days, self._time) + before
        return found


def _by_clock(bought: Bought, ends: Int, clock: _Clock) -> Cells:
    return Cells(*counted(bought, ends, partial(_cell, clock=clock), CELLS))


def _cell(standing: Standing, clock: _Clock) -> Int:
    first, last = clock(standing.first), clock(standing.last)
    silence = clock(np.array([standing.day])) - last
    rate = (standing.times - 1 + _PRIOR_TIMES) / (last - first + _PRIOR_WEEKS)
    cell: Int = np.searchsorted(_SILENCE, silence) * _RATES + np.searchsorted(_RATE, rate)
    return cell


def _pace(cells: Cells) -> Float:
    """How many times as much customers bought in each week as in a usual one."""
    pace = np.ones(len(cells.people))
    for week in range(PACE_FROM, len(pace)):
        year = slice(max(week - REFERENCE_WEEKS, 0), week)
        lived = (cells.people[year] * pace[year, None]).sum(axis=0)
        rates = cells.came[year].sum(axis=0) / np.maximum(lived, 1e-9)
        pace[week] = cells.came[week].sum() / max(float(cells.people[week] @ rates), 1e-9)
    return np.clip(pace, 0.1, 10.0)


def _rates(cells: Cells) -> Float:
    """How often a customer of each cell bought in a usual week."""
    pace = np.ones(len(cells.people))
    for _ in range(4):
        lived = (cells.people * pace[:, None]).sum(axis=0)
        came = cells.came.sum(axis=0)
        by_silence = came.reshape(-1, _RATES).sum(axis=1), lived.reshape(-1, _RATES).sum(axis=1)
        usual = np.repeat(by_silence[0] / np.maximum(by_silence[1], 1e-9), _RATES)
        rates: Float = (came + _PRIOR_CUSTOMERS * usual) / (lived + _PRIOR_CUSTOMERS)
        pace = cells.came.sum(axis=1) / np.maximum(cells.people @ rates, 1e-9)
        pace /= max(float(pace.mean()), 1e-9)
    return rates
