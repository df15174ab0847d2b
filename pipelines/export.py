"""`lifecycle export`: customers whose stage, action or band changed, for another system."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.catalogue import KeyType
from features.errors import InputError, WorkspaceError
from features.scores import scored_days, scores_path
from features.workspace import Workspace, replacing
from pipelines.context import Context
from serving.deliveries import Deliveries
from serving.exports.changes import Changes, changes_between
from serving.exports.ledger import ExportLedger
from serving.exports.mapping import CHANGE, WATCHED, Mapping, load_mapping
from serving.exports.rows import write_rows
from serving.score_files import read_scores

DECISION = "decision_id"


@dataclass(frozen=True)
class ExportReport:
    """What changed between two days, and what of it was written.

    Attributes
    ----------
    new, changed, gone
        Customers.
    before
        Rows that an earlier export to the same system had.
    written
        Rows in the file; where there are none, no file is written.
    """

    since: str
    as_of: str
    system: str
    new: int
    changed: int
    gone: int
    before: int
    written: int
    file: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def export(
    context: Context, changed_since: date, mapping_path: Path, out: Path, again: bool = False
) -> ExportReport:
    """Write who changed between the scores of a day and the newest ones.

    A decision is exported once to each system that a mapping names.

    Parameters
    ----------
    again
        Write also what has been exported before.

    Raises
    ------
    InputError
        The mapping cannot be used, or there are no scores of the day.
    WorkspaceError
        Nothing has been scored.
    """
    mapping = load_mapping(mapping_path)
    ledger = context.ledger()
    with context.workspace.locked():
        earlier, later = _days(context.workspace, ledger.customer_id_type, changed_since)
        old, new = (
            scores_path(context.workspace, ledger.customer_id_type, day) for day in (earlier, later)
        )
        changes = changes_between(old, new, mapping.watch)
        exported = ExportLedger(context.workspace.exports / f"{mapping.name}.db")
        written: list[str] = []
        before = 0

        def fresh_only() -> Iterator[pa.RecordBatch]:
            nonlocal before
            for batch in _rows(changes, old, new, mapping):
                names = _names(batch)
                known = set() if again else exported.known(names)
                before += sum(name in known for name in names)
                written.extend(name for name in names if name not in known)
                yield batch.filter(pa.array([name not in known for name in names]))

        rows = _write(out, mapping, fresh_only())
        if rows:
            Deliveries(context.workspace).note_file("export", out, datetime.now(UTC))
        exported.note(written, out.name)
    return ExportReport(
        earlier.isoformat(),
        later.isoformat(),
        mapping.name,
        int(changes.fresh.sum()),
        int(changes.changed.sum()),
        int(changes.gone.sum()),
        before,
        rows,
        str(out) if rows else None,
    )


class _NothingNew(Exception):
    """There is no row to write, so that a former file stays."""


def _write(out: Path, mapping: Mapping, batches: Iterator[pa.RecordBatch]) -> int:
    try:
        with replacing(out) as temporary:
            try:
                rows = write_rows(temporary, mapping, batches)
            except UnicodeEncodeError as error:
                letters = error.object[error.start : error.end]
                raise InputError(
                    f"{letters!r} cannot be written in {mapping.encoding}; set the encoding of "
                    f"mapping {mapping.name} to utf-8"
                ) from None
            if not rows:
                raise _NothingNew
    except _NothingNew:
        return 0
    return rows


def _days(workspace: Workspace, key_type: KeyType, since: date) -> tuple[date, date]:
    days = scored_days(workspace, key_type)
    if not days:
        raise WorkspaceError("nothing has been scored yet; run `lifecycle score` first")
    if since not in days or since == days[-1]:
        others = ", ".join(map(str, days[:-1])) or "none"
        raise InputError(
            f"there are no scores of {since} to compare those of {days[-1]} with (there are: "
            f"{others}); name one of them, or run `lifecycle score --as-of {since}`"
            if since < days[-1]
            else f"--changed-since {since} is not before {days[-1]}, the newest scores; name an "
            f"earlier day that was scored (there are: {others})"
        )
    return since, days[-1]


def _rows(changes: Changes, old: Path, new: Path, mapping: Mapping) -> Iterator[pa.RecordBatch]:
    """Give the rows of whoever is new, changed or, if they are wanted, gone."""
    chosen = changes.fresh | changes.changed
    words = np.where(changes.fresh, "new", "changed")
    place = 0
    for batch in read_scores(new):
        rows = slice(place, place + batch.num_rows)
        place += batch.num_rows
        former = changes.before.slice(rows.start, batch.num_rows)
        told = _told(batch, words[rows].tolist(), former)
        yield told.filter(pa.array(chosen[rows]))
    if mapping.gone == "rows":
        place = 0
        for batch in read_scores(old):
            gone = pa.array(changes.gone[place : place + batch.num_rows])
            place += batch.num_rows
            former = pa.Table.from_batches([batch.select(WATCHED)])
            yield _told(batch, ["gone"] * batch.num_rows, former).filter(gone)


def _told(batch: pa.RecordBatch, change: list[str], former: pa.Table) -> pa.RecordBatch:
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    columns[CHANGE] = pa.array(change, pa.string())
    for name in WATCHED:
        columns[f"former_{name}"] = former[name].combine_chunks()
    return pa.record_batch(columns)


def _names(batch: pa.RecordBatch) -> list[str]:
    """Name the rows for the ledger: that a customer is gone is another fact than the decision."""
    gone = pc.equal(batch.column(CHANGE), "gone")
    prefix = pc.if_else(gone, "gone ", "")
    names: list[str] = pc.binary_join_element_wise(prefix, batch.column(DECISION), "").to_pylist()
    return names
