"""Scores of some days, as they were said then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from training.stages import STAGES

COLUMNS = (
    "customer_id", "lifecycle_stage", "churn_probability", "expected_spend", "spend_lower",
    "spend_upper", "clv_12m", "value_at_risk", "value_tier", "risk_band", "profit_to_date",
    "action", "action_value", "action_value_low", "action_value_high", "action_measured_share",
    "rescue", "flags", "model_version",
)  # fmt: skip


@dataclass(frozen=True)
class Scored:
    """A day's scores.

    Attributes
    ----------
    rows
        :data:`COLUMNS` without the flags, with ``stage`` (place in
        :data:`training.stages.STAGES`), ``prospect`` and ``one_order``.
    hindsight
        Whether the model had learned from what came after the day: then it is no forecast.
    """

    day: date
    rows: pl.DataFrame
    hindsight: bool
    model_version: int

    @classmethod
    def read(cls, path: Path) -> Scored:
        """Read the file of a day."""
        stage = pl.col("lifecycle_stage").cast(pl.Enum(STAGES)).to_physical().cast(pl.Int64)
        flagged = pl.col("flags").list
        rows = (
            pl.scan_parquet(path)
            .select(COLUMNS)
            .with_columns(
                stage=stage,
                prospect=flagged.contains("prospect"),
                one_order=flagged.contains("one_order"),
                in_sample=flagged.contains("in_sample"),
            )
            .drop("flags")
            .collect()
        )
        return cls(
            date.fromisoformat(path.stem),
            rows.drop("in_sample"),
            bool(rows["in_sample"].any()),
            int(rows["model_version"].max() or 0),  # type: ignore[arg-type]
        )
