"""A day's scores as a file: written batch by batch, named by what they follow from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.snapshot_files import KEY
from features.workspace import replacing

LOOKED_BACK = b"lifecycle.looked_back"


def write_scores(
    path: Path,
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    key: str,
    looked_back: bool = False,
) -> int:
    """Write scores as Parquet, a row group a batch; the file takes its place when it is whole.

    Parameters
    ----------
    key
        Names the content; :func:`features.snapshot_files.stored_key` reads it back.
    looked_back
        Whether nobody was told these when the day was new: they are for a look at the past.

    Returns
    -------
    int
        Customers written.
    """
    done = 0
    metadata = {KEY: key.encode(), **({LOOKED_BACK: b"1"} if looked_back else {})}
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    repeated = [name for name in texts if name not in {"customer_id", "decision_id"}]
    lists = [f"{field.name}.list.element" for field in schema if pa.types.is_list(field.type)]
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(
            temporary,
            schema.with_metadata(metadata),
            compression="zstd",
            compression_level=1,
            # Few numbers repeat; trying to find out costs more than all else.
            use_dictionary=[*repeated, *lists, "as_of", "model_version"],
        ) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)
            done += batch.num_rows
    return done


def looked_back(path: Path) -> bool:
    """Whether a day's scores were written to look at the past; False where they cannot be read."""
    try:
        return LOOKED_BACK in (pq.read_schema(path).metadata or {})
    except (OSError, pa.ArrowException):
        return False


def read_scores(
    path: Path, columns: list[str] | None = None, start: int = 0
) -> Iterator[pa.RecordBatch]:
    """Read scores in the batches in which they were written, from some row of the file on."""
    with pq.ParquetFile(path) as file:
        place = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if place + rows > start:
                table = file.read_row_group(group, columns, use_threads=False)
                yield from table.slice(max(start - place, 0)).combine_chunks().to_batches()
            place += rows
