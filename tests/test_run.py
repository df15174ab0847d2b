"""The cycle: what is due is done once, whatever comes between."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import shop
from conftest import run, succeed

from features.settings import Settings
from features.store import read_state
from features.workspace import Workspace
from pipelines.cycle.steps import STEPS
from training.registry import Registry, open_registry

SETTINGS = """\
data:
  orders: ../exports/orders-*.parquet
  mapping: {customer_id: client, ordered_at: when, order_id: invoice, quantity: units,
            unit_price: price, category: sku, arrived_at: seen}
churn: {horizon_days: 45}
training: {trials: 0, max_snapshots: 8, threads: 1}
run: {retrain_days: 14, plan: true, budget: 200}
"""
WEEKS = [date(2024, 6, 9), date(2024, 6, 16), date(2024, 6, 23), date(2024, 6, 30)]
"""Last days of the shop's exports, the first of which goes back to its beginning."""
SAME = ["scored_at", "decision_id", "model_version"]
"""What differs between two scorings of the same."""


def write_exports(root: Path, until: date, customers: int = 250) -> date:
    """Write the exports up to a week, leave those alone that are there; give the last day."""
    folder = root / "exports"
    folder.mkdir(parents=True, exist_ok=True)
    orders = shop.orders(customers).with_columns(day=pl.col("when").dt.date())
    start = date.min
    for end in WEEKS:
        file = folder / f"orders-{end}.parquet"
        if end <= until and not file.exists():
            rows = orders.filter((pl.col("day") > start) & (pl.col("day") <= end))
            rows.drop("day").write_parquet(file)
        start = end
    day: date = orders.filter(pl.col("day") <= until)["day"].max()  # type: ignore[assignment]
    return day


def states(said: dict[str, Any]) -> dict[str, str]:
    return {name: step["state"] for name, step in said["steps"].items()}


def registry_of(root: Path) -> Registry:
    return open_registry(Workspace(root), Settings())


def scores_of(root: Path) -> pl.DataFrame:
    (newest,) = sorted((root / "scores").rglob("[!.]*.parquet"))[-1:]
    return pl.read_parquet(newest).drop(SAME).sort("customer_id")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A workspace after its first run, and what that said."""
    root = tmp_path_factory.mktemp("run") / "w"
    write_exports(root.parent, WEEKS[0])
    prepare(root)
    return root, succeed(root, "run")


def prepare(root: Path) -> None:
    root.mkdir()
    (root / "lifecycle.yaml").write_text(SETTINGS)


@pytest.fixture
def workspace(begun: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    source, _ = begun
    for name in ("w", "exports"):
        shutil.copytree(source.parent / name, tmp_path / name)
    return tmp_path / "w"


def test_one_word_goes_the_whole_way_and_again_it_does_nothing(begun: tuple[Path, dict[str, Any]]):
    root, said = begun
    assert list(said["steps"]) == list(STEPS)
    assert states(said) == {**dict.fromkeys(STEPS, "done"), "retain": "unchanged"}
    assert said["as_of"] == write_exports(root.parent, WEEKS[0]).isoformat()
    page = (root / "lifecycle-report.html").stat().st_mtime_ns
    again = states(succeed(root, "run"))
    assert again == {
        **dict.fromkeys(STEPS, "unchanged"), "watch": "done", "train": "not due",
    }  # fmt: skip
    assert registry_of(root).require_champion().version == 1
    assert (root / "lifecycle-report.html").stat().st_mtime_ns == page
    told = run(root, "run", "--past", 5).stdout
    assert told.count(f"of {said['as_of']}: ") == 2
    assert "train not due" in told


def test_a_week_later_the_new_files_are_read_and_training_waits_until_it_is_due(workspace: Path):
    last = write_exports(workspace.parent, WEEKS[1])
    said = succeed(workspace, "run")
    assert [file["source"] for file in said["steps"]["ingest"]["files"]] == [
        f"orders-{WEEKS[1]}.parquet"
    ]
    assert (said["as_of"], states(said)["train"]) == (last.isoformat(), "not due")
    assert states(said)["score"] == "done"
    last = write_exports(workspace.parent, WEEKS[2])
    said = succeed(workspace, "run")
    assert "because version 1 is 14 days old" in said["steps"]["train"]["said"]
    assert registry_of(workspace).newest().version == 2  # type: ignore[union-attr]
    if states(said)["promote"] == "done":
        assert said["steps"]["promote"]["compared"]["days"], "the gate saw both on the same days"
    else:
        assert "loses to the champion" in said["steps"]["promote"]["said"]
        assert states(succeed(workspace, "run"))["promote"] == "refused"
    assert read_state(Workspace(workspace), "sqlite").as_of == last  # type: ignore[union-attr]


def test_a_step_that_fails_ends_the_run_and_what_answered_goes_on(workspace: Path):
    before = scores_of(workspace)
    bad = workspace.parent / "exports" / f"orders-{WEEKS[1]}.parquet"
    bad.write_text("not Parquet")
    result = run(workspace, "run")
    assert result.exit_code == 1
    assert bad.name in result.stdout
    assert "features" not in result.stdout
    assert scores_of(workspace).equals(before)
    bad.unlink()
    write_exports(workspace.parent, WEEKS[1])
    assert states(succeed(workspace, "run"))["score"] == "done"


def test_two_runs_do_not_go_at_once(workspace: Path):
    with (workspace / "runs" / ".lock").open() as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        result = run(workspace, "run")
    assert result.exit_code == 1
    assert "another run is at work" in result.stderr
    assert f"process {os.getpid()}" in result.stderr


def test_a_run_waits_for_another_command(workspace: Path):
    (workspace / "lifecycle.yaml").write_text(
        SETTINGS.replace("{retrain", "{wait_minutes: 0, retrain")
    )
    with Workspace(workspace).locked():
        result = run(workspace, "run", "--step", "features")
    assert result.exit_code == 1
    assert "another command is writing" in result.stdout


def test_what_is_asked_wrongly_is_one_sentence(workspace: Path, tmp_path: Path):
    result = run(workspace, "run", "--step", "tea")
    assert result.exit_code == 1
    assert "there is no step 'tea'; they are ingest, features" in result.stderr
    result = run(tmp_path / "none", "run")
    assert result.exit_code == 1
    assert "set data.orders" in result.stderr
    assert not (tmp_path / "none").exists()
    shutil.rmtree(workspace.parent / "exports")
    result = run(workspace, "run")
    assert "no file is named like data.orders" in result.stdout


def interrupted_in(monkeypatch: pytest.MonkeyPatch, root: Path, name: str, after: bool) -> None:
    """Stop a run in a step, before its work or after it but before that is written down."""
    step = STEPS[name]

    def stopped(cycle: Any) -> Any:
        if after:
            step(cycle)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(STEPS, name, stopped)
        assert run(root, "run").exit_code != 0


@pytest.mark.parametrize("after", [True, pytest.param(False, marks=pytest.mark.full)])
def test_a_run_that_is_stopped_in_any_step_is_gone_on_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, after: bool
):
    root = tmp_path / "w"
    prepare(root)
    write_exports(tmp_path, WEEKS[0], 150)
    for name in STEPS:
        interrupted_in(monkeypatch, root, name, after)
        (last,) = succeed(root, "run", "--past", 1)["runs"]
        assert last["stopped_in"] == name
        assert last["states"].get(name) is None
    said = succeed(root, "run")
    assert "stopped in retain" in said["went_on"]
    assert registry_of(root).newest().version == 1, "it was trained once"  # type: ignore[union-attr]
    whole = tmp_path / "whole"
    prepare(whole)
    succeed(whole, "run")
    assert scores_of(root).equals(scores_of(whole))


@pytest.mark.full
def test_a_run_that_is_killed_at_any_moment_is_gone_on_with(tmp_path: Path):
    root = tmp_path / "w"
    prepare(root)
    write_exports(tmp_path, WEEKS[0], 150)
    command = [sys.executable, "-m", "pipelines.cli", "--workspace", str(root), "run"]
    kills = 0
    for name in STEPS:
        for wait in (0.0, 0.3, 1.5):
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            if begun_within(root, name, process):
                time.sleep(wait)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
            process.wait()
    assert kills > len(STEPS)
    said = succeed(root, "run")
    assert "failed" not in states(said).values()
    whole = tmp_path / "whole"
    prepare(whole)
    succeed(whole, "run")
    assert scores_of(root).equals(scores_of(whole))
    assert registry_of(root).require_champion().version <= kills


def begun_within(root: Path, step: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait until the process's run has begun a step, or is over."""
    before = set((root / "runs").glob("*.jsonl"))
    while process.poll() is None:
        for file in set((root / "runs").glob("*.jsonl")) - before:
            events = [json.loads(line) for line in file.read_text().splitlines() if line]
            if any(event.get("step") == step for event in events):
                return True
        time.sleep(0.02)
    return False


def test_a_broken_export_is_told_and_nothing_is_made_of_it_until_somebody_says_so(workspace: Path):
    """Nine of ten lines of a week are missing: it would look as if everybody had left."""
    write_exports(workspace.parent, WEEKS[1])
    file = workspace.parent / "exports" / f"orders-{WEEKS[1]}.parquet"
    whole = pl.read_parquet(file)
    whole.filter(pl.int_range(pl.len()) % 10 == 0).write_parquet(file)
    champion, before = registry_of(workspace).require_champion(), scores_of(workspace)
    result = run(workspace, "run", "--retrain", "--json", "-")
    assert result.exit_code == 3
    said = json.loads(result.stdout)
    assert said["alarms"]
    held = {name for name, state in states(said).items() if state == "held"}
    assert held == {"train", "promote", "materialise", "score", "recommend", "report"}
    assert registry_of(workspace).require_champion() == champion
    assert scores_of(workspace).equals(before)
    assert run(workspace, "run", "--anyway").exit_code == 3, "it is told all the same"
    again = json.loads(run(workspace, "run", "--json", "-").stdout)
    assert "held" not in states(again).values(), "what was let pass stays so"


def test_the_steps_one_by_one_are_the_run(workspace: Path):
    """As a scheduler calls them, each in a process of its own."""
    last = write_exports(workspace.parent, WEEKS[1])
    for name in STEPS:
        succeed(workspace, "run", "--step", name)
    one_by_one = scores_of(workspace)
    assert set(states(succeed(workspace, "run")).values()) == {"unchanged", "done", "not due"}
    assert scores_of(workspace).equals(one_by_one)
    assert read_state(Workspace(workspace), "sqlite").as_of == last  # type: ignore[union-attr]
