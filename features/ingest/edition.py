"""The next edition of a workspace's data: put together in memory, stored whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, cast

import polars as pl

from features.errors import InputError
from features.forgotten import RULE, Forgotten
from features.ingest.cleaning import Cleaned, after_observed_until, as_clean, clean
from features.ingest.codes import IdType
from features.ingest.columns import resolve_columns
from features.ingest.contract import TABLES, Table
from features.ingest.erased import refuse_nobody, without_forgotten
from features.ingest.lines import product_flag, returns_without_sale
from features.ingest.manifest import (
    MANIFEST_FORMAT,
    DataFolder,
    read_export,
    read_or_none,
    reading_key,
    version_of,
    write_parquet,
)
from features.ingest.merging import (
    daily_digests,
    empty,
    merge_export,
    renewed_digests,
    sort_rows,
    typed_ids,
)
from features.ingest.schemas import check_table
from features.settings import DataSettings
from features.workspace import replacing_folder, write_json

_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True)
class Export:
    """A file that is said to be a table."""

    table: Table
    source: Path
    """The file, of which only the name is kept."""
    raw: pl.DataFrame
    digest: str
    """SHA-256 of its bytes; see ``features.ingest.reading``."""
    mapping: Mapping[str, str]
    """The file's column for each contract column that is named otherwise."""


@dataclass(frozen=True)
class Outcome:
    """What became of an export."""

    table: Table
    entry: dict[str, Any]
    changed: bool
    replaced: bool


@dataclass(frozen=True)
class _Merge:
    """A merged table and the digests of its days."""

    rows: pl.DataFrame
    days: pl.DataFrame
    id_type: IdType


class Edition:
    """A workspace's data with some exports more; nothing is written before :meth:`store`."""

    def __init__(self, folder: DataFolder, settings: DataSettings, forgotten: Forgotten) -> None:
        self._folder = folder
        self._forgotten = forgotten
        self._settings = settings
        self._before = folder.read_manifest()
        self._entries: list[dict[str, Any]] = list(self._before["exports"]) if self._before else []
        self._cleaned: dict[str, Cleaned] = {}
        self._merges: dict[Table, _Merge] = {}

    def add(self, export: Export) -> Outcome:
        """Clean an export and merge it with those before it.

        Raises
        ------
        InputError
            The file cannot be what it is said to be; the message names it.
        WorkspaceError
            What an earlier ingest stored is damaged.
        """
        try:
            return self._add(export)
        except InputError as error:
            raise InputError(f"{export.source.name}: {error}") from None

    def _add(self, export: Export) -> Outcome:
        table = export.table
        columns = resolve_columns(table, export.raw.columns, export.mapping)
        key = reading_key(table, export.digest, columns, self._settings)
        if self._holds(table, key):
            return Outcome(table, self._again(export, key), changed=False, replaced=False)
        cleaned = clean(table, export.raw, export.mapping, self._settings)
        cleaned = without_forgotten(table, cleaned, self._forgotten)
        if all(entry["table"] != table for entry in self._entries):
            refuse_nobody(table, cleaned)
        return self._take(export, key, columns, cleaned)

    def add_clean(self, table: Table, rows: pl.DataFrame, source: str, digest: str) -> Outcome:
        """Merge rows that were cleaned as they came, as an export of their own.

        Parameters
        ----------
        rows
            Clean rows with ids of the ledger's type.
        source, digest
            What the manifest calls the export, and its name among others of the table.
        """
        export = Export(table, Path(source), pl.DataFrame(), digest, {})
        return self._take(
            export, reading_key(table, digest, {}, self._settings), {}, as_clean(rows)
        )

    def _take(
        self, export: Export, key: str, columns: Mapping[str, str], cleaned: Cleaned
    ) -> Outcome:
        table = export.table
        entry = _entry(export, key, columns, cleaned)
        former = [
            place
            for place, other in enumerate(self._entries)
            if (other["table"], other["digest"]) == (table, export.digest)
        ]
        replaced = bool(former)
        if replaced:
            # In its old place: a file that is read anew is no newer than those after it.
            self._entries[former[0]] = entry
        else:
            self._entries = [*self._entries, entry]
        self._cleaned[key] = cleaned
        if replaced or not self._extend(table, cleaned):
            self._rebuild(table)
        return Outcome(table, self._entry(key), changed=True, replaced=replaced)

    def store(self) -> dict[str, Any]:
        """Write all that is new and all that follows from it; the manifest comes last.

        Raises
        ------
        WorkspaceError
            A merged table breaks the data contract.
        """
        if not self._cleaned and self._before is not None:
            return self._before
        id_type = self._id_type()
        present = [table for table in TABLES if any(e["table"] == table for e in self._entries)]
        tables = {table: self._store_table(table, id_type) for table in present}
        for entry in self._entries:
            if (cleaned := self._cleaned.get(entry["key"])) is not None:
                write_parquet(cleaned.rows, self._folder.export(entry["key"]))
                write_parquet(cleaned.quarantine, self._folder.quarantine(entry["key"]))
        manifest = {
            "format": MANIFEST_FORMAT,
            "customer_id_type": id_type,
            "tables": tables,
            "exports": self._entries,
        }
        write_json(self._folder.manifest, manifest)
        self._folder.sweep(manifest)
        return manifest

    def _entry(self, key: str) -> dict[str, Any]:
        return next(entry for entry in self._entries if entry["key"] == key)

    def _holds(self, table: Table, key: str) -> bool:
        """Whether this reading is there, under the rules of now, and its files are."""
        if all(entry["key"] != key for entry in self._entries):
            return False
        if key in self._cleaned:
            return True
        if self._before is None or not self._rules_stand(table):
            return False
        stored = self._before["tables"][table]["folder"]
        files = [
            self._folder.export(key),
            self._folder.quarantine(key),
            self._folder.merged(stored, table),
            self._folder.days(stored),
        ]
        return all(file.is_file() for file in files)

    def _rules_stand(self, table: Table) -> bool:
        """Whether a setting that holds for all exports of a table is what it was."""
        return self._before is not None and all(
            self._before["tables"][table][name] == now for name, now in self._rules(table).items()
        )

    def _rules(self, table: Table) -> dict[str, Any]:
        if table != "orders":
            return {}
        return {"non_product_categories": list(self._settings.non_product_categories)}

    def _again(self, export: Export, key: str) -> dict[str, Any]:
        entry = self._entry(key)
        counts = entry["counts"]
        rows = self._rows_of(entry)
        again = {
            **counts,
            "kept": 0,
            "merged": counts["kept"] + counts["merged"],
            "after_observed_until": after_observed_until(
                export.table, rows, self._settings.observed_until
            ),
        }
        return {**entry, "source": export.source.name, "counts": again}

    def _rows_of(self, entry: Mapping[str, Any]) -> pl.DataFrame:
        cleaned = self._cleaned.get(entry["key"])
        rows = cleaned.rows if cleaned is not None else read_export(self._folder, entry)
        if entry["table"] == "orders":
            # Whether a category is a product is a setting of now, also for what was read before.
            rows = rows.with_columns(product_flag(self._settings))
        return rows

    def _extend(self, table: Table, cleaned: Cleaned) -> bool:
        """Merge the newest export into the table as it stands, if it stands."""
        before = self._current(table)
        if before is None:
            return False
        id_type: IdType = (
            "integer" if before.id_type == cleaned.customer_id_type == "integer" else "text"
        )
        merged = merge_export(
            table,
            _retyped(table, before, id_type).rows,
            typed_ids(table, cleaned.rows, id_type),
        )
        days = renewed_digests(table, before.days, merged)
        self._merges[table] = _Merge(merged.rows, days, id_type)
        self._entries[-1] = _with_added(self._entries[-1], merged.added)
        return True

    def _rebuild(self, table: Table) -> None:
        """Merge all exports of a table anew."""
        id_type = self._id_type(table)
        rows = empty(table, id_type)
        for place, entry in enumerate(self._entries):
            if entry["table"] == table:
                merged = merge_export(table, rows, typed_ids(table, self._rows_of(entry), id_type))
                rows = merged.rows
                self._entries[place] = _with_added(entry, merged.added)
        self._merges[table] = _Merge(rows, daily_digests(table, rows), id_type)

    def _current(self, table: Table) -> _Merge | None:
        """The table as it stands, or None where it is not there or cannot be used."""
        if table in self._merges:
            return self._merges[table]
        if self._before is None or table not in self._before["tables"]:
            return None
        if not self._rules_stand(table):
            return None
        stored = self._before["tables"][table]["folder"]
        rows = read_or_none(self._folder.merged(stored, table))
        days = read_or_none(self._folder.days(stored))
        if rows is None or days is None:
            return None
        return _Merge(rows, days, self._before["customer_id_type"])

    def _id_type(self, table: Table | None = None) -> IdType:
        types = {
            entry["customer_id_type"]
            for entry in self._entries
            if table is None or entry["table"] == table
        }
        return "text" if "text" in types else "integer"

    def _store_table(self, table: Table, id_type: IdType) -> dict[str, Any]:
        stored = self._before["tables"].get(table) if self._before else None
        same_ids = self._before is not None and self._before["customer_id_type"] == id_type
        if stored is not None and same_ids and table not in self._merges:
            return cast("dict[str, Any]", stored)
        if self._current(table) is None:
            self._rebuild(table)
        merge = _retyped(table, cast("_Merge", self._current(table)), id_type)
        check_table(table, merge.rows)
        folder = self._folder.root / version_of(table, merge.days, id_type)
        # A folder of this name has this content: it took its name only when it was whole.
        files = (self._folder.merged(folder.name, table), self._folder.days(folder.name))
        if not all(file.is_file() for file in files):
            with replacing_folder(folder) as temporary:
                write_parquet(merge.rows, temporary / files[0].name)
                write_parquet(merge.days, temporary / files[1].name)
        totals = totals_of(table, merge.rows)
        return {"folder": folder.name, "totals": totals, **self._rules(table)}


def _retyped(table: Table, merge: _Merge, id_type: IdType) -> _Merge:
    """Give a table ids of another type, which sort in another order; its facts are the same."""
    if merge.id_type == id_type:
        return merge
    return _Merge(sort_rows(table, typed_ids(table, merge.rows, id_type)), merge.days, id_type)


def _entry(
    export: Export, key: str, columns: Mapping[str, str], cleaned: Cleaned
) -> dict[str, Any]:
    return {
        "table": export.table,
        "key": key,
        "source": export.source.name,
        "digest": export.digest,
        "mapping": dict(columns),
        "date_reading": cleaned.date_reading,
        "customer_id_type": cleaned.customer_id_type,
        "counts": cleaned.counts,
        "examples": cleaned.examples,
        "money_e4": cleaned.money_e4,
    }


def _with_added(entry: Mapping[str, Any], added: int) -> dict[str, Any]:
    """Split an export's readable rows into those it added and those that were there already."""
    counts = entry["counts"]
    readable = counts["rows_in"] - counts["quarantined"] - counts.get(RULE, 0)
    return {**entry, "counts": {**counts, "kept": added, "merged": readable - added}}


def totals_of(table: Table, rows: pl.DataFrame) -> dict[str, Any]:
    """Sum up a merged table for the manifest."""
    totals: dict[str, Any] = {
        "lines" if table == "orders" else "rows": rows.height,
        "customers": rows["customer_id"].n_unique(),
        "first_day": _day(rows["event_day"].min()),
        "last_day": _day(rows["event_day"].max()),
    }
    if table == "orders":
        totals["orders"] = rows.select("customer_id", "order_key").n_unique()
        totals["returns_without_sale"] = returns_without_sale(rows)
    if table == "customers":
        totals["undated"] = rows["known_day"].null_count()
    return totals


def _day(days_since_epoch: object) -> str | None:
    if days_since_epoch is None:
        return None
    return (_EPOCH + timedelta(days=cast("int", days_since_epoch))).isoformat()
