"""Whether today's scores look like those before: what is said, and who is in which stage.

That scores move is no break, be it a season or the customers: whether they are still right is for
what then happens to say. So these are notices at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from pipelines.watching.charts import judge, to_scale
from pipelines.watching.checks import Check
from training.stages import STAGES

MOST_DAYS = 26
LEVEL_DAYS = 4
"""The middle of so many earlier scorings foretells the next."""
BELIEVED = 4.0
COLUMNS = ("churn_probability", "expected_spend", "lifecycle_stage", "model_version")


@dataclass(frozen=True)
class Said:
    """What scores of a day said of all who had bought.

    Attributes
    ----------
    figures
        Mean churn probability, mean expected spend, and each stage's share.
    """

    day: date
    version: int
    customers: int
    figures: Mapping[str, float]

    @classmethod
    def read(cls, path: Path) -> Said | None:
        """Read the file of a day; None where nobody had bought."""
        rows = (
            pl.scan_parquet(path)
            .filter(~pl.col("flags").list.contains("prospect"))
            .select(COLUMNS)
            .collect()
        )
        if rows.is_empty():
            return None
        shares = rows["lifecycle_stage"].value_counts()
        of = dict(zip(shares["lifecycle_stage"], shares["count"] / rows.height, strict=True))
        return cls(
            date.fromisoformat(path.stem),
            int(rows["model_version"].to_numpy().max()),
            rows.height,
            {
                "churn_probability": float(rows["churn_probability"].to_numpy().mean()),
                "expected_spend": float(rows["expected_spend"].to_numpy().mean()),
                **{f"stage/{stage}": float(of.get(stage, 0.0)) for stage in STAGES},
            },
        )


@dataclass(frozen=True)
class _Figure:
    words: str
    believed: float
    matters: float
    spell: str


_CHURN = _Figure("The mean churn probability of all customers", 0.03, 0.03, "{:.3f}")
_SPEND = _Figure("The mean expected spend of all customers", 0.05, 0.1, "{:,.2f}")


def prediction_checks(paths: list[Path]) -> tuple[list[Check], list[str]]:
    """Set the newest scores beside those before, of the same model.

    Parameters
    ----------
    paths
        Files of days, the oldest first; the last is today's.
    """
    found = [said for path in paths[-MOST_DAYS - 1 :] if (said := Said.read(path)) is not None]
    alike = [said for said in found if said.version == found[-1].version]
    if len(alike) <= LEVEL_DAYS:
        return [], [
            f"predictions: {max(len(alike) - 1, 0)} earlier days are scored by the same model; "
            f"today's are set beside them from {LEVEL_DAYS} on"
        ]
    return list(_checks(alike)), []


def _checks(days: list[Said]) -> Iterator[Check]:
    for name in days[-1].figures:
        figure, kind = _figure(name)
        values = np.array([said.figures[name] for said in days])
        many = np.array([said.customers for said in days], np.float64)
        if not values.any():
            continue
        scaled = np.log(np.maximum(values, 1e-9)) if kind == "log" else (
            to_scale("share", values * many, many)
        )  # fmt: skip
        errors = np.array(
            [
                scaled[place] - np.median(scaled[max(place - LEVEL_DAYS, 0) : place])
                for place in range(1, len(scaled))
            ]
        )
        judged = judge(errors[:-1], float(errors[-1]), prior=(figure.believed, BELIEVED))
        if judged is None:
            continue
        expected = float(np.median(values[-LEVEL_DAYS - 1 : -1]))
        if kind == "log" and expected <= 0:
            continue
        value = float(values[-1])
        far = abs(value / expected - 1) if kind == "log" else abs(value - expected)
        spell = figure.spell.format
        yield Check(
            key=f"predictions/{name}",
            group="predictions",
            value=value,
            expected=expected,
            chance=judged[0],
            matters=bool(far >= figure.matters),
            may_alarm=False,
            sentence=f"{figure.words}: {spell(value)}, {spell(expected)} on the days before.",
            figures={"days": len(days) - 1, "since": days[0].day.isoformat()},
        )


def _figure(name: str) -> tuple[_Figure, str]:
    if name == "churn_probability":
        return _CHURN, "share"
    if name == "expected_spend":
        return _SPEND, "log"
    stage = name.partition("/")[2]
    return _Figure(f"The share of customers in stage {stage}", 0.03, 0.03, "{:.1%}"), "share"
