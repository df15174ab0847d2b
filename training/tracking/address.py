"""Print where the MLflow UI shows the runs of a workspace, best first: `WORKSPACE SERVER`.

It reads MLflow's database itself: importing MLflow for a link would take seconds.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from training.relocation import DATABASE
from training.tracking.experiment import VIEW, address


def addresses(workspace: Path) -> Iterator[tuple[str, str]]:
    """Give the name of each experiment that has our table, the newest first, and its address."""
    database = (workspace / "mlflow" / DATABASE).resolve()
    asked = (
        "select e.name, e.experiment_id from experiments e join experiment_tags t "
        "on t.experiment_id = e.experiment_id where e.lifecycle_stage = 'active' and t.key = ? "
        "order by e.experiment_id desc"
    )
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        for name, key in connection.execute(asked, [f"mlflow.sharedViewState.{VIEW}"]).fetchall():
            yield str(name), address(str(key))


if __name__ == "__main__":
    for name, path in addresses(Path(sys.argv[1])):
        sys.stdout.write(f"{name}: {sys.argv[2]}{path}\n")
