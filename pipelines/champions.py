"""`lifecycle champions`: which version answered when, and who let it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from features.errors import InputError, WorkspaceError
from pipelines.console import Terminal
from pipelines.context import Context
from training.succession import Move, answering_at


@dataclass(frozen=True)
class ChampionsReport:
    """The moves of the alias, the oldest first.

    Attributes
    ----------
    champion
        The version that answers now.
    moved_elsewhere
        Whether the alias was moved since by other means, as in MLflow's pages.
    on
        The day that was asked for, and ``answered`` the versions that answered on it, in turn.
    """

    champion: int | None
    moves: tuple[Move, ...]
    moved_elsewhere: bool
    on: date | None = None
    answered: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        asked = {"on": self.on.isoformat(), "answered": list(self.answered)} if self.on else {}
        return {
            "champion": self.champion,
            "moves": [m.to_dict() for m in self.moves],
            "moved_elsewhere": self.moved_elsewhere,
            **asked,
        }


def champions(context: Context, on: date | None = None) -> ChampionsReport:
    """Tell every move of the champion alias, or which versions answered on a day (UTC).

    Raises
    ------
    InputError
        The day is yet to come.
    WorkspaceError
        Nothing had been promoted by then.
    """
    context.workspace.require()
    registry = context.registry()
    champion, moves = registry.champion(), registry.succession()
    number = champion.version if champion else None
    elsewhere = number != (moves[-1].version if moves else None)
    if on is None:
        return ChampionsReport(number, tuple(moves), elsewhere)
    if on > datetime.now(UTC).date():
        raise InputError(f"--on {on} is yet to come; name a day up to today")
    begins = datetime.combine(on, time.min, UTC)
    before = answering_at(moves, begins)
    told = [*([before] if before else []), *(m for m in moves if m.at.date() == on and m != before)]
    if not told:
        raise WorkspaceError(f"no model had been promoted by {on}, as far as is recorded")
    versions = tuple(dict.fromkeys(move.version for move in told))
    return ChampionsReport(number, tuple(told), elsewhere, on, versions)


def show(terminal: Terminal, report: ChampionsReport) -> None:
    """Print the moves as a table."""
    rows = [
        (f"{m.at:%Y-%m-%d %H:%M}", str(m.version), str(m.former or ""), m.how, m.by, m.why)
        for m in report.moves
    ]
    terminal.table("Champions (UTC)", ("at", "version", "after", "how", "by", "why"), rows)
    if report.moved_elsewhere:
        terminal.note(
            f"version {report.champion} answers now: the alias was moved by other means than "
            "promote and rollback"
        )
    if report.on is not None:
        versions = ", ".join(map(str, report.answered))
        terminal.note(f"on {report.on} answered: version {versions}")
