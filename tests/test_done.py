"""What was done lately holds back the same actions in scores, online and in a plan."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from random_shops import AS_OF, RULES, TODAY, any_treatment, write

from features.computing import compute_snapshot
from features.engines import EngineName, engine
from features.matrix import Vocabulary, matrix_of, matrix_of_rows, recoded
from serving.actions import Menu, Standing
from serving.done import Done
from serving.plan.past import Cooling, treatments
from serving.playbook import load_playbook

ACTIONS = ("cross_sell", "up_sell", "retention_offer", "win_back_offer", "cadence_reminder", "gone")


@pytest.mark.parametrize("name", ["polars", "duckdb"])
def test_scores_and_plans_know_the_same_cooldowns(name: EngineName, tmp_path: Path):
    rng = random.Random(3)
    rows = [
        {
            "customer_id": rng.randrange(80),
            **any_treatment(rng),
            # Of no more different actions than are listed; the last is in no playbook.
            "action": rng.choice(ACTIONS),
        }
        for _ in range(300)
    ]
    path = write({"treatments": rows}, tmp_path)["treatments"]
    with engine(name) as opened:
        table = compute_snapshot(opened, {"treatments": path}, AS_OF, RULES)
    menu = Menu.of(load_playbook())
    matrix = matrix_of(table, Vocabulary())
    standing = Standing.unknown(len(matrix))
    done, days = Done(menu.keys).read(matrix)
    standing = Standing(standing.complaint_open, standing.checkout_open, done, days)
    _, waits = menu.waits(standing)
    customers = table["customer_id"].combine_chunks()
    past = treatments(path, AS_OF)
    cooling = Cooling.find(customers, past, menu.keys, menu.wait_days[:-1], AS_OF)
    expected = cooling.of(0, len(customers))
    assert waits.tolist() == expected.tolist()
    assert 20 < expected.any(axis=1).sum() < len(customers)
    # Nor does it matter what any model's codes are, and whether rows are read one by one.
    other = Vocabulary({"treatment_last": ("up_sell",)})
    done_again, _ = Done(menu.keys).read(recoded(matrix, Vocabulary(), other))
    assert done_again.tolist() == done.tolist()
    np.testing.assert_array_equal(matrix_of_rows(table.to_pylist(), Vocabulary()), matrix)


def test_the_actions_done_are_listed_the_last_first(tmp_path: Path):
    rows = [
        {"customer_id": 1, **any_treatment(random.Random(1)), "action": action, "arm": arm}
        | {"event_day": TODAY - ago, "known_day": TODAY - ago}
        for action, arm, ago in (
            ("up_sell", "treated", 40),
            ("cross_sell", "treated", 3),
            ("up_sell", "treated", 5),
            ("retention_offer", "control", 1),
        )
    ]
    path = write({"treatments": rows}, tmp_path)["treatments"]
    with engine("polars") as opened:
        (row,) = compute_snapshot(opened, {"treatments": path}, AS_OF, RULES).to_pylist()
    listed = [row[f"treatment_recent_{place}"] for place in range(1, 4)]
    assert listed == ["cross_sell:3", "up_sell:5", None]
