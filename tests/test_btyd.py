"""BTYD models against published figures on CDNOW; Gamma-Gamma's laws and odd data."""

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

from training.btyd import (
    BetaGeometric,
    GammaGamma,
    ModifiedBetaGeometric,
    ParetoNBD,
    PurchaseModel,
)


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


@pytest.mark.parametrize(
    ("model", "parameters", "log_likelihood"),
    [
        (BetaGeometric, [0.243, 4.414, 0.793, 2.426], -9582.4),
        (ModifiedBetaGeometric, [0.525, 6.183, 0.891, 1.614], None),
        (ParetoNBD, [0.553, 10.578, 0.606, 11.669], -9595.0),
    ],
)
def test_cdnow_sample_gives_the_published_parameters(
    sample: pd.DataFrame,
    model: type[PurchaseModel],
    parameters: list[float],
    log_likelihood: float | None,
) -> None:
    seen = _summary(sample, "1997-09-30")
    history = [seen[name] for name in HISTORY]
    found = model.fit(*history)
    assert len(seen) == 2357
    assert [round(value, 3) for value in found.to_dict().values()] == parameters
    if log_likelihood is not None:
        assert round(found.log_likelihood(*history), 1) == log_likelihood


def test_cdnow_sample_gives_the_published_forecast(sample: pd.DataFrame) -> None:
    seen = _summary(sample, "1997-09-30")
    history = [seen[name] for name in HISTORY]
    actual = _purchase_days(sample, "1997-09-30", "1998-06-30", seen.index)
    expected = BetaGeometric.fit(*history).expected_purchases(*history, 39 * 7)
    assert actual.sum() == 1882
    assert expected.sum() == pytest.approx(1653, abs=0.5)
    assert np.abs(expected - actual).mean() == pytest.approx(0.786, abs=0.001)


def test_cdnow_sample_gives_the_published_spend_model(sample: pd.DataFrame) -> None:
    seen = _summary(sample, "1997-09-30")
    model = GammaGamma.fit(seen.frequency, seen.monetary_value)
    assert [round(value, 2) for value in model.to_dict().values()] == [6.25, 3.74, 15.44]


@pytest.mark.parametrize(
    ("model", "auc", "log_loss"), [(BetaGeometric, 0.7882, 0.4244), (ParetoNBD, 0.7998, 0.4208)]
)
def test_all_of_cdnow_gives_the_reference_churn_scores(
    everyone: pd.DataFrame, model: type[PurchaseModel], auc: float, log_loss: float
) -> None:
    seen = _summary(everyone, "1997-12-31")
    history = [seen[name] for name in HISTORY]
    bought = _purchase_days(everyone, "1997-12-31", "1998-06-30", seen.index) > 0
    silent = model.fit(*history).probability_of_no_purchase(*history, 181)

    ranks = rankdata(-silent)[bought]
    found = (ranks.mean() - (bought.sum() + 1) / 2) / (~bought).sum()
    assert found == pytest.approx(auc, abs=5e-5)
    assert -np.log(np.where(bought, 1 - silent, silent)).mean() == pytest.approx(log_loss, abs=5e-5)


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
    parameters=st.tuples(*[st.floats(-8, 8)] * 3),
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


@pytest.mark.parametrize(
    "model",
    [
        BetaGeometric(0.243, 4.414, 0.793, 2.426),
        ModifiedBetaGeometric(0.525, 6.183, 0.891, 1.614),
        ParetoNBD(0.553, 10.578, 0.606, 11.669),
        GammaGamma(6.25, 3.74, 15.44),
    ],
)
def test_a_model_survives_json_and_refuses_what_it_does_not_know(
    model: PurchaseModel | GammaGamma,
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
        ParetoNBD.fit([1], [2], [3], penalty=penalty)
    with pytest.raises(ValueError, match="penalty must be a number >= 0"):
        GammaGamma.fit([1], [2.0], penalty=penalty)
