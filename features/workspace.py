"""The one folder that holds all state, so that two workspaces run side by side."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.errors import Busy, WorkspaceError

FORMAT = 1
"""Version of the folder's layout; a workspace of another one is refused."""
WRITTEN_BEFORE = ("lifecycle.yaml", "playbook.yaml")
"""What a person may put into a folder before it is a workspace."""
CUT_SHORT = "phase"
"""In the folder of a restore: how far it is, from its check on."""


@dataclass(frozen=True)
class Workspace:
    """Paths inside one workspace folder. Creating the object touches nothing on disk.

    >>> Workspace(Path("shop")).data
    PosixPath('shop/data')
    """

    root: Path

    @property
    def marker(self) -> Path:
        """The file that says which layout this folder has."""
        return self.root / "workspace.json"

    @property
    def data(self) -> Path:
        """Cleaned orders, their manifest and what was quarantined."""
        return self.root / "data"

    @property
    def features(self) -> Path:
        """Snapshots of features, one Parquet file a day."""
        return self.root / "features"

    @property
    def feast(self) -> Path:
        """The Feast repository: settings, registry and online store."""
        return self.root / "feast"

    @property
    def mlflow(self) -> Path:
        """The MLflow database and its artifacts."""
        return self.root / "mlflow"

    @property
    def tuning(self) -> Path:
        """Optuna studies, a file each, unless the settings name a database."""
        return self.root / "tuning"

    @property
    def effects(self) -> Path:
        """What was measured of actions, a file each of its data and method."""
        return self.root / "effects"

    @property
    def scratch(self) -> Path:
        """What a training that exceeds memory needs while it runs; emptied by the next."""
        return self.root / "scratch"

    @property
    def decisions(self) -> Path:
        """The record of what the endpoint answered."""
        return self.root / "decisions"

    @property
    def scores(self) -> Path:
        """Batch scores, a file a day."""
        return self.root / "scores"

    @property
    def exports(self) -> Path:
        """Which decisions other systems have been given, a file a system."""
        return self.root / "exports"

    @property
    def segments(self) -> Path:
        """The fitted segments, and each customer's of a day, a file a day."""
        return self.root / "segments"

    @property
    def plans(self) -> Path:
        """Plans of campaigns, a file a version."""
        return self.root / "plans"

    @property
    def judged(self) -> Path:
        """What each registered version said of the days that it was judged on, a file a version."""
        return self.root / "judged"

    @property
    def backtests(self) -> Path:
        """What a scorer trained as of a day said of it, a file a day and horizon."""
        return self.root / "backtests"

    @property
    def restoring(self) -> Path:
        """What a restore unpacks, and what it moves aside, until it is done."""
        return self.root / ".restore"

    @property
    def watched(self) -> Path:
        """What each day's watch over data and predictions saw, a file a day; it names nobody."""
        return self.root / "watched"

    @property
    def privacy(self) -> Path:
        """Who was erased, as keyed hashes, and the receipts of it."""
        return self.root / "privacy"

    @property
    def runs(self) -> Path:
        """What `lifecycle run` did, a file a run, and what its steps remember."""
        return self.root / "runs"

    def exists(self) -> bool:
        """Whether a workspace has been created here."""
        return self.marker.is_file()

    def require(self) -> None:
        """Check that this is a workspace which this version can read.

        Raises
        ------
        WorkspaceError
            There is none, or it was made by a version with another layout.
        """
        try:
            found = json.loads(self.marker.read_text(encoding="utf-8"))["format"]
        except FileNotFoundError:
            self._check_restored()
            raise WorkspaceError(
                f"{self.root} is not a workspace yet; run `lifecycle ingest --orders FILE` first"
            ) from None
        except (ValueError, KeyError, TypeError):
            raise WorkspaceError(
                f"{self.marker} is damaged; restore it from a backup or start a new workspace"
            ) from None
        if found != FORMAT:
            raise WorkspaceError(
                f"workspace {self.root} has layout {found}, this version reads layout {FORMAT}; "
                "use the version that made it, or ingest into a new workspace"
            )

    def create(self) -> None:
        """Make the folder a workspace, or check the one that is there.

        Raises
        ------
        WorkspaceError
            The folder holds something else, or a workspace of another layout.
        """
        if self.exists():
            self.require()
            return
        self.check_vacant()
        self.root.mkdir(parents=True, exist_ok=True)
        write_json(self.marker, {"format": FORMAT})

    def abandon(self) -> None:
        """Undo :meth:`create` where nothing came of it."""
        self.marker.unlink(missing_ok=True)
        (self.root / ".lock").unlink(missing_ok=True)
        with suppress(OSError):
            self.root.rmdir()

    def check_vacant(self) -> None:
        """Refuse to make a workspace of a folder that holds something else.

        Raises
        ------
        WorkspaceError
            It does; the message names a file.
        """
        self._check_restored()
        allowed = {".lock", self.restoring.name, *WRITTEN_BEFORE}
        others = [p.name for p in self.root.glob("*") if p.name not in allowed]
        if others:
            raise WorkspaceError(
                f"{self.root} exists and is no workspace (it holds {sorted(others)[0]}); "
                "choose an empty folder with --workspace"
            )

    def _check_restored(self) -> None:
        if (self.restoring / CUT_SHORT).exists():
            raise WorkspaceError(
                f"a restore into {self.root} was cut short; run the same `lifecycle restore` again"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the workspace for writing; a second writer is told at once.

        Raises
        ------
        Busy
            Another process is writing here.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy(
                    f"another command is writing to workspace {self.root}; wait for it to end"
                ) from None
            yield


@contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that takes its place only if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``path`` that becomes ``path`` only if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path, value: object) -> None:
    """Write JSON in one step, with sorted keys."""
    with replacing(path) as temporary:
        temporary.write_text(
            json.dumps(value, indent=2, sort_keys=True, default=str) + "\n", encoding="utf-8"
        )


def read_json(path: Path) -> Any:  # noqa: ANN401 - JSON is what it is
    """Read JSON, or ``None`` where there is no file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
