"""`lifecycle restore`: a backup as a workspace again, whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
from dataclasses import asdict, dataclass
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import Any

from features.errors import InputError, WorkspaceError
from features.workspace import FORMAT, Workspace
from pipelines.backups.archive import Member, read
from pipelines.backups.placing import finish, place
from pipelines.context import Context
from pipelines.privacy.receipt import Receipts
from serving.decisions.journal import SUFFIX


@dataclass(frozen=True)
class RestoreReport:
    """What was in the backup.

    Attributes
    ----------
    restored
        Whether it is the workspace now, or was only checked.
    not_included
        What stood elsewhere when it was made, a sentence each.
    erased_since
        Requests of erasure that the workspace which was replaced had fulfilled, and the backup has
        not: those persons are back.
    """

    file: str
    made_at: str
    lifecycle: str
    files: int
    bytes: int
    restored: bool
    not_included: tuple[str, ...]
    erased_since: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def restore(
    context: Context, file: Path, *, replace: bool = False, check: bool = False
) -> RestoreReport:
    """Make a folder the workspace that a backup holds, when all of it has been read and checked.

    One that was cut short is finished by the next. What the folder held is deleted when the
    restored workspace is whole.

    Parameters
    ----------
    replace
        Whether there may be a workspace already.
    check
        Only read the backup, to its end.

    Raises
    ------
    InputError
        The file is no whole backup, or of a newer version.
    WorkspaceError
        The folder holds something, or an endpoint answers from it.
    """
    workspace = context.workspace
    if check:
        return _report(file, *read(file, _check_version, None), restored=False)
    before = workspace.root.exists()
    with workspace.locked():
        if finish(workspace) == (digest := _digest(file)):
            return _report(file, *read(file, _check_version, None), restored=True)
        if not workspace.exists():
            workspace.check_vacant()
        elif not replace:
            raise WorkspaceError(
                f"{workspace.root} holds a workspace; restore into another folder with "
                "--workspace, or let this one be replaced with --replace"
            )
        _check_silent(workspace)
        told: list[RestoreReport] = []
        erased = _erased(workspace)

        def unpack(folder: Path) -> str:
            about, members = read(file, _check_version, folder)
            if workspace.marker.name not in members:
                raise InputError(f"{file.name} holds no workspace; name another backup")
            told.append(_report(file, about, members, restored=True))
            return digest

        try:
            place(workspace, unpack)
        except BaseException:
            if not before and not workspace.exists():
                workspace.abandon()
            raise
    return replace_fields(told[0], erased_since=tuple(sorted(erased - _erased(workspace))))


def _erased(workspace: Workspace) -> set[str]:
    return {receipt.request for receipt in Receipts(workspace).all()}


def _digest(file: Path) -> str:
    if not file.is_file():
        raise InputError(f"backup {file} does not exist; name one that `lifecycle backup` wrote")
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _check_version(about: dict[str, Any]) -> None:
    if int(about["layout"]) > FORMAT:
        raise InputError(
            f"the backup was made by version {about['lifecycle']}, of a later layout than this "
            "version reads; restore it with that version"
        )


def _check_silent(workspace: Workspace) -> None:
    """Refuse to take a record from under whoever writes it."""
    for journal in workspace.decisions.glob(f"*{SUFFIX}"):
        with journal.open("rb") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise WorkspaceError(
                    f"an endpoint answers from {workspace.root}; stop it before it is replaced"
                ) from None


def _report(
    file: Path, about: dict[str, Any], members: dict[str, Member], *, restored: bool
) -> RestoreReport:
    return RestoreReport(
        str(file),
        str(about["made_at"]),
        str(about["lifecycle"]),
        len(members),
        sum(member.bytes for member in members.values()),
        restored,
        tuple(about["not_included"]),
    )
