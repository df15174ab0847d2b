"""Snapshots: the features of every known customer at the end of a day, computed once and kept.

A snapshot's key is the fingerprint of all that was known by its day and of the definitions; while
both stand, the file stands. New facts about later days therefore cost nothing, and a
correction of the past recomputes just the days that could have seen it.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from datetime import date
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import duckdb
import narwhals as nw
import pyarrow as pa
import pyarrow.parquet as pq

from features import catalogue
from features.days import closing, day_number
from features.definitions import orders as orders_module
from features.definitions.orders import finish, sums_as_of
from features.ingest.ledger import Ledger
from features.workspace import Workspace, replacing

Engine = Literal["polars", "duckdb"]
Progress = Callable[[int, int], None]

TIMESTAMP = "event_timestamp"
_KEY = b"lifecycle.key"


def snapshot_folder(workspace: Workspace, key_type: catalogue.KeyType) -> Path:
    """Where snapshots of one schema stand: a list's version and a type of key have their own."""
    return workspace.features / f"orders_v{catalogue.VERSION}_{key_type}_ids"


def snapshot_path(workspace: Workspace, ledger: Ledger, as_of: date) -> Path:
    """Where the snapshot of a day stands."""
    return snapshot_folder(workspace, ledger.customer_id_type) / f"{as_of.isoformat()}.parquet"


@cache
def definition_digest() -> str:
    """Name the definitions by their source, so that whoever changes one gets new snapshots."""
    sources = (inspect.getsource(module) for module in (orders_module, catalogue))
    return hashlib.sha256("".join(sources).encode()).hexdigest()


def snapshot_key(ledger: Ledger, as_of: date, engine: Engine) -> str:
    """Name a snapshot's content: what was known, the definitions and the engine."""
    parts = (
        ledger.fingerprint(as_of),
        as_of.isoformat(),
        definition_digest(),
        engine,
        version(engine),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def ensure_snapshots(
    workspace: Workspace,
    ledger: Ledger,
    days: Sequence[date],
    engine: Engine,
    progress: Progress | None = None,
) -> list[date]:
    """Compute the snapshots that are missing or out of date.

    Returns
    -------
    list of date
        The days that were computed, which is empty when nothing had changed.
    """
    computed = []
    for done, as_of in enumerate(days, start=1):
        key = snapshot_key(ledger, as_of, engine)
        path = snapshot_path(workspace, ledger, as_of)
        if stored_key(path) != key:
            table = compute_snapshot(ledger.orders_path, as_of, engine)
            table = table.replace_schema_metadata({_KEY: key.encode()})
            with replacing(path) as temporary:
                pq.write_table(table, temporary, compression="zstd")
            computed.append(as_of)
        if progress is not None:
            progress(done, len(days))
    return computed


def stored_key(path: Path) -> str | None:
    """Read the key of a stored snapshot, or None where there is none that can be read."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (FileNotFoundError, pa.ArrowInvalid):
        return None
    key = metadata.get(_KEY)
    return key.decode() if key is not None else None


def compute_snapshot(orders: Path, as_of: date, engine: Engine) -> pa.Table:
    """Compute one snapshot on an engine.

    Returns
    -------
    pyarrow.Table
        ``customer_id``, the features of the catalogue and ``event_timestamp`` (timestamp[us, UTC],
        the last microsecond of the day), sorted by customer.
    """
    number = day_number(as_of)
    if engine == "duckdb":
        with duckdb.connect() as connection:
            lines = nw.from_native(connection.read_parquet(str(orders)))
            sums = sums_as_of(lines, number).collect("pyarrow").to_native()
    else:
        import polars as pl  # noqa: PLC0415 - only the engine that is asked for is loaded

        lazy = sums_as_of(nw.from_native(pl.scan_parquet(orders)), number).to_native()
        sums = lazy.collect(engine="streaming").to_arrow(compat_level=pl.CompatLevel.oldest())
    sums = sums.sort_by("customer_id").combine_chunks()
    table = finish(nw.from_native(sums, eager_only=True), number).to_native()
    stamp = pa.scalar(closing(as_of), pa.timestamp("us", tz="UTC"))
    return table.append_column(TIMESTAMP, pa.repeat(stamp, table.num_rows)).combine_chunks()


def known_customers(workspace: Workspace, ledger: Ledger, as_of: date) -> pa.Array:
    """List the customers in a snapshot, in its order."""
    path = snapshot_path(workspace, ledger, as_of)
    return pq.read_table(path, columns=["customer_id"])["customer_id"].combine_chunks()
