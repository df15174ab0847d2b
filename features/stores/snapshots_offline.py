"""Feast's DuckDB offline store, faster where the source is a folder of daily snapshots.

``feature_store.yaml``::

    offline_store:
      type: features.stores.snapshots_offline.SnapshotOfflineStore

Where all views of a question share one such folder (see :mod:`features.stores.snapshot_folder`) and
have one join key each, the folder's files are read once for all views, and only the columns that
were asked for. As many rows come back as were asked for, in the order in which they were asked for,
with every column of the entity table. The answer is the stock store's.

All else (other sources, SQL for entities, several join keys, created times, renamed columns) goes
to the stock store.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from feast import FeatureView, FileSource, OnDemandFeatureView, RepoConfig
from feast.data_format import ParquetFormat
from feast.data_source import DataSource
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores import offline_utils
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.saved_dataset import SavedDatasetStorage

from features.stores.snapshot_folder import Snapshot, is_unique, snapshots_in
from features.stores.snapshot_join import Match, Wanted, columns, match
from features.stores.times import micros_of, micros_of_column

_STAMP = pa.timestamp("us", "UTC")
_BATCH_ROWS = 100_000


class SnapshotOfflineStoreConfig(DuckDBOfflineStoreConfig):  # type: ignore[misc] # Feast is untyped
    """Settings of the store: those of Feast's DuckDB store."""

    type: Literal["features.stores.snapshots_offline.SnapshotOfflineStore"] = (
        "features.stores.snapshots_offline.SnapshotOfflineStore"
    )
    """Names the store, as Feast wants it."""


class SnapshotOfflineStore(DuckDBOfflineStore):  # type: ignore[misc] # Feast is untyped
    """Feast's DuckDB store with a way of its own for folders of daily snapshots."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: Sequence[FeatureView],
        feature_refs: Sequence[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        **named: Any,  # noqa: ANN401
    ) -> RetrievalJob:
        """Retrieve features as they were known at each row's time.

        ``filter_by_created_timestamp`` changes nothing where there is no created time, and where
        there is one the stock store answers.
        """
        job = _job(feature_views, feature_refs, entity_df, registry, project, full_feature_names)
        if job is not None:
            return job
        return DuckDBOfflineStore.get_historical_features(
            config,
            feature_views,
            feature_refs,
            entity_df,
            registry,
            project,
            full_feature_names,
            **named,
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """Take each key's newest row in a span of time, its ends included."""
        snapshots = None
        if not created_timestamp_column and len(join_key_columns) == 1:
            snapshots = _snapshots(data_source)
        if snapshots is not None:
            start, end = micros_of(start_date), micros_of(end_date)
            chosen = tuple(s for s in reversed(snapshots) if start <= s.closed <= end)
            names = list(dict.fromkeys([*join_key_columns, *feature_name_columns, timestamp_field]))
            if chosen and all(is_unique(s.column(join_key_columns[0])) for s in chosen):
                return LatestRowsJob(chosen, join_key_columns[0], names)
        return DuckDBOfflineStore.pull_latest_from_table_or_query(
            config,
            data_source,
            join_key_columns,
            feature_name_columns,
            timestamp_field,
            created_timestamp_column,
            start_date,
            end_date,
        )


class LatestRowsJob(RetrievalJob):  # type: ignore[misc] # Feast is untyped
    """Each key's newest row among some snapshots, to be had in batches.

    Parameters
    ----------
    snapshots
        The newest first; a key occurs once in each.
    key
        The column of keys.
    names
        The columns to read.
    """

    def __init__(self, snapshots: Sequence[Snapshot], key: str, names: list[str]) -> None:
        self._snapshots = snapshots
        self._key = key
        self._names = names

    def to_arrow_batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        """Read the rows, some at a time; what is newer comes first."""
        seen: list[pa.Array] = []
        for snapshot in self._snapshots:
            newer = pa.chunked_array(seen).combine_chunks() if seen else None
            for batch in snapshot.batches(self._names, rows):
                if newer is None:
                    yield batch
                    continue
                known = pc.is_in(batch.column(self._key), value_set=newer)
                older = batch.filter(pc.invert(known))
                if older.num_rows:
                    yield older
            if len(self._snapshots) > 1:
                seen.append(snapshot.column(self._key))

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        schema = self._snapshots[0].schema
        wanted = pa.schema([schema.field(name) for name in self._names])
        batches = [batch.cast(wanted) for batch in self.to_arrow_batches(_BATCH_ROWS)]
        return pa.Table.from_batches(batches, wanted)

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal().to_pandas()
        return frame

    @property
    def full_feature_names(self) -> bool:
        """Columns are named as in the source."""
        return False

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """There are none."""
        return []

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """There is none."""
        return None


class SnapshotRetrievalJob(RetrievalJob):  # type: ignore[misc] # Feast is untyped
    """Features of an entity table from a folder of snapshots; nothing is read until it is asked."""

    def __init__(
        self,
        snapshots: Sequence[Snapshot],
        entities: pa.Table,
        stamp: str,
        wanted: dict[tuple[str, str], list[Wanted]],
        order: list[str],
        on_demand: list[OnDemandFeatureView],
        full_feature_names: bool,
        metadata: RetrievalMetadata,
    ) -> None:
        self._snapshots = snapshots
        self._entities = entities
        self._stamp = stamp
        self._wanted = wanted
        self._order = order
        self._on_demand = on_demand
        self._full_feature_names = full_feature_names
        self._metadata = metadata

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        schema = self._snapshots[-1].schema
        answer: dict[str, pa.ChunkedArray] = {}
        for key, wanted in self._wanted.items():
            found = self._match(key, wanted)
            answer |= dict(
                zip((w.name for w in wanted), columns(found, schema, wanted), strict=True)
            )
        table = self._entities
        for name in self._order:
            table = table.append_column(name, answer[name])
        return table

    def to_arrow_batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        """Give the answer some rows at a time.

        Where a run of one snapshot's rows is asked for in its own order, no more of it is in memory
        than that.
        """
        if len(self._wanted) == 1 and not self._on_demand:
            [(key, wanted)] = self._wanted.items()
            run = self._match(key, wanted).run([column.lives for column in wanted])
            if run is not None:
                yield from self._batches(*run, wanted, rows)
                return
        yield from self.to_arrow().to_batches(max_chunksize=rows)

    def _batches(
        self, snapshot: Snapshot, start: int, wanted: list[Wanted], rows: int
    ) -> Iterator[pa.RecordBatch]:
        schema = self._snapshots[-1].schema
        entities = self._entities.combine_chunks()
        source = {column.name: column.source for column in wanted}
        names = list(dict.fromkeys(source.values()))
        done = 0
        for batch in snapshot.batches(names, rows, start, start + entities.num_rows):
            asked = entities.slice(done, batch.num_rows)
            done += batch.num_rows
            answer = {name: asked[name].combine_chunks() for name in asked.column_names}
            for name in self._order:
                values = batch.column(source[name])
                answer[name] = values.cast(schema.field(source[name]).type)
            yield pa.record_batch(answer)

    def _match(self, key: tuple[str, str], wanted: Sequence[Wanted]) -> Match:
        asked, stored = key
        lives = [one.lives for one in wanted]
        longest = max((life for life in lives if life), default=None) if all(lives) else None
        keys = _whole(self._entities[asked]).cast(self._snapshots[-1].schema.field(stored).type)
        times = micros_of_column(_whole(self._entities[self._stamp]))
        return match(self._snapshots, stored, keys, times, longest)

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal().to_pandas()
        return frame

    @property
    def full_feature_names(self) -> bool:
        """Whether features are named with their view."""
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """The views that Feast computes from the answer."""
        return self._on_demand

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """What was asked for."""
        return self._metadata

    def persist(
        self,
        storage: SavedDatasetStorage,
        allow_overwrite: bool = False,
        timeout: int | None = None,
    ) -> None:
        """Write the answer to a Parquet file.

        Raises
        ------
        SavedDatasetLocationAlreadyExists
            There is one, and it is not to be overwritten.
        """
        path = Path(storage.to_data_source().path)
        if path.exists() and not allow_overwrite:
            raise SavedDatasetLocationAlreadyExists(location=str(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(self.to_arrow(), path)


def _snapshots(source: DataSource) -> tuple[Snapshot, ...] | None:
    """List a source's snapshots, or None if it is another kind of source."""
    if not isinstance(source, FileSource) or source.field_mapping:
        return None
    if not isinstance(source.file_format, ParquetFormat) or source.created_timestamp_column:
        return None
    return snapshots_in(source.path, source.timestamp_field)


def _job(
    feature_views: Sequence[FeatureView],
    feature_refs: Sequence[str],
    entity_df: pd.DataFrame | str | None,
    registry: BaseRegistry,
    project: str,
    full_feature_names: bool,
) -> SnapshotRetrievalJob | None:
    """Make the job, or None if the question is not one for snapshots."""
    if not isinstance(entity_df, pd.DataFrame) or any("@" in ref for ref in feature_refs):
        return None
    sources = [view.batch_source for view in feature_views]
    if not sources or any(source != sources[0] for source in sources[1:]):
        return None
    snapshots = _snapshots(sources[0])
    keys = [_keys(view) for view in feature_views]
    if snapshots is None or any(len(key) != 1 for key in keys):
        return None
    entities, stamp = _entities(entity_df)
    on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
    wanted: dict[tuple[str, str], list[Wanted]] = {}
    order: list[str] = []
    for view, key in zip(feature_views, keys, strict=True):
        own = _wanted(view, feature_refs, full_feature_names)
        [(stored, asked)] = key.items()
        wanted.setdefault((asked, stored), []).extend(own)
        order += [column.name for column in own]
    answerable = (
        _castable(entities, snapshots[-1].schema, wanted)
        and not set(order) & set(entities.column_names)
        and all(view.mode != "substrait" for view in on_demand)
    )
    if not answerable:
        return None
    metadata = RetrievalMetadata(
        features=list(feature_refs),
        keys=[name for name in entities.column_names if name != stamp],
        min_event_timestamp=pc.min(entities[stamp]).as_py(),
        max_event_timestamp=pc.max(entities[stamp]).as_py(),
    )
    return SnapshotRetrievalJob(
        snapshots, entities, stamp, wanted, order, on_demand, full_feature_names, metadata
    )


def _keys(view: FeatureView) -> dict[str, str]:
    """Name a view's join keys, in the source and in the entity table."""
    own = {column.name: column.name for column in view.entity_columns}
    return {**own, **view.projection.join_key_map}


def _wanted(
    view: FeatureView, feature_refs: Sequence[str], full_feature_names: bool
) -> list[Wanted]:
    """List a view's columns, named as Feast's own offline stores name them."""
    asked_as = f"{view.projection.name_to_use()}:"
    prefix = f"{view.projection.name_alias or view.name}__" if full_feature_names else ""
    names = [ref.removeprefix(asked_as) for ref in feature_refs if ref.startswith(asked_as)]
    lives: timedelta | None = view.ttl or None
    return [Wanted(prefix + name, name, lives) for name in names]


def _entities(entity_df: pd.DataFrame) -> tuple[pa.Table, str]:
    """Turn the entity table into Arrow, its times in UTC."""
    stamp = offline_utils.infer_event_timestamp_from_entity_df(
        dict(zip(entity_df.columns, entity_df.dtypes, strict=True))
    )
    times = entity_df[stamp]
    if not isinstance(times.dtype, pd.DatetimeTZDtype):
        times = pd.to_datetime(times, utc=True)
    values = times.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    table = pa.Table.from_pandas(entity_df.drop(columns=[stamp]), preserve_index=False)
    place = entity_df.columns.get_loc(stamp)
    moments = pa.array(values, mask=np.isnat(values)).cast(_STAMP)
    return table.add_column(place, stamp, moments).replace_schema_metadata(None), str(stamp)


def _castable(
    entities: pa.Table, schema: pa.Schema, wanted: dict[tuple[str, str], list[Wanted]]
) -> bool:
    """Whether the snapshots have what is asked for, and the entity table has keys of their type."""
    for (asked, stored), columns_ in wanted.items():
        names = {stored, *(column.source for column in columns_)}
        if asked not in entities.column_names or not names <= set(schema.names):
            return False
        try:
            entities[asked].cast(schema.field(stored).type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return False
    return True


def _whole(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined
