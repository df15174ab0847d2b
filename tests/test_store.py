"""Features through Feast: what is asked for comes back, offline and online, bit for bit."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
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
from telling import offline, online, rows_of

from features import catalogue
from features.days import closing
from features.errors import WorkspaceError
from features.matrix import Vocabulary, matrix_of
from features.settings import Settings
from features.snapshots import known_customers, snapshot_path
from features.store import FeatureStore, OnlineReader, read_state
from features.views import CARD, EVENTS, STANDING
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
    assert rows_of(back) == rows_of(stored)
    types = {"count": pa.int64(), "measure": pa.float64(), "category": pa.string()}
    for feature in catalogue.FEATURES:
        assert back.schema.field(feature.name).type == types[feature.kind], feature.name


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
    table = store.historical(keys(context, customers), APRIL)
    assert online(store, customers) == rows_of(table)
    vocabulary = Vocabulary.fit(table)
    assert vocabulary.labels, "categories are there"
    matrix, found = store.online_reader().read(customers, vocabulary)
    assert all(found)
    assert matrix.dtype == np.float64
    assert matrix.tobytes() == matrix_of(table, vocabulary).tobytes()
    assert np.isnan(matrix).any(), "what does not exist is NaN, here as there"


def test_one_customer_read_alone_is_read_as_among_others(context: Context, store: FeatureStore):
    customers = customers_on(context, APRIL)
    reader = store.online_reader()
    together, _ = reader.read(customers[:5], Vocabulary())
    for place, customer in enumerate(customers[:5]):
        alone, found = reader.read([customer], Vocabulary())
        assert found == [True]
        assert alone.tobytes() == together[place].tobytes()


def test_an_unknown_customer_is_reported_and_has_no_values(context: Context, store: FeatureStore):
    known = customers_on(context, APRIL)[0]
    asked = [nobody(context), known, nobody(context)]
    matrix, found = store.online_reader().read(asked, Vocabulary())
    assert found == [False, True, False]
    assert np.isnan(matrix[[0, 2]]).all()
    assert np.isfinite(matrix[1, catalogue.NAMES.index("purchases")])


def test_the_card_says_the_rows_own_day_and_whether_a_purchase_is_overdue(
    context: Context, store: FeatureStore
):
    customers = [*customers_on(context, APRIL)[:20], nobody(context)]
    feast = store._feast
    answer = feast.get_online_features(
        features=feast.get_feature_service(CARD),
        entity_rows=[{"customer_id": customer} for customer in customers],
    ).to_dict()
    assert answer["as_of"] == [APRIL.isoformat()] * 20 + [None]
    for late, overdue in zip(answer["lateness"], answer["overdue"], strict=True):
        assert overdue == (None if late is None else int(late > 1))
    assert set(answer["overdue"]) == {0, 1, None}


def test_nobody_asked_for_is_nobody_found(context: Context, store: FeatureStore):
    matrix, found = store.online_reader().read([], Vocabulary())
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
    return {path.name for path in context.workspace.feast.glob("online*.db")}


def dying(message: str) -> tuple[Any, list[int]]:
    """A writer of rows that writes some and then fails."""
    from features.stores.packed_sqlite import _SQLiteWriter

    write, written = _SQLiteWriter.write, []

    def die(writer: Any, keys: Any, rows: Any) -> None:
        write(writer, keys[:10], {name: blobs[:10] for name, blobs in rows.items()})
        written.append(len(keys))
        raise OSError(28, message)

    return die, written


def everything(reader: OnlineReader, customers: list[int | str]) -> bytes:
    matrix, found = reader.read(customers, Vocabulary())
    assert all(found)
    return matrix.tobytes()


def test_a_materialisation_that_dies_leaves_the_former_day_online_until_one_succeeds(
    changing: Context, monkeypatch: pytest.MonkeyPatch
):
    from features.stores.packed_sqlite import _SQLiteWriter

    ledger = changing.ledger()
    store = changing.store(ledger)
    february, march = customers_on(changing, FEBRUARY), customers_on(changing, MARCH)
    reader, before, files = store.online_reader(), store.state, online_files(changing)
    was = everything(reader, february)
    die, written = dying("No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr(_SQLiteWriter, "write", die)
        with pytest.raises(OSError, match="No space left"):
            store.materialise(MARCH, "march")
    assert written, "the test would prove nothing if nothing had been written"
    assert store.state == read_state(changing.workspace) == before
    for survivor in (reader, store.online_reader(), changing.store(ledger).online_reader()):
        assert everything(survivor, february) == was
    half = online_files(changing) - files
    assert half

    state = changing.store(ledger).materialise(MARCH, "march")

    assert read_state(changing.workspace) == state
    now = changing.store(ledger)
    assert online(now, march) == offline(now, dict.fromkeys(march, MARCH))
    assert online_files(changing) == {state.file, before.file if before else ""}
    assert not half & online_files(changing)


_KILLED = """
import os, signal, sys
from datetime import date
from pathlib import Path
from features.stores.packed_sqlite import _SQLiteWriter
from features.settings import Settings
from features.workspace import Workspace
from pipelines.context import Context

write = _SQLiteWriter.write

def killed(writer, keys, rows):
    write(writer, keys, rows)
    os.kill(os.getpid(), signal.SIGKILL)

_SQLiteWriter.write = killed
context = Context(Workspace(Path(sys.argv[1])), Settings())
context.store(context.ledger()).materialise(date(2023, 3, 31), "march")
"""


def test_a_materialisation_that_is_killed_leaves_the_former_day_whole(changing: Context):
    store = changing.store(changing.ledger())
    february, before = customers_on(changing, FEBRUARY), store.state
    was = everything(store.online_reader(), february)
    run = subprocess.run([sys.executable, "-c", _KILLED, str(changing.workspace.root)], check=False)
    assert run.returncode == -signal.SIGKILL
    assert read_state(changing.workspace) == before
    assert len(online_files(changing)) == 2, "it had begun"
    survivor = changing.store(changing.ledger())
    assert everything(survivor.online_reader(), february) == was
    state = survivor.materialise(MARCH, "march")
    assert online_files(changing) == {state.file, before.file if before else ""}


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


def test_a_correction_of_the_same_day_wins(changing: Context):
    store = changing.store(changing.ledger())
    customer = customers_on(changing, FEBRUARY)[0]
    before = online(store, [customer])
    path = snapshot_path(changing.workspace, changing.ledger(), FEBRUARY)
    table = pq.read_table(path)
    place = table.column_names.index("purchases")
    more = pa.array([value.as_py() + 1 for value in table["purchases"]], pa.int64())
    pq.write_table(table.set_column(place, "purchases", more), path)
    store.materialise(FEBRUARY, "corrected")
    assert (
        int(online(store, [customer])[customer]["purchases"])
        == int(before[customer]["purchases"]) + 1
    )


def test_nothing_is_online_before_the_first_materialisation(tmp_path: Path):
    context = small_shop(tmp_path, "integer", online=False)
    store = context.store(context.ledger())
    assert store.state is None
    with pytest.raises(WorkspaceError, match="no features are online yet; run `lifecycle score`"):
        store.online_reader()


# The workspace is a repository that the `feast` command reads.

COMMANDS = [
    pytest.param(
        ["feature-views", "list"], [*catalogue.VIEWS, STANDING], id="views", marks=pytest.mark.full
    ),
    pytest.param(["feature-services", "list"], [*catalogue.SERVICES.values(), CARD], id="services"),
    pytest.param(["apply"], [], id="apply", marks=pytest.mark.full),
]


@pytest.mark.parametrize("context", ["text"], indirect=True)
@pytest.mark.parametrize(("words", "expected"), COMMANDS)
def test_the_feast_command_works_in_the_workspace(
    context: Context, tmp_path: Path, words: list[str], expected: list[str]
):
    command = Path(sys.executable).with_name("feast")
    run = subprocess.run(
        [command, "-c", context.workspace.feast, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    if expected:
        listed = {line.split()[0] for line in run.stdout.splitlines()[1:] if line.strip()}
        assert listed == set(expected)


@pytest.mark.full
@pytest.mark.parametrize("context", ["integer"], indirect=True)
def test_feasts_own_materialize_and_get_historical_features_work_in_the_workspace(
    context: Context, tmp_path: Path
):
    command = Path(sys.executable).with_name("feast")
    run = subprocess.run(
        [command, "-c", context.workspace.feast, "materialize",
         "2023-04-30T23:00:00", "2023-05-01T00:00:00"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    store = context.store(context.ledger())
    customers = customers_on(context, APRIL)
    assert online(store, customers) == offline(store, dict.fromkeys(customers, APRIL))


def test_feast_finds_everything_in_the_workspaces_files(
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
        assert {service.name for service in services} == {*catalogue.SERVICES.values(), CARD}
    for views in (registered.list_feature_views(), found.feature_views):
        assert {view.name for view in views} == set(catalogue.VIEWS)
        for view in views:
            assert view.owner == "lifecycle"
            assert view.tags["table"] == catalogue.VIEWS[view.name].table
            assert view.tags["catalogue_version"] == str(catalogue.VERSION)
            assert all(field.tags["unit"] for field in view.features)
            assert view.stream_source.name == EVENTS
    (source,) = [s for s in found.data_sources if s.name == EVENTS]
    place = Path(source.batch_source.path)
    assert place == context.workspace.features.resolve() / place.name
    assert place.is_dir()
