"""What the day of the month does to a company: pay days, promotions on the first, rents.

Weeks cut through months, so that one holds a promotion and the next does not; without this the
noise of a week would be that of the calendar.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.days import day_of
from pipelines.watching.weeks import WEEK

Float = NDArray[np.float64]

SHRINK = 3.0
"""A day of the month is believed to be as any other by so many usual days."""


def month_factors(days: Float, as_of: int) -> Float:
    """By how much each week's days of the month raise it above a usual week.

    Parameters
    ----------
    days
        Rows on each day of whole weeks up to ``as_of``, the oldest first.

    Returns
    -------
    numpy.ndarray
        A factor for each week, about 1. The newest week has no say in what is usual.

    >>> flat = month_factors(np.full(70, 5.0), 20_000)
    >>> flat.round(6).tolist() == [1.0] * 10
    True
    """
    weeks = days.reshape(-1, WEEK)
    usual = np.repeat(np.maximum(_smooth(weeks.mean(axis=1)), 1e-9), WEEK)
    weekday = weeks[:-1].sum(axis=0) / max(float(weeks[:-1].sum()) / WEEK, 1e-9)
    expected = usual * np.tile(weekday, len(weeks))
    number = np.arange(as_of - len(days) + 1, as_of + 1)
    of_month = np.array([day_of(int(day)).day for day in number])
    past = slice(0, len(days) - WEEK)
    seen = np.bincount(of_month[past], days[past], minlength=32)
    foretold = np.bincount(of_month[past], expected[past], minlength=32)
    extra = SHRINK * float(expected[past].mean() if len(days) > WEEK else 1.0)
    factors = (seen + extra) / (foretold + extra + 1e-9)
    raised = (factors[of_month] * expected).reshape(-1, WEEK).sum(axis=1)
    whole = expected.reshape(-1, WEEK).sum(axis=1)
    found: Float = np.where(whole > 0, raised / np.maximum(whole, 1e-9), 1.0)
    return np.clip(found, 0.2, 5.0)


def _smooth(weekly: Float, half: int = 4) -> Float:
    """The middle of the weeks around each."""
    return np.array(
        [np.median(weekly[max(place - half, 0) : place + half + 1]) for place in range(len(weekly))]
    )
