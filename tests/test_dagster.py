"""The cycle as Dagster runs it: the same steps, once each, and a failure where one fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import succeed
from test_run import WEEKS, prepare, write_exports

SCRIPT = """
import json, sys
from pipelines.dagster_cycle import defs
done = defs.resolve_job_def("lifecycle_cycle").execute_in_process(raise_on_error=False)
ended = {kind: [e.step_key for e in done.all_events if e.event_type_value == kind]
         for kind in ("STEP_SUCCESS", "STEP_FAILURE", "STEP_UP_FOR_RETRY")}
print("DONE", json.dumps({"success": done.success, **ended}))
"""


def test_dagster_runs_the_steps(tmp_path: Path):
    pytest.importorskip("dagster") if os.environ.get("CI") != "true" else __import__("dagster")
    root = tmp_path / "w"
    prepare(root)
    write_exports(tmp_path, WEEKS[0], 150)
    environment = {**os.environ, "LIFECYCLE_WORKSPACE": str(root), "DAGSTER_HOME": str(tmp_path)}
    told = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True
    )
    (line,) = [line for line in told.stdout.splitlines() if line.startswith("DONE ")]
    done = json.loads(line.removeprefix("DONE "))
    assert done["success"], told.stderr[-2000:]
    (last,) = succeed(root, "run", "--past", 1)["runs"]
    assert done["STEP_SUCCESS"] == [
        "ingest", "features", "watch", "train", "promote", "materialise", "score", "recommend",
        "report", "retain",
    ]  # fmt: skip
    assert last["states"] == {"retain": "unchanged"}
