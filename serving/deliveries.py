"""Where customers' rows were sent outside the workspace, so that one can know where else they are.

Addresses are kept without their passwords.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from features.servers import without_password
from features.workspace import Workspace, read_json, write_json

Kind = Literal["file", "database"]


@dataclass(frozen=True)
class Delivery:
    """A place that was given customers' rows.

    Attributes
    ----------
    by
        The verb.
    place
        The file, absolute, or the database's address without its password.
    table
        In the database.
    last
        When it was given some last, UTC, in ISO 8601.
    """

    by: str
    kind: Kind
    place: str
    table: str | None
    last: str


class Deliveries:
    """The places that one workspace has sent rows to."""

    def __init__(self, workspace: Workspace) -> None:
        self._path = workspace.exports / "deliveries.json"
        self._root = workspace.root

    def all(self) -> list[Delivery]:
        """List them, by place."""
        return [Delivery(**one) for one in read_json(self._path) or []]

    def note_file(self, by: str, file: Path, now: datetime) -> None:
        """Note a file, unless it is one of the workspace's own."""
        if not file.resolve().is_relative_to(self._root.resolve()):
            self._note(Delivery(by, "file", str(file.resolve()), None, _told(now)))

    def note_database(self, by: str, url: str, table: str, now: datetime) -> None:
        """Note a table of a database."""
        self._note(Delivery(by, "database", without_password(url), table, _told(now)))

    def _note(self, one: Delivery) -> None:
        same = (one.kind, one.place, one.table)
        others = [o for o in self.all() if (o.kind, o.place, o.table) != same]
        found = sorted([*others, one], key=lambda o: (o.kind, o.place, o.table or ""))
        write_json(self._path, [asdict(delivery) for delivery in found])


def _told(now: datetime) -> str:
    return now.isoformat(timespec="seconds")
