"""The plan, from scores to a campaign that was carried out: one small shop for all of it."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import shop
import yaml
from conftest import run, succeed

from features.workspace import Workspace
from serving.plan.past import Cooling, treatments
from serving.playbook import SHIPPED, load_playbook
from training.uplift.arms import Assigned, compare
from training.uplift.off_policy import Logged, policy_value

DAY = "2024-04-30"
BUDGET = 60.0


@pytest.fixture(scope="module")
def planned(
    trained: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any], Path]:
    """A workspace with a plan, what was said of it, and the file for those who carry it out."""
    workspace = shutil.copytree(trained["workspace"], tmp_path_factory.mktemp("planned") / "w")
    (workspace / "lifecycle.yaml").write_text("serving: {consent_unknown: plan}\n")
    out = workspace.parent / "crm.csv"
    return workspace, plan(workspace, "spring", BUDGET, "--out", out), out


@pytest.fixture
def own(planned: tuple[Path, dict[str, Any], Path], tmp_path: Path) -> Path:
    return shutil.copytree(planned[0], tmp_path / "w")


def plan(
    workspace: Path, campaign: str, budget: float, *words: object, day: str = DAY
) -> dict[str, Any]:
    asked = ("recommend", "--as-of", day, "--budget", budget, "--campaign", campaign)
    return succeed(workspace, *asked, *words)


def rows_of(said: dict[str, Any]) -> pl.DataFrame:
    return pl.read_parquet(said["file"])


def test_a_plan_keeps_within_its_limits_and_adds_up(planned: tuple[Path, dict[str, Any], Path]):
    _, said, out = planned
    rows, told = rows_of(said), said["plan"]
    book = {action.key: action for action in load_playbook().actions}
    assert rows.height == told["chosen"] == told["treated"] + told["control"] > 100
    assert rows["customer_id"].is_unique().all()
    assert rows["expected_cost"].sum() == pytest.approx(told["cost_of_chosen"])
    assert told["cost_of_chosen"] <= BUDGET
    treated = rows.filter(pl.col("arm") == "treated")
    assert treated["cost"].sum() == pytest.approx(told["cost"], abs=1e-3 * rows.height)
    assert treated["action_value"].sum() == pytest.approx(told["value"]["mid"])
    assert told["value"]["low"] < told["value"]["mid"] < told["value"]["high"]
    assert told["gap"] < 1e-3
    assert told["shadow_price"] > 0, "the budget binds"
    for row in rows.to_dicts():
        assert row["lifecycle_stage"] in book[row["action"]].stages
        assert row["action_value"] > 0
        assert row["action_effect"] == "assumed"
    left = sum(told["left_out"].values())
    assert left + told["chosen"] == told["known"]
    assert told["policies"]["risk_first"]["value"] < told["value_of_chosen"]
    assert told["policies"]["value_first"]["value"] < told["value_of_chosen"]
    with out.open() as file:
        carried = {row["customer_id"] for row in csv.DictReader(file)}
    assert carried == set(treated["customer_id"].cast(pl.String)), (
        "whoever is held out is not there"
    )
    page = Path(said["page"]).read_text()
    assert "Plan spring" in page
    assert "http" not in page, "it needs nothing from the network"


def test_the_arms_have_the_chances_that_are_written_down(
    planned: tuple[Path, dict[str, Any], Path],
):
    rows, told = rows_of(planned[1]), planned[1]["plan"]
    shares = {one["action"]: one["hold_out"]["share"] for one in told["actions"]}
    for row in rows.to_dicts():
        share = shares[row["action"]]
        chance = share if row["arm"] == "control" else 1 - share
        assert row["propensity"] == pytest.approx(chance)
        assert (row["cost"] == 0) == (row["arm"] == "control")
    assert 0.1 < told["control"] / told["chosen"] < 0.3


def test_the_same_again_is_the_same_plan_and_the_draw_stays(own: Path):
    first = plan(own, "spring", BUDGET)
    assert not first["computed"]
    before = rows_of(first)
    other = plan(own, "spring", 2 * BUDGET)
    assert (other["version"], other["computed"]) == (2, True)
    assert other["plan"]["value_of_chosen"] > first["plan"]["value_of_chosen"]
    both = before.join(rows_of(other), on=["customer_id", "action"])
    assert both.height > 100
    assert (both["arm"] == both["arm_right"]).all(), "of a customer in a campaign"
    again = plan(own, "spring", BUDGET)
    assert rows_of(again).equals(before)
    elsewhere = rows_of(plan(own, "fall", BUDGET))
    assert before.join(elsewhere, on=["customer_id", "action"]).is_empty(), "they cool down"


def test_a_plan_that_was_carried_out_is_read_as_treatments(own: Path):
    said = plan(own, "spring", BUDGET)
    rows = rows_of(said)
    read = succeed(own, "ingest", "--treatments", said["file"])
    assert read["counts"]["kept"] == rows.height
    path = own / "data" / "treatments"
    stored = treatments_of(own)
    assert path is not None
    joined = rows.join(stored, on=["customer_id", "action", "arm", "campaign", "decision_id"])
    assert joined.height == rows.height
    assert (joined["propensity"] == joined["propensity_right"]).all()
    assert (joined["at"] == joined["at_right"]).all()
    same = plan(own, "spring", BUDGET)
    assert not same["computed"], "what is known of the day has not changed"
    refused = run(own, "recommend", "--as-of", DAY, "--budget", 1, "--campaign", "spring")
    assert refused.exit_code == 1
    assert "campaign spring has been carried out" in refused.output


def treatments_of(workspace: Path) -> pl.DataFrame:
    from features.ingest.ledger import Ledger

    path = Ledger(Workspace(workspace)).path("treatments")
    assert path is not None
    return pl.read_parquet(path)


def test_every_treatment_cools_down_and_not_the_newest_alone(tmp_path: Path):
    file = tmp_path / "treatments.parquet"
    day = (date(2024, 5, 1) - date(1970, 1, 1)).days
    pl.DataFrame(
        {
            "customer_id": [1, 1, 2, 3, 4],
            "action": ["offer", "call", "offer", "offer", "offer"],
            "arm": ["treated", "treated", "control", "treated", "treated"],
            "event_day": [day - 10, day - 1, day - 10, day - 30, day - 10],
            "known_day": [day - 10, day - 1, day - 10, day - 30, day + 1],
        }
    ).write_parquet(file)
    past = treatments(file, date(2024, 5, 1))
    customers = pl.Series([1, 2, 3, 4]).to_arrow()
    # A row for what was done: an offer waits 30 days for itself, and so does a call 20 days for it.
    wait_days = np.array([[30.0, 20.0], [0.0, 1.0]])
    waits = Cooling.find(customers, past, ("offer", "call"), wait_days, date(2024, 5, 1))
    # Withheld, over since this day, and not known yet: they do not wait.
    nothing = [False, False]
    assert waits.of(0, 4).tolist() == [[True, True], nothing, nothing, nothing]


def test_nothing_is_bought_with_nothing_and_the_first_thing_is_named(own: Path):
    file = own / "said.json"
    asked = ("recommend", "--as-of", DAY, "--budget", 0, "--campaign", "none", "--json", file)
    result = run(own, *asked)
    assert "buys nothing; the first thing that money would buy is" in result.output
    said = json.loads(file.read_text())["plan"]
    assert said["chosen"] == 0
    assert said["first_bought"]["value"] > 0
    enough = plan(own, "none", said["first_bought"]["cost"])["plan"]
    assert enough["chosen"] >= 1


def test_another_system_gets_its_own_columns(own: Path, tmp_path: Path):
    out = tmp_path / "zoho.csv"
    said = plan(own, "spring", BUDGET, "--out", out, "--mapping", "zoho_crm")
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == said["plan"]["treated"]
    actions = dict(rows_of(said).select(pl.col("customer_id").cast(pl.String), "action").rows())
    assert all(actions[row["Customer_External_ID"]] == row["Lifecycle_Action"] for row in rows)


def test_an_edit_says_whom_it_moves_before_it_is_live(own: Path, tmp_path: Path):
    edited, out = tmp_path / "edited.yaml", tmp_path / "moved.csv"
    book = yaml.safe_load(SHIPPED.read_text())
    for action in book["actions"]:
        if action["key"] == "win_back_offer":
            action["contact_cost"] = 50.0
    edited.write_text(yaml.safe_dump(book, allow_unicode=True))
    words = ("recommend", "--as-of", DAY, "--budget", BUDGET, "--campaign", "spring", "--diff")
    said = succeed(own, *words, "--playbook", edited, "--out", out)
    live = plan(own, "spring", BUDGET)
    assert said["before"]["customers"] == live["plan"]["chosen"]
    assert said["before"]["value"] == pytest.approx(live["plan"]["value_of_chosen"])
    assert not live["computed"], "a comparison keeps nothing"
    actions = {one["action"]: one for one in said["actions"]}
    assert actions["win_back_offer"]["before"]["customers"] > 0
    assert actions["win_back_offer"]["after"]["customers"] == 0
    gone = said["before_by_new"]["gone"]
    assert gone == actions["win_back_offer"]["before"]["customers"]
    moved = pl.read_csv(out)
    assert moved.height == said["moved"] == sum(one["customers"] for one in said["moves"])
    assert (moved["action_before"] != moved["action_after"]).all()
    money = moved["value_after"].sum() - moved["value_before"].sum()
    assert said["after"]["value"] - said["before"]["value"] == pytest.approx(money)
    same = succeed(own, *words, "--playbook", SHIPPED)
    assert (same["moved"], same["before"]) == (0, same["after"])
    alone = run(own, "recommend", "--playbook", edited)
    assert "give both" in alone.output


def test_what_a_plan_changed_is_read_back_by_assignment(own: Path):
    said = plan(own, "spring", BUDGET)
    planned = rows_of(said)
    # One who was to be treated was not, and one of the control arm was.
    treated = planned.with_columns(at=pl.col("at") + pl.duration(hours=9)).drop("as_of")
    swapped = treated.with_row_index().with_columns(
        arm=pl.when(pl.col("index") == treated["arm"].index_of("control"))
        .then(pl.lit("treated"))
        .otherwise("arm")
    )
    file = own / "done.parquet"
    swapped.filter(pl.col("index") != treated["arm"].index_of("treated")).write_parquet(file)
    succeed(own, "ingest", "--treatments", file)
    found = succeed(own, "outcomes", "--campaign", "spring")
    assert found["whole_horizon"]
    same = planned.height - 2
    assert found["carried_out"] == {"same": same, "other": 1, "missing": 1, "control_treated": 1}
    start = datetime(2024, 5, 1)
    bought = shop.orders().filter(
        pl.col("when").is_between(start, start + timedelta(days=60), closed="left"),
        pl.col("units") > 0,
        pl.col("seen") < datetime(2024, 7, 1),
    )
    buyers = planned.join(bought, left_on="customer_id", right_on="client", how="semi")
    for arm in ("treated", "control"):
        assert found["total"][arm] == (planned["arm"] == arm).sum()
        assert found["total"][f"{arm}_buyers"] == (buyers["arm"] == arm).sum()
    for kind, column in (("action", "action"), ("stage", "lifecycle_stage")):
        groups = found["groups"][kind]
        assert sum(told["treated"] + told["control"] for told in groups.values()) == planned.height
        assert set(groups) == set(planned[column])
    total = found["total"]
    assert total["verdict"] == "measured"
    assert total["purchase"]["lower"] < 0 < total["purchase"]["upper"], "this shop feels nothing"
    few = [told for told in found["groups"]["action"].values() if told["verdict"] == "too_few"]
    assert few
    assert all("purchase" not in told for told in few)
    half = succeed(own, "outcomes", "--campaign", "spring", "--as-of", "2024-05-30")
    assert (half["days"], half["whole_horizon"]) == (30, False)
    for words, expected in (
        (("--campaign", "summer"), "there is no plan of a campaign 'summer' (there are: spring)"),
        (("--campaign", "spring", "--as-of", DAY), "nothing later than"),
    ):
        assert expected in run(own, "outcomes", *words).output


def test_arms_of_other_shares_are_weighed():
    """The loyal buy more and are seldom held out: their share must not look like an effect."""
    rng = np.random.default_rng(5)
    loyal = rng.random(40_000) < 0.5
    share = np.where(loyal, 0.1, 0.5)
    control = rng.random(40_000) < share
    base = np.where(loyal, 0.6, 0.1)
    bought = rng.random(40_000) < base + 0.05 * ~control
    spend = bought * rng.gamma(4, 10, 40_000)
    arms = Assigned(~control, np.where(control, share, 1 - share), bought, spend, base, 40 * base)
    found = compare(arms)
    assert found.purchase is not None
    assert found.spend is not None
    assert found.purchase.lower < 0.05 < found.purchase.upper
    assert found.purchase.lower > 0.03
    assert found.spend.lower < 2.0 < found.spend.upper
    blind = compare(replace(arms, said_purchase=0 * base, said_spend=0 * base))
    assert blind.purchase is not None
    assert found.purchase.error < 0.9 * blind.purchase.error, "what was said narrows it"


def test_a_playbook_is_valued_on_past_treatments_of_known_chances(own: Path, tmp_path: Path):
    """A coin decided who was reminded, and nothing came of it: whoever reminds pays for nothing."""
    rng = np.random.default_rng(3)
    customers = np.arange(1, 901)
    treated = rng.random(900) < 0.5
    past = pl.DataFrame(
        {
            "customer_id": customers,
            "at": [datetime(2024, 5, 1, 9)] * 900,
            "action": ["cadence_reminder"] * 900,
            "arm": np.where(treated, "treated", "control"),
            "propensity": [0.5] * 900,
        }
    )
    past.drop("propensity").write_parquet(tmp_path / "unstated.parquet")
    past.write_parquet(tmp_path / "stated.parquet")
    bare = shutil.copytree(own, tmp_path / "bare")
    succeed(bare, "ingest", "--treatments", tmp_path / "unstated.parquet")
    declined = run(bare, "evaluate")
    assert declined.exit_code == 1
    assert "none has the chance of its arm written down (propensity)" in declined.output
    succeed(own, "ingest", "--treatments", tmp_path / "stated.parquet")
    edited = tmp_path / "never.yaml"
    book = yaml.safe_load(SHIPPED.read_text())
    book["actions"] = [a for a in book["actions"] if a["key"] != "cadence_reminder"]
    edited.write_text(yaml.safe_dump(book, allow_unicode=True))
    said = succeed(own, "evaluate", "--playbook", edited)
    policies = said["policies"]
    assert policies["everyone"]["acts"] == policies["everyone"]["rows"] == said["rows"] > 700
    for way in ("weighted", "robust"):
        told = policies["everyone"][way]
        assert told["lower"] < -0.02 < told["upper"], "what a reminder costs"
    assert policies["new"]["acts"] == 0
    assert policies["new"]["robust"] == {"value": 0.0, "lower": 0.0, "upper": 0.0}
    live = policies["live"]
    assert 0 < live["acts"] < live["rows"]
    assert live["rows"] + live["unknown"] == said["rows"], "what was never tried is not made up"
    assert said["in_sample"] == said["rows"], "the model has seen what followed"


@pytest.mark.parametrize("seed", range(3))
def test_both_estimates_find_the_value_of_a_policy(seed: int):
    """The truth is known: acting for half, told by a fact, brings 2 - 0.5 for each of them."""
    rng = np.random.default_rng(seed)
    rows = 6_000
    told = rng.random(rows) < 0.5
    chance = np.where(told, 0.3, 0.6)
    treated = rng.random(rows) < chance
    usual = 10 + 3 * told + rng.normal(0, 4, rows)
    effect = np.where(told, 2.0, -2.0)
    margin = usual + treated * effect
    # Models of the outcome that are wrong: the chances alone set the scores right.
    weight = np.where(treated, 1 / chance, -1 / (1 - chance))
    score = 1.0 + weight * (margin - np.where(treated, 11.5, 10.5))
    logged = Logged(np.arange(rows), treated, chance, margin, score)
    found = policy_value(logged, told, np.full(rows, 0.5))
    for estimate in (found.weighted, found.robust):
        assert abs(estimate.value - 0.75) < 3 * estimate.error
        assert estimate.error < 0.35
    assert 1_000 < found.effective < (treated == told).sum()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--budget", -3), "--budget -3 is no amount to spend"),
        (("--budget", "nan"), "--budget nan is no amount to spend"),
        (("--campaign", "../x"), "cannot name a file"),
        (("--out", "x.txt"), "must end in .parquet or .csv"),
        (("--mapping", "zoho_crm"), "name a file with --out"),
        (("--hold-out", 0.7), "plan.most_held_out = 0.7"),
    ],
)
def test_what_cannot_be_planned_is_one_sentence(
    planned: tuple[Path, dict[str, Any], Path], words: tuple[object, ...], expected: str
):
    result = run(planned[0], "recommend", "--as-of", DAY, *words)
    assert result.exit_code == 1
    assert expected in result.stderr


def test_a_plan_that_is_withdrawn_counts_for_nothing(own: Path):
    waiting = plan(own, "summer", BUDGET)
    assert waiting["plan"]["left_out"].get("none_cooling_down", 0) > 0, "spring's customers wait"
    words = ("recommend", "--withdraw", "spring", "--why", "approved by mistake", "--by", "Ada")
    taken = succeed(own, *words)
    assert (taken["repeated"], taken["by"]) == (False, "Ada")
    again = succeed(own, *words[:3], "--why", "once more", "--by", "Bob")
    assert again == taken | {"repeated": True}, "the first word stays"
    assert "approved by mistake" in Path(taken["page"]).read_text()
    # As if it had never been.
    free = plan(own, "summer", BUDGET)
    assert free["computed"]
    assert free["plan"]["left_out"].get("none_cooling_down", 0) == 0
    assert free["plan"]["value"]["mid"] >= waiting["plan"]["value"]["mid"]
    lost = run(own, "outcomes", "--campaign", "spring")
    assert lost.exit_code != 0
    assert "was withdrawn by Ada" in lost.output
    # It can be planned anew, and waits then for the one that was made meanwhile.
    anew = plan(own, "spring", BUDGET)
    assert (anew["computed"], anew["version"]) == (True, 2)


def test_a_withdrawal_says_what_is_wrong_with_it(own: Path):
    for words, said in (
        (("--withdraw", "spring"), "needs a reason"),
        (("--withdraw", "autumn", "--why", "x"), "no plan of a campaign"),
    ):
        result = run(own, "recommend", *words)
        assert result.exit_code != 0
        assert said in result.output
    succeed(own, "ingest", "--treatments", own / "plans" / "spring.v1.parquet")
    result = run(own, "recommend", "--withdraw", "spring", "--why", "x")
    assert result.exit_code != 0
    assert "has been carried out" in result.output
