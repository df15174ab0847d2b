"""A Feast repository over generated snapshots, for the benchmarks of stores.

Forty features in three views of one source: 20 whole numbers, 18 measures (a tenth of them null)
and two categories; integer keys; a Parquet file a day.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import date, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import feast
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from feast.data_format import ParquetFormat
from feast.types import Float64, Int64, String

from features.days import closing
from features.stores.packed_redis import connect

REDIS = "127.0.0.1:6379,db=10"
COUNTS = [f"count_{place}" for place in range(20)]
MEASURES = [f"measure_{place}" for place in range(18)]
CATEGORIES = ["region", "channel"]
VIEWS = {
    "recent": COUNTS[:14],
    "habits": COUNTS[14:] + MEASURES[:7],
    "profile": MEASURES[7:] + CATEGORIES,
}
DAY = date(2024, 1, 31)


def write_snapshot(folder: Path, customers: int, day: date = DAY) -> None:
    """Write one day as the product does: sorted by customer, stamped with the day's end."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(day.toordinal())
    stamp = pa.scalar(closing(day), pa.timestamp("us", "UTC"))
    columns: dict[str, Any] = {
        "customer_id": np.arange(customers),
        "event_timestamp": pa.repeat(stamp, customers),
    }
    columns |= {name: rng.integers(0, 1_000, customers) for name in COUNTS}
    for name in MEASURES:
        columns[name] = pa.array(rng.random(customers), mask=rng.random(customers) < 0.1)
    labels = pa.array(["north", "south", "east", "west"])
    for name in CATEGORIES:
        columns[name] = labels.take(pa.array(rng.integers(0, 4, customers)))
    pq.write_table(pa.table(columns), folder / f"{day}.parquet", row_group_size=100_000)


def online_store(kind: str, folder: Path) -> dict[str, Any]:
    """Name an online store's settings: packed or stock, SQLite or Redis."""
    sqlite, redis = {"path": str(folder / "online.db")}, {"connection_string": REDIS}
    prefix = {"key_prefix": "benchmark"}
    stores = "features.stores"
    return {
        "stock sqlite": {"type": "sqlite", **sqlite},
        "stock redis": {"type": "redis", **redis},
        "packed sqlite": {"type": f"{stores}.packed_sqlite.PackedSQLiteOnlineStore", **sqlite},
        "packed redis": {
            "type": f"{stores}.packed_redis.PackedRedisOnlineStore", **redis, **prefix,
        },
        "packed redis, new generation": {
            "type": f"{stores}.packed_redis.PackedRedisOnlineStore", **redis, **prefix,
            "stage_writes": False,
        },
    }[kind]  # fmt: skip


def open_store(
    folder: Path, snapshots: Path, online: dict[str, Any], offline: str
) -> feast.FeatureStore:
    """Make a repository and register its views."""
    warnings.simplefilter("ignore")
    folder.mkdir(parents=True, exist_ok=True)
    packed = online["type"].startswith("features.")
    config = feast.RepoConfig(
        project="benchmark",
        provider="local",
        registry={
            "registry_type": "sql",
            "path": f"sqlite:///{folder / 'registry.db'}",
            "cache_ttl_seconds": 0,
        },
        offline_store={"type": offline},
        online_store=online,
        batch_engine="features.stores.engine.PackedComputeEngine" if packed else "local",
        entity_key_serialization_version=3,
        repo_path=folder,
    )
    customer = feast.Entity(
        name="customer", join_keys=["customer_id"], value_type=feast.ValueType.INT64
    )
    source = feast.FileSource(
        name="snapshots",
        path=str(snapshots),
        file_format=ParquetFormat(),
        timestamp_field="event_timestamp",
    )
    kinds = dict.fromkeys(COUNTS, Int64) | dict.fromkeys(MEASURES, Float64)
    kinds |= dict.fromkeys(CATEGORIES, String)
    views = [
        feast.FeatureView(
            name=name,
            entities=[customer],
            ttl=timedelta(hours=12),
            schema=[
                feast.Field(name="customer_id", dtype=Int64),
                *(feast.Field(name=feature, dtype=kinds[feature]) for feature in features),
            ],
            source=source,
        )
        for name, features in VIEWS.items()
    ]
    service = feast.FeatureService(name="scorer", features=views)
    store = feast.FeatureStore(config=config)
    store.apply([customer, source, *views, service])
    return store


@contextmanager
def quietly() -> Iterator[None]:
    """Keep Feast from printing which view it is at."""
    with redirect_stdout(StringIO()):
        yield


def require_empty() -> None:
    """Refuse to run where :func:`flush` would delete what is not the benchmarks' own."""
    number = connect(REDIS).dbsize()
    if number:
        raise SystemExit(
            f"{REDIS} holds {number} keys and would be emptied; choose another in REDIS"
        )


def flush() -> None:
    """Empty the benchmarks' own Redis database."""
    connect(REDIS).flushdb()


def peak_mib() -> float:
    """Give the most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def apart(work: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401
    """Run something in a process of its own and give what it returns."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, maxtasksperchild=1) as pool:
        return pool.apply(work, arguments)


def interleaved(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[Any]]:
    """Run every way once a round, so that a busy moment hits all of them."""
    results: dict[str, list[Any]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            results[name].append(way())
    return results


median = statistics.median
