"""Some persons' decisions taken out of the record, also while servers go on answering.

What stands in the open journal of a server is its own: it is asked to turn it into Parquet, which
leaves out who was erased. Who is erased is therefore noted before this begins.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.erasing.rows import Edit, erase_where
from features.persons import Persons
from serving.decisions.archive import Archive, named
from serving.decisions.journal import SUFFIX, is_abandoned, read_journal
from serving.decisions.recorder import ask_to_rotate

PATIENCE = 15.0
"""Seconds for which servers are waited for; they look each second."""
_STEP = 0.2


def erase_decisions(archive: Archive, persons: Persons, patience: float = PATIENCE) -> int:
    """Take some persons out of the record; see :func:`still_open` for what could not be.

    Returns
    -------
    int
        Decisions that are gone from Parquet files; a journal's are left out as it becomes one.
    """
    folder = archive.folder
    if not folder.is_dir():
        return 0
    erased = _close(archive, persons, patience)
    with archive.alone():
        for path in sorted(folder.glob("*/*.parquet")):
            erased += erase_where(path, lambda table: _theirs(table, persons), ["customer_id"])
            if persons.pattern is not None:
                _strike_requests(path, persons)
    return erased


def still_open(archive: Archive, persons: Persons) -> list[Path]:
    """List journals of servers that have not answered, in which some persons still stand.

    They leave them out within five minutes, or when they end.
    """
    return [path for path in _journals(archive) if _count(path, persons)]


def decisions_of(archive: Archive, persons: Persons) -> Iterator[str]:
    """Name the decisions about some persons."""
    for path in sorted(archive.folder.glob("*/*.parquet")):
        table = pq.read_table(path, columns=["customer_id", "decision_id"])
        yield from table.filter(_theirs(table, persons))["decision_id"].to_pylist()
    for path in _journals(archive):
        for one in read_journal(path):
            yield from (
                name
                for name, customer in zip(one.decision_ids, one.customers, strict=True)
                if str(customer) in persons.names
            )


def _close(archive: Archive, persons: Persons, patience: float) -> int:
    """Wait until every journal that names one of them has become Parquet."""
    waiting = {path: count for path in _journals(archive) if (count := _count(path, persons))}
    erased = sum(waiting.values())
    if waiting:
        ask_to_rotate(archive.folder)
    until = time.monotonic() + patience
    while waiting:
        for path in list(waiting):
            if not path.exists():
                del waiting[path]
            elif is_abandoned(path):
                archive.take(path)
        if time.monotonic() > until:
            return erased - sum(waiting.values())
        time.sleep(_STEP if waiting else 0)
    return erased


def _journals(archive: Archive) -> list[Path]:
    return sorted(archive.folder.glob(f"*{SUFFIX}"))


def _count(path: Path, persons: Persons) -> int:
    try:
        return sum(
            str(customer) in persons.names or persons.named_in(one.request_id)
            for one in read_journal(path)
            for customer in one.customers
        )
    except FileNotFoundError:
        return 0


def _theirs(table: pa.Table, persons: Persons) -> pa.Array:
    """Whether a decision is of one of them, whom a request may name by a number or by its text."""
    spelled = [*map(named, persons.names), *map(named, persons.numbers)]
    return pc.is_in(table["customer_id"], value_set=pa.array(spelled, pa.string()))


def _strike_requests(path: Path, persons: Persons) -> None:
    """Take their names out of the ids that callers gave to requests for others too."""
    found = pq.read_table(path, columns=["request_id"])["request_id"].unique().to_pylist()
    if any(persons.named_in(text) for text in found if text):
        erase_where(
            path,
            lambda table: pa.repeat(False, table.num_rows),
            ["request_id"],
            edit=_struck(persons),
        )


def _struck(persons: Persons) -> Edit:
    def edit(table: pa.Table) -> pa.Table:
        texts = [
            None if text is None else persons.unnamed(text)
            for text in table["request_id"].to_pylist()
        ]
        place = table.schema.get_field_index("request_id")
        return table.set_column(place, "request_id", pa.array(texts, pa.string()))

    return edit


def customers_in(archive: Archive, persons: Persons) -> set[str]:
    """Find which of some persons the record has decisions about."""
    found: set[str] = set()
    for path in sorted(archive.folder.glob("*/*.parquet")):
        ids = pq.read_table(path, columns=["customer_id"])
        named_there = ids.filter(_theirs(ids, persons))["customer_id"].unique().to_pylist()
        found |= {text.strip('"') for text in named_there}
    for path in _journals(archive):
        found |= {str(one) for decided in read_journal(path) for one in decided.customers}
    return found & set(persons.names)
