"""Keeps what one server decides, while it answers."""

from __future__ import annotations

import errno
import logging
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from serving.decisions.archive import Archive, Kept, keep_file
from serving.decisions.journal import Decided, Journal

ROTATE_SECONDS = 300.0
ROTATE_BYTES = 64 * 1024 * 1024

log = logging.getLogger("lifecycle.serving")


class Recorder:
    """Appends decisions, and turns them into Parquet in the background.

    Parameters
    ----------
    folder
        Of the record; several processes share it.
    keep_days
        How long decisions are kept.
    """

    def __init__(self, folder: Path, keep_days: int) -> None:
        self.archive = Archive(folder)
        self._folder = folder
        self._keep_days = keep_days
        # Made for the first decision: a disk that is full must not keep a server from starting.
        self._journal: Journal | None = None
        self._swap = threading.Lock()
        self._since = time.monotonic()
        self._tidied = ""
        self._stop = threading.Event()

    def start(self) -> None:
        """Begin to tidy in the background."""
        threading.Thread(target=self._run, name="lifecycle-decisions", daemon=True).start()

    def stop(self) -> None:
        """Take what was appended, and append no more."""
        self._stop.set()
        with self._swap:
            former = self._journal
            if former is not None:
                former.close()
        if former is not None:
            self.archive.take(former.path)

    def append(self, decided: Decided) -> None:
        """Keep one request's decisions.

        Raises
        ------
        OSError
            The disk is full or out of reach.
        """
        with self._swap:
            if self._journal is None:
                self._journal = self._begun()
            self._journal.append(decided)

    def keep_file(self, kind: Kept, version: str, text: bytes) -> None:
        """Keep a file that decides from now on."""
        keep_file(self._folder, kind, version, text)

    def rotate(self) -> None:
        """Go on in a new journal, and turn the former into Parquet."""
        with self._swap:
            former, self._journal = self._journal, None
            if former is not None:
                former.close()
        if former is not None:
            self.archive.take(former.path)

    def _begun(self) -> Journal:
        if self._stop.is_set():
            raise OSError(errno.EBADF, "the record is closed", str(self._folder))
        self._since = time.monotonic()
        return Journal(self._folder)

    def _run(self) -> None:
        while not self._stop.wait(1.0):
            try:
                self._step()
            except Exception as error:  # noqa: BLE001
                # A full disk, say: the journal stays, and it is tried again.
                log.warning("decisions wait to be archived: %s: %s", type(error).__name__, error)
                self._tidied = ""
                self._stop.wait(30.0)

    def _step(self) -> None:
        journal = self._journal
        if journal is not None:
            old = time.monotonic() - self._since > ROTATE_SECONDS
            if old or journal.size > ROTATE_BYTES:
                self.rotate()
        today = datetime.now(UTC).date()
        if self._tidied != today.isoformat():
            self.archive.tidy(today, self._keep_days)
            self._tidied = today.isoformat()
