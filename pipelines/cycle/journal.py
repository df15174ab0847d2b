"""What runs did: a file a run, a line an event, each on the disk before the next thing happens."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from features.errors import WorkspaceError
from features.workspace import Workspace, read_json, write_json

State = Literal["done", "unchanged", "not due", "held", "refused", "failed"]

KEPT_RUNS = 500
"""Journals of older runs are deleted."""


@dataclass(frozen=True)
class Outcome:
    """What became of a step.

    Attributes
    ----------
    state
        ``done``; ``unchanged`` where the same stood already; ``not due`` where it was not its time;
        ``held`` where something before it forbade it; ``refused`` by the gate; ``failed``.
    said
        One sentence for a person.
    """

    state: State
    said: str
    result: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"state": self.state, "said": self.said, **self.result}


@dataclass(frozen=True)
class Past:
    """A run that came to an end, or did not.

    Attributes
    ----------
    states
        Of the steps that ended, in their order.
    stopped_in
        The step in which it was killed; None where it came to its end.
    """

    started: str
    as_of: str | None
    states: dict[str, str]
    stopped_in: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return vars(self)


class Journal:
    """The journal of one run, and what its steps remember of those before.

    Only :func:`running` opens one, so that there is one writer.
    """

    def __init__(self, folder: Path, started: datetime) -> None:
        self._folder = folder
        self.started = started.isoformat(timespec="seconds")
        self._file = folder / f"{started:%Y%m%dT%H%M%S%f}.jsonl"

    def write(self, event: str, **values: object) -> None:
        """Append an event, and see that it reaches the disk."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"at": at, "event": event, **values}, default=str, ensure_ascii=False)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    def remembered(self, step: str) -> Any:  # noqa: ANN401 - JSON is what it is
        """What a step left the last time that it came to its end; None before."""
        return read_json(self._folder / f"{step}.json")

    def remember(self, step: str, value: object) -> None:
        """Leave something for the step's next time."""
        write_json(self._folder / f"{step}.json", value)


@contextmanager
def running(workspace: Workspace) -> Iterator[Journal]:
    """Be the one run of a workspace.

    Raises
    ------
    WorkspaceError
        Another run is at work; the kernel lets go of one that was killed.
    """
    folder = workspace.runs
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            raise WorkspaceError(
                f"another run is at work in {workspace.root} ({handle.read().strip()}); "
                "wait for it to end"
            ) from None
        started = datetime.now(UTC)
        handle.truncate(0)
        handle.write(f"process {os.getpid()}, since {started.isoformat(timespec='seconds')}\n")
        handle.flush()
        for old in _journals(folder)[: -KEPT_RUNS + 1]:
            old.unlink(missing_ok=True)
        yield Journal(folder, started)


def past_runs(workspace: Workspace, most: int) -> list[Past]:
    """Read what the last runs did, the newest first."""
    return [_read(file) for file in reversed(_journals(workspace.runs)[-most:])]


def _journals(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"))


def _read(file: Path) -> Past:
    started, as_of, begun = file.stem, None, None
    states: dict[str, str] = {}
    for line in file.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n"):
            # The power went while it was written.
            break
        event = json.loads(line)
        match event["event"]:
            case "started":
                started = event["at"]
            case "step":
                begun = event["step"]
            case "outcome":
                as_of = event.get("as_of") or as_of
                states[event["step"]] = event["state"]
                begun = None
    return Past(started, as_of, states, begun)
