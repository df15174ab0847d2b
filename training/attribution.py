"""Which features moved a churn prediction, and by how much: fast along the paths, or exactly.

The prior is attributed by Shapley values of two players, the silence and the history before it,
against a customer of the middle. The trees are attributed either along each row's decision path
(Saabas 2014), where the change of a node's value goes to the feature that was split on, or exactly
by TreeSHAP (Lundberg, Erion and Lee 2018, "Consistent Individualized Feature Attribution for Tree
Ensembles"). All of them are additive: what the features add and the base make the log-odds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import logit

from features import catalogue
from training.dataset import TREE_FEATURES, tree_matrix
from training.leaves import CHUNK, FEW_ROWS, Places
from training.prior import Prior, column, summary
from training.tree_text import TreeText, trees_of

Float = NDArray[np.float64]
Method = Literal["fast", "exact"]
"""How trees are attributed: along the paths, or by TreeSHAP at a hundredth of the speed."""

TREES_AT_ONCE = 125
"""Trees whose contributions are added up at a time, few enough for the cache of a processor."""

_TREE_POSITION = np.array([catalogue.NAMES.index(name) for name in TREE_FEATURES])
_RECENCY = catalogue.NAMES.index("recency_days")
_HISTORY = catalogue.NAMES.index("purchase_days")


@dataclass(frozen=True)
class Attribution:
    """What each feature adds to log-odds that start from a base.

    Attributes
    ----------
    contributions
        In log-odds, in the catalogue's order, shape (n, features).
    base
        The log-odds before any feature is looked at; with a row's contributions they make its own.
        One for all, or one a row where not all are answered by one model, shape (n,).
    """

    contributions: Float
    base: float | Float


@dataclass(frozen=True)
class PathAttribution:
    """Per-leaf contributions of every tree, looked up by the leaf that a row falls into.

    Attributes
    ----------
    groups
        The trees, `TREES_AT_ONCE` at a time.
    base
        The sum of the trees' values at their roots.
    """

    groups: tuple[_Group, ...]
    base: float

    @classmethod
    def of(cls, booster: lgb.Booster | None) -> PathAttribution:
        """Read the paths out of a booster; a split by category is a split as any other."""
        trees = list(trees_of(booster)) if booster is not None else []
        groups = tuple(
            _Group.of(trees[first : first + TREES_AT_ONCE], first)
            for first in range(0, len(trees), TREES_AT_ONCE)
        )
        return cls(groups, sum(_value(tree, _root(tree)) for tree in trees))

    def attribute(self, found: Places) -> Attribution:
        """Attribute the trees' raw score.

        Parameters
        ----------
        found
            The place of each row's leaf in every tree (:meth:`training.leaves.Leaves.found`), shape
            (n, trees).
        """
        result = np.zeros((len(found), len(catalogue.NAMES)))
        for start in range(0, len(found), CHUNK):
            rows, first = slice(start, start + CHUNK), 0
            added = np.zeros((len(found[rows]), len(TREE_FEATURES)))
            for group in self.groups:
                leaves = found[rows, group.first : group.first + group.trees] - first
                added += group.contributions(leaves)
                first += group.table.shape[0]
            result[rows, _TREE_POSITION] = added
        return Attribution(result, self.base)


@dataclass(frozen=True)
class _Group:
    """Some of a booster's trees.

    Attributes
    ----------
    first, trees
        Place of the first in the booster, and how many there are.
    table
        Contribution of each feature that is split on above each leaf, all trees stacked, sparse,
        shape (leaves, features of the trees).
    """

    first: int
    trees: int
    table: Any

    @classmethod
    def of(cls, trees: Sequence[TreeText], first: int) -> _Group:
        leaves = [leaf for tree in trees for leaf in _paths(tree)]
        table = sparse.csr_matrix(
            (
                np.array([value for leaf in leaves for value in leaf.values()], np.float64),
                np.array([place for leaf in leaves for place in leaf], np.int32),
                np.cumsum([0, *map(len, leaves)], dtype=np.int32),
            ),
            shape=(len(leaves), len(TREE_FEATURES)),
        )
        return cls(first, len(trees), table)

    def contributions(self, leaves: Places) -> Float:
        """Add up what each feature contributes over these trees, a row a customer.

        Parameters
        ----------
        leaves
            Rows of the table, shape (n, trees).
        """
        # The leaves' own cells, added up as they come: cheaper than a sparse product.
        rows, width = len(leaves), len(TREE_FEATURES)
        if rows > FEW_ROWS:
            chosen = self.table[leaves.ravel()]
            cells = chosen.data, chosen.indices, chosen.indptr[:: self.trees]
            return np.asarray(sparse.csr_matrix(cells, (rows, width)).toarray())
        # Of few, counting costs less than making a matrix.
        pointers = self.table.indptr
        first, counts = pointers[leaves].ravel(), np.diff(pointers)[leaves]
        ends = np.cumsum(counts)
        places = np.arange(ends[-1]) + np.repeat(first - ends + counts.ravel(), counts.ravel())
        begins = np.repeat(np.arange(0, rows * width, width), counts.sum(axis=1))
        sums = np.bincount(
            self.table.indices[places] + begins,
            weights=self.table.data[places],
            minlength=rows * width,
        )
        return np.asarray(sums, dtype=np.float64).reshape(rows, width)


def _root(tree: TreeText) -> int:
    return 0 if len(tree.split_feature) else ~0


def _value(tree: TreeText, node: int) -> float:
    return float(tree.split_value[node] if node >= 0 else tree.leaf_value[~node])


def _paths(tree: TreeText) -> list[dict[int, float]]:
    """What each feature that is split on above a leaf contributes there, leaf by leaf."""
    leaves: list[dict[int, float]] = [{} for _ in tree.leaf_value]
    children = list(zip(tree.left_child.tolist(), tree.right_child.tolist(), strict=True))
    features = tree.split_feature.tolist()
    open_nodes = [(_root(tree), leaves[0])]
    while open_nodes:
        node, so_far = open_nodes.pop()
        if node < 0:
            leaves[~node] = so_far
            continue
        split, value = features[node], _value(tree, node)
        for child in children[node]:
            change = so_far.get(split, 0.0) + _value(tree, child) - value
            open_nodes.append((child, {**so_far, split: change}))
    return leaves


def tree_shap(booster: lgb.Booster | None, matrix: Float, threads: int = 1) -> Attribution:
    """Attribute the trees' raw score exactly, by LightGBM's own TreeSHAP."""
    result = np.zeros((len(matrix), len(catalogue.NAMES)))
    if booster is None or not len(matrix):
        return Attribution(result, 0.0)
    found = booster.predict(tree_matrix(matrix), pred_contrib=True, num_threads=threads)
    result[:, _TREE_POSITION] = found[:, :-1]
    return Attribution(result, float(found[0, -1]))


@dataclass(frozen=True)
class Middle:
    """The active customer of the middle, against whom the prior's reasons are told.

    Against all customers, most of whom are long gone, a silence of a year would count in someone's
    favour and many orders against.

    Attributes
    ----------
    recency_days, purchase_days, tenure_days
        Medians of the active customers.
    usual
        Their median of every feature that is a number, by name; told beside a customer's own.
    """

    recency_days: float
    purchase_days: float
    tenure_days: float
    usual: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, matrix: Float, active_days: float) -> Middle:
        """Take the medians of customers who bought within so many days, or of all if none did."""
        active = column(matrix, "recency_days") <= active_days
        chosen = matrix[active] if active.any() else matrix
        usual = {
            name: _lower_median(column(chosen, name))
            for name in TREE_FEATURES
            if name not in catalogue.CATEGORIES and np.isfinite(column(chosen, name)).any()
        }
        return cls(
            _lower_median(column(chosen, "recency_days")),
            _lower_median(column(chosen, "purchase_days")),
            _lower_median(column(chosen, "tenure_days")),
            usual,
        )


def _lower_median(values: Float) -> float:
    """Take the lower of two middles: days and purchases are counted in whole numbers."""
    return float(np.nanquantile(values, 0.5, method="lower"))


def attribute_prior(
    prior: Prior, middle: Middle, matrix: Float, horizon_days: float
) -> Attribution:
    """Shapley values of the silence and of the history in the prior's log-odds.

    All is in the columns ``recency_days`` and ``purchase_days``; the base is the customer of the
    middle.
    """
    own = summary(matrix)
    silence = column(matrix, "recency_days")
    usual = (
        np.full(len(matrix), middle.purchase_days - 1),
        np.full(len(matrix), middle.tenure_days),
    )
    quiet = np.full(len(matrix), middle.recency_days)
    players = [
        own,
        *(
            _mixed(recency, *history)
            for recency, history in (
                (quiet, usual),
                (silence, usual),
                (quiet, (own[0], own[2])),
            )
        ),
    ]
    # All four at once: for a few customers a call costs more than what it computes.
    frequency, last, age = (np.concatenate(facts) for facts in zip(*players, strict=True))
    chance = prior.purchases.probability_of_no_purchase(frequency, last, age, horizon_days)
    full, neither, only_silence, only_history = np.split(logit(np.clip(chance, 1e-6, 1 - 1e-6)), 4)
    result = np.zeros((len(matrix), len(catalogue.NAMES)))
    result[:, _RECENCY] = ((only_silence - neither) + (full - only_history)) / 2
    result[:, _HISTORY] = ((only_history - neither) + (full - only_silence)) / 2
    return Attribution(result, float(neither[0]) if len(neither) else 0.0)


def _mixed(recency: Float, frequency: Float, tenure: Float) -> tuple[Float, Float, Float]:
    """Put one customer's silence on another's history, so that it can be anyone's: (x, t_x, T)."""
    once = frequency <= 0
    age = np.where(once, recency, np.maximum(tenure, recency))
    return np.maximum(frequency, 0.0), np.where(once, 0.0, age - recency), age
