"""What was said of one customer before: by the endpoint, and by the batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
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
    decision_id: str | None
    model_version: int
    said: dict[str, Any]


def history_of(customer: int | str, archive: Archive | None, scores: Path, most: int) -> list[Said]:
    """List what was said of a customer, newest first.

    Parameters
    ----------
    archive
        The record of the endpoint's decisions, if one is kept.
    scores
        Folder of the batches, a Parquet file a day.
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
    for file in sorted(scores.glob("*.parquet"), reverse=True)[:BATCHES]:
        rows = pl.scan_parquet(file)
        schema = rows.collect_schema()
        if not {"customer_id", "as_of", "model_version", *TOLD} <= set(schema):
            continue
        integers = schema["customer_id"].is_integer()
        if integers != isinstance(customer, int):
            continue
        at = datetime.fromtimestamp(file.stat().st_mtime, UTC)
        for row in rows.filter(pl.col("customer_id") == customer).collect().iter_rows(named=True):
            yield Said(
                at,
                "batch",
                row["as_of"].isoformat(),
                row.get("decision_id"),
                row["model_version"],
                {name: row[name] for name in TOLD},
            )
