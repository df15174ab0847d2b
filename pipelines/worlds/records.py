"""What the company writes down as days go by: columns of rows, a batch at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.ingest.contract import KINDS
from pipelines.worlds.draws import Floats, Ints, uniforms

Column = NDArray[Any]
DAY_SECONDS = 86_400
MOST_LATE_DAYS = 5
NO_TEXT = -1
"""Place of no label in a list of labels."""
KIND = {name: place for place, name in enumerate(KINDS)}

TOPICS = ("delivery", "quality", "price", "service", "incentive_redeemed")
PATHS = ("web", "app", "store", "email", "phone")
"""Channels of interactions."""


@dataclass
class Rows:
    """Rows of one table: batches of columns, in the order in which they came to be."""

    batches: list[dict[str, Column]] = field(default_factory=list)

    def add(self, **columns: Column) -> None:
        """Add rows; where there are none, nothing."""
        if len(next(iter(columns.values()))):
            self.batches.append(columns)

    def columns(self, names: tuple[str, ...]) -> dict[str, Column]:
        """Give all rows, a column a name."""
        if not self.batches:
            return {name: np.zeros(0, dtype=np.int64) for name in names}
        return {name: np.concatenate([b[name] for b in self.batches]) for name in names}


@dataclass
class Records:
    """The rows of each table, and late arrivals drawn as they are written."""

    seed: int
    late_share: float
    orders: Rows = field(default_factory=Rows)
    customers: Rows = field(default_factory=Rows)
    interactions: Rows = field(default_factory=Rows)
    treatments: Rows = field(default_factory=Rows)
    contracts: Rows = field(default_factory=Rows)

    def did(
        self,
        day: int,
        ids: Ints,
        seconds: Ints,
        kind: str,
        *,
        value: Column | float = np.nan,
        topic: Column | int = NO_TEXT,
        cost: Column | float = np.nan,
        path: Column | int = NO_TEXT,
    ) -> None:
        """Write that people did something at some second of a day."""
        size = len(ids)
        if not size:
            return
        self.interactions.add(
            id=ids.astype(np.int32),
            at=moments(day, seconds),
            known=moments(day + self.delays(day, ids, kind), seconds),
            kind=np.full(size, KIND[kind], dtype=np.int8),
            value=_each(value, size, np.float64),
            topic=_each(topic, size, np.int8),
            cost=_each(cost, size, np.float64),
            path=_each(path, size, np.int8),
        )

    def delays(self, day: int, ids: Ints, of: str) -> Ints:
        """Draw how many days late what people did arrives; mostly it does not."""
        drawn = uniforms(self.seed, f"late {of}", day, ids)
        late = np.ceil(drawn / max(self.late_share, 1e-12) * MOST_LATE_DAYS)
        return np.where(drawn < self.late_share, late, 0).astype(np.int64)


def _each(value: Column | float, size: int, kind: type[np.generic]) -> Column:
    """Give a column of what is each row's own, or the same for all."""
    return value.astype(kind) if isinstance(value, np.ndarray) else np.full(size, value, kind)


def moments(days: Ints | int, seconds: Ints | int) -> Ints:
    """Give seconds since the world's start."""
    return np.asarray(days, dtype=np.int64) * DAY_SECONDS + np.asarray(seconds, dtype=np.int64)


def clock(drawn: Floats) -> Ints:
    """Turn a uniform into a second of the day, between seven in the morning and nine at night."""
    return (7 * 3600 + drawn * 14 * 3600).astype(np.int64)
