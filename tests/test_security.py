"""Secrets stay where they were put, and what the registry holds runs no code."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
import shop
from conftest import run, succeed
from servers import database as database  # noqa: PLC0414 - a fixture
from servers import redis_url as redis_url  # noqa: PLC0414

from features.settings import Settings
from features.workspace import Workspace
from serving.endpoint.opening import Endpoint

MARK = "canary"
"""In every secret, followed by where it was put."""
HOOK = f"http://127.0.0.1:9/hook/{MARK}-webhook"
KEY = f"{MARK}-api-key"


def marked(url: str, name: str) -> str:
    """Put a password into an address of a server that asks for none."""
    scheme, _, rest = url.partition("://")
    host = rest.rpartition("@")[2]
    user = "default" if scheme == "redis" else "postgres"
    return f"{scheme}://{user}:{MARK}-{name}@{host}"


def tells(text: str | bytes) -> bool:
    return MARK.encode() in (text.encode() if isinstance(text, str) else text)


def telling_files(folder: Path) -> list[str]:
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and tells(path.read_bytes())
    ]


def telling_rows(url: str) -> list[str]:
    """Look through every row of a database."""
    import psycopg

    found = []
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
            "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for (table,) in tables:
            asked = f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE '%{MARK}%'"
            if connection.execute(asked).fetchone()[0]:
                found.append(table)
    return found


def environment(redis_url: str, database: str, tracking: str) -> dict[str, str]:
    keys = {"crm": {"sha256": hashlib.sha256(KEY.encode()).hexdigest(), "scopes": ["score"]}}
    return {
        "LIFECYCLE_STORES__ONLINE": "redis",
        "LIFECYCLE_STORES__REDIS_URL": marked(redis_url, "redis"),
        "LIFECYCLE_STORES__REGISTRY": marked(database, "registry"),
        "LIFECYCLE_STORES__PUSH_LOG": marked(database, "log"),
        "LIFECYCLE_STORES__TRACKING_URI": marked(tracking, "tracking"),
        "LIFECYCLE_TRAINING__STORAGE": marked(database, "storage"),
        "LIFECYCLE_MONITORING__WEBHOOK": HOOK,
        "LIFECYCLE_SERVING__API_KEYS": str(keys),
    }


@pytest.mark.full
def test_marked_secrets_are_found_nowhere_after_all_verbs(
    redis_url: str,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    import psycopg

    caplog.set_level(logging.DEBUG)
    tracking = f"{database}_mlflow"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {tracking.rpartition('/')[2]}")
    try:
        for name, value in environment(redis_url, database, tracking).items():
            monkeypatch.setenv(name, value)
        # Where runs' files go by default when MLflow's database is asked without a server.
        monkeypatch.chdir(tmp_path)
        root = tmp_path / "w"
        orders = tmp_path / "orders.parquet"
        shop.orders(900).write_parquet(orders)
        said = [
            run(root, *words)
            for words in (
                ("ingest", "--orders", orders, *shop.map_options()),
                ("settings",),
                ("train", "--as-of", shop.LAST_DAY, "--horizon-days", 60, "--trials", 1),
                ("promote",),
                ("score", "--as-of", shop.LAST_DAY, "--out", marked(database, "out")),
                ("watch",),
                ("backup", tmp_path / "b.tar.gz"),
                ("champions",),
            )
        ]
        assert [one.exit_code for one in said if one.exit_code not in {0, 3}] == [], said
        assert not [one for one in said if tells(one.output)]
        endpoint = Endpoint.of(Workspace(root), Settings.load(None, os.environ))
        endpoint.start()
        try:
            answers = [ask(endpoint, "/customers/score", KEY), ask(endpoint, "/state", KEY)]
            answers += [ask(endpoint, "/customers/score", f"{MARK}-wrong-key")]
        finally:
            endpoint.stop()
        assert [answer.status_code for answer in answers] == [200, 403, 401]
        assert not [answer.text for answer in answers if tells(answer.text)]
        assert not [record for record in caplog.messages if tells(record)]
        (tmp_path / "control").write_text(HOOK)
        assert telling_files(tmp_path) == ["control"]
        assert telling_rows(database) == []
        assert telling_rows(tracking) == []
    finally:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {tracking.rpartition('/')[2]} WITH (FORCE)")


def ask(endpoint: Endpoint, route: str, key: str) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(endpoint.application)
        headers = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            body = {"customer_ids": [1]}
            if route == "/state":
                return await client.get(route, headers=headers)
            return await client.post(route, json=body, headers=headers)

    return asyncio.run(send())


NOBODY = "127.0.0.1:9"


@pytest.mark.parametrize(
    ("name", "address", "words"),
    [
        ("STORES__REDIS_URL", f"redis://me:{MARK}@{NOBODY}/0", ("score",)),
        ("STORES__REGISTRY", f"postgresql://me:{MARK}@{NOBODY}/x", ("score",)),
        ("STORES__PUSH_LOG", f"postgresql://me:{MARK}@{NOBODY}/x", ("score",)),
        pytest.param(
            "STORES__TRACKING_URI",
            f"postgresql://me:{MARK}@{NOBODY}/x",
            ("champions",),
            # MLflow tries again for a minute and a half.
            marks=pytest.mark.full,
        ),
        ("CHURN__HORIZON_DAYS", "60", ("score", "--out", f"postgresql://me:{MARK}@{NOBODY}/x")),
    ],
    ids=lambda value: value if isinstance(value, str) and "__" in value else "",
)
def test_a_server_that_is_away_is_told_without_its_password(
    trained: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    address: str,
    words: tuple[str, ...],
):
    root = shutil.copytree(trained["workspace"], tmp_path / "w")
    monkeypatch.setenv("MLFLOW_SQLALCHEMYSTORE_POOL_SIZE", "1")
    monkeypatch.setenv(f"LIFECYCLE_{name}", address)
    if "REDIS" in name:
        monkeypatch.setenv("LIFECYCLE_STORES__ONLINE", "redis")
    shown = run(root, "settings")
    assert not tells(shown.output)
    said = run(root, *words)
    assert said.exit_code == 1
    assert not tells(said.output), said.output
    assert said.stderr.startswith("error: ") or "\nerror: " in said.stderr
    assert telling_files(root) == []


def test_code_beside_a_model_is_not_run(trained: dict[str, Any], tmp_path: Path):
    root = shutil.copytree(trained["workspace"], tmp_path / "w")
    evil = f"from pathlib import Path\nPath({str(tmp_path / 'harmed')!r}).write_text('x')\n"
    files = list((root / "mlflow").rglob("*.py"))
    assert files, "MLflow keeps the code that Spark would run"
    for file in files:
        file.write_text(evil + file.read_text())
    for shipped in (root / "mlflow").rglob("MLmodel"):
        shipped.write_text(shipped.read_text().replace("loader_module: ", "loader_module: os.x"))
    succeed(root, "score", "--as-of", shop.LAST_DAY)
    endpoint = Endpoint.of(Workspace(root), Settings())
    endpoint.live.refresh()
    assert endpoint.live.is_ready
    endpoint.stop()
    assert not (tmp_path / "harmed").exists()
