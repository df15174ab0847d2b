"""What has been exported to each system: a decision goes out once.

A decision is noted after its file has taken its place. Whoever dies in between writes the same file
once more; whoever dies before has exported nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_MANY = 500


class ExportLedger:
    """The decisions that one system has been given."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def known(self, decisions: Sequence[str]) -> set[str]:
        """Find which of some decisions have been exported."""
        if not self._path.is_file():
            return set()
        found: set[str] = set()
        with self._opened() as database:
            for start in range(0, len(decisions), _MANY):
                some = decisions[start : start + _MANY]
                marks = ", ".join("?" * len(some))
                query = f"SELECT decision_id FROM exported WHERE decision_id IN ({marks})"
                found |= {row[0] for row in database.execute(query, some)}
        return found

    def note(self, decisions: Sequence[str], file: str) -> None:
        """Note that decisions have been exported, all or none."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._opened() as database:
            database.executemany(
                "INSERT OR IGNORE INTO exported VALUES (?, ?)",
                [(decision, file) for decision in decisions],
            )

    def forget(self, decisions: Sequence[str]) -> int:
        """Forget decisions, and that their customers were gone; gives how many were noted."""
        named = [name for decision in decisions for name in (decision, f"gone {decision}")]
        with self._opened() as database:
            database.execute("PRAGMA secure_delete = ON")
            return sum(
                database.execute("DELETE FROM exported WHERE decision_id = ?", (name,)).rowcount
                for name in named
            )

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self._path)
        try:
            with database:
                database.execute(
                    "CREATE TABLE IF NOT EXISTS exported "
                    "(decision_id TEXT PRIMARY KEY, file TEXT NOT NULL) WITHOUT ROWID"
                )
                yield database
        finally:
            database.close()
