"""What is said of the models is true of them: measures, bootstrap, grade, gate, backtest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from contests import contest
from numpy.typing import NDArray

from training import bootstrap, metrics
from training.answers import BASELINES, BTYD, PRODUCT
from training.bootstrap import Estimate, draw
from training.contest import Contest

Float = NDArray[np.float64]

# The bootstrap.


def with_ties(made: Contest) -> Contest:
    """Round the answers, so that many customers share one."""
    answers = {
        method: replace(
            said,
            churn_probability=said.churn_probability.round(1).clip(0.05, 0.95),
            expected_spend=said.expected_spend.round(-1) + 1,
        )
        for method, said in made.answers.items()
    }
    return replace(made, answers=answers)


@pytest.mark.parametrize("ties", [False, True])
def test_where_nobody_is_drawn_the_measures_are_the_usual_ones(ties: bool):
    made = with_ties(contest(seed=3)) if ties else contest(seed=3)
    drawn = draw([made], replicates=3)
    for method, said in made.answers.items():
        usual = {
            **metrics.churn_metrics(said.churn_probability, made.churned),
            **metrics.spend_metrics(said.expected_spend, made.net_spend),
            **metrics.interval_metrics(*said.bounds(0.9), made.net_spend, 0.9),
        }
        usual["total_log_error"] = abs(np.log(usual["spend_total_ratio"]))
        for measure in bootstrap.MEASURES:
            point = drawn.of(measure, method, day=0)[0]
            assert point == pytest.approx(usual[measure], rel=1e-9), (method, measure)


def test_a_customer_of_weight_three_is_three_customers():
    made = with_ties(contest(customers=80, seed=4))
    weight = np.random.default_rng(0).poisson(1.0, 80)
    judged = bootstrap._judge([made], [np.arange(80)], weight[None, :].astype(float))
    again = made.take(np.repeat(np.arange(80), weight))
    again = replace(again, customer_ids=np.arange(weight.sum()))
    repeated = draw([again], replicates=1)
    for measure in ("log_loss", "spend_deviance", "auc", "spend_gini", "total_log_error"):
        one, other = judged[measure][0, :, 0], repeated.values[measure][0, :, 0]
        assert one == pytest.approx(other, rel=1e-9), measure


def width(contests: list[Contest], measure: str) -> float:
    found = Estimate.of(draw(contests, 300).difference(measure, BTYD))
    return found.upper - found.lower


@pytest.mark.parametrize("measure", ["log_loss", "auc"])
def test_the_same_customers_again_are_no_more_evidence_and_other_customers_are(measure: str):
    days = [contest(place=place) for place in range(4)]
    same = width([replace(days[0], day=day.day) for day in days], measure)
    others = [
        replace(day, customer_ids=1000 * place + day.customer_ids) for place, day in enumerate(days)
    ]
    assert same == pytest.approx(width(days[:1], measure), rel=1e-9)
    assert width(others, measure) == pytest.approx(same / 2, rel=0.25)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Two methods of equal worth: the interval of their difference holds 0 in about 95 of 100."""
    held = 0
    for seed in range(40):
        days = [contest(120, seed, place, noise=(0.5, 0.5, 1.0)) for place in range(2)]
        found = Estimate.of(draw(days, 150, seed).difference("log_loss", BTYD))
        held += found.lower <= 0 <= found.upper
    assert 34 <= held <= 40


def test_a_sample_of_many_customers_gives_the_interval_of_all(monkeypatch: pytest.MonkeyPatch):
    days = [contest(3000, place=place) for place in range(2)]
    whole = Estimate.of(draw(days).primary(BASELINES))
    monkeypatch.setattr(bootstrap, "MOST_CUSTOMERS", 1000)
    sampled = Estimate.of(draw(days).primary(BASELINES))
    assert sampled.value == whole.value
    assert sampled.upper - sampled.lower == pytest.approx(whole.upper - whole.lower, rel=0.35)


def test_one_seed_gives_the_same_interval_to_the_bit():
    one, two = (Estimate.of(draw([contest()], 50, seed=5).primary(BASELINES)) for _ in range(2))
    assert one == two


def test_a_measure_that_cannot_be_computed_has_no_interval():
    nobody = replace(contest(), churned=np.ones(600, dtype=bool), net_spend=np.zeros(600))
    drawn = draw([nobody], 20)
    assert all(np.isnan(v) for v in Estimate.of(drawn.of("auc", PRODUCT)).to_dict().values() if v)
    assert Estimate.of(drawn.of("spend_gini", PRODUCT)).to_dict()["value"] is None


def test_no_day_is_refused():
    with pytest.raises(ValueError, match="no judged day"):
        draw([])
