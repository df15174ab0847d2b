"""The trees of a booster, read out of LightGBM's own text.

``Booster.dump_model`` says the same as nested dictionaries: of five hundred trees of 63 leaves they
take a second and hundreds of megabytes, at each start of a process and each change of a model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TreeText:
    """One tree. A child at or above zero is a split, one below is the leaf ``~child``.

    Attributes
    ----------
    split_feature, left_child, right_child
        Shape (splits,).
    threshold
        Up to which a row goes left; of a split by label the place of its set, shape (splits,).
    decision_type
        LightGBM's: by label or by number, and what becomes of the unknown, shape (splits,).
    cat_boundaries, cat_threshold
        Where each set of labels that go left begins and ends, and the sets, a bit a label.
    split_value
        Mean output of the rows that came to a split, shape (splits,).
    leaf_value
        Shape (splits + 1,).
    """

    split_feature: NDArray[np.int32]
    left_child: NDArray[np.int32]
    right_child: NDArray[np.int32]
    threshold: NDArray[np.float64]
    decision_type: NDArray[np.int32]
    cat_boundaries: NDArray[np.int32]
    cat_threshold: NDArray[np.uint32]
    split_value: NDArray[np.float64]
    leaf_value: NDArray[np.float64]


_FIELDS = {
    "split_feature": np.int32,
    "left_child": np.int32,
    "right_child": np.int32,
    "threshold": np.float64,
    "decision_type": np.int32,
    "cat_boundaries": np.int32,
    "cat_threshold": np.uint32,
    "internal_value": np.float64,
    "leaf_value": np.float64,
}


def trees_of(booster: lgb.Booster) -> Iterator[TreeText]:
    """Read every tree of a booster, in its order.

    >>> rows = np.arange(100.0).reshape(-1, 1)
    >>> quiet = {"verbosity": -1, "num_leaves": 2}
    >>> booster = lgb.train(quiet, lgb.Dataset(rows, rows[:, 0] > 49), num_boost_round=2)
    >>> first, second = trees_of(booster)
    >>> first.split_feature.tolist(), first.left_child.tolist(), first.leaf_value.round(2).tolist()
    ([0], [-1], [0.45, 0.55])
    """
    _, *parts = booster.model_to_string().split("\nTree=")
    for part in parts:
        # The last tree is followed by what is no tree's.
        lines = part.partition("\n\n")[0].split("\n")
        found = dict(line.split("=", 1) for line in lines if "=" in line)
        yield TreeText(
            *(np.array(found.get(name, "").split(), kind) for name, kind in _FIELDS.items())
        )
