"""Real servers to test on.

They are looked for on this machine, or where TESTS_REDIS and TESTS_POSTGRES say.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator

import pytest

REDIS = os.environ.get("TESTS_REDIS", "redis://127.0.0.1:6379/9")
POSTGRES = os.environ.get("TESTS_POSTGRES", "postgresql://postgres@127.0.0.1:5432")


def unavailable(server: str, error: Exception) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must have {server}: {error}")
    pytest.skip(f"no {server} answers here: {error}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    redis = pytest.importorskip("redis")
    client = redis.Redis.from_url(REDIS, socket_connect_timeout=2)
    try:
        client.ping()
    except redis.RedisError as error:
        unavailable("Redis", error)
    yield REDIS
    # What the workspaces of this process wrote alone: another may be testing on the same server.
    projects = [path.read_bytes() for path in tmp_path_factory.getbasetemp().rglob("feast/project")]
    for key in client.scan_iter(count=10_000):
        if any(project in key for project in projects):
            client.delete(key)
    client.close()


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    psycopg = pytest.importorskip("psycopg")
    name = f"lifecycle_test_{uuid.uuid4().hex[:8]}"
    try:
        server = psycopg.connect(f"{POSTGRES}/postgres", autocommit=True, connect_timeout=2)
    except psycopg.OperationalError as error:
        unavailable("PostgreSQL", error)
    server.execute(f"CREATE DATABASE {name}")
    yield f"{POSTGRES}/{name}"
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    server.close()
