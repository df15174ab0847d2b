"""Levels: what moves everybody at once, and what earlier days say of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.levels import MOST, Level, forecast

FIRST = -60
"""Day of the first order."""


def yearly(months: int, season: float, lasting: float = 0.0) -> list[Level]:
    """Levels of a shop with a December, a month apart, with a little chance of their own."""
    rng = np.random.default_rng(months)
    days = 30 * np.arange(months)
    peak = np.exp(-0.5 * (((days % 365) - 340) / 25) ** 2)
    values = lasting + season * peak + rng.normal(0, 0.03, months)
    return [Level(int(d), float(v), 1e-3) for d, v in zip(days, values, strict=True)]


@pytest.mark.parametrize("season", [0.6, -0.6])
def test_a_season_is_expected_again_once_it_was_seen(season: float):
    before = yearly(33, season)
    december, june = 2 * 365 + 340, 2 * 365 + 365 + 160
    assert forecast(before, december, 30, FIRST).mean == pytest.approx(season, abs=0.25)
    assert abs(forecast(before, june, 30, FIRST).mean) < 0.1
    once = forecast(yearly(10, season), 340, 30, FIRST)
    assert abs(once.mean) < 0.1, "no December was seen yet"
    assert once.sd > forecast(before, december, 30, FIRST).sd


def test_a_season_is_not_carried_beyond_its_window():
    seen = forecast(yearly(33, 0.6, lasting=0.2), 2 * 365 + 340, 30, FIRST)
    assert seen.mean > 0.5
    assert 0.0 < seen.lasting < 0.3


def test_days_without_a_level_make_none_and_little_doubt():
    calm = forecast(yearly(24, 0.0), 730, 30, FIRST)
    assert abs(calm.mean) < 0.05
    assert calm.sd < 0.15


def test_what_the_first_weeks_of_a_ledger_show_is_not_carried_on():
    rest = [Level(day, 0.0, 1e-3) for day in range(90, 690, 30)]
    odd = [Level(day, 1.0 * np.exp(-day / 45), 1e-3) for day in (10, 40, 70)]
    assert abs(forecast([*odd, *rest], 720, 30, 0).mean) < 0.05
    few = forecast([*odd, *rest[:2]], 160, 30, 0)
    assert abs(few.mean) < 0.1, "a start that fades is told from a level that stays"


def test_half_of_a_level_is_believed_before_a_year_was_seen():
    levels = [Level(day, 0.4, 1e-4) for day in range(200, 800, 30)]
    young, old = forecast(levels[:6], 400, 30, 0), forecast(levels, 830, 30, 0)
    assert 0.1 < young.mean < 0.25
    assert 0.3 < old.mean < 0.45
    assert young.sd > old.sd


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.floats(-3, 3), min_size=1, max_size=20),
    step=st.integers(1, 60),
    horizon=st.integers(7, 365),
)
def test_a_forecast_is_finite_capped_and_knows_its_order_of_days_from_their_dates(
    values: list[float], step: int, horizon: int
):
    levels = [Level(step * place, value, 1e-3) for place, value in enumerate(values)]
    said = forecast(levels, step * len(values) + horizon, horizon, FIRST)
    assert abs(said.mean) <= MOST
    assert abs(said.lasting) <= MOST
    assert 0 < said.sd < 3
    again = forecast(levels[::-1], step * len(values) + horizon, horizon, FIRST)
    assert (again.mean, again.sd) == pytest.approx((said.mean, said.sd), abs=1e-6)
