"""The action worth most is chosen, and none that is worth less than doing nothing."""

import math
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import InputError
from serving.actions import NOTES, RANKED, Choices, Menu, Standing, choose, note_text
from serving.named_offers import METALS
from serving.playbook import NEEDS, SHIPPED, Action, Playbook, load_playbook
from serving.sentences import LANGUAGES, load_table
from serving.worth import Effects, Outlook, incremental_values
from training.stages import STAGES

PLAYBOOK = load_playbook()
ALL_DATA = frozenset(NEEDS)
STANDARDS = {stage: {"en": "Be kind.", "zh": "友善。"} for stage in STAGES}
FLAT = {"low": 0.0, "mid": 0.0, "high": 0.0}
DOUBLED = {"low": 0.0, "mid": math.log(2), "high": math.log(3)}


def make_action(key: str = "act", **changed: Any) -> Action:
    return Action(
        **{
            "key": key,
            "name_en": key,
            "name_zh": key,
            "purpose": "service",
            "stages": STAGES,
            "channel": "email",
            "contact_cost": 0.0,
            "lift_log_odds": FLAT,
            "lift_spend": FLAT,
            "cooldown_days": 0,
        }
        | changed
    )


def make_playbook(*actions: Action) -> Playbook:
    return Playbook(actions=actions, service_standards=STANDARDS)


def choose_one(
    playbook: Playbook,
    stage: str = "developing",
    churn: float = 0.5,
    spend: float = 100.0,
    none: float = 0.0,
    **changed: Any,
) -> Choices:
    return choose(
        Menu.of(playbook),
        [STAGES.index(stage)],
        [churn],
        [spend],
        [none],
        margin=changed.pop("margin", 0.3),
        consent=[changed.pop("consent", 1)],
        consent_unknown=changed.pop("consent_unknown", "refuse"),
        available_data=changed.pop("available_data", frozenset({"category"})),
        standing=changed.pop("standing", None),
    )


def standing(
    complaint: bool = False, checkout: bool = False, done: dict[int, float] | None = None
) -> Standing:
    """What stands in the way of a customer, who was treated with actions so many days ago."""
    done = done or {-1: np.inf}
    return Standing(
        np.array([complaint]),
        np.array([checkout]),
        np.array([[*done]]),
        np.array([[*done.values()]]),
    )


def incremental_value(action: Action, outlook: Outlook) -> Any:
    """The value at the likely effect, a row a customer."""
    return incremental_values(Effects.of([action]), outlook)[1, :, 0]


def outcome(choices: Choices) -> tuple[str, str]:
    return choices.action[0], choices.note[0]


# --- the value ---


def test_marketing_waits_while_a_complaint_is_open_and_service_does_not():
    sell = make_action("sell", purpose="marketing", lift_log_odds=DOUBLED)
    help_ = make_action(
        "help", lift_log_odds=DOUBLED, contact_cost=1.0, needs=["interactions", "open_complaint"]
    )
    data = frozenset({"interactions"})
    both = {"playbook": make_playbook(sell, help_), "available_data": data}
    assert outcome(choose_one(**both)) == ("sell", "recommended")
    open_ = standing(complaint=True)
    assert outcome(choose_one(**both, standing=open_)) == ("help", "recommended")
    alone = choose_one(make_playbook(sell), standing=open_)
    assert outcome(alone) == ("none", "none_complaint_open")
    # Who refuses is told so first: no resolution would change it.
    refused = choose_one(make_playbook(sell), standing=open_, consent=0)
    assert outcome(refused) == ("none", "none_consent_refused")


def test_what_was_done_is_not_done_again_within_its_cooldown():
    one = make_action("one", lift_log_odds=DOUBLED, cooldown_days=30)
    two = make_action("two", lift_log_odds=DOUBLED, contact_cost=1.0)
    book = make_playbook(one, two)
    assert outcome(choose_one(book, standing=standing(done={0: 29.0})))[0] == "two"
    assert outcome(choose_one(book, standing=standing(done={0: 30.0})))[0] == "one"
    assert outcome(choose_one(book, standing=standing(done={1: 0.0})))[0] == "one"
    # whatever was done since
    earlier = standing(done={1: 2.0, -1: 5.0, 0: 29.0})
    assert outcome(choose_one(book, standing=earlier))[0] == "two"
    alone = choose_one(make_playbook(one), standing=standing(done={0: 0.0}))
    assert outcome(alone) == ("none", "none_cooling_down")


def test_what_only_follows_another_action_follows_the_last_of_all():
    one, other = make_action("one", contact_cost=1.0), make_action("other", contact_cost=1.0)
    then = make_action("then", lift_log_odds=DOUBLED, only_after=["one"])
    book = make_playbook(one, other, then)

    def chosen(done: dict[int, float] | None) -> str:
        return outcome(choose_one(book, standing=standing(done=done)))[0]

    assert chosen(None) == "none"
    assert chosen({0: 9.0}) == "then"
    assert chosen({1: 8.0, 0: 9.0}) == "none"
    assert chosen({1: 9.0, 0: 9.0}) == "then", "of one day any will do"
    # Something that the playbook does not name any more was done last.
    assert chosen({-1: 8.0, 0: 9.0}) == "none"


def test_a_checkout_is_rescued_where_one_is_open():
    rescue = make_playbook(make_action("rescue", lift_log_odds=DOUBLED, needs=["open_checkout"]))
    assert outcome(choose_one(rescue, standing=standing(checkout=True)))[0] == "rescue"
    assert outcome(choose_one(rescue, standing=standing())) == ("none", "none_no_action")


@pytest.mark.parametrize(
    ("changed", "churn", "spend", "none", "value"),
    [
        # odds of 1 doubled: 1/2 -> 2/3
        ({"lift_log_odds": DOUBLED}, 0.5, 120.0, 0.0, 1 / 6 * 0.3 * 120),
        ({"lift_log_odds": DOUBLED}, 0.5, 120.0, -10.0, 1 / 6 * 0.3 * 130),
        ({"lift_log_odds": DOUBLED, "contact_cost": 1.0}, 0.5, 120.0, 0.0, 5.0),
        # odds of 1/4 doubled: 1/5 -> 1/3
        ({"lift_log_odds": DOUBLED}, 0.8, 90.0, 0.0, (1 / 3 - 1 / 5) * 27),
        # nobody can be moved who buys, or leaves, for certain
        ({"lift_log_odds": DOUBLED, "contact_cost": 1.0}, 0.0, 120.0, 0.0, -1.0),
        ({"lift_log_odds": DOUBLED, "contact_cost": 1.0}, 1.0, 120.0, 0.0, -1.0),
        # a tenth more spend of every buyer
        ({"lift_spend": {"low": 0, "mid": 0.1, "high": 0.1}}, 0.5, 100.0, 0.0, 0.5 * 0.1 * 30),
        # an amount that half of the buyers redeem, those who would have bought anyway among them
        (
            {"lift_log_odds": DOUBLED, "incentive": {"amount": 6}, "redemption_rate": 0.5},
            0.5,
            120.0,
            0.0,
            6.0 - 2 / 3 * 0.5 * 6,
        ),
        # a share of the order, which the lift of spend enlarges
        (
            {
                "lift_spend": {"low": 0, "mid": 0.1, "high": 0.2},
                "incentive": {"share_of_order": 0.05},
                "redemption_rate": 0.4,
            },
            0.5,
            100.0,
            0.0,
            0.5 * 0.1 * 30 - 0.5 * 0.4 * 0.05 * 110,
        ),
        # returns beyond purchases are no order to take a share of
        ({"incentive": {"share_of_order": 0.5}, "redemption_rate": 1}, 0.5, -20.0, 0.0, 0.0),
    ],
)
def test_the_incremental_value_is_the_formula(
    changed: dict[str, Any], churn: float, spend: float, none: float, value: float
) -> None:
    outlook = Outlook(np.array([1 - churn]), np.array([spend]), np.array([none]), 0.3)
    assert incremental_value(make_action(**changed), outlook)[0] == pytest.approx(value, abs=1e-12)


def test_the_value_is_the_difference_of_two_expected_margins() -> None:
    action = make_action(
        lift_log_odds=DOUBLED, lift_spend={"low": 0, "mid": 0.25, "high": 1}, contact_cost=0.5
    )
    p0, spend, none, margin = 0.5, 80.0, -4.0, 0.4
    p1 = 2 / 3
    nothing = margin * (p0 * spend + (1 - p0) * none)
    treated = margin * (p1 * spend * 1.25 + (1 - p1) * none) - 0.5
    outlook = Outlook(np.array([p0]), np.array([spend]), np.array([none]), margin)
    assert incremental_value(action, outlook)[0] == pytest.approx(treated - nothing)


def test_the_range_comes_from_the_low_and_the_high_effect() -> None:
    choices = choose_one(make_playbook(make_action(lift_log_odds=DOUBLED)), spend=120.0)
    assert choices.action_value[0] == pytest.approx(6.0)
    assert choices.action_value_low[0] == pytest.approx(0.0)
    assert choices.action_value_high[0] == pytest.approx(0.25 * 36)
    assert choices.provenance.tolist() == ["assumed"]


def test_without_an_effect_there_is_exactly_no_value() -> None:
    p0 = np.linspace(0, 1, 1001)
    outlook = Outlook(p0, np.full(1001, 77.7), np.zeros(1001), 0.3)
    assert (incremental_value(make_action(), outlook) == 0).all()


# --- the choice ---


def test_the_action_worth_most_is_chosen_and_of_equals_the_first() -> None:
    weak = {"low": 0, "mid": 0.1, "high": 0.2}
    book = make_playbook(
        make_action("weak", lift_log_odds=weak),
        make_action("strong", lift_log_odds=DOUBLED),
        make_action("equal", lift_log_odds=DOUBLED),
    )
    assert outcome(choose_one(book)) == ("strong", "recommended")


def test_an_action_worth_exactly_nothing_is_not_done() -> None:
    assert outcome(choose_one(make_playbook(make_action()))) == ("none", "none_not_worth_it")


PAID = make_action("paid", lift_log_odds=DOUBLED, purpose="marketing")
DEAR = make_action("dear", contact_cost=9.0, lift_log_odds=DOUBLED, purpose="marketing")
FREE = make_action("let_go", stages=("declining", "churned"))
NEEDY = make_action("needy", lift_log_odds=DOUBLED, needs=["category"])
# A playbook covers every stage; this action does it without ever being a candidate.
IDLE = make_action("idle", needs=["treatments"])


@pytest.mark.parametrize(
    ("actions", "changed", "expected"),
    [
        ([DEAR], {}, ("none", "none_not_worth_it")),
        ([DEAR, FREE], {}, ("none", "none_not_worth_it")),
        ([DEAR, FREE], {"stage": "declining"}, ("let_go", "let_go")),
        ([DEAR, FREE], {"stage": "churned"}, ("let_go", "let_go")),
        # nobody is let go by a playbook that does not list it
        ([DEAR], {"stage": "churned"}, ("none", "none_not_worth_it")),
        ([DEAR, PAID, FREE], {"stage": "churned"}, ("paid", "recommended")),
        # let go for the money, not for want of consent
        ([PAID, FREE], {"stage": "churned", "consent": 0}, ("none", "none_consent_refused")),
        ([DEAR, FREE], {"stage": "churned", "consent": 0}, ("let_go", "let_go")),
        ([PAID], {"consent": 0}, ("none", "none_consent_refused")),
        ([DEAR], {"consent": 0}, ("none", "none_not_worth_it")),
        ([PAID], {"consent": -1}, ("none", "none_consent_unknown")),
        (
            [PAID],
            {"consent": -1, "consent_unknown": "plan"},
            ("paid", "plan_only_consent_unknown"),
        ),
        ([PAID], {"consent": 0, "consent_unknown": "plan"}, ("none", "none_consent_refused")),
        ([PAID], {"consent": 1, "consent_unknown": "plan"}, ("paid", "recommended")),
        ([NEEDY], {"consent": 0}, ("needy", "recommended")),
        (
            [NEEDY],
            {"consent": -1, "consent_unknown": "plan"},
            ("needy", "recommended"),
        ),
        ([NEEDY], {"available_data": frozenset()}, ("none", "none_no_action")),
        (
            [NEEDY, FREE],
            {"available_data": frozenset(), "stage": "churned"},
            ("none", "none_no_action"),
        ),
        ([PAID], {"churn": np.nan}, ("none", "none_value_unknown")),
        ([PAID, FREE], {"spend": np.nan, "stage": "churned"}, ("none", "none_value_unknown")),
    ],
)
def test_the_answer_says_why(
    actions: list[Action], changed: dict[str, Any], expected: tuple[str, str]
) -> None:
    choices = choose_one(make_playbook(*actions, IDLE), **changed)
    assert outcome(choices) == expected
    assert (choices.action_value[0] > 0) == (expected[0] not in ("none", "let_go"))
    assert note_text(expected[1]).endswith(".")


def test_every_note_has_a_sentence() -> None:
    for language in LANGUAGES:
        assert set(load_table(language).notes) == set(NOTES)
        assert set(load_table(language).offers) == {"none", "category", *METALS}


# --- laws, on the shipped playbook ---

rows = st.lists(
    st.tuples(
        st.integers(0, len(STAGES) - 1),
        st.floats(0, 1) | st.just(np.nan),
        st.floats(-50, 5000) | st.just(np.nan),
        st.floats(-500, 0),
        st.sampled_from([1, 0, -1]),
    ),
    min_size=1,
    max_size=30,
)
Unknown = Literal["refuse", "plan"]
unknown_settings: st.SearchStrategy[Unknown] = st.sampled_from(["refuse", "plan"])
data_sets = st.frozensets(st.sampled_from([*NEEDS]))


def choose_rows(
    table: list[Any],
    unknown: Unknown = "refuse",
    data: frozenset[str] = ALL_DATA,
    playbook: Playbook = PLAYBOOK,
) -> Choices:
    stage, churn, spend, none, consent = (np.array(column) for column in zip(*table, strict=True))
    return choose(
        Menu.of(playbook),
        stage,
        churn,
        spend,
        none,
        margin=0.3,
        consent=consent,
        consent_unknown=unknown,
        available_data=data,
    )


@given(rows, unknown_settings, data_sets)
def test_doing_nothing_is_never_beaten_by_a_loss(
    table: list[Any], unknown: Unknown, data: frozenset[str]
) -> None:
    choices = choose_rows(table, unknown, data)
    acted = ~np.isin(choices.action, ["none", "let_go"])
    assert (choices.action_value[acted] > 0).all()
    assert (choices.action_value[~acted] == 0).all()
    assert (choices.action_value_low <= choices.action_value).all()
    assert (choices.action_value <= choices.action_value_high).all()


@given(rows, unknown_settings, data_sets)
def test_only_eligible_actions_are_chosen_and_marketing_only_with_consent(
    table: list[Any], unknown: Unknown, data: frozenset[str]
) -> None:
    choices = choose_rows(table, unknown, data)
    by_key = {action.key: action for action in PLAYBOOK.actions}
    for (stage, *_, consent), key, note in zip(table, choices.action, choices.note, strict=True):
        if key == "none":
            continue
        action = by_key[key]
        assert STAGES[stage] in action.stages
        assert data.issuperset(action.needs)
        if action.purpose == "marketing":
            assert consent == 1 or (consent == -1 and unknown == "plan")
            assert (note == "plan_only_consent_unknown") == (consent == -1)


@given(rows, unknown_settings, data_sets)
def test_the_ranking_begins_with_the_choice_and_each_rank_stands_alone(
    table: list[Any], unknown: Unknown, data: frozenset[str]
) -> None:
    """Without the actions above it, the next in rank is what would be chosen."""
    choices = choose_rows(table, unknown, data)
    for row, best in zip(table, choices.ranking(), strict=True):
        left = PLAYBOOK
        for ranked in best:
            alone = choose_rows([row], unknown, data, left)
            assert (ranked.action, ranked.value) == (alone.action[0], alone.action_value[0])
            assert ranked.value_low == alone.action_value_low[0]
            assert ranked.value_high == alone.action_value_high[0]
            rest = tuple(action for action in left.actions if action.key != ranked.action)
            left = left.model_copy(update={"actions": rest})
        if len(best) < RANKED:
            (last,) = choose_rows([row], unknown, data, left).action
            assert last in ("none", "let_go")


@given(rows, st.floats(0, 20))
def test_a_dearer_contact_never_raises_the_value(table: list[Any], more: float) -> None:
    dearer = Playbook(
        actions=tuple(
            action.model_copy(update={"contact_cost": action.contact_cost + more})
            for action in PLAYBOOK.actions
            if action.key != "let_go"
        ),
        service_standards=PLAYBOOK.service_standards,
    )
    before, after = choose_rows(table), choose_rows(table, playbook=dearer)
    assert (after.action_value <= before.action_value).all()


@settings(max_examples=50)
@given(rows, unknown_settings)
def test_a_row_alone_equals_the_same_row_in_a_batch_bit_for_bit(
    table: list[Any], unknown: Unknown
) -> None:
    batch = choose_rows(table, unknown)
    for index, row in enumerate(table):
        alone = choose_rows([row], unknown)
        for name in ("action_index", "note_index", "action_value", "action_value_low"):
            assert getattr(alone, name)[0].tobytes() == getattr(batch, name)[index].tobytes()
        assert alone.action_value_high[0].tobytes() == batch.action_value_high[index].tobytes()


def test_no_customers_have_no_actions() -> None:
    empty = np.array([])
    choices = choose(
        Menu.of(PLAYBOOK),
        empty,
        empty,
        empty,
        empty,
        margin=0.3,
        consent=empty,
        consent_unknown="refuse",
        available_data=frozenset(),
    )
    assert choices.action.shape == choices.note.shape == choices.provenance.shape == (0,)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"stage_index": [-1]}, "stage_index -1 is unknown"),
        ({"stage_index": [8]}, "stage_index 8 is unknown"),
        ({"churn_probability": [1.2]}, "churn_probability 1.2 is outside 0 to 1"),
        ({"consent": [2]}, r"consent 2 is unknown; use one of \[1, 0, -1\]"),
        ({"consent": [np.nan]}, "consent nan is unknown"),
        ({"consent": [1, 1]}, "one row per customer"),
    ],
)
def test_impossible_inputs_are_refused(changed: dict[str, Any], message: str) -> None:
    given_rows: dict[str, Any] = {
        "stage_index": [0],
        "churn_probability": [0.5],
        "spend_if_purchase": [1.0],
        "spend_if_none": [0.0],
        "consent": [1],
    }
    with pytest.raises(ValueError, match=message):
        choose(
            Menu.of(PLAYBOOK),
            **given_rows | changed,
            margin=0.3,
            consent_unknown="refuse",
            available_data=ALL_DATA,
        )


# --- the playbook ---


def test_the_shipped_playbook_covers_the_domain() -> None:
    assert [action.key for action in PLAYBOOK.actions] == [
        "content",
        "trial",
        "consultation",
        "first_order_offer",
        "checkout_rescue",
        "welcome_onboarding",
        "second_purchase_nudge",
        "cross_sell",
        "up_sell",
        "membership_tier",
        "referral_reward",
        "satisfaction_survey",
        "service_recovery",
        "cadence_reminder",
        "retention_offer",
        "win_back_offer",
        "let_go",
    ]
    assert set(PLAYBOOK.service_standards) == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_an_action_that_orders_alone_allow(stage: str) -> None:
    choices = choose_one(PLAYBOOK, stage, churn=0.8, spend=300.0, available_data=frozenset())
    assert choices.note[0] == "recommended"


def shipped_line(text: str) -> int:
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, start=1) if text in line)


def broken(tmp_path: Path, old: str, new: str) -> Path:
    content = SHIPPED.read_text(encoding="utf-8")
    assert old in content
    file = tmp_path / "mine.yaml"
    file.write_text(content.replace(old, new, 1), encoding="utf-8")
    return file


CONSULTATION = "{low: 0.10, mid: 0.40, high: 0.80}"


@pytest.mark.parametrize(
    ("old", "new", "shift", "message"),
    [
        ("stages: [churned]", "stages: [retired]", 0, "unknown stage retired; use one of prospect"),
        ("contact_cost: 3.00", "contact_cost: -3.00", 0, "greater than or equal to 0; correct"),
        ("contact_cost: 3.00", "contact_cost: .nan", 0, "finite number; correct"),
        ("contact_cost: 3.00", "contact_cost: dear", 0, "valid number"),
        (CONSULTATION, "{low: 0.10, mid: 0.90, high: 0.80}", 0, "order; make low <= mid <= high"),
        (CONSULTATION, "{low: 0.50, mid: 0.40, high: 0.80}", 0, "order; make low <= mid <= high"),
        (CONSULTATION, "{low: 0.10, mid: 0.40}", 0, "high is missing; add it"),
        (CONSULTATION, "{low: 0.1, mid: 40, high: 80}", 0, "less than or equal to 5; correct"),
        ("key: consultation", "key: trial", 0, "the key trial is used twice; rename one"),
        ("key: consultation", "key: none", 0, "stands for doing nothing; choose another"),
        ("key: consultation", "key: 42", 0, "valid string"),
        (
            "capacity: {contacts: 200",
            "capazity: {contacts: 200",
            0,
            "capazity is unknown; correct its spelling",
        ),
        ("    channel: phone", "    contact_cost: 4", 1, "contact_cost stands twice in one entry"),
        ("needs: [category]", "needs: [categories]", 0, "unknown data categories; use one of"),
        ("redemption_rate: 0.4", "redemption_rate: 40", 0, "less than or equal to 1"),
        ("redemption_rate: 0.4", "", -1, "an incentive needs a redemption_rate; add it"),
        ("incentive: {share_of_order: 0.05}", "incentive: {}", 0, "share_of_order or amount"),
        ("channel: none", "channel:", 0, "valid string"),
        ("contact_cost: 0.00", "contact_cost: 0.01", -6, "let_go means to do nothing"),
        ("  loyal:\n", "  royal:\n", 0, "unknown stage royal; use one of"),
        ("  loyal:\n", "  new:\n", 0, "new stands twice in one entry"),
        ("    zh: 专人", "    cn: 专人", -2, "zh is missing; add it"),
        ("key: consultation", "key: [consultation", 1, "is not YAML"),
        ("key: consultation", "key: !!python/name:os.system x", 0, "is not YAML"),
    ],
)
def test_a_broken_playbook_names_the_line_and_the_remedy(
    tmp_path: Path, old: str, new: str, shift: int, message: str
) -> None:
    file = broken(tmp_path, old, new)
    where = re.escape(f"playbook {file}, line {shipped_line(old.rstrip()) + shift}: ")
    with pytest.raises(InputError, match=f"{where}.*{re.escape(message)}"):
        load_playbook(file)


def test_a_stage_without_an_action_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    content = (
        SHIPPED.read_text(encoding="utf-8").replace("won_back, ", "").replace(", won_back", "")
    )
    file.write_text(content, encoding="utf-8")
    line = shipped_line("actions:")
    with pytest.raises(InputError, match=f"line {line}: .*no action names the stage won_back; add"):
        load_playbook(file)


def test_a_missing_service_standard_is_named(tmp_path: Path) -> None:
    content = SHIPPED.read_text(encoding="utf-8")
    file = tmp_path / "mine.yaml"
    file.write_text(content[: content.index("  developing:\n")], encoding="utf-8")
    line = shipped_line("service_standards:")
    with pytest.raises(InputError, match=f"line {line}: .*no service standard for.*developing"):
        load_playbook(file)


@pytest.mark.parametrize("content", ["", "- a\n", "just words"])
def test_a_file_that_is_no_playbook_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="line 1: it must hold actions and service_standards"):
        load_playbook(file)


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not exist; correct serving\.playbook"):
        load_playbook(tmp_path / "absent.yaml")
    (tmp_path / "latin.yaml").write_bytes("name_zh: é".encode("latin-1"))
    with pytest.raises(InputError, match="save it as UTF-8"):
        load_playbook(tmp_path / "latin.yaml")
    (tmp_path / "bell.yaml").write_bytes(b"a: \x07")
    with pytest.raises(InputError, match="not YAML"):
        load_playbook(tmp_path / "bell.yaml")


def test_the_version_follows_the_content_not_the_comments(tmp_path: Path) -> None:
    same = broken(tmp_path, "contact_cost: 3.00", "contact_cost: 3  # a phone call")
    assert load_playbook(same).version == PLAYBOOK.version
    other = broken(tmp_path, "contact_cost: 3.00", "contact_cost: 3.01")
    assert load_playbook(other).version != PLAYBOOK.version
    assert re.fullmatch("[0-9a-f]{12}", PLAYBOOK.version)


def test_an_entry_may_share_values_by_anchor_and_still_name_its_own_line(tmp_path: Path) -> None:
    file = broken(tmp_path, "  - key: trial\n", "  - &base\n    key: trial\n")
    content = file.read_text(encoding="utf-8")
    end = content.index("  - key: consultation")
    copy = "  - <<: *base\n    key: second_trial\n    contact_cost: -1\n\n"
    file.write_text(content[:end] + copy + content[end:], encoding="utf-8")
    line = content[:end].count("\n") + 3
    with pytest.raises(InputError, match=f"line {line}: actions.contact_cost = -1"):
        load_playbook(file)
