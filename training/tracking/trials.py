"""Trials in MLflow: steps of one run, logged at once.

A nested run for each costs twenty times more.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import polars as pl

from training.tracking.metrics import Number, tuned
from training.tuning.search import Trial

BATCH = 1000
"""Metrics that MLflow takes at once."""


def log_numbers(
    client: Any,  # noqa: ANN401 - MLflow is untyped
    run_id: str,
    numbers: Sequence[Number],
    model_id: str | None = None,
) -> None:
    """Log metrics of a run, and of a model of it, in as few calls as MLflow allows."""
    from mlflow.entities import Metric  # noqa: PLC0415 - takes seconds to import

    moment = int(time.time() * 1000)
    metrics = [
        Metric(
            n.name,
            n.rounded,
            moment if n.moment is None else n.moment,
            n.step,
            model_id=model_id,
            run_id=run_id,
        )
        for n in numbers
    ]
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])


def log_trials(client: Any, run_id: str, task: str, trials: Sequence[Trial]) -> None:  # noqa: ANN401
    """Log the loss of every trial."""
    log_numbers(client, run_id, tuned(task, trials))


def table(trials: Sequence[Trial]) -> pl.DataFrame:
    """List trials with their state, loss and parameters, a row each."""
    return pl.DataFrame(
        [{"trial": t.number, "state": t.state, "loss": t.value, **t.parameters} for t in trials],
        infer_schema_length=None,
    )
