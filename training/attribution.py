"""Which features moved a churn prediction: approximate, fast and additive.

The trees are attributed along each row's decision path (Saabas 2014): the change of a node's value
goes to the feature that was split on. The prior is attributed by Shapley values of two players,
the silence and the history before it, against a customer of the middle. TreeSHAP is the exact
peer; on real shops the top reason agrees for most customers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from features import catalogue
from training.dataset import TREE_FEATURES, tree_matrix
from training.prior import Prior, column

Float = NDArray[np.float64]
CHUNK = 4096

_TREE_POSITION = np.array([catalogue.NAMES.index(name) for name in TREE_FEATURES])
_RECENCY = catalogue.NAMES.index("recency_days")
_HISTORY = catalogue.NAMES.index("purchase_days")


@dataclass(frozen=True)
class PathAttribution:
    """Per-leaf contributions of every tree, looked up by the leaf that a row falls into.

    Attributes
    ----------
    table
        Contribution of each feature that is split on at each leaf, all trees stacked, shape
        (leaves, features that are split on).
    columns
        Place of each of these features in the catalogue.
    starts
        First row of each tree in the table, shape (trees,).
    """

    table: Float
    columns: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, booster: lgb.Booster | None) -> PathAttribution:
        """Read the paths out of a booster; a split by category is a split as any other."""
        rows: list[Float] = []
        starts: list[int] = []
        width = len(TREE_FEATURES)
        for tree in booster.dump_model()["tree_info"] if booster is not None else []:
            leaves = [np.zeros(width) for _ in range(tree["num_leaves"])]
            _walk(tree["tree_structure"], np.zeros(width), leaves)
            starts.append(len(rows))
            rows.extend(leaves)
        table = np.array(rows).reshape(-1, width)
        used = np.flatnonzero(table.any(axis=0))
        return cls(
            np.ascontiguousarray(table[:, used]), _TREE_POSITION[used], np.array(starts, np.int64)
        )

    def contributions(self, booster: lgb.Booster | None, matrix: Float, threads: int = 1) -> Float:
        """Contributions in log-odds, in the catalogue's order, shape (n, features)."""
        result = np.zeros((len(matrix), len(catalogue.NAMES)))
        if booster is None or not len(self.starts):
            return result
        trees = tree_matrix(matrix)
        for start in range(0, len(matrix), CHUNK):
            rows = slice(start, start + CHUNK)
            leaves = booster.predict(trees[rows], pred_leaf=True, num_threads=threads)
            leaves = np.asarray(leaves, dtype=np.int64).reshape(-1, len(self.starts))
            total = np.zeros((len(leaves), len(self.columns)))
            for tree, first in enumerate(self.starts):
                total += self.table[first + leaves[:, tree]]
            result[rows, self.columns] = total
        return result


def _walk(node: dict[str, Any], so_far: Float, leaves: list[Float]) -> None:
    if "leaf_value" in node:
        leaves[node.get("leaf_index", 0)] = so_far
        return
    for child in (node["left_child"], node["right_child"]):
        value = child.get("leaf_value", child.get("internal_value"))
        reached = so_far.copy()
        reached[node["split_feature"]] += value - node["internal_value"]
        _walk(child, reached, leaves)


@dataclass(frozen=True)
class Middle:
    """The active customer of the middle, against whom the prior's reasons are told.

    Against all customers, most of whom are long gone, a silence of a year would count in someone's
    favour and many orders against.
    """

    recency_days: float
    purchase_days: float
    tenure_days: float

    @classmethod
    def of(cls, matrix: Float, active_days: float) -> Middle:
        """Take the medians of customers who bought within so many days, or of all if none did."""
        active = column(matrix, "recency_days") <= active_days
        chosen = matrix[active] if active.any() else matrix
        # The lower of two middles: days and purchases are counted in whole numbers.
        middles = (
            np.quantile(column(chosen, name), 0.5, method="lower")
            for name in ("recency_days", "purchase_days", "tenure_days")
        )
        return cls(*map(float, middles))


def prior_contributions(prior: Prior, middle: Middle, matrix: Float, horizon_days: float) -> Float:
    """Shapley values of the silence and of the history in the prior's log-odds.

    Returns
    -------
    array
        Shape (n, features); all is in the columns ``recency_days`` and ``purchase_days``.
    """
    silence = column(matrix, "recency_days")
    own = (column(matrix, "purchase_days"), column(matrix, "tenure_days"))
    usual = tuple(
        np.full(len(matrix), value) for value in (middle.purchase_days, middle.tenure_days)
    )
    quiet = np.full(len(matrix), middle.recency_days)

    def log_odds(recency: Float, history: tuple[Float, ...]) -> Float:
        frequency = np.maximum(history[0] - 1, 0)
        age = np.maximum(np.where(frequency == 0, recency, history[1]), recency)
        last = np.where(frequency == 0, 0.0, age - recency)
        chance = prior.purchases.probability_of_no_purchase(frequency, last, age, horizon_days)
        odds: Float = logit(np.clip(chance, 1e-6, 1 - 1e-6))
        return odds

    full, neither = log_odds(silence, own), log_odds(quiet, usual)
    only_silence, only_history = log_odds(silence, usual), log_odds(quiet, own)
    result = np.zeros((len(matrix), len(catalogue.NAMES)))
    result[:, _RECENCY] = ((only_silence - neither) + (full - only_history)) / 2
    result[:, _HISTORY] = ((only_history - neither) + (full - only_silence)) / 2
    return result
