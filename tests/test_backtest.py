"""A backtest says what would have been served, and what then happened."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import shop
from conftest import run, succeed

from training.answers import PRODUCT
from training.contest import Contest
from training.contest_files import read_contests

DAYS = ("2024-03-01", "2024-05-01")
HORIZON = 45
QUICK = "training: {trials: 0, max_snapshots: 4, threads: 1}\nchurn: {horizon_days: 45}\n"


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("backtest") / "w"
    root.mkdir()
    (root / "lifecycle.yaml").write_text(QUICK)
    file = shop.write(root.parent, customers=200)
    succeed(root, "ingest", "--orders", file, *shop.map_options())
    said = succeed(root, "backtest", *(word for day in DAYS for word in ("--as-of", day)))
    return {"workspace": root, "said": said, "file": file}


def contest_of(root: Path, day: str) -> Contest:
    return read_contests(root / "backtests" / f"{day}_{HORIZON}_days.parquet")[0]


def test_it_judges_every_day_and_registers_nothing(replayed: dict[str, Any]):
    said = replayed["said"]
    assert [r["as_of"] for r in said["replayed"]] == list(DAYS)
    assert [d["day"] for d in said["evaluation"]["days"]] == list(DAYS)
    assert said["evaluation"]["pooled"]["days"] == 2
    for other in ("bg_nbd_gamma_gamma", "recency_and_past_spend"):
        found = said["evaluation"]["pooled"]["differences"][other]["log_loss"]
        assert found["lower"] <= found["value"] <= found["upper"]
    assert not (replayed["workspace"] / "mlflow").exists()


def test_the_outcomes_are_those_of_the_window_after_the_day(replayed: dict[str, Any]):
    made = contest_of(replayed["workspace"], DAYS[0])
    start = date.fromisoformat(DAYS[0])
    end = start + timedelta(days=HORIZON)
    lines = pl.read_parquet(replayed["file"]).filter(
        pl.col("when").dt.date().is_between(start, end, closed="right"),
        pl.col("seen").dt.date() <= end,
    )
    spent = dict(
        lines.group_by("client").agg((pl.col("units") * pl.col("price")).sum()).iter_rows()
    )
    expected = [spent.get(int(customer), 0.0) for customer in made.customer_ids]
    assert made.net_spend.tolist() == pytest.approx(expected, abs=0.01)
    bought = {r[0] for r in lines.filter(pl.col("units") > 0).select("client").iter_rows()}
    assert [int(c) in bought for c in made.customer_ids] == (~made.churned).tolist()


def test_it_judges_what_would_have_been_served(replayed: dict[str, Any], tmp_path: Path):
    """The verbs of that day, on the data of that day, in a workspace of their own."""
    day = DAYS[1]
    known = pl.read_parquet(replayed["file"]).filter(
        pl.col("when").dt.date() <= date.fromisoformat(day),
        pl.col("seen").dt.date() <= date.fromisoformat(day),
    )
    known.write_parquet(tmp_path / "known.parquet")
    root = tmp_path / "w"
    root.mkdir()
    (root / "lifecycle.yaml").write_text(QUICK + f"data: {{observed_until: {day}}}\n")
    succeed(root, "ingest", "--orders", tmp_path / "known.parquet", *shop.map_options())
    assert succeed(root, "train", "--as-of", day)["kind"] == replayed["said"]["replayed"][1]["kind"]
    succeed(root, "promote")
    succeed(root, "score", "--as-of", day, "--out", tmp_path / "s.parquet")
    scores = pl.read_parquet(tmp_path / "s.parquet")
    made = contest_of(replayed["workspace"], day)
    said = made.answers[PRODUCT]
    assert scores["customer_id"].to_list() == made.customer_ids.tolist()
    lower, upper = said.bounds(0.9)
    for name, values in (
        ("churn_probability", said.churn_probability),
        ("expected_spend", said.expected_spend),
        ("spend_lower", lower),
        ("spend_upper", upper),
    ):
        assert scores[name].to_list() == pytest.approx(values.tolist(), rel=1e-12), name


def test_what_is_done_is_not_done_again_until_data_or_settings_change(replayed: dict[str, Any]):
    root, first = replayed["workspace"], replayed["said"]
    again = succeed(root, "backtest", "--as-of", DAYS[0], "--as-of", DAYS[1])
    assert [r["resumed"] for r in again["replayed"]] == [True, True]
    assert again["evaluation"] == first["evaluation"]
    late = pl.read_parquet(replayed["file"]).head(1)
    late = late.with_columns(
        when=pl.datetime(2024, 4, 20), seen=pl.datetime(2024, 4, 20), invoice=pl.lit("new")
    )
    late.write_parquet(root.parent / "late.parquet")
    succeed(root, "ingest", "--orders", root.parent / "late.parquet", *shop.map_options())
    changed = succeed(root, "backtest", "--as-of", DAYS[0], "--as-of", DAYS[1])
    assert [r["resumed"] for r in changed["replayed"]] == [True, False], "known after the first"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--as-of", "2024-06-01"), "is known on 2024-07-16, the data end on 2024-06-30"),
        (("--as-of", "2023-02-01"), "no day can be replayed; on 2023-02-01"),
        (("--horizon-days", 300), "a backtest of 300 days needs orders up to"),
    ],
)
def test_what_cannot_be_replayed_is_said(
    words: tuple[object, ...], message: str, replayed: dict[str, Any]
):
    result = run(replayed["workspace"], "backtest", *words)
    assert result.exit_code == 1
    assert message in result.stderr
