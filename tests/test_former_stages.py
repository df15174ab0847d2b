"""The stage before: found for whoever had one, one by one as among many."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.days import day_number
from features.errors import WorkspaceError
from features.scores import scores_folder
from features.workspace import Workspace
from serving.former_stages import FormerStages
from training.stages import STAGES


@pytest.mark.parametrize("kind", ["integer", "text"])
def test_one_is_found_as_among_many(tmp_path: Path, kind: str) -> None:
    workspace = Workspace(tmp_path)
    folder = scores_folder(workspace, kind)
    folder.mkdir(parents=True)
    numbers = list(range(0, 200, 2))
    ids = numbers if kind == "integer" else [f"顾客 {number}" for number in numbers]

    def write(day: str, stage: int) -> None:
        rows = {"customer_id": ids, "lifecycle_stage": [STAGES[stage]] * len(ids)}
        pl.DataFrame(rows).write_parquet(folder / f"{day}.parquet")

    former = FormerStages(workspace, kind)
    day = float(day_number(date(2024, 1, 15)))
    assert former.of([ids[0]], np.array([day])).tolist() == [-1]
    write("2024-01-01", 3)
    write("2024-01-08", 5)
    write("2024-01-15", 6)
    former.refresh(date(2024, 1, 15))
    asked = [*ids, None, 7, "nobody", -5]
    many = former.of(asked, np.full(len(asked), day))
    assert many.tolist() == [5] * len(ids) + [-1] * 4
    assert [former.of([one], np.array([day]))[0] for one in asked] == many.tolist()
    # A row that is newer than the scores goes by them, an older one by those before it.
    assert former.of([ids[3]] * 3, day + np.array([1, -7, -14])).tolist() == [6, 3, -1]
    # What is scored anew is read anew.
    write("2024-01-08", 2)
    former.refresh(date(2024, 1, 15))
    assert former.of([ids[3]], np.array([day])).tolist() == [2]
    (folder / "2024-01-08.parquet").write_bytes(b"damaged")
    with pytest.raises(WorkspaceError, match="scores of 2024-01-08 cannot be read"):
        former.refresh(date(2024, 1, 15))
    assert former.of([ids[3]], np.array([day])).tolist() == [2]
