"""Keeps what one server decides, while it answers."""

from __future__ import annotations

import errno
import logging
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from features.forgotten import Forgotten
from features.workspace import replacing
from serving.decisions.archive import Archive, Kept, keep_file
from serving.decisions.journal import Decided, Journal

ROTATE_SECONDS = 300.0
ROTATE_BYTES = 64 * 1024 * 1024

_ROTATE = "rotate"

log = logging.getLogger("lifecycle.serving")


def ask_to_rotate(folder: Path) -> None:
    """Ask every server that keeps a record to turn what is open into Parquet, within a second."""
    with replacing(folder / _ROTATE) as file:
        file.write_text(uuid.uuid4().hex, encoding="ascii")


def asked_to_rotate(folder: Path) -> str:
    """Name what was asked last; empty where nothing was, or where the record is out of reach."""
    try:
        return (folder / _ROTATE).read_text(encoding="ascii")
    except OSError:
        return ""


class Recorder:
    """Appends decisions, and turns them into Parquet in the background.

    Parameters
    ----------
    folder
        Of the record; several processes share it.
    keep_days
        How long decisions are kept.
    forgotten
        Who was erased, of whom nothing is kept.
    """

    def __init__(self, folder: Path, keep_days: int, forgotten: Forgotten | None = None) -> None:
        self.archive = Archive(folder, forgotten)
        self._folder = folder
        self._forgotten = forgotten
        self._asked = asked_to_rotate(folder)
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
        """Keep one request's decisions, but for who was erased.

        Raises
        ------
        OSError
            The disk is full or out of reach.
        """
        if self._forgotten:
            decided = _remembered(decided, self._forgotten)
            if not decided.customers:
                return
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

    def _is_asked(self) -> bool:
        """Whether another process wants to find in Parquet what stands in the open journal."""
        asked = asked_to_rotate(self._folder)
        new, self._asked = asked not in ("", self._asked), asked
        return new

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
            if old or journal.size > ROTATE_BYTES or self._is_asked():
                self.rotate()
        today = datetime.now(UTC).date()
        if self._tidied != today.isoformat():
            self.archive.tidy(today, self._keep_days)
            self._tidied = today.isoformat()


def _remembered(decided: Decided, forgotten: Forgotten) -> Decided:
    """Leave out who was erased: they may be asked for by a row that stands in the request."""
    kept = [place for place, one in enumerate(decided.customers) if not forgotten.holds(one)]
    if len(kept) == len(decided.customers):
        return decided
    rows = np.frombuffer(decided.features, np.uint8).reshape(len(decided.customers), -1)
    return msgspec.structs.replace(
        decided,
        customers=[decided.customers[place] for place in kept],
        decision_ids=[decided.decision_ids[place] for place in kept],
        answers=[decided.answers[place] for place in kept],
        features=rows[kept].tobytes(),
    )
