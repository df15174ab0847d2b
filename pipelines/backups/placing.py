"""A restored workspace takes its place in a folder, in steps that can be cut short anywhere.

All of it happens inside the folder, which may be a mount. First the backup is unpacked beside what
is there, and checked; then what is there is moved aside, the file first that makes a workspace of
the folder; then what was unpacked moves in, that file last. How far this is stands in a file, so
that whoever comes after a death goes on; what was there is deleted when the new one is whole.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from features.workspace import CUT_SHORT, WRITTEN_BEFORE, Workspace, read_json, write_json

Phase = Literal["checked", "cleared"]
_OWN = {".lock", ".restore"}


def place(workspace: Workspace, unpack: Callable[[Path], str]) -> None:
    """Make a folder the workspace that ``unpack`` writes into the folder it is given.

    The caller holds the workspace. What a person may put into a folder before it is a workspace
    stays; the backup's own then stand beside it.

    Parameters
    ----------
    unpack
        Gives the name of what it unpacked.
    """
    folder = workspace.restoring
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "new").mkdir(parents=True)
    try:
        name = unpack(folder / "new")
        if not workspace.exists():
            for given in WRITTEN_BEFORE:
                _keep(workspace.root / given, folder / "new" / given)
        for path in (folder / "new").rglob("*"):
            _settle(path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _write_phase(folder, "checked", name)
    finish(workspace)


def finish(workspace: Workspace) -> str | None:
    """Go on with a restore that was cut short after its check, or clear away one before it.

    Returns
    -------
    str or None
        The name of what the workspace is now, where there was one.
    """
    folder, root = workspace.restoring, workspace.root
    phase, name = _phase(folder)
    if phase == "checked":
        (folder / "old").mkdir(exist_ok=True)
        for entry in sorted(root.iterdir(), key=lambda p: p != workspace.marker):
            if entry.name not in _OWN:
                entry.replace(folder / "old" / entry.name)
        _settle(root)
        _write_phase(folder, "cleared", name)
    if phase is not None:
        new = folder / "new"
        for entry in sorted(new.iterdir(), key=lambda p: p.name == workspace.marker.name):
            entry.replace(root / entry.name)
        _settle(root)
        (folder / CUT_SHORT).unlink()
    shutil.rmtree(folder, ignore_errors=True)
    return name if phase is not None else None


def _keep(own: Path, restored: Path) -> None:
    if own.exists():
        if restored.exists():
            restored.rename(restored.with_name(f"{restored.name}.restored"))
        shutil.copy2(own, restored)


def _phase(folder: Path) -> tuple[Phase | None, str]:
    noted = read_json(folder / CUT_SHORT)
    return (None, "") if noted is None else (noted["phase"], noted["name"])


def _write_phase(folder: Path, phase: Phase, name: str) -> None:
    write_json(folder / CUT_SHORT, {"phase": phase, "name": name})
    _settle(folder)


def _settle(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder: a loss of power takes none."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
