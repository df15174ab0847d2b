"""Rows through many trees: the leaves once, and what follows from them by table.

A call of LightGBM takes as long for one row as what it computes for a hundred; and where a score is
to be attributed too, both follow from the same leaves. Sums are made in the same groups and order
as LightGBM's own (:func:`training.trees.corrections`), so that they are the same to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from training.tree_text import trees_of

Float = NDArray[np.float64]
Places = NDArray[np.int32]

TREES_AT_ONCE = 250
"""Trees that rows go through at a time: 500 of 63 leaves, which no processor's cache near to it
holds, take a sixth longer at once. One row takes longer in groups, so that they are large."""
FEW_ROWS = 16
"""Rows up to whom a table of leaves is quicker than LightGBM's own sums."""
CHUNK = 1024
"""Rows that are looked up at a time, few enough for the cache of a processor."""


@dataclass(frozen=True)
class Leaves:
    """The leaves of a booster, one tree's after the other's.

    Attributes
    ----------
    starts
        Place of each tree's first leaf, shape (trees,).
    values
        Output of each leaf.
    """

    booster: lgb.Booster
    starts: Places
    values: Float

    @classmethod
    def of(cls, booster: lgb.Booster) -> Leaves:
        """Read a booster's leaves."""
        values = [tree.leaf_value for tree in trees_of(booster)]
        counts = np.array([len(one) for one in values], np.int32)
        starts = np.cumsum(counts, dtype=np.int32) - counts
        return cls(booster, starts, np.concatenate([np.empty(0), *values]))

    def found(self, rows: Float, threads: int = 1) -> Places:
        """Find the place of each row's leaf in every tree, shape (n, trees).

        Parameters
        ----------
        rows
            In the order of :data:`training.dataset.TREE_FEATURES`.
        """
        found: Places = np.empty((len(rows), len(self.starts)), np.int32)
        if not len(rows):
            return found
        # Few rows in one call; of many, few trees at a time, which the cache can hold.
        group = len(self.starts) if len(rows) <= FEW_ROWS else TREES_AT_ONCE
        for first in range(0, len(self.starts), group):
            part = slice(first, first + group)
            leaves = self.booster.predict(
                rows,
                pred_leaf=True,
                num_threads=threads,
                start_iteration=first,
                num_iteration=group,
            )
            found[:, part] = np.asarray(leaves).reshape(len(rows), -1)
        found += self.starts
        return found

    def sums(self, found: Places, group: int = TREES_AT_ONCE) -> Float:
        """Add up the leaves that were found of each row, shape (n,), in groups of so many trees."""
        total: Float = np.zeros(len(found))
        for start in range(0, len(found), CHUNK):
            places = found[start : start + CHUNK]
            for first in range(0, len(self.starts), group):
                values = self.values[places[:, first : first + group]]
                # Counted one after the other, as LightGBM adds; NumPy's sum would go by pairs.
                row = np.repeat(np.arange(len(values)), values.shape[1])
                total[start : start + CHUNK] += np.bincount(row, values.ravel(), len(values))
        return total
