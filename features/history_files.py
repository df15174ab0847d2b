"""Where what orders added up to on a day is kept, for the next snapshot to go on from."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.computing import Part
from features.days import day_number
from features.definitions.history import OrderHistory
from features.definitions.orders import LABELS, Label
from features.workspace import read_json, replacing_folder, write_json

_KEPT = 2
"""Newest days of which the history stays."""
_SEAL, _KEY, _FILES = "key.json", "key", "sha256"


class HistoryWriter:
    """Collects the parts of a history; they are small beside the snapshots."""

    def __init__(self) -> None:
        self.parts: list[OrderHistory] = []

    def write(self, part: OrderHistory) -> None:
        """Add the history of some customers, those of a later part after those of an earlier."""
        self.parts.append(part)


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
            return pq.read_table(folder / f"{name}.parquet", filters=part.filters())

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
        writer = HistoryWriter()
        yield writer
        if writer.parts:
            with replacing_folder(self._path(as_of)) as folder:
                for name, tables in _tables(writer.parts).items():
                    pq.write_table(
                        pa.concat_tables(tables), folder / f"{name}.parquet", compression="zstd"
                    )
                write_json(folder / _SEAL, {_KEY: self.key_of(as_of), _FILES: _digests(folder)})
            for day in sorted(self._days(), key=lambda day: (self._holds(day), day))[:-_KEPT]:
                shutil.rmtree(self._path(day))

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
            seal = read_json(self._path(as_of) / _SEAL)
            return (
                isinstance(seal, dict)
                and seal.get(_KEY) == self.key_of(as_of)
                and seal.get(_FILES) == _digests(self._path(as_of))
            )
        except (OSError, ValueError):
            return False


def _digests(folder: Path) -> dict[str, str]:
    """Digest every table of a history: a damaged one is better computed anew."""
    digests = {}
    for path in sorted(folder.glob("*.parquet")):
        with path.open("rb") as file:
            digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _tables(parts: list[OrderHistory]) -> dict[str, list[pa.Table]]:
    def labelled(
        of: Callable[[OrderHistory], dict[Label, pa.Table]], what: str
    ) -> dict[str, list[pa.Table]]:
        return {f"{name}_{what}": [of(part)[name] for part in parts] for name in LABELS}

    return {
        "totals": [part.totals for part in parts],
        "days": [part.days for part in parts],
        **labelled(lambda part: part.labels, "labels"),
        **labelled(lambda part: part.breadths, "breadths"),
    }
