"""Levels: what moves everybody at once, and what earlier days say of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.levels import MOST, Level, forecast


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
    assert forecast(before, december, 30).mean == pytest.approx(season, abs=0.25)
    assert abs(forecast(before, june, 30).mean) < 0.1
    once = forecast(yearly(10, season), 340, 30)
    assert abs(once.mean) < 0.1, "no December was seen yet"
    assert once.sd > forecast(before, december, 30).sd


def test_a_season_is_not_carried_beyond_its_window():
    seen = forecast(yearly(33, 0.6, lasting=0.2), 2 * 365 + 340, 30)
    assert seen.mean > 0.5
    assert seen.lasting == pytest.approx(0.2, abs=0.15)


def test_days_without_a_level_make_none_and_little_doubt():
    calm = forecast(yearly(24, 0.0), 730, 30)
    assert abs(calm.mean) < 0.05
    assert calm.sd < 0.15


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
    said = forecast(levels, step * len(values) + horizon, horizon)
    assert abs(said.mean) <= MOST
    assert abs(said.lasting) <= MOST
    assert 0 < said.sd < 3
    again = forecast(levels[::-1], step * len(values) + horizon, horizon)
    assert (again.mean, again.sd) == pytest.approx((said.mean, said.sd), abs=1e-6)
