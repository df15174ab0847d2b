"""Who has changed between the scores of two days."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.catalogue import JOIN_KEY
from serving.exports.mapping import WATCHED


@dataclass(frozen=True)
class Changes:
    """Who is new, changed or gone.

    Attributes
    ----------
    fresh
        Whether each row of the later scores is new, shape (n,).
    changed
        Whether each is of a customer whose watched columns have changed, shape (n,).
    before
        The watched columns as they were, row by row of the later scores; null for the new.
    gone
        Whether each row of the earlier scores is of a customer who is not in the later ones.
    """

    fresh: NDArray[np.bool_]
    changed: NDArray[np.bool_]
    before: pa.Table
    gone: NDArray[np.bool_]


def changes_between(earlier: Path, later: Path, watch: tuple[str, ...] = WATCHED) -> Changes:
    """Compare the scores of two days, customer by customer."""
    old, new = (_watched(path) for path in (earlier, later))
    keys, known = new[JOIN_KEY].combine_chunks(), old[JOIN_KEY].combine_chunks()
    places = pc.index_in(keys, value_set=known)
    fresh = places.is_null().to_numpy(zero_copy_only=False)
    before = old.select(WATCHED).take(places)
    changed = np.zeros(len(keys), dtype=bool)
    for name in watch:
        same = pc.equal(pc.fill_null(new[name], ""), pc.fill_null(before[name], ""))
        changed |= ~same.to_numpy().astype(bool)
    gone = ~pc.is_in(known, value_set=keys).to_numpy(zero_copy_only=False)
    return Changes(fresh, changed & ~fresh, before, gone)


def _watched(path: Path) -> pa.Table:
    return pq.read_table(path, columns=[JOIN_KEY, *WATCHED])
