"""What a workspace's data folder says of itself, and where its files stand."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import polars as pl

from features.errors import WorkspaceError
from features.ingest.codes import IdType
from features.ingest.contract import TABLES, Table
from features.settings import DataSettings
from features.workspace import read_json, replacing

CLEANING_RULES: Final = 2
"""Raise it when cleaning changes its mind: files ingested again are then read anew."""

MANIFEST_FORMAT: Final = 2


@dataclass(frozen=True)
class DataFolder:
    """Paths inside the data folder of a workspace."""

    root: Path

    @property
    def manifest(self) -> Path:
        """The file that names all others; it is written last."""
        return self.root / "manifest.json"

    def export(self, key: str) -> Path:
        """An export as cleaned, in the file's order."""
        return self.root / "exports" / f"{key}.parquet"

    def quarantine(self, key: str) -> Path:
        """The rows of an export that were set aside, with the reason."""
        return self.root / "quarantine" / f"{key}.parquet"

    def merged(self, folder: str, table: Table) -> Path:
        """One version of a merged table."""
        return self.root / folder / f"{table}.parquet"

    def days(self, folder: str) -> Path:
        """Per day on which rows of that version became known: how many, and their digest."""
        return self.root / folder / "days.parquet"

    def read_manifest(self) -> dict[str, Any] | None:
        """Read the manifest, or give None where nothing was ingested yet.

        Raises
        ------
        WorkspaceError
            It is damaged, or of another version.
        """
        try:
            found = read_json(self.manifest)
            if found is not None and found["format"] != MANIFEST_FORMAT:
                raise WorkspaceError(
                    f"{self.manifest} has format {found['format']}, this version reads "
                    f"{MANIFEST_FORMAT}; use the version that wrote it, or start a new workspace"
                )
        except (ValueError, KeyError, TypeError):
            raise WorkspaceError(
                f"{self.manifest} is damaged; restore it from a backup or ingest into a new "
                "workspace"
            ) from None
        return cast("dict[str, Any] | None", found)

    def sweep(self, manifest: Mapping[str, Any]) -> None:
        """Delete what the manifest does not name: former versions, and remains of killed runs."""
        keys = [entry["key"] for entry in manifest["exports"]]
        keep = {self.root / stored["folder"] for stored in manifest["tables"].values()}
        keep |= {path(key) for path in (self.export, self.quarantine) for key in keys}
        for path in self._generated():
            if path in keep:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _generated(self) -> Iterator[Path]:
        for pattern in (
            *(f"{dot}{table}-*" for table in TABLES for dot in ("", ".")),
            ".manifest.json.*",
            "exports/*",
            "quarantine/*",
        ):
            yield from self.root.glob(pattern)


def reading_key(
    table: Table, digest: str, columns: Mapping[str, str], settings: DataSettings
) -> str:
    """Name a reading of a file: the same bytes read in the same way."""
    rules: list[object] = [CLEANING_RULES, columns, settings.date_format, settings.decimal_mark]
    if table == "interactions":
        rules.append(settings.kinds)
    how = json.dumps(rules, sort_keys=True)
    return f"{table}-{digest[:12]}-{hashlib.sha256(how.encode()).hexdigest()[:8]}"


def version_of(table: Table, days: pl.DataFrame, id_type: IdType) -> str:
    """Name a merged table by its content."""
    return f"{table}-{digest_of_days([(table, days)], id_type)[:16]}"


def digest_of_days(tables: list[tuple[Table, pl.DataFrame]], salt: str = "") -> str:
    """SHA-256 over the digests of days of some tables; a table without days does not count."""
    lines = [salt]
    for table, days in sorted(tables, key=lambda pair: pair[0]):
        lines += [f"{table},{day},{rows},{digest}" for day, rows, digest in days.iter_rows()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Write a Parquet file in one step."""
    with replacing(path) as temporary:
        frame.rechunk().write_parquet(temporary, compression="zstd", statistics=True)


def read_export(folder: DataFolder, entry: Mapping[str, Any]) -> pl.DataFrame:
    """Read an export as it was cleaned.

    Raises
    ------
    WorkspaceError
        Its file is missing or damaged.
    """
    path = folder.export(entry["key"])
    frame = read_or_none(path)
    if frame is None:
        raise WorkspaceError(
            f"{path} is missing or damaged; restore it from a backup, or ingest "
            f"{entry['source']} and the other exports into a new workspace"
        )
    return frame


def read_or_none(path: Path) -> pl.DataFrame | None:
    """Read a Parquet file, or give None where it is missing or damaged."""
    try:
        return pl.read_parquet(path)
    # A damaged footer makes Polars panic, which is no Exception.
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
