"""A snapshot as a Parquet file: written part by part, named by a key, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.catalogue import CATEGORIES
from features.computing import TIMESTAMP
from features.workspace import replacing

ROW_GROUP = 100_000
PAGE_BYTES = 65_536
"""A page of each column is in memory while rows are read: of a hundred and more, a megabyte each is
a fifth of what a batch may take."""
KEY = b"lifecycle.key"
"""Of a file's metadata: names what the file holds."""


class SnapshotWriter:
    """Writes a snapshot part by part."""

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._key = key
        self._writer: pq.ParquetWriter | None = None

    def write(self, table: pa.Table) -> None:
        """Add the rows of some customers, sorted, those of a later part after an earlier's."""
        table = table.replace_schema_metadata({KEY: self._key.encode()})
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._path,
                table.schema,
                compression="zstd",
                compression_level=1,
                data_page_size=PAGE_BYTES,
                # Few numbers repeat; trying to find out costs more than all else.
                use_dictionary=[*CATEGORIES, TIMESTAMP],
            )
        self._writer.write_table(table, row_group_size=ROW_GROUP)

    def close(self) -> None:
        """Write the file's end."""
        if self._writer is not None:
            self._writer.close()


@contextmanager
def writing(path: Path, key: str) -> Iterator[SnapshotWriter]:
    """Write a snapshot that takes its place only if the block succeeds."""
    with replacing(path) as temporary:
        writer = SnapshotWriter(temporary, key)
        yield writer
        writer.close()


def stored_key(path: Path) -> str | None:
    """Read the key of a stored snapshot, or None where there is none that can be read."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):
        return None
    key = metadata.get(KEY)
    return key.decode() if key is not None else None
