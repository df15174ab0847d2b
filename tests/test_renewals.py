"""Customers under contract: their churn is that no term is left, said as often as it happens."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import succeed
from random_shops import TODAY, any_term, write
from scipy.special import expit

from features.days import day_of
from features.matrix import matrix_of
from features.settings import Settings
from features.workspace import Workspace
from pipelines.context import Context
from training.bundle import ScorerBundle
from training.prior import column
from training.renewals import holders, lost_of, under_contract

DAY, HORIZON, GRACE = date(2025, 3, 31), 60, 30
LAST = DAY + timedelta(days=HORIZON)


def there(terms: list[dict[str, Any]], today: int, known_by: int, grace: int) -> set[Any]:
    """Who has a term that is neither cancelled nor over for longer than the grace."""
    versions: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for term in terms:
        if term["event_day"] <= today and term["known_day"] <= known_by:
            versions[term["customer_id"], term["contract_id"], term["starts_at"]].append(term)
    newest = [max(same, key=lambda one: one["arrived_at"]) for same in versions.values()]
    found = set()
    for term in newest:
        who = term["customer_id"]
        last = max(one["event_day"] for one in newest if one["customer_id"] == who)
        end = term["ends_day"]
        renewed = term["renewed_day"] is not None and term["renewed_day"] <= today
        if end is not None and renewed and term["event_day"] == last:
            end += end - term["event_day"]
        cancelled = term["cancelled_day"] is not None and term["cancelled_day"] <= today
        if not cancelled and (end is None or end + grace >= today):
            found.add(who)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_who_is_lost_is_what_plain_python_says(seed: int, tmp_path: Path):
    rng = random.Random(seed)
    terms = {
        (row["customer_id"], row["contract_id"], row["starts_at"], row["arrived_at"]): row
        for row in ({"customer_id": rng.randrange(60), **any_term(rng)} for _ in range(150))
    }
    rows = list(terms.values())
    path = write({"contracts": rows}, tmp_path)["contracts"]
    for today, known_by in ((TODAY, TODAY), (TODAY - 20, TODAY), (TODAY + 90, TODAY + 90)):
        for grace in (0, 30):
            said = holders(path, day_of(today), grace, day_of(known_by))
            assert set(said.to_list()) == there(rows, today, known_by, grace)


@pytest.fixture(scope="module")
def subscribers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A contract business that went through every verb, and what then happened."""
    folder = tmp_path_factory.mktemp("subscribers")
    workspace, files = folder / "w", folder / "files"
    succeed(
        workspace, "simulate", "--world", "contracts", "--customers", 2500, "--seed", 5,
        "--until", LAST, "--truth", DAY, "--horizon-days", HORIZON, "--out", files,
    )  # fmt: skip
    with (files / "lifecycle.yaml").open("a") as file:
        file.write("training: {max_snapshots: 12, effects: false}\n")
    settings = ("--settings", files / "lifecycle.yaml")
    tables = ("orders", "customers", "contracts")
    named = [word for table in tables for word in (f"--{table}", files / f"{table}.parquet")]
    succeed(workspace, "ingest", *settings, *named)
    trained = succeed(
        workspace, "train", *settings, "--as-of", DAY, "--horizon-days", HORIZON, "--trials", 0
    )
    succeed(workspace, "promote", *settings)
    out = folder / "scores.parquet"
    succeed(workspace, "score", *settings, "--as-of", DAY, "--out", out)
    context = Context(Workspace(workspace), Settings.load(files / "lifecycle.yaml"))
    ledger = context.ledger()
    (snapshot,) = (workspace / "features").glob(f"snapshots_v*/{DAY}.parquet")
    bundle: ScorerBundle = context.registry().load(context.registry().require_champion())
    facts = pl.read_parquet(snapshot)
    terms = ledger.path("contracts")
    assert terms is not None
    stay = holders(terms, LAST, GRACE, LAST)
    return {
        "workspace": workspace,
        "settings": settings,
        "trained": trained,
        "bundle": bundle,
        "facts": facts,
        "matrix": matrix_of(facts.to_arrow(), bundle.vocabulary),
        "scores": pl.read_parquet(out).join(facts, on="customer_id", suffix="_of_facts"),
        "lost": ~facts["customer_id"].is_in(stay.to_list()).to_numpy(),
        "told": lost_of(terms, DAY, HORIZON, GRACE, LAST),
        "truth": pl.read_parquet(files / "truth" / f"{DAY}.parquet"),
    }


def test_as_many_are_lost_as_are_said_to_be(subscribers: dict[str, Any]):
    matrix, lost = subscribers["matrix"], subscribers["lost"]
    held = under_contract(matrix, GRACE)
    said = subscribers["bundle"].predict(matrix).churn_probability
    said, seen = said[held], lost[held]
    # By the terms alone, as reports look back, it is the same customers with the same fate.
    told = subscribers["told"]
    assert (
        told["customer_id"].to_list() == subscribers["facts"]["customer_id"].filter(held).to_list()
    )
    assert told["lost"].to_list() == seen.tolist()
    assert 300 < len(said) < 0.6 * len(matrix)
    assert 0.1 < seen.mean() < 0.5
    assert said.mean() == pytest.approx(seen.mean(), abs=0.05)
    for group in np.array_split(np.argsort(said), 5):
        error = 3 * np.sqrt(max(seen[group].mean() * (1 - seen[group].mean()), 0.01) / len(group))
        assert said[group].mean() == pytest.approx(seen[group].mean(), abs=error + 0.02)
    quality = subscribers["trained"]["evaluation"]["renewals"]
    assert quality["log_loss"] < quality["log_loss_terms"]
    assert quality["auc"] > 0.75


def test_where_one_decision_is_due_the_chance_is_nearly_the_true_one(subscribers: dict[str, Any]):
    """In this world the only orders are fees: no order is then no renewal."""
    scores = subscribers["scores"].join(
        subscribers["truth"].select("customer_id", truth="churn_probability"), on="customer_id"
    )
    # Decided a week before the term's end.
    due = scores.filter(
        pl.col("contracts_active") >= 1,
        pl.col("contract_term_days") > HORIZON + 7,
        pl.col("contract_days_secured").is_between(7, HORIZON),
    )
    assert due.height > 100
    assert due["churn_probability"].mean() == pytest.approx(due["truth"].mean(), abs=0.08)
    assert np.corrcoef(due["churn_probability"], due["truth"])[0, 1] > 0.2
    # With a month to spare: how long before its end a term is cancelled had to be learned.
    kept = scores.filter(
        pl.col("contracts_active") >= 1, pl.col("contract_days_secured") > HORIZON + 30
    )
    assert kept.height > 100
    assert kept["churn_probability"].mean() < 0.05, "kept, unless it is cancelled"
    assert kept["truth"].mean() > 0.9, "and no order is due of them"


def test_what_is_expected_is_the_mixture_of_who_stays_and_who_is_lost(subscribers: dict[str, Any]):
    said = subscribers["bundle"].predict(subscribers["matrix"])
    churn = said.churn_probability
    mixed = (1 - churn) * said.spend_if_purchase + churn * said.spend_if_none
    np.testing.assert_allclose(said.expected_spend, mixed, rtol=1e-9, atol=1e-9)
    held = under_contract(subscribers["matrix"], GRACE)
    stay, gone = said.spend_if_purchase[held].mean(), said.spend_if_none[held].mean()
    assert 0 <= gone < 0.7 * stay


@pytest.mark.parametrize("method", ["fast", "exact"])
def test_reasons_are_of_the_probability_that_is_told(subscribers: dict[str, Any], method: str):
    bundle, matrix = subscribers["bundle"], subscribers["matrix"][:400]
    buyers = matrix[column(matrix, "purchases") > 0]
    found = bundle.attribution(buyers, method)
    said = bundle.predict(buyers).churn_probability
    told = expit(found.base + found.contributions.sum(axis=1))
    np.testing.assert_allclose(np.clip(told, 1e-4, 1 - 1e-4), said, atol=1e-9)
    alone = [bundle.predict(row[None]).churn_probability[0] for row in buyers[:50]]
    assert alone == said[:50].tolist()


def test_nobody_is_churned_while_a_contract_may_go_on(subscribers: dict[str, Any]):
    scores = subscribers["scores"].filter(pl.col("purchases") > 0)
    held = scores.filter(
        pl.col("contracts") >= 1, pl.col("days_since_contract_end").fill_null(0) <= GRACE
    )
    assert "churned" not in held["lifecycle_stage"].unique()
    in_grace = held.filter(pl.col("days_since_contract_end").is_not_null())
    assert in_grace.height > 0
    assert set(in_grace["lifecycle_stage"]) <= {"declining", "new", "won_back"}
    lapsed = scores.filter(
        pl.col("days_since_contract_end") > GRACE, pl.col("recency_days") > GRACE
    )
    assert set(lapsed["lifecycle_stage"]) == {"churned"}
    for verb in (("recommend", "--as-of", DAY), ("handbook", "--out", "handbook.html")):
        words = [w if w != "handbook.html" else subscribers["workspace"] / w for w in verb]
        succeed(subscribers["workspace"], *words, *subscribers["settings"])
