"""Models of repeat purchases: hard numbers, their story, their laws, and data that diverge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import hyp2f1

from training.btyd import (
    FAMILY,
    BetaGeometric,
    FamilyName,
    ModifiedBetaGeometric,
    ParetoNBD,
    PurchaseModel,
)

CDNOW = BetaGeometric(r=0.243, alpha=4.414, a=0.793, b=2.426)
PUBLISHED = [
    CDNOW,
    ModifiedBetaGeometric(r=0.525, alpha=6.183, a=0.891, b=1.614),
    ParetoNBD(r=0.553, alpha=10.578, s=0.606, beta=11.669),
]

# --- Numbers ------------------------------------------------------------------------------------


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
def test_bg_nbd_expects_what_its_closed_form_does_where_that_is_hard(
    parameters: tuple[float, ...],
    history: tuple[float, ...],
    horizon_days: float,
    expected: float,
) -> None:
    got = BetaGeometric(*parameters).expected_purchases(*history, horizon_days)
    np.testing.assert_allclose(got, [expected], rtol=1e-9)


@pytest.mark.parametrize(
    ("parameters", "history", "horizon_days", "silent", "expected"),
    # The closed forms themselves, in 400-digit arithmetic (mpmath).
    [
        ((0.553, 10.578, 0.606, 11.669), (2, 213, 272), 273, 0.408040922165, 1.45522613095),
        ((0.553, 10.578, 0.606, 11.669), (0, 0, 272), 1, 0.999529548231, 0.000471506897808),
        ((0.553, 10.578, 0.606, 11.669), (30, 700, 700), 36500, 0.0192680259301, 280.724136142),
        ((0.5, 10, 1, 30), (4, 100, 140), 91, 0.391914287157, 1.42543038377),
        ((0.5, 10, 1 + 1e-9, 3), (4, 100, 140), 91, 0.564846025962, 0.98596810245),
        ((0.25, 0.001, 0.5, 0.5), (1, 0, 0), 365, 0.00293737899372, 11576.1034056),
        ((0.25, 0.0004, 12, 4), (0, 0, 2800), 365, 1.0, 2.11017086622e-27),
        ((0.7, 9, 3e-4, 2900), (3, 60, 90), 182, 0.0550430024539, 4.40129836613),
        ((0.7, 9, 3e-4, 0.05), (5000, 5000, 5010), 182, 0.00117020821888, 179.195253766),
        ((2900, 2900, 2900, 2900), (12, 84, 90), 3650, 0.84636517685, 0.308011587495),
        ((3, 1, 1, 1e-3), (300, 8000, 8000), 730, 0.00329233022443, 26.4359894273),
        ((0.8, 0.5, 40, 60), (1, 3, 400), 36500, 1.0, 5.3014746304e-16),
        ((1e-3, 2900, 2900, 1e-3), (1, 7, 14), 365, 1.0, 0.0),
        ((1.7, 12, 2, 9), (45, 900, 1000), 14, 0.921111566053, 0.105409143427),
        ((4, 2900, 2, 5), (0, 0, 900), 900, 0.999905285521, 0.000102596034438),
    ],
)
def test_pareto_nbd_says_what_its_closed_forms_do_where_they_are_hard(
    parameters: tuple[float, ...],
    history: tuple[float, ...],
    horizon_days: float,
    silent: float,
    expected: float,
) -> None:
    model = ParetoNBD(*parameters)
    got = model.probability_of_no_purchase(*history, horizon_days)
    np.testing.assert_allclose(got, [silent], rtol=1e-11)
    got = model.expected_purchases(*history, horizon_days)
    np.testing.assert_allclose(got, [expected], rtol=1e-11)


@settings(deadline=None)
@given(
    parameters=st.tuples(*[st.floats(-1.5, 2.5)] * 4),
    history=st.tuples(st.integers(0, 12), st.floats(0, 1), st.floats(1, 700)),
)
def test_pareto_nbd_has_the_likelihood_of_its_paper_where_2f1_is_fine(
    parameters: tuple[float, ...], history: tuple[int, float, float]
) -> None:
    r, alpha, s, beta = np.exp(parameters)
    x, share, T = history[0], history[1], history[2] / 7
    t_x = share * T if x else 0.0
    # Fader and Hardie (2005), eq. 17 with A_0 of eq. 19 and 20.
    near, far, second = (beta, alpha, s + 1) if alpha >= beta else (alpha, beta, r + x)
    order = r + s + x
    lag = [(far - near) / (far + time) for time in (t_x, T)]
    first, last = (
        hyp2f1(order, second, order + 1, z) / (far + time) ** order
        for z, time in zip(lag, (t_x, T), strict=True)
    )
    density = (alpha + T) ** -(r + x) * (beta + T) ** -s + s / order * (first - last)
    rising = np.prod(r + np.arange(x))
    paper = np.log(rising) + r * np.log(alpha) + s * np.log(beta) + np.log(density)
    ours = ParetoNBD(r, alpha, s, beta).log_likelihood(x, 7 * t_x, 7 * T)
    assert ours == pytest.approx(paper, rel=1e-7, abs=1e-7)


def test_mbg_nbd_and_bg_nbd_are_one_where_a_first_purchase_never_is_the_last() -> None:
    # Dropout with certainty or never: BG/NBD of the same, less those who leave at once.
    history = ([0, 1, 4], [0, 30, 200], [100, 100, 210])
    rare = {"r": 0.5, "alpha": 6.0, "a": 1e-9, "b": 5.0}
    one, other = BetaGeometric(**rare), ModifiedBetaGeometric(**rare)
    assert other.log_likelihood(*history) == pytest.approx(one.log_likelihood(*history), abs=1e-6)
    # And by hand, for one who never came back: silent alive, or gone with the first purchase.
    model = ModifiedBetaGeometric(r=0.5, alpha=6.0, a=0.9, b=1.6)
    alive = 1.6 / 2.5 * (6 / (6 + 10)) ** 0.5
    assert model.log_likelihood(0, 0, 70) == pytest.approx(np.log(alive + 0.9 / 2.5))
    np.testing.assert_allclose(model.probability_alive(0, 0, 70), alive / (alive + 0.9 / 2.5))


def _live(model: PurchaseModel, customers: int, days: tuple[float, float], seed: int) -> Any:
    """Live the story purchase by purchase: x and t_x at days[0], purchases up to days[1]."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(model.r, 1 / model.alpha, customers) / 7
    ends, dropout = np.full(customers, np.inf), np.zeros(customers)
    if isinstance(model, ParetoNBD):
        ends = rng.standard_exponential(customers) / rng.gamma(model.s, 1 / model.beta, customers)
        ends *= 7
    else:
        dropout = rng.beta(model.a, model.b, customers)
    frequency, later, recency = np.zeros((3, customers))
    clock, live = np.zeros(customers), np.arange(customers)
    if isinstance(model, ModifiedBetaGeometric):
        live = live[rng.random(live.size) > dropout]
    while live.size:
        clock[live] += rng.standard_exponential(live.size) / rate[live]
        live = live[clock[live] <= np.minimum(days[1], ends[live])]
        early = live[clock[live] <= days[0]]
        frequency[early] += 1
        recency[early] = clock[early]
        later[live[clock[live] > days[0]]] += 1
        live = live[rng.random(live.size) > dropout[live]]
    return frequency, recency, later


@pytest.mark.parametrize(
    "model",
    [
        BetaGeometric(0.8, 6.0, 0.8, 2.4),
        BetaGeometric(2.0, 12.0, 2.0, 4.0),
        ModifiedBetaGeometric(0.8, 6.0, 0.8, 2.4),
        ParetoNBD(0.8, 6.0, 0.7, 12.0),
        ParetoNBD(2.0, 12.0, 2.0, 60.0),
    ],
)
def test_predictions_match_customers_who_live_the_story(model: PurchaseModel) -> None:
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
    "truth",
    [
        BetaGeometric(0.25, 4.4, 0.8, 2.4),
        BetaGeometric(1.5, 10.0, 0.3, 1.2),
        BetaGeometric(3.0, 4.0, 2.0, 6.0),
        ModifiedBetaGeometric(0.6, 8.0, 0.7, 1.5),
        ParetoNBD(0.5, 8.0, 0.6, 11.0),
        ParetoNBD(2.0, 6.0, 1.5, 30.0),
    ],
)
def test_fit_recovers_what_simulate_was_given(truth: PurchaseModel) -> None:
    rng = np.random.default_rng(11)
    age = rng.integers(100, 700, 20_000)
    history = (*truth.simulate(age, rng), age)
    found = type(truth).fit(*history)
    np.testing.assert_allclose(
        list(found.to_dict().values()), list(truth.to_dict().values()), rtol=0.2
    )
    # Twice the gain in likelihood is chi-squared with four degrees: above 25 once in 20,000.
    assert 0 <= 2 * (found.log_likelihood(*history) - truth.log_likelihood(*history)) < 25


# --- Laws ---------------------------------------------------------------------------------------

models = st.builds(
    lambda name, *theta: FAMILY[name](*np.exp(theta)),
    st.sampled_from(list(FAMILY)),
    *[st.floats(-8, 8) | st.sampled_from([-8.0, 8.0])] * 4,
)
histories = st.tuples(st.integers(0, 3000), st.floats(0, 1), st.floats(0, 4000)).map(
    lambda drawn: (drawn[0], drawn[1] * drawn[2] if drawn[0] else 0.0, drawn[2])
)


@settings(deadline=None)  # a busy machine is no failure
@given(model=models, history=histories, horizon=st.floats(1e-3, 4e4), more=st.floats(1, 100))
def test_forecasts_are_sane_for_every_parameter(
    model: PurchaseModel, history: tuple[int, float, float], horizon: float, more: float
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
    assert np.isfinite(model.log_likelihood(*history))


@settings(deadline=None)
@given(model=models, history=histories, horizon=st.floats(1e-3, 4e4))
def test_silence_is_the_ratio_of_two_likelihoods(
    model: PurchaseModel, history: tuple[int, float, float], horizon: float
) -> None:
    frequency, recency, age = history
    before = model.log_likelihood(frequency, recency, age)
    ratio = np.exp(model.log_likelihood(frequency, recency, age + horizon) - before)
    silent = model.probability_of_no_purchase(*history, horizon)[0]
    # The two logs are rounded relative to what they sum: x * log(alpha + t), and log-gammas.
    rounding = 1e-13 * (1e4 + (frequency + 3000) * 20)
    assert silent == pytest.approx(ratio, abs=rounding)


@pytest.mark.parametrize(
    ("model", "lifetime"),
    [
        # E[1 / p], p ~ Beta(a, b + chances), of who bought 0, 3 and 3 times again.
        (BetaGeometric(0.8, 6.0, 3.0, 5.0), [7 / 2, 10 / 2, 10 / 2]),
        (ModifiedBetaGeometric(0.8, 6.0, 3.0, 5.0), [8 / 2, 11 / 2, 11 / 2]),
        # E[rate] E[1 / dropout rate], at 200 days.
        (
            ParetoNBD(0.8, 6.0, 3.0, 40.0),
            np.array([0.8, 3.8, 3.8]) / (6 + 200 / 7) * (40 + 200 / 7) / 2,
        ),
    ],
)
def test_no_horizon_is_silence_and_a_long_one_is_a_lifetime(
    model: PurchaseModel, lifetime: Any
) -> None:
    history = ([0, 3, 3], [0, 50, 190], [200, 200, 200])
    assert model.expected_purchases(*history, 0).tolist() == [0, 0, 0]
    np.testing.assert_allclose(model.probability_of_no_purchase(*history, 0), 1, rtol=1e-15)
    alive = model.probability_alive(*history)
    np.testing.assert_allclose(
        model.expected_purchases(*history, 1e12), alive * lifetime, rtol=1e-4
    )
    # Alive they buy for sure in the end, unless a dropout at any time comes before.
    ever = 1 - model.probability_of_no_purchase(*history, 1e15)
    if isinstance(model, ParetoNBD):
        assert (ever < alive - 0.1 * alive).all()
    else:
        np.testing.assert_allclose(ever, alive, atol=1e-9)


def test_without_heterogeneity_pareto_nbd_is_one_rate_and_one_dropout() -> None:
    # Gammas of shape 1e6 are points: .3 purchases and .02 dropouts a week.
    rate, dropout = 0.3, 0.02
    model = ParetoNBD(1e6 * rate, 1e6, 1e6 * dropout, 1e6)
    x, t_x, T = 4, 12.0, 20.0
    both = rate + dropout
    gone = dropout / both * (1 - np.exp(-both * (T - t_x)))
    silent = np.exp(-both * (T - t_x)) + gone
    np.testing.assert_allclose(
        model.log_likelihood(x, 7 * t_x, 7 * T),
        x * np.log(rate) - both * t_x + np.log(silent),
        rtol=1e-4,
    )
    np.testing.assert_allclose(model.probability_alive(x, 7 * t_x, 7 * T), 1 - gone / silent, 1e-4)


@pytest.mark.parametrize("model", PUBLISHED)
def test_horizon_growth_is_the_ratio_of_forecasts_and_exactly_one_at_its_base(
    model: PurchaseModel,
) -> None:
    frequency, age = [0, 1, 7, 7], [30, 200, 400, 400]
    recency = [0, 100, 390, 20]
    horizons = [30, 91, 182, 730]
    growth = model.horizon_growth(frequency, age, horizons, base_days=91)
    base = model.expected_purchases(frequency, recency, age, 91)
    assert (growth[:, 1] == 1.0).all()
    for place, days in enumerate(horizons):
        forecasts = model.expected_purchases(frequency, recency, age, days)
        np.testing.assert_allclose(growth[:, place], forecasts / base, rtol=1e-12)


@pytest.mark.parametrize("model", PUBLISHED)
def test_silence_over_some_horizons_is_that_over_each(model: PurchaseModel) -> None:
    facts = [0, 1, 7, 7], [0, 100, 390, 20], [30, 200, 400, 400]
    horizons = [0, 91, 730]
    silent = model.silence(*facts, horizons)
    for place, days in enumerate(horizons):
        np.testing.assert_array_equal(
            silent[:, place], model.probability_of_no_purchase(*facts, days)
        )


@pytest.mark.parametrize("model", PUBLISHED)
def test_customers_are_scored_one_by_one_as_all_together(model: PurchaseModel) -> None:
    rng = np.random.default_rng(5)
    age = rng.integers(0, 60, 500)
    frequency, recency = BetaGeometric(2.0, 3.0, 0.5, 2.0).simulate(age, rng)
    horizon = rng.integers(1, 4, 500)
    columns = (frequency, np.minimum(np.ceil(recency), age), age)
    alone = [list(row) for row in zip(*columns, strict=True)]

    for method in (model.expected_purchases, model.probability_of_no_purchase):
        together = method(*columns, horizon)
        each = [method(*row, h)[0] for row, h in zip(alone, horizon, strict=True)]
        np.testing.assert_allclose(together, each, rtol=1e-12)
    total = sum(model.log_likelihood(*row) for row in alone)
    assert model.log_likelihood(*columns) == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("model", PUBLISHED)
def test_the_order_of_customers_changes_no_bit_of_a_fit(model: PurchaseModel) -> None:
    rng = np.random.default_rng(6)
    age = rng.uniform(1, 600, 3500)
    history = np.array([*model.simulate(age, rng), age])
    shuffled = history[:, rng.permutation(age.size)]
    assert type(model).fit(*history, penalty=0.1) == type(model).fit(*shuffled, penalty=0.1)


def test_a_fit_of_many_is_at_the_top_of_the_likelihood_of_all() -> None:
    # More rows than are climbed from every start: the last climb must be on all of them.
    rng = np.random.default_rng(8)
    age = rng.uniform(1, 600, 5000)
    truth = PUBLISHED[-1]
    history = (*truth.simulate(age, rng), age)
    found = ParetoNBD.fit(*history)
    top = np.log(list(found.to_dict().values()))
    for step in 0.005 * np.vstack([np.eye(4), -np.eye(4)]):
        aside = ParetoNBD(*np.exp(top + step))
        assert found.log_likelihood(*history) > aside.log_likelihood(*history)


# --- Odd data -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILY)
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
    history: tuple[list[int], list[int], list[int]], name: FamilyName
) -> None:
    model = FAMILY[name].fit(*history)
    assert (np.abs(np.log(list(model.to_dict().values()))) <= 8 + 1e-9).all()
    forecast = model.expected_purchases(*history, 365)
    assert np.isfinite(forecast).all()
    assert (forecast >= 0).all()


def test_a_penalty_holds_dropout_back_where_likelihood_runs_to_the_bounds() -> None:
    # Nearly nobody drops out, as in a shop's first months.
    rng = np.random.default_rng(2)
    age = rng.integers(10, 90, 1500)
    history = (*BetaGeometric(0.7, 6.0, 0.01, 60.0).simulate(age, rng), age)
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
        ParetoNBD.fit(*history)
