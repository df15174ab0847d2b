"""What is said of the models is true of them: measures, bootstrap, grade, gate, backtest."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta

import lightgbm as lgb
import numpy as np
import pytest
from contests import contest
from numpy.typing import NDArray
from scipy.special import expit, logit

from features import catalogue
from features.settings import Settings
from training import bootstrap, metrics
from training.adjustment import Predicted
from training.answers import BASELINES, BTYD, PRODUCT
from training.bootstrap import Estimate, draw
from training.btyd import BetaGeometric
from training.calendar import Calendar, plan
from training.contest import Contest
from training.dataset import LabelledDay
from training.evaluation import evaluate, stage_coverage
from training.findings import DayEvaluation
from training.grade import grade, more_data
from training.prior import Prior
from training.prospects import NeverBought
from training.recipe import Learned, Recipe, Trees, judge_days
from training.train import served
from training.trees import Machine
from training.tuning.search import Tuned

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


# The measures.


@pytest.mark.parametrize(("count", "rounded"), [(800, 8), (3000, 8), (3000, 1)])
def test_a_perfectly_calibrated_model_lies_in_the_range_of_one(count: int, rounded: int):
    rng = np.random.default_rng(count)
    probability = rng.beta(2, 1, count).round(rounded)
    low, high = metrics.calibration_range(probability)
    errors = [
        metrics.calibration_error(probability, rng.random(count) < probability) for _ in range(100)
    ]
    assert 0 < low < high
    assert sum(low <= error <= high for error in errors) >= 88
    off = expit(logit(probability.clip(0.01, 0.99)) + 0.6)
    assert metrics.calibration_error(off, rng.random(count) < probability) > high


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.6, 0.3), (1.5, -0.4)])
def test_the_calibration_line_is_found(slope: float, intercept: float):
    rng = np.random.default_rng(2)
    said = expit(rng.normal(0, 1.5, 60_000))
    happened = rng.random(60_000) < expit(slope * logit(said) + intercept)
    found = metrics.calibration_line(said, happened)
    assert found == pytest.approx((slope, intercept), abs=0.05)


def test_the_noise_floor_is_what_the_true_means_would_have():
    """Who knows every mean scatters around the floor; who errs by a third lies beyond it."""
    rng = np.random.default_rng(9)
    churn, mean = rng.uniform(0.2, 0.95, 3000), rng.lognormal(3, 0.8, 3000)
    said = (1 - churn) * mean
    errors, floors = [], []
    for seed in range(20):
        purchased = rng.random(3000) > churn
        seen = np.where(purchased, mean * rng.gamma(1.5, 1 / 1.5, 3000), 0.0)
        errors.append(metrics.decile_error(said, seen))
        floors.append(metrics.decile_noise(churn, said, seen, purchased, 30, seed))
    assert np.mean(floors) == pytest.approx(np.mean(errors), rel=0.15)
    assert metrics.decile_error(said * 1.33, seen) > 2 * floors[-1]


def test_coverage_is_by_stage_and_small_stages_stand_together():
    made = contest(2000, seed=8)
    stage = np.where(np.arange(2000) < 900, 2, np.where(np.arange(2000) < 1700, 7, 4))
    stage[:60] = 5
    rows = stage_coverage([replace(made, stage=stage.astype(np.int8))])
    assert [(r.stages, r.customers, r.pooled) for r in rows] == [
        (("churned",), 840, False),
        (("developing",), 800, False),
        (("new", "declining"), 360, True),
    ]
    lower, upper = made.answers[PRODUCT].bounds(0.9)
    inside = (made.net_spend >= lower) & (made.net_spend <= upper)
    assert rows[0].coverage == inside[stage == 2].mean()
    unsure = (stage == 2) & (made.answers[PRODUCT].churn_probability < 0.9)
    assert rows[0].coverage_below_sure == inside[unsure].mean()


# All judged days together.


def test_days_pool_and_each_stands_by_itself():
    days = [contest(place=place) for place in range(3)]
    together = evaluate(days, replicates=40)
    alone = evaluate(days[-1:], replicates=40)
    assert [day.day for day in together.days] == [day.day for day in days]
    assert together.newest.metrics == alone.newest.metrics
    assert together.newest.skills["primary"].value == alone.pooled.skills["primary"].value
    primary = together.pooled.skills["primary"]
    assert primary.lower <= primary.value <= primary.upper
    assert (
        primary.upper - primary.lower
        < (alone.pooled.skills["primary"].upper - alone.pooled.skills["primary"].lower) * 1.05
    )
    losses = {
        method: np.mean([day.metrics[method]["log_loss"] for day in together.days])
        for method in together.newest.metrics
    }
    best = min(losses[name] for name in BASELINES)
    skill = together.pooled.skills["log_loss_skill"].value
    assert skill == pytest.approx(1 - losses[PRODUCT] / best)
    assert json.dumps(together.to_dict(), allow_nan=False)


# The grade.


def graded(**made: object) -> str:
    days = [contest(2000, 6, place, **made) for place in range(2)]  # type: ignore[arg-type]
    return evaluate(days, replicates=60).grade.letter


@pytest.mark.parametrize(
    ("made", "letter"),
    [
        pytest.param({"noise": (0.0, 0.8, 1.2)}, "A", id="better, calibrated, intervals hold"),
        pytest.param({"noise": (0.0, 0.8, 1.2), "shift": 0.35}, "B", id="better, but off in level"),
        pytest.param({"noise": (0.6, 0.6, 1.2)}, "C", id="level with a baseline"),
        pytest.param({"noise": (1.2, 0.4, 0.8)}, "D", id="worse"),
    ],
)
def test_the_grade_is_what_it_says(made: dict[str, object], letter: str):
    assert graded(**made) == letter


def test_a_grade_says_what_is_missing_for_the_next():
    shifted = [contest(2000, 6, p, noise=(0.0, 0.8, 1.2), shift=0.35) for p in range(2)]
    assert "calibration error exceeds" in evaluate(shifted, replicates=40).grade.why
    pooled = evaluate([contest(2000, 6, noise=(0.0, 0.8, 1.2))], replicates=40).pooled
    narrow = replace(pooled, coverage=0.8)
    assert grade(narrow).letter == "B"
    assert "hold 80.0%, not 88%" in grade(narrow).why
    spend = replace(pooled, skills=pooled.skills | {"spend_deviance_skill": Estimate(0, -1, 1)})
    assert grade(spend).letter == "B"
    assert "spend-deviance skill would have to be clear of zero" in grade(spend).why


def judged_days(skills: list[float]) -> list[DayEvaluation]:
    day = evaluate([contest(200)], replicates=10).newest
    return [
        replace(
            day,
            day=day.day + timedelta(days=60 * place),
            learned_days=2**place,
            skills={"primary": Estimate(skill, skill, skill)},
        )
        for place, skill in enumerate(skills)
    ]


@pytest.mark.parametrize(
    ("skills", "said"),
    [
        ([0.01, 0.03, 0.049, 0.071, 0.09, 0.11], "would buy about 0.020 more"),
        ([0.11, 0.09, 0.071, 0.049, 0.03, 0.01], "would buy about 0.020 less"),
        ([0.05, 0.02, 0.06, 0.01, 0.05, 0.03], "cannot tell what more history would buy"),
        ([0.01, 0.03, 0.05], "cannot be told yet: 3 judged days"),
    ],
)
def test_what_more_data_would_buy_is_said_only_where_it_shows(skills: list[float], said: str):
    assert said in more_data(judged_days(skills), horizon_days=60)


def test_days_that_overlap_are_less_evidence():
    days = judged_days([0.01, 0.035, 0.045, 0.075, 0.085, 0.11])
    assert "would buy" in more_data(days, horizon_days=60)
    assert "cannot tell" in more_data(days, horizon_days=300)


# What is judged is what answers.


def labelled_days(calendar: Calendar) -> list[LabelledDay]:
    rng = np.random.default_rng(4)
    days = []
    for day in calendar.matured:
        matrix = rng.gamma(2.0, 20.0, (150, len(catalogue.NAMES)))
        churn, value = rng.uniform(0.2, 0.9, 150), rng.lognormal(3, 0.5, 150)
        purchased = rng.random(150) > churn
        spend = np.where(purchased, value * rng.gamma(2.0, 0.5, 150), 0.0)
        prior = Prior("bg_nbd", BetaGeometric(0.5, 10.0, 1.0, 3.0), None, 20.0)
        ids = np.arange(150)
        days.append(LabelledDay(day, ids, matrix, prior, churn, value, purchased, spend))
    return days


def test_where_the_trees_lose_the_prior_is_what_is_judged_and_answers():
    calendar = plan(date(2023, 1, 1), date(2023, 2, 1), date(2023, 12, 1), 60, 30, 8)
    days = labelled_days(calendar)
    never = [NeverBought(d, (0, 0, 0, 0), (0, 0, 0, 0), 0.0) for d in calendar.matured]
    pool = tuple(map(Predicted.bare, days))
    prior = judge_days(calendar, days, pool, trees=False)
    lost = tuple(replace(j, churn_probability=1 - j.churn_probability) for j in prior)
    booster = lgb.train({"verbosity": -1}, lgb.Dataset(np.eye(40), np.arange(40)), 1)
    recipe = Recipe(Tuned({}, ()), Tuned({}, ()), Machine())
    learned = Learned(calendar, recipe, Trees(booster, booster), lost, True, pool, tuple(days))
    found, contests, evaluation, trusted = served(learned, days, never, Settings())
    assert not trusted
    assert evaluation is not None
    assert [j.day.as_of for j in found.judged] == [c.day for c in contests]
    for contest_, judged in zip(contests, prior, strict=True):
        said = contest_.answers[PRODUCT].churn_probability
        assert said.tolist() == judged.churn_probability.tolist()
    assert evaluation.pooled.skills["primary"].value > -0.1
