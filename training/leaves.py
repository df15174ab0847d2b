"""Rows through many trees: the leaves once, and what follows from them by table.

A call of LightGBM takes as long for one row as what it computes for a hundred, and many rows are
quicker a bit a row (:mod:`training.bitslices`); where a score is to be attributed too, both follow
from the same leaves. Sums are made in the same groups and order as LightGBM's own
(:func:`added_up`), so that all of these ways are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from training.bitslices import ROWS_AT_ONCE, BitSlices
from training.tree_text import trees_of

Float = NDArray[np.float64]
Places = NDArray[np.int32]

TREES_AT_ONCE = 250
"""Trees that rows go through at a time: 500 of 63 leaves, which no processor's cache near to it
holds, take a sixth longer at once. One row takes longer in groups, so that they are large."""
FEW_ROWS = 16
"""Rows up to whom a table of leaves is quicker than LightGBM's own sums."""
MANY_ROWS = 1_500
"""Rows from which they are walked a bit a row: more than a request can ask for, so that none waits
until the slices are made."""
CHUNK = 1024
"""Rows that are looked up at a time, few enough for the cache of a processor."""


@dataclass(frozen=True)
class Walk:
    """What came of rows that went through a booster's trees.

    Attributes
    ----------
    sums
        What the trees add up to, shape (n,).
    leaves
        The place of each row's leaf in every tree, shape (n, trees), where that was found.
    """

    sums: Float
    leaves: Places | None

    @classmethod
    def joined(cls, parts: Sequence[Walk]) -> Walk:
        """Put walks of rows that follow one another together."""
        if len(parts) == 1:
            return parts[0]
        known = [part.leaves for part in parts if part.leaves is not None]
        return cls(
            np.concatenate([part.sums for part in parts]),
            np.concatenate(known) if len(known) == len(parts) else None,
        )


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

    def walk(self, rows: Float, threads: int = 1, attributed: bool = False) -> Walk:
        """Send rows through the trees, by the way that is quickest for so many.

        Parameters
        ----------
        rows
            In the order of :data:`training.dataset.TREE_FEATURES`.
        attributed
            The leaves are wanted, whatever they cost.
        """
        if len(rows) >= MANY_ROWS:
            return self._sliced(rows, attributed)
        if attributed or len(rows) <= FEW_ROWS:
            found = self._asked(rows, threads)
            return Walk(self.sums(found), found)
        return Walk(added_up(self.booster, rows, threads), None)

    def found(self, rows: Float, threads: int = 1) -> Places:
        """Find the place of each row's leaf in every tree, shape (n, trees).

        Parameters
        ----------
        rows
            In the order of :data:`training.dataset.TREE_FEATURES`.
        """
        sliced = self._sliced(rows, attributed=True).leaves if len(rows) >= MANY_ROWS else None
        return self._asked(rows, threads) if sliced is None else sliced

    def _asked(self, rows: Float, threads: int) -> Places:
        """Ask LightGBM for the leaves."""
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

    def sums(self, found: Places) -> Float:
        """Add up the leaves that were found of each row, shape (n,)."""
        total: Float = np.zeros(len(found))
        for start in range(0, len(found), CHUNK):
            places = found[start : start + CHUNK]
            for first in range(0, len(self.starts), TREES_AT_ONCE):
                values = self.values[places[:, first : first + TREES_AT_ONCE]]
                # Counted one after the other, as LightGBM adds; NumPy's sum would go by pairs.
                row = np.repeat(np.arange(len(values)), values.shape[1])
                total[start : start + CHUNK] += np.bincount(row, values.ravel(), len(values))
        return total

    @cached_property
    def _slices(self) -> BitSlices:
        return BitSlices.of(list(trees_of(self.booster)))

    def _sliced(self, rows: Float, attributed: bool) -> Walk:
        """Walk many rows a bit a row."""
        sums: Float = np.zeros(len(rows))
        found: Places | None = (
            np.empty((len(rows), len(self.starts)), np.int32) if attributed else None
        )
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            first, group = 0, sums[part]
            for leaves in self._slices.leaves(rows[part]):
                starts = self.starts[first : first + len(leaves), None]
                places = leaves + starts
                for of_tree in places:
                    if first % TREES_AT_ONCE == 0:
                        group = np.zeros(len(of_tree))
                    group += self.values.take(of_tree)
                    first += 1
                    if first % TREES_AT_ONCE == 0 or first == len(self.starts):
                        sums[part] += group
                if found is not None:
                    found[part, first - len(places) : first] = places.T
        return Walk(sums, found)


def added_up(booster: lgb.Booster, rows: Float, threads: int) -> Float:
    """Add the trees up, in the same groups however many rows there are: to the last bit alike."""
    sums: Float = np.zeros(len(rows))
    for first in range(0, booster.num_trees(), TREES_AT_ONCE):
        sums += booster.predict(
            rows,
            raw_score=True,
            num_threads=threads,
            start_iteration=first,
            num_iteration=TREES_AT_ONCE,
        )
    return sums
