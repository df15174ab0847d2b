"""Decisions as they are made: frames appended to a file of this process alone.

What has been appended outlives the process, not a loss of power. A frame that was cut off by a
death or a full disk is told by its length or its checksum, and left out.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import threading
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

SUFFIX = ".journal"
_HEAD = struct.Struct("<II")
_CLOSED = -1


class Decided(Struct, frozen=True):
    """The answers to one request, and everything that they followed from.

    Attributes
    ----------
    at
        Microseconds since 1970 by the server's clock.
    caller
        Name of the key that asked.
    shadow
        Scored beside the answers by a model that does not answer yet.
    features
        Float64 of every row that was scored, in the catalogue's order and in the codes of the
        model's vocabulary.
    answers
        As they were given.
    """

    request_id: str
    at: int
    route: str
    caller: str
    model_version: int
    playbook: str
    consent_unknown: str
    language: str
    reasons: str
    shadow: bool
    decision_ids: list[str]
    customers: list[int | str | None]
    features: bytes
    answers: list[Any]
    stage_rules: str = ""
    vocabulary: str = "stages"


class Journal:
    """An open file of decisions; threads share it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{uuid.uuid4().hex}{SUFFIX}"
        self._file = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        # Whoever finds it locked leaves it to its writer.
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._encoder = msgspec.msgpack.Encoder()
        self._lock = threading.Lock()
        self.size = 0

    def append(self, decided: Decided) -> None:
        """Add a frame, all of it or nothing.

        Raises
        ------
        OSError
            The disk is full or out of reach, or the journal is closed.
        """
        content = self._encoder.encode(decided)
        frame = _HEAD.pack(len(content), zlib.crc32(content)) + content
        with self._lock:
            if self._file == _CLOSED:
                raise OSError(errno.EBADF, "the journal is closed", str(self.path))
            written = os.write(self._file, frame)
            if written < len(frame):
                os.ftruncate(self._file, self.size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            self.size += written

    def close(self) -> None:
        """End it; no more is appended."""
        with self._lock:
            # The number is soon another file's.
            file, self._file = self._file, _CLOSED
        if file != _CLOSED:
            os.close(file)


def read_journal(path: Path) -> Iterator[Decided]:
    """Read the whole frames of a journal, open or closed."""
    with path.open("rb") as file:
        yield from read_frames(file)


def read_frames(file: BinaryIO) -> Iterator[Decided]:
    """Read whole frames one after the other, as far as a file goes now."""
    decoder = msgspec.msgpack.Decoder(Decided)
    left = os.fstat(file.fileno()).st_size
    while (left := left - _HEAD.size) >= 0:
        length, checksum = _HEAD.unpack(file.read(_HEAD.size))
        if (left := left - length) < 0:
            return
        frame = file.read(length)
        if zlib.crc32(frame) != checksum:
            return
        yield decoder.decode(frame)


def is_abandoned(path: Path) -> bool:
    """Whether nobody writes to a journal any more."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # An empty one is of this moment: it is made, and not locked yet.
        return os.fstat(file).st_size > 0
    except BlockingIOError:
        return False
    finally:
        os.close(file)
