"""What a person is given of what is held of them, and what is kept no longer than it may."""

from __future__ import annotations

import csv
import json
import os
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import shop
from conftest import run, succeed

from features.ingest.ledger import Ledger
from features.settings import Settings
from features.workspace import Workspace
from pipelines.context import Context
from pipelines.retain import retain

LAST = date.fromisoformat(shop.LAST_DAY)
PERSON = 7


@pytest.fixture
def own(trained: dict[str, Any], tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained["workspace"], tmp_path / "w"))


def days_of(root: Path, place: str) -> list[str]:
    return sorted(path.stem for path in root.glob(f"{place}/*.parquet"))


def test_a_person_is_given_all_that_is_held_of_them_and_nothing_of_others(
    own: Path, tmp_path: Path
):
    out = tmp_path / "given"
    said = succeed(own, "person", PERSON, "--out", out)
    assert out.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in out.iterdir()} == {"README.md", *said["rows"]}
    with (out / "orders.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    facts = pl.read_parquet(Ledger(Workspace(own)).path("orders"))
    mine = facts.filter(pl.col("customer_id") == PERSON)
    assert [float(line["amount"]) for line in lines] == [e4 / 1e4 for e4 in mine["amount_e4"]]
    assert {line["customer_id"] for line in lines} == {str(PERSON)}
    (score,) = json.loads((out / "scores.json").read_text())
    assert score["reasons"] and score["lifecycle_stage"]
    read_me = (out / "README.md").read_text()
    assert all(name in read_me for name in said["rows"])
    assert str(tmp_path / "given") not in read_me
    assert "scores.parquet" in read_me, "where else rows were sent is told"
    there = run(own, "person", PERSON, "--out", out)
    assert "is there already" in there.stderr
    succeed(own, "forget", PERSON, "--why", "asked")
    gone = run(own, "person", PERSON, "--out", tmp_path / "again")
    assert "was erased on" in gone.stderr
    assert not (tmp_path / "again").exists()


def test_what_is_too_old_is_removed_and_what_answers_now_stays(own: Path):
    for back in (60, 30):
        succeed(own, "score", "--as-of", LAST - timedelta(days=back), "--reasons", "none")
    (aside,) = (own / "data" / "quarantine").glob("*.parquet")
    pl.DataFrame({"row": [1], "reason": ["no_customer"], "who": ["x"]}).write_parquet(aside)
    os.utime(aside, (0, 0))
    (own / "lifecycle.yaml").write_text(
        "privacy: {keep_scores_days: 20, keep_features_days: 10, keep_quarantine_days: 30,"
        " keep_inactive_days: 300}"
    )
    context = Context(Workspace(own), Settings.load(own / "lifecycle.yaml"))
    before = {place: days_of(own, place) for place in ("scores/v*", "features/snapshots_*")}
    would = retain(context, dry_run=True, today=LAST)
    assert {place: days_of(own, place) for place in before} == before
    done = retain(context, today=LAST)
    assert done.removed == would.removed
    assert days_of(own, "scores/v*") == [str(LAST - timedelta(days=30)), str(LAST)]
    assert days_of(own, "features/snapshots_*") == [str(LAST)]
    assert pl.read_parquet(aside).is_empty()
    silent = done.removed["persons silent for too long"]
    assert silent > 0
    orders = pl.read_parquet(Ledger(Workspace(own)).path("orders"))
    newest = orders.group_by("customer_id").agg(pl.col("event_day").max())["event_day"]
    assert newest.min() >= (LAST - timedelta(days=300) - date(1970, 1, 1)).days
    assert done.receipt is not None and len(done.receipt.hashes) == silent
    assert not any(retain(context, today=LAST).removed.values())
    assert succeed(own, "score")["customers"] == orders["customer_id"].n_unique()


@pytest.mark.full
def test_the_silent_come_back_with_what_they_do_next_and_not_with_their_old_file(
    own: Path, export: Path, tmp_path: Path
):
    (own / "lifecycle.yaml").write_text("privacy: {keep_inactive_days: 300}")
    context = Context(Workspace(own), Settings.load(own / "lifecycle.yaml"))
    known = set(pl.read_parquet(Ledger(Workspace(own)).path("orders"))["customer_id"])
    retain(context, today=LAST)
    left = set(pl.read_parquet(Ledger(Workspace(own)).path("orders"))["customer_id"])
    (gone, *_) = sorted(known - left)
    rows = pl.read_parquet(export).filter(pl.col("client") == gone).head(1)
    fresh = rows.with_columns(pl.lit(LAST).cast(rows.schema["when"]).alias("when"), seen=None)
    pl.concat([rows, fresh.cast(rows.schema)]).write_parquet(tmp_path / "file.parquet")
    succeed(own, "ingest", "--orders", tmp_path / "file.parquet", *shop.map_options())
    back = pl.read_parquet(Ledger(Workspace(own)).path("orders"))
    assert back.filter(pl.col("customer_id") == gone).height == 1
