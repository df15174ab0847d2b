"""Going back to a former champion, and who answered when."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import look_at, run, succeed

from features.settings import Settings
from features.workspace import Workspace
from serving.endpoint.opening import Endpoint
from training.bundle import ScorerBundle
from training.registry import MODEL, Registry, ScorerVersion, open_registry

TODAY = datetime.now(UTC).date()


@pytest.fixture
def workspace(trained: dict[str, Any], tmp_path: Path) -> Path:
    """A workspace whose champion was promoted, and two twins of it that were not."""
    root = tmp_path / "w"
    shutil.copytree(trained["workspace"], root)
    registry = registry_of(root)
    champion = registry.require_champion()
    client = registry._client
    look_at(registry.uri)
    for _ in range(2):
        source = client.get_model_version(MODEL, str(champion.version)).source
        tags = {k: v for k, v in champion.tags.items() if k not in {"decision", "why"}}
        client.create_model_version(MODEL, source, champion.run_id, tags=tags)
    return root


def registry_of(root: Path) -> Registry:
    return open_registry(Workspace(root), Settings())


def test_a_bad_model_is_left_for_the_one_before_and_does_not_come_back_by_itself(workspace: Path):
    first = registry_of(workspace).require_champion().version
    second = succeed(workspace, "promote", "--force")["champion"]
    assert second == first + 2
    endpoint = Endpoint.of(Workspace(workspace), Settings())
    try:
        endpoint.live.refresh()
        report = succeed(workspace, "rollback", "--why", "prices were wrong", "--by", "anna")
        assert (report["champion"], report["former"]) == (first, second)
        endpoint.live.refresh()
        answering = endpoint.live.answering
        assert answering is not None
        assert answering.scorer.model_version == first
    finally:
        endpoint.stop()
    refused = run(workspace, "promote")
    assert refused.exit_code == 1
    assert f"version {second} was rolled back by anna: prices were wrong" in refused.stderr
    assert registry_of(workspace).require_champion().version == first
    again = run(workspace, "rollback", "--why", "once more")
    assert again.exit_code == 1
    assert "is known that was not rolled back" in again.stderr
    assert succeed(workspace, "promote", "--force")["champion"] == second

    told = succeed(workspace, "champions")
    assert [m["how"] for m in told["moves"]][-3:] == ["promoted", "rolled back", "forced"]
    assert told["moves"][-2]["by"] == "anna"
    assert told["champion"] == second
    assert not told["moved_elsewhere"]
    on = succeed(workspace, "champions", "--on", TODAY)
    assert set(on["answered"]) == {first, second}


def test_what_cannot_be_gone_back_to_is_said(workspace: Path):
    champion = registry_of(workspace).require_champion().version
    for words, problem in [
        (("--why", " "), "--why is empty"),
        (("--why", "x", "--to", champion), "answers already"),
        (("--why", "x", "--to", champion + 1), "never was champion"),
        (("--why", "x"), "no champion before"),
    ]:
        result = run(workspace, "rollback", *words)
        assert result.exit_code != 0
        assert problem in result.stderr
    for day, problem in [
        (TODAY + timedelta(days=3), "yet to come"),
        ("2001-01-01", "no model had been promoted by 2001-01-01"),
    ]:
        result = run(workspace, "champions", "--on", day)
        assert result.exit_code != 0
        assert problem in result.stderr


def test_a_version_that_cannot_be_loaded_does_not_get_the_alias(workspace: Path):
    first = registry_of(workspace).require_champion().version
    second = succeed(workspace, "promote", "--force")["champion"]
    client = registry_of(workspace)._client
    client.set_model_version_tag(MODEL, str(first), "manifest_sha256", "0" * 64)
    result = run(workspace, "rollback", "--why", "x")
    assert result.exit_code == 1
    assert registry_of(workspace).require_champion().version == second


def test_an_alias_that_was_moved_by_other_means_is_told(workspace: Path):
    champion = registry_of(workspace).require_champion().version
    registry_of(workspace)._client.set_registered_model_alias(MODEL, "champion", str(champion + 1))
    assert succeed(workspace, "champions")["moved_elsewhere"]


def test_a_registry_is_asked_again_once_somebody_has_written_to_it(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
):
    """Asking takes a worker ten milliseconds, each of which a request may wait for."""
    registry = registry_of(workspace)
    first = registry.require_champion().version
    database = Path(registry.uri.removeprefix("sqlite:///"))
    asked = []
    champion = Registry.champion
    monkeypatch.setattr(Registry, "champion", lambda self: asked.append(1) or champion(self))
    endpoint = Endpoint.of(Workspace(workspace), Settings())
    try:
        # As long as a write is fresh another one may follow that leaves no trace.
        assert registry.state() is None
        for times in (1, 2):
            endpoint.live.refresh()
            assert len(asked) == times
        aged = database.stat().st_mtime_ns - 10**10
        os.utime(database, ns=(aged, aged))
        for _ in range(2):
            endpoint.live.refresh()
            assert len(asked) == 3 and not endpoint.live.problem
        registry._client.set_registered_model_alias(MODEL, "champion", str(first + 1))
        registry._client.set_registered_model_alias(MODEL, "shadow", str(first + 2))
        endpoint.live.refresh()
        answering = endpoint.live.answering
        assert answering is not None and answering.shadow is not None
        assert answering.scorer.model_version == first + 1
        assert answering.shadow.model_version == first + 2
        # A file that is not there names nothing.
        database.rename(database.with_suffix(".away"))
        assert registry.state() is None
    finally:
        endpoint.stop()


def test_a_shadow_that_cannot_be_loaded_is_tried_again(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
):
    registry = registry_of(workspace)
    database = Path(registry.uri.removeprefix("sqlite:///"))
    tried = registry.require_champion().version + 1
    registry._client.set_registered_model_alias(MODEL, "shadow", str(tried))
    aged = database.stat().st_mtime_ns - 10**10
    os.utime(database, ns=(aged, aged))
    load, away = Registry.load, [True]

    def loaded(self: Registry, version: ScorerVersion) -> ScorerBundle:
        if version.version == tried and away.pop():
            raise OSError("the folder is out of reach")
        return load(self, version)

    monkeypatch.setattr(Registry, "load", loaded)
    endpoint = Endpoint.of(Workspace(workspace), Settings())
    try:
        endpoint.live.refresh()
        answering = endpoint.live.answering
        assert answering is not None and answering.shadow is None
        away.append(False)
        endpoint.live.refresh()
        answering = endpoint.live.answering
        assert answering is not None and answering.shadow is not None
        assert answering.shadow.model_version == tried
    finally:
        endpoint.stop()
