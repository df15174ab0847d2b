"""Retrieved features by day: in memory while they are few, in files when they are many."""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

Float = NDArray[np.float64]


@dataclass(frozen=True)
class TrainingSet:
    """What the feature store said of every customer on every matured day.

    Attributes
    ----------
    days
        By day, oldest first: ``customer_id`` and the features, or the Parquet file of these.
    folder
        Where matrices of these days go as well; None keeps them in memory.
    """

    days: Mapping[date, pa.Table | Path]
    folder: Path | None = None

    @property
    def rows(self) -> int:
        """Customers of all days together."""
        return sum(
            pq.read_metadata(held).num_rows if isinstance(held, Path) else held.num_rows
            for held in self.days.values()
        )

    def day(self, as_of: date) -> pa.Table:
        """Give one day's rows."""
        held = self.days[as_of]
        return pq.read_table(held) if isinstance(held, Path) else held

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Give some columns of all days."""
        return pa.concat_tables(
            pq.read_table(held, columns=list(names))
            if isinstance(held, Path)
            else held.select(list(names))
            for held in self.days.values()
        )

    def keep(self, as_of: date, matrix: Float) -> Float:
        """Put a day's matrix where this training set has its place, and give it back from there."""
        if self.folder is None:
            return matrix
        file = self.folder / f"{as_of.isoformat()}.npy"
        np.save(file, matrix)
        kept: Float = np.load(file, mmap_mode="r")
        return kept


def let_go(matrix: Float) -> None:
    """Let the system take back the memory of a matrix that lies in a file, after a pass over it."""
    if isinstance(matrix, np.memmap):
        pages: mmap.mmap = matrix._mmap  # type: ignore[attr-defined]
        pages.madvise(mmap.MADV_DONTNEED)
