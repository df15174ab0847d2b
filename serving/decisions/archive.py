"""The record of decisions: Parquet files by day, and the journals that are still open.

Every process writes a journal of its own. From time to time it becomes a Parquet file, and the
files of a day that is over become one. Nothing is changed in place: a process that dies on the way
leaves either the former files or the new one.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from features import catalogue
from features.errors import WorkspaceError
from features.forgotten import Forgotten
from features.workspace import replacing
from serving.decisions.journal import (
    SUFFIX,
    Decided,
    is_abandoned,
    read_frames,
    read_journal,
)
from serving.decisions.merging import GROUP_ROWS, merge

SCHEMA = pa.schema(
    [
        ("decision_id", pa.string()),
        ("customer_id", pa.string()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("request_id", pa.string()),
        ("route", pa.string()),
        ("caller", pa.string()),
        ("shadow", pa.bool_()),
        ("model_version", pa.int64()),
        ("playbook", pa.string()),
        ("stage_rules", pa.string()),
        ("consent_unknown", pa.string()),
        ("language", pa.string()),
        ("vocabulary", pa.string()),
        ("reasons", pa.string()),
        ("features", pa.binary()),
        ("answer", pa.string()),
    ]
)
"""``customer_id`` and ``answer`` are JSON, so that the customer 7 is not the one named "7"."""
_WHOLE = "day.parquet"
_Wanted = Callable[[Decided, int], bool]
"""Whether one of the answers to a request, by its place, is asked for."""


@dataclass(frozen=True)
class Decision:
    """One answer, and what it followed from.

    Attributes
    ----------
    features
        Float64 in the catalogue's order, as bytes.
    answer
        As it was given.
    """

    decision_id: str
    customer_id: int | str | None
    at: datetime
    request_id: str
    route: str
    caller: str
    shadow: bool
    model_version: int
    playbook: str
    stage_rules: str
    consent_unknown: str
    language: str
    vocabulary: str
    reasons: str
    features: bytes
    answer: dict[str, Any]


class Archive:
    """The decisions of one workspace."""

    def __init__(self, folder: Path, forgotten: Forgotten | None = None) -> None:
        self.folder = folder
        self._forgotten = forgotten

    def take(self, journal: Path) -> None:
        """Turn a closed journal into Parquet; a second time it gives the same file."""
        try:
            frames = journal.open("rb")
        except FileNotFoundError:
            # Another process has taken it since it was closed.
            return
        with ExitStack() as held:
            rows = self._remembered(_rows(read_frames(held.enter_context(frames))))
            files: dict[date, pq.ParquetWriter] = {}
            for some in _batches(rows):
                for day, table in _by_day(some):
                    if day not in files:
                        place = self.folder / day.isoformat() / f"{journal.stem}.parquet"
                        file = held.enter_context(replacing(place))
                        writer = pq.ParquetWriter(file, SCHEMA, compression="zstd")
                        files[day] = held.enter_context(writer)
                    files[day].write_table(table)
        journal.unlink(missing_ok=True)

    def _remembered(self, rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Leave out who was erased since they were answered for."""
        forgotten = self._forgotten
        if not forgotten:
            return rows
        read = msgspec.json.decode
        return (row for row in rows if not forgotten.holds(read(row["customer_id"])))

    def tidy(self, today: date, keep_days: int) -> None:
        """Take what dead processes left, make one file of every day before, forget old days."""
        with self.alone():
            for journal in self.folder.glob(f"*{SUFFIX}"):
                if is_abandoned(journal):
                    self.take(journal)
            for day, folder in self._days():
                if day < today - timedelta(days=keep_days):
                    shutil.rmtree(folder)
                elif day < today:
                    _made_one(folder)

    def find(self, decision_id: str) -> Decision | None:
        """Find the newest answer with an id, the model that answers before its shadow."""
        found = [
            *self._stored(pl.col("decision_id") == decision_id),
            *self._open(lambda one, place: one.decision_ids[place] == decision_id),
        ]
        return max(found, key=lambda d: (not d.shadow, d.at), default=None)

    def of_customer(self, customer: int | str, most: int) -> list[Decision]:
        """List the newest answers about a customer, newest first, each decision once."""
        name = named(customer)
        found = [
            *self._stored((pl.col("customer_id") == name) & ~pl.col("shadow")),
            *self._open(lambda one, place: one.customers[place] == customer and not one.shadow),
        ]
        newest: dict[str, Decision] = {}
        for decision in sorted(found, key=lambda d: d.at, reverse=True):
            newest.setdefault(decision.decision_id, decision)
        return list(newest.values())[:most]

    def _stored(self, wanted: pl.Expr) -> Iterator[Decision]:
        files = sorted(self.folder.glob("*/*.parquet"))
        if not files:
            return
        rows = pl.scan_parquet(files, missing_columns="insert").filter(wanted).collect()
        for row in rows.iter_rows(named=True):
            yield _decision(row)

    def _open(self, wanted: _Wanted | None = None) -> Iterator[Decision]:
        for journal in sorted(self.folder.glob(f"*{SUFFIX}")):
            try:
                yield from map(_decision, _rows(read_journal(journal), wanted))
            except FileNotFoundError:
                # It has become Parquet since; whoever asks again finds it there.
                continue

    def _days(self) -> Iterator[tuple[date, Path]]:
        for folder in sorted(self.folder.iterdir()) if self.folder.is_dir() else []:
            try:
                yield date.fromisoformat(folder.name), folder
            except ValueError:
                continue

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep others from changing the files of former days; journals go on."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


Kept = Literal["playbooks", "stage_rules"]
"""Files that answers follow from, by the folder of the record that keeps them."""


def kept_file(folder: Path, kind: Kept, version: str) -> Path:
    """Where the record keeps the file of a version."""
    return folder / kind / f"{version}.yaml"


def keep_file(folder: Path, kind: Kept, version: str, text: bytes) -> None:
    """Keep a file that decides from now on in the record's folder."""
    kept = kept_file(folder, kind, version)
    if not kept.exists():
        with replacing(kept) as target:
            target.write_bytes(text)


def features_of(decision: Decision) -> bytes:
    """Give the row that was scored.

    Raises
    ------
    WorkspaceError
        It was of another list of features.
    """
    if len(decision.features) != 8 * len(catalogue.NAMES):
        raise WorkspaceError(
            f"decision {decision.decision_id} was made from another list of features than this "
            "version's; replay it with the version that answered"
        )
    return decision.features


def _rows(decided: Iterator[Decided], wanted: _Wanted | None = None) -> Iterator[dict[str, Any]]:
    for one in decided:
        width = len(one.features) // max(1, len(one.customers))
        at = datetime.fromtimestamp(one.at / 1e6, UTC)
        for place, customer in enumerate(one.customers):
            if wanted is not None and not wanted(one, place):
                continue
            yield {
                "decision_id": one.decision_ids[place],
                "customer_id": named(customer),
                "at": at,
                "request_id": one.request_id,
                "route": one.route,
                "caller": one.caller,
                "shadow": one.shadow,
                "model_version": one.model_version,
                "playbook": one.playbook,
                "stage_rules": one.stage_rules,
                "consent_unknown": one.consent_unknown,
                "language": one.language,
                "vocabulary": one.vocabulary,
                "reasons": one.reasons,
                "features": one.features[place * width : (place + 1) * width],
                "answer": msgspec.json.encode(one.answers[place]).decode(),
            }


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while some := list(islice(rows, GROUP_ROWS)):
        yield some


def _by_day(rows: list[dict[str, Any]]) -> Iterator[tuple[date, pa.Table]]:
    by_day: dict[date, list[dict[str, Any]]] = {}
    for row in rows:
        by_day.setdefault(row["at"].date(), []).append(row)
    for day, of_day in by_day.items():
        yield day, pa.Table.from_pylist(of_day, SCHEMA).sort_by("customer_id")


def named(customer: int | str | None) -> str:
    """Write an id as the record keeps it."""
    return msgspec.json.encode(customer).decode()


def _decision(row: dict[str, Any]) -> Decision:
    read = msgspec.json.decode
    return Decision(
        **{
            **row,
            "customer_id": read(row["customer_id"]),
            "answer": read(row["answer"]),
        }
    )


def _made_one(folder: Path) -> None:
    """Put a day's files into one; a file that is not yet gone when it dies is the same again."""
    parts = [path for path in sorted(folder.glob("*.parquet")) if path.name != _WHOLE]
    if not parts:
        return
    whole = folder / _WHOLE
    files = [*parts, *([whole] if whole.exists() else [])]
    with replacing(whole) as file:
        merge(files, file, SCHEMA)
    for part in parts:
        part.unlink()
