"""The packed online stores: Feast's own answers, faster, and never half of anything."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

feast = pytest.importorskip("feast")

from feast import (  # noqa: E402
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    PushSource,
    RepoConfig,
    utils,
)
from feast.data_format import ParquetFormat  # noqa: E402
from feast.data_source import PushMode  # noqa: E402
from feast.infra.key_encoding_utils import serialize_entity_key  # noqa: E402
from feast.infra.online_stores.online_store import OnlineStore  # noqa: E402
from feast.on_demand_feature_view import on_demand_feature_view  # noqa: E402
from feast.protos.feast.types.EntityKey_pb2 import EntityKey  # noqa: E402
from feast.protos.feast.types.Value_pb2 import Value  # noqa: E402
from feast.types import (  # noqa: E402
    Array,
    Bool,
    Bytes,
    Float32,
    Float64,
    Int32,
    Int64,
    String,
    UnixTimestamp,
)

from features.stores import reader as reading  # noqa: E402
from features.stores.keys import KeyCodec  # noqa: E402
from features.stores.one_by_one import RowPlan  # noqa: E402
from features.stores.packed_redis import (  # noqa: E402
    PackedRedisOnlineStoreConfig,
    connect,
    delete_generation,
)
from features.stores.packing import ARROW_TYPES, pack, unpack  # noqa: E402
from features.stores.reader import RowReader, Rows, open_reader  # noqa: E402
from features.stores.schema import RowSchema  # noqa: E402
from features.stores.times import NO_TIME, sortable  # noqa: E402
from features.stores.values import column_of_protos  # noqa: E402

REDIS = "127.0.0.1:6379,db=9"
ENGINE = "features.stores.engine.PackedComputeEngine"
END = datetime(2024, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC)
HOUR = timedelta(hours=1)
QUIET = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def redis_there() -> None:
    from redis.exceptions import ConnectionError as NoServer

    try:
        connect(REDIS).ping()
    except NoServer:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no Redis server answers at {REDIS}, and CI must have one")
        pytest.skip(f"no Redis server answers at {REDIS}")


# The row format.

WHOLE = {"q": 64, "t": 64, "i": 32}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "DOUBLE": st.integers(0, 2**64 - 1).map(lambda bits: np.uint64(bits).view(np.float64)),
    "FLOAT": st.integers(0, 2**32 - 1).map(lambda bits: np.uint32(bits).view(np.float32)),
    "INT64": st.integers(-(2**63), 2**63 - 1),
    "UNIX_TIMESTAMP": st.integers(-(2**63), 2**63 - 1),
    "INT32": st.integers(-(2**31), 2**31 - 1),
    "BOOL": st.booleans(),
    "STRING": st.text().map(str.encode),
    "BYTES": st.binary(),
    "INT64_LIST": st.binary(max_size=20),
}
KINDS = ["DOUBLE", "DOUBLE", "FLOAT", "INT64", "UNIX_TIMESTAMP", "INT32", "BOOL", "STRING",
         "STRING", "BYTES", "INT64_LIST"]  # fmt: skip
SCHEMA = RowSchema.of((f"f{place}", kind) for place, kind in enumerate(KINDS))
TIMES = st.integers(-(2**63), 2**63 - 1)


def typed(schema: RowSchema, rows: Sequence[Sequence[Any]]) -> dict[str, pa.Array]:
    """Columns as pack takes them; floats by their bits, which Python's own would not keep."""
    columns = {}
    for place, field in enumerate(schema.fields):
        values = [row[place] for row in rows]
        kind = ARROW_TYPES[field.kind]
        if field.kind in "df":
            plain = [np.zeros(1, kind.to_pandas_dtype())[0] if v is None else v for v in values]
            nulls = np.array([v is None for v in values], bool)
            columns[field.name] = pa.array(np.array(plain, kind.to_pandas_dtype()), mask=nulls)
        else:
            columns[field.name] = pa.array(values, kind)
    return columns


def bits(value: Any) -> Any:
    return struct.pack("<d", value) if isinstance(value, float | np.floating) else value


@st.composite
def rows_of(draw: st.DrawFn, schema: RowSchema) -> list[list[Any]]:
    maybe = [st.none() | VALUES[field.value_type] for field in schema.fields]
    return draw(st.lists(st.tuples(*maybe), max_size=6))


@QUIET
@given(rows_of(SCHEMA), st.data())
def test_every_value_comes_back_with_its_bits(rows: list[list[Any]], data: st.DataObject):
    event, created = (
        np.array(data.draw(st.lists(TIMES, min_size=len(rows), max_size=len(rows))), np.int64)
        for _ in range(2)
    )
    columns = typed(SCHEMA, rows)
    read = unpack(pack(SCHEMA, columns, event, created), {SCHEMA.head: SCHEMA}.get)
    assert (read.event == event).all()
    assert (read.created == created).all()
    for place, field in enumerate(SCHEMA.fields):
        back = read.values(field)
        if field.kind in "df" and rows:
            stored = read.parts[0].rows[field.kind][:, SCHEMA.places[field.name].column]
            there = np.array([row[place] is not None for row in rows])
            given_bits = columns[field.name].to_numpy(zero_copy_only=False)[there].tobytes()
            assert stored[there].tobytes() == given_bits
            assert [value is not None for value in back] == there.tolist()
            continue
        wanted = [row[place] for row in rows]
        if field.kind == "s":
            wanted = [None if value is None else value.decode() for value in wanted]
        assert back == wanted


@QUIET
@given(st.lists(st.tuples(TIMES, TIMES), min_size=2))
def test_the_bytes_of_two_rows_sort_as_their_times_do(times: list[tuple[int, int]]):
    schema = RowSchema.of([("a", "INT64")])
    event, created = (np.array(column, np.int64) for column in zip(*times, strict=True))
    blobs = pack(schema, {"a": pa.array([0] * len(times))}, event, created)
    by_bytes = sorted(range(len(times)), key=lambda row: (blobs[row][8:24], row))
    assert by_bytes == sorted(range(len(times)), key=lambda row: (times[row], row))
    assert (np.diff(sortable(np.array([NO_TIME, -1, 0, 1]))) > 0).all()


def test_nan_is_not_null_and_zero_keeps_its_sign():
    schema = RowSchema.of([("a", "DOUBLE")])
    times = np.zeros(3, np.int64)
    blobs = pack(schema, {"a": pa.array([float("nan"), None, -0.0])}, times, times)
    first, second, third = unpack(blobs, {schema.head: schema}.get).values(schema.fields[0])
    assert np.isnan(first)
    assert second is None
    assert struct.pack("<d", third) == struct.pack("<d", -0.0)


def test_a_row_keeps_the_features_that_it_was_written_with():
    old = RowSchema.of([("kept", "INT64"), ("gone", "DOUBLE"), ("changed", "INT64")])
    new = RowSchema.of([("kept", "INT64"), ("added", "STRING"), ("changed", "DOUBLE")])
    times = np.zeros(1, np.int64)
    numbers = {"kept": pa.array([1]), "gone": pa.array([2.0]), "changed": pa.array([3])}
    texts = {"kept": pa.array([4]), "added": pa.array([b"x"], pa.large_binary()),
             "changed": pa.array([5.0])}  # fmt: skip
    blobs = [*pack(old, numbers, times, times), None, *pack(new, texts, times, times)]
    read = unpack(blobs, {old.head: old, new.head: new}.get)
    values = {field.name: read.values(field) for field in new.fields}
    assert values == {"kept": [1, None, 4], "added": [None, None, "x"],
                      "changed": [None, None, 5.0]}  # fmt: skip
    assert read.found.tolist() == [True, False, True]
    assert read.holds(new.places["added"].field).tolist() == [False, False, True]
    assert unpack(blobs, {new.head: new}.get).found.tolist() == [False, False, True]
    # And so each by itself.
    asked = [(new.places["kept"].field, 0), (new.places["changed"].field, 1)]
    text = [(new.places["added"].field, 0)]
    for schema, blob, wanted in ((old, blobs[0], [1.0, -9.0]), (new, blobs[2], [4.0, 5.0])):
        row, words = [-9.0, -9.0], [None]
        assert RowPlan(schema, asked, text).read(blob, row, words) == 0
        assert (row, words) == (wanted, [None if schema is old else "x"])


def test_a_row_that_lost_bytes_is_reported():
    schema = RowSchema.of([("a", "INT64")])
    times = np.zeros(1, np.int64)
    [blob] = pack(schema, {"a": pa.array([1])}, times, times)
    with pytest.raises(ValueError, match=r"has not the 33 bytes .* materialise it again"):
        unpack([blob[:-1]], {schema.head: schema}.get)
    for cut in (blob[:-1], blob + b"x"):
        with pytest.raises(ValueError, match=r"has not the 33 bytes .* materialise it again"):
            RowPlan(schema, [(schema.fields[0], 0)], []).read(cut, [0.0], [])
    schema = RowSchema.of([("a", "INT64"), ("b", "STRING")])
    columns = {"a": pa.array([1]), "b": pa.array([b"text"], pa.large_binary())}
    [blob] = pack(schema, columns, times, times)
    with pytest.raises(ValueError, match=r"has not the 37 bytes .* materialise it again"):
        unpack([blob[:36]], {schema.head: schema}.get)
    with pytest.raises(ValueError, match="text of another length than it says"):
        unpack([blob[:-1]], {schema.head: schema}.get).values(schema.fields[1])
    plan = RowPlan(schema, [], [(schema.fields[1], 0)])
    with pytest.raises(ValueError, match=r"has not the 37 bytes .* materialise it again"):
        plan.read(blob[:36], [], [None])
    for cut in (blob[:-1], blob + b"x"):
        with pytest.raises(ValueError, match="text of another length than it says"):
            plan.read(cut, [], [None])


# Keys.

KEY_VALUES: dict[str, tuple[st.SearchStrategy[Any], str]] = {
    "INT64": (st.integers(-(2**63), 2**63 - 1), "int64_val"),
    "INT32": (st.integers(-(2**31), 2**31 - 1), "int32_val"),
    "STRING": (st.text(), "string_val"),
    "BYTES": (st.binary(), "bytes_val"),
}


@QUIET
@given(st.dictionaries(st.text("abcdé_", min_size=1), st.sampled_from(sorted(KEY_VALUES)),
                       min_size=1, max_size=3), st.data())  # fmt: skip
def test_keys_are_feasts_own(types: dict[str, str], data: st.DataObject):
    # Many whole numbers are made into keys all at once.
    number = data.draw(st.sampled_from([0, 1, 4, 40]))
    columns = {
        name: data.draw(st.lists(KEY_VALUES[kind][0], min_size=number, max_size=number))
        for name, kind in types.items()
    }
    protos = {
        name: [Value(**{KEY_VALUES[types[name]][1]: value}) for value in values]
        for name, values in columns.items()
    }
    expected = [
        serialize_entity_key(
            EntityKey(join_keys=list(types), entity_values=[protos[name][row] for name in types])
        )
        for row in range(number)
    ]
    arrow = {"INT64": pa.int64(), "INT32": pa.int32(), "STRING": pa.string(), "BYTES": pa.binary()}
    codec = KeyCodec.of(types)
    assert codec.of_values(columns) == expected
    assert codec.of_protos(protos) == expected
    arrays = {name: pa.array(values, arrow[types[name]]) for name, values in columns.items()}
    assert codec.of_arrow(arrays) == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [([None], "wants INT64 values"), (["7"], "wants INT64 values"), ([2**63], "wants INT64")],
)
def test_what_is_no_key_is_refused(values: list[Any], message: str):
    with pytest.raises(ValueError, match=f"join key 'customer_id' {message}"):
        KeyCodec.of({"customer_id": "INT64"}).of_values({"customer_id": values})


def test_a_null_among_stored_keys_is_refused():
    codec = KeyCodec.of({"customer_id": "INT64"})
    with pytest.raises(ValueError, match="'customer_id' is null in 1 rows; drop them"):
        codec.of_arrow({"customer_id": pa.array([1, None])})


def test_a_value_of_another_type_is_refused():
    with pytest.raises(TypeError, match="feature 'f0' is DOUBLE, but a value has string_val"):
        column_of_protos(SCHEMA.places["f0"].field, [Value(string_val="1")])


# Repositories.

DTYPES: dict[str, tuple[Any, pa.DataType, list[Any]]] = {
    "spend": (Float64, pa.float64(), [1.5, -0.0, 1e300]),
    "orders": (Int64, pa.int64(), [1, -(2**53) - 2, 7]),
    "visits": (Int32, pa.int32(), [1, -(2**31), 2**31 - 1]),
    "share": (Float32, pa.float32(), [0.25, 0.1, -1.0]),
    "active": (Bool, pa.bool_(), [True, False, True]),
    "seen": (UnixTimestamp, pa.timestamp("us", "UTC"),
             [END, END - HOUR, datetime(1969, 12, 31, 23, 0, 0, 500_000, tzinfo=UTC)]),
    "region": (String, pa.string(), ["north", "", "Größe 🎈"]),
    "token": (Bytes, pa.binary(), [b"\x00\xff", b"", b"abc"]),
    "days": (Array(Int64), pa.list_(pa.int64()), [[1, 2], [3], [4, 5, 6]]),
    "tags": (Array(String), pa.list_(pa.string()), [["a"], ["b", "c"], ["d"]]),
}  # fmt: skip
NUMBERS = ["spend", "orders", "visits", "share", "active", "seen"]
OTHERS = ["region", "token", "days", "tags"]
FEATURES = [*NUMBERS, *OTHERS]
KEYS: dict[str, dict[str, tuple[Any, Any, list[Any]]]] = {
    "integer": {"customer_id": (Int64, pa.int64(), [3, -1, 2**40, 8])},
    "text": {"customer_id": (String, pa.string(), ["C-1", "007", "ü", ""])},
    "two": {
        "shop": (String, pa.string(), ["a", "b", "a", "b"]),
        "customer_id": (Int64, pa.int64(), [1, 1, 2, 2]),
    },
}


def source_table(keys: str) -> pa.Table:
    """Four entities: one of each value, and one of nulls alone."""
    columns = {name: pa.array(values, kind) for name, (_, kind, values) in KEYS[keys].items()}
    columns |= {name: pa.array([*v, None], kind) for name, (_, kind, v) in DTYPES.items()}
    columns["event_timestamp"] = pa.array([END] * 4, pa.timestamp("us", "UTC"))
    return pa.table(columns)


NUMBER = itertools.count()


class Shop:
    """A Feast repository of its own, with two views of the same customers."""

    def __init__(
        self,
        folder: Path,
        keys: str,
        online: dict[str, Any],
        engine: str = ENGINE,
        project: str | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "rows.parquet"
        self.keys = keys
        self.online = online
        pq.write_table(source_table(keys), self.path)
        registry = {"registry_type": "sql", "path": f"sqlite:///{folder / 'registry.db'}"}
        self.config = RepoConfig(
            # Feast remembers what a registry holds by its project and address in memory, which a
            # later registry can get: one project in two shops has answers for the wrong one.
            project=project or f"shop_{next(NUMBER)}",
            provider="local",
            registry={**registry, "cache_ttl_seconds": 0},
            offline_store={"type": "duckdb"},
            online_store=online,
            batch_engine=engine,
            entity_key_serialization_version=3,
            repo_path=folder,
        )
        self.source = FileSource(
            name="rows",
            path=str(self.path),
            file_format=ParquetFormat(),
            timestamp_field="event_timestamp",
        )
        self.entities = [
            Entity(name=name, join_keys=[name], value_type=dtype.to_value_type())
            for name, (dtype, _, _) in KEYS[keys].items()
        ]
        self.views = [self.view("numbers", NUMBERS), self.view("others", OTHERS)]
        self.service = FeatureService(name="all", features=self.views)
        self.store = FeatureStore(config=self.config)
        self.store.apply([*self.entities, self.source, *self.views, self.service])

    def view(self, name: str, features: list[str], source: Any = None) -> FeatureView:
        key_fields = [Field(name=n, dtype=dtype) for n, (dtype, _, _) in KEYS[self.keys].items()]
        return FeatureView(
            name=name,
            entities=self.entities,
            ttl=HOUR,
            schema=[*key_fields, *(Field(name=f, dtype=DTYPES[f][0]) for f in features)],
            source=source or self.source,
        )

    @property
    def packed(self) -> Any:
        return self.store._get_provider().online_store

    def again(self) -> FeatureStore:
        """The same repository as another process would open it."""
        return FeatureStore(config=self.config)

    def materialise(self, table: pa.Table | None = None) -> None:
        if table is not None:
            pq.write_table(table, self.path)
        self.store.materialize(END - HOUR, END)

    def rows(self) -> list[dict[str, Any]]:
        """Every customer, one that is unknown, and one a second time."""
        columns = {name: values for name, (_, _, values) in KEYS[self.keys].items()}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        unknown = {n: "nobody" if isinstance(v[0], str) else 99 for n, v in columns.items()}
        return [*rows, unknown, rows[0]]

    def answer(self, store: FeatureStore | None = None) -> dict[str, list[Any]]:
        chosen = store or self.store
        return chosen.get_online_features(self.service, self.rows()).to_dict()


def sqlite_config(folder: Path) -> dict[str, Any]:
    return {
        "type": "features.stores.packed_sqlite.PackedSQLiteOnlineStore",
        "path": str(folder / "online.db"),
    }


def redis_config() -> dict[str, Any]:
    return {
        "type": "features.stores.packed_redis.PackedRedisOnlineStore",
        "connection_string": REDIS,
        "key_prefix": f"test-{uuid.uuid4().hex[:12]}",
    }


def redis_keys(shop: Shop) -> list[bytes]:
    return list(connect(REDIS).scan_iter(f"{shop.online['key_prefix']}:*"))


Make = Callable[..., Shop]


@pytest.fixture(params=["sqlite", "redis"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    if request.param == "redis":
        request.getfixturevalue("redis_there")
    made: list[Shop] = []

    def build(keys: str = "integer") -> Shop:
        online = sqlite_config(tmp_path) if request.param == "sqlite" else redis_config()
        made.append(Shop(tmp_path / f"repo{len(made)}", keys, online))
        return made[-1]

    yield build
    for shop in made:
        shop.packed.teardown(shop.config, [], [])
        shop.packed.disconnect()


@pytest.fixture(scope="module")
def stock_answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Feast's own SQLite store and engine answer, by kind of key."""
    answers = {}
    for keys in KEYS:
        folder = tmp_path_factory.mktemp(f"stock_{keys}")
        online = {"type": "sqlite", "path": str(folder / "online.db")}
        shop = Shop(folder, keys, online, engine="local")
        shop.materialise()
        answers[keys] = shop.store.get_online_features(shop.service, shop.rows())
    return answers


@pytest.mark.parametrize("keys", list(KEYS))
def test_the_answer_is_that_of_feasts_own_store(make: Make, keys: str, stock_answers: dict):
    shop = make(keys)
    shop.materialise()
    stock = stock_answers[keys]
    answer = shop.store.get_online_features(shop.service, shop.rows())
    assert list(answer.to_dict(True)) == list(answer.to_dict(True))
    assert answer.to_dict() == stock.to_dict()
    assert answer.to_df().equals(stock.to_df()[answer.to_df().columns])
    assert {type(v) for v in answer.to_dict()["orders"]} == {int, type(None)}
    assert answer.to_dict(True)["spend__ts"] == stock.to_dict(True)["spend__ts"]


def test_the_protobuf_is_that_of_feasts_own_store(make: Make, stock_answers: dict):
    shop = make()
    shop.materialise()
    answer = shop.store.get_online_features(shop.service, shop.rows())
    stock = stock_answers["integer"]

    def by_name(response: Any) -> dict[str, Any]:
        return dict(
            zip(response.proto.metadata.feature_names.val, response.proto.results, strict=True)
        )

    ours, theirs = by_name(answer), by_name(stock)
    assert ours.keys() == theirs.keys()
    for name, vector in ours.items():
        # A null timestamp is the smallest number in Feast's protobuf, and a null in this one.
        if name != "seen":
            assert list(vector.values) == list(theirs[name].values), name
        assert list(vector.statuses) == list(theirs[name].statuses), name
        assert [s.seconds for s in vector.event_timestamps] == [
            s.seconds for s in theirs[name].event_timestamps
        ]
    assert answer.to_dict() == stock.to_dict(), "asked for after the protobuf was made"


def test_names_in_full_and_views_of_one_feature(make: Make):
    shop = make()
    shop.materialise()
    answer = shop.store.get_online_features(
        ["numbers:spend", "others:region"], shop.rows(), full_feature_names=True
    ).to_dict()
    assert set(answer) == {"customer_id", "numbers__spend", "others__region"}
    assert answer["others__region"] == ["north", "", "Größe 🎈", None, None, "north"]


def test_one_view_read_as_feast_reads_it(make: Make):
    shop = make()
    shop.materialise()
    key = EntityKey(join_keys=["customer_id"], entity_values=[Value(int64_val=3)])
    nobody = EntityKey(join_keys=["customer_id"], entity_values=[Value(int64_val=99)])
    view = shop.store.get_feature_view("numbers")
    found, missing = shop.packed.online_read(shop.config, view, [key, nobody], ["spend", "visits"])
    assert found == (END, {"spend": Value(double_val=1.5), "visits": Value(int32_val=1)})
    assert missing == (None, None)
    assert asyncio.run(shop.packed.online_read_async(shop.config, view, [key], ["spend"])) == [
        (END, {"spend": Value(double_val=1.5)})
    ]


def test_an_answer_can_be_awaited(make: Make):
    shop = make()
    shop.materialise()
    answer = asyncio.run(shop.store.get_online_features_async(shop.service, shop.rows()))
    assert answer.to_dict() == shop.answer()


def test_on_demand_views_take_their_input_from_the_packed_rows(make: Make):
    shop = make()

    @on_demand_feature_view(
        sources=[shop.views[0]],
        schema=[Field(name="doubled", dtype=Float64)],
        mode="python",
    )
    def doubling(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"doubled": [None if v is None else 2 * v for v in inputs["spend"]]}

    with pytest.warns(RuntimeWarning, match="experimental"):
        shop.store.apply([doubling])
    shop.materialise()
    answer = shop.store.get_online_features(["doubling:doubled", "others:region"], shop.rows())
    assert answer.to_dict()["doubled"][:2] == [3.0, -0.0]
    assert answer.to_dict()["region"][0] == "north"


def test_nothing_is_found_before_anything_is_written(make: Make):
    answer = make().answer()
    assert {value for name in FEATURES for value in answer[name]} == {None}


# The direct read.


def assert_direct_equals_feast(shop: Shop) -> None:
    reader = open_reader(shop.store, shop.service)
    rows = shop.rows()
    keys: Any = {name: [row[name] for row in rows] for name in rows[0]}
    answer = shop.answer()
    for read in both_ways(reader, keys if len(keys) > 1 else keys["customer_id"]):
        assert_reads(reader, read, answer)
    assert set(reader.numbers) | set(reader.others) == set(FEATURES)
    # Without the bytes, which only the general way knows.
    texts = [one for one in reader.others if one != "token"]
    names = [f"numbers:{one}" for one in NUMBERS] + [f"others:{one}" for one in texts]
    reader = open_reader(shop.store, names)
    for read in both_ways(reader, keys if len(keys) > 1 else keys["customer_id"]):
        assert_reads(reader, read, answer)


def both_ways(reader: RowReader, keys: Any) -> list[Rows]:
    """Read one row after the other, and all at once."""
    found = []
    for few in (100, 0):
        with mock.patch.object(reading, "FEW", few):
            found.append(reader.read(keys))
    for name in ("found", "found_by_view", "event_micros"):
        assert np.array_equal(*(getattr(one, name) for one in found)), name
    return found


def assert_reads(reader: RowReader, read: Rows, answer: dict[str, list[Any]]) -> None:
    for column, name in enumerate(reader.numbers):
        wanted = [v.timestamp() if isinstance(v, datetime) else v for v in answer[name]]
        expected = np.array([np.nan if v is None else v for v in wanted], np.float64)
        assert read.matrix[:, column].tobytes() == expected.tobytes(), name
    for name in reader.others:
        assert read.objects[name].tolist() == answer[name], name


@pytest.mark.parametrize("keys", list(KEYS))
def test_a_direct_read_gives_what_feast_gives_to_the_last_bit(make: Make, keys: str):
    shop = make(keys)
    shop.materialise()
    assert_direct_equals_feast(shop)
    rows = shop.rows()
    read = open_reader(shop.store, shop.service).read(
        {name: [row[name] for row in rows] for name in rows[0]}
    )
    assert read.found.tolist() == [True, True, True, True, False, True]
    assert read.found_by_view.shape == (6, 2)


@pytest.fixture(scope="module")
def sqlite_shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("property")
    return Shop(folder, "integer", sqlite_config(folder))


FEAST_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "spend": st.floats(allow_nan=True).map(lambda v: Value(double_val=v)),
    "orders": VALUES["INT64"].map(lambda v: Value(int64_val=v)),
    "visits": VALUES["INT32"].map(lambda v: Value(int32_val=v)),
    "share": st.floats(width=32).map(lambda v: Value(float_val=v)),
    "active": st.booleans().map(lambda v: Value(bool_val=v)),
    "seen": st.integers(-(10**9), 10**9).map(lambda v: Value(unix_timestamp_val=v)),
    "region": st.text().map(lambda v: Value(string_val=v)),
    "token": st.binary().map(lambda v: Value(bytes_val=v)),
}


@QUIET
@given(st.data())
def test_whatever_is_written_both_reads_agree_on_it(sqlite_shop: Shop, data: st.DataObject):
    shop, packed = sqlite_shop, sqlite_shop.packed
    for view, names in (("numbers", NUMBERS), ("others", ["region", "token"])):
        table = shop.store.get_feature_view(view)
        rows = [
            (
                EntityKey(join_keys=["customer_id"], entity_values=[Value(int64_val=key)]),
                {n: data.draw(FEAST_VALUES[n] | st.just(Value())) for n in names},
                END + timedelta(days=data.draw(st.integers(0, 2))),
                None,
            )
            for key in data.draw(st.lists(st.sampled_from([3, -1, 2**40]), unique=True))
        ]
        packed.online_write_batch(shop.config, table, rows, None)
    keys = [3, 99, -1, 2**40]
    answer = shop.store.get_online_features(shop.service, [{"customer_id": k} for k in keys])
    values = answer.to_dict()
    for wanted in (shop.service, ["numbers:" + n for n in NUMBERS] + ["others:region"]):
        reader = open_reader(shop.store, wanted)
        for read in both_ways(reader, keys):
            assert_reads(reader, read, values)
    _ = answer.proto
    assert [bits(v) for n in NUMBERS for v in answer.to_dict()[n]] == [
        bits(v) for n in NUMBERS for v in values[n]
    ]


def test_a_direct_read_needs_a_packed_store_and_names_that_exist(tmp_path: Path, make: Make):
    stock = Shop(
        tmp_path / "s", "integer", {"type": "sqlite", "path": str(tmp_path / "s.db")}, "local"
    )
    with pytest.raises(TypeError, match="the online store is SqliteOnlineStore; a direct read"):
        open_reader(stock.store, stock.service)
    with pytest.raises(ValueError, match="no feature 'numbers:nothing'; name it as view:feature"):
        open_reader(make().store, ["numbers:nothing"])


# Which write wins.

OLD, NEW = END - HOUR, END
CREATED = datetime(2024, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        pytest.param((OLD, None), (NEW, None), 2, id="newer after older"),
        pytest.param((NEW, None), (OLD, None), 1, id="older after newer"),
        pytest.param((NEW, CREATED), (NEW, CREATED + HOUR), 2, id="correction"),
        pytest.param((NEW, CREATED + HOUR), (NEW, CREATED), 1, id="correction, then the error"),
        pytest.param((NEW, None), (NEW, CREATED), 2, id="created after no created"),
        pytest.param((NEW, CREATED), (NEW, None), 1, id="no created after created"),
        pytest.param((NEW, CREATED), (NEW, CREATED), 2, id="the later of two equals"),
        pytest.param((NEW, None), (NEW, None), 2, id="the later of two equals, no created"),
        pytest.param((OLD, CREATED + HOUR), (NEW, CREATED), 2, id="event time first"),
        pytest.param((NEW, None), (NEW.replace(year=2999), None), 2, id="the far future"),
        pytest.param((NEW.replace(year=1), None), (NEW.replace(year=1900), None), 2, id="long ago"),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_the_younger_row_wins(make: Make, first: tuple, second: tuple, winner: int, together: bool):
    shop = make()
    key = EntityKey(join_keys=["customer_id"], entity_values=[Value(int64_val=3)])
    rows = [
        (key, {"spend": Value(double_val=number)}, event, created)
        for number, (event, created) in enumerate([first, second], start=1)
    ]
    view = shop.store.get_feature_view("numbers")
    for batch in [rows] if together else [[row] for row in rows]:
        shop.packed.online_write_batch(shop.config, view, batch, None)
    assert shop.answer()["spend"][0] == winner
    [(event, _)] = shop.packed.online_read(shop.config, view, [key])
    assert event == [first, second][winner - 1][0]


def test_a_materialised_older_row_does_not_replace_a_pushed_newer_one(make: Make):
    shop = make()
    key = EntityKey(join_keys=["customer_id"], entity_values=[Value(int64_val=3)])
    view = shop.store.get_feature_view("numbers")
    pushed = (key, {"spend": Value(double_val=77.0)}, END + HOUR, None)
    shop.packed.online_write_batch(shop.config, view, [pushed], None)
    shop.materialise()
    assert shop.answer()["spend"][:2] == [77.0, -0.0]
    assert shop.answer()["region"][0] == "north", "the other view has no newer row"


def frame(spend: float, when: datetime) -> pd.DataFrame:
    row = {name: values[0] for name, (_, _, values) in DTYPES.items() if name in NUMBERS}
    return pd.DataFrame([{"customer_id": 3, **row, "spend": spend, "event_timestamp": when}])


def test_push_and_write_to_online_store_change_the_answer_at_once(make: Make):
    shop = make()
    source = PushSource(name="events", batch_source=shop.source)
    pushed = shop.view("pushed", NUMBERS, source)
    shop.store.apply([source, pushed])
    shop.store.push("events", frame(5.0, END), to=PushMode.ONLINE)
    ask = lambda: shop.store.get_online_features(  # noqa: E731
        ["pushed:spend"], [{"customer_id": 3}]
    ).to_dict()
    assert ask()["spend"] == [5.0]
    shop.store.write_to_online_store("pushed", frame(6.0, END + HOUR))
    assert ask()["spend"] == [6.0]
    shop.store.push("events", frame(7.0, END), to=PushMode.ONLINE)
    assert ask()["spend"] == [6.0], "an older event came late"


def test_a_feature_that_was_added_is_missing_until_it_is_written(make: Make):
    shop = make()
    shop.store.apply([shop.view("numbers", ["spend"])])
    shop.store.materialize(END - HOUR, END)
    shop.store.apply([shop.views[0]])
    before = shop.store.get_online_features(["numbers:spend", "numbers:orders"], shop.rows())
    assert before.to_dict()["spend"][0] == 1.5
    assert before.to_dict()["orders"] == [None] * 6
    shop.materialise()
    assert shop.answer()["orders"][0] == 1


# Removal.


def test_a_view_that_is_removed_leaves_nothing(make: Make):
    shop = make()
    shop.materialise()
    shop.store.delete_feature_service("all")
    shop.store.apply([], objects_to_delete=[shop.views[0]], partial=False)
    key = EntityKey(join_keys=["customer_id"], entity_values=[Value(int64_val=3)])
    gone = shop.packed.online_read(shop.config, shop.views[0], [key])
    kept = shop.packed.online_read(shop.config, shop.views[1], [key])
    assert gone == [(None, None)]
    assert kept[0][1]["region"] == Value(string_val="north")
    shop.store.apply([], objects_to_delete=[shop.views[1]], partial=False)
    assert shop.packed.online_read(shop.config, shop.views[1], [key]) == [(None, None)]
    if "key_prefix" in shop.online:
        assert not [name for name in redis_keys(shop) if b":e:" in name]


def test_teardown_leaves_nothing(make: Make):
    shop = make()
    shop.materialise()
    shop.store.teardown()
    if "key_prefix" in shop.online:
        assert redis_keys(shop) == []
    else:
        assert not list(Path(shop.online["path"]).parent.glob("online.db*"))


@pytest.mark.parametrize(
    ("keys", "forgotten", "number"),
    [
        ("integer", {"customer_id": Value(int64_val=3)}, 1),
        ("integer", {"customer_id": Value(int64_val=99)}, 0),
        ("two", {"customer_id": Value(int64_val=1)}, 2),
        ("two", {"customer_id": Value(int64_val=1), "shop": Value(string_val="a")}, 1),
    ],
)
def test_an_entity_is_forgotten_in_every_view(
    make: Make, keys: str, forgotten: dict[str, Value], number: int
):
    shop = make(keys)
    shop.materialise()
    before = shop.answer()
    assert shop.packed.delete_entity(shop.config, forgotten) == number
    after = shop.answer()
    rows = shop.rows()
    named = {n: getattr(v, v.WhichOneof("val")) for n, v in forgotten.items()}
    for place, row in enumerate(rows):
        gone = all(row[name] == value for name, value in named.items())
        for feature in FEATURES:
            assert after[feature][place] == (None if gone else before[feature][place])


# All or nothing.


def changed(number: float) -> pa.Table:
    """The source with other values in both views."""
    table = source_table("integer")
    for name, values in (("spend", [number] * 4), ("region", [str(number)] * 4)):
        kind = table.schema.field(name).type
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array(values, kind))
    return table


def seen(shop: Shop, store: FeatureStore | None = None) -> set[tuple[Any, Any]]:
    answer = shop.answer(store)
    known = slice(0, 4)
    return set(zip(answer["spend"][known], answer["region"][known], strict=True))


def test_readers_see_a_materialisation_only_when_all_of_it_is_there(make: Make):
    shop = make()
    shop.materialise(changed(1.0))
    other = shop.again()
    views = [shop.packed.view_of(shop.config, shop.store.get_feature_view(n))
             for n in ("numbers", "others")]  # fmt: skip
    codec = KeyCodec.of({"customer_id": "INT64"})
    with shop.packed.writing(shop.config, views) as writer:
        from features.stores.online import pack_batch

        for batch in changed(2.0).to_batches(max_chunksize=1):
            times = np.full(1, 2 * 10**15)
            keys = codec.of_arrow({"customer_id": batch.column("customer_id")})
            writer.write(keys, {v.name: pack_batch(v, batch, times, times) for v in views})
            assert seen(shop, other) == {(1.0, "1.0")}
    assert seen(shop, other) == {(2.0, "2.0")}


def test_a_materialisation_that_fails_leaves_the_former_values(
    make: Make, monkeypatch: pytest.MonkeyPatch
):
    from features.stores import engine

    shop = make()
    shop.materialise(changed(1.0))
    whole = engine.batches

    def half(job: Any, rows: int) -> Iterator[pa.RecordBatch]:
        first, *_ = whole(job, 2)
        yield first
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(engine, "batches", half)
    with pytest.raises(OSError, match="No space left"):
        shop.materialise(changed(2.0))
    assert seen(shop) == {(1.0, "1.0")}
    monkeypatch.undo()
    shop.materialise(changed(3.0))
    assert seen(shop) == {(3.0, "3.0")}
    if "key_prefix" in shop.online:
        fields = {f for key in redis_keys(shop) if b":e:" in key for f in connect(REDIS).hkeys(key)}
        assert fields == {b"numbers", b"others"}, "what was staged and never seen is cleared away"


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_packed_stores as t
from features.stores import engine
shop = t.Shop.__new__(t.Shop)
shop.config = t.RepoConfig(**{config!r}, repo_path=Path({folder!r}))
whole = engine.batches
def slowly(job, rows):
    for batch in whole(job, 1):
        yield batch
        print("written", flush=True)
        time.sleep(60)
engine.batches = slowly
t.FeatureStore(config=shop.config).materialize(t.END - t.HOUR, t.END)
"""


def test_a_process_that_is_killed_leaves_the_former_values(make: Make):
    shop = make()
    shop.materialise(changed(1.0))
    pq.write_table(changed(2.0), shop.path)
    config = {
        "project": shop.config.project,
        "provider": "local",
        "registry": {"registry_type": "sql", "path": shop.config.registry.path,
                     "cache_ttl_seconds": 0},
        "offline_store": {"type": "duckdb"},
        "online_store": shop.online,
        "batch_engine": ENGINE,
        "entity_key_serialization_version": 3,
    }  # fmt: skip
    script = KILLED.format(
        tests=str(Path(__file__).parent), config=config, folder=str(shop.config.repo_path)
    )
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script], stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert process.stdout is not None
    assert any(line.strip() == "written" for line in process.stdout)
    assert seen(shop) == {(1.0, "1.0")}, "while it writes"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert seen(shop) == {(1.0, "1.0")}, "after its death"
    fresh = shop.again()
    fresh.materialize(END - HOUR, END)
    assert seen(shop) == {(2.0, "2.0")}


def test_threads_read_whole_rows_while_another_writes(make: Make):
    shop = make()
    shop.materialise(changed(1.0))
    pairs: set[tuple[Any, Any]] = set()
    errors: list[Exception] = []
    done = threading.Event()

    def read() -> None:
        reader = open_reader(shop.store, ["numbers:spend", "others:region"])
        try:
            while not done.is_set():
                rows = reader.read([3, -1, 2**40, 8])
                pairs.update(zip(rows.matrix[:, 0], rows.objects["region"], strict=True))
        except Exception as error:  # noqa: BLE001 - a thread's error is the test's
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in (2.0, 3.0, 4.0):
        shop.materialise(changed(number))
    time.sleep(0.05)
    done.set()
    for thread in threads:
        thread.join()
    assert not errors
    assert pairs <= {(n, str(n)) for n in (1.0, 2.0, 3.0, 4.0)}
    assert (4.0, "4.0") in pairs


# Redis's own.


@pytest.fixture
def redis_shop(redis_there: None, tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path, "integer", redis_config())
    yield shop
    shop.packed.teardown(shop.config, [], [])
    shop.packed.disconnect()


@pytest.fixture
def dying_after_the_switch(redis_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A shop whose last materialisation died when its rows were seen but not in place."""
    from features.stores import packed_redis

    redis_shop.materialise(changed(1.0))
    with monkeypatch.context() as patch:
        patch.setattr(packed_redis, "CLEAR", "return redis.error_reply('died')")
        with pytest.raises(Exception, match="died"):
            redis_shop.materialise(changed(2.0))
    return redis_shop


def test_rows_that_are_seen_stay_seen_if_their_process_dies(dying_after_the_switch: Shop):
    shop = dying_after_the_switch
    assert seen(shop) == {(2.0, "2.0")}
    assert_direct_equals_feast(shop)


def test_the_next_materialisation_tidies_up(dying_after_the_switch: Shop):
    shop = dying_after_the_switch
    shop.materialise(changed(3.0))
    assert seen(shop) == {(3.0, "3.0")}
    client = connect(REDIS)
    space = f"{shop.online['key_prefix']}:{shop.config.project}:0"
    assert client.hgetall(f"{space}:stages") == {}
    assert {len(client.hkeys(key)) for key in client.scan_iter(f"{space}:e:*")} == {2}


def test_a_push_onto_rows_that_are_not_in_place_yet_wins(dying_after_the_switch: Shop):
    shop = dying_after_the_switch
    key = EntityKey(join_keys=["customer_id"], entity_values=[Value(int64_val=3)])
    view = shop.store.get_feature_view("numbers")
    row = (key, {"spend": Value(double_val=9.0)}, END, None)
    shop.packed.online_write_batch(shop.config, view, [row], None)
    assert shop.answer()["spend"][:2] == [9.0, 2.0]
    shop.materialise(changed(2.0))
    assert shop.answer()["spend"][0] == 2.0


def test_an_unstaged_write_is_the_same_where_nobody_reads(redis_there: None, tmp_path: Path):
    shop = Shop(tmp_path, "integer", {**redis_config(), "stage_writes": False})
    shop.materialise(changed(1.0))
    assert seen(shop) == {(1.0, "1.0")}
    shop.packed.teardown(shop.config, [], [])
    assert redis_keys(shop) == []


def test_generations_stand_side_by_side_and_go_bit_by_bit(redis_shop: Shop, tmp_path: Path):
    shop = redis_shop
    shop.materialise(changed(1.0))
    online = {**shop.online, "generation": "1"}
    green = Shop(tmp_path / "green", "integer", online, project=shop.config.project)
    assert seen(green) == {(None, None)}
    green.materialise(changed(2.0))
    assert (seen(shop), seen(green)) == ({(1.0, "1.0")}, {(2.0, "2.0")})
    assert list(delete_generation(shop.config))[-1] == 5, "four customers and the schemas"
    assert (seen(shop), seen(green)) == ({(None, None)}, {(2.0, "2.0")})
    green.packed.teardown(green.config, [], [])
    green.packed.disconnect()


@pytest.mark.parametrize("text", ["one:6379,two:6379", "db=3", "localhost"])
def test_a_connection_string_names_one_server(text: str):
    with pytest.raises(ValueError, match=r"names . servers; give one, as host:port"):
        connect(text)


@pytest.mark.parametrize("name", ["a:b", "a*", ""])
def test_a_prefix_that_redis_would_read_as_a_pattern_is_refused(name: str):
    with pytest.raises(ValueError, match="pattern"):
        PackedRedisOnlineStoreConfig(**{**redis_config(), "key_prefix": name})


# The engine with other stores, and what of Feast is leant on.


def test_the_engine_serves_feasts_own_store_too(tmp_path: Path, stock_answers: dict):
    shop = Shop(tmp_path, "integer", {"type": "sqlite", "path": str(tmp_path / "online.db")})
    shop.materialise()
    assert shop.answer() == stock_answers["integer"].to_dict()


def test_feasts_own_engine_serves_the_packed_store_too(tmp_path: Path, stock_answers: dict):
    shop = Shop(tmp_path, "integer", sqlite_config(tmp_path), engine="local")
    shop.materialise()
    assert shop.answer() == stock_answers["integer"].to_dict()
    shop.packed.disconnect()


def test_the_private_parts_of_feast_are_as_they_were():
    hook = inspect.signature(OnlineStore._read_features_per_fv)
    assert list(hook.parameters) == [
        "self",
        "config",
        "grouped_refs",
        "join_key_values",
        "entity_name_to_join_key_map",
        "online_features_response",
        "full_feature_names",
        "include_feature_view_version_metadata",
    ]
    prepared = inspect.signature(utils._prepare_entities_to_read_from_online_store)
    assert list(prepared.parameters) == [
        "registry",
        "project",
        "features",
        "entity_values",
        "full_feature_names",
        "native_entity_values",
    ]


def test_an_old_serialisation_of_keys_is_refused(tmp_path: Path):
    shop = Shop(tmp_path, "integer", sqlite_config(tmp_path))
    shop.config.entity_key_serialization_version = 2
    with pytest.raises(ValueError, match="entity_key_serialization_version is 2; set it to 3"):
        shop.store.get_online_features(shop.service, shop.rows())
    shop.packed.disconnect()
