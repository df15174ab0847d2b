"""Whoever objects to profiling is learned from, scored and answered about no more."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import shop
from conftest import run, succeed
from test_forget import ask

from features.audit import check_no_leak
from features.settings import Settings
from features.snapshots import known_customers, rules_of, tables_of
from features.workspace import Workspace
from pipelines.context import Context
from serving.endpoint.opening import Endpoint

LAST = date.fromisoformat(shop.LAST_DAY)
OBJECTS, AGREES, LATER = 7, 8, 9
SETTINGS = "privacy: {objection_column: no_profiling}\nchurn: {horizon_days: 60}\n"


def say(folder: Path, *rows: tuple[int, str, str]) -> Path:
    file = folder / f"who-{len(rows)}-{rows[0][2]}.csv"
    lines = [f"{customer},{day},{word}" for customer, day, word in rows]
    file.write_text("\n".join(["customer_id,valid_from,no_profiling", *lines]) + "\n")
    return file


@pytest.fixture
def own(trained: dict[str, Any], tmp_path: Path) -> Path:
    root = Path(shutil.copytree(trained["workspace"], tmp_path / "w"))
    (root / "lifecycle.yaml").write_text(SETTINGS)
    return root


def test_an_objection_takes_a_person_out_of_what_is_online_scored_and_learned_from(
    own: Path, tmp_path: Path
):
    endpoint = Endpoint.of(Workspace(own), Settings.load(own / "lifecycle.yaml"))
    endpoint.live.refresh()
    three = {"customer_ids": [OBJECTS, AGREES, LATER]}
    assert ask(endpoint, three).json()["unknown_customers"] == []
    word = [
        (OBJECTS, "2024-06-01", "no"),
        (OBJECTS, "2024-06-20", "yes"),
        (AGREES, "2024-06-01", "no"),
    ]
    succeed(own, "ingest", "--customers", say(tmp_path, *word))
    assert ask(endpoint, three).json()["unknown_customers"] == [OBJECTS]
    event = tmp_path / "event.jsonl"
    said = {"customer_id": LATER, "valid_from": "2024-06-25", "no_profiling": "yes"}
    event.write_text(json.dumps(said) + "\n")
    succeed(own, "push", "--customers", event)
    assert ask(endpoint, three).json()["unknown_customers"] == [OBJECTS, LATER]
    endpoint.stop()

    before = pl.read_parquet(next((own / "features").glob(f"*/{LAST}.parquet"))).height
    scored = succeed(own, "score", "--reasons", "none")
    assert scored["customers"] == before - 2
    ids = set(pl.read_parquet(scored["file"])["customer_id"])
    assert not ids & {OBJECTS, LATER} and AGREES in ids
    context = Context(Workspace(own), Settings.load(own / "lifecycle.yaml"))
    ledger = context.ledger()
    days = [LAST, date(2024, 3, 31)]
    context.snapshots(ledger, days)
    for day in days:
        # Of earlier days too: a training learns from them tomorrow.
        customers = known_customers(context.workspace, ledger, day)
        assert not set(customers.to_pylist()) & {OBJECTS, LATER}
        rows = context.store(ledger).historical(customers, day, pushed=False)
        check_no_leak(tables_of(ledger), rows, day, "polars", rules_of(context.settings))

    taken_back = say(tmp_path, (OBJECTS, "2024-06-30", "no"))
    succeed(own, "ingest", "--customers", taken_back)
    assert succeed(own, "score", "--reasons", "none")["customers"] == before - 1


@pytest.mark.full
def test_a_training_does_without_who_objects_and_passes_its_audit(own: Path, tmp_path: Path):
    succeed(own, "ingest", "--customers", say(tmp_path, (OBJECTS, "2024-06-01", "yes")))
    said = succeed(own, "train", "--trials", 0)
    judged = pl.read_parquet(own / "judged" / f"{said['model_version']}.parquet")
    assert OBJECTS not in judged["customer_id"]
    assert run(own, "forget", OBJECTS, "--why", "asked").exit_code == 0
