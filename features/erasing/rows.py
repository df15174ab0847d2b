"""Some persons' rows taken out of a Parquet file, all else left as it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.catalogue import JOIN_KEY
from features.persons import Persons
from features.snapshot_files import PAGE_BYTES
from features.workspace import replacing

Gone = Callable[[pa.Table], pa.Array]
Edit = Callable[[pa.Table], pa.Table]


def erase_rows(
    path: Path,
    persons: Persons,
    metadata: Mapping[bytes, bytes] | None = None,
    edit: Edit | None = None,
) -> int:
    """Take the rows of some customers out of a file of rows by ``customer_id``.

    Row groups, order, types and metadata stay. A file of something else is left alone.

    Parameters
    ----------
    metadata
        To be written over that of the file.
    edit
        What else changes in a row group, which keeps its order.

    Returns
    -------
    int
        Rows that are gone.
    """
    if JOIN_KEY not in pq.read_schema(path).names:
        return 0
    return erase_where(
        path, lambda table: persons.theirs(table[JOIN_KEY]), [JOIN_KEY], metadata, edit
    )


def erase_where(
    path: Path,
    gone: Gone,
    columns: list[str],
    metadata: Mapping[bytes, bytes] | None = None,
    edit: Edit | None = None,
) -> int:
    """Take rows out of a file; see :func:`erase_rows`.

    Parameters
    ----------
    gone
        Which rows, told by some columns.
    """
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        told = {**(schema.metadata or {}), **(metadata or {})}
        count = sum(
            pc.sum(gone(file.read_row_group(place, columns))).as_py() or 0
            for place in range(file.num_row_groups)
        )
        if not count and edit is None and told == (schema.metadata or {}):
            return 0
        schema = schema.with_metadata(told)
        with (
            replacing(path) as temporary,
            pq.ParquetWriter(
                temporary,
                schema,
                compression="zstd",
                compression_level=1,
                data_page_size=PAGE_BYTES,
                use_dictionary=[*_texts(schema)],
            ) as writer,
        ):
            for place in range(file.num_row_groups):
                table = file.read_row_group(place)
                table = table.filter(pc.invert(gone(table)))
                table = table if edit is None else edit(table)
                if table.num_rows:
                    writer.write_table(
                        table.replace_schema_metadata(told), row_group_size=table.num_rows
                    )
    return int(count)


def _texts(schema: pa.Schema) -> list[str]:
    """Name the columns whose values repeat."""
    plain = [
        f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)
    ]
    lists = [f"{f.name}.list.element" for f in schema if pa.types.is_list(f.type)]
    unique = {JOIN_KEY, "decision_id", "answer"}
    return [*(name for name in plain if name not in unique), *lists, *_stamps(schema)]


def _stamps(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if pa.types.is_temporal(field.type)]
