"""Few rows through many trees: one call for the leaves, and their values by table.

A call of LightGBM takes as long for one row as what it computes for a hundred. Sums are made in the
same groups and order as for many rows (:func:`training.trees.corrections`), so that they are the
same to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Places = NDArray[np.int64]

FEW_ROWS = 16
"""Rows up to whom a table of leaves is quicker than LightGBM's own sums."""


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
        trees = booster.dump_model()["tree_info"]
        counts = np.array([tree["num_leaves"] for tree in trees], np.int64)
        values = [
            booster.get_leaf_output(number, leaf)
            for number, count in enumerate(counts.tolist())
            for leaf in range(count)
        ]
        return cls(booster, np.cumsum(counts) - counts, np.array(values, np.float64))

    def found(self, rows: Float, threads: int = 1) -> Places:
        """Find the place of each row's leaf in every tree, shape (n, trees).

        Parameters
        ----------
        rows
            In the order of :data:`training.dataset.TREE_FEATURES`.
        """
        leaves = self.booster.predict(rows, pred_leaf=True, num_threads=threads)
        return np.asarray(leaves, np.int64).reshape(len(rows), -1) + self.starts

    def sums(self, found: Places, group: int) -> Float:
        """Add up the leaves that were found of each row, shape (n,), in groups of so many trees."""
        values = self.values[found]
        total: Float = np.zeros(len(found))
        for first in range(0, len(self.starts), group):
            part = values[:, first : first + group]
            # Counted one after the other, as LightGBM adds; NumPy's sum would go by pairs.
            row = np.repeat(np.arange(len(found)), part.shape[1])
            total += np.bincount(row, part.ravel(), len(found))
        return total
