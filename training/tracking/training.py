"""All that a training found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.catalogue import JOIN_KEY
from training.bundle import ScorerBundle
from training.contest import Contest
from training.dataset import LabelledDay
from training.evaluation import Evaluation
from training.recipe import Learned

SAMPLED = 20_000
"""Customers of the training's day by whom it is described; a PSI of so many errs by 0.001."""


@dataclass(frozen=True)
class Training:
    """Everything that a training found, of which a run records what is nobody's in particular.

    Attributes
    ----------
    contests
        The judged days, oldest first, with the answers for each customer.
    days
        Every labelled day that was learned from.
    rows
        Customers of all matured days together.
    customers
        Who had bought by the day of the training.
    today
        Features of these on that day, of at most :data:`SAMPLED` drawn at random, without ids and
        in no order.
    """

    bundle: ScorerBundle
    learned: Learned
    evaluation: Evaluation | None
    contests: tuple[Contest, ...]
    days: tuple[LabelledDay, ...]
    fingerprint: str
    rows: int
    customers: int
    today: pa.Table


def sample_of(today: pa.Table, seed: int) -> tuple[int, pa.Table]:
    """Count those who have bought, and draw some of them, in no order.

    >>> table = pa.table({"customer_id": [1, 2, 3], "purchases": [2, 0, 1]})
    >>> count, drawn = sample_of(table, seed=7)
    >>> count, drawn.column_names, sorted(drawn["purchases"].to_pylist())
    (2, ['purchases'], [1, 2])
    """
    buyers = np.flatnonzero(pc.fill_null(pc.greater(today["purchases"], 0), False))
    drawn = np.random.default_rng(seed).permutation(buyers)[:SAMPLED]
    return len(buyers), today.drop_columns([JOIN_KEY]).take(pa.array(drawn))
