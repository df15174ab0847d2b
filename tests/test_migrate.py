"""A workspace of an earlier version: told what is old, brought up, and never made worse."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import shop
from conftest import run, succeed

from features import catalogue, scores
from features.settings import Settings
from features.workspace import Workspace
from training.bundle import FORMAT
from training.registry import MANIFEST_TAG, MODEL, open_registry

NEW_COLUMN = "service_saved_12m"


def states(said: dict[str, Any]) -> list[str]:
    return [part["state"] for part in said["parts"]]


@pytest.fixture
def aged(trained: dict[str, Any], tmp_path: Path) -> Path:
    """A workspace as the version before left it: other lists, a scores' column less, its bundle."""
    root = shutil.copytree(trained["workspace"], tmp_path / "w")
    for folder in [*(root / "features").iterdir(), *(root / "scores").iterdir()]:
        version = scores.VERSION if folder.parent.name == "scores" else catalogue.VERSION
        folder.rename(folder.with_name(folder.name.replace(f"v{version}_", f"v{version - 1}_")))
    for file in (root / "scores").glob("*/*.parquet"):
        pl.read_parquet(file).drop(NEW_COLUMN).write_parquet(file)
    for snapshot in (root / "features").glob("snapshots*/*"):
        snapshot.write_bytes(b"of another list")
    for name in ("online.json", "online_scores.json"):
        (root / "feast" / name).unlink()
    # MLflow's addresses still name the workspace that was copied.
    registry = open_registry(Workspace(root), Settings())
    (manifest,) = (root / "mlflow").rglob("artifacts/bundle/manifest.json")
    content = json.loads(manifest.read_text()) | {"format": FORMAT - 1}
    manifest.write_text(json.dumps(content))
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    registry._client.set_model_version_tag(MODEL, "1", MANIFEST_TAG, digest)
    return root


def test_an_old_workspace_is_brought_up_and_what_is_left_is_told(
    aged: Path, trained: dict[str, Any]
):
    refused = run(aged, "score", "--as-of", shop.LAST_DAY)
    assert refused.exit_code == 1
    assert "stored in another layout" in refused.stderr
    looked = succeed(aged, "migrate", "--check")
    assert states(looked) == ["old", "old", "yours"]
    assert succeed(aged, "migrate", "--check") == looked, "looking changes nothing"

    done = succeed(aged, "migrate")

    assert states(done) == ["migrated", "migrated", "yours"]
    assert not done["current"]
    assert "lifecycle train --as-of 2024-06-30" in done["parts"][2]["said"]
    assert json.loads((aged / "feast" / "online.json").read_text())["as_of"] == shop.LAST_DAY
    (carried,) = (aged / "scores").glob("*/*.parquet")
    now, then = pl.read_parquet(carried), pl.read_parquet(trained["out"])
    assert carried.parent.name == f"v{scores.VERSION}_integer_ids"
    assert now[NEW_COLUMN].null_count() == now.height
    assert now.drop(NEW_COLUMN).equals(then.drop(NEW_COLUMN)), "what was said is said"
    assert not [f for f in (aged / "features").iterdir() if f"v{catalogue.VERSION}" not in f.name]
    assert states(succeed(aged, "migrate")) == ["current", "current", "yours"]


@pytest.mark.full
def test_after_a_training_an_old_workspace_is_as_a_new_one(aged: Path):
    succeed(aged, "migrate")
    succeed(aged, "train", "--as-of", shop.LAST_DAY, "--horizon-days", 60, "--trials", 0)
    succeed(aged, "promote")
    assert succeed(aged, "migrate")["current"]
    assert succeed(aged, "score", "--as-of", shop.LAST_DAY)["computed"]


def test_a_workspace_of_a_later_version_is_refused_and_of_this_one_left_alone(
    trained: dict[str, Any], tmp_path: Path
):
    said = succeed(trained["workspace"], "migrate")
    assert said["current"]
    assert states(said) == ["current"] * 3
    root = shutil.copytree(trained["workspace"], tmp_path / "w")
    (root / "features" / f"snapshots_v{catalogue.VERSION + 1}_integer_ids").mkdir()
    refused = run(root, "migrate")
    assert refused.exit_code == 1
    assert f"version {catalogue.VERSION + 1}" in refused.stderr


def test_a_database_that_mlflow_wants_upgraded_is_told_as_that(
    trained: dict[str, Any], tmp_path: Path
):
    root = shutil.copytree(trained["workspace"], tmp_path / "w")
    with closing(sqlite3.connect(root / "mlflow" / "mlflow.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = 'b7e2c1a4d9f3'")
        database.commit()
    for verb in ("champions", "migrate"):
        refused = run(root, verb)
        assert refused.exit_code == 1
        assert "run 'mlflow db upgrade <database_uri>'" in refused.stderr
        assert "restore" not in refused.stderr
