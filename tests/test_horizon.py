"""The churn horizon follows the customers' own cadence, and says why."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import succeed
from hypothesis import given, settings
from hypothesis import strategies as st

from features.ingest.ledger import Ledger
from features.workspace import Workspace
from training.horizon import ROUND_DAYS, derive_horizon, purchase_gaps


@settings(max_examples=50, deadline=None)
@given(
    gaps=st.lists(st.integers(1, 500), min_size=50, max_size=200),
    history=st.integers(30, 2000),
)
def test_it_is_the_shortest_round_one_that_holds_most_gaps_unless_history_is_short(
    gaps: list[int], history: int
):
    found = derive_horizon(np.array(gaps), history)
    assert found.days in ROUND_DAYS
    bounded = "three times" in found.why
    assert found.days * 3 <= history or found.days == ROUND_DAYS[0]
    if not bounded and found.days != ROUND_DAYS[-1]:
        assert np.mean(np.array(gaps) <= found.days) >= 0.8
    shorter = [days for days in ROUND_DAYS if days < found.days]
    if shorter:
        assert np.mean(np.array(gaps) <= shorter[-1]) < 0.8


def test_gaps_are_between_purchase_days_that_were_known(tmp_path: Path):
    export = tmp_path / "orders.csv"
    export.write_text(
        "customer_id,ordered_at,amount,arrived_at\n"
        "1,2024-01-01,5,2024-01-01\n"
        "1,2024-01-01,7,2024-01-01\n"
        "1,2024-01-11,5,2024-01-11\n"
        "1,2024-01-15,-5,2024-01-15\n"
        "1,2024-01-31,5,2024-03-01\n"
        "2,2024-01-05,5,2024-01-05\n"
    )
    succeed(tmp_path / "w", "ingest", "--orders", export)
    orders = Ledger(Workspace(tmp_path / "w")).orders_path
    assert purchase_gaps(orders, date(2024, 2, 1)).tolist() == [10]
    assert purchase_gaps(orders, date(2024, 3, 1)).tolist() == [10, 20]


@pytest.fixture(scope="module")
def weekly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop whose customers come about every nine days, until some stop."""
    folder = tmp_path_factory.mktemp("weekly")
    rng = np.random.default_rng(2)
    rows = []
    for customer in range(150):
        day = int(rng.integers(0, 120))
        while day < 200:
            rows.append((customer, date(2024, 1, 1) + timedelta(days=day), 10.0))
            if rng.random() < 0.08:
                break
            day += int(rng.integers(3, 14))
    frame = pl.DataFrame(rows, schema=["customer_id", "ordered_at", "amount"], orient="row")
    frame.write_parquet(folder / "orders.parquet")
    succeed(folder / "w", "ingest", "--orders", folder / "orders.parquet")
    return folder / "w"


def test_a_training_takes_it_from_the_cadence_and_keeps_that_of_the_champion(weekly: Path):
    first: dict[str, Any] = succeed(weekly, "train", "--as-of", "2024-07-10", "--trials", 0)
    assert first["horizon_days"] == 14
    assert "repeat purchases 80% followed within" in first["horizon_why"]
    assert any("14 days suits them" in line for line in succeed(weekly, "data")["advice"])
    succeed(weekly, "promote")
    again = succeed(weekly, "train", "--as-of", "2024-07-15", "--trials", 0)
    assert (again["horizon_days"], again["horizon_why"]) == (14, "that of the champion")
    named = succeed(weekly, "train", "--as-of", "2024-07-15", "--trials", 0, "--horizon-days", 30)
    assert (named["horizon_days"], named["horizon_why"]) == (30, "set by churn.horizon_days")
