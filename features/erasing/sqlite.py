"""A SQLite file in which nothing of what was deleted is left, in no free page and no log."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

_BUSY_SECONDS = 60.0
_TRIES = 50


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file for deleting; each statement is a transaction of its own, unless one begins."""
    with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        yield connection


def scrub(path: Path) -> bool:
    """Write a file anew without its free pages, and empty its log.

    Readers go on reading meanwhile. Gives whether the log could be emptied: a reader that never
    ends keeps it.
    """
    with opened(path) as connection:
        connection.execute("VACUUM")
        for _ in range(_TRIES):
            busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                return True
            time.sleep(0.1)
    return False
