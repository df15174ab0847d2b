"""One trained shop for all tests that only look at it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import shop
from click.testing import CliRunner, Result
from hypothesis import settings

from pipelines.cli import main
from pipelines.console import settle_process

settle_process()
# On a busy machine any example may take long.
settings.register_profile("unhurried", settings(), deadline=None)
settings.load_profile("unhurried")

LONGEST = ("test_real_orders.py", "test_spark.py", "test_endpoint.py", "test_backtest.py")
"""Files begun first: of two processes none waits minutes for the other's last file."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)


def look_at(uri: str) -> None:
    """Let what MLflow does in this process be about a store."""
    import mlflow

    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)


@pytest.fixture(autouse=True)
def mlflow_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> None:
    """MLflow's place of this process is nobody's: a test that leans on another's would fail."""
    if "mlflow" in sys.modules:
        look_at(f"sqlite:///{tmp_path_factory.getbasetemp() / 'nowhere' / 'mlflow.db'}")


SHARED = Path(__file__).parent.parent.parent / "shared" / "data"

Lifecycle = Callable[..., Any]


def run(workspace: Path, *words: object) -> Result:
    """Run the command line in this process, as a user types it."""
    return CliRunner().invoke(main, ["--workspace", str(workspace), *map(str, words)])


def succeed(workspace: Path, *words: object) -> dict[str, Any]:
    """Run a verb that must succeed and give its JSON."""
    result = run(workspace, *words, "--json", "-")
    assert result.exit_code == 0, result.output + repr(result.exception)
    return json.loads(result.stdout)


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop.write(tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="session")
def ingested(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = tmp_path_factory.mktemp("ingested") / "workspace"
    succeed(workspace, "ingest", "--orders", export, *shop.map_options())
    return workspace


@pytest.fixture(scope="session")
def trained(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A workspace that has been through every verb, and what each said.

    Tests that serve from it or push to it work on a copy: what they leave would be others' start.
    """
    workspace = tmp_path_factory.mktemp("trained") / "workspace"
    out = workspace.parent / "scores.parquet"
    said = {
        "ingest": succeed(workspace, "ingest", "--orders", export, *shop.map_options()),
        "train": succeed(
            workspace, "train", "--as-of", shop.LAST_DAY, "--horizon-days", 60, "--trials", 3
        ),
        "promote": succeed(workspace, "promote"),
        "score": succeed(workspace, "score", "--as-of", shop.LAST_DAY, "--out", out),
    }
    pushes = workspace / "data" / "pushes.db"
    decisions = sorted((workspace / "decisions").glob("*"))
    yield {"workspace": workspace, "out": out, **said}
    assert not pushes.exists()
    assert sorted((workspace / "decisions").glob("*")) == decisions


@pytest.fixture(scope="session")
def online_retail() -> Path:
    path = SHARED / "online_retail_ii_2009_2011.parquet"
    if not path.exists():
        pytest.skip("Online Retail II is not in this checkout's ../shared/data")
    return path
