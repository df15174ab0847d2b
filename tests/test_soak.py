"""A company's day, cut to a minute; `python -m benchmarks.soak` has the whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from servers import POSTGRES
from servers import database as database  # noqa: PLC0414 - a fixture

ROOT = Path(__file__).parent.parent


@pytest.mark.full
def test_a_minute_of_a_companys_day_has_no_wrong_answer_and_loses_nothing(database: str):
    words = ["--minutes", "1", "--rounds", "1", "--every", "10", "--postgres", POSTGRES]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.soak", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert ", 0 wrong, 0 not in the record" in done.stdout
    assert ", 0 lost," in done.stdout
