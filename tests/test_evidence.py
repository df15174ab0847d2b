"""Measured effects beside the playbook's: how much counts which, and what is then done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import succeed
from test_actions import ALL_DATA, make_action, make_playbook

from serving.actions import ALLOWED, Choices, Menu, choose
from serving.belief import HOLD_SD, NOTHING_WORKS, SCALES, believe
from serving.evidence import Evidence, borne_out, provenance
from serving.worth import Effects, Outlook, incremental_values
from training.stages import STAGES
from training.trees import Machine
from training.uplift.curves import Estimate
from training.uplift.experiment import Experiment
from training.uplift.lift import Lift
from training.uplift.lifts import Lifts, Tried, measure_lifts
from training.uplift.moderators import Moderators
from training.uplift.weeks import Weeks, whole

PRAISED = {"low": 0.1, "mid": 0.3, "high": 0.5}
MACHINE = Machine(seed=7, threads=1)


def lifts(**levels: tuple[float, float]) -> Lifts:
    """Measured levels and their errors, by action; half of the customers buy."""
    return Lifts(
        tuple(
            Tried(name, 900, 900, "measured", "", Lift(
                Estimate(*level), None, (), (), (), (0.5,), (100.0,)
            ))
            for name, level in levels.items()
        )
    )  # fmt: skip


def chosen(found: Lifts, *keys: str, spend: float = 100.0) -> Choices:
    playbook = make_playbook(
        *(make_action(key, contact_cost=0.5, lift_log_odds=PRAISED) for key in keys)
    )
    return choose(
        Menu.of(playbook, found),
        [STAGES.index("loyal")],
        [0.5],
        [spend],
        [0.0],
        margin=0.3,
        consent=[ALLOWED],
        consent_unknown="refuse",
        available_data=ALL_DATA,
    )


def test_the_belief_is_that_of_drawing_what_may_be():
    """Bayes by brute force: what may be is drawn, and weighed by what it makes of what was seen."""
    promise, doubt = np.array([0.1, 0.05, 0.08, 0.0]), np.array([0.1, 0.1, 0.05, 0.05])
    measured, error = np.array([0.02, -0.05, np.nan, 0.04]), np.array([0.05, 0.04, np.nan, 0.03])
    rng = np.random.default_rng(4)
    works = rng.random(400_000) >= NOTHING_WORKS
    hold = rng.normal(1 / (1 - NOTHING_WORKS), HOLD_SD, len(works))
    own = rng.choice(SCALES, len(works))[:, None] * doubt * rng.normal(size=(len(works), 4))
    effect = works[:, None] * (hold[:, None] * promise + own)
    weight = np.exp(-0.5 * np.nansum(((measured - effect) / error) ** 2, axis=1))
    weight /= weight.sum()
    mean, spread = weight @ effect, weight @ (effect - weight @ effect) ** 2
    found = believe(promise, doubt, measured, error)
    said = found.kept * promise + found.weight * np.nan_to_num(measured)
    assert said == pytest.approx(mean, abs=0.001)
    assert found.share == pytest.approx(1 - spread / effect.var(axis=0), abs=0.02)
    assert found.nothing == pytest.approx(weight[~works].sum(), abs=0.01)


def test_belief_and_evidence_add_up_in_money():
    found = chosen(lifts(act=(np.log(1.4), 0.05)), "act")
    believed = incremental_values(
        Effects.of([make_action("act", lift_log_odds=PRAISED)]),
        Outlook(np.array([0.5]), np.array([100.0]), np.array([0.0]), 0.3),
    )[1, 0, 0]
    belief = found.valued.belief
    assert belief is not None
    kept, weight = belief.kept[0], belief.weight[0]
    assert found.action_value[0] == pytest.approx(kept * believed + weight * 0.4 * 15 - 0.5)
    assert found.action_value_low[0] < found.action_value[0] < found.action_value_high[0]
    assert found.cost[0, 0] == 0.5


def test_the_measured_share_goes_from_none_to_all_as_data_grow():
    action = make_action("act", lift_log_odds=PRAISED)
    shares = [
        Evidence.of([action], lifts(act=(0.1, error))).share[0] for error in (9, 0.3, 0.1, 0.003)
    ]
    assert shares == sorted(shares)
    assert shares[0] < 0.01
    assert shares[-1] > 0.99


def test_an_action_that_was_never_tried_is_believed_as_far_as_the_others_promises_held():
    actions = [make_action(key, lift_log_odds=PRAISED) for key in ("act", "other", "third")]

    def kept(level: float, error: float) -> float:
        found = lifts(other=(level, error), third=(level, error))
        return float(Evidence.of(actions, found).belief.kept[0])

    assert Evidence.of(actions, Lifts()).belief.kept.tolist() == [1.0, 1.0, 1.0]
    assert kept(0.0, 9.0) == pytest.approx(1.0, abs=0.01)
    # The clearer it is that the others do nothing, the less is believed of it.
    fading = [kept(0.0, error) for error in (1.0, 0.3, 0.1, 0.03, 0.01)]
    assert fading == sorted(fading, reverse=True)
    assert fading[-1] < 0.05
    promised = 0.14
    assert kept(promised, 0.02) == pytest.approx(1.0, abs=0.1)
    assert kept(2 * promised, 0.02) > 1.1
    bare, beside = (chosen(x, "act", "other") for x in (Lifts(), lifts(other=(0.0, 0.03))))
    assert bare.provenance.tolist() == ["assumed"]
    assert beside.worth[1, 0, 0] < bare.worth[1, 0, 0]


def test_a_praised_action_that_does_harm_is_dropped_and_another_takes_its_place():
    found = lifts(act=(-0.2, 0.02), other=(0.1, 0.02))
    assert chosen(lifts(), "act", "other").action.tolist() == ["act"]
    taken = chosen(found, "act", "other")
    assert taken.action.tolist() == ["other"]
    assert taken.provenance.tolist() == ["measured"]
    assert [one.measured_share > 0.95 for one in taken.ranking()[0]] == [True]


def test_where_nothing_shows_that_actions_do_anything_nobody_is_treated():
    """Nine actions of no effect, of which one seems to have one, as the luckiest of nine does."""
    keys = [f"act{n}" for n in range(9)]
    rng = np.random.default_rng(3)
    noise = dict(zip(keys, ((z * 0.03, 0.03) for z in rng.normal(size=9)), strict=True))
    nothing = chosen(lifts(**noise), *keys, spend=5000.0)
    assert nothing.worth[1].max() > 0
    assert max(level for level, _ in noise.values()) > 0.03
    assert nothing.action.tolist() == ["none"]
    assert nothing.note.tolist() == ["none_not_sure"]
    # Where the others show what was believed, the same one is worth its chance.
    borne = noise | dict.fromkeys(keys[1:], (0.15, 0.03))
    assert chosen(lifts(**borne), *keys).action.tolist() != ["none"]


@pytest.fixture(scope="module")
def trials() -> list[Experiment]:
    """Two coupons that are paid when redeemed: one moves the late, and one nobody."""
    rng = np.random.default_rng(5)
    rows, names = 8_000, ("lateness", "purchases", "noise")

    def one(action: str, late: float) -> Experiment:
        matrix = np.column_stack(
            [rng.gamma(2, 0.5, rows), rng.poisson(5, rows), rng.normal(size=rows)]
        )
        treated = rng.random(rows) < 0.5
        rate = 0.3 * np.sqrt(matrix[:, 1]) * np.exp(treated * late * (matrix[:, 0] > 1.0))
        orders = rng.poisson(rate)
        spend = orders * rng.gamma(4.0, 10.0, rows)
        cost = 0.1 * spend * (treated & (rng.random(rows) < 0.5))
        return Experiment(
            action, np.arange(rows), matrix, treated, np.full(rows, 0.5), orders > 0, spend,
            names, (), cost,
        )  # fmt: skip

    return [one("moves", 0.5), one("moves_not", 0.0)]


@pytest.fixture(scope="module")
def found(trials: list[Experiment]) -> Lifts:
    return measure_lifts(trials, MACHINE)


def test_whom_an_action_moves_and_what_its_incentive_costs_is_learned(
    trials: list[Experiment], found: Lifts
):
    moves, moves_not = found.measured["moves"], found.measured["moves_not"]
    late = trials[0].matrix[:, 0] > 1.0
    truth = np.log1p(np.expm1(0.5) * late.mean())
    assert moves.level.error < 0.04
    assert moves.level.value == pytest.approx(truth, abs=3 * moves.level.error)
    assert abs(moves_not.level.z) < 3
    assert moves.cost is not None
    assert moves.cost.value == pytest.approx(0.05 * np.exp(moves.level.value / 2), rel=0.15)
    slopes = dict(zip(found.moderators.names, found.differences("moves")[0], strict=True))
    assert slopes["lateness"] > 0.08
    assert abs(slopes["purchases"]) < 0.06
    assert np.abs(found.differences("moves_not")[0]).max() < slopes["lateness"] / 2
    assert Lifts.from_dict(found.to_dict()) == found


def test_customers_are_valued_by_what_sets_them_apart_alone_or_together(
    trials: list[Experiment], found: Lifts
):
    rows = trials[0].matrix[:500]
    facts = found.moderators.of(rows, trials[0].names)
    playbook = make_playbook(
        make_action("moves", incentive={"amount": 5}, redemption_rate=0.5, lift_log_odds=PRAISED)
    )

    def worth(part: slice) -> Choices:
        count = len(facts[part])
        return choose(
            Menu.of(playbook, found), np.full(count, STAGES.index("loyal")), np.full(count, 0.5),
            np.full(count, 100.0), np.zeros(count), margin=0.3, consent=np.ones(count),
            consent_unknown="refuse", available_data=ALL_DATA, facts=facts[part],
        )  # fmt: skip

    together = worth(slice(None))
    late = rows[:, 0] > 1.0
    assert together.worth[1, late, 0].mean() > together.worth[1, ~late, 0].mean() + 2
    for place in (0, 7, 499):
        alone = worth(slice(place, place + 1))
        assert alone.worth[:, 0].tolist() == together.worth[:, place].tolist()


def test_an_action_that_works_by_chance_alone_is_not_called_different(trials: list[Experiment]):
    """Arms dealt anew: no action does anything, and none of the facts tells anybody apart."""
    rng = np.random.default_rng(8)
    dealt = [replace(one, treated=rng.permutation(one.treated)) for one in trials]
    found = measure_lifts(dealt, MACHINE)
    assert found.differ < 0
    actions = [make_action(one.action, lift_log_odds=PRAISED) for one in trials]
    share, error = borne_out(actions, found)
    assert abs(share) < 3 * error
    assert Evidence.of(actions, found).belief.nothing > 0.5


@pytest.mark.parametrize(("goes_on", "sharper"), [(0.0, 0.7), (1.0, 1.05), (-0.5, 0.9)])
def test_an_effect_of_the_first_weeks_is_measured_there(goes_on: float, sharper: float):
    """The rest of the horizon is noise; what goes on there, or is taken back, is not lost."""
    rng = np.random.default_rng(2)
    effects, error, early = rng.normal(0.2, 0.1, 9), 0.04, 1 / 3
    measured = [
        Weeks(
            Estimate(effect + error * rng.normal(), error),
            Estimate(goes_on * effect + error * rng.normal(), error),
            0.0,
            early,
        )
        for effect in effects
    ]
    found = whole(measured)
    truth = np.log1p(early * np.expm1(effects) + (1 - early) * np.expm1(goes_on * effects))
    off = (np.array([one.value for one in found]) - truth) / [one.error for one in found]
    assert np.sqrt((off**2).mean()) < 1.4
    plain = error * np.hypot(early, 1 - early)
    assert np.mean([one.error for one in found]) < sharper * plain


def test_what_was_bought_in_the_first_weeks_is_what_an_effect_is_looked_for_in(
    trials: list[Experiment],
):
    rng = np.random.default_rng(6)
    made = []
    for one in trials:
        early, late = (rng.gamma(1.0, 20.0, len(one)) for _ in range(2))
        early = early * 1.3**one.treated
        made.append(replace(one, net_spend=early + 2 * late, early_spend=early))
    found = measure_lifts(made, MACHINE).measured["moves"].level
    assert found.value == pytest.approx(np.log(1.1), abs=3 * found.error)
    assert found.error < 0.025


def test_facts_that_say_nothing_are_left_out():
    rows = np.column_stack([np.full(9, 2.0), np.arange(9.0), np.full(9, np.nan)])
    assert Moderators.fit(rows, ("purchases", "lateness", "visit_90d")).names == ("lateness",)


def test_a_company_learns_what_its_actions_do(tmp_path: Path):
    """A small one whose every action drives away: from its treatments to its answers."""
    world, root, out = tmp_path / "world", tmp_path / "w", tmp_path / "scores.parquet"
    words = ("--world", "harmful", "--customers", 4000, "--seed", 3, "--until", "2024-08-31")
    succeed(tmp_path / "none", "simulate", *words, "--out", world)
    root.mkdir()
    settings = (world / "lifecycle.yaml").read_text()
    (root / "lifecycle.yaml").write_text(
        settings + "\nchurn: {horizon_days: 60}\ntraining: {max_snapshots: 2, threads: 1}\n"
    )
    tables = ("orders", "customers", "interactions", "treatments")
    succeed(root, "ingest", *(w for t in tables for w in (f"--{t}", world / f"{t}.parquet")))
    succeed(root, "train", "--trials", 0)
    succeed(root, "promote", "--force", "--reason", "a test")
    succeed(root, "score", "--out", out)

    told: dict[str, Any] = succeed(root, "effects")["actions"]
    assert {"cadence_reminder", "cross_sell", "retention_offer"} <= set(told)
    assert {one["verdict"] for one in told.values()} <= {"measured", "too_few"}
    measured = {name: one for name, one in told.items() if one["verdict"] == "measured"}
    assert all(one["level"]["lower"] <= one["level"]["value"] for one in measured.values())
    assert sum(one["effect"]["value"] for one in measured.values()) < 0, "it drives away"
    # Nothing that was not over by the day, or came to be known later, is counted.
    treatments = pl.read_parquet(world / "treatments.parquet")
    at = pl.col("at").dt.date()
    ripe = treatments.filter(at + pl.duration(days=60) <= pl.date(2024, 8, 31))
    counted = sum(one["treated"] + one["control"] for one in told.values())
    assert 0.98 * ripe.height < counted <= ripe.height

    # What was measured is what answers go by, whether they are asked for alone or replayed.
    shares = {name: one["worth"]["measured_share"] for name, one in measured.items()}
    scores = pl.read_parquet(out)
    for action, share, effect in scores.select(
        "action", "action_measured_share", "action_effect"
    ).iter_rows():
        # What the others told of one that was too seldom tried is its share too.
        assert share == shares.get(action, share)
        assert effect == provenance(share)
    assert succeed(root, "replay", scores["decision_id"][0])["equal"]
