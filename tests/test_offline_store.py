"""Retrieval from daily snapshots: Feast's own answer, row for row, and as many rows as asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    RepoConfig,
)
from feast.data_format import ParquetFormat
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bool, Float64, Int64, String
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.days import closing
from features.stores.snapshots_offline import (
    LatestRowsJob,
    SnapshotOfflineStore,
    SnapshotRetrievalJob,
)

OWN = "features.stores.snapshots_offline.SnapshotOfflineStore"
DAYS = [date(2024, 1, 30), date(2024, 1, 31), date(2024, 2, 2), date(2024, 2, 29)]
HOUR = timedelta(hours=1)
KINDS: dict[str, tuple[Any, pa.DataType, Sequence[Any]]] = {
    "orders": (Int64, pa.int64(), [None, 2**53 + 1, 3]),
    "spend": (Float64, pa.float64(), [0.5, None, -0.0]),
    "region": (String, pa.string(), ["north", "", None]),
    "active": (Bool, pa.bool_(), [True, None, False]),
    "visits": (Array(Int64), pa.list_(pa.int64()), [[1], [2, 3], None]),
}
CUSTOMERS: dict[str, list[Any]] = {"integer": [5, -1, 2**40, 8], "text": ["C-1", "007", "ü", ""]}
TYPES = {"integer": (Int64, pa.int64()), "text": (String, pa.string())}


def write_day(folder: Path, day: date, keys: str, customers: Sequence[Any]) -> None:
    """Write one snapshot; every value tells its day and customer apart."""
    columns = {"customer_id": pa.array(customers, TYPES[keys][1])}
    stamps = [closing(day)] * len(customers)
    columns["event_timestamp"] = pa.array(stamps, pa.timestamp("us", "UTC"))
    for name, (_, kind, values) in KINDS.items():
        picked = [values[(day.day + place) % 3] for place in range(len(customers))]
        columns[name] = pa.array(picked, kind)
    columns["day"] = pa.array([day.day] * len(customers), pa.int64())
    pq.write_table(pa.table(columns), folder / f"{day}.parquet")


class Repository:
    """One Feast repository over a folder of snapshots."""

    def __init__(self, folder: Path, snapshots: Path, keys: str, offline: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        registry = {"registry_type": "sql", "path": f"sqlite:///{folder / 'registry.db'}"}
        config = RepoConfig(
            project="shop",
            provider="local",
            registry={**registry, "cache_ttl_seconds": 0},
            offline_store={"type": offline},
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
            entity_key_serialization_version=3,
            repo_path=folder,
        )
        dtype = TYPES[keys][0]
        entity = Entity(
            name="customer", join_keys=["customer_id"], value_type=dtype.to_value_type()
        )
        self.source = FileSource(
            name="snapshots",
            path=str(snapshots),
            file_format=ParquetFormat(),
            timestamp_field="event_timestamp",
        )

        def view(name: str, features: Sequence[str], lives: timedelta | None) -> FeatureView:
            kinds = {**{n: kind for n, (kind, _, _) in KINDS.items()}, "day": Int64}
            return FeatureView(
                name=name,
                entities=[entity],
                ttl=lives,
                schema=[
                    Field(name="customer_id", dtype=dtype),
                    *(Field(name=feature, dtype=kinds[feature]) for feature in features),
                ],
                source=self.source,
            )

        self.views = [
            view("today", ["orders", "region"], timedelta(hours=12)),
            view("lately", ["spend", "visits"], timedelta(days=2)),
            view("ever", ["active", "day"], timedelta(0)),
        ]
        self.service = FeatureService(name="all", features=self.views)
        self.store = FeatureStore(config=config)
        self.store.apply([entity, self.source, *self.views, self.service])

    def job(self, asked: pd.DataFrame, features: Any = None, full: bool = False) -> Any:
        return self.store.get_historical_features(
            entity_df=asked.copy(), features=features or self.service, full_feature_names=full
        )

    def rows(self, asked: pd.DataFrame, features: Any = None, full: bool = False) -> list[dict]:
        return self.job(asked, features, full).to_arrow().to_pylist()


class Pair:
    """The same snapshots through Feast's own store and through the product's."""

    def __init__(self, folder: Path, keys: str) -> None:
        self.keys = keys
        self.snapshots = folder / "snapshots"
        self.snapshots.mkdir()
        customers = CUSTOMERS[keys]
        for number, day in enumerate(DAYS):
            write_day(self.snapshots, day, keys, sorted(customers[: number + 1]))
        self.own = Repository(folder / "own", self.snapshots, keys, OWN)
        self.stock = Repository(folder / "stock", self.snapshots, keys, "duckdb")

    def asked(self, rows: Sequence[tuple[Any, datetime]]) -> pd.DataFrame:
        kind = "int64" if self.keys == "integer" else "object"
        stamps = pd.Series([when for _, when in rows]).astype("datetime64[us, UTC]")
        customers = pd.Series([customer for customer, _ in rows], dtype=kind)
        return pd.DataFrame(
            {"customer_id": customers, "label": range(len(rows)), "event_timestamp": stamps}
        )


@pytest.fixture(scope="module", params=list(CUSTOMERS))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp(request.param), request.param)


def nobody(pair: Pair) -> Any:
    return 99 if pair.keys == "integer" else "nobody"


def by_label(rows: list[dict]) -> list[dict]:
    return sorted(rows, key=lambda row: row["label"])


MOMENTS = st.one_of(
    st.sampled_from([closing(day) for day in [*DAYS, date(2024, 2, 1), date(2023, 12, 31)]]),
    st.builds(
        lambda day, by: closing(day) + by,
        st.sampled_from(DAYS),
        st.sampled_from(
            [
                timedelta(microseconds=1),
                timedelta(microseconds=-1),
                timedelta(hours=12),
                timedelta(hours=12, microseconds=1),
                timedelta(days=1),
                timedelta(days=2),
                timedelta(days=2, microseconds=1),
                timedelta(days=400),
            ]
        ),
    ),
)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_the_answer_is_that_of_feasts_own_store(pair: Pair, data: st.DataObject):
    customers = st.sampled_from([*CUSTOMERS[pair.keys], nobody(pair)])
    rows = data.draw(st.lists(st.tuples(customers, MOMENTS), min_size=1, max_size=12))
    asked = pair.asked(rows)
    own = pair.own.rows(asked)
    assert [row["label"] for row in own] == list(range(len(rows))), "in the order of the question"
    assert own == by_label(pair.stock.rows(asked))
    batches = list(pair.own.job(asked).to_arrow_batches(2))
    assert max(batch.num_rows for batch in batches) <= 2
    assert pa.Table.from_batches(batches).to_pylist() == own


@pytest.mark.parametrize(("start", "stop"), [(0, 12), (0, 3), (2, 11), (5, 6), (9, 12)])
def test_a_run_of_a_day_comes_in_batches_from_the_row_groups_that_hold_it(
    tmp_path: Path, start: int, stop: int
):
    write_day(tmp_path, DAYS[0], "integer", range(12))
    file = tmp_path / f"{DAYS[0]}.parquet"
    whole = pq.read_table(file)
    pq.write_table(whole, file, row_group_size=4)
    own = Repository(tmp_path / "own", tmp_path, "integer", OWN)
    asked = pd.DataFrame(
        {"customer_id": range(start, stop), "event_timestamp": pd.Timestamp(closing(DAYS[0]))}
    )
    batches = list(own.job(asked).to_arrow_batches(3))
    assert pa.Table.from_batches(batches).to_pylist() == own.rows(asked)
    assert [row["day"] for row in own.rows(asked)] == [DAYS[0].day] * (stop - start)


def test_types_and_names_are_those_of_feasts_own_store(pair: Pair):
    asked = pair.asked([(customer, closing(DAYS[-1])) for customer in CUSTOMERS[pair.keys]])
    for full in (False, True):
        own = pair.own.job(asked, full=full).to_arrow()
        stock = pair.stock.job(asked, full=full).to_arrow()
        assert own.column_names[:3] == ["customer_id", "label", "event_timestamp"]
        assert set(own.column_names) == set(stock.column_names)
        for field in own.schema:
            assert field.type == stock.schema.field(field.name).type or field.name == "customer_id"


def test_the_way_of_snapshots_was_taken(pair: Pair):
    asked = pair.asked([(CUSTOMERS[pair.keys][0], closing(DAYS[0]))])
    assert isinstance(pair.own.job(asked), SnapshotRetrievalJob)
    assert not isinstance(pair.stock.job(asked), SnapshotRetrievalJob)


def test_rows_asked_for_twice_and_customers_unknown_come_back(pair: Pair):
    one = CUSTOMERS[pair.keys][0]
    rows = pair.own.rows(pair.asked([(one, closing(DAYS[0])), (nobody(pair), closing(DAYS[0])),
                                     (one, closing(DAYS[0]))]))  # fmt: skip
    assert [row["customer_id"] for row in rows] == [one, nobody(pair), one]
    assert {**rows[0], "label": 2} == rows[2]
    assert {rows[1][name] for name in (*KINDS, "day")} == {None}


def test_a_null_customer_or_time_finds_nothing(pair: Pair):
    asked = pair.asked([(customer, closing(DAYS[-1])) for customer in CUSTOMERS[pair.keys][:3]])
    kind = "Int64" if pair.keys == "integer" else "object"
    asked["customer_id"] = asked["customer_id"].astype(kind)
    asked.loc[0, "customer_id"] = None
    asked.loc[1, "event_timestamp"] = pd.NaT
    rows = pair.own.rows(asked)
    assert [row["day"] for row in rows] == [None, None, DAYS[-1].day]


@pytest.mark.parametrize("late", [timedelta(0), HOUR])
def test_a_whole_day_in_its_own_order_is_given_as_it_stands(pair: Pair, late: timedelta):
    stored = pq.read_table(pair.snapshots / f"{DAYS[-1]}.parquet")
    customers = stored["customer_id"].to_pylist()
    rows = pair.own.rows(pair.asked([(c, closing(DAYS[-1]) + late) for c in customers]))
    for name in (*KINDS, "day"):
        assert [row[name] for row in rows] == stored[name].to_pylist()


def test_some_features_of_some_views(pair: Pair):
    asked = pair.asked([(CUSTOMERS[pair.keys][0], closing(DAYS[1]))])
    features = ["lately:spend", "ever:day"]
    assert pair.own.rows(asked, features) == pair.stock.rows(asked, features)


def test_the_frame_is_that_of_feasts_own_store(pair: Pair):
    asked = pair.asked([(CUSTOMERS[pair.keys][1], closing(DAYS[1]))])
    own, stock = pair.own.job(asked).to_df(), pair.stock.job(asked).to_df()
    assert own["day"].tolist() == stock["day"].tolist() == [31]
    assert own.columns.tolist() == pair.own.job(asked).to_arrow().column_names


def test_times_as_text_or_without_a_zone_are_utc(pair: Pair):
    asked = pair.asked([(CUSTOMERS[pair.keys][0], closing(DAYS[0]))])
    plain = asked.assign(event_timestamp=asked["event_timestamp"].dt.tz_localize(None))
    text = asked.assign(event_timestamp=["2024-01-30T23:59:59.999999+00:00"])
    there = asked.assign(event_timestamp=asked["event_timestamp"].dt.tz_convert("Asia/Tokyo"))
    assert pair.own.rows(plain)[0]["day"] == 30
    assert pair.own.rows(there)[0]["day"] == 30
    assert pair.own.rows(text)[0]["day"] == 30


def test_on_demand_views_are_computed_from_the_answer(pair: Pair):
    @on_demand_feature_view(
        sources=[pair.own.views[2]], schema=[Field(name="next", dtype=Int64)], mode="pandas"
    )
    def following(frame: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"next": frame["day"] + 1})

    with pytest.warns(RuntimeWarning, match="experimental"):
        pair.own.store.apply([following])
    asked = pair.asked([(CUSTOMERS[pair.keys][0], closing(DAYS[1]))])
    rows = pair.own.rows(asked, ["following:next", "lately:spend"])
    assert rows[0]["next"] == 32


def test_an_answer_is_kept_as_a_file_once(pair: Pair, tmp_path: Path):
    asked = pair.asked([(CUSTOMERS[pair.keys][0], closing(DAYS[1]))])
    job = pair.own.job(asked)
    storage = SavedDatasetFileStorage(str(tmp_path / "kept.parquet"))
    job.persist(storage)
    assert pq.read_table(tmp_path / "kept.parquet").to_pylist() == job.to_arrow().to_pylist()
    with pytest.raises(SavedDatasetLocationAlreadyExists):
        job.persist(storage)
    job.persist(storage, allow_overwrite=True)
    assert job.metadata.keys == ["customer_id", "label"]
    assert job.metadata.min_event_timestamp == closing(DAYS[1])


# What is not a folder of snapshots goes to Feast's own store.


def damage_name(folder: Path) -> None:
    (folder / f"{DAYS[0]}.parquet").rename(folder / "first.parquet")


def damage_stamp(folder: Path) -> None:
    (folder / f"{DAYS[0]}.parquet").rename(folder / "2024-01-29.parquet")


def damage_statistics(folder: Path) -> None:
    path = folder / f"{DAYS[0]}.parquet"
    pq.write_table(pq.read_table(path), path, write_statistics=False)


def damage_none(folder: Path) -> None:
    (folder / ".2024-01-30.parquet.x1").write_bytes(b"half written")
    (folder / "notes.txt").write_text("hidden files and other kinds are ignored")


@pytest.mark.parametrize(
    ("damage", "own_way"),
    [
        (damage_name, False),
        (damage_stamp, False),
        (damage_statistics, False),
        (damage_none, True),
    ],
)
def test_only_a_folder_of_stamped_days_is_read_as_snapshots(
    tmp_path: Path, damage: Callable[[Path], None], own_way: bool
):
    pair = Pair(tmp_path, "integer")
    damage(pair.snapshots)
    asked = pair.asked([(CUSTOMERS["integer"][0], closing(DAYS[0]))])
    job = pair.own.job(asked)
    assert isinstance(job, SnapshotRetrievalJob) == own_way
    assert job.to_arrow().to_pylist()[0]["day"] == 30


def test_a_file_that_changes_is_looked_at_again(tmp_path: Path):
    pair = Pair(tmp_path, "integer")
    asked = pair.asked([(CUSTOMERS["integer"][0], closing(DAYS[0]))])
    assert isinstance(pair.own.job(asked), SnapshotRetrievalJob)
    write_day(pair.snapshots, DAYS[1], "integer", [1])
    (pair.snapshots / f"{DAYS[1]}.parquet").replace(pair.snapshots / f"{DAYS[0]}.parquet")
    assert not isinstance(pair.own.job(asked), SnapshotRetrievalJob)


def test_a_key_of_another_type_is_refused_as_by_feasts_own_store(pair: Pair):
    if pair.keys == "text":
        pytest.skip("every key can be text")
    asked = pair.asked([(5, closing(DAYS[0]))])
    asked["customer_id"] = ["not a number"]
    with pytest.raises(Exception, match="int64 and customer_id:string are not comparable"):
        pair.own.job(asked)


# The newest rows, for materialisation.


def latest(pair: Pair, store: Any, start: datetime, end: datetime) -> Any:
    return store.pull_latest_from_table_or_query(
        pair.stock.store.config if store is DuckDBOfflineStore else pair.own.store.config,
        pair.own.source,
        ["customer_id"],
        ["region", "day"],
        "event_timestamp",
        None,
        start,
        end,
    )


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (closing(DAYS[1]) - HOUR, closing(DAYS[1])),
        (closing(DAYS[0]), closing(DAYS[2])),
        (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)),
        (closing(DAYS[3]) + HOUR, closing(DAYS[3]) + 2 * HOUR),
    ],
)
def test_the_newest_rows_are_those_of_feasts_own_store(pair: Pair, start: datetime, end: datetime):
    own = latest(pair, SnapshotOfflineStore, start, end).to_arrow().to_pylist()
    stock = latest(pair, DuckDBOfflineStore, start, end).to_arrow().to_pylist()
    key = lambda row: str(row["customer_id"])  # noqa: E731
    assert sorted(own, key=key) == sorted(stock, key=key)


def test_the_newest_rows_come_in_batches(pair: Pair):
    job = latest(pair, SnapshotOfflineStore, closing(DAYS[0]), closing(DAYS[-1]))
    assert isinstance(job, LatestRowsJob)
    sizes = [batch.num_rows for batch in job.to_arrow_batches(2)]
    assert sum(sizes) == 4
    assert max(sizes) <= 2


def test_a_day_that_has_a_customer_twice_goes_to_feasts_own_store(tmp_path: Path):
    pair = Pair(tmp_path, "integer")
    write_day(pair.snapshots, DAYS[0], "integer", [5, 5, 7])
    job = latest(pair, SnapshotOfflineStore, closing(DAYS[0]), closing(DAYS[0]))
    assert not isinstance(job, LatestRowsJob)
    assert job.to_arrow().num_rows == 2
    asked = pair.asked([(5, closing(DAYS[0])), (7, closing(DAYS[0]))])
    assert [row["day"] for row in pair.own.rows(asked)] == [30, 30], "rows out are rows in"
