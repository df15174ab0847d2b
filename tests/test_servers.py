"""Redis and PostgreSQL by settings alone, on real servers."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from servers import database as database  # noqa: PLC0414 - a fixture
from servers import redis_url as redis_url  # noqa: PLC0414
from telling import offline, online, rows_of
from test_push import APRIL, MAY_2, closed, open_shop, opened, order, pushed

from features import catalogue
from features.errors import ServerError
from features.settings import Settings
from features.views import CARD
from features.workspace import Workspace
from pipelines.context import Context
from pipelines.features import compute_features


@pytest.fixture(scope="module")
def on_servers(redis_url: str, database: str) -> dict[str, Any]:
    return {
        "online": "redis",
        "redis_url": redis_url,
        "registry": database,
        "push_log": database,
    }


@pytest.fixture(scope="module")
def context(on_servers: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Context:
    return open_shop(tmp_path_factory.mktemp("servers"), on_servers)


def everyone(context: Context) -> list[int | str]:
    from features.snapshots import known_customers

    return known_customers(context.workspace, context.ledger(), APRIL).to_pylist()


def agrees(context: Context) -> None:
    """Every customer of the closed day is the same online and offline, pushed ones too."""
    store = opened(context)
    customers = everyone(context)
    assert online(store, customers) == offline(store, dict.fromkeys(customers, APRIL))


def test_the_whole_path_on_redis_and_postgres(context: Context):
    agrees(context)
    report = pushed(context, "orders", [order(999, 1), order(999, 2, 3.5)])
    assert [one.as_of for one in report.customers] == ["2023-05-02"]
    now = online(opened(context), [999])
    assert now == offline(opened(context), {999: MAY_2})
    assert pushed(context, "orders", [order(999, 1), order(999, 2, 3.5)]).repeated
    compute_features(context, [APRIL], online=True)
    assert online(opened(context), [999]) == now, "newer than the closed day"
    agrees(context)
    assert closed(context, MAY_2)[999] == now[999]
    assert not list(context.workspace.root.rglob("*.db*")), "no state in files"


def test_feasts_command_sees_the_servers_through_the_file_without_passwords(context: Context):
    command = Path(sys.executable).with_name("feast")
    run = subprocess.run(
        [command, "-c", context.workspace.feast, "feature-services", "list"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    listed = {line.split()[0] for line in run.stdout.splitlines()[1:] if line.strip()}
    assert listed == {*catalogue.SERVICES.values(), CARD}


def test_two_workspaces_on_one_server_do_not_see_each_other(
    context: Context, on_servers: dict[str, Any], tmp_path: Path
):
    other = open_shop(tmp_path, on_servers)
    pushed(other, "orders", [order(4242, 1)])
    assert online(opened(context), [4242])[4242]["purchases"] == "None"
    assert online(opened(other), [4242])[4242]["purchases"] == "1"
    names = {
        yaml.safe_load((one.workspace.feast / "feature_store.yaml").read_text())["project"]
        for one in (context, other)
    }
    assert len(names) == 2


def test_former_writings_leave_redis(context: Context, redis_url: str):
    import redis

    store = opened(context)
    for number in range(3):
        state = store.materialise(APRIL, f"again {number}")
    project = (context.workspace.feast / "project").read_text()
    with redis.Redis.from_url(redis_url) as client:
        keys = [key.decode("latin-1") for key in client.scan_iter(f"lifecycle:{project}:*")]
    generations = {key.split(":")[2] for key in keys}
    assert state.generation in generations
    assert len(generations) == 2, "the present and the former one"


def test_many_can_register_at_once(context: Context):
    def register(_: int) -> None:
        opened(context).apply()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(register, range(8)))
    feast = opened(context)._feast
    assert {view.name for view in feast.list_feature_views()} == set(catalogue.VIEWS)
    assert len(feast.list_feature_services()) == len(catalogue.SERVICES) + 1


@pytest.mark.parametrize(
    "kind", [pytest.param("stock-redis", marks=pytest.mark.full), "stock-sqlite"]
)
def test_feasts_own_stores_go_on_working(request: pytest.FixtureRequest, kind: str, tmp_path: Path):
    url = request.getfixturevalue("redis_url") if kind == "stock-redis" else None
    stores = {"online": kind, "redis_url": url, "offline": "duckdb"}
    context = open_shop(tmp_path, stores)
    agrees(context)
    pushed(context, "orders", [order(999, 1), {**order(5, 1), "ordered_at": "2023-04-03"}])
    now = online(opened(context), [999, 5])
    assert now == offline(opened(context), {999: date(2023, 5, 1), 5: APRIL})
    compute_features(context, [APRIL], online=True)
    assert online(opened(context), [999, 5]) == now


BROKEN = [
    (
        {"online": "redis", "redis_url": "redis://:secret@127.0.0.1:1/0"},
        r"stores.redis_url = redis://:\*\*\*@127.0.0.1:1/0 cannot be used .* correct stores.redis_",
    ),
    (
        {"registry": "postgresql://me:secret@127.0.0.1:1/nowhere"},
        r"stores.registry = postgresql\+psycopg://me:\*\*\*@127.0.0.1:1/nowhere cannot be used",
    ),
    (
        {"push_log": "postgresql://me:secret@127.0.0.1:1/nowhere"},
        r"stores.push_log = postgresql\+psycopg://me:\*\*\*@127.0.0.1:1/nowhere cannot be used",
    ),
]


@pytest.mark.parametrize(("stores", "message"), BROKEN)
def test_a_server_that_does_not_answer_is_named_without_its_password(
    context: Context, stores: dict[str, Any], message: str
):
    settings = Settings.load(overrides={"stores": stores})
    broken = Context(context.workspace, settings)
    with pytest.raises(ServerError, match=message) as refused:
        if "push_log" in stores:
            broken.renew_pushed(context.ledger())
            broken.store(context.ledger()).pushed.log.last()
        else:
            broken.store(context.ledger())
    assert "secret" not in str(refused.value)


def test_a_password_is_in_no_file_and_in_no_list_of_settings(tmp_path: Path):
    from features.repository import Repository

    stores = {
        "online": "stock-redis",
        "redis_url": "redis://:s3cret@cache:6380/2",
        "registry": "postgresql://me:s3cret@db/features",
    }
    settings = Settings.load(overrides={"stores": stores})
    workspace = Workspace(tmp_path / "w")
    workspace.create()
    folder = (tmp_path / "w" / "features" / "snapshots").resolve()
    Repository(workspace, folder, "integer", settings.stores).write(None)
    written = (workspace.feast / "feature_store.yaml").read_text()
    assert "s3cret" not in written + repr(settings.model_dump(mode="json"))
    config = yaml.safe_load(os.path.expandvars(written))
    assert config["online_store"]["connection_string"].startswith("cache:6380,db=2,password=$")
    assert config["registry"]["path"].startswith("postgresql+psycopg://me:$")


@pytest.mark.full
def test_feasts_spark_store_gives_the_same_rows(tmp_path: Path):
    pytest.importorskip("pyspark")
    context = open_shop(tmp_path)
    customers = everyone(context)
    expected = offline(opened(context), dict.fromkeys(customers, APRIL))
    stores = {"offline": "spark", "spark_conf": {"spark.master": "local[1]"}}
    spark = Context(context.workspace, Settings.load(overrides={"stores": stores}))
    store = opened(spark)
    store.apply()
    import pyarrow as pa

    given = rows_of(store.historical(pa.array(customers, pa.int64()), APRIL))
    differs = {
        (name, given[customer][name], row[name])
        for customer, row in expected.items()
        for name in row
        if given[customer][name] != row[name]
    }
    assert not differs
