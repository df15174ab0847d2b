"""`lifecycle backup`: a workspace as one file, while its endpoint answers."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from features import __version__
from features.errors import InputError
from features.settings import Settings
from features.workspace import FORMAT, Workspace, replacing
from pipelines.backups.archive import codec_of, writing
from pipelines.backups.copying import add_files, copy_databases
from pipelines.context import Context


@dataclass(frozen=True)
class BackupReport:
    """What was written.

    Attributes
    ----------
    bytes
        Of the workspace's files, before they were compressed.
    not_included
        What stands elsewhere, a sentence each, with what to do.
    """

    file: str
    files: int
    bytes: int
    compressed_bytes: int
    not_included: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def backup(context: Context, file: Path, settings_file: Path | None = None) -> BackupReport:
    """Write a workspace to a file that only its owner can read; it takes its place when whole.

    Parameters
    ----------
    settings_file
        The settings in use, which may stand elsewhere.

    Raises
    ------
    InputError
        The file's name is no backup's, or it lies in the workspace.
    WorkspaceError
        There is no workspace, another verb writes to it, or a database in it is damaged.
    """
    codec = codec_of(file)
    workspace = context.workspace
    workspace.require()
    if file.resolve().is_relative_to(workspace.root.resolve()):
        raise InputError(f"{file} lies in the workspace that it is a backup of; write it elsewhere")
    if not file.resolve().parent.is_dir():
        raise InputError(f"folder {file.parent} does not exist; make it, or write elsewhere")
    elsewhere = tuple(_elsewhere(workspace, context.settings, settings_file))
    about = {
        "lifecycle": __version__,
        "layout": FORMAT,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "workspace": workspace.root.resolve().name,
        "not_included": elsewhere,
    }
    with (
        workspace.locked(),
        replacing(file, 0o600) as temporary,
        tempfile.TemporaryDirectory(prefix=f".{file.name}.", dir=file.parent) as staging,
        writing(temporary, codec, about) as writer,
    ):
        copies = copy_databases(workspace, context.settings, Path(staging))
        add_files(workspace, copies, writer)
    members = writer.members.values()
    return BackupReport(
        str(file), len(members), sum(m.bytes for m in members), file.stat().st_size, elsewhere
    )


def _elsewhere(workspace: Workspace, settings: Settings, file: Path | None) -> list[str]:
    """Name what a workspace rests on that is not in its folder."""
    stores, found = settings.stores, []
    if stores.tracking_uri is not None:
        found.append(
            "models, their runs and files are on the tracking server of stores.tracking_uri: back "
            "up its database (pg_dump) and its artifacts"
        )
    if stores.online.endswith("redis"):
        found.append(
            "what is online in Redis is not needed: the next `lifecycle score` or `serve` fills it "
            "again from the snapshots and pushed events"
        )
    for name, url, what in (
        ("stores.push_log", stores.push_log, "pushed events"),
        ("stores.registry", stores.registry, "Feast's registry"),
        ("training.storage", settings.training.storage, "Optuna's studies"),
    ):
        if url is not None:
            found.append(f"{what}: dump the database of {name} (pg_dump) after this backup")
    places = {
        "the settings file": file,
        "serving.playbook": settings.serving.playbook,
        "serving.stage_rules": settings.serving.stage_rules,
    }
    root = workspace.root.resolve()
    found += [
        f"{what}, {path}, lies outside the workspace: copy it"
        for what, path in places.items()
        if path is not None and not path.resolve().is_relative_to(root)
    ]
    return found
