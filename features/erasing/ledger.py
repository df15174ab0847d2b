"""Some persons' rows taken out of the ledger: exports as cleaned, quarantine, merged tables.

The merged tables and the manifest that names them take their place first, then each export is
written anew: whoever is killed in between leaves a whole ledger, and the next run goes on. The
digests of days change as the rows do, so that all that is computed from the ledger can tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import polars as pl

from features.errors import InputError
from features.forgotten import RULE
from features.ingest.codes import IdType, read_ids
from features.ingest.contract import CONTRACT, TABLES, Table
from features.ingest.edition import totals_of
from features.ingest.erased import without
from features.ingest.ledger import Ledger
from features.ingest.manifest import (
    DataFolder,
    read_export,
    read_or_none,
    version_of,
    write_parquet,
)
from features.ingest.merging import (
    Merged,
    empty,
    merge_export,
    renewed_digests,
    sort_rows,
    typed_ids,
)
from features.ingest.schemas import id_columns
from features.persons import Persons
from features.workspace import replacing_folder, write_json


@dataclass(frozen=True)
class ErasedFacts:
    """Rows that are gone, or changed where they named a person, by place."""

    merged: Mapping[Table, int]
    exports: int
    quarantined: int


@dataclass(frozen=True)
class _Part:
    """An export, or its quarantine, with and without what is to go."""

    before: pl.DataFrame
    after: pl.DataFrame

    @property
    def changed(self) -> int:
        gone = self.before.height - self.after.height
        return gone or int(not self.before.equals(self.after))


def erase_facts(folder: DataFolder, persons: Persons) -> ErasedFacts:
    """Take some persons out of the ledger; whoever calls holds the workspace.

    Raises
    ------
    WorkspaceError
        The ledger is damaged.
    """
    manifest = folder.read_manifest()
    if manifest is None:
        return ErasedFacts({}, 0, 0)
    id_type = cast("IdType", manifest["customer_id_type"])
    tables: dict[Table, dict[str, Any]] = {}
    merged: dict[Table, int] = {}
    for table in TABLES:
        if table in manifest["tables"]:
            tables[table], merged[table] = _merged(folder, table, manifest, persons)
    entries, touched = _entries(folder, manifest, persons, id_type)
    renewed = {**manifest, "tables": tables, "exports": entries}
    if renewed != manifest:
        write_json(folder.manifest, renewed)
    exports = quarantined = 0
    # Read once more: held until the manifest stands, all exports together might not fit.
    for entry in touched:
        rows, aside = _parts(folder, entry, persons)
        for part, path in (
            (rows, folder.export(entry["key"])),
            (aside, folder.quarantine(entry["key"])),
        ):
            if part.changed:
                write_parquet(part.after, path)
        exports, quarantined = exports + rows.changed, quarantined + aside.changed
    folder.sweep(renewed)
    return ErasedFacts(merged, exports, quarantined)


def check_somebody_is_left(ledger: Ledger, persons: Persons) -> None:
    """Refuse to erase everybody.

    Raises
    ------
    InputError
        Nobody's orders would be left.
    """
    path = ledger.path("orders") if ledger.started else None
    if path is None:
        return
    rows = pl.scan_parquet(path)
    theirs = persons.among("customer_id", rows.collect_schema()["customer_id"])
    if rows.filter(~theirs).select("customer_id").head(1).collect().is_empty():
        raise InputError(
            "nobody's orders would be left, and no ledger is without orders; remove the "
            "workspace's folder instead, and what servers keep of it"
        )


def _merged(
    folder: DataFolder, table: Table, manifest: Mapping[str, Any], persons: Persons
) -> tuple[dict[str, Any], int]:
    """Write a merged table without some persons; gives what the manifest says of it."""
    stored = manifest["tables"][table]
    path, days_path = folder.merged(stored["folder"], table), folder.days(stored["folder"])
    before = pl.read_parquet(path)
    marked = _marked(table, before, persons)
    touched = marked.filter(pl.col("_gone") | pl.col("_named"))
    if touched.is_empty():
        return stored, 0
    rows = unnamed(table, before, persons)
    rows = sort_rows(table, rows)
    changed = touched["known_day"].unique()
    days = renewed_digests(table, pl.read_parquet(days_path), Merged(rows, 0, changed))
    target = folder.root / version_of(table, days, manifest["customer_id_type"])
    with replacing_folder(target) as temporary:
        write_parquet(rows, temporary / path.name)
        write_parquet(days, temporary / days_path.name)
    told = {**stored, "folder": target.name, "totals": totals_of(table, rows)}
    return told, touched.height


def _entries(
    folder: DataFolder, manifest: Mapping[str, Any], persons: Persons, id_type: IdType
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Tell of each export what is left: the sums of its report still add up.

    Gives all of them, and those of which something changes.
    """
    merges = {table: empty(table, id_type) for table in TABLES}
    entries, touched = [], []
    for entry in manifest["exports"]:
        table = cast("Table", entry["table"])
        rows, aside = _parts(folder, entry, persons)
        theirs = rows.before.filter(persons.among("customer_id", rows.before.schema["customer_id"]))
        merged = merge_export(table, merges[table], typed_ids(table, theirs, id_type))
        merges[table] = merged.rows
        entries.append(_told(entry, rows, aside, merged.added, persons))
        if rows.changed or aside.changed:
            touched.append(entries[-1])
    return entries, touched


def _told(
    entry: Mapping[str, Any], rows: _Part, aside: _Part, added: int, persons: Persons
) -> dict[str, Any]:
    counts, gone = entry["counts"], rows.before.height - rows.after.height
    told = dict(entry)
    # A run that was killed before it wrote the export had told this already.
    left = (rows.after.height, aside.after.height)
    if (counts["kept"] + counts["merged"], counts["quarantined"]) != left:
        told["counts"] = {
            **without(counts, added, aside.before, aside.after),
            "merged": counts["merged"] - (gone - added),
        }
        told["counts"][RULE] += gone - added
    if entry["money_e4"] and gone and rows.after.height:
        money = rows.after["amount_e4"]
        told["money_e4"] = {
            **entry["money_e4"],
            "kept": int(money.cast(pl.Int128).sum()),
            "least": money.min(),
            "middle": int(cast("float", money.median())),
            "most": money.max(),
        }
    told["examples"] = {
        name: text
        for name, text in entry["examples"].items()
        if text not in persons.names and not persons.named_in(text)
    }
    told["source"] = persons.unnamed(entry["source"])
    return told


def _parts(folder: DataFolder, entry: Mapping[str, Any], persons: Persons) -> tuple[_Part, _Part]:
    rows = read_export(folder, entry)
    aside = read_or_none(folder.quarantine(entry["key"]))
    if aside is None:
        aside = pl.DataFrame(schema={"row": pl.Int64, "reason": pl.String})
    return (
        _Part(rows, unnamed(entry["table"], rows, persons)),
        _Part(aside, set_aside(aside, persons)),
    )


def unnamed(table: Table, rows: pl.DataFrame, persons: Persons) -> pl.DataFrame:
    """Take some persons' rows out of a clean table, and their names out of others' rows."""
    left = rows.filter(~persons.among("customer_id", rows.schema["customer_id"]))
    named = [
        pl.when(~persons.among(name, rows.schema[name])).then(pl.col(name)).alias(name)
        for name in id_columns(table)[1:]
    ]
    texts = [persons.unnamed_column(pl.col(name)).alias(name) for name in _texts(table)]
    return left.with_columns(*named, *(texts if persons.pattern else []))


def _marked(table: Table, rows: pl.DataFrame, persons: Persons) -> pl.DataFrame:
    """Say which rows go, and which others name one of them."""
    named = [persons.among(name, rows.schema[name]) for name in id_columns(table)[1:]]
    if persons.pattern:
        named += [
            pl.col(name).str.contains(persons.pattern).fill_null(value=False)
            for name in _texts(table)
        ]
    return rows.select(
        "known_day",
        persons.among("customer_id", rows.schema["customer_id"]).alias("_gone"),
        (pl.any_horizontal(named) if named else pl.lit(value=False)).alias("_named"),
    )


def _texts(table: Table) -> list[str]:
    return [
        column.name
        for column in CONTRACT[table].clean
        if column.stored == "text" and not column.among
    ]


def set_aside(aside: pl.DataFrame, persons: Persons) -> pl.DataFrame:
    """Take out every row that was set aside in which one of them is named, in whatever cell."""
    cells = [name for name in aside.columns if name not in ("row", "reason")]
    if not cells or aside.is_empty():
        return aside
    theirs = pl.repeat(False, aside.height, dtype=pl.Boolean, eager=True)
    for name in cells:
        theirs |= read_ids(aside[name]).is_in(list(persons.names)).fill_null(value=False)
        if persons.pattern:
            theirs |= aside[name].str.contains(persons.pattern).fill_null(value=False)
    return aside.filter(~theirs)
