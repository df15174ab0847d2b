"""Those to be treated, as a file that another system imports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from features.errors import InputError
from features.workspace import replacing
from serving.batch import CHUNK
from serving.exports.mapping import SOURCES, Mapping
from serving.exports.rows import write_rows


def write_for_crm(plan: Path, out: Path, mapping: Mapping | None) -> int:
    """Write the rows of a plan's treated arm: whoever is held out is not in the file.

    Without a mapping the columns are those of the plan, as Parquet or CSV by the file's name; a
    mapping's fields are empty where they are of something that no plan holds.

    Returns
    -------
    int
        Rows written.
    """
    with pq.ParquetFile(plan) as file, replacing(out) as temporary:
        batches = _treated(file)
        if mapping is not None:
            try:
                return write_rows(temporary, mapping, map(_with_every_source, batches))
            except UnicodeEncodeError as error:
                raise InputError(
                    f"{error.object[error.start : error.end]!r} cannot be written in "
                    f"{mapping.encoding}; set the encoding of mapping {mapping.name} to utf-8"
                ) from None
        rows = 0
        schema = file.schema_arrow
        writer = (
            pcsv.CSVWriter(temporary, schema)
            if out.suffix == ".csv"
            else pq.ParquetWriter(temporary, schema, compression="zstd")
        )
        with writer:
            for batch in batches:
                writer.write_batch(batch)
                rows += batch.num_rows
        return rows


def _treated(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    for batch in file.iter_batches(CHUNK):
        yield batch.filter(pc.equal(batch.column("arm"), "treated"))


def _with_every_source(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    nothing = pa.nulls(batch.num_rows, pa.string())
    return pa.record_batch({**dict.fromkeys(SOURCES, nothing), **columns})
