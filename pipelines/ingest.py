"""`lifecycle ingest`: read files into the workspace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path

import polars as pl

from features.errors import InputError
from features.ingest.columns import mapping_of
from features.ingest.contract import TABLES, Table
from features.ingest.ledger import Export, Ledger
from features.ingest.reading import file_digest, read_raw
from features.ingest.report import IngestReport
from pipelines.context import Context

READING = "reading files"
_READ, _CLEANED, _MERGED = 1, 6, 3
"""How long each takes beside the others, for the time left: seen on four million lines."""


@dataclass(frozen=True)
class TableFile:
    """A file and the table that it is said to be."""

    table: Table
    path: Path


def ingest(
    context: Context, files: Sequence[TableFile], mapping: Mapping[str, str]
) -> list[IngestReport]:
    """Clean files and merge them with those already there: all, or where one is refused, none.

    Parameters
    ----------
    files
        CSV or Parquet, in the order in which they are merged; none takes those of the settings.
    mapping
        Contract column to the file's column, over the setting ``data.mapping``; columns of other
        tables than orders carry the table, as in ``interactions.kind``.

    Raises
    ------
    InputError
        A file cannot be what it claims to be; the workspace stays as it was.
    """
    chosen = files or files_of_settings(context)
    if not chosen:
        raise InputError(
            "no file to ingest; name one with --orders FILE (or --customers, --interactions, "
            "--treatments, --contracts), or set data.orders"
        )
    named = {**context.settings.data.mapping, **mapping}
    reports = _ingest(context, _exports(context, chosen, named))
    context.say(READING, _parts(chosen), _parts(chosen))
    return reports


def ingest_table(
    context: Context,
    source: Path,
    raw: pl.DataFrame,
    digest: str,
    mapping: Mapping[str, str],
    table: Table = "orders",
) -> IngestReport:
    """Clean one table that has been read already; see :func:`ingest`.

    The keys of the mapping are columns of this table.
    """
    return _ingest(context, [Export(table, source, raw, digest, mapping)])[0]


def files_of_settings(context: Context) -> list[TableFile]:
    """List the files that the settings name; those of one pattern in the order of their names.

    Raises
    ------
    InputError
        No file has a name of a pattern.
    """
    named = {table: getattr(context.settings.data, table) for table in TABLES}
    return [
        TableFile(table, file)
        for table, path in named.items()
        if path is not None
        for file in _matching(table, path)
    ]


def _matching(table: Table, path: Path) -> list[Path]:
    if path.exists() or not has_magic(path.name):
        return [path]
    found = sorted(path.parent.glob(path.name))
    if not found:
        raise InputError(f"no file is named like data.{table} = {path}; correct the pattern")
    return found


def _parts(files: Sequence[TableFile]) -> int:
    """Count what is told of progress: each file is read and cleaned, then all are merged."""
    return (_READ + _CLEANED) * len(files) + _MERGED


def _exports(
    context: Context, files: Sequence[TableFile], mapping: Mapping[str, str]
) -> Iterator[Export]:
    """Read one file after another, so that only one is held as it was exported."""
    parts = _parts(files)
    for place, file in enumerate(files):
        begun = (_READ + _CLEANED) * place
        context.say(READING, begun, parts)
        picked = mapping_of(file.table, mapping)
        digest = file_digest(file.path)
        raw = read_raw(file.path)
        context.say(READING, begun + _READ, parts)
        yield Export(file.table, file.path, raw, digest, picked)
    context.say(READING, parts - _MERGED, parts)


def _ingest(context: Context, exports: Iterable[Export]) -> list[IngestReport]:
    workspace = context.workspace
    fresh = not workspace.exists()
    if fresh:
        workspace.check_vacant()
    with workspace.locked():
        workspace.create()
        try:
            # What was pushed before these files came is before them in the ledger.
            ledger = Ledger(workspace)
            context.fold(ledger)
            reports = ledger.add_exports(exports, context.settings.data)
        except InputError:
            if fresh:
                workspace.abandon()
            raise
        context.renew_pushed(ledger)
        return reports
