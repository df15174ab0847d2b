"""Snapshots: the features of every known customer at the end of a day, computed once and kept.

A snapshot's key is the fingerprint of all that was known by its day and of the definitions; while
both stand, the file stands. New facts about later days therefore cost nothing, and a
correction of the past recomputes just the days that could have seen it.

Beside the snapshots stands what orders added up to by the newest of them
(:class:`features.definitions.history.OrderHistory`), from which a later day goes on.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import date
from functools import cache, lru_cache
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from features import catalogue, computing
from features import days as days_module
from features.computing import Part, compute, open_tables, parts_of
from features.definitions import (
    contracts,
    customers,
    expressions,
    history,
    interactions,
    orders,
    referrals,
    rows,
    treatments,
)
from features.definitions.rows import Rules
from features.engines import EngineName, engine, engine_version
from features.history_files import HistoryFiles
from features.ingest import contract
from features.ingest.contract import Table
from features.ingest.ledger import Ledger
from features.objections import objecting_in, without
from features.settings import Settings
from features.snapshot_files import stored_key, writing
from features.workspace import Workspace

Progress = Callable[[int, int], None]

_DEFINITIONS = (
    catalogue, computing, contract, contracts, customers, days_module, expressions, history,
    interactions, orders, referrals, rows, treatments,
)  # fmt: skip


def rules_of(settings: Settings) -> Rules:
    """Take what the settings add to the definitions."""
    return Rules(
        settings.data.static_attributes,
        settings.data.sensitive_attributes,
        dict(settings.features.seasons),
        settings.privacy.objection_column,
    )


def snapshot_folder(workspace: Workspace, key_type: catalogue.KeyType) -> Path:
    """Where snapshots of one schema stand: a list's version and a type of key have their own."""
    return workspace.features / f"snapshots_v{catalogue.VERSION}_{key_type}_ids"


def snapshot_path(workspace: Workspace, ledger: Ledger, as_of: date) -> Path:
    """Where the snapshot of a day stands."""
    return snapshot_folder(workspace, ledger.customer_id_type) / f"{as_of.isoformat()}.parquet"


def tables_of(ledger: Ledger) -> dict[Table, Path]:
    """Name the files of the tables that have been ingested."""
    return {table: path for table in ledger.tables if (path := ledger.path(table)) is not None}


@cache
def definition_digest() -> str:
    """Name the definitions by their source, so that whoever changes one gets new snapshots."""
    sources = (inspect.getsource(module) for module in _DEFINITIONS)
    return hashlib.sha256("".join(sources).encode()).hexdigest()


def snapshot_key(ledger: Ledger, as_of: date, engine: EngineName, rules: Rules) -> str:
    """Name a snapshot's content: what was known, and of whom it is."""
    facts = facts_key(ledger, as_of, engine, rules)
    objectors = objectors_of(ledger, rules)
    if objectors.is_empty():
        return facts
    names = "\n".join(map(str, objectors.to_list()))
    return hashlib.sha256(f"{facts}\n{names}".encode()).hexdigest()


def objectors_of(ledger: Ledger, rules: Rules) -> pl.Series:
    """List who objected to profiling, by the newest that is known today, whatever the day."""
    if rules.objection is None or "customers" not in ledger.tables:
        return objecting_in(None, None)
    path = ledger.path("customers")
    return _objectors(path, rules.objection)


@lru_cache(maxsize=4)
def _objectors(path: Path | None, column: str) -> pl.Series:
    # A file of the ledger is named by its content.
    return objecting_in(path, column)


def facts_key(ledger: Ledger, as_of: date, engine: EngineName, rules: Rules) -> str:
    """Name what was known on a day, the definitions, their rules and the engine."""
    parts = (
        ledger.fingerprint(as_of),
        as_of.isoformat(),
        definition_digest(),
        json.dumps(asdict(rules), sort_keys=True),
        engine,
        engine_version(engine),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def ensure_snapshots(
    workspace: Workspace,
    ledger: Ledger,
    days: Sequence[date],
    engine_name: EngineName,
    rules: Rules,
    progress: Progress | None = None,
) -> list[date]:
    """Compute the snapshots that are missing or out of date.

    Returns
    -------
    list of date
        The days that were computed, which is empty when nothing had changed.
    """
    keys = {day: snapshot_key(ledger, day, engine_name, rules) for day in sorted(set(days))}
    paths = {day: snapshot_path(workspace, ledger, day) for day in keys}
    missing = [day for day, key in keys.items() if stored_key(paths[day]) != key]
    if not missing:
        return []
    histories = histories_of(
        workspace, ledger, lambda day: facts_key(ledger, day, engine_name, rules)
    )
    objectors = objectors_of(ledger, rules)
    start = histories.newest(missing[0])
    tables = tables_of(ledger)
    with ExitStack() as files, engine(engine_name) as opened:
        kept = files.enter_context(histories.saving(missing[-1])) if "orders" in tables else None
        writers = {day: files.enter_context(writing(paths[day], keys[day])) for day in missing}
        parts = parts_of(tables.get("orders")) if opened.in_parts else [Part()]
        done = 0
        for part in parts:
            before = histories.read(start, part) if start else None
            frames = open_tables(opened, tables, part, [start, *missing] if start else ())
            for day, table, carried in compute(opened, frames, missing, rules, part, before):
                writers[day].write(without(table, objectors))
                if day == missing[-1] and kept is not None and carried is not None:
                    kept.write(carried)
                done += 1
                if progress is not None:
                    progress(done, len(parts) * len(missing))
    return missing


def histories_of(
    workspace: Workspace, ledger: Ledger, key_of: Callable[[date], str]
) -> HistoryFiles:
    """Find what orders added up to, of the catalogue and the ids of now."""
    folder = workspace.features / f"history_v{catalogue.VERSION}_{ledger.customer_id_type}_ids"
    return HistoryFiles(folder, key_of)


def known_customers(workspace: Workspace, ledger: Ledger, as_of: date) -> pa.Array:
    """List the customers in a snapshot, in its order."""
    path = snapshot_path(workspace, ledger, as_of)
    return pq.read_table(path, columns=["customer_id"])["customer_id"].combine_chunks()
