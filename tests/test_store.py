"""Features through Feast: what is asked for comes back, offline and online, bit for bit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shop
import yaml

from features import catalogue
from features.days import closing
from features.errors import WorkspaceError
from features.settings import Settings
from features.snapshots import known_customers, snapshot_path
from features.store import FeatureStore, matrix_digest, matrix_of, read_state
from features.workspace import Workspace
from pipelines.context import Context
from pipelines.features import compute_features, put_online
from pipelines.ingest import ingest_table

FEBRUARY, MARCH, APRIL = date(2023, 2, 28), date(2023, 3, 31), date(2023, 4, 30)
DAYS = [FEBRUARY, MARCH, APRIL]

Row = dict[str, Any]


def small_shop(folder: Path, key_type: str, online: bool = True) -> Context:
    """A shop's first four months, with three days computed and the last of them online.

    As text, some ids look like numbers, which they must not become.
    """
    orders = shop.orders(customers=160, seed=4).filter(pl.col("when").dt.date() <= APRIL)
    if key_type == "text":
        texts = pl.when(pl.col("client") % 2 == 0).then(pl.lit("C-")).otherwise(pl.lit("00"))
        orders = orders.with_columns(client=pl.concat_str(texts, pl.col("client").cast(pl.String)))
    context = Context(Workspace(folder / "w"), Settings())
    mapping = dict(pair.split("=") for pair in shop.MAP)
    ingest_table(context, Path("orders.parquet"), orders, "0" * 64, mapping)
    compute_features(context, DAYS, online)
    return context


@pytest.fixture(scope="module", params=["integer", "text"])
def context(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Context:
    return small_shop(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def store(context: Context) -> FeatureStore:
    return context.store(context.ledger())


def customers_on(context: Context, day: date) -> list[int | str]:
    return known_customers(context.workspace, context.ledger(), day).to_pylist()


def snapshots(context: Context) -> dict[tuple[date, int | str], Row]:
    """Every stored row, read without Feast."""
    ledger = context.ledger()
    return {
        (day, row["customer_id"]): row
        for day in DAYS
        for row in pq.read_table(snapshot_path(context.workspace, ledger, day)).to_pylist()
    }


def keys(context: Context, values: list[int | str]) -> pa.Array:
    integer = context.ledger().customer_id_type == "integer"
    return pa.array(values, pa.int64() if integer else pa.string())


def nobody(context: Context) -> int | str:
    return 10**12 if context.ledger().customer_id_type == "integer" else "nobody"


# Offline.


def test_the_fixture_has_both_kinds_of_key_and_newcomers(context: Context):
    first, last = customers_on(context, FEBRUARY), customers_on(context, APRIL)
    assert 20 < len(first) < len(last) < 200
    kind = int if context.ledger().customer_id_type == "integer" else str
    assert all(isinstance(customer, kind) for customer in last)


@pytest.mark.parametrize("seed", [1, 2])
def test_as_many_rows_come_back_as_were_asked_for(context: Context, store: FeatureStore, seed: int):
    """Customers and days in any order, some known on that day, some not yet, some never."""
    rng = np.random.default_rng(seed)
    everyone = [*customers_on(context, APRIL), nobody(context)]
    asked = [(day, customer) for day in DAYS for customer in everyone]
    asked = [asked[place] for place in rng.permutation(len(asked))]
    table = store.historical(
        keys(context, [customer for _, customer in asked]), [day for day, _ in asked]
    )
    stored = snapshots(context)
    rows = table.to_pylist()
    assert [(row["event_timestamp"].date(), row["customer_id"]) for row in rows] == sorted(asked)
    unknown = dict.fromkeys(catalogue.NAMES)
    for row in rows:
        want = stored.get((row["event_timestamp"].date(), row["customer_id"]), unknown)
        assert {name: row[name] for name in catalogue.NAMES} == {
            name: want[name] for name in catalogue.NAMES
        }
        assert row["event_timestamp"] == closing(row["event_timestamp"].date())
    found = [row["as_of_day"] is not None for row in rows]
    assert sum(found) == len(stored) < len(rows)


def test_a_row_asked_for_twice_comes_back_twice(context: Context, store: FeatureStore):
    one, other = customers_on(context, FEBRUARY)[:2]
    rows = store.historical(keys(context, [other, one, other]), FEBRUARY)
    assert rows["customer_id"].to_pylist() == sorted([one, other, other])


def test_what_comes_back_has_the_snapshots_types_and_bits(context: Context, store: FeatureStore):
    stored = pq.read_table(snapshot_path(context.workspace, context.ledger(), MARCH))
    back = store.historical(stored["customer_id"].combine_chunks(), MARCH)
    assert matrix_of(back).tobytes() == matrix_of(stored).tobytes()
    assert matrix_digest(back) == matrix_digest(stored.select(back.column_names))
    for feature in catalogue.FEATURES:
        expected = pa.int64() if feature.kind == "count" else pa.float64()
        assert back.schema.field(feature.name).type == expected, feature.name


LATER = [
    pytest.param(
        date(2023, 5, 1),
        id="the next day",
    ),
    pytest.param(date(2023, 5, 2), id="the day after"),
    pytest.param(date(2023, 6, 1), id="a month later"),
    pytest.param(date(2023, 2, 27), id="a day before any snapshot"),
]


@pytest.mark.parametrize("day", LATER)
def test_another_days_features_are_never_given(context: Context, store: FeatureStore, day: date):
    customers = customers_on(context, APRIL)
    back = store.historical(keys(context, customers), day)
    assert back.num_rows == len(customers)
    for name in catalogue.NAMES:
        assert back[name].null_count == len(customers), f"{name} is of another day than {day}"


def test_a_store_that_loses_rows_is_an_error(
    context: Context, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
):
    """Feast's file store drops customers that it does not know; no store may do that here."""
    from feast.infra.offline_stores.offline_store import RetrievalJob

    whole: Callable[..., pa.Table] = RetrievalJob.to_arrow
    monkeypatch.setattr(
        RetrievalJob, "to_arrow", lambda job, *args, **kw: whole(job, *args, **kw).slice(1)
    )
    with pytest.raises(WorkspaceError, match="returned 1 rows for 2 asked; run `lifecycle feat"):
        store.historical(keys(context, customers_on(context, APRIL)[:2]), APRIL)


# Online.


def test_online_equals_offline_bit_for_bit(context: Context, store: FeatureStore):
    customers = customers_on(context, APRIL)
    offline = matrix_of(store.historical(keys(context, customers), APRIL))
    online, found = store.online_reader().read(customers)
    assert all(found)
    assert online.dtype == offline.dtype == np.float64
    assert online.tobytes() == offline.tobytes()
    assert np.isnan(online).any(), "what does not exist is NaN, here as there"


def test_one_customer_read_alone_is_read_as_among_others(context: Context, store: FeatureStore):
    customers = customers_on(context, APRIL)
    reader = store.online_reader()
    together, _ = reader.read(customers[:5])
    for place, customer in enumerate(customers[:5]):
        alone, found = reader.read([customer])
        assert found == [True]
        assert alone.tobytes() == together[place].tobytes()


def test_an_unknown_customer_is_reported_and_has_no_values(context: Context, store: FeatureStore):
    known = customers_on(context, APRIL)[0]
    matrix, found = store.online_reader().read([nobody(context), known, nobody(context)])
    assert found == [False, True, False]
    assert np.isnan(matrix[[0, 2]]).all()
    assert np.isfinite(matrix[1, catalogue.NAMES.index("purchases")])


def test_nobody_asked_for_is_nobody_found(context: Context, store: FeatureStore):
    matrix, found = store.online_reader().read([])
    assert (matrix.shape, found) == ((0, len(catalogue.NAMES)), [])
    assert store.historical(keys(context, []), APRIL).num_rows == 0


def test_an_older_day_does_not_replace_a_newer_one(context: Context):
    ledger = context.ledger()
    store = context.store(ledger)
    put_online(context, ledger, store, MARCH)
    assert store.state is not None
    assert store.state.as_of == APRIL


# A materialisation: all or nothing.


@pytest.fixture
def changing(tmp_path: Path) -> Context:
    """A shop of a test's own, with February online."""
    context = small_shop(tmp_path, "integer", online=False)
    context.store(context.ledger()).materialise(FEBRUARY, "february")
    return context


def online_files(context: Context) -> set[str]:
    return {path.name for path in context.workspace.feast.glob("online*.db*")}


@contextmanager
def an_online_store_that_dies_after_one_view() -> Iterator[list[str]]:
    """Give the views that were written to it, the one that it died of last."""
    from feast.infra.online_stores.sqlite import SqliteOnlineStore

    write = SqliteOnlineStore.online_write_batch
    views: list[str] = []

    def die(store: Any, config: Any, table: Any, data: Any, progress: Any) -> None:
        views.append(table.name)
        if len(set(views)) > 1:
            raise OSError(28, "No space left on device")
        write(store, config, table, data, progress)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqliteOnlineStore, "online_write_batch", die)
        yield views


def test_a_materialisation_that_dies_leaves_the_former_day_online_until_one_succeeds(
    changing: Context,
):
    ledger = changing.ledger()
    store = changing.store(ledger)
    february, march = customers_on(changing, FEBRUARY), customers_on(changing, MARCH)
    stored = {
        day: matrix_of(pq.read_table(snapshot_path(changing.workspace, ledger, day))).tobytes()
        for day in (FEBRUARY, MARCH)
    }
    reader, before, files = store.online_reader(), store.state, online_files(changing)

    with (
        an_online_store_that_dies_after_one_view() as views,
        pytest.raises(OSError, match="No space left"),
    ):
        store.materialise(MARCH, "march")

    assert len(set(views)) == 2, "one view was written, the second was not"
    assert store.state == read_state(changing.workspace) == before
    for survivor in (reader, store.online_reader(), changing.store(ledger).online_reader()):
        online, found = survivor.read(february)
        assert all(found)
        assert online.tobytes() == stored[FEBRUARY]
    half = online_files(changing) - files
    assert half, "the test would prove nothing if nothing had been written"

    state = changing.store(ledger).materialise(MARCH, "march")

    assert read_state(changing.workspace) == state
    online, found = changing.store(ledger).online_reader().read(march)
    assert all(found)
    assert online.tobytes() == stored[MARCH]
    assert online_files(changing) == {state.file, before.file if before else ""}
    assert not half & online_files(changing)


def test_only_the_present_and_the_former_online_file_are_kept(changing: Context):
    """A reader that opened the former file just before it was replaced reads on."""
    store = changing.store(changing.ledger())
    february = store.state
    old_reader = store.online_reader()
    march, april = store.materialise(MARCH, "march"), store.materialise(APRIL, "april")
    assert february is not None
    assert online_files(changing) == {march.file, april.file}
    config = yaml.safe_load((changing.workspace.feast / "feature_store.yaml").read_text())
    assert Path(config["online_store"]["path"]).name == april.file
    assert old_reader.state == february


def test_nothing_is_online_before_the_first_materialisation(tmp_path: Path):
    context = small_shop(tmp_path, "integer", online=False)
    store = context.store(context.ledger())
    assert store.state is None
    with pytest.raises(WorkspaceError, match="no features are online yet; run `lifecycle score`"):
        store.online_reader()


# The workspace is a repository that the `feast` command reads.


@pytest.mark.parametrize("context", ["text"], indirect=True)
def test_the_feast_command_lists_the_views(context: Context, tmp_path: Path):
    command = Path(sys.executable).with_name("feast")
    run = subprocess.run(
        [command, "-c", context.workspace.feast, "feature-views", "list"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    listed = {line.split()[0] for line in run.stdout.splitlines()[1:] if line.strip()}
    assert listed == set(catalogue.VIEWS)


def test_feast_finds_the_services_in_the_workspaces_files(
    context: Context, monkeypatch: pytest.MonkeyPatch
):
    """By the files alone: what is registered, and what `feast apply` would find."""
    import feast
    from feast.repo_operations import parse_repo

    monkeypatch.chdir(context.workspace.feast)  # as the command does
    monkeypatch.setattr(sys, "path", [str(context.workspace.feast), *sys.path])
    registered = feast.FeatureStore(repo_path=str(context.workspace.feast))
    found = parse_repo(context.workspace.feast)
    sys.modules.pop("definitions", None)
    for services in (registered.list_feature_services(), found.feature_services):
        assert {service.name for service in services} == set(catalogue.SERVICES.values())
    for views in (registered.list_feature_views(), found.feature_views):
        assert {view.name for view in views} == set(catalogue.VIEWS)
    (source,) = [s for s in found.data_sources if s.name == "order_snapshots"]
    assert Path(source.path) == context.workspace.features.resolve() / Path(source.path).name
    assert Path(source.path).is_dir()
