"""Rows of a few entities, written in all views at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from features.stores.keys import KeyCodec
from features.stores.online import PackedOnlineStore, pack_batch
from features.stores.times import NO_TIME, micros_of_column


def write_rows(
    store: PackedOnlineStore,
    config: Any,  # noqa: ANN401
    tables: Sequence[Any],
    rows: pa.Table,
    timestamp: str,
) -> None:
    """Write rows in views that have the same join keys; readers see all views change together.

    Parameters
    ----------
    tables
        Feast's views.
    rows
        The join keys, every feature of the views, and the time of each row.
    timestamp
        The column of the time.
    """
    codec = KeyCodec.of_view(tables[0])
    views = [store.view_of(config, table) for table in tables]
    with store.writing(config, views) as writer:
        for batch in rows.combine_chunks().to_batches():
            event = micros_of_column(batch.column(timestamp))
            keys = codec.of_arrow({name: batch.column(name) for name in codec.names})
            created = event * 0 + NO_TIME
            packed = {view.name: pack_batch(view, batch, event, created) for view in views}
            writer.write(keys, packed)
