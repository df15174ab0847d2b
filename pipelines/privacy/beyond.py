"""What an erasure cannot reach, told with what to do there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from features.ingest.contract import TABLES
from features.persons import Persons
from features.servers import without_password
from pipelines.context import Context
from pipelines.privacy.inventory import unlisted
from pipelines.privacy.receipt import Beyond
from serving.decisions.archive import Archive
from serving.decisions.erasing import still_open
from serving.deliveries import Deliveries

_CHUNK = 1 << 20


def out_of_reach(context: Context, persons: Persons, reached: set[str]) -> Iterator[Beyond]:
    """List the places that may still hold some persons.

    Parameters
    ----------
    reached
        Addresses of databases that their rows were deleted from.
    """
    workspace, settings = context.workspace, context.settings
    for path in still_open(Archive(workspace.decisions), persons):
        yield Beyond(
            f"{_named(path, workspace.root)}, the open record of a server that did not answer",
            "it leaves them out within five minutes, or when that server ends",
        )
    for one in Deliveries(workspace).all():
        if one.kind == "file":
            if Path(one.place).exists():
                yield Beyond(
                    persons.struck(f"{one.place}, written by `lifecycle {one.by}` on {one.last}"),
                    "remove the file or their rows in it, and in whatever read it",
                )
        elif one.place not in reached:
            yield Beyond(
                f"table {one.table} of {one.place}",
                "run the same again with --delivered and that address, its password included",
            )
    for table in TABLES:
        named = getattr(settings.data, table)
        if named is not None:
            yield Beyond(
                f"{named}, which data.{table} names",
                "remove their rows where that file comes from; ingest leaves them out meanwhile",
            )
    for path in unlisted(workspace):
        yield Beyond(
            f"{_named(path, workspace.root)} in the workspace, which is no part of it",
            "look whether it names them",
        )
    for path in _naming(context, persons):
        yield Beyond(
            f"{persons.unnamed(_named(path, workspace.root))}, which names them",
            "look at it, and remove the file or the name",
        )
    for setting, url in (
        ("stores.redis_url", settings.stores.redis_url),
        ("stores.push_log", settings.stores.push_log),
    ):
        if url is not None and not url.startswith("sqlite"):
            yield Beyond(
                f"backups and replicas of {setting} = {without_password(url)}",
                "its rows are deleted there; dumps keep them until they are rotated",
            )
    yield Beyond(
        "backups of the workspace, logs of servers and proxies, and systems that were given "
        "events or answers",
        "let backups run out; after restoring one of before this day, forget the same persons "
        "once more",
    )


def _naming(context: Context, persons: Persons) -> Iterator[Path]:
    """Look through what holds no persons by its making for a file that names one all the same."""
    if persons.pattern is None:
        return
    workspace = context.workspace
    names = [name.encode() for name in persons.distinctive]
    for folder, names_below, files in os.walk(workspace.root):
        if Path(folder) == workspace.root:
            # The note of what is being done goes with the last step.
            names_below[:] = [name for name in names_below if name != workspace.privacy.name]
        for name in files:
            path = Path(folder) / name
            if path.suffix != ".parquet" and _holds(path, names):
                yield path


def _holds(path: Path, names: list[bytes]) -> bool:
    longest = max(map(len, names))
    try:
        with path.open("rb") as file:
            tail = b""
            while block := file.read(_CHUNK):
                if any(name in tail + block for name in names):
                    return True
                tail = block[-longest:]
    except OSError:
        return False
    return False


def _named(path: Path, root: Path) -> str:
    return str(path.relative_to(root))
