"""A scoring in a few lines: how many customers a stage has, and what is expected of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from training.stages import STAGES

SUMMARISED = (
    "lifecycle_stage", "action", "churn_probability", "expected_spend", "clv_12m", "action_value",
)  # fmt: skip
_NUMBERS = SUMMARISED[2:]


class StageSummary:
    """Adds scores up, batch by batch.

    Parameters
    ----------
    labels
        What each of :data:`training.stages.STAGES` is called.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels
        self.customers = 0
        self._counts = np.zeros(len(STAGES), np.int64)
        self._sums = {name: np.zeros(len(STAGES)) for name in _NUMBERS}
        self._actions: list[dict[str, int]] = [{} for _ in STAGES]

    def add(self, batch: pa.RecordBatch) -> None:
        """Count some customers; the columns of :data:`SUMMARISED` are looked at."""
        stage = pc.index_in(batch.column("lifecycle_stage"), pa.array(STAGES)).to_numpy()
        self.customers += batch.num_rows
        self._counts += np.bincount(stage, minlength=len(STAGES))
        for name in _NUMBERS:
            weights = batch.column(name).to_numpy(zero_copy_only=False)
            self._sums[name] += np.bincount(stage, weights, minlength=len(STAGES))
        pairs = pa.table({"stage": stage, "action": batch.column("action")})
        counted = pairs.group_by(["stage", "action"]).aggregate([([], "count_all")])
        for row in counted.to_pylist():
            actions = self._actions[row["stage"]]
            actions[row["action"]] = actions.get(row["action"], 0) + row["count_all"]

    def rows(self) -> list[dict[str, Any]]:
        """Give a row a stage that has customers, in the order of a customer's life."""
        return [self._row(place) for place in np.flatnonzero(self._counts).tolist()]

    def _row(self, place: int) -> dict[str, Any]:
        customers = int(self._counts[place])
        total = {name: float(sums[place]) for name, sums in self._sums.items()}
        return {
            "stage": STAGES[place],
            "label": self._labels[place],
            "customers": customers,
            "churn_probability": total["churn_probability"] / customers,
            "expected_spend": total["expected_spend"],
            "clv_12m": total["clv_12m"] / customers,
            "action_value": total["action_value"],
            "actions": dict(sorted(self._actions[place].items(), key=lambda a: (-a[1], a[0]))),
        }
