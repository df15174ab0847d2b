"""Made-up companies: the same again, a prefix of a longer one, and true to their truth."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from conftest import run, succeed
from polars.testing import assert_frame_equal

from features.errors import InputError
from pipelines.worlds.catalogue import load_world, world_names
from pipelines.worlds.parameters import World
from pipelines.worlds.simulation import Simulation, begin, outcomes
from pipelines.worlds.truth import Truth
from serving.playbook import load_playbook

SEED = 20
TABLES = ("orders", "customers", "interactions", "treatments")
NOBODY = pl.DataFrame(schema={"customer_id": pl.Int64, "action": pl.String})
AS_OF = date(2024, 2, 29)
HORIZON = 90
SHORT = date(2023, 12, 31)
# A right bound is passed by one in 16,000 draws of a normal; seeds are fixed.
FAR = 4.0


def started(world: str | World, customers: int, until: date, **more: bool) -> Simulation:
    chosen = load_world(world) if isinstance(world, str) else world
    return begin(chosen, load_playbook(), customers, SEED, until, **more)


@pytest.fixture(scope="module", params=["shop", "contracts"])
def company(request: pytest.FixtureRequest) -> Simulation:
    """A company at the end of a day, with room for a horizon more."""
    last = AS_OF + timedelta(days=HORIZON)
    return started(request.param, 7000, last).go_on(AS_OF)


def z_of(said: pl.Series, seen: pl.Series) -> float:
    """How many standard errors a mean is from what was said of it, each row said to be a chance."""
    spread = (said * (1 - said)).sum() ** 0.5
    return 0.0 if spread < 1e-9 else float((seen - said).sum() / spread)


def z_paired(said: pl.Series, seen: pl.Series) -> float:
    gap = seen - said
    return float(gap.mean() / (gap.std() / len(gap) ** 0.5))


# --- the same again ---


def test_one_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path):
    def made(name: str, seed: int, world: object = "shop") -> dict[str, bytes]:
        words = ("--world", world, "--customers", 200, "--seed", seed, "--until", "2023-09-30")
        succeed(tmp_path / "w", "simulate", *words, "--known", "--out", tmp_path / name)
        folder = tmp_path / name
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*.parquet"))
        }

    first = made("first", 7)
    assert first == made("again", 7)
    assert first == made("from its own file", 7, tmp_path / "first" / "world.yaml")
    assert first["orders.parquet"] != made("other", 8)["orders.parquet"]
    assert not (tmp_path / "w").exists(), "simulating needs no workspace"


@pytest.mark.parametrize("world", ["shop", "contracts"])
def test_a_longer_simulation_begins_with_the_shorter_one(world: str):
    days = [date(2023, 11, 5), date(2023, 12, 5), date(2024, 1, 4)]
    short, long = (started(world, 400, day, posterior=False).go_on(day) for day in days[::2])
    whole = long.tables(days[2])
    for table, rows in short.tables(days[0]).items():
        assert_frame_equal(whole[table].head(rows.height), rows)
        pieces = [
            long.tables(until, since)[table]
            for since, until in zip([None, *days], days, strict=False)
        ]
        assert_frame_equal(pl.concat(pieces), whole[table])
        assert all(piece.height for piece in pieces), table


BREAKS = {
    "prices": {"prices": 2.0, "buying": 0.6},
    "channel": {"channel_lost": "app"},
    "churn": {"leaving": 1.5},
    "export": {"export_lost": 0.4, "export_factor": 100},
}


@pytest.mark.parametrize("change", BREAKS.values(), ids=BREAKS)
def test_a_break_changes_what_comes_after_it_and_nothing_before(change: dict[str, object]):
    since, until = date(2023, 11, 1), date(2024, 1, 15)
    shop = load_world("shop")
    broken = World.model_validate(shop.model_dump() | {"breaks": [{"since": since, **change}]})
    before = since - timedelta(days=1)
    usual, other = (
        started(world, 1500, until, posterior=False).go_on(until) for world in (shop, broken)
    )
    for table, rows in usual.tables(before).items():
        assert_frame_equal(other.tables(before)[table], rows)
    ours, theirs = (
        s.tables(until, before)["orders"].filter(
            pl.col("ordered_at").dt.date() >= since, pl.col("amount") > 0
        )
        for s in (usual, other)
    )
    match next(iter(change)):
        case "prices":
            assert theirs["amount"].mean() == pytest.approx(2 * ours["amount"].mean(), rel=0.1)
        case "channel_lost":
            assert "app" not in theirs["channel"]
        case "leaving":
            gone = [(~s.company.state.there[: s.company.known]).mean() for s in (usual, other)]
            assert gone[1] > gone[0] + 0.03
        case "export_lost":
            assert theirs.height == pytest.approx(0.6 * ours.height, rel=0.05)
            assert theirs["amount"].mean() == pytest.approx(100 * ours["amount"].mean(), rel=0.1)


def test_the_worlds_that_break_are_the_shop_until_then():
    shop = load_world("shop").model_dump()
    for name in ("prices_doubled", "channel_lost", "churn_up", "broken_export"):
        world = load_world(name)
        assert {**world.model_dump(), "title": "", "breaks": ()} == {**shop, "title": ""}
        assert len(world.breaks) == 1


# --- the truth is true ---


@pytest.fixture(scope="module")
def truth(company: Simulation) -> Truth:
    return company.truth(HORIZON)


@pytest.fixture(scope="module")
def untreated(company: Simulation, truth: Truth) -> pl.DataFrame:
    """What is said of everybody, and what happened."""
    seen = outcomes(company, NOBODY, HORIZON).with_columns(silent=~pl.col("purchased"))
    return truth.customers.join(seen, on="customer_id")


@pytest.mark.parametrize("said", ["churn_probability", "known_churn_probability"])
def test_as_many_stay_silent_as_the_truth_says(untreated: pl.DataFrame, said: str):
    parts = {"all": untreated}
    deciles = untreated.with_columns(decile=(pl.col(said) * 10).floor())
    parts |= {f"decile {d}": rows for (d,), rows in deciles.group_by("decile")}
    if said == "churn_probability":
        parts |= {str(k): rows for k, rows in untreated.group_by("kind", "prospect")}
    far = {name: z_of(rows[said], rows["silent"]) for name, rows in parts.items()}
    assert {name: z for name, z in far.items() if abs(z) > FAR} == {}
    assert untreated[said].std() > 0.2, "a world in which all are alike tells nothing"


@pytest.mark.parametrize("said", ["expected_spend", "known_expected_spend"])
def test_as_much_is_spent_as_the_truth_says(untreated: pl.DataFrame, said: str):
    assert abs(z_paired(untreated[said], untreated["net_spend"])) < FAR
    assert untreated["net_spend"].sum() == pytest.approx(untreated[said].sum(), rel=0.1)


def test_who_has_left_never_orders_again(untreated: pl.DataFrame):
    gone = untreated.filter("gone")
    assert gone["churn_probability"].min() == 1
    assert not gone["purchased"].any()


def test_knowing_more_never_misleads(untreated: pl.DataFrame):
    """What could be known is right on average, and less sharp than the truth itself."""

    def loss(said: str) -> float:
        p = untreated[said].clip(1e-6, 1 - 1e-6).to_numpy()
        silent = untreated["silent"].to_numpy()
        return float(-np.mean(np.where(silent, np.log(p), np.log(1 - p))))

    assert loss("churn_probability") < loss("known_churn_probability")
    base = untreated["silent"].mean()
    assert loss("known_churn_probability") < -(base * np.log(base) + (1 - base) * np.log(1 - base))


def test_a_coin_flipped_campaign_finds_the_true_effect(company: Simulation, truth: Truth):
    """Treated minus control, as anybody could measure it, beside the mean of the true effects."""
    action = "cadence_reminder"
    here = truth.customers.filter(~pl.col("gone"), ~pl.col("prospect"))
    heads = np.random.default_rng(1).random(here.height) < 0.5
    plan = here.select("customer_id", action=pl.lit(action)).filter(pl.Series(heads))
    effects = here.join(truth.actions.filter(pl.col("action") == action), on="customer_id")
    seen = effects.join(outcomes(company, plan, HORIZON), on="customer_id")
    for what, said in (("purchased", "purchase_probability_change"), ("profit", "net_margin")):
        arms = [seen.filter(pl.Series(arm))[what].cast(pl.Float64) for arm in (heads, ~heads)]
        difference = arms[0].mean() - arms[1].mean()
        error = sum(arm.var() / len(arm) for arm in arms) ** 0.5
        assert abs(difference - effects[said].mean()) < 3 * error, what


def test_two_plans_share_every_chance_so_that_effects_are_seen_sharply(
    company: Simulation, truth: Truth
):
    base = outcomes(company, NOBODY, HORIZON)
    everybody = truth.customers.select("customer_id")
    for action in ("cadence_reminder", "retention_offer", "service_recovery"):
        effects = truth.actions.filter(pl.col("action") == action)
        treated = outcomes(company, everybody.with_columns(action=pl.lit(action)), HORIZON)
        gained = treated["profit"] - base["profit"]
        assert abs(z_paired(effects["net_margin"], gained)) < FAR, action
    assert_frame_equal(base, outcomes(company, NOBODY, HORIZON))


# --- the worlds that judge ---


def test_nothing_works_in_the_null_world():
    truth = started("null", 800, SHORT).go_on(SHORT).truth().actions
    assert (truth["spend_change"] == 0).all()
    assert (truth["purchase_probability_change"] == 0).all()
    assert truth["net_margin"].equals(-truth["cost"])
    assert truth["net_margin"].max() < 0


def test_everything_harms_in_the_harmful_world():
    truth = started("harmful", 800, SHORT).go_on(SHORT).truth()
    here = truth.actions.join(truth.customers.filter(~pl.col("gone")), on="customer_id")
    assert here["spend_change"].max() < 0
    assert here["purchase_probability_change"].max() < 0
    assert truth.actions["net_margin"].max() < 0


def test_what_the_company_wrote_down_misleads_in_the_confounded_world_alone():
    """The treated were going to buy anyway: about 20 points more often than the others."""
    first = load_world("shop").starts + timedelta(days=120 + 3 * 28)
    bias = {}
    for name in ("shop", "confounded"):
        simulation = started(name, 7000, first).go_on(first - timedelta(days=1))
        truth = simulation.truth().customers.filter(~pl.col("prospect"))
        rows = simulation.go_on(first).tables(first)["treatments"]
        drawn = rows.filter(pl.col("at").dt.date() == first).join(truth, on="customer_id")
        treated, control = (
            drawn.filter(pl.col("arm") == arm)["churn_probability"].mean()
            for arm in ("treated", "control")
        )
        bias[name] = control - treated
        assert rows["propensity"].null_count() == (rows.height if name == "confounded" else 0)
    assert 0.15 < bias["confounded"] < 0.3
    assert abs(bias["shop"]) < 0.05


def test_what_is_seen_says_little_of_whom_an_action_moves_in_the_unobserved_world():
    truth = started("unobserved", 2000, SHORT).go_on(SHORT).truth()
    assert explained(truth) < 0.2


def explained(truth: Truth) -> float:
    rows = truth.actions.filter(pl.col("action") == "cadence_reminder").join(
        truth.customers.filter(~pl.col("gone"), ~pl.col("prospect")), on="customer_id"
    )
    return float(rows.select(pl.corr("net_margin", "known_net_margin")).item() ** 2)


def test_the_best_plan_earns_more_than_risk_or_value_first(truth: Truth):
    assert explained(truth) > 0.3
    rows = truth.actions.filter(pl.col("action") == "cadence_reminder").join(
        truth.customers.filter(~pl.col("prospect")), on="customer_id"
    )
    best = rows.filter(pl.col("known_net_margin") > 0)
    earned = best["net_margin"].sum()
    for by in ("known_churn_probability", "known_expected_spend"):
        first = rows.sort(by, descending=True).head(best.height)["net_margin"].sum()
        assert first < 0.7 * earned, by


# --- contracts ---


def test_terms_follow_on_each_other_and_are_paid_for():
    until = date(2024, 6, 30)
    simulation = started("contracts", 800, until, posterior=False).go_on(until)
    world, tables = simulation.company.world, simulation.tables(until)
    newest = (
        tables["contracts"]
        .sort("arrived_at")
        .unique(["customer_id", "starts_at"], keep="last", maintain_order=True)
    )
    assert world.subscription is not None
    days = {name: plan.term_days for name, plan in world.subscription.plans.items()}
    length = (newest["ends_at"] - newest["starts_at"]).dt.total_days()
    assert length.equals(
        newest["plan"].replace_strict(days, return_dtype=pl.Int64), null_equal=True
    )
    assert (newest["renewed_at"].is_null() | newest["cancelled_at"].is_null()).all()
    renewed = newest.filter(pl.col("renewed_at").is_not_null())
    cancelled = newest.filter(pl.col("cancelled_at").is_not_null())
    assert renewed.height > 300
    assert cancelled.height > 100
    following = renewed.join(
        newest, left_on=["customer_id", "ends_at"], right_on=["customer_id", "starts_at"]
    )
    assert following.height == renewed.height, "a renewed term has a next one"
    assert newest.join(
        cancelled, left_on=["customer_id", "starts_at"], right_on=["customer_id", "ends_at"]
    ).is_empty(), "a cancelled one has none"
    paid = tables["orders"].group_by("customer_id").agg(pl.col("amount").sum())
    owed = newest.group_by("customer_id").agg(pl.col("fee").sum())
    both = owed.join(paid, on="customer_id", how="full")
    # An order or two may still be on its way.
    assert (both["fee"] - both["amount"]).abs().fill_null(0).sum() < 0.01 * owed["fee"].sum()


# --- through the verbs ---


@pytest.mark.parametrize("world", ["shop", "contracts"])
def test_ingest_takes_every_row_and_sees_the_late_ones(world: str, tmp_path: Path):
    folder = tmp_path / "made"
    words = ("--world", world, "--customers", 600, "--until", "2023-11-30", "--out", folder)
    said = succeed(tmp_path / "w", "simulate", *words)
    told = succeed(tmp_path / "w", *said["ingest"][1:])["files"]
    assert {file["table"] for file in told} == set(said["rows"])
    for file in told:
        assert file["counts"]["quarantined"] == 0, file
        assert file["counts"]["kept"] == said["rows"][file["table"]]
    rows = pl.read_parquet(folder / "interactions.parquet")
    assert (rows["arrived_at"] > rows["at"]).mean() == pytest.approx(0.04, abs=0.01)
    settings = yaml.safe_load((folder / "lifecycle.yaml").read_text())
    assert settings["data"]["observed_until"] == "2023-11-30"


def test_a_plan_is_carried_out_and_the_programme_rests(tmp_path: Path):
    plan = pl.DataFrame(
        {
            "customer_id": [1, 2, 3, 4],
            "action": ["cadence_reminder", "let_go", "none", "retention_offer"],
            "arm": ["treated", "treated", "treated", "control"],
            "decision_id": ["a", "b", "c", "d"],
        }
    )
    plan.write_parquet(tmp_path / "plan.parquet")
    words = ("--customers", 400, "--until", "2023-12-31", "--since", "2023-11-30")
    treat = ("--treat", tmp_path / "plan.parquet", "--out", tmp_path / "made")
    succeed(tmp_path / "w", "simulate", *words, *treat)
    rows = pl.read_parquet(tmp_path / "made" / "treatments.parquet").sort("customer_id")
    planned = rows.filter(pl.col("decision_id").is_not_null())
    assert planned.select("customer_id", "action", "arm", "decision_id").rows() == [
        (1, "cadence_reminder", "treated", "a"),
        (4, "retention_offer", "control", "d"),
    ]
    assert planned["at"].dt.date().unique().to_list() == [date(2023, 12, 1)]
    assert rows["at"].max() == planned["at"].max()


def test_every_world_is_whole_and_listed(tmp_path: Path):
    said = succeed(tmp_path, "simulate", "--list")
    assert tuple(said["worlds"]) == world_names()
    for name in world_names():
        simulation = started(name, 60, date(2023, 9, 15)).go_on(date(2023, 9, 15))
        assert simulation.tables(date(2023, 9, 15))["orders"].height > 0


MISTAKES = {
    "no world": (("--world", "utopia"), "no world 'utopia'; name one of shop, null"),
    "no customers": (("--customers", 0), "a company of 0 customers"),
    "too early": (("--until", "2020-01-01"), "choose 2023-07-01 or later"),
    "since": (("--until", "2023-08-01", "--since", "2023-08-01"), "is not before 2023-08-01"),
    "truth": (("--until", "2023-08-01", "--truth", "2023-09-01"), "--truth 2023-09-01"),
    "no plan": (("--treat", "nowhere.parquet"), "nowhere.parquet does not exist"),
}


@pytest.mark.parametrize(("words", "message"), MISTAKES.values(), ids=MISTAKES)
def test_what_cannot_be_is_one_sentence(words: tuple[object, ...], message: str, tmp_path: Path):
    result = run(tmp_path / "w", "simulate", *words, "--out", tmp_path / "made")
    assert result.exit_code == 1
    assert message in result.stderr
    assert not (tmp_path / "made").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path):
    (tmp_path / "holiday.txt").write_text("photos")
    result = run(tmp_path / "w", "simulate", "--customers", 5, "--out", tmp_path)
    assert result.exit_code == 1
    assert "holds something that no simulation wrote" in result.stderr


def test_a_parameter_that_cannot_be_is_named(tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text("from: shop\nkinds: {loyal: {share: 0.9}}\n")
    with pytest.raises(InputError, match="shares of kinds sum to"):
        load_world(str(file))
    file.write_text("from: shop\nmargin: 2\n")
    with pytest.raises(InputError, match="margin = 2"):
        load_world(str(file))


def test_a_plan_for_what_the_world_does_not_know_is_refused():
    shop = started("shop", 50, date(2023, 10, 1), posterior=False).go_on(date(2023, 8, 1))
    for rows, message in (
        ([(1, "skywriting")], "does not know what skywriting does"),
        ([(1, "cross_sell"), (1, "content")], "treats a customer twice"),
        ([(50, "cross_sell")], "whom nobody knows on that day; ids go from 1 to"),
    ):
        plan = pl.DataFrame(rows, schema=NOBODY.schema, orient="row")
        with pytest.raises(InputError, match=message):
            outcomes(shop, plan, 30)
    with pytest.raises(InputError, match="begin the simulation until"):
        outcomes(shop, NOBODY, 365)
