"""What becomes of the endpoint when something breaks; `benchmarks/faults` does it under load."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import shop
from test_decisions import decided, post

from benchmarks.faults.load import Seen
from benchmarks.faults.shop import Shop
from benchmarks.faults.trial import tried
from benchmarks.faults.truth import Truth, asked_of
from benchmarks.faults.worker_killed import kill_one
from features.settings import Settings
from features.workspace import Workspace
from pipelines.context import Context
from serving.decisions.journal import SUFFIX, is_abandoned
from serving.decisions.recorder import Recorder
from serving.endpoint.metrics import reserve
from serving.endpoint.opening import Endpoint
from training.registry import Registry

NOBODY = "http://127.0.0.1:1"
UNKNOWN = 7_000_001


@dataclass(frozen=True)
class Running:
    """An endpoint in this process, on a copy of the shop."""

    endpoint: Endpoint
    context: Context

    def ask(self, *customers: int) -> tuple[int, str]:
        """Status and code of an answer."""
        answer = post(self.endpoint, "/customers/score", {"customer_ids": list(customers)})
        return answer.status_code, answer.json().get("error", {}).get("code", "")

    def push(self, day: str) -> tuple[int, str]:
        """Push an order; status, and the code or the day that the row is of now."""
        row = {"customer_id": 5, "ordered_at": f"{day}T10:00:00Z", "amount": 9.5}
        answer = post(self.endpoint, "/events", {"table": "orders", "rows": [row]})
        said = answer.json()
        if answer.status_code != 200:
            return answer.status_code, said["error"]["code"]
        return 200, said["customers"][0]["as_of"]

    def materialise(self) -> None:
        """Write the day anew, beside what is online."""
        context = self.context
        context.store(context.ledger()).materialise(date.fromisoformat(shop.LAST_DAY), "again")


@pytest.fixture
def running(
    trained: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Running]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    workspace = Workspace(tmp_path / "w")
    shutil.copytree(trained["workspace"], workspace.root)
    assert not (workspace.data / "pushes.db").exists()
    endpoint = Endpoint.of(workspace, Settings())
    endpoint.live.refresh()
    yield Running(endpoint, Context(workspace, Settings()))
    endpoint.stop()


def test_days_and_pushes_come_online_while_the_registry_is_away(running: Running):
    live = running.endpoint.live
    live._registry = Registry(NOBODY)
    for _ in range(2):
        running.materialise()
    # The rows that this endpoint read are deleted by now.
    assert running.ask(UNKNOWN) == (503, "store_unreachable"), "nobody is unknown because of it"
    assert running.push("2024-07-02") == (200, "2024-07-02")
    live.refresh()
    assert f"stores.tracking_uri = {NOBODY} cannot be used" in live.problem
    (answer,) = post(running.endpoint, "/customers/score", {"customer_ids": [5]}).json()["results"]
    assert answer["as_of"] == "2024-07-02"
    assert running.ask(UNKNOWN) == (404, "unknown_customer")
    assert live.is_ready


def test_an_endpoint_that_starts_without_its_registry_is_ready_when_it_is_back(running: Running):
    away = Settings.load(overrides={"stores": {"tracking_uri": NOBODY}})
    fresh = Endpoint.of(running.context.workspace, away)
    fresh.live.refresh()
    assert not fresh.live.is_ready
    refused = post(fresh, "/customers/score", {"customer_ids": [1]})
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "not_ready"
    assert "stores.tracking_uri" in refused.json()["error"]["message"]
    fresh.live._registry = running.endpoint.live._registry
    fresh.live.refresh()
    assert Running(fresh, running.context).ask(1) == (200, "")
    fresh.stop()


def test_a_store_that_has_lost_its_rows_calls_nobody_unknown(running: Running):
    assert running.ask(1) == (200, "")
    (file,) = running.context.workspace.feast.glob("online-*.db")
    with sqlite3.connect(file) as store:
        (rows,) = store.execute("SELECT name FROM sqlite_master WHERE name LIKE 'rows%'").fetchone()
        store.execute(f"DELETE FROM {rows}")
    store.close()
    assert running.ask(1) == (503, "store_unreachable")
    assert not running.endpoint.live.is_ready
    assert "run `lifecycle features`" in running.endpoint.live.problem
    running.materialise()
    running.endpoint.live.refresh()
    assert running.endpoint.live.is_ready
    assert running.ask(1) == (200, "")


def test_events_that_cannot_be_kept_are_refused_until_they_can(running: Running):
    log = running.context.workspace.data / "pushes.db"
    log.mkdir()
    assert running.push("2024-07-03") == (503, "store_unreachable")
    log.rmdir()
    assert running.push("2024-07-03") == (200, "2024-07-03")


def test_a_record_that_cannot_be_begun_is_begun_later(tmp_path: Path):
    folder = tmp_path / "decisions"
    folder.touch()
    recorder = Recorder(folder, keep_days=10)
    with pytest.raises(OSError, match="exists"):
        recorder.append(decided(1))
    folder.unlink()
    recorder.append(decided(2))
    assert recorder.archive.find("r-1") is None
    assert recorder.archive.find("r-2") is not None
    recorder.stop()


def test_a_journal_that_is_being_made_is_left_alone(tmp_path: Path):
    fresh = tmp_path / f"fresh{SUFFIX}"
    fresh.touch()
    assert not is_abandoned(fresh)
    fresh.write_bytes(b"a frame")
    assert is_abandoned(fresh)


def test_an_answer_that_is_not_that_of_its_model_and_day_is_told(running: Running):
    body = post(running.endpoint, "/customers/score", {"customer_ids": [20]}).json()
    truth = Truth(Shop(running.context.workspace.root, list(range(1, 41))))
    seen = Seen(0.0, 20, 200, "", None, body)
    truth.learn([asked_of(seen)])
    assert not truth.wrong(seen)
    (answer,) = body["results"]
    for wrong, problem in (
        ({"results": [answer | {"expected_spend": answer["expected_spend"] + 1e-9}]}, "not"),
        ({"results": [answer | {"as_of": "2024-06-29"}]}, "among features of 2024-06-30"),
        ({"versions": body["versions"] | {"model": 2}}, "nothing can be known"),
    ):
        assert problem in truth.wrong(replace(seen, body=body | wrong))
    assert "acknowledged" in truth.wrong(replace(seen, not_before=date(2024, 7, 1)))
    assert "unknown" in truth.wrong(replace(seen, status=404))


@pytest.mark.full
def test_a_worker_that_is_killed_comes_back_and_nothing_is_lost(
    trained: dict[str, Any], tmp_path: Path
):
    copy = Shop(trained["workspace"], list(range(1, 41))).copied(tmp_path / "w")
    counts = asyncio.run(tried("a worker is killed", copy, kill_one, tmp_path / "log"))
    assert not counts.broken
    assert counts.answered > 100
    assert counts.pushes > 0


def test_metrics_have_their_room_before_the_disk_is_full(tmp_path: Path):
    (tmp_path / "gauge_all_7.db").write_bytes(b"")
    with (tmp_path / "counter_7.db").open("wb") as mapped:
        mapped.truncate(65_536)
    reserve(tmp_path, 7)
    for path in tmp_path.iterdir():
        assert 512 * path.stat().st_blocks >= path.stat().st_size > 0, path.name
    assert (tmp_path / "counter_7.db").stat().st_size == 65_536, "as long as it is mapped"
