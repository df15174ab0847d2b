"""Many rows through many trees at once: a bit a row, and a processor's word at a time.

LightGBM walks each row down each tree, and every step waits for the one before. Here every split of
every tree is decided for all rows, its answers packed a bit a row, and a node's rows are its
parent's that also said left, or right. So whole trees are walked by a few hundred ANDs of long
vectors, six times as fast as row by row, in NumPy alone.

Bit-parallel trees are of Lucchese et al. 2015, "QuickScorer: A Fast Algorithm to Rank Documents
with Additive Ensembles of Regression Trees", where a word holds the leaves of one row; that a word
holds many rows instead is bit slicing, of Biham 1997, "A Fast New DES Implementation in Software".
Which leaf a row falls into is the same as LightGBM's, for every value that a feature can have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.tree_text import TreeText

Bits = NDArray[np.uint8]
Float = NDArray[np.float64]
Places = NDArray[np.intp]

ROWS_AT_ONCE = 2816
"""Rows whose bits are made at a time: more take more memory and are hardly faster, and fewer than
2,731, a third of its iterator's buffer, NumPy compares with many thresholds six times as slowly."""
_TREES_AT_ONCE = 25
"""Trees whose nodes' bits fit into a processor's second cache, 125 nodes of 63 leaves each."""
_SPLITS_AT_ONCE = 128
_LANES = 64
"""Rows are padded to so many, for words that are whole."""

# Of LightGBM's decision types (include/LightGBM/tree.h).
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_ZERO_IS_MISSING, _NAN_IS_MISSING = 1, 2
_ZERO = 1e-35
"""What LightGBM takes for zero, up to which size."""


@dataclass(frozen=True)
class BitSlices:
    """The trees of a booster, ready for many rows.

    Attributes
    ----------
    splits
        Distinct splits of all trees, those of one feature and kind together.
    groups
        The trees, some at a time, in their order.
    """

    splits: _Splits
    groups: tuple[_Group, ...]

    @classmethod
    def of(cls, trees: Sequence[TreeText]) -> BitSlices:
        """Read trees as :func:`training.tree_text.trees_of` gives them."""
        splits, places = _Splits.of(trees)
        parts = [
            slice(start, start + _TREES_AT_ONCE) for start in range(0, len(trees), _TREES_AT_ONCE)
        ]
        return cls(splits, tuple(_Group.of(trees[part], places[part]) for part in parts))

    def leaves(self, rows: Float) -> Iterator[NDArray[np.unsignedinteger]]:
        """Find the leaf of each row in every tree, some trees at a time.

        Parameters
        ----------
        rows
            Shape (n, features), in the trees' order, NaN where unknown; at best `ROWS_AT_ONCE`.

        Yields
        ------
        numpy.ndarray
            Leaves of the next trees, counted within each, shape (trees, n), unsigned.
        """
        said = self.splits.answers(rows)
        for group in self.groups:
            yield group.leaves(said)[:, : len(rows)]


@dataclass(frozen=True)
class _Numbers:
    """Splits by one feature that is a number, and that treat what is missing alike.

    Attributes
    ----------
    decision
        LightGBM's, which says what is missing and where it goes.
    bounds
        Up to which a row goes left, shape (splits, 1).
    """

    feature: int
    decision: int
    bounds: Float

    def __len__(self) -> int:
        return len(self.bounds)

    def answer(self, values: Float, unknown: NDArray[np.bool_], said: Bits) -> None:
        """Say which rows go left, shape (splits, bytes)."""
        missing, what = None, self.decision >> 2 & 3
        if what == _NAN_IS_MISSING:
            missing = unknown
        else:
            values = np.where(unknown, 0.0, values)
            missing = values == 0 if what == _ZERO_IS_MISSING else None
        scratch = np.empty((_SPLITS_AT_ONCE, len(values)), np.bool_)
        for start in range(0, len(said), _SPLITS_AT_ONCE):
            part = said[start : start + _SPLITS_AT_ONCE]
            bounds, less = self.bounds[start : start + len(part)], scratch[: len(part)]
            np.less_equal(values, bounds, out=less)
            part[:] = np.packbits(less).reshape(part.shape)
        if missing is not None and missing.any():
            if self.decision & _DEFAULT_LEFT:
                said |= np.packbits(missing)
            else:
                said &= ~np.packbits(missing)


@dataclass(frozen=True)
class _Labels:
    """Splits by one feature that is a label.

    Attributes
    ----------
    left
        255 for the labels that go left and 0 for others, shape (splits, labels).
    """

    feature: int
    left: Bits

    @classmethod
    def of(cls, feature: int, sets: Sequence[bytes]) -> _Labels:
        """Spread sets of labels, which LightGBM keeps a bit a label."""
        bits = [np.unpackbits(np.frombuffer(one, np.uint8), bitorder="little") for one in sets]
        left = np.zeros((len(bits), max(map(len, bits))), np.uint8)
        for row, one in zip(left, bits, strict=True):
            row[: len(one)] = one * 255
        return cls(feature, left[:, : 1 + int(np.flatnonzero(left.any(axis=0)).max(initial=0))])

    def __len__(self) -> int:
        return len(self.left)

    def answer(self, values: Float, unknown: NDArray[np.bool_], said: Bits) -> None:
        """Say which rows go left; neither what is unknown nor what is below zero does."""
        labels = self.left.shape[1]
        # As LightGBM cuts a number to a label: towards zero.
        named = ~unknown & (values > -1) & (values < labels)
        label = np.where(named, values, labels).astype(np.int64)
        said[:] = 0
        for place in range(labels):
            said |= self.left[:, place, None] & np.packbits(label == place)


_SPLIT = np.dtype([("feature", np.int32), ("decision", np.int32), ("left", np.float64)])


@dataclass(frozen=True)
class _Splits:
    """Distinct splits.

    Attributes
    ----------
    runs
        Those of one feature and kind each, one after the other.
    number
        How many there are.
    """

    runs: tuple[_Numbers | _Labels, ...]
    number: int

    @classmethod
    def of(cls, trees: Sequence[TreeText]) -> tuple[_Splits, list[Places]]:
        """Gather the splits of trees, and say which one each node of every tree is."""
        numbered: dict[bytes, int] = {}
        every = [_splits_of(tree, numbered) for tree in trees]
        distinct, which = np.unique(
            np.concatenate([np.empty(0, _SPLIT), *every]), return_inverse=True
        )
        kinds, sets = distinct[["feature", "decision"]], list(numbered)
        ends = np.flatnonzero(kinds[1:] != kinds[:-1]) + 1
        runs: list[_Numbers | _Labels] = []
        for run in np.split(distinct, ends) if len(distinct) else []:
            feature, decision = int(run["feature"][0]), int(run["decision"][0])
            if decision & _CATEGORICAL:
                runs.append(_Labels.of(feature, [sets[int(place)] for place in run["left"]]))
            else:
                runs.append(_Numbers(feature, decision, run["left"][:, None]))
        counts = np.cumsum([len(of_tree) for of_tree in every], dtype=np.intp)
        return cls(tuple(runs), len(distinct)), np.split(which.ravel(), counts)[:-1]

    def answers(self, rows: Float) -> Bits:
        """Say which rows go left at every split, a bit a row, shape (splits, bytes)."""
        lanes = -(-len(rows) // _LANES) * _LANES
        columns = np.zeros((rows.shape[1], lanes))
        columns[:, : len(rows)] = rows.T
        columns[np.abs(columns) <= _ZERO] = 0.0
        unknown = np.isnan(columns)
        said, first = np.empty((self.number, lanes // 8), np.uint8), 0
        for run in self.runs:
            part = said[first : first + len(run)]
            run.answer(columns[run.feature], unknown[run.feature], part)
            first += len(run)
        return said


def _splits_of(tree: TreeText, numbered: dict[bytes, int]) -> NDArray[np.void]:
    """Give a tree's splits; sets of labels are numbered as they come."""
    splits = np.empty(len(tree.split_feature), _SPLIT)
    splits["feature"], splits["decision"] = tree.split_feature, tree.decision_type
    splits["left"] = tree.threshold
    for node in np.flatnonzero(tree.decision_type & _CATEGORICAL):
        place = int(tree.threshold[node])
        begin, end = tree.cat_boundaries[place : place + 2]
        labels = tree.cat_threshold[begin:end].tobytes()
        splits["left"][node] = numbered.setdefault(labels, len(numbered))
    return splits


@dataclass(frozen=True)
class _Level:
    """Splits of trees that lie equally deep; their children follow, all left ones before the right.

    Attributes
    ----------
    nodes
        Place of each split among the group's nodes.
    splits
        Which one it is.
    first
        Place of the first child.
    """

    nodes: Places
    splits: Places
    first: int


@dataclass(frozen=True)
class _Group:
    """Some trees, whose nodes are numbered level by level, the roots first.

    Attributes
    ----------
    nodes
        How many there are; the one after them has no rows.
    ends
        The node of each tree's leaves in turn, filled up with the one without rows, shape
        (trees, width), where width is a power of two.
    """

    levels: tuple[_Level, ...]
    nodes: int
    ends: Places

    @classmethod
    def of(cls, trees: Sequence[TreeText], splits: Sequence[Places]) -> _Group:
        levels: list[_Level] = []
        found: list[tuple[int, int]] = []
        level = [(tree, 0 if len(one.split_feature) else ~0) for tree, one in enumerate(trees)]
        while level:
            inner = [(at, *node) for at, node in enumerate(level, len(found)) if node[1] >= 0]
            found += level
            if inner:
                levels.append(
                    _Level(
                        np.array([at for at, _, _ in inner], np.intp),
                        np.array([splits[tree][node] for _, tree, node in inner], np.intp),
                        len(found),
                    )
                )
            level = [(tree, int(trees[tree].left_child[node])) for _, tree, node in inner]
            level += [(tree, int(trees[tree].right_child[node])) for _, tree, node in inner]
        most = max(len(tree.leaf_value) for tree in trees)
        ends = np.full((len(trees), 1 << (most - 1).bit_length()), len(found), np.intp)
        for at, (tree, node) in enumerate(found):
            if node < 0:
                ends[tree, ~node] = at
        return cls(tuple(levels), len(found), ends)

    def leaves(self, said: Bits) -> NDArray[np.unsignedinteger]:
        """Find leaves from the answers of all splits, shape (trees, lanes)."""
        trees, width = self.ends.shape
        # Who comes to a node, a bit a row.
        here = np.empty((self.nodes + 1, said.shape[1]), np.uint8)
        here[:trees], here[-1] = 255, 0
        for level in self.levels:
            above, splits = here[level.nodes], len(level.nodes)
            left = here[level.first : level.first + splits]
            np.take(said, level.splits, axis=0, out=left, mode="clip")
            left &= above
            right = here[level.first + splits : level.first + 2 * splits]
            np.bitwise_xor(above, left, out=right)
        ends = here[self.ends]
        leaves = np.zeros((trees, said.shape[1] * 8), np.uint8 if width <= 1 << 8 else np.uint16)
        # A leaf's number has a bit for every halving of the leaves, the highest first.
        for bit in reversed(range(width.bit_length() - 1)):
            half = 1 << bit
            upper = ends[:, half:]
            anyone = np.unpackbits(_any(upper), axis=1).astype(leaves.dtype, copy=False)
            leaves |= anyone << np.uint8(bit)
            ends = ends[:, :half] | upper
        return leaves


def _any(ends: Bits) -> Bits:
    """Say which rows are at any of a power of two of nodes, shape (trees, bytes)."""
    while ends.shape[1] > 1:
        half = ends.shape[1] // 2
        ends = ends[:, :half] | ends[:, half:]
    return ends[:, 0]
