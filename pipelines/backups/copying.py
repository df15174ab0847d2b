"""What of a workspace goes into a backup, while its endpoint answers and takes events.

The caller holds the workspace, so that no other verb writes. What the endpoint writes meanwhile is
copied so that it is of one moment: databases by SQLite's own copy, what is online and the log of
pushes under the lock that a push holds, and the record of decisions under its archive's.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from features.errors import WorkspaceError
from features.online import read_state
from features.push_log import PushLog
from features.settings import Settings
from features.workspace import Workspace
from pipelines.backups.archive import Writer
from serving.decisions.archive import Archive

_LEFT_OUT = {"scratch", "serving"}
"""Folders of what runs now, of no use to who starts anew."""
_SQLITE = b"SQLite format 3\0"
_BESIDE_DATABASES = ("-wal", "-shm", "-journal")
_ONLINE = "online"


def copy_databases(workspace: Workspace, settings: Settings, staging: Path) -> dict[str, Path]:
    """Copy every database of a workspace, and the pointer to what is online.

    Returns
    -------
    dict
        The copies, by the name in the workspace.

    Raises
    ------
    WorkspaceError
        A database is damaged.
    """
    databases = [path for path in _files(workspace.root) if _is_database(path)]
    pushed = [workspace.data / "pushes.db"]
    copies: dict[Path, Path] = {}
    # A push waits for this; nobody else does.
    with PushLog(workspace, settings.stores).locked():
        state = read_state(workspace)
        if state is not None:
            pushed.append(workspace.feast / state.file)
        for path in workspace.feast.glob(f"{_ONLINE}*.json"):
            copies[path] = _next(copies, staging)
            shutil.copyfile(path, copies[path])
        for path in set(pushed).intersection(databases):
            copies[path] = _copied(path, _next(copies, staging))
    for path in databases:
        # Of what was online before, nobody has need.
        if path not in copies and not _is_of_online(path.relative_to(workspace.root)):
            copies[path] = _copied(path, _next(copies, staging))
    for path, copy in copies.items():
        if path.suffix != ".json":
            _check(path, copy)
    return {path.relative_to(workspace.root).as_posix(): copy for path, copy in copies.items()}


def add_files(workspace: Workspace, copies: dict[str, Path], writer: Writer) -> None:
    """Add all files of a workspace to a backup, the copies in the place of what they are of."""
    for name, copy in copies.items():
        writer.add(name, copy)
    for path in _files(workspace.root, without={*_LEFT_OUT, "decisions"}):
        name = _name(workspace, path)
        if name not in copies and not _is_of_online(path.relative_to(workspace.root)):
            writer.add(name, path)
    _add_decisions(workspace, writer)


def _add_decisions(workspace: Workspace, writer: Writer) -> None:
    """Add the record: journals before the Parquet files that they become.

    A decision may be in both, which counts once for whoever reads the record.
    """
    if not workspace.decisions.is_dir():
        return
    with Archive(workspace.decisions).alone():
        for path in sorted(p for p in workspace.decisions.iterdir() if p.is_file()):
            try:
                writer.add(_name(workspace, path), path)
            except FileNotFoundError:
                continue
        for folder in sorted(p for p in workspace.decisions.iterdir() if p.is_dir()):
            for path in _files(folder):
                writer.add(_name(workspace, path), path)


def _files(root: Path, without: set[str] | frozenset[str] = frozenset(_LEFT_OUT)) -> Iterator[Path]:
    """List files, but not locks, what unfinished writes left, and SQLite's own beside databases.

    All of these have a dot before their name, or a database of their name beside them.
    """
    for place, folders, files in os.walk(root):
        folder = Path(place)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and not (folder == root and name in without)
        )
        for name in sorted(files):
            owner = next((name.removesuffix(s) for s in _BESIDE_DATABASES if name.endswith(s)), "")
            if not name.startswith(".") and not (owner and (folder / owner).exists()):
                yield folder / name


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except FileNotFoundError:
        return False


def _is_of_online(relative: Path) -> bool:
    return relative.parts[0] == "feast" and relative.name.startswith((f"{_ONLINE}-", f"{_ONLINE}."))


def _next(copies: dict[Path, Path], staging: Path) -> Path:
    return staging / str(len(copies))


def _copied(path: Path, target: Path) -> Path:
    try:
        with closing(_connected(path)) as source, closing(_connected(target)) as to:
            source.backup(to)
            # What stands in a file beside it would be left behind.
            to.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.DatabaseError as error:
        raise _damaged(path, str(error)) from None
    return target


def _check(path: Path, copy: Path) -> None:
    try:
        with closing(_connected(copy)) as database:
            sound = database.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.DatabaseError as error:
        sound = str(error)
    if sound != "ok":
        raise _damaged(path, sound)


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=60)


def _damaged(path: Path, why: str) -> WorkspaceError:
    return WorkspaceError(
        f"{path} is damaged ({why}), and a backup of it would be too; restore the last good one"
    )


def _name(workspace: Workspace, path: Path) -> str:
    return path.relative_to(workspace.root).as_posix()
