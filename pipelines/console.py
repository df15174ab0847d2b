"""What a person at a terminal sees: progress on stderr, results on stdout."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import timedelta
from io import StringIO
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from pipelines.tables import fitted

WIDTH = 120
"""Columns where the output is not a terminal."""
SECONDS_BETWEEN_LINES = 30
"""Where nobody watches, how often a step that is not done says how far it is."""
INTERRUPTED, BROKEN_PIPE = 130, 141
"""Exit codes of shells, for Ctrl+C and for a reader who has gone."""

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


class TimeLeft(ProgressColumn):
    """How long a step still takes; how long it took once it is done, or so far where none can say.

    By the pace of the whole step when it was last heard of, counted down since: some go on only
    every minute.
    """

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """Give the cell."""
        if task.finished_time is not None:
            return Text(_clock(task.finished_time), style="progress.elapsed")
        passed = task.elapsed or 0.0
        heard = task.fields.get("heard") or 0.0
        pace = heard / task.completed if task.completed else 0.0
        left = pace * (task.total or 0.0) - passed
        if left <= 0:
            return Text(f"{_clock(passed)} so far", style="progress.elapsed")
        return Text(f"{_clock(left)} left", style="progress.remaining")


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))


class Printer(Console):
    """A stream that is left in silence when whoever read it has gone, as after ``| head -1``."""

    def on_broken_pipe(self) -> NoReturn:
        """End as other programs do."""
        leave_in_silence()


def leave_in_silence() -> NoReturn:
    """End since nobody reads on: what is still to be written goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            os.dup2(nowhere, stream.fileno())
    sys.exit(BROKEN_PIPE)


class Terminal:
    """Progress of a verb: a bar where someone watches, a line a step where nobody does.

    Parameters
    ----------
    quiet
        Print nothing.
    only_json
        The result goes to standard output as JSON: bars are shown where someone watches, and
        nothing else.
    """

    def __init__(self, quiet: bool, only_json: bool = False) -> None:
        self._quiet = quiet or only_json
        self.afterwards: Callable[[], None] = lambda: None
        # The stream as it is now: while a job runs, sys.stderr is where libraries chatter to.
        self._err = Printer(file=sys.stderr, highlight=False, emoji=False)
        self._draws = not quiet and self._err.is_terminal and not self._err.is_dumb_terminal
        self._is_watched = sys.stdout.isatty()
        self.out = Printer(
            file=sys.stdout,
            highlight=False,
            emoji=False,
            markup=False,
            width=None if self._is_watched else WIDTH,
        )
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._waiting: TaskID | None = None
        self._started: dict[str, float] = {}
        self._told: dict[str, float] = {}

    @contextmanager
    def progress(self) -> Iterator[None]:
        """Show progress while the block runs, and nothing that a library prints."""
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            if not self._draws:
                yield
                return
            columns = (
                TextColumn("{task.description:<28}"),
                BarColumn(),
                TextColumn("{task.fields[count]}"),
                TimeLeft(),
            )
            # It would print what libraries write, which nobody is to see.
            bars = Progress(
                *columns, console=self._err, redirect_stdout=False, redirect_stderr=False
            )
            with bars:
                self._bars = bars
                self._wait("starting")
                yield
                self._stop_waiting()
            self._bars = None

    def _wait(self, name: str) -> None:
        """Show that something is done of which nobody knows how far it is."""
        if self._bars is not None:
            self._stop_waiting()
            self._waiting = self._bars.add_task(name, total=None, count="")

    def _stop_waiting(self) -> None:
        if self._bars is not None and self._waiting is not None:
            self._bars.remove_task(self._waiting)
            self._waiting = None

    def say(self, what: str, done: int, of: int) -> None:
        """Tell how far a step is."""
        if self._bars is not None:
            self._stop_waiting()
            self._draw(self._bars, what, done, of)
            if all(task.finished for task in self._bars.tasks):
                self._wait("working")
        elif not self._quiet:
            self._say_in_lines(what, done, of)

    def _draw(self, bars: Progress, what: str, done: int, of: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = bars.add_task(what, total=of, count="")
        task = self._tasks[what]
        if done < of and bars.tasks[bars.task_ids.index(task)].finished:
            bars.reset(task)
        bars.update(
            task,
            completed=done,
            total=of,
            count=f"{done:,}/{of:,}" if of > 1 else "",
            heard=bars.tasks[bars.task_ids.index(task)].elapsed,
        )

    def _say_in_lines(self, what: str, done: int, of: int) -> None:
        """Tell in a line that a step is done, or what is left of it every half a minute."""
        now = time.monotonic()
        begun = self._started.setdefault(what, now)
        if done == of:
            self._started.pop(what)
            self._told.pop(what, None)
            self._err.print(f"  {what} {done:,}/{of:,} ({now - begun:.1f} s)", markup=False)
        elif done and now - self._told.get(what, begun) > SECONDS_BETWEEN_LINES:
            self._told[what] = now
            left = _clock((now - begun) / done * (of - done))
            self._err.print(f"  {what} {done:,}/{of:,}, {left} left", markup=False)

    def note(self, text: str, *, as_is: bool = False) -> None:
        """Print a result, unless quiet.

        On a screen sentences break between words. What is to be copied stays a line: what is
        indented, or all of it.
        """
        if self._quiet:
            return
        for line in text.split("\n"):
            kept = as_is or not self._is_watched or line.startswith(" ")
            self.out.print(line, soft_wrap=kept)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table that fits, unless quiet."""
        if self._quiet:
            return
        for line in title.split("\n"):
            self.out.print(line, style="bold", soft_wrap=not self._is_watched)
        for line in fitted(columns, rows, self.out.width):
            self.out.print(line, soft_wrap=True)


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
