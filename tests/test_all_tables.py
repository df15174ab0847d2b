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
from numpy.typing import NDArray

from features import catalogue
from features.ingest.ledger import Ledger
from features.matrix import Vocabulary, matrix_of
from features.settings import Settings
from features.snapshots import snapshot_path
from features.workspace import Workspace
from serving.http import application
from serving.live import Live
from serving.reasons import TOPICS, explain
from serving.scorer import Scorer
from training.dataset import TREE_FEATURES, label_days
from training.prospects import ENGAGEMENT, GROUPS, groups_of
from training.registry import open_registry

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
        table, Vocabulary(), ledger.orders_path, [day], HORIZON, LAST
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
def answering(grown: dict[str, Any]) -> Iterator[Live]:
    live = Live(grown["workspace"], Settings())
    live.refresh()
    assert live.answering is not None, live.problem
    yield live
    live.stop()


async def asked(live: Live, route: str, body: dict[str, Any]) -> dict[str, Any]:
    transport = httpx.ASGITransport(application(live, ()), client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        answer = await client.post(f"/{route}/score", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ask(live: Live, route: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    import asyncio

    results: list[dict[str, Any]] = asyncio.run(asked(live, route, body))["results"]
    return results


def test_online_in_the_request_and_in_the_batch_the_answers_are_one(
    grown: dict[str, Any], known: pl.DataFrame, answering: Live
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


def test_every_learned_feature_belongs_to_one_topic():
    told = [name for topic in TOPICS for name in topic.features]
    assert sorted(told) == sorted(TREE_FEATURES)


def topic_contributions(rows: int, name: str) -> NDArray[np.float64]:
    """Contributions of which one topic's are the greatest."""
    found = np.zeros((rows, len(catalogue.NAMES)))
    topic = next(topic for topic in TOPICS if topic.name == name)
    found[:, catalogue.NAMES.index(topic.features[0])] = 1.0
    return found


@pytest.mark.parametrize("topic", [topic.name for topic in TOPICS])
def test_every_topic_tells_something_true_of_someone_and_never_an_unknown(
    topic: str, known: pl.DataFrame, scorer: Scorer
):
    buyers = known.filter(pl.col("purchases") > 0)
    vocabulary = scorer.bundle.vocabulary
    matrix = matrix_of(buyers.to_arrow(), vocabulary)
    told = explain(
        matrix, topic_contributions(len(matrix), topic), np.zeros(len(matrix), bool), vocabulary
    )
    # The shop's export names neither discounts nor channels.
    assert any(told) == (topic not in {"discounts", "channels"})
    for sentences in told:
        assert len(sentences) <= 1
        assert "nan" not in " ".join(sentences).replace("finance", "")
        assert all(text.startswith("raises the risk: ") for text in sentences)


def test_without_the_other_tables_their_topics_are_silent(known: pl.DataFrame):
    row = matrix_of(known.filter(pl.col("purchases") > 0).head(1).to_arrow(), Vocabulary())
    absent = [catalogue.NAMES.index(f.name) for f in catalogue.FEATURES if f.table != "orders"]
    row[:, absent] = np.nan
    everything = np.ones((1, len(catalogue.NAMES)))
    everything[:, absent] = 9.0
    (told,) = explain(row, everything, np.zeros(1, bool), Vocabulary())
    assert len(told) == 3
    assert not any(
        word in " ".join(told) for word in ("interaction", "complaint", "contract", "treatment")
    )


@pytest.mark.parametrize(
    ("values", "topic", "sentence"),
    [
        (
            {"complaints": 2, "complaint_open": 1, "complaint_topic": 1, "support_tickets_365d": 0},
            "complaints",
            "2 complaints, the last about price, one still open",
        ),
        ({"complaints": 0, "complaint_open": 0, "support_tickets_365d": 0}, "complaints",
         "no complaints"),
        ({"survey_last": 4, "survey_mean": 7.5}, "satisfaction", "last survey score 4, mean 7.5"),
        ({"returns": 0}, "returns", "nothing returned"),
        (
            {"returns": 3, "returns_value": 40, "returns_90d": 2},
            "returns",
            "3 returned lines worth 40, 2 of them in the last 90 days",
        ),
        ({"categories": 1, "category_favourite": np.nan}, "categories", "1 category"),
        (
            {"contracts": 2, "contracts_active": 1, "contract_days_left": 30,
             "contract_renewals": 1, "contract_cancellations": 0},
            "contracts",
            "1 active contract, 30 days left, 1 renewal",
        ),
        (
            {"treatments": 4, "treatment_last": 9, "treatment_response_rate": 0.25},
            "treatments",
            "4 treatments, 25% followed by an order",
        ),
        ({"registered_days": 12, "region": 0}, "profile", "registered 12 days ago, region north"),
        ({"referred_customers": 0, "was_referred": 0}, "referrals", None),
        ({"inquiry_90d": 2, "cart_90d": 1, "compare_90d": 0, "trial_90d": 0, "intent_90d": 3},
         "intent", "1 cart, 2 inquiries in the last 90 days"),
        ({"usage_units_90d": 50, "usage_units_change_30d": -20}, "usage",
         "50 units used in the last 90 days, 20 fewer in the last 30 than in the 30 before"),
    ],
)  # fmt: skip
def test_a_sentence_says_the_facts_that_there_are(
    values: dict[str, float], topic: str, sentence: str | None
):
    vocabulary = Vocabulary(
        {"complaint_topic": ("delivery", "price"), "region": ("north",), "treatment_last": ("x",)}
    )
    row = np.full((1, len(catalogue.NAMES)), np.nan)
    for name, value in values.items():
        row[0, catalogue.NAMES.index(name)] = value
    (told,) = explain(row, topic_contributions(1, topic), np.zeros(1, bool), vocabulary)
    assert told == ([] if sentence is None else [f"raises the risk: {sentence}"])


def test_thresholds_and_middle_stand_without_prospects(scorer: Scorer, known: pl.DataFrame):
    matrix = matrix_of(known.to_arrow(), scorer.bundle.vocabulary)
    assert all(np.isfinite(list(scorer.bundle.thresholds.to_dict().values())))
    everyone_new = replace(scorer.bundle, trees=type(scorer.bundle.trees)())
    assert np.isfinite(everyone_new.predict(matrix).clv_12m).all()
    assert len(scorer.bundle.conversion.probability) == len(GROUPS)
    json.dumps(scorer.bundle.conversion.to_dict())
