"""What an analyst reads in MLflow's own pages: a real server, a real browser."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, Visit
from browser import browser as browser  # noqa: PLC0414 - a fixture
from conftest import succeed
from servers import free_port

from training.answers import PRODUCT
from training.registry import MODEL
from training.tracking.judged_table import SHORT

SERVE = Path(__file__).parent.parent / "mlflow" / "serve"
SECONDS = 180
"""Until a server must be up on a machine that is busy; 14 where it is not."""
THEIRS = re.compile(r"users/current|ResizeObserver|404 \(Not Found\)")
"""Complaints of MLflow's own pages, which ask for users that this server does not know."""


@dataclass(frozen=True)
class Served:
    """A server over a workspace of a promoted training, what was said, and the printed address."""

    root: str
    table: str
    trained: dict[str, Any]
    why: str

    @property
    def run_name(self) -> str:
        evaluation = self.trained["evaluation"]
        skill = evaluation["pooled"]["skills"]["primary"]
        return f"{self.trained['as_of']} {evaluation['grade']['letter']} {skill:+.3f}"


@pytest.fixture(scope="module")
def served(
    browser: Browser, trained: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    workspace = shutil.copytree(trained["workspace"], tmp_path_factory.mktemp("served") / "w")
    # As anybody who copies a workspace: the next verb moves MLflow's addresses with it.
    why = succeed(workspace, "promote")["why"]
    port = free_port()
    root = f"http://127.0.0.1:{port}/"
    log = workspace.parent / "log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [SERVE, workspace, str(port)], stdout=out, stderr=out, start_new_session=True
        )
        try:
            wait_for(f"{root}health", server)
            (table,) = re.findall(rf"{root}#\S+", log.read_text())
            yield Served(root, table, trained["train"], why)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(60)


def wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    pytest.fail("MLflow's server did not come up")


def read(visit: Visit, *texts: str) -> None:
    """Wait until somebody can read each of these on the page."""
    for text in texts:
        visit.page.get_by_text(text).first.wait_for(timeout=60_000)


def calm(visit: Visit) -> None:
    assert [line for line in visit.complaints if not THEIRS.search(line)] == []


def test_the_printed_address_shows_which_run_is_better_and_why(browser: Browser, served: Served):
    with browser.visit(served.table) as visit:
        skill = served.trained["evaluation"]["pooled"]["skills"]["primary"]
        read(visit, served.run_name, "Which is better, and why", "decision", "skill/primary")
        read(visit, f"{skill:.6g}", "champion")
        visit.picture("mlflow-table")
        calm(visit)


def test_a_run_says_what_it_is_worth(browser: Browser, served: Served):
    run = f"{served.table.partition('/runs')[0]}/runs/{served.trained['run_id']}"
    evaluation = served.trained["evaluation"]
    with browser.visit(run) as visit:
        read(visit, f"Grade {evaluation['grade']['letter']}: {evaluation['grade']['why']}")
        read(visit, "skill/primary", "newest_day/auc")
        visit.picture("mlflow-run")
        calm(visit)
    with browser.visit(f"{run}/artifacts") as visit:
        read(visit, "plots", "judged.json")
        visit.page.get_by_text("judged.json").first.click()
        read(visit, *(f"all days, {name}" for name in SHORT.values()))
        read(visit, f"{evaluation['pooled']['metrics'][PRODUCT]['auc']:.4f}".rstrip("0"))
        visit.picture("mlflow-judged")
        visit.page.get_by_text("plots", exact=True).first.click()
        visit.page.get_by_text("01_is_it_better_than_the_baselines.png").first.click()
        visit.page.wait_for_function("[...document.images].some(i => i.naturalWidth >= 900)")
        visit.picture("mlflow-plot")
        calm(visit)


def test_the_registry_says_which_version_answers_and_why(browser: Browser, served: Served):
    with browser.visit(f"{served.root}#/models/{MODEL}") as visit:
        read(visit, "champion", "decision", "Grade")
        read(visit, "Which version answered when", f"version 1, promoted by {getpass.getuser()}")
        assert visit.page.get_by_text("succession").count() == 0, "programs' tags are not shown"
        visit.picture("mlflow-model")
        calm(visit)
    with browser.visit(f"{served.root}#/models/{MODEL}/versions/1") as visit:
        read(visit, "What it is worth", "BG/NBD + Gamma-Gamma", served.why)
        visit.picture("mlflow-version")
        calm(visit)
