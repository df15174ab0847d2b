"""Rows of persons who were erased, kept out of what is read later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from features.errors import InputError
from features.forgotten import RULE, Forgotten
from features.ingest.cleaning import Cleaned
from features.ingest.codes import read_ids
from features.ingest.contract import Table
from features.ingest.schemas import id_columns

_OURS = ("row", "reason")
"""Columns of a quarantine that are not the file's."""


def without_forgotten(table: Table, cleaned: Cleaned, forgotten: Forgotten) -> Cleaned:
    """Drop the rows of persons who were erased, and count them.

    Whoever else's rows name such a person, as who referred them, loses that name alone. A row that
    was set aside goes where any of its cells is such an id.
    """
    if not forgotten:
        return cleaned
    rows = cleaned.rows
    barred = forgotten.barred(rows["customer_id"], rows["event_day"])
    rows = rows.filter(~barred)
    for column in id_columns(table)[1:]:
        named = forgotten.barred(rows[column])
        rows = rows.with_columns(pl.when(~named).then(pl.col(column)).alias(column))
    if "attributes" in rows.columns:
        rows = rows.with_columns(_unnamed_attributes(rows["attributes"], forgotten))
    aside = _set_aside(cleaned.quarantine, forgotten)
    dropped = int(barred.sum()) + cleaned.quarantine.height - aside.height
    if not dropped and rows.equals(cleaned.rows):
        return cleaned
    return replace(
        cleaned,
        rows=rows,
        quarantine=aside,
        counts=without(cleaned.counts, int(barred.sum()), cleaned.quarantine, aside),
        examples={
            name: text for name, text in cleaned.examples.items() if not forgotten.holds(text)
        },
    )


def without(
    counts: Mapping[str, int], rows: int, before: pl.DataFrame, after: pl.DataFrame
) -> dict[str, int]:
    """Count rows and rows that were set aside as forgotten instead.

    >>> left = pl.DataFrame({"reason": ["no_kind"]})
    >>> counts = {"rows_in": 5, "kept": 3, "quarantined": 2, "no_kind": 2}
    >>> without(counts, 1, pl.concat([left, left]), left)
    {'rows_in': 5, 'kept': 2, 'quarantined': 1, 'no_kind': 1, 'forgotten': 2}
    """
    gone = dict(before["reason"].value_counts().iter_rows())
    for reason, left in after["reason"].value_counts().iter_rows():
        gone[reason] -= left
    told = {name: count - gone.get(name, 0) for name, count in counts.items()}
    aside = before.height - after.height
    told |= {"kept": counts["kept"] - rows, "quarantined": counts["quarantined"] - aside}
    return {**told, RULE: counts.get(RULE, 0) + rows + aside}


def refuse_nobody(table: Table, cleaned: Cleaned) -> None:
    """Refuse a file that would begin a table, and of which nothing is left.

    Raises
    ------
    InputError
        Every row of it is of persons who were erased.
    """
    if cleaned.rows.is_empty() and cleaned.counts.get(RULE):
        raise InputError(
            f"none of its {cleaned.counts['rows_in']:,} {table} is kept, for they are of persons "
            "who were erased; `lifecycle forget --lift` lets them come back"
        )


def _unnamed_attributes(attributes: pl.Series, forgotten: Forgotten) -> pl.Series:
    """Leave out what of a customer's attributes is the id of who was erased, as of a household."""
    renamed = {}
    for text in attributes.unique().drop_nulls().to_list():
        said = json.loads(text)
        left = {name: value for name, value in said.items() if not _is_barred(value, forgotten)}
        if len(left) < len(said):
            renamed[text] = json.dumps(
                left, sort_keys=True, ensure_ascii=False, separators=(",", ":")
            )
    return attributes.replace(renamed) if renamed else attributes


def _is_barred(value: object, forgotten: Forgotten) -> bool:
    return isinstance(value, str | int) and forgotten.holds(value)


def _set_aside(quarantine: pl.DataFrame, forgotten: Forgotten) -> pl.DataFrame:
    barred = pl.repeat(False, quarantine.height, dtype=pl.Boolean, eager=True)
    for name in quarantine.columns:
        if name not in _OURS:
            barred |= forgotten.barred(read_ids(quarantine[name]))
    return quarantine.filter(~barred)
