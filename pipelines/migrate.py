"""`lifecycle migrate`: a workspace of an earlier version is brought to this one.

What can be computed again is (snapshots, what is online) and what was said is carried over
(scores), each in one step and the former removed after it, so that a death on the way leaves a
workspace that is migrated by the next run. A model is only ever trained and promoted by a person's
word: where the champion cannot answer any more, this says so. MLflow brings its own database up
when it opens it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from features import catalogue, scores
from features.catalogue import JOIN_KEY
from features.errors import WorkspaceError
from features.online import read_state
from features.snapshot_files import stored_key
from pipelines.context import Context
from pipelines.features import compute_features
from serving.batch import score_schema
from serving.score_files import looked_back, write_scores

State = Literal["current", "old", "migrated", "yours"]
_SNAPSHOTS = re.compile(r"(?:snapshots|history)_v(\d+)_(?:integer|text)_ids")
_SCORES = re.compile(r"v(\d+)_(integer|text)_ids")


@dataclass(frozen=True)
class Part:
    """One part of a workspace.

    Attributes
    ----------
    state
        ``current``; ``old``, where it was only looked at; ``migrated``; or ``yours``, where a
        person has to do something.
    said
        What it is, what was done or what is to be done.
    """

    name: str
    state: State
    said: str


@dataclass(frozen=True)
class MigrationReport:
    """Every part of a workspace, and whether this version can use all of them."""

    parts: tuple[Part, ...]

    @property
    def current(self) -> bool:
        """Whether nothing is left to do."""
        return all(part.state in {"current", "migrated"} for part in self.parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"current": self.current, "parts": [asdict(part) for part in self.parts]}


def migrate(context: Context, check: bool = False) -> MigrationReport:
    """Bring a workspace to this version, part by part; a second time changes nothing.

    Parameters
    ----------
    check
        Only say what is old.

    Raises
    ------
    WorkspaceError
        There is no workspace, or a part of it was made by a later version.
    """
    context.workspace.require()
    _refuse_later(context)
    return MigrationReport(tuple(part(context, check) for part in _PARTS))


def _features(context: Context, check: bool) -> Part:
    name = f"features, version {catalogue.VERSION}"
    former = [f for f, version in _former(context.workspace.features, _SNAPSHOTS)
              if version < catalogue.VERSION]  # fmt: skip
    if not former:
        return Part(name, "current", "snapshots of this version's list, or none yet")
    told = ", ".join(sorted(folder.name for folder in former))
    if check:
        return Part(name, "old", f"{told}: the newest day will be computed anew and put online")
    state = read_state(context.workspace)
    until = context.observed_until(context.ledger())
    day = until if state is None else max(until, state.as_of)
    compute_features(context, [day], online=True)
    with context.workspace.locked():
        for folder in former:
            shutil.rmtree(folder)
    return Part(
        name,
        "migrated",
        f"{day} is computed anew and online, earlier days follow when needed; removed: {told}",
    )


def _scores(context: Context, check: bool) -> Part:
    name = f"scores, version {scores.VERSION}"
    missing = list(_not_carried(context.workspace.scores))
    if not missing:
        return Part(name, "current", "every scored day can be read, or none was scored yet")
    days = f"{len(missing)} scored day{'s' * (len(missing) != 1)} of a former version"
    if check:
        return Part(name, "old", f"{days}; they will be carried over")
    lost: set[str] = set()
    with context.workspace.locked():
        for path, target in missing:
            lost |= _carry(path, target)
        for path in {path.parent for path, _ in missing}:
            shutil.rmtree(path)
    left = f"; left out, being no columns any more: {', '.join(sorted(lost))}" if lost else ""
    return Part(
        name,
        "migrated",
        f"{days} carried over as they were said, with nothing in the columns that are new{left}",
    )


def _carry(path: Path, target: Path) -> set[str]:
    """Write a former day's scores in this version's columns; give the columns that are no more."""
    table = pq.read_table(path)
    schema = score_schema(table.schema.field(JOIN_KEY).type)
    there = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    carried = pa.table(there, schema=schema)
    write_scores(target, carried.to_batches(), schema, stored_key(path) or "", looked_back(path))
    return set(table.column_names) - set(schema.names)


def _not_carried(folder: Path) -> Iterator[tuple[Path, Path]]:
    """List former scores of days that this version has none of, and where they belong.

    Of several former versions the latest goes before.
    """
    taken = set()
    for former, version in sorted(_former(folder, _SCORES), key=lambda pair: -pair[1]):
        now = folder / former.name.replace(f"v{version}_", f"v{scores.VERSION}_", 1)
        for path in sorted(former.glob("[!.]*.parquet")):
            target = now / path.name
            if version < scores.VERSION and not target.exists() and target not in taken:
                taken.add(target)
                yield path, target


def _model(context: Context, _: bool) -> Part:
    name = "the model that answers"
    registry = context.registry()
    champion = registry.champion()
    if champion is None:
        return Part(name, "current", "none has been promoted yet")
    try:
        registry.load(champion)
    except WorkspaceError as error:
        as_of = champion.tags.get("as_of", "DAY")
        return Part(
            name,
            "yours",
            f"version {champion.version}: {error}. Begin with `lifecycle train --as-of {as_of}`",
        )
    return Part(name, "current", f"version {champion.version} can answer")


_PARTS: tuple[Callable[[Context, bool], Part], ...] = (_features, _scores, _model)


def _former(folder: Path, pattern: re.Pattern[str]) -> list[tuple[Path, int]]:
    found = folder.iterdir() if folder.is_dir() else ()
    named = [(path, pattern.fullmatch(path.name)) for path in found]
    return [(path, int(match[1])) for path, match in named if match]


def _refuse_later(context: Context) -> None:
    for folder, pattern, version, what in (
        (context.workspace.features, _SNAPSHOTS, catalogue.VERSION, "features"),
        (context.workspace.scores, _SCORES, scores.VERSION, "scores"),
    ):
        newest = max((found for _, found in _former(folder, pattern)), default=0)
        if newest > version:
            raise WorkspaceError(
                f"{folder} holds {what} of version {newest}, this installation knows up to "
                f"{version}; use the later version, or restore a backup from before it"
            )
