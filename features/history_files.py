"""Where what orders added up to on a day is kept, for the next snapshot to go on from."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from features.catalogue import JOIN_KEY
from features.computing import Part, collected
from features.days import day_number
from features.definitions.history import OrderHistory
from features.definitions.orders import LABELS
from features.workspace import read_json, replacing_folder, write_json

_KEPT = 2
"""Newest days of which the history stays."""
_FEW_VALUES = ("label", "lines", "days", "event_day", "last_day", "purchases", "returns")
_SEAL, _KEY, _FILES = "key.json", "key", "sha256"


class HistoryWriter:
    """Writes a history part by part, a file a table."""

    def __init__(self, folder: Path, files: ExitStack) -> None:
        self._folder = folder
        self._files = files
        self._writers: dict[str, pq.ParquetWriter] = {}

    def write(self, part: OrderHistory) -> None:
        """Add the history of some customers, those of a later part after those of an earlier."""
        for name, table in _tables(part).items():
            if name not in self._writers:
                self._writers[name] = self._files.enter_context(
                    _writer(_file(self._folder, name), table.schema)
                )
            self._writers[name].write_table(table)


@dataclass(frozen=True)
class HistoryFiles:
    """Histories of some days in one folder.

    Attributes
    ----------
    key_of
        Names what was known on a day and the definitions; a history of another key is not used.
    """

    folder: Path
    key_of: Callable[[date], str]

    def newest(self, until: date) -> date | None:
        """Find the newest day, not after another one, whose history still holds."""
        for day in sorted(self._days(), reverse=True):
            if day <= until and self._holds(day):
                return day
        return None

    def read(self, as_of: date, part: Part) -> OrderHistory:
        """Read the history of a part's customers."""
        folder = self._path(as_of)

        def table(name: str) -> pa.Table:
            return collected(pl.scan_parquet(_file(folder, name)).filter(part.holds(JOIN_KEY)))

        return OrderHistory(
            day_number(as_of),
            table("totals"),
            table("days"),
            {name: table(f"{name}_labels") for name in LABELS},
            {name: table(f"{name}_breadths") for name in LABELS},
        )

    @contextmanager
    def saving(self, as_of: date) -> Iterator[HistoryWriter]:
        """Keep what is written if the block succeeds, and forget what is older than needed."""
        with replacing_folder(self._path(as_of)) as folder:
            with ExitStack() as files:
                yield HistoryWriter(folder, files)
            self._sealed(folder, as_of)
        for day in sorted(self._days(), key=lambda day: (self._is_known(day), day))[:-_KEPT]:
            shutil.rmtree(self._path(day))

    def days(self) -> list[date]:
        """List the days of which there is a history, whatever it is of."""
        return sorted(self._days())

    def holds(self, as_of: date) -> bool:
        """Whether a day's history is of what is now known, and as it was written."""
        return self._holds(as_of)

    def tables(self, as_of: date) -> list[Path]:
        """List the files of a day's history."""
        return sorted(self._path(as_of).glob("*.parquet"))

    def seal(self, as_of: date) -> None:
        """Say that a day's history, as its files are, is of what is now known."""
        self._sealed(self._path(as_of), as_of)

    def _sealed(self, folder: Path, as_of: date) -> None:
        write_json(folder / _SEAL, {_KEY: self.key_of(as_of), _FILES: _digests(folder)})

    def _path(self, as_of: date) -> Path:
        return self.folder / as_of.isoformat()

    def _days(self) -> list[date]:
        if not self.folder.is_dir():
            return []
        days = []
        for path in self.folder.iterdir():
            # What else lies there is somebody else's.
            with suppress(ValueError):
                day = date.fromisoformat(path.name)
                days += [day] if self._path(day) == path else []
        return days

    def _holds(self, as_of: date) -> bool:
        """Whether a history is of what is now known, and as it was written."""
        try:
            return self._is_known(as_of) and self._seal(as_of)[_FILES] == _digests(
                self._path(as_of)
            )
        except (OSError, KeyError):
            return False

    def _is_known(self, as_of: date) -> bool:
        """Whether a history says that it is of what is now known."""
        return self._seal(as_of).get(_KEY) == self.key_of(as_of)

    def _seal(self, as_of: date) -> dict[str, Any]:
        try:
            seal = read_json(self._path(as_of) / _SEAL)
        except (OSError, ValueError):
            seal = None
        return seal if isinstance(seal, dict) else {}


def _digests(folder: Path) -> dict[str, str]:
    """Digest every table of a history: a damaged one is better computed anew."""
    digests = {}
    for path in sorted(folder.glob("*.parquet")):
        with path.open("rb") as file:
            digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    # It is read once or twice: quick to write is worth more than small.
    return pq.ParquetWriter(
        path,
        schema,
        compression="lz4",
        use_dictionary=[name for name in schema.names if name in _FEW_VALUES],
        column_encoding={JOIN_KEY: "DELTA_BINARY_PACKED"}
        if pa.types.is_integer(schema.field(JOIN_KEY).type)
        else None,
        write_statistics=[JOIN_KEY],
    )


def _file(folder: Path, table: str) -> Path:
    return folder / f"{table}.parquet"


def _tables(part: OrderHistory) -> dict[str, pa.Table]:
    return {
        "totals": part.totals,
        "days": part.days,
        **{f"{name}_labels": table for name, table in part.labels.items()},
        **{f"{name}_breadths": table for name, table in part.breadths.items()},
    }
