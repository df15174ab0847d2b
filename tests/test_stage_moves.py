"""Stages over time: who moved, how long they stay, where they go next."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import shop
from conftest import run, succeed
from test_decisions import post

from features.settings import Settings
from features.workspace import Workspace
from serving.endpoint.opening import Endpoint
from training.stage_moves import COVERAGE, dwell, next_stages, stays
from training.stages import STAGES


def test_a_stay_that_goes_on_is_not_taken_for_a_short_one() -> None:
    generator = np.random.default_rng(5)
    covered = []
    for _ in range(60):
        true = generator.exponential(60.0, 400)
        censored = generator.uniform(0, 300, 400)
        told = dwell("new", np.minimum(true, censored), true <= censored, np.ones(400))
        assert told.mean_days is not None
        # Up to the longest stay seen, of which the mean is known.
        mean = 60.0 * (1 - np.exp(-told.longest_days / 60.0))
        covered.append(told.mean_low <= mean <= told.mean_high)
    assert abs(np.mean(covered) - COVERAGE) < 0.12


def test_stays_end_where_the_next_stage_is_first_seen_and_go_on_for_who_is_gone() -> None:
    def on(number: int, *there: tuple[int, int]) -> tuple[date, pl.DataFrame]:
        rows = {"customer_id": [who for who, _ in there], "stage": [stage for _, stage in there]}
        return date(2024, 1, number), pl.DataFrame(rows)

    followed = stays([on(1, (1, 4)), on(8, (1, 4), (2, 0)), on(15, (1, 7), (2, 0)), on(22, (1, 7))])
    # The first stay of 1 was not seen to begin; 2 was last seen on the 15th.
    assert followed.rows() == [(0, 7, False, 1), (7, 7, False, 1)]


def test_what_comes_next_is_found_where_many_are_seen_and_shrunk_where_few_are() -> None:
    generator = np.random.default_rng(3)
    many = 3000
    churn = generator.uniform(0, 1, many)
    later = np.where(generator.uniform(size=many) < churn, 2, 6)
    first = {"customer_id": np.arange(many), "stage": np.full(many, 6), "churn_probability": churn}
    lone = {"customer_id": [many], "stage": [4], "churn_probability": [0.5]}
    before = pl.concat([pl.DataFrame(first), pl.DataFrame(lone)])
    after = before.select("customer_id", stage=pl.Series([*later, 7]))
    found = next_stages([(before, after)], 91)
    assert found is not None
    assert np.allclose(found.chance.sum(axis=2), 1)
    assert np.allclose(found.chance[6, :, 2], [1 / 6, 1 / 2, 5 / 6], atol=0.04)
    assert ((found.low <= found.chance) & (found.chance <= found.high)).all()
    # One customer of a stage says little.
    third = found.third(4, 0.5)
    assert 0.05 < found.chance[4, third, 7] < 0.3
    assert next_stages([], 91) is None


def test_the_verb_scores_what_is_missing_and_the_endpoint_tells_what_is_ahead(
    trained: dict[str, Any], tmp_path: Path
) -> None:
    root = tmp_path / "w"
    shutil.copytree(trained["workspace"], root)
    alone = run(root, "stages")
    assert alone.exit_code == 1
    assert "scored are 1; run" in alone.stderr
    last = date.fromisoformat(shop.LAST_DAY)
    since = (last - timedelta(days=60)).isoformat()
    said = succeed(root, "stages", "--since", since, "--every", 20)
    assert len(said["days"]) == 4
    assert len(said["computed"]) == 3
    moved = {row["stage"]: row for row in said["moves"]}
    assert all(sum(row["to"].values()) == row["customers"] for row in moved.values())
    scores = pl.read_parquet(trained["out"])
    now = sum(count for row in moved.values() for to, count in row["to"].items() if to != "gone")
    assert now == scores.height
    assert said["next"]
    assert all(
        sum(one["probability"] for one in row["stages"]) == pytest.approx(1) for row in said["next"]
    )
    customer = int(scores["customer_id"][0])
    told = succeed(root, "stages", "--customer", customer)["customer"]
    assert [row["as_of"] for row in told["history"]] == said["days"]
    assert told["history"][-1]["lifecycle_stage"] in STAGES
    assert "in none of the scores" in run(root, "stages", "--customer", "-5").stderr
    assert "was not scored" in run(root, "stages", "--since", "2001-01-01").stderr

    endpoint = Endpoint.of(Workspace(root), Settings())
    endpoint.live.refresh()
    view = post(endpoint, f"/customers/{customer}", None)
    endpoint.stop()
    assert view.json()["next_stages"] == told["next"]
