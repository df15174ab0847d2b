"""Rows that go through trees a bit a row come to LightGBM's own leaves, and add up to its sums."""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.attribution import PathAttribution
from training.bitslices import ROWS_AT_ONCE, BitSlices
from training.dataset import TREE_CATEGORIES, TREE_FEATURES
from training.leaves import FEW_ROWS, MANY_ROWS, TREES_AT_ONCE, Leaves, added_up
from training.tree_text import trees_of

LABELS = 40


def generated(rows: int, seed: int) -> np.ndarray:
    """Whole, real and repeated numbers, labels, zeros of either sign, and what is unknown."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, len(TREE_FEATURES))).round(2)
    values[:, ::3] = rng.poisson(2.0, (rows, len(range(0, len(TREE_FEATURES), 3))))
    for place in TREE_CATEGORIES:
        values[:, place] = rng.integers(0, LABELS, rows)
    values[rng.random(values.shape) < 0.15] = np.nan
    return values


def odd(rows: int, seed: int) -> np.ndarray:
    """Rows as no training saw them."""
    rng = np.random.default_rng(seed)
    values = generated(rows, seed)
    strange = [0.0, -0.0, 1e-36, -1e-36, 1e-34, 1e300, -1e300, np.inf, -np.inf, -3.0]
    where = rng.random(values.shape) < 0.2
    values[where] = rng.choice(strange, where.sum())
    for place in TREE_CATEGORIES:
        labels = [-1.0, -0.4, 0.6, 0.0, LABELS - 1, LABELS, 31, 32, 33, 63, 64, 1000, np.nan]
        values[:, place] = rng.choice(labels, rows)
    return values


def grown(trees: int = 12, rows: int = 2_000, **parameters: Any) -> lgb.Booster:
    """Fit trees to numbers and labels, some of which mean nothing."""
    learned = generated(rows, 1)
    rng = np.random.default_rng(2)
    labels = np.nan_to_num(learned[:, list(TREE_CATEGORIES)])
    score = np.nan_to_num(learned[:, :40]).sum(axis=1) + 3 * np.sin(labels).sum(axis=1)
    return lgb.train(
        {
            "num_leaves": 31, "min_data_in_leaf": 5, "min_data_per_group": 5, "cat_smooth": 1.0,
            "verbosity": -1, "num_threads": 1, "seed": 3, **parameters,
        },
        lgb.Dataset(
            learned, score + rng.normal(size=rows), categorical_feature=list(TREE_CATEGORIES),
            feature_name=list(TREE_FEATURES), free_raw_data=False,
        ),
        num_boost_round=trees,
    )  # fmt: skip


BOOSTERS: dict[str, dict[str, Any]] = {
    "usual": {},
    "extra trees": {"extra_trees": True, "feature_fraction": 0.6},
    "labels one by one": {"max_cat_to_onehot": 100},
    "two leaves": {"num_leaves": 2},
    "without a split": {"min_gain_to_split": 1e9},
    "nothing is missing": {"use_missing": False},
    "zero is missing": {"zero_as_missing": True},
    "more leaves than a byte": {"num_leaves": 300, "min_data_in_leaf": 1, "trees": 3},
}


@pytest.fixture(scope="module", params=BOOSTERS)
def booster(request: pytest.FixtureRequest) -> lgb.Booster:
    return grown(**BOOSTERS[request.param])


@settings(max_examples=15, deadline=None)
@given(rows=st.integers(1, 300), seed=st.integers(0, 10_000), strange=st.booleans())
def test_each_row_comes_to_lightgbms_leaf(
    booster: lgb.Booster, rows: int, seed: int, strange: bool
):
    values = (odd if strange else generated)(rows, seed)
    wanted = np.asarray(booster.predict(values, pred_leaf=True)).reshape(rows, -1)
    found = np.concatenate(list(BitSlices.of(list(trees_of(booster))).leaves(values)))
    np.testing.assert_array_equal(found.T, wanted)


def test_the_boosters_are_of_all_kinds():
    kinds = {name: list(trees_of(grown(**given))) for name, given in BOOSTERS.items()}
    assert any((tree.decision_type & 1).any() for tree in kinds["usual"])
    assert [len(tree.leaf_value) for tree in kinds["without a split"]] == [1]
    missing = {
        name: {int(code) >> 2 & 3 for tree in trees for code in tree.decision_type}
        for name, trees in kinds.items()
    }
    assert {0} <= missing["nothing is missing"] and 2 in missing["usual"]
    assert 1 in missing["zero is missing"]
    assert max(len(tree.leaf_value) for tree in kinds["more leaves than a byte"]) > 256


@pytest.mark.parametrize("rows", [MANY_ROWS, ROWS_AT_ONCE, ROWS_AT_ONCE + 1])
def test_many_rows_add_up_and_are_attributed_as_few_are_to_the_last_bit(rows: int):
    booster = grown(trees=2 * TREES_AT_ONCE + 7, num_leaves=6)
    values, leaves = odd(rows, 4), Leaves.of(booster)
    walk = leaves.walk(values, attributed=True)
    assert walk.leaves is not None
    np.testing.assert_array_equal(
        walk.leaves, booster.predict(values, pred_leaf=True) + leaves.starts
    )
    np.testing.assert_array_equal(walk.leaves, leaves.found(values))
    assert walk.sums.tobytes() == added_up(booster, values, 2).tobytes()
    assert leaves.walk(values).sums.tobytes() == walk.sums.tobytes()
    few = leaves.walk(values[:FEW_ROWS], attributed=True)
    assert few.leaves is not None and few.sums.tobytes() == walk.sums[:FEW_ROWS].tobytes()
    paths = PathAttribution.of(booster)
    told = paths.attribute(walk.leaves).contributions
    assert paths.attribute(few.leaves).contributions.tobytes() == told[:FEW_ROWS].tobytes()
