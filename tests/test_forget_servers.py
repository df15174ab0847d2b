"""Erasing a person from Redis and PostgreSQL, where other workspaces keep theirs beside."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import shop
from conftest import run, succeed
from servers import database, redis_url

from features.catalogue import JOIN_KEY

__all__ = ["database", "redis_url"]

PERSON, OTHER = 101234, 5


@pytest.fixture
def renamed(tmp_path: Path) -> Path:
    """The shop's orders, one customer under a number that nothing else is."""
    import polars as pl

    named = pl.when(pl.col("client") == 12).then(PERSON).otherwise("client").alias("client")
    orders = shop.orders(60).with_columns(named.cast(pl.Int64))
    orders.write_parquet(tmp_path / "orders.parquet")
    return tmp_path / "orders.parquet"


@pytest.mark.parametrize("kind", ["redis", pytest.param("stock-redis", marks=pytest.mark.full)])
def test_the_rows_in_redis_are_gone_and_those_of_others_are_not(
    renamed: Path, tmp_path: Path, redis_url: str, kind: str
) -> None:
    import redis

    from features.stores.keys import KeyCodec

    root = tmp_path / "w"
    root.mkdir()
    (root / "lifecycle.yaml").write_text(f"stores: {{online: {kind}, redis_url: '{redis_url}'}}")
    succeed(root, "ingest", "--orders", renamed, *shop.map_options())
    for day in ("2024-05-31", "2024-06-15"):
        succeed(root, "features", "--as-of", day, "--online")
    client = redis.Redis.from_url(redis_url)
    project = (root / "feast" / "project").read_bytes()
    codec = KeyCodec.of({JOIN_KEY: "INT64"})

    def stored(customer: int) -> int:
        (key,) = codec.of_values({JOIN_KEY: [customer]})
        return sum(project in found and key in found for found in client.scan_iter(count=10_000))

    before = stored(PERSON)
    assert before == stored(OTHER) > 0
    said = succeed(root, "forget", PERSON, "--why", "asked")["receipt"]
    assert said["places"]["online store"] == before
    assert (stored(PERSON), stored(OTHER)) == (0, before)
    assert "backups and replicas of stores.redis_url" in json.dumps(said["beyond"])
    client.close()


def test_delivered_tables_and_a_log_of_pushes_in_postgresql_lose_the_person_alone(
    trained: dict[str, Any], tmp_path: Path, database: str
) -> None:
    import psycopg

    root = Path(shutil.copytree(trained["workspace"], tmp_path / "w"))
    log = database.replace("postgresql://", "postgresql+psycopg://")
    (root / "lifecycle.yaml").write_text(f"stores: {{push_log: '{log}'}}")
    succeed(root, "score", "--out", database)
    rows = [
        {"customer_id": one, "ordered_at": "2024-07-01T10:00:00Z", "amount": 5, "order_id": "n"}
        for one in (7, 8)
    ]
    events = tmp_path / "events.jsonl"
    events.write_text("".join(json.dumps(row) + "\n" for row in rows))
    first = succeed(root, "push", "--orders", events, "--idempotency-key", "order-7-till")

    def asked(query: str) -> list[Any]:
        with psycopg.connect(database) as connection:
            return [row[0] for row in connection.execute(query).fetchall()]

    known = asked("SELECT customer_id FROM lifecycle_scores ORDER BY 1")
    said = succeed(root, "forget", 7, "--why", "asked")["receipt"]
    assert (
        sum(said["places"][place] for place in said["places"] if "lifecycle_scores" in place) == 1
    )
    assert asked("SELECT customer_id FROM lifecycle_scores ORDER BY 1") == [
        one for one in known if one != 7
    ]
    contents = [
        json.loads(text) for text in asked("SELECT content FROM lifecycle_events ORDER BY sequence")
    ]
    assert [event.get("customer_id") for event in contents] == [None, "8"]
    assert asked("SELECT customer_id FROM lifecycle_touched") == ["8"]
    assert "7" not in {
        str(one["customer_id"])
        for text in asked("SELECT answer FROM lifecycle_pushes")
        for one in json.loads(text)["customers"]
    }
    # The key named the person, and is known all the same: nothing is taken twice.
    again = succeed(root, "push", "--orders", events, "--idempotency-key", "order-7-till")
    assert again["pushes"][0]["repeated"] is True
    assert first["pushes"][0]["accepted"] == again["pushes"][0]["accepted"] == 2
    unreachable = run(root, "forget", 8, "--why", "x", "--delivered", f"{database}_not_there")
    assert unreachable.exit_code == 1
    assert "cannot be used" in unreachable.stderr
    assert succeed(root, "forget")["resumed"][0]["finished"]
