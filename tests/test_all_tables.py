"""A shop with all five tables: prospects, categories and what else customers did, end to end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import shop
from conftest import succeed

from features import catalogue
from features.ingest.ledger import Ledger
from features.matrix import Vocabulary, matrix_of
from features.settings import Settings
from features.snapshots import snapshot_path
from features.workspace import Workspace
from serving.actions import note_text
from serving.endpoint.messages import MOST_EXACT
from serving.endpoint.opening import Endpoint
from serving.playbook import load_playbook
from serving.scorer import Scorer
from serving.teller import Teller
from serving.topics import TOPICS
from training.dataset import label_days
from training.prospects import ENGAGEMENT, GROUPS, groups_of
from training.registry import open_registry
from training.training_set import TrainingSet

CUSTOMERS = 300
HORIZON = 60
LAST = date.fromisoformat(shop.LAST_DAY)
SETTINGS = "training: {trials: 0, max_snapshots: 8}\nchurn: {horizon_days: 60}\n"


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The shop trained, promoted and scored, and what training said."""
    folder = tmp_path_factory.mktemp("grown")
    root = folder / "workspace"
    root.mkdir()
    (root / "lifecycle.yaml").write_text(SETTINGS)
    orders = shop.write(folder, CUSTOMERS)
    succeed(root, "ingest", "--orders", orders, *shop.map_options())
    for table, path in shop.write_others(folder, CUSTOMERS).items():
        succeed(root, "ingest", f"--{table}", path)
    said = succeed(root, "train")
    succeed(root, "promote", "--force")
    out = folder / "scores.parquet"
    succeed(root, "score", "--out", out)
    return {"workspace": Workspace(root), "train": said, "scores": pl.read_parquet(out)}


@pytest.fixture(scope="module")
def scorer(grown: dict[str, Any]) -> Scorer:
    settings = Settings()
    return Scorer.champion(open_registry(grown["workspace"], settings), settings.serving)


@pytest.fixture(scope="module")
def known(grown: dict[str, Any]) -> pl.DataFrame:
    """Features of every customer on the last day, by the order of the scores."""
    path = snapshot_path(grown["workspace"], Ledger(grown["workspace"]), LAST)
    return (
        grown["scores"]
        .select("customer_id")
        .join(pl.read_parquet(path), on="customer_id", maintain_order="left")
    )


def test_prospects_are_scored_beside_buyers_and_stay_out_of_churn_metrics(
    grown: dict[str, Any], known: pl.DataFrame
):
    scores = grown["scores"]
    assert scores.height == known.height > CUSTOMERS
    bought = known["purchases"] > 0
    assert (~bought).sum() > 30
    assert (scores["flags"].list.contains("prospect") == ~bought).all()
    evaluation = grown["train"]["evaluation"]
    judged = date.fromisoformat(evaluation["day"])
    path = snapshot_path(grown["workspace"], Ledger(grown["workspace"]), judged)
    purchases = pl.read_parquet(path)["purchases"]
    assert evaluation["customers"] == (purchases > 0).sum() < len(purchases)
    assert evaluation["prospects"]["prospects"] == (purchases == 0).sum()
    assert 0 <= evaluation["prospects"]["conversion_seen"] < 1
    assert 0 < evaluation["prospects"]["conversion_said"] < 1


def test_a_prospects_churn_is_one_minus_the_chance_of_converting_of_those_alike(
    grown: dict[str, Any], known: pl.DataFrame, scorer: Scorer
):
    prospect = known["purchases"] == 0
    engagement = (known[name].cast(pl.Float64).to_numpy() for name in ENGAGEMENT)
    chance = np.array(scorer.bundle.conversion.probability)[groups_of(*engagement)]
    said = grown["scores"].filter(prospect)["churn_probability"].to_numpy()
    assert said == pytest.approx(1 - chance[prospect.to_numpy()], abs=1e-15)


def test_prospects_are_staged_by_their_intent(grown: dict[str, Any], known: pl.DataFrame):
    prospect = known["purchases"] == 0
    stages = grown["scores"].filter(prospect)["lifecycle_stage"].to_list()
    engaged = (known.filter(prospect)["intent_90d"] > 0).fill_null(value=False).to_list()
    assert set(engaged) == {True, False}
    assert stages == ["prospect_considering" if intent else "prospect_aware" for intent in engaged]


def test_who_is_known_from_other_tables_and_then_buys_has_converted(grown: dict[str, Any]):
    workspace, day = grown["workspace"], LAST - timedelta(days=300)
    ledger = Ledger(workspace)
    succeed(workspace.root, "features", "--as-of", day.isoformat(), "--no-online")
    table = pq.read_table(snapshot_path(workspace, ledger, day))
    (labelled,), (never,) = label_days(
        TrainingSet({day: table}), Vocabulary(), ledger.orders_path, HORIZON, LAST
    )
    when = pl.col("when").dt.date()
    window = (when > day) & (when <= day + timedelta(days=HORIZON)) & (pl.col("units") > 0)
    buyers = shop.orders(CUSTOMERS).filter(window).select("client").unique()
    prospects = pl.DataFrame(pl.from_arrow(table)).filter(pl.col("purchases") == 0)
    converted = prospects.join(buyers, left_on="customer_id", right_on="client")
    assert sum(never.converted) == converted.height > 10
    assert sum(never.seen) == prospects.height
    assert len(labelled.matrix) == table.num_rows - prospects.height


def test_the_vocabulary_stands_in_the_bundle_and_codes_as_it_was_fitted(
    scorer: Scorer, tmp_path: Path
):
    labels = scorer.bundle.vocabulary.labels
    assert {"north", "south", "east", "île-de-france"} <= set(labels["region"])
    assert set(labels["treatment_last"]) == {"reminder", "coupon", "call"}
    scorer.bundle.save(tmp_path)
    assert type(scorer.bundle).load(tmp_path).vocabulary == scorer.bundle.vocabulary


@pytest.fixture(scope="module")
def answering(grown: dict[str, Any]) -> Iterator[Endpoint]:
    endpoint = Endpoint.of(grown["workspace"], Settings())
    endpoint.live.refresh()
    assert endpoint.live.answering is not None, endpoint.live.problem
    yield endpoint
    endpoint.stop()


async def asked(endpoint: Endpoint, route: str, body: dict[str, Any]) -> dict[str, Any]:
    transport = httpx.ASGITransport(endpoint.application, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        answer = await client.post(f"/{route}/score", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ask(endpoint: Endpoint, route: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    import asyncio

    results: list[dict[str, Any]] = asyncio.run(asked(endpoint, route, body))["results"]
    return results


def test_online_in_the_request_and_in_the_batch_the_answers_are_one(
    grown: dict[str, Any], known: pl.DataFrame, answering: Endpoint
):
    scores = grown["scores"]
    ids = scores["customer_id"].to_list()
    rows = [
        {
            "customer_id": row["customer_id"],
            "as_of": shop.LAST_DAY,
            "features": {name: row[name] for name in catalogue.NAMES if name != "as_of_day"},
        }
        for row in known.to_dicts()
    ]
    online = ask(answering, "customers", {"customer_ids": ids})
    assert online == ask(answering, "features", {"rows": rows})
    for column in ("churn_probability", "expected_spend", "lifecycle_stage", "reasons", "flags"):
        assert [row[column] for row in online] == scores[column].to_list(), column


# Reasons.


def test_of_a_whole_shop_every_topic_is_told_of_someone(known: pl.DataFrame, scorer: Scorer):
    bundle = scorer.bundle
    matrix = matrix_of(known.filter(pl.col("purchases") > 0).to_arrow(), bundle.vocabulary)
    spoken = Teller("en", bundle.vocabulary, bundle.middle.usual, bundle.currency)
    tellable = dict(zip(catalogue.NAMES, spoken.tellable(matrix).any(axis=0), strict=True))
    told = {topic.name for topic in TOPICS if any(tellable[name] for name in topic.features)}
    # The shop's export names no discounts.
    assert told == {topic.name for topic in TOPICS} - {"discounts"}


def test_the_usual_of_the_company_are_the_medians_of_its_active_customers(
    known: pl.DataFrame, scorer: Scorer
):
    active = known.filter((pl.col("purchases") > 0) & (pl.col("recency_days") <= HORIZON))
    usual = scorer.bundle.middle.usual
    for name in ("purchases_90d", "order_value_mean", "gap_mean_days", "interactions_365d"):
        assert usual[name] == active[name].quantile(0.5, "lower"), name
    assert not set(usual) & set(catalogue.CATEGORIES)
    assert "discount_share" not in usual, "nobody's is known"


@pytest.mark.parametrize(
    ("reasons", "language"), [("exact", "zh"), ("exact", "en"), ("none", "en")]
)
def test_reasons_as_asked_are_one_online_in_the_request_and_in_the_batch(
    grown: dict[str, Any], known: pl.DataFrame, answering: Endpoint, tmp_path: Path,
    reasons: str, language: str,
):  # fmt: skip
    out = tmp_path / "scores.parquet"
    words = ("--reasons", reasons, "--lang", language)
    succeed(grown["workspace"].root, "score", "--out", out, *words)
    answering.live.refresh()
    scores = pl.read_parquet(out).head(MOST_EXACT)
    asked = {"reasons": reasons, "lang": language}
    ids = scores["customer_id"].to_list()
    online = ask(answering, "customers", {"customer_ids": ids, **asked})
    rows = [
        {
            "customer_id": row["customer_id"],
            "as_of": shop.LAST_DAY,
            "features": {name: row[name] for name in catalogue.NAMES if name != "as_of_day"},
        }
        for row in known.head(MOST_EXACT).to_dicts()
    ]
    assert online == ask(answering, "features", {"rows": rows, **asked})
    for column in ("churn_probability", "reasons", "reasons_method"):
        assert [row[column] for row in online] == scores[column].to_list(), column
    assert set(scores["reasons_method"]) == {reasons}
    said = "".join(scores["reasons"].explode(empty_as_null=False).to_list())
    assert bool(said) == (reasons != "none")
    assert ("风险" in said) == (language == "zh")
    plain = grown["scores"].head(MOST_EXACT)
    assert plain["churn_probability"].to_list() == scores["churn_probability"].to_list()
    assert set(plain["reasons_method"]) == {"fast"}


def test_thresholds_and_middle_stand_without_prospects(scorer: Scorer, known: pl.DataFrame):
    matrix = matrix_of(known.to_arrow(), scorer.bundle.vocabulary)
    assert all(np.isfinite(list(scorer.bundle.thresholds.to_dict().values())))
    everyone_new = replace(scorer.bundle, trees=type(scorer.bundle.trees)())
    assert np.isfinite(everyone_new.predict(matrix).clv_12m).all()
    assert len(scorer.bundle.conversion.probability) == len(GROUPS)
    json.dumps(scorer.bundle.conversion.to_dict())


def test_consent_filters_marketing_and_moves_no_prediction(
    grown: dict[str, Any], known: pl.DataFrame, scorer: Scorer
):
    marketing = [a.key for a in load_playbook().actions if a.purpose == "marketing"]
    scores = grown["scores"].with_columns(consent=known["marketing_consent"])
    said = scores["action"].is_in(marketing)
    assert set(scores["consent"]) == {0, 1, None}
    assert said.sum() > 20
    assert (scores.filter(said)["consent"] == 1).all()
    notes = {
        0: note_text("none_consent_refused"),
        None: note_text("none_consent_unknown"),
    }
    for consent, note in notes.items():
        of_these = scores.filter(pl.col("consent").eq_missing(consent))
        assert (of_these["action_note"] == note).any()
    matrix = matrix_of(known.to_arrow(), scorer.bundle.vocabulary)
    turned = matrix.copy()
    turned[:, catalogue.NAMES.index("marketing_consent")] = 0
    before, after = (scorer.score(rows) for rows in (matrix, turned))
    for name, numbers in before.predictions.numbers().items():
        assert numbers.tobytes() == after.predictions.numbers()[name].tobytes()
    assert before.reasons == after.reasons
    assert not np.isin(after.choices.action, marketing).any()


def test_an_open_complaint_brings_recovery_or_silence(grown: dict[str, Any], known: pl.DataFrame):
    marketing = [a.key for a in load_playbook().actions if a.purpose == "marketing"]
    complaining = grown["scores"].filter((known["complaint_open"] == 1).fill_null(value=False))
    assert complaining.height > 5
    assert not complaining["action"].is_in(marketing).any()
    settled = grown["scores"].filter((known["complaint_open"] != 1).fill_null(value=True))
    assert not (settled["action"] == "service_recovery").any()
