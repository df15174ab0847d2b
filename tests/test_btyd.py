"""BG/NBD and Gamma-Gamma: published figures, their own laws, and data that make others diverge."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from training.btyd import BetaGeometric, GammaGamma, simulate

CDNOW = BetaGeometric(r=0.243, alpha=4.414, a=0.793, b=2.426)


def _cdnow(file: str, customer: int, date: int, amount: int, header: int) -> pd.DataFrame:
    spec = find_spec("lifetimes")
    if spec is None or spec.origin is None:
        pytest.skip("CDNOW travels inside the wheel `lifetimes`: install the extra `demo`")
    orders = pd.read_csv(
        Path(spec.origin).parent / "datasets" / file, sep=r"\s+", header=None, skiprows=header
    )
    return pd.DataFrame(
        {
            "customer_id": orders[customer],
            "day": pd.to_datetime(orders[date].astype(str), format="%Y%m%d"),
            "amount": orders[amount],
        }
    )


@pytest.fixture(scope="module")
def sample() -> pd.DataFrame:
    return _cdnow("CDNOW_sample.txt", customer=1, date=2, amount=4, header=0)


@pytest.fixture(scope="module")
def everyone() -> pd.DataFrame:
    return _cdnow("CDNOW_master.txt", customer=0, date=1, amount=3, header=1)


def _summary(orders: pd.DataFrame, until: str) -> pd.DataFrame:
    """Frequency, recency, age and mean repeat spend; a day with purchases is one purchase."""
    days = orders[orders.day <= until].groupby(["customer_id", "day"], as_index=False).amount.sum()
    days["first"] = days.groupby("customer_id").day.transform("min")
    repeats = days[days.day > days["first"]].groupby("customer_id")
    customers = days.groupby("customer_id").agg(first=("day", "min"), last=("day", "max"))
    return pd.DataFrame(
        {
            "frequency": repeats.size().reindex(customers.index, fill_value=0),
            "recency_days": (customers["last"] - customers["first"]).dt.days,
            "age_days": (pd.Timestamp(until) - customers["first"]).dt.days,
            "monetary_value": repeats.amount.mean().reindex(customers.index),
        }
    )


def _purchase_days(orders: pd.DataFrame, after: str, until: str, index: Any) -> np.ndarray:
    window = orders[(orders.day > after) & (orders.day <= until)]
    days = window.drop_duplicates(["customer_id", "day"]).groupby("customer_id").size()
    return days.reindex(index, fill_value=0).to_numpy()


HISTORY = ["frequency", "recency_days", "age_days"]


# --- Published figures ---------------------------------------------------------------------------


def test_cdnow_sample_gives_the_published_parameters_and_forecast(sample: pd.DataFrame) -> None:
    seen = _summary(sample, "1997-09-30")
    history = [seen[name] for name in HISTORY]
    actual = _purchase_days(sample, "1997-09-30", "1998-06-30", seen.index)

    model = BetaGeometric.fit(*history)
    expected = model.expected_purchases(*history, 39 * 7)

    assert len(seen) == 2357
    assert [round(value, 3) for value in model.to_dict().values()] == [0.243, 4.414, 0.793, 2.426]
    assert model.log_likelihood(*history) == pytest.approx(-9582.4, abs=0.05)
    assert actual.sum() == 1882
    assert expected.sum() == pytest.approx(1653, abs=0.5)
    assert np.abs(expected - actual).mean() == pytest.approx(0.786, abs=0.001)


def test_cdnow_sample_gives_the_published_spend_model(sample: pd.DataFrame) -> None:
    seen = _summary(sample, "1997-09-30")
    model = GammaGamma.fit(seen.frequency, seen.monetary_value)
    assert [round(value, 2) for value in model.to_dict().values()] == [6.25, 3.74, 15.44]


def test_all_of_cdnow_gives_the_reference_churn_scores(everyone: pd.DataFrame) -> None:
    seen = _summary(everyone, "1997-12-31")
    history = [seen[name] for name in HISTORY]
    bought = _purchase_days(everyone, "1997-12-31", "1998-06-30", seen.index) > 0
    silent = BetaGeometric.fit(*history).probability_of_no_purchase(*history, 181)

    ranks = rankdata(-silent)[bought]
    auc = (ranks.mean() - (bought.sum() + 1) / 2) / (~bought).sum()
    log_loss = -np.log(np.where(bought, 1 - silent, silent)).mean()
    assert auc == pytest.approx(0.7882, abs=5e-5)
    assert log_loss == pytest.approx(0.4244, abs=5e-5)


# --- BG/NBD: numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "history", "horizon_days", "expected"),
    # Equation 10 itself, in 80-digit arithmetic (mpmath).
    [
        ((0.243, 4.414, 0.793, 2.426), (2, 213, 272), 273, 1.22611580615),
        ((0.243, 4.414, 0.793, 2.426), (0, 0, 272), 1, 0.000801845172358),
        ((0.243, 4.414, 0.793, 2.426), (30, 700, 700), 36500, 186.274224431),
        ((0.5, 10, 1, 3), (4, 100, 140), 91, 1.19360406366),
        ((0.5, 10, 1 + 1e-9, 3), (4, 100, 140), 91, 1.19360406317),
        ((0.5, 10, 1 - 1e-6, 3), (0, 0, 140), 3650, 3.15274871831),
        ((0.5, 10, 0.3, 0.2), (0, 0, 30), 3650, 3.98921172351),
        ((0.25, 0.001, 0.5, 0.5), (1, 0, 0), 365, 260.263790418),
        ((0.7, 9, 3e-4, 2900), (3, 60, 90), 182, 4.4013048988),
        ((0.7, 9, 3e-4, 0.05), (5000, 5000, 5010), 182, 179.197780424),
        ((2900, 2900, 2900, 2900), (12, 84, 90), 36500, 0.598850834977),
        ((3, 1, 1, 1e-3), (8000, 8000, 8000), 730, 698.169154963),
        ((0.8, 0.5, 40, 60), (1, 3, 400), 36500, 0.00227333178929),
        ((1e-3, 2900, 2900, 1e-3), (1, 7, 14), 365, 6.09043374361e-9),
        ((1.7, 12, 2, 9), (45, 900, 1000), 14, 0.133599887646),
    ],
)
def test_expected_purchases_match_the_closed_form_where_it_is_hard(
    parameters: tuple[float, ...],
    history: tuple[float, ...],
    horizon_days: float,
    expected: float,
) -> None:
    got = BetaGeometric(*parameters).expected_purchases(*history, horizon_days)
    np.testing.assert_allclose(got, [expected], rtol=1e-9)


def _live(model: BetaGeometric, customers: int, days: tuple[float, float], seed: int) -> Any:
    """Live the story purchase by purchase: x and t_x at days[0], purchases up to days[1]."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(model.r, 1 / model.alpha, customers) / 7
    dropout = rng.beta(model.a, model.b, customers)
    frequency, later, recency = np.zeros((3, customers))
    clock, live = np.zeros(customers), np.arange(customers)
    while live.size:
        clock[live] += rng.standard_exponential(live.size) / rate[live]
        live = live[clock[live] <= days[1]]
        early = live[clock[live] <= days[0]]
        frequency[early] += 1
        recency[early] = clock[early]
        later[live[clock[live] > days[0]]] += 1
        live = live[rng.random(live.size) > dropout[live]]
    return frequency, recency, later


@pytest.mark.parametrize("parameters", [(0.8, 6.0, 0.8, 2.4), (2.0, 12.0, 2.0, 4.0)])
def test_predictions_match_customers_who_live_the_story(parameters: tuple[float, ...]) -> None:
    model = BetaGeometric(*parameters)
    age, horizon = 280.0, 140.0
    frequency, recency, later = _live(model, 200_000, (age, age + horizon), seed=7)
    history = (frequency, recency, np.full(frequency.size, age))
    silent = model.probability_of_no_purchase(*history, horizon)
    expected = model.expected_purchases(*history, horizon)

    # Exact for each kind of customer, so unbiased in every group that the history defines.
    groups = 2 * np.minimum(frequency, 4) + (recency > age / 2)
    for group in np.unique(groups):
        here = groups == group
        for error in (later[here] - expected[here], (later[here] == 0) - silent[here]):
            assert abs(error.mean()) < 4 * error.std() / np.sqrt(here.sum()), group


@pytest.mark.parametrize(
    "parameters", [(0.25, 4.4, 0.8, 2.4), (1.5, 10.0, 0.3, 1.2), (3.0, 4.0, 2.0, 6.0)]
)
def test_fit_recovers_what_simulate_was_given(parameters: tuple[float, ...]) -> None:
    truth = BetaGeometric(*parameters)
    rng = np.random.default_rng(11)
    age = rng.integers(100, 700, 30_000)
    history = (*simulate(truth, age, rng), age)
    found = BetaGeometric.fit(*history)
    np.testing.assert_allclose(list(found.to_dict().values()), parameters, rtol=0.15)
    # Twice the gain in likelihood is chi-squared with four degrees: above 25 once in 20,000.
    assert 0 <= 2 * (found.log_likelihood(*history) - truth.log_likelihood(*history)) < 25


# --- BG/NBD: laws --------------------------------------------------------------------------------

log_parameter = st.floats(-8, 8)
bg_models = st.builds(
    lambda *theta: BetaGeometric(*np.exp(theta)),
    *[log_parameter] * 4,
)
histories = st.tuples(st.integers(0, 3000), st.floats(0, 1), st.floats(0, 4000)).map(
    lambda drawn: (drawn[0], drawn[1] * drawn[2] if drawn[0] else 0.0, drawn[2])
)


@settings(deadline=None)  # a busy machine is no failure
@given(model=bg_models, history=histories, horizon=st.floats(1e-3, 4e4), more=st.floats(1, 100))
def test_forecasts_are_sane_for_every_parameter(
    model: BetaGeometric, history: tuple[int, float, float], horizon: float, more: float
) -> None:
    rounding = 1 + 1e-12
    alive = model.probability_alive(*history)[0]
    near, far = model.expected_purchases(
        *([value] * 2 for value in history), [horizon, more * horizon]
    )
    silent_near, silent_far = model.probability_of_no_purchase(
        *([value] * 2 for value in history), [horizon, more * horizon]
    )
    frequency, _, age = history
    no_dropout = alive * (model.r + frequency) / (model.alpha + age / 7) * horizon / 7

    assert 0 <= alive <= 1
    assert 0 <= silent_far <= silent_near * rounding <= rounding
    assert 0 <= near <= far * rounding < np.inf
    assert near <= no_dropout * (1 + 1e-9)
    # At least one purchase is at most the mean number of purchases.
    assert 1 - silent_near <= near * (1 + 1e-9) + 1e-15


def test_no_horizon_is_silence_and_a_long_one_is_a_lifetime() -> None:
    model = BetaGeometric(r=0.8, alpha=6.0, a=3.0, b=5.0)
    history = ([0, 3, 3], [0, 50, 190], [200, 200, 200])
    assert model.expected_purchases(*history, 0).tolist() == [0, 0, 0]
    assert model.probability_of_no_purchase(*history, 0).tolist() == [1, 1, 1]
    alive = model.probability_alive(*history)
    lifetime = (3 + 5 + np.array(history[0]) - 1) / (3 - 1)  # E[1 / p], p ~ Beta(a, b + x)
    np.testing.assert_allclose(
        model.expected_purchases(*history, 1e12), alive * lifetime, rtol=1e-4
    )
    np.testing.assert_allclose(
        model.probability_of_no_purchase(*history, 1e15), 1 - alive, atol=1e-9
    )


def test_horizon_growth_is_the_ratio_of_forecasts_and_exactly_one_at_its_base() -> None:
    frequency, age = [0, 1, 7, 7], [30, 200, 400, 400]
    recency = [0, 100, 390, 20]
    growth = CDNOW.horizon_growth(frequency, age, [30, 91, 182, 730], base_days=91)
    forecasts = CDNOW.expected_purchases(frequency, recency, age, [30, 91, 182, 730])
    base = CDNOW.expected_purchases(frequency, recency, age, 91)
    assert growth[1] == 1.0
    np.testing.assert_allclose(growth, forecasts / base, rtol=1e-12)


def test_customers_are_scored_one_by_one_as_all_together() -> None:
    rng = np.random.default_rng(5)
    age = rng.integers(0, 60, 500)
    frequency, recency = simulate(BetaGeometric(2.0, 3.0, 0.5, 2.0), age, rng)
    horizon = rng.integers(1, 4, 500)
    columns = (frequency, np.minimum(np.ceil(recency), age), age)
    alone = [list(row) for row in zip(*columns, strict=True)]

    together = CDNOW.expected_purchases(*columns, horizon)
    each = [CDNOW.expected_purchases(*row, h)[0] for row, h in zip(alone, horizon, strict=True)]
    np.testing.assert_allclose(together, each, rtol=1e-12)
    total = sum(CDNOW.log_likelihood(*row) for row in alone)
    assert CDNOW.log_likelihood(*columns) == pytest.approx(total, rel=1e-12)


# --- BG/NBD: odd data ----------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize(
    "history",
    [
        pytest.param(([0] * 5, [0] * 5, [10, 20, 30, 40, 50]), id="nobody came back"),
        pytest.param(([0] * 3, [0] * 3, [0] * 3), id="all arrived today"),
        pytest.param(([3], [20], [30]), id="one customer"),
        pytest.param(([0, 1, 2, 3], [0, 5, 9, 30], [30] * 4), id="one age"),
        pytest.param(([5] * 100, [5] * 100, [1000] * 100), id="all gone"),
        pytest.param(([5] * 100, [1000] * 100, [1000] * 100), id="all alive"),
        pytest.param(([4, 4], [0, 0], [100, 100]), id="no time between purchases"),
        pytest.param(([100_000], [3000], [3000]), id="a robot"),
    ],
)
def test_fit_stays_finite_on_odd_data(
    history: tuple[list[int], list[int], list[int]], penalty: float
) -> None:
    model = BetaGeometric.fit(*history, penalty=penalty)
    assert (np.abs(np.log(list(model.to_dict().values()))) <= 8 + 1e-9).all()
    forecast = model.expected_purchases(*history, 365)
    assert np.isfinite(forecast).all()
    assert (forecast >= 0).all()


def test_a_penalty_holds_dropout_back_where_likelihood_runs_to_the_bounds() -> None:
    # Nearly nobody drops out, as in a shop's first months.
    rng = np.random.default_rng(2)
    age = rng.integers(10, 90, 1500)
    history = (*simulate(BetaGeometric(0.7, 6.0, 0.01, 60.0), age, rng), age)
    free, held = (BetaGeometric.fit(*history, penalty=penalty) for penalty in (0.0, 1.0))
    assert max(np.abs(np.log([free.a, free.b]))) == pytest.approx(8)
    assert max(np.abs(np.log([held.a, held.b]))) < 5
    totals = [model.expected_purchases(*history, 91).sum() for model in (free, held)]
    assert totals[1] == pytest.approx(totals[0], rel=0.05)

    def documented(theta: np.ndarray) -> float:
        away = theta - np.log([0.5, 10.0, 1.0, 3.0])
        return BetaGeometric(*np.exp(theta)).log_likelihood(*history) - away @ away / 2

    top = np.log(list(held.to_dict().values()))
    steps = 0.02 * np.vstack([np.eye(4), -np.eye(4)])
    assert all(documented(top) > documented(top + step) for step in steps)


@pytest.mark.parametrize(
    ("history", "message"),
    [
        (([], [], []), "frequency is empty"),
        (([1, 2], [3, 4], [5]), "differ in length: frequency 2, recency_days 2, age_days 1"),
        (([1, -2], [3, 4], [5, 6]), r"frequency must be .* not negative, but is -2.0 at row 1"),
        (([1, 2], [3, np.nan], [5, 6]), "recency_days must be finite .* nan at row 1"),
        (([1], [3], [np.inf]), "age_days must be finite .* inf at row 0"),
        (([1.5], [3], [6]), "frequency must count purchases, but is 1.5 at row 0"),
        (([1, 2], [3, 7], [5, 6]), "recency_days exceeds age_days at row 1: 7.0 > 6.0"),
    ],
)
def test_impossible_histories_are_refused_by_name(history: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BetaGeometric.fit(*history)


# --- Gamma-Gamma ---------------------------------------------------------------------------------


def _spends(model: GammaGamma, customers: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    frequency = rng.geometric(0.3, customers)
    rate = rng.gamma(model.q, 1 / model.gamma, customers)
    return frequency, rng.gamma(model.p * frequency) / (rate * frequency)


@pytest.mark.parametrize("parameters", [(6.25, 3.74, 15.44), (1.5, 2.2, 400.0)])
def test_spend_fit_recovers_its_parameters_in_any_currency(parameters: tuple[float, ...]) -> None:
    truth = GammaGamma(*parameters)
    frequency, monetary_value = _spends(truth, 30_000, seed=3)
    found = GammaGamma.fit(frequency, monetary_value, penalty=1.0)
    np.testing.assert_allclose(list(found.to_dict().values()), parameters, rtol=0.1)

    cents = GammaGamma.fit(frequency, 100 * monetary_value, penalty=1.0)
    np.testing.assert_allclose(
        list(cents.to_dict().values()), [found.p, found.q, 100 * found.gamma], rtol=1e-4
    )


@settings(deadline=None)  # a busy machine is no failure
@given(
    parameters=st.tuples(*[log_parameter] * 3),
    frequency=st.integers(1, 5000),
    monetary_value=st.floats(0, 1e9),
)
def test_expected_value_lies_between_own_mean_and_population_mean(
    parameters: tuple[float, ...], frequency: int, monetary_value: float
) -> None:
    model = GammaGamma(*np.exp(parameters))
    population, unknown, own, returned = model.expected_value(
        [0, frequency, frequency, frequency], [np.nan, np.nan, monetary_value, -1.0]
    )
    assert population == unknown
    assert 0 < population < np.inf  # also where q <= 1 leaves it undefined
    low, high = sorted([population, monetary_value])
    assert low * (1 - 1e-9) <= own <= high * (1 + 1e-9)
    assert 0 < returned <= population


@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize(
    ("frequency", "monetary_value"),
    [
        pytest.param([1], [10.0], id="one customer"),
        pytest.param([2] * 50, [10.0] * 50, id="all alike"),
        pytest.param([1] * 4, [1e-9, 1.0, 1e9, 1e12], id="no mean"),
        pytest.param([0, 3, 3, 2, 5], [np.nan, np.nan, -4.0, 7.0, 9.0], id="some unusable"),
    ],
)
def test_spend_fit_stays_finite_on_odd_data(
    frequency: list[int], monetary_value: list[float], penalty: float
) -> None:
    model = GammaGamma.fit(frequency, monetary_value, penalty=penalty)
    assert penalty == 0 or model.q > 1
    value = model.expected_value(frequency, monetary_value)
    assert np.isfinite(value).all()
    assert (value > 0).all()


@pytest.mark.parametrize(
    ("frequency", "monetary_value", "message"),
    [
        ([0, 3, 2], [5.0, 0.0, np.nan], "no customer has frequency > 0 and monetary_value > 0"),
        ([], [], "no customer has frequency > 0"),
        ([1, 2], [5.0], "differ in length: frequency 2, monetary_value 1"),
        ([1, 2], [5.0, np.inf], "monetary_value is infinite at row 1"),
        ([1, -1], [5.0, 5.0], "frequency must be finite and not negative"),
    ],
)
def test_unusable_spends_are_refused_by_name(
    frequency: list[int], monetary_value: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        GammaGamma.fit(frequency, monetary_value)


# --- Both ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [CDNOW, GammaGamma(6.25, 3.74, 15.44)])
def test_a_model_survives_json_and_refuses_what_it_does_not_know(
    model: BetaGeometric | GammaGamma,
) -> None:
    stored = json.loads(json.dumps(model.to_dict()))
    assert type(model).from_dict(stored) == model
    with pytest.raises(ValueError, match="takes exactly"):
        type(model).from_dict(stored | {"penalty": 1.0})
    with pytest.raises(ValueError, match="must be a positive number, not nan"):
        type(model).from_dict(dict.fromkeys(stored, float("nan")))


@pytest.mark.parametrize("penalty", [-1.0, float("nan")])
def test_a_penalty_below_zero_is_refused(penalty: float) -> None:
    with pytest.raises(ValueError, match="penalty must be a number >= 0"):
        BetaGeometric.fit([1], [2], [3], penalty=penalty)
    with pytest.raises(ValueError, match="penalty must be a number >= 0"):
        GammaGamma.fit([1], [2.0], penalty=penalty)
