"""Features as a matrix of floats: numbers as they are, text categories as a model's own codes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.catalogue import (
    ACTIONS_LISTED,
    CATEGORIES,
    CATEGORIES_LISTED,
    JOIN_KEY,
    NAMES,
)
from features.listed import action_code, action_of, code_all, name_code

Float = NDArray[np.float64]

_MOST_LABELS = 60
_FEWEST_CUSTOMERS = 20
_CATEGORIES = frozenset(CATEGORIES)
_LISTED: Mapping[str, Callable[[str], float]] = {
    **dict.fromkeys(CATEGORIES_LISTED, name_code),
    **dict.fromkeys(ACTIONS_LISTED, action_code),
}


@dataclass(frozen=True)
class Vocabulary:
    """Which text stands for which code; fitted once and kept with the model that learned from it.

    Lists of facts (:data:`features.catalogue.LISTED`), which no model learns from, have codes that
    are the same to all: see :mod:`features.listed`.

    Attributes
    ----------
    labels
        The common labels of each category; a label's place is its code. All others share the next
        code, and a null is NaN.

    Examples
    --------
    >>> known = Vocabulary({"region": ("north", "south")})
    >>> known.codes("region", pa.array(["south", "elsewhere", None]))
    array([ 1.,  2., nan])
    >>> Vocabulary().codes("region", pa.array(["south"]))
    array([nan])
    """

    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def fit(cls, table: pa.Table) -> Vocabulary:
        """Take the labels that are common in a table of features, the commonest first.

        Customers are counted, not rows: one customer on twenty days makes no label common.
        """
        labels = {}
        for name in CATEGORIES:
            if name in _LISTED:
                continue
            held = table.select([name, JOIN_KEY]).filter(pc.field(name).is_valid())
            counts = held.group_by(name).aggregate([(JOIN_KEY, "count_distinct")])
            common = counts.filter(pc.field(f"{JOIN_KEY}_count_distinct") >= _FEWEST_CUSTOMERS)
            if common.num_rows:
                ranked = common.sort_by(
                    [(f"{JOIN_KEY}_count_distinct", "descending"), (name, "ascending")]
                )
                labels[name] = tuple(ranked[name].to_pylist()[:_MOST_LABELS])
        return cls(labels)

    def code(self, name: str, value: str | None) -> float:
        """Turn one text of a category into its code, as :meth:`codes` does many."""
        known = self._codes.get(name)
        if value is None:
            return math.nan
        if known is None:
            return _LISTED[name](value) if name in _LISTED else math.nan
        return known.get(value, float(len(known)))

    @cached_property
    def _codes(self) -> dict[str, dict[str, float]]:
        return {
            name: {label: float(code) for code, label in enumerate(labels)}
            for name, labels in self.labels.items()
            if labels
        }

    @cached_property
    def _entries(self) -> dict[float, str]:
        """Those entries of lists that are known by name."""
        names = ("category_favourite", "treatment_last")
        return {name_code(label): label for name in names for label in self.labels.get(name, ())}

    def codes(self, name: str, values: pa.Array) -> Float:
        """Turn a category's texts into codes, shape (n,)."""
        known = self.labels.get(name, ())
        if name in _LISTED:
            return code_all(values, _LISTED[name])
        if not known:
            return np.full(len(values), np.nan)
        places = pc.index_in(values.cast(pa.string()), pa.array(known, pa.string()))
        coded = pc.if_else(pc.is_valid(values), pc.fill_null(places, len(known)), None)
        return np.asarray(coded.cast(pa.float64()).to_numpy(zero_copy_only=False))

    def in_words(self, row: Float) -> dict[str, float | str | None]:
        """Name the values of one row in the catalogue's order, categories by their labels.

        A label without a code of its own is told as ``another``.
        """
        named: dict[str, float | str | None] = {}
        for name, value in zip(NAMES, row.tolist(), strict=True):
            if np.isnan(value):
                named[name] = None
            elif name in CATEGORIES_LISTED:
                named[name] = self._entries.get(value, "another")
            elif name in ACTIONS_LISTED:
                action, days = action_of(value)
                named[name] = f"{self._entries.get(action, 'another')}:{days}"
            elif name in CATEGORIES:
                known = self.labels.get(name, ())
                named[name] = known[int(value)] if value < len(known) else "another"
            else:
                named[name] = value
        return named


def matrix_of(table: pa.Table, vocabulary: Vocabulary) -> Float:
    """Turn a table of features into a matrix in the catalogue's order; null is NaN."""
    matrix = np.empty((table.num_rows, len(NAMES)))
    for place, name in enumerate(NAMES):
        matrix[:, place] = _column(table, name, vocabulary)
    return matrix


def _column(table: pa.Table, name: str, vocabulary: Vocabulary) -> Float:
    values = table[name].combine_chunks()
    if name in CATEGORIES:
        return vocabulary.codes(name, values)
    return np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False))


def matrix_of_rows(rows: Sequence[Mapping[str, Any]], vocabulary: Vocabulary) -> Float:
    """Turn rows that were given one by one into a matrix in the catalogue's order.

    Parameters
    ----------
    rows
        Each with a value for every feature, None where unknown: text of categories, else numbers.
    """
    return np.array(
        [
            [
                vocabulary.code(name, row[name]) if name in _CATEGORIES else row[name]
                for name in NAMES
            ]
            for row in rows
        ],
        # None becomes NaN.
        dtype=np.float64,
    )


def recoded(matrix: Float, now: Vocabulary, wanted: Vocabulary) -> Float:
    """Give the same rows in another model's codes.

    A label for which the first model has no code of its own is one of the other's common labels to
    nobody: it becomes the code that all others share.
    """
    changed = matrix.copy()
    for name in CATEGORIES:
        if name in _LISTED:
            continue
        place = NAMES.index(name)
        labels = now.labels.get(name, ())
        known = {label: float(code) for code, label in enumerate(wanted.labels.get(name, ()))}
        others = float(len(known)) if known else np.nan
        # After the labels' own codes the one that all others share, and null.
        codes: Float = np.array([*(known.get(one, others) for one in labels), others, np.nan])
        held = matrix[:, place]
        changed[:, place] = codes[np.where(np.isnan(held), len(codes) - 1, held).astype(np.int64)]
    return changed
