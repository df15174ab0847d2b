"""Rows of scores in the words of a mapping."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from features.errors import InputError
from serving.exports.mapping import Mapping, TargetField


def write_rows(path: Path, mapping: Mapping, batches: Iterable[pa.RecordBatch]) -> int:
    """Write an export; give the number of its rows.

    Raises
    ------
    InputError
        A value has no translation, or no letters in the file's encoding; the field is named.
    """
    written = 0
    # Every line ends as RFC 4180 wants it, on every system.
    with path.open("w", encoding=mapping.encoding, newline="") as file:
        table = csv.writer(file, lineterminator="\r\n")
        if mapping.format == "csv":
            table.writerow(mapping.fields)
        for batch in batches:
            for row in translated(mapping, batch):
                if mapping.format == "csv":
                    table.writerow("" if value is None else value for value in row)
                else:
                    named = dict(zip(mapping.fields, row, strict=True))
                    file.write(json.dumps(named, ensure_ascii=False) + "\n")
                written += 1
    return written


def translated(mapping: Mapping, batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    """Give the rows of some customers, a value a field."""
    columns = [_column(name, field, mapping, batch) for name, field in mapping.fields.items()]
    return zip(*columns, strict=True)


def _column(name: str, field: TargetField, mapping: Mapping, batch: pa.RecordBatch) -> list[Any]:
    if field.source is None:
        return [field.constant] * batch.num_rows
    values = batch.column(field.source).to_pylist()
    if field.values:
        return [_named(name, field, value) for value in values]
    return [_plain(value, field, mapping) for value in values]


def _named(name: str, field: TargetField, value: Any) -> str | None:  # noqa: ANN401 - of a column
    if value is None:
        return None
    found = field.values.get(str(value), field.otherwise)
    if found is None:
        raise InputError(
            f"field {name} has no word for {field.source} = {value}; add it to its values, or "
            "give it an otherwise"
        )
    return found


def _plain(value: Any, field: TargetField, mapping: Mapping) -> Any:  # noqa: ANN401
    match value:
        case datetime():
            return value.strftime(mapping.moment_format)
        case date():
            return value.strftime(mapping.date_format)
        case float():
            return value if field.decimals is None else round(value, field.decimals)
        case list():
            return "; ".join(value)
        case _:
            return value
