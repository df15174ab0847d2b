"""Where customers of a stage go next, as it was last estimated: kept for whoever asks of one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from features.workspace import read_json, write_json
from training.stage_moves import NextStages
from training.stages import STAGES

_ARRAYS = ("customers", "cuts", "chance", "low", "high")


def next_stages_file(scores: Path) -> Path:
    """Where the estimate stands in the folder of the batches' scores."""
    return scores / "next_stages.json"


def write_next_stages(path: Path, found: NextStages, as_of: str) -> None:
    """Keep an estimate, in the place of the former."""
    kept = asdict(found) | {name: getattr(found, name).tolist() for name in _ARRAYS}
    # JSON has no infinity: a stage that nobody was in has no thirds.
    kept["cuts"] = [[None if cut == np.inf else cut for cut in row] for row in kept["cuts"]]
    write_json(path, kept | {"as_of": as_of, "stages": list(STAGES)})


def read_next_stages(path: Path) -> tuple[NextStages, str] | None:
    """Read the estimate and the day that it is of; None where there is none of these stages."""
    kept = read_json(path)
    if kept is None or kept.get("stages") != list(STAGES):
        return None
    kept["cuts"] = [[np.inf if cut is None else cut for cut in row] for row in kept["cuts"]]
    arrays = {name: np.array(kept[name]) for name in _ARRAYS}
    return NextStages(kept["horizon_days"], kept["pairs"], **arrays), kept["as_of"]


def told_next(found: NextStages, stage: int, third: int) -> list[dict[str, Any]]:
    """List where a third of a stage's customers goes, the likeliest first, with 90% intervals."""
    rows: list[dict[str, Any]] = [
        {
            "stage": name,
            "probability": float(found.chance[stage, third, place]),
            "low": float(found.low[stage, third, place]),
            "high": float(found.high[stage, third, place]),
        }
        for place, name in enumerate(STAGES)
    ]
    seen = (row for row in rows if row["probability"] > 0)
    return sorted(seen, key=lambda row: -float(row["probability"]))
