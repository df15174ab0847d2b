"""Several workspaces on one Redis and one PostgreSQL: the same customer ids, nothing in common."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
import shop
from conftest import succeed
from servers import database as database  # noqa: PLC0414 - a fixture
from servers import redis_url as redis_url  # noqa: PLC0414
from telling import online

from features.push import Pusher
from features.settings import Settings, settings_file
from features.workspace import Workspace
from pipelines.context import Context
from serving.endpoint.opening import Endpoint
from training.registry import MODEL, open_registry

DAY = "2024-05-31"
IDS = [1, 2, 3, 40]


def context_of(root: Path) -> Context:
    return Context(Workspace(root), Settings.load(settings_file(root)))


def begun(root: Path, stores: dict[str, Any], seed: int, customers: int = 900) -> Path:
    """A brand of its own orders by customers of the same names."""
    root.mkdir(parents=True)
    lines = {"stores": stores, "training": {"storage": stores.get("push_log")}}
    (root / "lifecycle.yaml").write_text(json.dumps(lines))
    orders = root.parent / f"{root.name}.parquet"
    shop.orders(customers, seed).write_parquet(orders)
    succeed(root, "ingest", "--orders", orders, *shop.map_options())
    return root


def rows(root: Path) -> dict[Any, Any]:
    context = context_of(root)
    return online(context.store(context.ledger()), IDS)


@pytest.mark.full
def test_what_is_online_and_what_was_pushed_of_two_brands_stay_apart(
    redis_url: str, database: str, tmp_path: Path
):
    places = {"redis_url": redis_url, "registry": database, "push_log": database}
    stores = {"online": "redis", **places}
    first, second = (
        begun(tmp_path / name, stores, seed, 50) for name, seed in (("a", 1), ("b", 2))
    )
    succeed(first, "features", "--as-of", DAY)
    before = rows(first)
    succeed(second, "features", "--as-of", DAY)
    assert rows(second) != before
    assert rows(first) == before

    order = {"customer_id": 1, "ordered_at": "2024-07-01T10:00:00Z", "amount": 9.0}
    context = context_of(second)
    pusher = Pusher(context.workspace, context.settings)
    pusher.push("orders", [order], context.observed_until(context.ledger()), "till-1")

    assert rows(first) == before
    assert rows(second)[1] != before[1]
    assert context_of(first).store(context_of(first).ledger()).pushed.log.find("till-1") is None
    succeed(second, "features", "--as-of", DAY)
    assert rows(first) == before, "tidying up after one brand leaves the other's rows"


def test_a_registry_on_a_server_has_a_model_a_workspace(trained: dict[str, Any], tmp_path: Path):
    """The server is a database that both name; whoever keeps their own keeps the plain name."""
    shared = f"sqlite:///{tmp_path / 'mlflow.db'}"
    settings = Settings.load(overrides={"stores": {"tracking_uri": shared}})
    one, other = (open_registry(Workspace(tmp_path / name), settings) for name in "ab")
    own = open_registry(Workspace(trained["workspace"]), Settings())
    assert own.model == MODEL
    assert own.named("orders health") == "orders health"
    assert len({one.model, other.model, MODEL}) == 3
    one._client.create_registered_model(one.model)
    one._client.create_model_version(one.model, str(tmp_path), tags={"manifest_sha256": "0" * 64})
    newest = one.newest()
    assert newest is not None
    one.promote(newest, "first", {}, forced=True, by="anna")
    assert one.require_champion().version == 1
    assert [move.by for move in one.succession()] == ["anna"]
    assert other.champion() is None
    assert other.newest() is None
    assert other.succession() == []


def answered(root: Path) -> list[dict[str, Any]]:
    context = context_of(root)
    endpoint = Endpoint.of(context.workspace, context.settings)
    endpoint.start(access_log=False)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(endpoint.application, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.post("/customers/score", json={"customer_ids": IDS})

    try:
        answer = asyncio.run(ask())
    finally:
        endpoint.stop()
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


@pytest.fixture
def tracking(database: str) -> Iterator[str]:
    """A database of MLflow's own: its tables of versions and Optuna's have one name."""
    psycopg = pytest.importorskip("psycopg")
    name = f"{database.rpartition('/')[2]}_mlflow"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield f"{database.rpartition('/')[0]}/{name}"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.full
def test_two_brands_on_one_installation_answer_as_each_alone(
    redis_url: str, database: str, tracking: str, tmp_path: Path
):
    stores = {
        "online": "redis",
        "redis_url": redis_url,
        "registry": database,
        "push_log": database,
        "tracking_uri": tracking,
    }

    def through(root: Path) -> Path:
        succeed(root, "train", "--as-of", shop.LAST_DAY, "--horizon-days", 60, "--trials", 1)
        succeed(root, "promote")
        succeed(root, "score", "--as-of", shop.LAST_DAY, "--out", database)
        return root

    def delivered() -> pl.DataFrame:
        query = "SELECT project, customer_id, expected_spend FROM lifecycle_scores"
        return _read(database, query)

    first = through(begun(tmp_path / "a", stores, 1))
    answers, rows_of_first = answered(first), delivered()
    second = through(begun(tmp_path / "b", stores, 2))

    assert answered(first) == answers
    others = answered(second)
    assert [one["churn_probability"] for one in others] != [
        one["churn_probability"] for one in answers
    ]
    both = delivered()
    assert both["project"].n_unique() == 2
    assert both.join(rows_of_first, on=["project", "customer_id", "expected_spend"]).height == len(
        rows_of_first
    )
    alone = shutil.copytree(second, tmp_path / "c")
    for name in ("feast", "mlflow", "decisions"):
        shutil.rmtree(alone / name, ignore_errors=True)
    (alone / "lifecycle.yaml").unlink()
    through_alone = succeed(
        alone, "train", "--as-of", shop.LAST_DAY, "--horizon-days", 60, "--trials", 1
    )
    assert through_alone["model_version"] == 1
    succeed(alone, "promote")
    succeed(alone, "score", "--as-of", shop.LAST_DAY)
    same = {"customer_id", "churn_probability", "expected_spend", "lifecycle_stage", "action"}
    assert [{k: a[k] for k in same} for a in answered(alone)] == [
        {k: a[k] for k in same} for a in others
    ]


def _read(url: str, query: str) -> pl.DataFrame:
    import psycopg

    with psycopg.connect(url) as connection:
        return pl.DataFrame(
            connection.execute(query).fetchall(),
            schema=["project", "customer_id", "expected_spend"],
            orient="row",
        )
