"""Files of decisions made one, sorted by customer, however many decisions a day has.

The rows are dealt out to as many stretches of customers as fit into memory one by one, each in a
file without a name: what a killed process leaves of it is nothing.
"""

from __future__ import annotations

import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

STRETCH_ROWS = 4_000
"""Rows that are sorted at a time, some 3 kB each."""
MOST_STRETCHES = 256
"""Files that are open at a time; of more rows the stretches are longer."""
GROUP_ROWS = 2_000
_SAMPLE = 100_000
_ORDER = ("customer_id", "at", "decision_id")


def merge(parts: Sequence[Path], target: Path, schema: pa.Schema) -> None:
    """Write the rows of some files into one; what is there twice is written once.

    Parameters
    ----------
    schema
        Of the target; what a part lacks of it is null.
    """
    bounds = _bounds(parts)
    with ExitStack() as held, pq.ParquetWriter(target, schema, compression="zstd") as whole:
        stretches: list[IO[bytes]] = [
            held.enter_context(tempfile.TemporaryFile(dir=target.parent))
            for _ in range(len(bounds) + 1)
        ]
        _deal(parts, bounds, stretches, schema)
        for stretch in stretches:
            stretch.seek(0)
            rows = pl.DataFrame(pl.from_arrow(pa.ipc.open_stream(stretch).read_all()))
            table = rows.unique().sort(_ORDER).to_arrow().cast(schema)
            whole.write_table(table, row_group_size=GROUP_ROWS)


def _bounds(parts: Sequence[Path]) -> list[str]:
    """Find customers between whom the rows are cut into stretches of about one length."""
    total = sum(pq.read_metadata(part).num_rows for part in parts)
    number = min(-(-total // STRETCH_ROWS), MOST_STRETCHES)
    every = max(total // _SAMPLE, 1)
    sample: list[str] = []
    for part in parts:
        ids = pq.read_table(part, columns=["customer_id"])["customer_id"]
        sample += ids.take(pa.array(np.arange(0, len(ids), every))).to_pylist()
    sample.sort()
    cuts = {sample[len(sample) * place // number] for place in range(1, number)}
    return sorted(cuts)


def _deal(
    parts: Sequence[Path], bounds: Sequence[str], stretches: Sequence[IO[bytes]], schema: pa.Schema
) -> None:
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with ExitStack() as held:
        writers = [
            held.enter_context(pa.ipc.new_stream(stretch, schema, options=options))
            for stretch in stretches
        ]
        for rows in _groups(parts, schema):
            of = [bisect_right(bounds, customer) for customer in rows["customer_id"].to_pylist()]
            order = np.argsort(of, kind="stable")
            sorted_rows = rows.take(pa.array(order))
            ends = np.cumsum(np.bincount(of, minlength=len(writers)))
            for writer, start, end in zip(writers, [0, *ends], ends, strict=False):
                if end > start:
                    writer.write_table(sorted_rows.slice(start, end - start))


def _groups(parts: Sequence[Path], schema: pa.Schema) -> Iterator[pa.Table]:
    for part in parts:
        with pq.ParquetFile(part) as file:
            for place in range(file.num_row_groups):
                rows = file.read_row_group(place)
                lacking = [field for field in schema if field.name not in rows.column_names]
                for field in lacking:
                    rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
                yield rows.select(schema.names).cast(schema)
