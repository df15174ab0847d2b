"""What has been replaced while a server runs is let go: a model, a day that was online."""

from __future__ import annotations

import gc
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import shop
from test_decisions import post

from features.settings import Settings
from features.workspace import Workspace
from pipelines.context import Context
from serving.endpoint.opening import Endpoint
from training.registry import CHAMPION, MODEL

ROUNDS = 3


@pytest.fixture
def endpoint(trained: dict[str, Any], tmp_path: Path) -> Iterator[tuple[Endpoint, Context]]:
    """An endpoint that has answered and taken events, its first objects frozen as a server's."""
    context = Context(Workspace(tmp_path / "w"), Settings())
    shutil.copytree(trained["workspace"], context.workspace.root)
    running = Endpoint.of(context.workspace, context.settings)
    running.live.refresh()
    used(running)
    gc.collect()
    gc.freeze()
    yield running, context
    gc.unfreeze()
    running.stop()


def used(endpoint: Endpoint) -> None:
    for reasons in ("fast", "exact"):
        asked = {"customer_ids": [1, 2, 3, 4, 5, 6], "reasons": reasons}
        assert post(endpoint, "/customers/score", asked).status_code == 200
    assert post(endpoint, "/customers/3", None).status_code == 200
    row = {"customer_id": 5, "ordered_at": f"{shop.LAST_DAY}T10:00:00Z", "amount": 9.5}
    pushed = post(endpoint, "/events", {"table": "orders", "rows": [row]})
    assert pushed.status_code == 200, pushed.text


def still_there(former: list[weakref.ref[Any]]) -> list[str]:
    gc.collect()
    return [type(one()).__name__ for one in former if one() is not None]


def test_a_former_model_is_let_go(endpoint: tuple[Endpoint, Context]):
    running, context = endpoint
    registry = context.registry()
    champion = registry.require_champion()
    client = registry._client
    source = client.get_model_version(MODEL, str(champion.version)).source
    client.create_model_version(MODEL, source, champion.run_id, tags=champion.tags)
    for version in [2, 1] * ROUNDS:
        scorer = running.live.answering.scorer
        former = [*map(weakref.ref, (scorer, scorer.bundle, scorer.bundle.trees.churn))]
        del scorer
        client.set_registered_model_alias(MODEL, CHAMPION, str(version))
        running.live.refresh()
        assert running.live.answering.scorer.model_version == version
        assert not still_there(former), "of the model before"
        used(running)


def test_models_that_were_fetched_leave_no_files(
    endpoint: tuple[Endpoint, Context], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    _, context = endpoint
    here = tmp_path / "tmp"
    here.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(here))
    registry = context.registry()
    assert registry.load(registry.require_champion()).trees.churn is not None
    assert not list(here.iterdir())


def test_a_former_day_is_let_go(endpoint: tuple[Endpoint, Context]):
    running, context = endpoint
    for number in range(ROUNDS):
        reader = running.live.answering.reader
        former = [*map(weakref.ref, (reader, reader._store, reader._store.provider.online_store))]
        del reader
        store = context.store(context.ledger())
        store.materialise(date.fromisoformat(shop.LAST_DAY), f"again {number}")
        del store
        running.live.refresh()
        used(running)
        assert not still_there(former), "of the day before"
        assert not mapped_and_deleted(context.workspace.feast), "files of the day before"


def mapped_and_deleted(folder: Path) -> list[str]:
    """Files that this process holds open though they are no more."""
    held = [str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
    held += Path("/proc/self/maps").read_text().splitlines()
    return [one for one in held if str(folder) in one and one.endswith("(deleted)")]
