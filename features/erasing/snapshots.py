"""Some persons' rows taken out of the snapshots, and out of what the next ones go on from.

A snapshot is named by all that was known on its day, and that is another thing without them. One
that held before holds again under its new name, for nobody else's row has changed but those of whom
they brought and who brought them, which are computed anew. So nothing needs to be computed again
for everybody, and a file that nobody asks for any more does not keep them either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from features.catalogue import JOIN_KEY
from features.days import day_in_name
from features.erasing.rows import Edit, erase_rows
from features.ingest.ledger import Ledger
from features.persons import Persons
from features.snapshot_files import KEY, stored_key
from features.snapshots import histories_of, snapshot_folder
from features.workspace import Workspace

KeyOf = Callable[[date], str]


@dataclass(frozen=True)
class Holding:
    """The days whose snapshots and histories were of what was known before the erasure."""

    snapshots: tuple[date, ...]
    histories: tuple[date, ...]

    @classmethod
    def of(cls, workspace: Workspace, ledger: Ledger, key_of: KeyOf, facts_of: KeyOf) -> Holding:
        """Look which hold now."""
        folder = snapshot_folder(workspace, ledger.customer_id_type)
        days = [day for path in sorted(folder.glob("[!.]*.parquet")) if (day := day_in_name(path))]
        histories = histories_of(workspace, ledger, facts_of)
        return cls(
            tuple(day for day in days if stored_key(_file(folder, day)) == key_of(day)),
            tuple(day for day in histories.days() if histories.holds(day)),
        )

    def to_dict(self) -> dict[str, list[str]]:
        """Plain values for JSON."""
        return {
            "snapshots": [day.isoformat() for day in self.snapshots],
            "histories": [day.isoformat() for day in self.histories],
        }

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Holding:
        """Read plain values back."""
        days = (tuple(map(date.fromisoformat, told[name])) for name in ("snapshots", "histories"))
        return cls(*days)


def erase_snapshots(
    workspace: Workspace,
    ledger: Ledger,
    persons: Persons,
    held: Holding,
    key_of: KeyOf,
    renewed: Mapping[date, pa.Table],
) -> int:
    """Take some persons out of every snapshot; the ledger is without them already.

    Parameters
    ----------
    held
        Which held before.
    key_of
        Names what is known on a day now.
    renewed
        The rows of a day of whoever else's have changed.

    Returns
    -------
    int
        Rows that are gone.
    """
    current = snapshot_folder(workspace, ledger.customer_id_type)
    erased = 0
    for path in sorted(workspace.features.glob("snapshots_*/[!.]*.parquet")):
        day = day_in_name(path)
        if path.parent == current and day in held.snapshots and day is not None:
            edit = _put(renewed.get(day))
            erased += erase_rows(path, persons, {KEY: key_of(day).encode()}, edit)
        else:
            erased += erase_rows(path, persons)
    return erased


def erase_histories(
    workspace: Workspace, ledger: Ledger, persons: Persons, held: Holding, key_of: KeyOf
) -> int:
    """Take some persons out of what orders added up to; see :func:`erase_snapshots`."""
    histories = histories_of(workspace, ledger, key_of)
    erased = 0
    for path in sorted(workspace.features.glob("history_*/*/*.parquet")):
        if path.parent.name.startswith("."):
            continue
        erased += erase_rows(path, persons)
    for day in held.histories:
        if day in histories.days():
            histories.seal(day)
    return erased


def _put(rows: pa.Table | None) -> Edit | None:
    """Put rows in the place of those of the same customers, as far as a table has them."""
    if rows is None or not rows.num_rows:
        return None
    keys = rows[JOIN_KEY].combine_chunks()

    def edit(table: pa.Table) -> pa.Table:
        own = table[JOIN_KEY].cast(keys.type)
        kept = table.filter(pc.invert(pc.is_in(own, value_set=keys)))
        if kept.num_rows == table.num_rows:
            return table
        here = rows.filter(pc.is_in(keys, value_set=own.combine_chunks()))
        here = here.select(table.column_names).cast(table.schema.remove_metadata())
        both = [kept.replace_schema_metadata(None), here.replace_schema_metadata(None)]
        return pa.concat_tables(both).sort_by(JOIN_KEY)

    return edit


def linked(ledger: Ledger, persons: Persons) -> list[int | str]:
    """List who brought some persons and whom they brought: their features count each other."""
    path = ledger.path("customers")
    if path is None:
        return []
    rows = pl.scan_parquet(path).select(JOIN_KEY, "referred_by")
    kind = rows.collect_schema()[JOIN_KEY]
    theirs, by_them = persons.among(JOIN_KEY, kind), persons.among("referred_by", kind)
    found = (
        rows.filter(theirs | by_them)
        .select(pl.concat_list(JOIN_KEY, "referred_by").explode().drop_nulls().unique())
        .collect()
        .to_series()
    )
    ours = set(persons.of(kind))
    return sorted(one for one in found.to_list() if one not in ours)


def _file(folder: Path, day: date) -> Path:
    return folder / f"{day.isoformat()}.parquet"
