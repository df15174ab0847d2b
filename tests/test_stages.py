"""Every customer is in exactly one stage, by the first rule of the file that matches."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.catalogue import NAMES
from features.errors import InputError
from training.population import StageThresholds, fit_thresholds
from training.stage_rules import SHIPPED, load_stage_rules
from training.stages import STAGES, VOCABULARIES, stage_labels
from training.staging import CompanyStages

RULES = load_stage_rules()
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
PREDICTED = ("churn_probability", "annual_value")
PROSPECT = dict.fromkeys(set(USUAL) - set(PREDICTED), NAN) | {"purchases": 0.0}
ONE_ORDER = {"purchases": 1.0, "gap_mean_days": NAN, "gap_last_days": NAN, "lateness": NAN}
LOYAL = {"churn_probability": 0.3, "annual_value": 200.0}


def assign_table(
    rows: list[dict[str, float]],
    thresholds: StageThresholds = COMPANY,
    before: NDArray[np.int8] | None = None,
) -> NDArray[np.int8]:
    names = {name for row in rows for name in row} | set(RULES.asked)
    table = {name: np.array([row.get(name, NAN) for row in rows], dtype=float) for name in names}
    return CompanyStages(RULES, thresholds).assign(table, before).stage


def told(stage: str, thresholds: StageThresholds = COMPANY, language: str = "en") -> str:
    places = [STAGES[clause.stage] for clause in RULES.clauses]
    return CompanyStages(RULES, thresholds).told(language)[places.index(stage)]


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
    assert len(set(stage_labels("stages", "zh"))) == len(set(stage_labels("stages", "en"))) == 8


def test_both_languages_of_a_vocabulary_name_the_same_stages_alike() -> None:
    for vocabulary in VOCABULARIES:
        english, chinese = (stage_labels(vocabulary, language) for language in ("en", "zh"))
        pairs = set(zip(english, chinese, strict=True))
        assert len(pairs) == len(set(english)) == len(set(chinese)), vocabulary


def test_where_all_customers_look_alike_none_is_declining() -> None:
    alike = StageThresholds(91, 30, 0.5, 0.5, 100, 2, 40)
    assert stage_of(alike) == "loyal"


def test_without_a_usual_gap_in_the_company_one_order_is_not_late() -> None:
    no_repeats = StageThresholds(91, 30, 0.7, 0.3, 200, 2, NAN)
    assert stage_of(no_repeats, recency_days=81.0, **ONE_ORDER) == "developing"
    assert "nan" not in " ".join(CompanyStages(RULES, no_repeats).told("en"))
    assert "nan" not in " ".join(CompanyStages(RULES, no_repeats).told("zh"))


numbers = st.floats(-10, 500) | st.sampled_from([NAN, np.inf, 0, 1, 30, 40, 91, 0.3, 0.7, 2, 200])
customers = st.fixed_dictionaries(dict.fromkeys(USUAL, numbers))


TERM = {"contracts": 1.0, "contracts_active": 1.0, "contract_renewals": 0.0}
MIDWAY = USUAL | TERM | ONE_ORDER | {"recency_days": 200.0, "tenure_days": 200.0}
MIDWAY |= {"contract_days_left": 165.0, "churn_probability": 0.01}
RENEWED = USUAL | TERM | {"contracts": 2.0, "contract_renewals": 1.0, "contract_days_left": 360.0}
RENEWED |= {"gap_last_days": 365.0, "gap_mean_days": 365.0, "recency_days": 5.0, "lateness": 0.1}
ENDED = {
    "contracts_active": 0.0, "contract_days_left": NAN, "days_since_contract_end": 31.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("row", "changed", "stage"),
    [
        (MIDWAY, {}, "developing"),
        (MIDWAY, {"churn_probability": 0.71}, "declining"),
        (MIDWAY, ENDED, "churned"),
        # it may be renewed for a month yet
        (MIDWAY, ENDED | {"days_since_contract_end": 30.0}, "declining"),
        # a loss, however short the silence that is one here, unless something else was bought
        (MIDWAY, ENDED | {"recency_days": 45.0}, "churned"),
        (MIDWAY, ENDED | {"recency_days": 25.0}, "developing"),
        # cancelled long ago, and paid for until its end
        (MIDWAY, ENDED | {"days_since_contract_end": NAN}, "declining"),
        (MIDWAY, ENDED | {"days_since_cancellation": 30.0}, "declining"),
        (MIDWAY, ENDED | {"days_since_cancellation": 31.0}, "churned"),
        # another one was cancelled
        (MIDWAY, {"days_since_cancellation": 5.0}, "developing"),
        (RENEWED, {}, "developing"),
        (RENEWED, {"annual_value": 200.0, "churn_probability": 0.5}, "loyal"),
        (RENEWED, {"contracts": 3.0}, "won_back"),
    ],
)
def test_under_a_contract_silence_is_no_loss(
    row: dict[str, float], changed: dict[str, float], stage: str
) -> None:
    assert STAGES[assign_table([row | changed])[0]] == stage


def test_what_is_high_is_fitted_without_terms_that_outlast_the_horizon() -> None:
    matrix = np.full((200, len(NAMES)), NAN)
    for name, value in (("recency_days", 10.0), ("gap_mean_days", 30.0), ("gap_last_days", 30.0)):
        matrix[:, NAMES.index(name)] = value
    churn = np.linspace(0, 0.5, 200)
    plain = fit_thresholds(matrix, churn, np.ones(200), 91, None, None)
    matrix[:50, NAMES.index("contract_days_left")] = 300.0
    churn[:50] = 0.99
    fitted = fit_thresholds(matrix, churn, np.ones(200), 91, None, None)
    assert plain.churn_high < fitted.churn_high < 0.5


def as_before_the_file(row: dict[str, float], company: StageThresholds) -> str:
    """The rules as they stood in code before they stood in a file."""
    recency, usual, churn = row["recency_days"], row["gap_mean_days"], row["churn_probability"]
    if not row["purchases"] >= 1:
        return "prospect_considering" if row["intent_90d"] > 0 else "prospect_aware"
    if recency > company.silent_days:
        return "churned"
    if row["gap_last_days"] > company.silent_days and recency <= company.activation_days:
        return "won_back"
    if row["tenure_days"] <= company.activation_days:
        return "new"
    if np.isnan(row["lateness"]):
        gap = company.company_gap_days if np.isnan(usual) else usual
        late = recency > company.lateness_high * gap
    else:
        late = row["lateness"] > company.lateness_high
    if late or churn > company.churn_high:
        return "declining"
    steady = row["gap_last_days"] <= company.lateness_high * usual
    safe = churn <= company.churn_low
    return (
        "loyal" if steady and safe and row["annual_value"] >= company.value_high else "developing"
    )


@given(st.lists(customers, min_size=1, max_size=20))
def test_the_shipped_rules_give_the_stages_alone_as_in_a_batch(
    rows: list[dict[str, float]],
) -> None:
    # Enough of them that arrays are asked, and not one customer after the other.
    stages = assign_table(rows * 9)[: len(rows)]
    assert stages.dtype == np.int8
    assert [STAGES[stage] for stage in stages] == [as_before_the_file(row, COMPANY) for row in rows]
    assert [assign_table([row])[0] for row in rows] == stages.tolist()


@given(st.lists(st.tuples(customers, st.integers(-1, 7)), min_size=1, max_size=12))
def test_who_was_in_a_stage_is_there_still_or_where_anybody_would_be(
    rows: list[tuple[dict[str, float], int]],
) -> None:
    facts, before = [row for row, _ in rows], np.array([code for _, code in rows], np.int8)
    plain, held = assign_table(facts), assign_table(facts, before=before)
    assert ((held == plain) | (held == before)).all()
    # What was seen is never overruled by what was before.
    seen = plain <= STAGES.index("new")
    assert (held[seen] == plain[seen]).all()
    many = assign_table(facts * 9, before=np.tile(before, 9))
    assert many[: len(held)].tolist() == held.tolist()


@pytest.mark.parametrize(
    ("before", "changed", "stage"),
    [
        ("declining", {"churn_probability": 0.62}, "declining"),
        ("declining", {"churn_probability": 0.6}, "developing"),
        ("developing", {"churn_probability": 0.69}, "developing"),
        ("loyal", {"churn_probability": 0.38, "annual_value": 160.0}, "loyal"),
        ("loyal", {"churn_probability": 0.39, "annual_value": 160.0}, "developing"),
        ("loyal", {"churn_probability": 0.38, "annual_value": 159.0}, "developing"),
        ("loyal", {"churn_probability": 0.1, "lateness": 2.1, "annual_value": 500.0}, "declining"),
        ("developing", {"churn_probability": 0.38, "annual_value": 160.0}, "developing"),
        ("churned", {"churn_probability": 0.62}, "developing"),
    ],
)
def test_a_prediction_that_moves_a_little_back_moves_nobody(
    before: str, changed: dict[str, Any], stage: str
) -> None:
    code = np.array([STAGES.index(before)], np.int8)
    assert STAGES[assign_table([USUAL | changed], before=code)[0]] == stage


@given(customers)
def test_who_has_never_bought_is_a_prospect_and_nobody_else_is(row: dict[str, float]) -> None:
    prospect = STAGES[assign_table([row])[0]].startswith("prospect")
    assert prospect == (not row["purchases"] >= 1)


def test_no_customers_have_no_stages() -> None:
    assert assign_table([]).shape == (0,)


def test_a_missing_feature_is_named() -> None:
    given = {name: np.ones(1) for name in RULES.asked if name not in ("tenure_days", "lateness")}
    with pytest.raises(ValueError, match="need lateness, tenure_days; add them"):
        CompanyStages(RULES, COMPANY).assign(given)


def test_an_array_of_another_length_is_named() -> None:
    given = {name: np.ones(1) for name in RULES.asked} | {"lateness": np.ones(2)}
    with pytest.raises(ValueError, match=r"lateness has shape \(2,\), annual_value \(1,\)"):
        CompanyStages(RULES, COMPANY).assign(given)


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
    text = told(stage)
    assert all(part in text for part in said)
    assert text.endswith(".")
    assert told(stage, language="zh").endswith("。")


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"silent_days": 91.25}, "91.25 days"),
        ({"silent_days": 1}, "1 day."),
        ({"silent_days": 1000}, "1,000 days"),
    ],
)
def test_numbers_read_naturally(changed: dict[str, Any], part: str) -> None:
    assert part in told("churned", StageThresholds(**COMPANY.to_dict() | changed))


def test_unknown_thresholds_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown stage thresholds slient_days"):
        StageThresholds.from_dict(COMPANY.to_dict() | {"slient_days": 3})


# --- the file ---


@pytest.mark.parametrize(
    ("old", "new", "shift", "reason"),
    [
        ("when: not bought\n", "when: not bougth\n", 0, "bougth is unknown; did you mean bought?"),
        ("when: tenure_days <= activation_days", "when: tenure_days", 0, "it is a number; compare"),
        ("(late and not", "(1 / lateness > 2 and not", 0, "1 / lateness is not of the language"),
        ("(late and not", "((late and not", 0, "cannot be read; write"),
        ("(late and not", "(region > 2 and not", 0, "region is unknown"),
        ("    when: tenure_days <= activation_days\n", "", -1, "it has no when, so that no"),
        ("      - when: leaving", "      - when: leavign", 0, "leavign is unknown; did you mean"),
        ("engaged: intent_90d > 0", "purchases: intent_90d > 0", 0, "purchases means something"),
        ("  new:", "  newest:", 0, "unknown stage newest; use one of prospect_aware"),
        ("{silent_days:days}没有", "{silent:days}没有", 0, "silent is unknown; did you mean"),
        ("{silent_days:days}没有", "{silent_days:weeks}没有", 0, "weeks is no way to tell"),
        ("{silent_days:days}没有", "{recency_days:days}没有", 0, "recency_days is unknown"),
        ("    en: First order", "    if: 1\n    en: First order", 0, "if is unknown; correct"),
    ],
)
def test_a_mistake_in_the_rules_is_told_with_its_line_and_the_remedy(
    tmp_path: Path, old: str, new: str, shift: int, reason: str
) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    file = tmp_path / "stages.yaml"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    line = text[: text.index(old)].count("\n") + 1 + shift
    with pytest.raises(InputError) as refused:
        load_stage_rules(file)
    assert str(refused.value).startswith(f"stage rules {file}, line {line}: ")
    assert reason in str(refused.value)


def test_the_order_of_the_file_decides_and_is_part_of_its_version(tmp_path: Path) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    start, end = text.index("  # A fact, whatever"), text.index("  # The last gap is")
    new = text.index("  declining:")
    file = tmp_path / "stages.yaml"
    file.write_text(text[:start] + text[end:new] + text[start:end] + text[new:], encoding="utf-8")
    moved = load_stage_rules(file)
    assert moved.version != RULES.version
    row = USUAL | {"recency_days": 95.0, "tenure_days": 20.0}
    table = {name: np.array([row.get(name, NAN)]) for name in moved.asked}
    assert STAGES[CompanyStages(moved, COMPANY).assign(table).stage[0]] == "new"
    assert STAGES[CompanyStages(RULES, COMPANY).assign(table).stage[0]] == "churned"
