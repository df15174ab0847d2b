"""What a person at a terminal sees: progress on stderr, results on stdout."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

WIDTH = 120
"""Columns where the output is not a terminal."""

NOISY = ("alembic", "mlflow", "feast", "feast.repo_config", "optuna", "matplotlib", "bentoml")


def settle_process() -> None:
    """Set what libraries read from the environment when they are first imported.

    Their chatter stays off the terminal (errors still come as exceptions), nothing calls home, and
    LightGBM's threads sleep while they wait for each other: spinning, they made a fit beside one
    busy process fourteen times slower.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)


class Terminal:
    """Progress of a verb: a bar where someone watches, a line a step where nobody does."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self.afterwards: Callable[[], None] = lambda: None
        # The stream as it is now: while a job runs, sys.stderr is where libraries chatter to.
        self._err = Console(file=sys.stderr, highlight=False)
        self.out = Console(
            file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else WIDTH
        )
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}

    @contextmanager
    def progress(self) -> Iterator[None]:
        """Show progress while the block runs, and nothing that a library prints."""
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            if self._quiet or not self._err.is_terminal:
                yield
                return
            columns = (
                TextColumn("{task.description:<28}"),
                BarColumn(),
                TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                TimeRemainingColumn(elapsed_when_finished=True),
            )
            with Progress(*columns, console=self._err) as bars:
                self._bars = bars
                yield
            self._bars = None

    def say(self, what: str, done: int, of: int) -> None:
        """Tell how far a step is."""
        if self._quiet:
            return
        if self._bars is not None:
            if what not in self._tasks:
                self._tasks[what] = self._bars.add_task(what, total=of)
            self._bars.update(self._tasks[what], completed=done, total=of)
            return
        begun = self._started.setdefault(what, time.monotonic())
        if done == of:
            self._started.pop(what)
            self._err.print(f"  {what} {done}/{of} ({time.monotonic() - begun:.1f} s)")

    def note(self, text: str) -> None:
        """Print a result, unless quiet."""
        if not self._quiet:
            self.out.print(text, soft_wrap=True, markup=False)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table, unless quiet; the first column is text, the others are numbers."""
        if self._quiet:
            return
        table = Table(
            title=title, title_justify="left", title_style="bold", box=None, pad_edge=False
        )
        for place, column in enumerate(columns):
            table.add_column(
                column, justify="left" if place == 0 or column in {"actions", "rule"} else "right"
            )
        for row in rows:
            table.add_row(*row)
        self.out.print(table)


def stage_rows(stages: Sequence[Mapping[str, object]]) -> list[list[str]]:
    """Format a scoring's summary by stage for :meth:`Terminal.table`."""
    rows = []
    for stage in stages:
        actions = stage["actions"]
        named = actions.items() if isinstance(actions, Mapping) else ()
        rows.append(
            [
                _named(stage),
                f"{stage['customers']:,}",
                f"{stage['churn_probability']:.2f}",
                f"{stage['expected_spend']:,.0f}",
                f"{stage['clv_12m']:,.1f}",
                ", ".join(f"{name} {count:,}" for name, count in list(named)[:2]),
                f"{stage['action_value']:,.0f}",
            ]
        )
    return rows


def _named(stage: Mapping[str, object]) -> str:
    """Name a stage by its key, and by its label where that says something else."""
    key, label = str(stage["stage"]), str(stage["label"])
    said = label.casefold().replace(", ", "_").replace(" ", "_")
    return key if said == key else f"{key} {label}"


STAGE_COLUMNS = (
    "stage", "customers", "churn", "expected spend", "CLV each", "actions", "net value",
)  # fmt: skip
