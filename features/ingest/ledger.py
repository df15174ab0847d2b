"""The merged, clean orders of a workspace, and what is known of them by a day."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, cast

import polars as pl

from features.errors import WorkspaceError
from features.ingest.cleaning import CleanedOrders, clean_orders
from features.ingest.codes import IdType
from features.ingest.columns import resolve_columns
from features.ingest.lines import after_observed_until, product_flag
from features.ingest.merging import daily_digests, merge_exports
from features.ingest.report import IngestReport
from features.settings import DataSettings
from features.workspace import Workspace, read_json, replacing, replacing_folder, write_json

__all__ = ["IngestReport", "Ledger"]

CLEANING_RULES = 1
"""Raise it when cleaning changes its mind: files ingested again are then read anew."""

MANIFEST_FORMAT = 1
_EPOCH = date(1970, 1, 1)


class Ledger:
    """The orders of a workspace: exports as cleaned, merged into one table.

    ``manifest.json`` names the current version of the merged table and is written last, so that a
    reader sees a whole ledger, the former or the new one, whenever a writer is killed. A writer
    holds ``workspace.locked()``.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def add_export(
        self,
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
            The file cannot be orders; nothing was changed.
        WorkspaceError
            What an earlier ingest stored is damaged.
        """
        columns = resolve_columns(raw.columns, mapping)
        key = _reading_key(digest, columns, settings)
        before = self._manifest_or_none()
        if before is not None and self._holds(before, key, settings):
            return self._unchanged(source, before, key, settings)
        cleaned = clean_orders(raw, mapping, settings)
        others = [e for e in before["exports"] if e["digest"] != digest] if before else []
        entry = {
            "key": key,
            "source": source.name,
            "digest": digest,
            "mapping": columns,
            "date_reading": cleaned.date_reading,
            "customer_id_type": cleaned.customer_id_type,
            "counts": cleaned.counts,
        }
        self._store([*others, entry], cleaned, settings)
        after = self.manifest()
        return _report(
            after["exports"][-1],
            after,
            changed=True,
            replaced=before is not None and len(others) < len(before["exports"]),
        )

    @property
    def orders_path(self) -> Path:
        """The merged lines, as one Parquet file sorted by customer and time.

        Raises
        ------
        WorkspaceError
            Nothing is ingested yet.
        """
        return self._current("orders.parquet")

    @property
    def days_path(self) -> Path:
        """Per day on which lines became known: how many, and their digest."""
        return self._current("days.parquet")

    @property
    def first_day(self) -> date:
        """UTC day of the first line."""
        return date.fromisoformat(self.manifest()["totals"]["first_day"])

    def first_day_known_by(self, as_of: date) -> date:
        """UTC day of the first line among those that had arrived by the end of a day.

        An old line that arrives later must not lengthen the history of an earlier training.
        """
        known = pl.scan_parquet(self.orders_path).filter(
            pl.col("known_day") <= (as_of - _EPOCH).days
        )
        first = known.select(pl.col("event_day").min()).collect().item()
        return self.first_day if first is None else _EPOCH + timedelta(days=first)

    @property
    def last_day(self) -> date:
        """UTC day of the last line."""
        return date.fromisoformat(self.manifest()["totals"]["last_day"])

    @property
    def customer_id_type(self) -> IdType:
        """Whether customer ids are integers (Int64) or text (String)."""
        return cast("IdType", self.manifest()["totals"]["customer_id_type"])

    def manifest(self) -> dict[str, Any]:
        """Say what is ingested: the exports with their counts, in order of ingest, and totals.

        Raises
        ------
        WorkspaceError
            Nothing is ingested yet, or the manifest is damaged.
        """
        found = self._manifest_or_none()
        if found is None:
            raise WorkspaceError(
                f"workspace {self.workspace.root} has no orders yet; "
                "run `lifecycle ingest --orders FILE` first"
            )
        return found

    def fingerprint(self, as_of: date) -> str:
        """Identify all that was known at the end of a day, and nothing that came to be known later.

        Parameters
        ----------
        as_of
            The last day counted, in UTC.

        Returns
        -------
        str
            SHA-256 in hex, the same in every workspace and version for the same lines.
        """
        days = pl.read_parquet(self.days_path)
        known = days.filter(pl.col("known_day") <= (as_of - _EPOCH).days)
        return _digest_of_days(known)

    @property
    def _manifest_path(self) -> Path:
        return self.workspace.data / "manifest.json"

    def _manifest_or_none(self) -> dict[str, Any] | None:
        try:
            found = read_json(self._manifest_path)
            if found is not None and found["format"] != MANIFEST_FORMAT:
                raise WorkspaceError(
                    f"{self._manifest_path} has format {found['format']}, this version reads "
                    f"{MANIFEST_FORMAT}; use the version that wrote it, or start a new workspace"
                )
        except (ValueError, KeyError, TypeError):
            raise WorkspaceError(
                f"{self._manifest_path} is damaged; restore it from a backup or ingest into a new "
                "workspace"
            ) from None
        return cast("dict[str, Any] | None", found)

    def _current(self, name: str) -> Path:
        path = self.workspace.data / str(self.manifest()["ledger"]) / name
        if not path.is_file():
            raise WorkspaceError(f"{path} is missing; ingest the orders again")
        return path

    def _export_path(self, key: str) -> Path:
        return self.workspace.data / "exports" / f"{key}.parquet"

    def _quarantine_path(self, key: str) -> Path:
        return self.workspace.data / "quarantine" / f"{key}.parquet"

    def _holds(self, manifest: Mapping[str, Any], key: str, settings: DataSettings) -> bool:
        """Whether this reading is stored, under the rules of now, and its files are there."""
        folder = self.workspace.data / manifest["ledger"]
        files = [
            self._export_path(key),
            self._quarantine_path(key),
            folder / "orders.parquet",
            folder / "days.parquet",
        ]
        return (
            any(export["key"] == key for export in manifest["exports"])
            and manifest["non_product_categories"] == list(settings.non_product_categories)
            and all(file.is_file() for file in files)
        )

    def _unchanged(
        self, source: Path, manifest: Mapping[str, Any], key: str, settings: DataSettings
    ) -> IngestReport:
        entry = next(export for export in manifest["exports"] if export["key"] == key)
        counts = entry["counts"]
        again = {
            **counts,
            "kept": 0,
            "merged": counts["kept"] + counts["merged"],
            "after_observed_until": after_observed_until(self._read_export(entry), settings),
        }
        entry = {**entry, "source": source.name, "counts": again}
        return _report(entry, manifest, changed=False, replaced=False)

    def _read_export(self, entry: Mapping[str, Any]) -> pl.DataFrame:
        path = self._export_path(entry["key"])
        try:
            return pl.read_parquet(path)
        except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
            raise WorkspaceError(
                f"{path} is missing or damaged; restore it from a backup, or ingest "
                f"{entry['source']} and the other exports into a new workspace"
            ) from None

    def _store(
        self, entries: list[dict[str, Any]], cleaned: CleanedOrders, settings: DataSettings
    ) -> None:
        """Write the newest export and all that follows from it; the manifest comes last."""
        flag = product_flag(settings)
        exports = [self._read_export(entry) for entry in entries[:-1]] + [cleaned.lines]
        # Whether a category is a product is a setting of now, also for what was read before it.
        lines, added = merge_exports([export.with_columns(flag) for export in exports])
        days = daily_digests(lines)
        version = _digest_of_days(days)[:16]
        key = entries[-1]["key"]
        _write_parquet(cleaned.lines, self._export_path(key))
        _write_parquet(cleaned.quarantine, self._quarantine_path(key))
        folder = self.workspace.data / f"ledger-{version}"
        # A folder of this name has this content: it took its name only when it was whole.
        if not (folder / "orders.parquet").is_file() or not (folder / "days.parquet").is_file():
            with replacing_folder(folder) as temporary:
                _write_parquet(lines, temporary / "orders.parquet")
                _write_parquet(days, temporary / "days.parquet")
        manifest = {
            "format": MANIFEST_FORMAT,
            "ledger": folder.name,
            "non_product_categories": list(settings.non_product_categories),
            "exports": [_with_added(e, a) for e, a in zip(entries, added, strict=True)],
            "totals": _totals(lines),
        }
        write_json(self._manifest_path, manifest)
        self._sweep(manifest)

    def _sweep(self, manifest: Mapping[str, Any]) -> None:
        """Delete what the manifest does not name: former versions, and remains of killed runs."""
        data = self.workspace.data
        keys = {f"{export['key']}.parquet" for export in manifest["exports"]}
        keep = {data / manifest["ledger"]}
        keep |= {data / folder / key for folder in ("exports", "quarantine") for key in keys}
        candidates = [
            *data.glob("ledger-*"),
            *data.glob(".ledger-*"),
            *data.glob(".manifest.json.*"),
            *data.glob("exports/*"),
            *data.glob("quarantine/*"),
        ]
        for path in candidates:
            if path in keep:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _reading_key(digest: str, columns: Mapping[str, str], settings: DataSettings) -> str:
    """Name a reading of a file: the same bytes read in the same way."""
    how = json.dumps([CLEANING_RULES, columns, settings.date_format], sort_keys=True)
    return f"{digest[:12]}-{hashlib.sha256(how.encode()).hexdigest()[:8]}"


def _with_added(entry: Mapping[str, Any], added: int) -> dict[str, Any]:
    """Split an export's readable lines into those it added and those that were there already."""
    counts = entry["counts"]
    readable = counts["rows_in"] - counts["quarantined"]
    return {**entry, "counts": {**counts, "kept": added, "merged": readable - added}}


def _digest_of_days(days: pl.DataFrame) -> str:
    rows = [f"{day},{lines},{digest}" for day, lines, digest in days.iter_rows()]
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _totals(lines: pl.DataFrame) -> dict[str, Any]:
    text = lines.schema["customer_id"] == pl.String
    return {
        "lines": lines.height,
        "customers": lines["customer_id"].n_unique(),
        "orders": lines.select("customer_id", "order_key").n_unique(),
        "first_day": _day(lines["event_day"].min()),
        "last_day": _day(lines["event_day"].max()),
        "customer_id_type": "text" if text else "integer",
    }


def _day(days_since_epoch: object) -> str:
    return (_EPOCH + timedelta(days=cast("int", days_since_epoch))).isoformat()


def _write_parquet(frame: pl.DataFrame, path: Path) -> None:
    with replacing(path) as temporary:
        frame.rechunk().write_parquet(temporary, compression="zstd", statistics=True)


def _report(
    entry: Mapping[str, Any], manifest: Mapping[str, Any], *, changed: bool, replaced: bool
) -> IngestReport:
    return IngestReport(
        source=entry["source"],
        changed=changed,
        replaced=replaced,
        counts=entry["counts"],
        mapping=entry["mapping"],
        date_reading=entry["date_reading"],
        totals=manifest["totals"],
    )
