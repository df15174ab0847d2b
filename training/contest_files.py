"""Judged days on disk: a row a customer and day, with every method's answers.

They name customers and what those did, and belong in the workspace, never in MLflow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from features.errors import WorkspaceError
from features.workspace import Workspace, replacing
from training.answers import Answers
from training.contest import Contest
from training.intervals import PROMISED

FORMAT = 1
_NOTE = b"lifecycle"
_BOUNDS = ("lower", "upper")


def judged_file(workspace: Workspace, version: int) -> Path:
    """Where the days stand that a registered version was judged on."""
    return workspace.judged / f"{version}.parquet"


def write_contests(path: Path, contests: Sequence[Contest], note: Mapping[str, Any]) -> None:
    """Write judged days into one Parquet file, in one step.

    Parameters
    ----------
    note
        Plain values to keep with them.
    """
    table = pl.concat([_frame(contest) for contest in contests]).to_arrow()
    kept = {
        "format": FORMAT,
        "methods": list(contests[0].answers),
        "days": [
            {
                "day": contest.day.isoformat(),
                "horizon_days": contest.horizon_days,
                "learned_days": contest.learned_days,
                "total": list(contest.total),
            }
            for contest in contests
        ],
        "note": dict(note),
    }
    table = table.replace_schema_metadata({_NOTE: json.dumps(kept).encode()})
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_note(path: Path) -> dict[str, Any] | None:
    """Read what was kept with the days; None where there is no file that this version reads."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except FileNotFoundError:
        return None
    kept = json.loads(metadata.get(_NOTE, b"{}"))
    return dict(kept["note"]) if kept.get("format") == FORMAT else None


def read_contests(path: Path) -> tuple[Contest, ...]:
    """Read judged days back, oldest first.

    Raises
    ------
    WorkspaceError
        The file is of another layout.
    """
    table = pq.read_table(path)
    kept = json.loads((table.schema.metadata or {}).get(_NOTE, b"{}"))
    if kept.get("format") != FORMAT:
        raise WorkspaceError(
            f"{path} has layout {kept.get('format')}, this version reads {FORMAT}; remove the file"
        )
    frame = pl.DataFrame(pl.from_arrow(table))
    return tuple(
        _contest(frame.filter(pl.col("day") == date.fromisoformat(day["day"])), day, kept)
        for day in kept["days"]
    )


def _frame(contest: Contest) -> pl.DataFrame:
    columns: dict[str, Any] = {
        "customer_id": contest.customer_ids,
        "churned": contest.churned,
        "net_spend": contest.net_spend,
        "active": contest.active,
        "stage": contest.stage,
    }
    for method, said in contest.answers.items():
        columns[f"{method}.churn_probability"] = said.churn_probability
        columns[f"{method}.expected_spend"] = said.expected_spend
        for side in _BOUNDS:
            for place, coverage in enumerate(PROMISED):
                columns[f"{method}.{side}_{coverage:.0%}"] = getattr(said, side)[:, place]
    return pl.DataFrame(columns).select(pl.lit(contest.day).alias("day"), pl.all())


def _contest(frame: pl.DataFrame, day: Mapping[str, Any], kept: Mapping[str, Any]) -> Contest:
    return Contest(
        day=date.fromisoformat(day["day"]),
        horizon_days=day["horizon_days"],
        learned_days=day["learned_days"],
        customer_ids=frame["customer_id"].to_numpy(),
        churned=frame["churned"].to_numpy(),
        net_spend=frame["net_spend"].to_numpy(),
        active=frame["active"].to_numpy(),
        stage=frame["stage"].to_numpy(),
        answers={method: _answers(frame, method) for method in kept["methods"]},
        total=tuple(day["total"]),
    )


def _answers(frame: pl.DataFrame, method: str) -> Answers:
    lower, upper = (
        np.stack(
            [frame[f"{method}.{side}_{coverage:.0%}"].to_numpy() for coverage in PROMISED], axis=1
        )
        for side in _BOUNDS
    )
    return Answers(
        frame[f"{method}.churn_probability"].to_numpy(),
        frame[f"{method}.expected_spend"].to_numpy(),
        lower,
        upper,
    )
