"""Where studies live: in memory, in a file of the workspace, or in a database that many share."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightgbm as lgb
import optuna
from optuna.distributions import distribution_to_json
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from features.errors import InputError
from features.servers import SECONDS, answering, unreachable
from training.trees import DEFAULTS, Machine, Task, fixed
from training.tuning.space import FIRST_RANDOM, MOST_ROUNDS, PATIENCE, SPACE

JOIN_SECONDS = 120.0
"""How long a process that joins waits for the study of the training that it joins."""
FIRST_UNPRUNED = 4
SETTING = "training.storage"


@dataclass(frozen=True)
class Studies:
    """Where studies live and who works on them.

    Attributes
    ----------
    folder
        A study is one file in it; None keeps studies in memory.
    url
        A database instead, as ``postgresql+psycopg://user:password@host/database``.
    workers
        Processes that run trials; more than one need a folder or a database to share.
    joining
        Take part in a training that another process has started, and start none.
    """

    folder: Path | None = None
    url: str | None = field(default=None, repr=False)
    workers: int = 1
    joining: bool = False

    def __post_init__(self) -> None:
        if self.folder is None and self.url is None and self.workers > 1:
            raise InputError(
                f"{self.workers} workers cannot share a study in memory; "
                f"set {SETTING}, or training.workers to 1"
            )

    @contextmanager
    def opened(self, name: str) -> Iterator[optuna.Study]:
        """Open a study, or begin it.

        Raises
        ------
        ServerError
            The database does not answer.
        InputError
            Nobody else has begun the study that was to be joined.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = self._storage(name)
        try:
            with self.answering():
                if self.joining:
                    _await(storage, name)
                yield optuna.create_study(
                    study_name=name,
                    storage=storage,
                    # Never asked: points are drawn apart, see training.tuning.space.draw.
                    sampler=optuna.samplers.RandomSampler(),
                    pruner=optuna.pruners.MedianPruner(n_startup_trials=FIRST_UNPRUNED),
                    load_if_exists=True,
                )
        finally:
            if isinstance(storage, RDBStorage):
                storage.remove_session()
                storage.engine.dispose()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Say which setting is wrong where the database stops to answer."""
        try:
            yield
        except optuna.exceptions.StorageInternalError as error:
            raise unreachable(SETTING, str(self.url), error.__cause__ or error) from None

    def _storage(self, name: str) -> BaseStorage:
        if self.url is not None:
            url = self.url
            wait = {"connect_timeout" if url.startswith("postgresql") else "timeout": SECONDS}
            options = {"pool_pre_ping": True, "connect_args": wait}
            opened: BaseStorage = answering(SETTING, url, lambda: RDBStorage(url, options))
            return opened
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            return JournalStorage(StudyFile(self.folder / f"{name}.jsonl"))
        return InMemoryStorage()


class StudyFile(JournalFileBackend):  # type: ignore[misc]
    """A study's journal in a file: Optuna's, made for processes that may be killed at any time.

    The lock is one that the kernel takes back from the dead, where Optuna's own is waited for half
    a minute. A line that a power cut left unfinished is cut off before the next is written. Lines
    are not forced to the disk: what is lost to a power cut is run again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        super().__init__(str(path))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records, a line each."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with self._path.open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(_end_of_last_line(file))
            file.truncate()
            file.write(lines.encode())


def _end_of_last_line(file: Any) -> int:  # noqa: ANN401 - an open binary file
    end = int(file.seek(0, os.SEEK_END))
    while end:
        start = max(0, end - 4096)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + int(found) + 1
        end = start
    return 0


def _await(storage: BaseStorage, name: str) -> None:
    until = time.monotonic() + JOIN_SECONDS
    while name not in {study.study_name for study in storage.get_all_studies()}:
        if time.monotonic() > until:
            raise InputError(
                f"no training has begun study {name} in {SETTING}; run `lifecycle train` first, "
                "and join it with the same data, --as-of, settings and versions"
            )
        time.sleep(0.2)


def study_name(task: Task, contents: Sequence[str], machine: Machine) -> str:
    """Name a study by all that its losses depend on: same name, same losses.

    Parameters
    ----------
    contents
        What each fold holds, by :meth:`training.tuning.folds.Fold.save`.
    """
    parts = {
        "folds": list(contents),
        "space": {name: distribution_to_json(range_) for name, range_ in SPACE.items()},
        "fixed": fixed(task),
        "defaults": DEFAULTS[task],
        "rounds": [MOST_ROUNDS, PATIENCE],
        "search": [FIRST_RANDOM, FIRST_UNPRUNED, machine.seed],
        "versions": [lgb.__version__, optuna.__version__],
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return f"{task}-{digest[:16]}"
