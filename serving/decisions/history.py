"""What was said of one customer before: by the endpoint, and by the batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import polars as pl

from serving.decisions.archive import Archive

TOLD = ("churn_probability", "expected_spend", "clv_12m", "lifecycle_stage", "action")
BATCHES = 12
"""Newest batches that are looked through."""


@dataclass(frozen=True)
class Said:
    """One answer of the past.

    Attributes
    ----------
    said
        The values of :data:`TOLD`.
    """

    at: datetime
    by: Literal["endpoint", "batch"]
    as_of: str
    decision_id: str
    model_version: int
    said: dict[str, Any]


def history_of(customer: int | str, archive: Archive | None, scores: Path, most: int) -> list[Said]:
    """List what was said of a customer, newest first.

    Parameters
    ----------
    archive
        The record of the endpoint's decisions, if one is kept.
    scores
        Folder of the batches' scores: in it one for each type of key, a Parquet file a day.
    """
    found = [*_batches(customer, scores)]
    for decision in archive.of_customer(customer, most) if archive is not None else []:
        answer = decision.answer
        found.append(
            Said(
                decision.at,
                "endpoint",
                answer["as_of"],
                decision.decision_id,
                decision.model_version,
                {name: answer[name] for name in TOLD},
            )
        )
    return sorted(found, key=lambda one: one.at, reverse=True)[:most]


def _batches(customer: int | str, scores: Path) -> Iterator[Said]:
    kind = "integer" if isinstance(customer, int) else "text"
    files = sorted(scores.glob(f"v*_{kind}_ids/[!.]*.parquet"), key=lambda f: f.stem, reverse=True)
    for file in files[:BATCHES]:
        rows = pl.scan_parquet(file).filter(pl.col("customer_id") == customer).collect()
        for row in rows.iter_rows(named=True):
            yield Said(
                row["scored_at"],
                "batch",
                row["as_of"].isoformat(),
                row["decision_id"],
                row["model_version"],
                {name: row[name] for name in TOLD},
            )
