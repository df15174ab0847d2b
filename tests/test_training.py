"""Models: blind to the future, exact in their arithmetic, and recorded so that they can be read."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from dataclasses import fields, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shop
from conftest import look_at, succeed
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.metrics import (
    average_precision_score,
    log_loss,
    mean_tweedie_deviance,
    roc_auc_score,
)

import training.recipe
from features import catalogue
from features.computing import compute_snapshot
from features.days import day_number
from features.engines import engine
from features.errors import InputError, NotEnoughData, WorkspaceError
from features.ingest.ledger import Ledger
from features.matrix import Vocabulary, matrix_of
from features.settings import Settings
from features.snapshots import snapshot_path
from features.workspace import Workspace
from pipelines.context import Context
from training import metrics
from training.adjustment import NO_TREES
from training.attribution import Attribution, Method, PathAttribution, tree_shap
from training.btyd import BetaGeometric
from training.bundle import CHURN_FILE, FORMAT, MANIFEST, SPEND_FILE, Predictions, ScorerBundle
from training.calendar import enough_history, plan
from training.calibration import BOUNDS, ChurnCalibration, SpendCalibration
from training.dataset import (
    ACCOUNTS,
    NOT_LEARNED,
    TREE_CATEGORIES,
    TREE_FEATURES,
    LabelledDay,
    label_days,
)
from training.intervals import PROMISED, IntervalTable
from training.labels import labels
from training.leaves import Leaves
from training.levels import Forecast, Level
from training.prior import Prior, column
from training.prospects import GROUPS, Conversion, NeverBought
from training.recipe import ROLLING_DAYS, Recipe, Trees, learn
from training.registry import MODEL
from training.scorer_model import OUTPUTS
from training.training_set import TrainingSet
from training.trees import DEFAULTS, Machine, Rows, correction, fit
from training.value import CLV_DAYS, YEAR_DAYS, ValueTerms

Float = NDArray[np.float64]

LAST = date.fromisoformat(shop.LAST_DAY)


def context_of(root: Path) -> Context:
    return Context(Workspace(root), Settings())


def bundle_folder(root: Path, version: int) -> Path:
    import mlflow

    look_at(context_of(root).registry().uri)
    return Path(mlflow.artifacts.download_artifacts(f"models:/{MODEL}/{version}/")) / (
        "artifacts/bundle"
    )


# Nothing that comes after the day of the training changes the model.


AS_OF = date(2024, 3, 31)
QUICK = "churn: {horizon_days: 45}\ntraining: {trials: 1, max_snapshots: 8, step_days: 15}\n"


def line(client: int, when: str, seen: str, price: float = 999.0, units: int = 9) -> pl.DataFrame:
    """One line of the shop's export."""
    row = (
        client, datetime.fromisoformat(when), f"late-{client}-{when}", units, price, "P01",
        datetime.fromisoformat(seen),
    )  # fmt: skip
    return pl.DataFrame([row], schema=SHOP.schema, orient="row")


SHOP = shop.orders(customers=600)
KNOWN = SHOP.filter((pl.col("when").dt.date() <= AS_OF) & (pl.col("seen").dt.date() <= AS_OF))
LATER = {
    "what happened later": SHOP,
    "old orders, returns and customers that arrived later, the first order of all among them": (
        pl.concat(
            [
                SHOP,
                *(line(client, "2023-09-09T12:00", "2024-04-01") for client in range(1, 60)),
                *(line(client, "2024-03-30", "2024-05-01", units=-3) for client in range(30, 90)),
                line(9_000, "2023-05-05", "2024-06-01"),
                line(1, "2022-02-02", "2024-06-01"),
            ]
        )
    ),
}


def train_on(export: pl.DataFrame, folder: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Train as a person would; give the bundle's files and what the verb said."""
    root = folder / "w"
    root.mkdir(parents=True)
    (root / "lifecycle.yaml").write_text(QUICK)
    file = folder / "orders.parquet"
    export.write_parquet(file)
    succeed(root, "ingest", "--orders", file, *shop.map_options())
    said = succeed(root, "train", "--as-of", AS_OF.isoformat())
    found = bundle_folder(root, said["model_version"])
    return {path.name: path.read_bytes() for path in found.iterdir()}, said


@pytest.fixture(scope="module")
def trained_on_what_was_known(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, bytes], dict[str, Any]]:
    return train_on(KNOWN, tmp_path_factory.mktemp("known"))


@pytest.mark.parametrize("later", LATER)
def test_what_came_later_changes_no_byte_of_the_models(
    later: str, trained_on_what_was_known: tuple[dict[str, bytes], dict[str, Any]], tmp_path: Path
):
    assert LATER[later].height > KNOWN.height + 100
    files, said = train_on(LATER[later], tmp_path)
    expected_files, expected = trained_on_what_was_known
    assert set(files) == {CHURN_FILE, SPEND_FILE, MANIFEST}, "a trivial model would prove little"
    assert {name: files[name] == content for name, content in expected_files.items()} == (
        dict.fromkeys(files, True)
    )
    for key in ("data_fingerprint", "rows", "training_days", "kind", "evaluation"):
        assert said[key] == expected[key], key


# Labels.

START = date(2024, 1, 31)
HORIZON = 10
Event = tuple[str, int, float, int]
"""Order, days after START, amount, and days from the event to its arrival."""


def ledger_of(events: dict[int, list[Event]], folder: Path) -> Path:
    start = day_number(START)
    rows = [
        (customer, order, start + after, start + after + delay, round(amount * 10_000))
        for customer, lines in events.items()
        for order, after, amount, delay in lines
    ]
    path = folder / "orders.parquet"
    pl.DataFrame(
        rows,
        schema={
            "customer_id": pl.Int64,
            "order_key": pl.String,
            "event_day": pl.Int32,
            "known_day": pl.Int32,
            "amount_e4": pl.Int64,
        },
        orient="row",
    ).write_parquet(path)
    return path


@pytest.mark.parametrize(
    ("lines", "outcome"),
    [
        pytest.param([("a", 0, 5.0, 0)], None, id="the day itself lies before the window"),
        pytest.param([("a", 1, 5.0, 0)], (True, 5.0), id="the next day is its first"),
        pytest.param([("a", 10, 5.0, 0)], (True, 5.0), id="the horizon's end is its last"),
        pytest.param([("a", 11, 5.0, 0)], None, id="the day after lies beyond"),
        pytest.param([("a", 5, 5.0, 5)], (True, 5.0), id="arrived on the last day known"),
        pytest.param([("a", 5, 5.0, 6)], None, id="arrived a day too late"),
        pytest.param([("a", 5, -5.0, 0)], (False, -5.0), id="a return alone is no purchase"),
        pytest.param(
            [("a", 2, 5.0, 0), ("a", 6, -5.0, 0)], (True, 0.0), id="a purchase returned later"
        ),
        pytest.param(
            [("a", 2, 5.0, 0), ("a", 2, -5.0, 0)], (False, 0.0), id="an order cancelled at once"
        ),
        pytest.param(
            [("a", 2, 5.0, 0), ("b", 2, -5.0, 0)], (True, 0.0), id="two orders are not one"
        ),
        pytest.param([("a", 2, 0.0, 0)], (False, 0.0), id="an order of nothing"),
        pytest.param(
            [("a", -3, 5.0, 0), ("a", 3, -5.0, 0)], (False, -5.0), id="a return of an older sale"
        ),
        pytest.param(
            [("a", 2, 0.1, 0), ("b", 3, 0.2, 0)], (True, 0.3), id="money is summed exactly"
        ),
    ],
)
def test_an_outcome_is_what_happened_in_the_window_and_was_known(
    lines: list[Event], outcome: tuple[bool, float] | None, tmp_path: Path
):
    path = ledger_of({7: lines}, tmp_path)
    known_by = START + timedelta(days=HORIZON)
    rows = labels(path, START, HORIZON, known_by).rows()
    assert rows == ([] if outcome is None else [(7, *outcome)])


def test_prospects_are_counted_apart_from_buyers_and_their_outcomes_kept(tmp_path: Path):
    buyers: dict[int, list[Event]] = {
        n: [("a", -30 + n % 20, 5.0, 0), ("b", 3, 7.0 + n, 0)][: 1 + n % 2] for n in range(1, 21)
    }
    prospects: dict[int, list[Event]] = {
        n: [("r", -5, -1.0, 0), ("s", 4, 20.0, 0)][: 2 if n == 40 else 1] for n in range(40, 44)
    }
    path = ledger_of({**buyers, **prospects}, tmp_path)
    names = ("quantity", "discount_e4", "cost_e4", "category", "channel")
    pl.read_parquet(path).with_columns(
        **{name: pl.lit(None, pl.Int64) for name in names}, is_product=True
    ).with_columns(pl.col("category", "channel").cast(pl.String)).write_parquet(path)
    with engine("polars") as opened:
        table = compute_snapshot(opened, {"orders": path}, START)
    known_by = START + timedelta(days=HORIZON)
    (day,), (never,) = label_days(
        TrainingSet({START: table}), Vocabulary(), path, HORIZON, known_by
    )
    assert len(day.matrix) == 20
    assert day.purchased.tolist() == [n % 2 == 1 for n in range(1, 21)]
    assert day.net_spend.tolist() == [7.0 + n if n % 2 else 0.0 for n in range(1, 21)]
    assert (never.seen, never.converted, never.spend) == ((0, 4, 0, 0), (0, 1, 0, 0), 20.0)


# Prospects.


def never_bought(day: date, seen: tuple[int, ...], rates: tuple[float, ...]) -> NeverBought:
    converted = tuple(round(n * r) for n, r in zip(seen, rates, strict=True))
    return NeverBought(day, seen, converted, 50.0 * sum(converted))


def test_conversion_finds_the_rates_of_groups_that_differ():
    rates = (0.01, 0.04, 0.1, 0.3)
    found = Conversion.fit([never_bought(START, (20_000,) * 4, rates)], HORIZON, 20.0)
    assert found.probability == pytest.approx(rates, rel=0.05)
    assert found.spend_if_purchase == pytest.approx(50.0, rel=0.01)


def test_a_group_that_was_hardly_seen_answers_as_all_do():
    seen, rates = (5000, 5000, 3, 0), (0.1, 0.1, 1 / 3, 0.0)
    found = Conversion.fit([never_bought(START, seen, rates)], HORIZON, 20.0)
    assert found.probability == pytest.approx((0.1,) * 4, rel=0.02)


def test_windows_that_overlap_are_no_more_evidence_than_one():
    seen, rates = (100, 20, 20, 20), (0.02, 0.05, 0.1, 0.3)
    once = Conversion.fit([never_bought(START, seen, rates)], 60, 20.0)
    again = Conversion.fit([never_bought(START, seen, rates)] * 5, 60, 20.0)
    assert again.probability == once.probability


def test_before_any_prospect_was_seen_the_answer_is_cautious():
    found = Conversion.fit([], HORIZON, 20.0)
    assert set(found.probability) == {0.05}
    assert found.spend_if_purchase == 20.0


# The calendar.


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    history=st.integers(0, 1500),
    horizon=st.integers(7, 400),
    step=st.integers(1, 90),
    most=st.integers(1, 40),
)
def test_no_fold_learns_from_labels_of_the_days_that_it_predicts(
    history: int, horizon: int, step: int, most: int
):
    first, window = date(2020, 1, 1), timedelta(days=horizon)
    as_of = first + timedelta(days=history)
    start = enough_history(first, horizon)
    if as_of - window < start:
        with pytest.raises(NotEnoughData, match=r"shorten --horizon-days, choose a later --as-of"):
            plan(first, start, as_of, horizon, step, most)
        return
    calendar = plan(first, start, as_of, horizon, step, most)
    days = calendar.matured
    assert 1 <= len(days) <= most
    assert calendar.evaluation == days[-1] == as_of - window
    assert days[0] >= start > first
    assert {b - a for a, b in itertools.pairwise(days[:-1])} <= {timedelta(days=step)}
    assert all(step / 2 <= (days[-1] - day).days for day in days[:-1]), "none is of the same days"
    later = plan(first, start, as_of + timedelta(days=7), horizon, step, most)
    shared = set(calendar.labelled[:-1]) & set(later.labelled)
    assert len(shared) >= min(len(calendar.labelled) - 1, most - 1) - -(-7 // step)
    assert all(day + window <= as_of for day in days), "every window has been seen to its end"
    if len(days) < most:
        assert days[0] - timedelta(days=1.5 * step) < start, "no usable day is left out"
    for day in days:
        before = calendar.before(day)
        assert all(d + window <= day for d in before)
        assert before == tuple(d for d in days if d + window <= day), "none is wasted"
        assert (day in calendar.foldable()) == bool(before)


def test_a_day_before_the_data_is_refused():
    with pytest.raises(InputError, match="2019-12-31 lies before the first order"):
        plan(date(2020, 1, 1), date(2020, 2, 1), date(2019, 12, 31), 30, 7, 5)


# Learning: what a day is judged by was made without it.


CALENDAR = plan(date(2023, 1, 1), date(2023, 2, 15), date(2024, 3, 31), 60, 20, 12)


def labelled_day(day: date, customers: int = 400) -> LabelledDay:
    """Customers who leave by a rule that one feature knows and the prior does not."""
    rng = np.random.default_rng(day_number(day))
    matrix = rng.normal(size=(customers, len(catalogue.NAMES)))
    codes = [catalogue.NAMES.index(name) for name in catalogue.CATEGORIES]
    matrix[:, codes] = rng.integers(0, 5, (customers, len(codes)))
    chance = rng.uniform(0.3, 0.7, customers)
    truth = expit(logit(chance) + 1.5 * column(matrix, "lateness"))
    purchased = rng.random(customers) > truth
    value = rng.lognormal(3, 0.5, customers)
    spend = np.where(purchased, value * rng.gamma(2.0, 0.5, customers), 0.0)
    prior = Prior("bg_nbd", BetaGeometric(0.5, 10.0, 1.0, 3.0), None, 20.0)
    return LabelledDay(day, np.arange(customers), matrix, prior, chance, value, purchased, spend)


def say_nothing(what: str, done: int, of: int) -> None:
    pass


@pytest.fixture(scope="module")
def labelled() -> list[LabelledDay]:
    return [labelled_day(day) for day in CALENDAR.matured]


def test_the_judged_days_outcomes_change_nothing_of_its_predictions(labelled: list[LabelledDay]):
    *earlier, newest = labelled
    other = replace(newest, purchased=~newest.purchased, net_spend=newest.net_spend[::-1] + 500)
    once, again = (
        learn(CALENDAR, [*earlier, last], 0, Machine(), say_nothing) for last in (newest, other)
    )
    assert once.judged[-1].day.as_of == again.judged[-1].day.as_of == newest.as_of
    for field in ("churn_probability", "expected_spend", "lower", "upper"):
        one, two = getattr(once.judged[-1], field), getattr(again.judged[-1], field)
        assert one.tobytes() == two.tobytes(), field
    assert once.trees.churn is not None
    assert again.trees.churn is not None
    assert once.trees.churn.model_to_string() != again.trees.churn.model_to_string()


def test_every_fit_and_every_fold_keeps_its_distance(
    labelled: list[LabelledDay], monkeypatch: pytest.MonkeyPatch
):
    horizon = timedelta(days=CALENDAR.horizon_days)
    fitted: list[list[date]] = []
    tuned: list[tuple[list[date], date]] = []
    fit_days, make_folds = Recipe.fit, training.recipe.folds

    def fit(recipe: Recipe, days: list[LabelledDay]) -> Trees:
        fitted.append([d.as_of for d in days])
        return fit_days(recipe, days)

    def folds(task: Any, pairs: Any) -> Any:
        tuned.extend(([d.as_of for d in learn_from], judged.as_of) for learn_from, judged in pairs)
        return make_folds(task, pairs)

    monkeypatch.setattr(Recipe, "fit", fit)
    monkeypatch.setattr(training.recipe, "folds", folds)
    learned = learn(CALENDAR, labelled, 0, Machine(), say_nothing)
    *rolling, final = fitted
    assert [p.day.as_of for p in learned.pool] == list(CALENDAR.foldable()[-ROLLING_DAYS:])
    for learned_from, predicted in zip(rolling, learned.pool, strict=True):
        assert max(learned_from) + horizon <= predicted.day.as_of
    assert final == list(CALENDAR.matured)
    assert len(tuned) == 4
    for learned_from, judged in tuned:
        assert max(learned_from) + horizon <= judged
        assert judged + horizon <= CALENDAR.evaluation, "tuning does not see the judged day either"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.take(np.arange(29)), "29 customers had bought by .*, 30 are needed"),
        (
            lambda d: replace(d, purchased=np.arange(400) < 9),
            "9 bought again by 2024-03-31 and 391 did not; 10 of each kind are needed",
        ),
        (lambda d: replace(d, purchased=np.arange(400) >= 9), "391 bought again .* and 9 did not"),
    ],
)
def test_too_little_to_learn_from_is_refused_with_what_is_missing(
    change: Any, message: str, labelled: list[LabelledDay]
):
    *earlier, newest = labelled
    with pytest.raises(NotEnoughData, match=message):
        learn(CALENDAR, [*earlier, change(newest)], 0, Machine(), say_nothing)


# What the bundle answers.


@pytest.fixture(scope="module")
def bundle(trained: dict[str, Any]) -> ScorerBundle:
    registry = context_of(trained["workspace"]).registry()
    return registry.load(registry.require_champion())


def prospect(**known: float) -> Float:
    """A customer with a return and no purchase."""
    values = dict.fromkeys(catalogue.NAMES, float("nan"))
    zero = [f.name for f in catalogue.FEATURES if f.name.startswith(("purchase", "spend_"))]
    values |= dict.fromkeys(zero, 0.0) | {"purchase_rate": float("nan")}
    values |= {"as_of_day": float(day_number(LAST)), "known_days": 4.0, "returns": 1.0, **known}
    return np.array([list(values.values())])


@pytest.fixture(scope="module")
def stored(trained: dict[str, Any]) -> pa.Table:
    """Every customer of the shop on its last day."""
    workspace = Workspace(trained["workspace"])
    return pq.read_table(snapshot_path(workspace, Ledger(workspace), LAST))


@pytest.fixture(scope="module")
def matrix(stored: pa.Table, bundle: ScorerBundle) -> Float:
    """The same as the model reads them, and two prospects."""
    known = matrix_of(stored, bundle.vocabulary)
    return np.concatenate([known, prospect(), prospect(known_days=300.0, intent_90d=2.0)])


@pytest.fixture(scope="module")
def answers(bundle: ScorerBundle, matrix: Float) -> Predictions:
    return bundle.predict(matrix)


def bits(predictions: Predictions) -> dict[str, bytes]:
    return {f.name: getattr(predictions, f.name).tobytes() for f in fields(predictions)}


def test_expected_spend_is_the_mixture_of_its_two_means(answers: Predictions):
    p = answers.churn_probability
    mixture = (1 - p) * answers.spend_if_purchase + p * answers.spend_if_none
    assert answers.expected_spend.tobytes() == mixture.tobytes()
    assert (answers.spend_if_none <= 0).all(), "who buys nothing can only return"
    assert (answers.expected_spend >= answers.spend_if_none).all()
    assert (answers.expected_spend <= answers.spend_if_purchase).all()


def test_answers_are_finite_and_in_range(answers: Predictions):
    for field in fields(answers):
        assert np.isfinite(getattr(answers, field.name)).all(), field.name
    assert ((answers.churn_probability > 0) & (answers.churn_probability < 1)).all()
    assert (answers.spend_lower <= answers.spend_upper).all()
    certain = answers.spend_lower == answers.spend_upper
    assert (answers.churn_probability[certain] > 0.8).all(), "only silence is nearly certain"


def test_prospects_are_answered_from_the_conversions_of_others_and_flagged(
    bundle: ScorerBundle, answers: Predictions, matrix: Float
):
    assert answers.prospect.tolist() == [False] * (len(matrix) - 2) + [True] * 2
    chances = dict(zip(GROUPS, bundle.conversion.probability, strict=True))
    said = [1 - chances["recent"], 1 - chances["intent"]]
    assert answers.churn_probability[-2:].tolist() == said
    assert answers.spend_if_purchase[-2:].tolist() == [bundle.conversion.spend_if_purchase] * 2
    assert not bundle.attribution(matrix).contributions[-2:].any(), (
        "there is no history to give as a reason"
    )
    assert bundle.attribution(matrix).contributions[:-2].any(axis=1).all()


def test_prospects_beside_them_change_nothing_for_buyers(
    bundle: ScorerBundle, answers: Predictions, matrix: Float
):
    alone = bundle.predict(matrix[:-2])
    for field in fields(answers):
        assert getattr(alone, field.name).tobytes() == getattr(answers, field.name)[:-2].tobytes()


def test_value_over_the_horizon_itself_is_expected_spend(bundle: ScorerBundle, matrix: Float):
    plain = replace(bundle, horizon_days=YEAR_DAYS, terms=ValueTerms(1.0, 0.0))
    said = plain.predict(matrix)
    assert said.clv_12m == pytest.approx(said.expected_spend, rel=1e-9)


def test_value_follows_margin_and_falls_with_the_discount(bundle: ScorerBundle, matrix: Float):
    def clv(rate: float, margin: float) -> Float:
        return replace(bundle, terms=ValueTerms(margin, rate)).predict(matrix[:-2]).clv

    assert clv(0.1, 0.5) == pytest.approx(clv(0.1, 1.0) / 2, rel=1e-12)
    plain = clv(0.0, 1.0)
    # Who mostly returns has a value below nothing, which a discount raises.
    gains = (np.diff(plain, axis=1, prepend=0.0) >= 0).all(axis=1)
    assert gains.mean() > 0.5
    assert (clv(0.2, 1.0)[gains] <= plain[gains]).all()


def test_a_longer_horizon_never_holds_fewer_purchases_and_costs_can_make_it_worth_less(
    bundle: ScorerBundle, matrix: Float
):
    buyers = matrix[:-2]
    foretold = bundle.prior.foretell(buyers, bundle.horizon_days, growth_days=CLV_DAYS)
    assert (np.diff(foretold.growth, axis=1) >= 0).all()
    free = replace(bundle, terms=ValueTerms(1.0, 0.0)).predict(buyers)
    costly = replace(bundle, terms=ValueTerms(1.0, 0.0, service_cost_yearly=1e6)).predict(buyers)
    assert (np.diff(costly.clv, axis=1) <= 0).all()
    assert (costly.clv <= free.clv).all()


def test_the_interval_of_a_value_lies_around_it_and_widens_with_the_horizon(
    bundle: ScorerBundle, matrix: Float
):
    said = bundle.predict(matrix[:-2])
    assert (said.clv_lower <= said.clv_upper).all()
    living = said.churn_probability < 0.5
    width = (said.clv_upper - said.clv_lower)[living]
    assert (np.diff(width, axis=1) >= -1e-9).mean() > 0.95


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_a_row_is_answered_alike_alone_and_among_others(
    bundle: ScorerBundle, matrix: Float, answers: Predictions, size: int
):
    reasons = bundle.attribution(matrix).contributions
    for start in (*range(0, len(matrix) - size, len(matrix) // 60), len(matrix) - size):
        rows = slice(start, start + size)
        part = bundle.predict(matrix[rows])
        for field in fields(answers):
            whole = getattr(answers, field.name)[rows]
            assert getattr(part, field.name).tobytes() == whole.tobytes(), field.name
        alone = bundle.attribution(matrix[rows]).contributions
        assert alone.tobytes() == reasons[rows].tobytes()


def test_threads_change_no_answer(bundle: ScorerBundle, matrix: Float, answers: Predictions):
    assert bits(bundle.predict(matrix, threads=2)) == bits(answers)


def test_nobody_is_answered_with_nothing(bundle: ScorerBundle, matrix: Float):
    empty = bundle.predict(matrix[:0])
    assert {len(getattr(empty, f.name)) for f in fields(empty)} == {0}


# The bundle's files.


@pytest.fixture
def saved(bundle: ScorerBundle, tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    bundle.save(folder)
    return folder


def fresh_booster(seed: int) -> lgb.Booster:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(500, len(TREE_FEATURES)))
    rows[:, TREE_CATEGORIES] = rng.integers(0, 9, (500, len(TREE_CATEGORIES)))
    rows[rng.random(rows.shape) < 0.2] = np.nan
    label = np.nan_to_num(rows[:, 3]) + np.nan_to_num(rows[:, 7]) ** 2 + rng.normal(size=500) / 9
    label += 2.0 * np.isin(rows[:, TREE_CATEGORIES[0]], (1, 4, 5))
    parameters = {"num_leaves": 9, "verbosity": -1, "num_threads": 1, "learning_rate": 0.07,
                  "boost_from_average": False, "min_data_per_group": 10}  # fmt: skip
    data = lgb.Dataset(rows, label, categorical_feature=list(TREE_CATEGORIES))
    return lgb.train(parameters, data, num_boost_round=15)


@pytest.mark.parametrize("trees", ["registered", "fresh", "none"])
def test_a_bundle_read_back_answers_with_the_same_bits(
    bundle: ScorerBundle, matrix: Float, trees: str, tmp_path: Path
):
    made = {
        "registered": bundle,
        "fresh": replace(bundle, trees=Trees(fresh_booster(1), fresh_booster(2))),
        "none": replace(bundle, trees=Trees(), kind="btyd"),
    }[trees]
    for name in ("once", "twice"):
        (tmp_path / name).mkdir()
    made.save(tmp_path / "once")
    back = ScorerBundle.load(tmp_path / "once")
    assert bits(back.predict(matrix)) == bits(made.predict(matrix))
    assert back.middle == made.middle
    for method in ("fast", "exact"):
        ours, theirs = (b.attribution(matrix, method) for b in (back, made))
        assert ours.contributions.tobytes() == theirs.contributions.tobytes()
    back.save(tmp_path / "twice")
    once, twice = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("once", "twice")
    )
    assert once == twice


def flip_a_digit(path: Path) -> None:
    text = path.read_text()
    place = text.index("leaf_value=") + len("leaf_value=-0.00")
    path.write_text(text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :])


def of_a_former_layout(path: Path) -> None:
    values = json.loads(path.read_text())
    del values["vocabulary"]
    path.write_text(json.dumps({**values, "format": 1}))


def of_other_features(path: Path) -> None:
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "feature_names": values["feature_names"][::-1]}))


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        (CHURN_FILE, flip_a_digit, r"churn\.txt is not the one that was registered \(its SHA-256"),
        (SPEND_FILE, flip_a_digit, r"spend\.txt is not the one that was registered \(its SHA-256"),
        (CHURN_FILE, Path.unlink, r"lacks its file churn\.txt; train and promote again"),
        (MANIFEST, Path.unlink, r"no readable manifest\.json; train and promote again"),
        (MANIFEST, lambda path: path.write_text("{"), r"no readable manifest\.json"),
        (MANIFEST, lambda path: path.write_text("{}"), r"stored in another layout \(None, this"),
        (
            MANIFEST,
            of_a_former_layout,
            rf"another layout \(1, this is {FORMAT}\); run `lifecycle train`",
        ),
        (MANIFEST, of_other_features, "another version of the feature list"),
    ],
)
def test_a_damaged_bundle_is_refused(file: str, damage: Any, message: str, saved: Path):
    before = (saved / file).read_bytes()
    damage(saved / file)
    assert not (saved / file).exists() or (saved / file).read_bytes() != before
    with pytest.raises(WorkspaceError, match=message):
        ScorerBundle.load(saved)


# Attribution.


def coded(matrix: Float) -> Float:
    """Give the shop's customers codes of every category, unknown and unseen ones among them."""
    known = matrix.copy()
    places = [catalogue.NAMES.index(name) for name in catalogue.CATEGORIES]
    codes = np.random.default_rng(5).integers(-1, 11, (len(matrix), len(places))).astype(float)
    known[:, places] = np.where(codes < 0, np.nan, codes)
    return known


def splits(node: dict[str, Any]) -> set[tuple[int, str]]:
    """Feature and kind of every split below a node."""
    if "leaf_value" in node:
        return set()
    below = splits(node["left_child"]) | splits(node["right_child"])
    return below | {(node["split_feature"], node["decision_type"])}


def test_codes_are_learned_as_categories_and_not_as_numbers():
    trees = fresh_booster(3).dump_model()["tree_info"]
    found = set().union(*(splits(tree["tree_structure"]) for tree in trees))
    assert (TREE_CATEGORIES[0], "==") in found, "a test without such a split would prove little"
    assert {kind for feature, kind in found if feature in TREE_CATEGORIES} == {"=="}
    assert {kind for feature, kind in found if feature not in TREE_CATEGORIES} == {"<="}


def attributed(booster: lgb.Booster, matrix: Float, method: Method) -> Attribution:
    if method == "exact":
        return tree_shap(booster, matrix)
    leaves = Leaves.of(booster).found(training.dataset.tree_matrix(matrix))
    return PathAttribution.of(booster).attribute(leaves)


@pytest.mark.parametrize("method", ["fast", "exact"])
@pytest.mark.parametrize("which", ["registered", "fresh", "stumps that never split"])
def test_contributions_add_up_to_the_trees_score(
    bundle: ScorerBundle, matrix: Float, which: str, method: Method
):
    if which == "registered":
        booster = bundle.trees.churn
    elif which == "fresh":
        booster = fresh_booster(3)
    else:
        flat = lgb.Dataset(np.zeros((50, len(TREE_FEATURES))), np.arange(50.0))
        booster = lgb.train({"verbosity": -1, "num_threads": 1}, flat, num_boost_round=2)
    assert booster is not None
    matrix = coded(matrix)
    inputs = training.dataset.tree_matrix(matrix)
    raw = booster.predict(inputs, raw_score=True, num_threads=1)
    added = attributed(booster, matrix, method)
    assert added.contributions.shape == (len(matrix), len(catalogue.NAMES))
    assert added.contributions.sum(axis=1) + added.base == pytest.approx(raw, abs=1e-9)


@pytest.mark.parametrize("method", ["fast", "exact"])
@pytest.mark.parametrize("trees", ["registered", "fresh", "none"])
def test_contributions_and_base_are_the_calibrated_log_odds(
    bundle: ScorerBundle, matrix: Float, trees: str, method: Method
):
    """The identity that makes them shares of this very answer, the prior's part included."""
    # A line that moves and stretches, whatever the shop's own happens to be.
    line = replace(bundle.adjustment.churn, tree_weight=0.7, centre=0.3, level=-0.2, slope=0.9)
    made = {
        "registered": bundle,
        "fresh": replace(bundle, trees=Trees(fresh_booster(1), None)),
        "none": replace(bundle, trees=Trees()),
    }[trees]
    made = replace(made, adjustment=replace(made.adjustment, churn=line))
    buyers = coded(matrix)[:-2]
    said = made.predict(buyers).churn_probability
    added = made.attribution(buyers, method)
    total = added.base + added.contributions.sum(axis=1)
    within = (said > BOUNDS[0]) & (said < BOUNDS[1])
    assert within.mean() > 0.9
    assert total[within] == pytest.approx(logit(said[within]), abs=1e-9)


def test_exact_contributions_treat_two_features_that_say_the_same_alike():
    """Symmetry, which Shapley values promise and the path does not keep."""
    rng = np.random.default_rng(4)
    rows = np.zeros((800, len(TREE_FEATURES)))
    twins = [TREE_FEATURES.index(name) for name in ("lateness", "recency_days")]
    rows[:, twins] = rng.integers(0, 2, (800, 2))
    parameters = {"verbosity": -1, "num_threads": 1, "num_leaves": 4, "lambda_l2": 0.0}
    label = rows[:, twins].prod(axis=1)
    booster = lgb.train(parameters, lgb.Dataset(rows, label), num_boost_round=1)
    one = np.zeros((1, len(catalogue.NAMES)))
    places = [catalogue.NAMES.index(name) for name in ("lateness", "recency_days")]
    one[0, places] = 1.0
    exact, fast = (
        attributed(booster, one, method).contributions[0, places] for method in ("exact", "fast")
    )
    assert exact[0] == pytest.approx(exact[1], rel=0.15), "the sample is not quite balanced"
    assert abs(fast[0] - fast[1]) > 0.3 * abs(fast).max()


def test_only_features_on_the_path_are_credited():
    rows = np.random.default_rng(0).normal(size=(400, len(TREE_FEATURES)))
    only = TREE_FEATURES.index("lateness")
    booster = lgb.train(
        {"verbosity": -1, "num_threads": 1}, lgb.Dataset(rows, rows[:, only]), num_boost_round=3
    )
    matrix = np.zeros((5, len(catalogue.NAMES)))
    added = attributed(booster, matrix, "fast").contributions
    credited = {catalogue.NAMES[place] for place in np.flatnonzero(added.any(axis=0))}
    assert credited == {"lateness"}


def test_features_that_say_nothing_cost_nothing_and_change_nothing():
    """Null or constant in training, as those of absent tables are, whatever they say later."""
    rng = np.random.default_rng(11)
    day = labelled_day(CALENDAR.evaluation)
    absent = [catalogue.NAMES.index(f.name) for f in catalogue.FEATURES if f.table != "orders"]
    day.matrix[:, absent] = np.nan
    constant = day.matrix.copy()
    constant[:, absent[::2]] = 3.0
    parameters = {"num_leaves": 6, "min_child_samples": 20, "feature_fraction": 0.4, "rounds": 12}
    noisy = day.matrix.copy()
    noisy[:, absent] = rng.normal(size=(len(noisy), len(absent)))
    said = []
    for matrix in (day.matrix, constant):
        booster = fit("churn", Rows("churn", [replace(day, matrix=matrix)]), parameters, Machine())
        inputs = training.dataset.tree_matrix(noisy)
        said.append(booster.predict(inputs, raw_score=True, num_threads=1).tobytes())
        used = np.flatnonzero(booster.feature_importance("split"))
        assert {TREE_FEATURES[place] for place in used}.isdisjoint(
            catalogue.NAMES[place] for place in absent
        )
    assert said[0] == said[1]


def test_a_category_that_matters_is_learned_in_a_small_shop_too():
    """Regularised as it is: three regions, in one of which customers leave."""
    place = catalogue.NAMES.index("region")
    days = []
    for day in (labelled_day(d) for d in CALENDAR.matured):
        rng = np.random.default_rng(day_number(day.as_of))
        day.matrix[:, place] = rng.integers(0, 3, len(day.matrix))
        stays = rng.random(len(day.matrix)) > expit(
            logit(day.prior_churn) + np.where(day.matrix[:, place] == 1, 1.2, -0.6)
        )
        days.append(replace(day, purchased=stays))
    booster = fit("churn", Rows("churn", days), DEFAULTS["churn"], Machine())
    gains = booster.feature_importance("gain")
    assert TREE_FEATURES[int(np.argmax(gains))] == "region"
    found = set().union(*(splits(t["tree_structure"]) for t in booster.dump_model()["tree_info"]))
    assert (TREE_FEATURES.index("region"), "==") in found


def test_the_calendar_is_not_learned():
    assert set(NOT_LEARNED) - set(ACCOUNTS) - set(catalogue.LISTED) == {
        "as_of_day", "season_days", "season", "marketing_consent",
    }  # fmt: skip
    assert set(TREE_FEATURES) | set(NOT_LEARNED) == set(catalogue.NAMES)


# Intervals and calibration, on data whose truth is known.


def spends(
    customers: int, seed: int, returns: float = 0.0, chance: tuple[float, float] = (2.0, 2.0)
) -> tuple[Float, Float, NDArray[np.bool_], Float]:
    """Churn probability, mean given a purchase, outcome, net spend: a zero-inflated gamma."""
    rng = np.random.default_rng(seed)
    churn = rng.beta(*chance, customers)
    mean = rng.lognormal(4.0, 1.0, customers)
    purchased = rng.random(customers) > churn
    spend = np.where(purchased, mean * rng.gamma(1.5, 1 / 1.5, customers), 0.0)
    back = purchased & (rng.random(customers) < returns)
    return churn, mean, purchased, np.where(back, -0.2 * spend, spend)


@pytest.mark.parametrize("returns", [0.0, 0.08])
@pytest.mark.parametrize("chance", [(2.0, 2.0), (5.0, 2.0), (1.0, 4.0)])
@pytest.mark.parametrize("customers", [1500, 12_000])
def test_the_interval_covers_what_it_promises_of_fresh_customers(
    returns: float, chance: tuple[float, float], customers: int
):
    table = IntervalTable.fit(*spends(customers, 1, returns, chance))
    churn, mean, _, seen = spends(20_000, 2, returns, chance)
    lower, upper = table.bounds(churn, mean)
    covered = np.mean((lower <= seen[:, None]) & (seen[:, None] <= upper), axis=0)
    assert 0.88 <= covered[-1] <= 0.94
    assert (covered >= np.array(PROMISED) - 0.02).all()
    assert (lower <= upper).all()
    assert (np.diff(lower, axis=1) <= 0).all()
    assert (np.diff(upper, axis=1) >= 0).all()


def test_the_interval_knows_that_the_likely_silent_spend_nothing():
    table = IntervalTable.fit(*spends(5000, 1))
    lower, upper = (
        side[:, -1] for side in table.bounds(np.array([0.999, 0.5, 0.001]), np.full(3, 100.0))
    )
    assert upper[0] == lower[0] == lower[1] == 0
    assert lower[2] > 0
    assert upper[1] > 100


def test_the_interval_table_survives_json_to_the_bit():
    table = IntervalTable.fit(*spends(3000, 1, 0.1))
    back = IntervalTable.from_dict(json.loads(json.dumps(table.to_dict())))
    churn, mean, *_ = spends(500, 2)
    for one, other in zip(table.bounds(churn, mean), back.bounds(churn, mean), strict=True):
        assert one.tobytes() == other.tobytes()


def test_an_interval_without_any_purchase_is_refused():
    nobody = np.zeros(5, dtype=bool)
    with pytest.raises(ValueError, match="no purchase in any label window"):
        IntervalTable.fit(np.full(5, 0.5), np.ones(5), nobody, np.zeros(5))


FAR_APART = 1000.0
"""Horizons between two days, so many that a level seen on all of them is there to stay."""


NO_LEVEL = Forecast(0.0, 0.0, 0.0)
"""Of a level that is known to be none."""


def none_of(day: NDArray[np.int64]) -> list[Level]:
    """A prior whose own levels were none."""
    return [Level(int(d), 0.0, 1e-3) for d in np.unique(day)]


@pytest.mark.parametrize(("shift", "slope"), [(0.0, 1.0), (0.6, 1.0), (-0.4, 0.6), (0.3, 1.4)])
def test_churn_calibration_finds_a_known_shift_and_slope(shift: float, slope: float):
    rng = np.random.default_rng(3)
    prior = expit(rng.normal(0.3, 1.0, 60_000))
    centre = logit(prior).mean()
    truth = expit(centre + shift + slope * (logit(prior) - centre))
    day = np.repeat(np.arange(6) * FAR_APART, 10_000)
    nothing = np.zeros(len(prior))
    fitted, said = ChurnCalibration.fit(
        prior, nothing, rng.random(60_000) < truth, day, none_of(day), NO_LEVEL, NO_TREES
    )
    assert fitted.tree_weight == 0
    assert fitted.slope == pytest.approx(slope, abs=0.05)
    assert fitted.level == pytest.approx(shift, abs=0.05)
    assert fitted.probability(prior, nothing) == pytest.approx(truth, abs=0.02)
    assert said == pytest.approx(truth, abs=0.04)


def test_days_of_other_levels_do_not_bend_the_slope_and_keep_their_own():
    rng = np.random.default_rng(8)
    day = np.repeat(np.arange(6) * FAR_APART, 10_000)
    shifts = np.array([0.9, -0.9, 0.0, 0.7, -0.7, 0.0])
    # The later days' customers are the likelier to leave, so that pooled days would bend the line.
    log_odds = rng.normal(0.0, 0.7, 60_000) + np.repeat(np.linspace(-1, 1, 6), 10_000)
    truth = expit(log_odds + np.repeat(shifts, 10_000))
    history = [Level(int(d), s, 1e-3) for d, s in zip(np.unique(day), shifts, strict=True)]
    fitted, said = ChurnCalibration.fit(
        expit(log_odds),
        np.zeros(60_000),
        rng.random(60_000) < truth,
        day,
        history,
        NO_LEVEL,
        NO_TREES,
    )
    assert fitted.slope == pytest.approx(1.0, abs=0.04)
    assert fitted.level == pytest.approx(0.0, abs=0.04)
    assert said == pytest.approx(truth, abs=0.04)


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_churn_calibration_finds_how_far_to_trust_the_trees(weight: float):
    rng = np.random.default_rng(4)
    prior, trees = expit(rng.normal(0, 1, 40_000)), rng.normal(0, 1, 40_000)
    churned = rng.random(40_000) < expit(logit(prior) + weight * trees)
    day = np.repeat(np.arange(4) * FAR_APART, 10_000)
    fitted, _ = ChurnCalibration.fit(prior, trees, churned, day, none_of(day), NO_LEVEL)
    assert fitted.tree_weight == pytest.approx(weight, abs=0.11)


def test_no_churn_probability_is_certain():
    said = ChurnCalibration(level=50.0).probability(np.array([0.5]), np.zeros(1))
    assert said.tolist() == [BOUNDS[1]]


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.6])
def test_spend_calibration_makes_the_totals_add_up(scale: float):
    churn, mean, purchased, net = spends(40_000, 5)
    seen = np.where(purchased, scale * net, np.where(np.arange(40_000) % 50 == 0, -10.0, 0.0))
    day = np.repeat(np.arange(4) * FAR_APART, 10_000)
    nothing = np.zeros(40_000)
    fitted, with_levels = SpendCalibration.fit(
        mean, nothing, churn, purchased, seen, day, none_of(day), NO_LEVEL, NO_TREES
    )
    assert fitted.spend_if_none == pytest.approx(seen[~purchased].mean(), rel=1e-12)
    assert np.exp(fitted.level) == pytest.approx(scale, rel=0.06)
    for said in (fitted.spend_if_purchase(mean, nothing), with_levels):
        total = ((1 - churn) * said + churn * fitted.spend_if_none).sum()
        assert total == pytest.approx(seen.sum(), rel=0.02)


def test_trees_learn_nothing_from_a_season_that_moves_all_alike():
    rng = np.random.default_rng(2)
    days = []
    for place, day in enumerate(CALENDAR.matured[:4]):
        one = labelled_day(day, 3000)
        shift = 1.2 if place % 2 else -1.2
        purchased = rng.random(3000) > expit(logit(one.prior_churn) + shift)
        days.append(replace(one, purchased=purchased))
    booster = fit("churn", Rows("churn", days), DEFAULTS["churn"], Machine())
    assert abs(correction(booster, days[0].matrix).mean()) < 0.05


# Metrics.


def said_and_seen(seed: int = 6) -> tuple[Float, NDArray[np.bool_], Float, Float]:
    churn, mean, purchased, net = spends(2000, seed)
    return churn, ~purchased, (1 - churn) * mean, net


def test_churn_metrics_are_those_of_scikit_learn():
    probability, churned, _, _ = said_and_seen()
    said = metrics.churn_metrics(probability, churned)
    assert said["auc"] == roc_auc_score(churned, probability)
    assert said["pr_auc"] == average_precision_score(churned, probability)
    assert said["log_loss"] == pytest.approx(log_loss(churned, probability), rel=1e-9)
    assert said["churn_said"] == pytest.approx(probability.mean())
    assert said["churn_seen"] == churned.mean()


@pytest.mark.parametrize("power", [1.2, 1.5, 1.9])
def test_tweedie_deviance_is_that_of_scikit_learn(power: float):
    *_, said, seen = said_and_seen()
    expected = mean_tweedie_deviance(seen, said, power=power)
    assert metrics.tweedie_deviance(said, seen, power) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("said", "seen", "expected"),
    [
        ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], (0.1 + 0.2 + 0.2 + 0.1) / 4),
        ([0.5, 0.5, 0.5, 0.5], [1, 1, 1, 1], 0.5),
        ([0.25, 0.25, 0.25, 0.25], [1, 0, 0, 0], 0.0),
    ],
)
def test_calibration_error_by_hand(said: list[float], seen: list[int], expected: float):
    error = metrics.calibration_error(np.array(said), np.array(seen, dtype=bool), bins=4)
    assert error == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("said", "expected"),
    [([1, 2, 3, 4], 1.0), ([4, 3, 2, 1], -1.0), ([1, 2, 4, 3], 0.8), ([1, 1, 1, 1], 0.0)],
)
def test_gini_by_hand(said: list[float], expected: float):
    seen = np.array([0.0, 10.0, 20.0, 30.0])
    assert metrics.normalised_gini(np.array(said, float), seen) == pytest.approx(expected)


def test_decile_error_and_value_capture_by_hand():
    seen = np.arange(1.0, 21.0)
    assert metrics.decile_error(seen, seen) == 0
    assert metrics.decile_error(seen * 1.5, seen) == pytest.approx(0.5)
    assert metrics.value_capture(seen, seen) == 1
    assert metrics.value_capture(-seen, seen) == pytest.approx((1 + 2) / (19 + 20))


def test_interval_score_by_hand():
    said = metrics.interval_metrics(
        np.array([0.0, 0.0, 5.0]), np.array([10.0, 10.0, 9.0]), np.array([4.0, 12.0, 4.0]), 0.9
    )
    assert said["coverage_90"] == pytest.approx(1 / 3)
    assert said["interval_score_90"] == pytest.approx(((10) + (10 + 20 * 2) + (4 + 20 * 1)) / 3)


def test_metrics_do_not_depend_on_the_order_of_customers():
    """Ties included: rows stand by customer id, and old ids are not random customers."""
    probability, churned, said, seen = said_and_seen()
    probability, said = probability.round(1), np.round(said, -2)
    order = np.argsort(-seen)
    usual = {**metrics.churn_metrics(probability, churned), **metrics.spend_metrics(said, seen)}
    sorted_by_outcome = {
        **metrics.churn_metrics(probability[order], churned[order]),
        **metrics.spend_metrics(said[order], seen[order]),
    }
    assert sorted_by_outcome == pytest.approx(usual, rel=1e-9)


@pytest.mark.parametrize("churned", [True, False])
def test_ranking_of_one_outcome_alone_is_unknown_and_not_perfect(churned: bool):
    said = metrics.churn_metrics(np.linspace(0.1, 0.9, 9), np.full(9, churned))
    assert np.isnan(said["auc"])
    assert np.isnan(said["pr_auc"])
    assert np.isfinite(said["log_loss"])


def test_spend_that_nobody_spent_gives_no_ratio():
    said = metrics.spend_metrics(np.ones(4), np.zeros(4))
    assert all(np.isnan(said[name]) for name in said if name != "spend_deviance")


# What a run leaves behind.


@pytest.fixture(scope="module")
def run(trained: dict[str, Any]) -> Any:
    import mlflow

    uri = context_of(trained["workspace"]).registry().uri
    look_at(uri)
    return mlflow.MlflowClient(uri, uri).get_run(trained["train"]["run_id"])


def test_the_run_says_what_was_trained_on_what(run: Any, trained: dict[str, Any]):
    said = trained["train"]
    workspace = Workspace(trained["workspace"])
    expected = {
        "as_of": shop.LAST_DAY,
        "horizon_days": "60",
        "feature_service": catalogue.SERVICES["scorer"],
        "data_fingerprint": Ledger(workspace).fingerprint(LAST),
        "training_days": str(said["training_days"]),
        "last_training_day": "2024-05-01",
        "catalogue_version": str(catalogue.VERSION),
        "seed": "7",
        "margin": "0.3",
    }
    assert {key: run.data.params[key] for key in expected} == expected
    for task in ("churn", "spend"):
        assert {f"{task}_{p}" for p in ("num_leaves", "learning_rate", "rounds")} <= set(
            run.data.params
        )
    assert run.data.tags["kind"] == said["kind"]


def test_the_registered_version_carries_what_the_gate_reads(run: Any, trained: dict[str, Any]):
    champion = context_of(trained["workspace"]).registry().require_champion()
    assert champion.run_id == run.info.run_id
    for key in ("kind", "as_of", "horizon_days", "decision", "why"):
        assert champion.tags[key] == run.data.tags[key]
    assert float(champion.tags["primary_skill"]) == pytest.approx(
        run.data.metrics["skill/primary"], abs=1e-4
    )


def test_nothing_that_was_stored_can_run_code(trained: dict[str, Any]):
    """A pickle starts with a protocol byte, whatever its name."""
    stored = [p for p in (trained["workspace"] / "mlflow").rglob("*") if p.is_file()]
    assert {"churn.txt", "spend.txt", "manifest.json", "model.lgb"} <= {p.name for p in stored}
    for path in stored:
        assert path.suffix not in {".pkl", ".pickle", ".joblib", ".cloudpickle"}, path
        start = path.read_bytes()[:2]
        assert not (start[:1] == b"\x80" and start[1:] <= b"\x05"), path


@pytest.fixture(scope="module")
def champion(trained: dict[str, Any]) -> Any:
    import mlflow

    look_at(context_of(trained["workspace"]).registry().uri)
    return mlflow.pyfunc.load_model(f"models:/{MODEL}@champion")


def inputs(stored: pa.Table) -> pd.DataFrame:
    """Categories as text and all else as floats, as the signature says."""
    frame = stored.select(list(catalogue.NAMES)).to_pandas()
    numbers = [name for name in catalogue.NAMES if name not in catalogue.CATEGORIES]
    return frame.astype(dict.fromkeys(numbers, "float64"))


def test_the_registered_model_predicts_what_the_bundle_does(
    champion: Any, stored: pa.Table, matrix: Float, bundle: ScorerBundle
):
    assert np.isfinite(column(matrix, "category_favourite")).any(), "a shop with categories"
    frame = inputs(stored)
    numbers = bundle.predict(matrix[:-2]).numbers()
    shuffled = frame[np.random.default_rng(0).permutation(frame.columns)]
    for given_frame in (frame, shuffled):
        said = champion.predict(given_frame)
        assert list(said.columns) == list(OUTPUTS)
        for name in OUTPUTS:
            assert said[name].to_numpy().tobytes() == numbers[name].tobytes(), name


@pytest.mark.parametrize("name", ["recency_days", "category_favourite", "as_of_day"])
def test_a_missing_column_is_refused_by_the_signature(champion: Any, stored: pa.Table, name: str):
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match=rf"(?s)missing inputs \['{name}'\]"):
        champion.predict(inputs(stored.slice(0, 3)).drop(columns=name))


def test_a_text_in_place_of_a_number_is_refused_by_the_signature(champion: Any, stored: pa.Table):
    from mlflow.exceptions import MlflowException

    wrong = inputs(stored.slice(0, 3)).assign(recency_days="long ago")
    with pytest.raises(MlflowException, match="recency_days"):
        champion.predict(wrong)


def test_a_tampered_manifest_is_refused(trained: dict[str, Any], tmp_path: Path):
    folder = bundle_folder(trained["workspace"], trained["promote"]["champion"])
    copy = tmp_path / "bundle"
    shutil.copytree(folder, copy)
    digest = hashlib.sha256((copy / MANIFEST).read_bytes()).hexdigest()
    ScorerBundle.load(copy, digest)
    text = (copy / MANIFEST).read_text()
    (copy / MANIFEST).write_text(text.replace('"margin": 0.3', '"margin": 0.9'))
    with pytest.raises(WorkspaceError, match=r"manifest\.json is not the one.*SHA-256"):
        ScorerBundle.load(copy, digest)
