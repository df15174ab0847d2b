"""A campaign from its plan to the report's sentence: numbers are those of the raw orders."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import succeed
from numpy.typing import NDArray

Float = NDArray[np.float64]
WORLD = ("--world", "shop", "--customers", 6000, "--seed", 7)
TABLES = ("orders", "customers", "interactions", "treatments")
KNOWN = (
    "first_order_offer", "second_purchase_nudge", "cross_sell", "membership_tier",
    "cadence_reminder", "retention_offer", "win_back_offer",
)  # fmt: skip
"""Actions that this world can carry out."""


def difference(treated: Float, weight: Float, outcome: Float, foretold: Float) -> float:
    """Set the arms side by side, with what was foretold taken out by a regression."""
    apart = foretold - np.average(foretold, weights=weight)
    columns = np.column_stack([np.ones_like(treated), treated, apart])
    root = np.sqrt(weight)
    return float(np.linalg.lstsq(columns * root[:, None], outcome * root, rcond=None)[0][1])


@pytest.mark.full
def test_the_report_says_what_a_campaign_brought_for_its_cost(tmp_path: Path):
    w, before, after = tmp_path / "w", tmp_path / "before", tmp_path / "after"
    start = succeed(w, "simulate", *WORLD, "--out", before)["until"]
    files = [word for table in TABLES for word in (f"--{table}", before / f"{table}.parquet")]
    settings = ("--settings", before / "lifecycle.yaml")
    succeed(w, "ingest", *settings, *files)
    succeed(w, "train", *settings, "--horizon-days", 60, "--trials", 0)
    succeed(w, "promote", *settings)
    succeed(w, "recommend", *settings, "--campaign", "spring", "--hold-out", 0.4)
    plan = pl.read_parquet(w / "plans" / "spring.v1.parquet")
    plan.filter(pl.col("action").is_in(KNOWN)).write_parquet(tmp_path / "plan.parquet")
    day = plan["at"].dt.date()[0] - timedelta(days=1)
    words = ("--since", start, "--until", day + timedelta(days=70))
    succeed(w, "simulate", *WORLD, *words, "--treat", tmp_path / "plan.parquet", "--out", after)
    later = ("--settings", after / "lifecycle.yaml")
    files = [word for table in TABLES[:3] for word in (f"--{table}", after / f"{table}.parquet")]
    succeed(w, "ingest", *later, *files)
    succeed(w, "ingest", *later, "--treatments", w / "plans" / "spring.v1.parquet")
    report = succeed(w, "report", *later, "--history", 0, "--out", tmp_path / "report.html")

    orders = pl.concat(pl.read_parquet(folder / "orders.parquet") for folder in (before, after))
    days = pl.col("ordered_at").dt.date()
    followed = (
        orders.filter(days.is_between(day + timedelta(days=1), day + timedelta(days=60)))
        .group_by("customer_id")
        .agg(net=pl.sum("amount"), bought=(pl.col("amount") > 0).any())
    )
    rows = plan.join(followed, on="customer_id", how="left").fill_null(strategy="zero")
    treated = (rows["arm"] == "treated").cast(pl.Float64).to_numpy()
    chance = rows["propensity"].to_numpy()
    weight = np.where(treated > 0, 1 / chance, 1 / (1 - chance))
    bought = rows["bought"].fill_null(value=False).cast(pl.Float64).to_numpy()
    net = rows["net"].to_numpy()
    cost = rows.filter(pl.col("arm") == "treated")["cost"].sum()
    buyers = difference(treated, weight, bought, 1 - rows["churn_probability"].to_numpy())
    spend = difference(treated, weight, net, rows["expected_spend"].to_numpy())

    (told,) = report["actions"]["campaigns"]
    assert (told["treated"], told["control"]) == (treated.sum(), (1 - treated).sum())
    assert told["buyers"]["value"] == pytest.approx(buyers, rel=1e-6)
    brought = 0.3 * spend * treated.sum() - cost
    assert told["net"]["value"] == pytest.approx(brought, rel=1e-6)
    said = report["findings"]["brought"][0]
    assert f": {brought / cost:.2f} net for each unit of cost" in said.replace("−", "-")
    assert f"changed by {100 * buyers:+.1f} points" in said.replace("−", "-")
