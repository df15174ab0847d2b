"""The watch: silent while nothing has changed, and each real break told in the first week."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import watched_shop as made
from conftest import run

import mlflow
from features.settings import MonitoringSettings, Settings
from pipelines.context import Context
from pipelines.watch import WatchReport, watch

Tables = dict[str, pl.DataFrame]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.simulated(tmp_path_factory.mktemp("simulated"))


@pytest.fixture(scope="module")
def started(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.begun(shop, tmp_path_factory.mktemp("started") / "w")


@pytest.fixture
def after(shop: Path, started: Path, tmp_path: Path) -> Callable[[Tables], Path]:
    """Ingest a week more into a workspace of one's own."""
    return lambda tables: made.with_week(started, shop, tmp_path / "w", tables)


def seen(root: Path, day: date = made.WEEK_END, **monitoring: Any) -> WatchReport:
    settings = Settings(monitoring=MonitoringSettings(**monitoring))
    return watch(Context.open(root, settings.model_dump(include={"data"})), day)


def alarms(report: WatchReport) -> dict[str, str]:
    return {alert.key: alert.sentence for alert in report.alarms}


# --- nothing has changed ---


def test_a_week_like_others_is_silent_and_a_second_run_changes_nothing(
    shop: Path, after: Callable[[Tables], Path]
):
    root = after(made.week_of(shop))
    words = ("watch", "--as-of", made.WEEK_END)
    first = run(root, *words, "--json", root.parent / "first.json")
    assert first.exit_code == 0, first.output
    assert "nothing to tell" in first.stdout
    file = root / "watched" / f"{made.WEEK_END}.json"
    kept = file.read_bytes()
    assert run(root, *words).exit_code == 0
    assert file.read_bytes() == kept
    told = json.loads((root.parent / "first.json").read_text())
    assert len(told["checks"]) > 30
    client = mlflow.MlflowClient(f"sqlite:///{root}/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("orders health")
    (only,) = client.search_runs([experiment.experiment_id])
    assert only.data.metrics["alarms"] == 0
    assert only.data.metrics["data/orders/orders"] > 0


# --- each break, in the first week ---


def of_orders(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Callable[[Tables], Tables]:
    return lambda week: {**week, "orders": change(week["orders"])}


def half(rows: pl.DataFrame) -> pl.DataFrame:
    keep = np.random.default_rng(1).random(rows["order_id"].n_unique()) < 0.5
    orders = rows["order_id"].unique(maintain_order=True).filter(pl.Series(keep))
    return rows.filter(pl.col("order_id").is_in(orders.implode()))


BREAKS: dict[str, tuple[Callable[[Tables], Tables], str, str]] = {
    "prices doubled": (
        of_orders(lambda rows: rows.with_columns(pl.col("amount") * 2)),
        "data/orders/amount",
        r"What an order is worth, as a multiple of what its customer paid before: [12]\.\d",
    ),
    "a channel lost": (
        of_orders(lambda rows: rows.filter(pl.col("channel") != "app")),
        "data/orders/channel/app",
        "Lines of orders of channel app: 0 in the newest week",
    ),
    "half of the rows": (of_orders(half), "data/orders/orders", "Orders: "),
    "a column emptied": (
        of_orders(lambda rows: rows.with_columns(channel=pl.lit(None, pl.String))),
        "data/orders/empty/channel",
        "Lines of orders without channel: 100.0% in the newest week",
    ),
    "an export that ended early": (
        of_orders(lambda rows: rows.filter(pl.col("ordered_at").dt.date() < date(2025, 8, 1))),
        "data/orders/days",
        "No row of orders on 2025-08-01, 2025-08-02, 2025-08-03, where",
    ),
    "a file doubled": (
        of_orders(lambda rows: pl.concat([rows, rows])),
        "data/orders/repeats",
        "Lines that repeat another: 50.0% in the newest week",
    ),
    "a file of zeros": (
        of_orders(lambda rows: rows.with_columns(amount=pl.lit(0.0))),
        "data/orders/zero",
        "Lines of amount zero: 100.0% in the newest week",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_break_is_told_in_its_first_week(name: str, shop: Path, after: Callable[[Tables], Path]):
    change, key, sentence = BREAKS[name]
    found = alarms(seen(after(change(made.week_of(shop)))))
    assert key in found
    assert re.match(sentence, found[key])
