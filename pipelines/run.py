"""`lifecycle run`: the whole cycle, from new files to the report, gone on with where it stopped."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from features.errors import Busy, InputError, LifecycleError
from features.workspace import Workspace
from pipelines.context import Context, Stopwatch
from pipelines.cycle.journal import Outcome, Past, past_runs, running
from pipelines.cycle.steps import STEPS, Cycle
from pipelines.ingest import files_of_settings

if TYPE_CHECKING:
    from pipelines.console import Terminal

_RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class RunReport:
    """What a run did, step by step.

    Attributes
    ----------
    went_on
        The run that was killed before and the step that it stopped in, in words; None otherwise.
    alarms
        What monitoring saw that a person is to look at.
    """

    as_of: str | None
    started: str
    outcomes: dict[str, Outcome]
    seconds: dict[str, float]
    went_on: str | None
    alarms: tuple[str, ...]

    @property
    def failed(self) -> bool:
        """Whether a step could not be done; those after it were not begun."""
        return any(outcome.state == "failed" for outcome in self.outcomes.values())

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "as_of": self.as_of,
            "started": self.started,
            "went_on": self.went_on,
            "failed": self.failed,
            "alarms": list(self.alarms),
            "steps": {
                name: {"seconds": self.seconds[name], **outcome.to_dict()}
                for name, outcome in self.outcomes.items()
            },
        }


def run(
    context: Context,
    as_of: date | None = None,
    only: Sequence[str] = (),
    *,
    retrain: bool = False,
    anyway: bool = False,
) -> RunReport:
    """Do every step that is due, in order; what stands already is not done again.

    A step that fails ends the run, and what answered before goes on answering. A run may be killed
    at any moment: the next one does what is left.

    Parameters
    ----------
    as_of
        Day that it is of; None: the last day that the data cover.
    only
        Names of :data:`pipelines.cycle.steps.STEPS`, for a scheduler that calls them one by one;
        none: all of them.
    retrain
        Train although it is not due.
    anyway
        Go on although the data look broken.

    Raises
    ------
    InputError
        There is no such step.
    WorkspaceError
        Another run is at work.
    """
    for name in only:
        if name not in STEPS:
            raise InputError(f"there is no step {name!r}; they are {', '.join(STEPS)}")
    workspace = context.workspace
    if workspace.exists():
        workspace.require()
    elif not files_of_settings(context):
        raise InputError(
            f"{workspace.root} holds no data and no settings name any; set data.orders, or run "
            "`lifecycle ingest --orders FILE` first"
        )
    else:
        with workspace.locked():
            workspace.create()
    went_on = _left_behind(workspace)
    with running(workspace) as journal:
        cycle = Cycle(context, journal, as_of, retrain, anyway)
        journal.write("started", as_of=as_of, only=list(only), went_on=went_on)
        day: date | None = None
        outcomes: dict[str, Outcome] = {}
        seconds: dict[str, float] = {}
        for name in (step for step in STEPS if not only or step in only):
            journal.write("step", step=name)
            watch = Stopwatch()
            outcomes[name] = _attempt(cycle, name)
            seconds[name] = watch.seconds()
            told = outcomes[name]
            day = cycle.day if cycle.holds_data else None
            journal.write("outcome", step=name, state=told.state, said=told.said, as_of=day)
            if told.state == "failed":
                break
        alarms = tuple(a.sentence for a in cycle.alarms) if "watch" in outcomes else ()
        journal.write("ended", alarms=list(alarms))
    of = day.isoformat() if day else None
    return RunReport(of, journal.started, outcomes, seconds, went_on, alarms)


def _attempt(cycle: Cycle, name: str) -> Outcome:
    """Do a step; wait while another command writes in the workspace."""
    until = time.monotonic() + 60 * cycle.context.settings.run.wait_minutes
    while True:
        try:
            return STEPS[name](cycle)
        except Busy as busy:
            if time.monotonic() > until:
                return Outcome("failed", str(busy))
            time.sleep(_RETRY_SECONDS)
        except LifecycleError as error:
            return Outcome("failed", str(error))
        except Exception as error:
            cycle.journal.write("outcome", step=name, state="failed", said=repr(error))
            raise


def _left_behind(workspace: Workspace) -> str | None:
    last = next(iter(past_runs(workspace, 1)), None)
    if last is None or last.stopped_in is None:
        return None
    return f"the run of {last.started} stopped in {last.stopped_in}"


def show(terminal: Terminal, report: RunReport) -> None:
    """Print what a run did, a line a step."""
    if report.went_on is not None:
        terminal.note(f"{report.went_on}; this one goes on from there")
    for name, outcome in report.outcomes.items():
        terminal.note(
            f"{name:<12}{outcome.state:<10}{report.seconds[name]:>7.1f} s  {outcome.said}"
        )
    for alarm in report.alarms:
        terminal.note(f"ALARM  {alarm}")


def show_past(terminal: Terminal, runs: Sequence[Past]) -> None:
    """Print what former runs did, a line a run."""
    for past in runs:
        steps = ", ".join(f"{name} {state}" for name, state in past.states.items())
        end = f"; killed in {past.stopped_in}" if past.stopped_in is not None else ""
        terminal.note(f"{past.started}  of {past.as_of or 'no day'}: {steps}{end}")
    if not runs:
        terminal.note("no run yet; lifecycle run")
