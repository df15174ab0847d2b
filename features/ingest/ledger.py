"""The merged, clean tables of a workspace, and what is known of them by a day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, cast

import polars as pl

from features.errors import WorkspaceError
from features.forgotten import Forgotten
from features.ingest.codes import IdType
from features.ingest.contract import TABLES, Table
from features.ingest.edition import Edition, Export
from features.ingest.manifest import DataFolder, digest_of_days
from features.ingest.report import IngestReport
from features.settings import DataSettings
from features.workspace import Workspace

__all__ = ["Export", "IngestReport", "Ledger"]

_EPOCH = date(1970, 1, 1)


class Ledger:
    """The data of a workspace: exports as cleaned, merged into one file a table.

    ``manifest.json`` names the current version of each merged table and is written last, so that a
    reader sees a whole ledger, the former or the new one, whenever a writer is killed. A writer
    holds ``workspace.locked()``.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._folder = DataFolder(workspace.data)
        self._forgotten = Forgotten(workspace)

    def add_export(
        self,
        table: Table,
        source: Path,
        raw: pl.DataFrame,
        digest: str,
        mapping: Mapping[str, str],
        settings: DataSettings,
    ) -> IngestReport:
        """Clean an export, keep it, and merge it with those before it.

        The same file with the same mapping changes nothing; with another mapping, its former
        reading is replaced.

        Parameters
        ----------
        table
            What the file is said to be.
        source
            The file, of which only the name is kept.
        raw, digest
            Its rows and the SHA-256 of its bytes; see ``features.ingest.reading``.
        mapping
            The file's column for each contract column that is named otherwise.
        settings
            How to read it.

        Raises
        ------
        InputError
            The file cannot be what it is said to be; nothing was changed.
        WorkspaceError
            What an earlier ingest stored is damaged.
        """
        return self.add_exports([Export(table, source, raw, digest, mapping)], settings)[0]

    def add_exports(self, exports: Iterable[Export], settings: DataSettings) -> list[IngestReport]:
        """Add several exports, all or, where one is refused, none; see :meth:`add_export`."""
        edition = Edition(self._folder, settings, self._forgotten)
        outcomes = [edition.add(export) for export in exports]
        manifest = edition.store()
        return [
            _report(outcome.entry, manifest, changed=outcome.changed, replaced=outcome.replaced)
            for outcome in outcomes
        ]

    def reports(self) -> list[IngestReport]:
        """Tell again what became of each export, in order of ingest."""
        manifest = self.manifest()
        return [
            _report(entry, manifest, changed=True, replaced=False) for entry in manifest["exports"]
        ]

    def add_clean(
        self,
        tables: Mapping[Table, pl.DataFrame],
        source: str,
        digest: str,
        settings: DataSettings,
    ) -> None:
        """Merge rows that were cleaned as they came; see ``Edition.add_clean``."""
        edition = Edition(self._folder, settings, self._forgotten)
        for table, rows in tables.items():
            edition.add_clean(table, rows, source, digest)
        edition.store()

    @property
    def started(self) -> bool:
        """Whether anything was ingested yet."""
        return self._folder.read_manifest() is not None

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables that were ingested, in the contract's order.

        Raises
        ------
        WorkspaceError
            Nothing is ingested yet.
        """
        stored = self.manifest()["tables"]
        return tuple(table for table in TABLES if table in stored)

    def path(self, table: Table) -> Path | None:
        """The merged, clean rows of a table: one Parquet file, sorted by customer and time.

        None where the table was never ingested. The columns are those of ``clean_schema``.

        Raises
        ------
        WorkspaceError
            Nothing is ingested yet, or the file is lost.
        """
        stored = self.manifest()["tables"].get(table)
        if stored is None:
            return None
        return self._present(self._folder.merged(stored["folder"], table), table)

    @property
    def orders_path(self) -> Path:
        """The merged order lines.

        Raises
        ------
        WorkspaceError
            There are no orders yet, or the file is lost.
        """
        return self._present(self._folder.merged(self._orders()["folder"], "orders"), "orders")

    @property
    def first_day(self) -> date:
        """UTC day of the first order line."""
        return date.fromisoformat(self._orders()["totals"]["first_day"])

    def first_day_known_by(self, as_of: date) -> date:
        """UTC day of the first order line among those that had arrived by the end of a day.

        An old line that arrives later must not lengthen the history of an earlier training.
        """
        known = pl.scan_parquet(self.orders_path).filter(
            pl.col("known_day") <= (as_of - _EPOCH).days
        )
        first = known.select(pl.col("event_day").min()).collect().item()
        return self.first_day if first is None else _EPOCH + timedelta(days=first)

    @property
    def last_day(self) -> date:
        """UTC day of the last order line."""
        return date.fromisoformat(self._orders()["totals"]["last_day"])

    @property
    def customer_id_type(self) -> IdType:
        """Whether customer ids, in every table, are integers (Int64) or text (String)."""
        return cast("IdType", self.manifest()["customer_id_type"])

    def manifest(self) -> dict[str, Any]:
        """Say what is ingested: the exports with their counts, in order of ingest, and totals.

        Raises
        ------
        WorkspaceError
            Nothing is ingested yet, or the manifest is damaged.
        """
        manifest = self._folder.read_manifest()
        if manifest is None:
            raise WorkspaceError(
                f"{self.workspace.root} has no orders yet; run `lifecycle ingest --orders FILE`"
            )
        return manifest

    def fingerprint(self, as_of: date) -> str:
        """Identify all that was known by the end of a day, and nothing that came later.

        It does not change when only rows arrive that came to be known later; rows of customers
        without a day were known always.

        Parameters
        ----------
        as_of
            The last day counted, in UTC.

        Returns
        -------
        str
            SHA-256 in hex, the same in every workspace and version for the same facts.
        """
        undated, by_then = pl.col("known_day").is_null(), pl.col("known_day")
        known = undated | (by_then <= (as_of - _EPOCH).days)
        stored = self.manifest()["tables"]
        paths = {
            table: self._present(self._folder.days(stored[table]["folder"]), table)
            for table in self.tables
        }
        return digest_of_days(
            [(table, pl.read_parquet(path).filter(known)) for table, path in paths.items()]
        )

    def _orders(self) -> dict[str, Any]:
        manifest = self.manifest()
        stored = manifest["tables"].get("orders")
        if stored is None:
            raise WorkspaceError(
                f"{self.workspace.root} has {' and '.join(manifest['tables'])} but no orders yet; "
                "run `lifecycle ingest --orders FILE`"
            )
        return cast("dict[str, Any]", stored)

    def _present(self, path: Path, table: Table) -> Path:
        if not path.is_file():
            raise WorkspaceError(f"{path} is missing; ingest the {table} again")
        return path


def _report(
    entry: Mapping[str, Any], manifest: Mapping[str, Any], *, changed: bool, replaced: bool
) -> IngestReport:
    table = entry["table"]
    return IngestReport(
        table=table,
        source=entry["source"],
        changed=changed,
        replaced=replaced,
        counts=entry["counts"],
        examples=entry["examples"],
        money_e4=entry["money_e4"],
        mapping=entry["mapping"],
        date_reading=entry["date_reading"],
        totals={
            **manifest["tables"][table]["totals"],
            "customer_id_type": manifest["customer_id_type"],
        },
        quarantine=f"data/quarantine/{entry['key']}.parquet",
    )
