"""Every customer is in exactly one stage, by the first rule that matches."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.population import StageThresholds
from training.stages import STAGE_FEATURES, STAGE_NAMES_ZH, STAGES, assign, rule_text

COMPANY = StageThresholds(
    silent_days=91,
    activation_days=30,
    churn_high=0.7,
    churn_low=0.3,
    value_high=200,
    lateness_high=2,
    company_gap_days=40,
)
NAN = np.nan
# A repeat buyer on time, of middling risk and value; each case changes what it is about.
USUAL = {
    "purchases": 5.0,
    "recency_days": 10.0,
    "tenure_days": 400.0,
    "gap_mean_days": 20.0,
    "gap_last_days": 20.0,
    "lateness": 0.5,
    "intent_90d": 0.0,
    "churn_probability": 0.5,
    "annual_value": 100.0,
}
PROSPECT = dict.fromkeys(STAGE_FEATURES, NAN) | {"purchases": 0.0}
ONE_ORDER = {"purchases": 1.0, "gap_mean_days": NAN, "gap_last_days": NAN, "lateness": NAN}
LOYAL = {"churn_probability": 0.3, "annual_value": 200.0}


def assign_table(
    rows: list[dict[str, float]], thresholds: StageThresholds = COMPANY
) -> NDArray[np.int8]:
    names = {name for row in rows for name in row}
    table = {name: np.array([row.get(name, NAN) for row in rows], dtype=float) for name in names}
    churn, value = table.pop("churn_probability"), table.pop("annual_value")
    return assign(table, churn, value, thresholds)


def stage_of(thresholds: StageThresholds = COMPANY, **changed: Any) -> str:
    return STAGES[int(assign_table([USUAL | changed], thresholds)[0])]


@pytest.mark.parametrize(
    ("changed", "stage"),
    [
        (PROSPECT, "prospect_aware"),
        (PROSPECT | {"purchases": NAN}, "prospect_aware"),
        (PROSPECT | {"intent_90d": 0.0}, "prospect_aware"),
        (PROSPECT | {"intent_90d": NAN}, "prospect_aware"),
        (PROSPECT | {"intent_90d": 1.0}, "prospect_considering"),
        (PROSPECT | {"churn_probability": 0.99, **LOYAL}, "prospect_aware"),
        ({"intent_90d": 1.0}, "developing"),
        # silence is a fact: beyond, not at, the threshold, and whatever is predicted
        ({"recency_days": 91.5}, "churned"),
        ({"recency_days": 92.0, **LOYAL}, "churned"),
        ({"recency_days": 91.0, "lateness": 1.0}, "developing"),
        ({"recency_days": 92.0, "gap_last_days": 200.0}, "churned"),
        ({"recency_days": 92.0, **ONE_ORDER}, "churned"),
        # the first order after a silence, to the end of the activation window
        ({"gap_last_days": 92.0}, "won_back"),
        ({"gap_last_days": 92.0, "recency_days": 30.0}, "won_back"),
        ({"gap_last_days": 92.0, "recency_days": 31.0}, "developing"),
        ({"gap_last_days": 91.0}, "developing"),
        ({"gap_last_days": 92.0, "churn_probability": 0.99}, "won_back"),
        # the first order within the activation window, repeated or not
        ({"tenure_days": 0.0, "recency_days": 0.0, **ONE_ORDER}, "new"),
        ({"tenure_days": 30.0, "recency_days": 30.0, **ONE_ORDER}, "new"),
        ({"tenure_days": 31.0, "recency_days": 31.0, **ONE_ORDER}, "developing"),
        ({"tenure_days": 30.0, "churn_probability": 0.99}, "new"),
        ({"tenure_days": 30.0, **LOYAL}, "new"),
        # behind the own cadence
        ({"lateness": 2.1}, "declining"),
        ({"lateness": 2.0}, "developing"),
        ({"lateness": 2.1, **LOYAL}, "declining"),
        ({"lateness": NAN, "recency_days": 41.0}, "declining"),
        ({"lateness": NAN, "recency_days": 40.0}, "developing"),
        # one order: the company's usual gap stands in
        ({"recency_days": 81.0, **ONE_ORDER}, "declining"),
        ({"recency_days": 80.0, **ONE_ORDER}, "developing"),
        # high churn probability
        ({"churn_probability": 0.71}, "declining"),
        ({"churn_probability": 0.7}, "developing"),
        # steady, safe and valuable, all three
        (LOYAL, "loyal"),
        (LOYAL | {"churn_probability": 0.31}, "developing"),
        (LOYAL | {"annual_value": 199.99}, "developing"),
        (LOYAL | {"gap_last_days": 40.0}, "loyal"),
        (LOYAL | {"gap_last_days": 41.0}, "developing"),
        (LOYAL | {"recency_days": 31.0, "lateness": 0.8, **ONE_ORDER}, "developing"),
        (LOYAL | {"churn_probability": NAN}, "developing"),
        (LOYAL | {"annual_value": NAN}, "developing"),
        ({}, "developing"),
    ],
)
def test_the_first_rule_that_matches_gives_the_stage(changed: dict[str, Any], stage: str) -> None:
    assert stage_of(**changed) == stage


def test_every_stage_can_be_reached() -> None:
    assert STAGES == (
        "prospect_aware",
        "prospect_considering",
        "churned",
        "won_back",
        "new",
        "declining",
        "loyal",
        "developing",
    )
    assert tuple(STAGE_NAMES_ZH) == STAGES


def test_where_all_customers_look_alike_none_is_declining() -> None:
    alike = StageThresholds(91, 30, 0.5, 0.5, 100, 2, 40)
    assert stage_of(alike) == "loyal"


def test_without_a_usual_gap_in_the_company_one_order_is_not_late() -> None:
    no_repeats = StageThresholds(91, 30, 0.7, 0.3, 200, 2, NAN)
    assert stage_of(no_repeats, recency_days=81.0, **ONE_ORDER) == "developing"
    assert "nan" not in " ".join(rule_text(stage, no_repeats) for stage in STAGES)


numbers = st.floats(-10, 500) | st.sampled_from([NAN, np.inf, 0, 1, 30, 40, 91, 0.3, 0.7, 2, 200])
customers = st.fixed_dictionaries(dict.fromkeys(USUAL, numbers))


@given(st.lists(customers, min_size=1, max_size=20))
def test_every_customer_is_in_exactly_one_stage_alone_as_in_a_batch(
    rows: list[dict[str, float]],
) -> None:
    stages = assign_table(rows)
    assert stages.dtype == np.int8
    assert ((stages >= 0) & (stages < len(STAGES))).all()
    assert [assign_table([row])[0] for row in rows] == stages.tolist()


@given(customers)
def test_who_has_never_bought_is_a_prospect_and_nobody_else_is(row: dict[str, float]) -> None:
    prospect = STAGES[assign_table([row])[0]].startswith("prospect")
    assert prospect == (not row["purchases"] >= 1)


def test_no_customers_have_no_stages() -> None:
    nobody = {name: np.array([]) for name in STAGE_FEATURES}
    assert assign(nobody, np.array([]), np.array([]), COMPANY).shape == (0,)


def test_a_missing_feature_is_named() -> None:
    with pytest.raises(ValueError, match="need tenure_days, lateness; add them"):
        assign(
            {n: np.ones(1) for n in STAGE_FEATURES if n not in ("tenure_days", "lateness")},
            np.ones(1),
            np.ones(1),
            COMPANY,
        )


def test_an_array_of_another_length_is_named() -> None:
    with pytest.raises(ValueError, match=r"annual_value has shape \(2,\), purchases \(1,\)"):
        assign({n: np.ones(1) for n in STAGE_FEATURES}, np.ones(1), np.ones(2), COMPANY)


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ("prospect_aware", ["No order", "no active engagement", "last 90 days"]),
        ("prospect_considering", ["No order", "but active engagement"]),
        ("churned", ["more than 91 days"]),
        ("won_back", ["at most 30 days", "more than 91 days"]),
        ("new", ["at most 30 days"]),
        ("declining", ["2 times", "40 days", "above 70%"]),
        ("loyal", ["2 times", "at most 30%", "at least 200"]),
        ("developing", ["no other rule"]),
    ],
)
def test_the_rule_is_told_with_the_fitted_numbers(stage: str, said: list[str]) -> None:
    text = rule_text(stage, COMPANY)
    assert all(part in text for part in said)
    assert text.endswith(".")


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"silent_days": 91.25}, "91.25 days"),
        ({"silent_days": 1}, "1 day."),
        ({"silent_days": 1000}, "1,000 days"),
    ],
)
def test_numbers_read_naturally(changed: dict[str, Any], part: str) -> None:
    assert part in rule_text("churned", StageThresholds(**COMPANY.to_dict() | changed))


def test_unknown_thresholds_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown stage thresholds slient_days"):
        StageThresholds.from_dict(COMPANY.to_dict() | {"slient_days": 3})
