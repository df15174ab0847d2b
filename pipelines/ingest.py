"""`lifecycle ingest`: read a file of orders into the workspace."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from features.errors import InputError
from features.ingest.ledger import Ledger
from features.ingest.reading import file_digest, read_raw
from features.ingest.report import IngestReport
from pipelines.context import Context


def ingest(context: Context, file: Path | None, mapping: Mapping[str, str]) -> IngestReport:
    """Clean a file of orders and merge it with those already there.

    Parameters
    ----------
    file
        CSV or Parquet; None takes the setting ``data.orders``.
    mapping
        Contract column to the file's column, over the setting ``data.mapping``.

    Raises
    ------
    InputError
        The file cannot be what it claims to be; the workspace stays as it was.
    """
    path = file or context.settings.data.orders
    if path is None:
        raise InputError("no file of orders; name one with --orders FILE or set data.orders")
    return ingest_table(
        context,
        path,
        read_raw(path),
        file_digest(path),
        {**context.settings.data.mapping, **mapping},
    )


def ingest_table(
    context: Context, source: Path, raw: pl.DataFrame, digest: str, mapping: Mapping[str, str]
) -> IngestReport:
    """Clean a table that has been read already; see :func:`ingest`."""
    workspace = context.workspace
    fresh = not workspace.exists()
    if fresh:
        workspace.check_vacant()
    with workspace.locked():
        workspace.create()
        try:
            return Ledger(workspace).add_export(source, raw, digest, mapping, context.settings.data)
        except InputError:
            if fresh:
                workspace.abandon()
            raise
