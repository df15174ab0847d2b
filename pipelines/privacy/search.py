"""Who of some persons is known in a workspace at all, anywhere."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pyarrow.parquet as pq
import sqlalchemy as sa

from features.catalogue import JOIN_KEY
from features.ingest.ledger import Ledger
from features.ingest.schemas import id_columns
from features.persons import Persons
from features.push_log import TOUCHED, PushLog
from pipelines.context import Context
from pipelines.privacy.inventory import row_files
from serving.decisions.archive import Archive
from serving.decisions.erasing import customers_in


def known(context: Context, persons: Persons) -> set[str]:
    """Find which of some persons the workspace holds anything of, by their ids as text."""
    found: set[str] = set()
    wanted = set(persons.names)
    for some in _places(context, persons):
        found |= some & wanted
        if found == wanted:
            break
    return found


def _places(context: Context, persons: Persons) -> Iterator[set[str]]:
    ledger = Ledger(context.workspace)
    if ledger.started:
        for table in ledger.tables:
            path = ledger.path(table)
            if path is not None:
                rows = pl.scan_parquet(path)
                for column in id_columns(table):
                    theirs = persons.among(column, rows.collect_schema()[column])
                    found = rows.filter(theirs).select(pl.col(column).unique()).collect()
                    yield set(map(str, found.to_series().to_list()))
    log = PushLog(context.workspace, context.settings.stores)
    if log.there():
        with log.begin() as connection:
            rows_found = connection.execute(
                sa.select(TOUCHED.c.customer_id)
                .distinct()
                .where(TOUCHED.c.project == log.project, TOUCHED.c.customer_id.in_(persons.names))
            )
            yield {row[0] for row in rows_found}
    for file in row_files(context.workspace):
        if JOIN_KEY in pq.read_schema(file).names:
            ids = pq.read_table(file, columns=[JOIN_KEY])[JOIN_KEY]
            yield set(map(str, ids.filter(persons.theirs(ids)).unique().to_pylist()))
    yield customers_in(Archive(context.workspace.decisions), persons)
    for aside in sorted((context.workspace.data / "quarantine").glob("[!.]*.parquet")):
        cells = pl.read_parquet(aside)
        for name in cells.columns:
            if cells.schema[name] == pl.String:
                yield set(cells[name].str.strip_chars().drop_nulls().to_list())
