"""Reasons in words: every feature has a sentence, three reasons differ, what helps comes first."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features import catalogue
from features.matrix import Vocabulary
from serving.reasons import COMPARABLE, SMALLEST, TOLD, choose, explain, rank
from serving.sentences import LANGUAGES, Language, load_table
from serving.teller import Teller
from serving.topics import TOPICS
from training.dataset import TREE_FEATURES

Float = NDArray[np.float64]

NAMES = catalogue.NAMES
PLACE = {name: place for place, name in enumerate(NAMES)}
TOPIC_OF = {name: topic for topic in TOPICS for name in topic.features}
LABELS = ("Nord-Est", "VIP price", "{n} [a|b]")
VOCABULARY = Vocabulary(dict.fromkeys(catalogue.CATEGORIES, LABELS))
CURRENCY = "EUR"
BELOW = [name for name, cases in load_table("en").sentences.items() if "below" in cases]
"""The features that can be less than zero."""
SEEDS = st.integers(0, 2**32 - 1)


def teller(language: Language, usual: float | None = 2.0) -> Teller:
    company = {} if usual is None else {n: usual for n in NAMES if n not in catalogue.CATEGORIES}
    return Teller(language, VOCABULARY, company, CURRENCY)


def some_customers(rng: np.random.Generator, rows: int = 4) -> Float:
    """Any numbers that the features could be, however badly they go together."""
    size = (rows, len(NAMES))
    values = rng.choice([0.0, 1.0, 2.0, -1.0, 0.3, 71.0], size)
    wild = np.round(rng.lognormal(3, 3, size) * rng.choice([1, 1, 1, -1], size), 4)
    values = np.where(rng.random(size) < 0.5, values, wild)
    never = [place for name, place in PLACE.items() if name not in BELOW]
    values[:, never] = abs(values[:, never])
    values[rng.random(size) < rng.random()] = np.nan
    for name in catalogue.CATEGORIES:
        codes = rng.integers(-1, len(LABELS) + 1, rows).astype(float)
        values[:, PLACE[name]] = np.where(codes < 0, np.nan, codes)
    return values


def faults(text: str, language: Language) -> Iterator[str]:
    """Whatever a person would stumble over in a sentence."""
    for label in (*LABELS, CURRENCY):
        text = text.replace(label, "*")
    if not text or text != text.strip() or "  " in text:
        yield "empty or badly spaced"
    if re.search(r"[{}\[\]|]|\bnan\b|None|\binf\b", text):
        yield "not filled in"
    for found in re.findall(r"\d[\d,.]*\d|\d", text):
        if not re.fullmatch(r"\d{1,3}(,\d{3})*(\.\d{1,2})?", found):
            yield f"the number {found}"
        if "." in found and len(found) > 4:
            yield f"too fine a number, {found}"
    if language == "zh" and (english := re.search(r"[A-Za-z]+", text)):
        yield f"the word {english[0]}"
    if language == "en" and (chinese := re.search(r"[^\x00-\x7f]", text)):
        yield f"the letter {chinese[0]}"
    if language == "en":
        if wrong := re.search(r"(?<![\d,.])1 (?!less)(product |support )?[a-z]+s\b", text):
            yield f"{wrong[0]}: one of many"
        for _, one, _ in load_table(language).units.values():
            noun = one.removeprefix("1 ")
            if re.search(rf"(?<![\d,.])(?!1 )[\d,.]+ {noun}\b", text):
                yield f"several of one {noun}"


def check(text: str, language: Language) -> None:
    assert not list(faults(text, language)), (list(faults(text, language)), text)


def test_every_learned_feature_belongs_to_one_topic():
    told = [name for topic in TOPICS for name in topic.features]
    assert sorted(told) == sorted(TREE_FEATURES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_learned_feature_has_its_sentence_and_no_other_has(language: Language):
    assert set(load_table(language).sentences) == set(TREE_FEATURES)


def test_both_languages_tell_the_same_absences_and_the_same_facts():
    english, chinese = (load_table(language).sentences for language in ("en", "zh"))
    for name in TREE_FEATURES:
        assert ("unknown" in english[name]) == ("unknown" in chinese[name]), name
        assert ("below" in english[name]) == ("below" in chinese[name]), name


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("usual", [2.0, None])
def test_every_feature_is_told_whatever_its_value_and_direction(
    language: Language, sign: int, usual: float | None
):
    spoken = teller(language, usual)
    nobody = np.zeros(1, dtype=bool)
    for name in TREE_FEATURES:
        contributions = np.zeros((1, len(NAMES)))
        contributions[0, PLACE[name]] = sign * 1.0
        values = (0, 1, 2) if name in catalogue.CATEGORIES else (0, 1, 2, 0.037, 71, 12345.678)
        values += (-1, -3) if name in BELOW else ()
        for others in (1.0, np.nan):
            for value in values:
                row = np.full((1, len(NAMES)), others)
                row[0, PLACE[name]] = value
                ((sentence,),) = explain(row, contributions, nobody, spoken)
                check(sentence, language)
                head = {"en": ("lowers the risk: ", "raises the risk: "),
                        "zh": ("流失风险降低：", "流失风险升高：")}[language]  # fmt: skip
                assert sentence.startswith(head[sign > 0]), sentence


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_unknown_is_said_in_words_or_left_out(language: Language):
    spoken = teller(language)
    for name in TREE_FEATURES:
        row = np.ones((1, len(NAMES)))
        row[0, PLACE[name]] = np.nan
        can = bool(spoken.tellable(row)[0, PLACE[name]])
        assert can == ("unknown" in load_table(language).sentences[name]), name
        if can:
            (sentence,) = spoken.tell(name, row, np.array([0]))
            check(sentence, language)
            assert not re.search(r"\d", sentence), "what is missing has no number"


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, language=st.sampled_from(LANGUAGES))
def test_any_customer_gets_up_to_three_clean_reasons_about_three_things(
    seed: int, language: Language
):
    rng = np.random.default_rng(seed)
    matrix = some_customers(rng)
    contributions = rng.normal(size=matrix.shape) * (rng.random(matrix.shape) < rng.random())
    prospect = rng.random(len(matrix)) < 0.2
    spoken = teller(language)
    told = explain(matrix, contributions, prospect, spoken)
    leads, _ = choose(contributions, spoken.tellable(matrix))
    for row, sentences in enumerate(told):
        assert len(sentences) == len(set(sentences)) <= TOLD
        for sentence in sentences:
            check(sentence, language)
        topics = [TOPIC_OF[NAMES[lead]].name for lead in leads[row] if lead >= 0]
        assert len(topics) == len(set(topics))
        assert len(sentences) == (1 if prospect[row] else len(topics))
        alone = slice(row, row + 1)
        assert explain(matrix[alone], contributions[alone], prospect[alone], spoken) == [sentences]


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS)
def test_of_comparable_reasons_the_actionable_come_first_and_else_the_heavier(seed: int):
    rng = np.random.default_rng(seed)
    weights = rng.random((1, len(TOPICS))) ** rng.integers(1, 6)
    (order,) = rank(weights)
    assert sorted(order) == list(range(len(TOPICS)))
    first = [TOPICS[p].act and weights[0, p] >= COMPARABLE * weights.max() for p in order]
    assert first == sorted(first, reverse=True), "no other comes before them"
    for same in (True, False):
        heavy = [
            weights[0, p] for p, is_first in zip(order, first, strict=True) if is_first == same
        ]
        assert heavy == sorted(heavy, reverse=True)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS)
def test_a_reason_is_told_by_what_pulls_most_in_its_direction(seed: int):
    rng = np.random.default_rng(seed)
    contributions = rng.normal(size=(3, len(NAMES)))
    tellable = rng.random(contributions.shape) < 0.7
    leads, raises = choose(contributions, tellable)
    for row, rank_ in np.argwhere(leads >= 0):
        lead = leads[row, rank_]
        topic = [PLACE[name] for name in TOPIC_OF[NAMES[lead]].features]
        total = contributions[row, topic].sum()
        assert tellable[row, lead]
        assert raises[row, rank_] == (total > 0)
        assert abs(total) >= SMALLEST
        rivals = [place for place in topic if tellable[row, place]]
        pull = np.sign(total) * contributions[row, rivals]
        assert np.sign(total) * contributions[row, lead] == pull.max() > 0


def test_what_one_can_act_on_and_what_not():
    act = {name for topic in TOPICS if topic.act for name in topic.features}
    assert {
        "recency_days", "lateness", "complaint_open", "survey_last", "interactions_change_30d",
        "discount_share", "returns_share", "categories", "contract_days_left",
    } <= act  # fmt: skip
    assert act.isdisjoint(
        {"tenure_days", "registered_days", "age_group", "region", "purchases_next_90d_last_year"}
    )


UNKNOWN = np.nan
SENTENCES = [
    ("recency_days", {"recency_days": 71, "gap_mean_days": 24.2},
     "no order for 71 days; usual gap 24", "71 天没有下单，通常间隔 24 天"),
    ("recency_days", {"recency_days": 1, "gap_mean_days": UNKNOWN},
     "no order for 1 day; usual gap here 2", "1 天没有下单，客户通常间隔 2 天"),
    ("recency_days", {"recency_days": 0}, "an order today", "今天刚下单"),
    ("purchases_90d", {"purchases_90d": 1},
     "1 order in the last 90 days; usual here 2", "近 90 天下单 1 笔，客户通常 2 笔"),
    ("purchases_90d", {"purchases_90d": 0},
     "no orders in the last 90 days; usual here 2", "近 90 天没有下单，客户通常 2 笔"),
    ("spend_30d", {"spend_30d": -20},
     "20 EUR more returned than bought in the last 30 days", "近 30 天退货比购买多 20 EUR"),
    ("interactions_change_30d", {"interactions_change_30d": -2},
     "2 interactions fewer in the last 30 days than in the 30 before",
     "近 30 天互动比之前 30 天少 2 次"),
    ("gap_cv", {"gap_cv": UNKNOWN}, "no second order yet", "还没有第二笔订单"),
    ("complaints", {"complaints": 2, "complaint_topic": 1},
     "2 complaints so far, the last about VIP price; usual here 2",
     "至今投诉 2 次，最近关于 VIP price，客户通常 2 次"),
    ("complaint_open", {"complaint_open": 1, "complaint_topic": UNKNOWN},
     "a complaint is still open", "有投诉尚未解决"),
    ("days_since_complaint", {"days_since_complaint": UNKNOWN},
     "no complaint so far", "至今没有投诉"),
    ("contract_days_left", {"contract_days_left": 30},
     "30 days left of the contract; usual here 2", "合同还剩 30 天到期，客户通常 2 天"),
    ("registered_to_first_purchase_days", {"registered_to_first_purchase_days": -12},
     "first order 12 days before the registration", "注册前 12 天首次下单"),
    ("discount_share", {"discount_share": 0.254},
     "25% of the list price taken as discount; usual here 200%",
     "折扣占原价的 25%，客户通常 200%"),
    ("visit_90d", {"visit_90d": 1},
     "visited once in the last 90 days; usual here 2", "近 90 天访问 1 次，客户通常 2 次"),
    ("region", {"region": 2}, "lives in {n} [a|b]", "地区为 {n} [a|b]"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "values", "english", "chinese"), SENTENCES)
def test_a_sentence_says_the_facts_that_there_are(
    name: str, values: dict[str, float], english: str, chinese: str
):
    row = np.ones((1, len(NAMES)))
    for feature, value in values.items():
        row[0, PLACE[feature]] = value
    for language, sentence in (("en", english), ("zh", chinese)):
        spoken = teller(language)
        assert spoken.tellable(row)[0, PLACE[name]]
        assert spoken.tell(name, row, np.array([0])) == [sentence]


def test_a_label_too_rare_for_a_code_is_left_out():
    row = np.ones((1, len(NAMES)))
    row[0, PLACE["region"]] = len(LABELS)
    assert not teller("en").tellable(row)[0, PLACE["region"]]


def test_without_the_other_tables_their_topics_are_silent():
    row = np.ones((1, len(NAMES)))
    absent = [PLACE[f.name] for f in catalogue.FEATURES if f.table != "orders"]
    row[:, absent] = np.nan
    can = teller("en").tellable(row)
    assert not can[:, absent].any()
    assert can[:, [PLACE[f.name] for f in catalogue.FEATURES if f.table == "orders"]].all()
