"""Materialisation without a protobuf a value: Arrow from the offline store, packed, written.

``feature_store.yaml``::

    batch_engine:
      type: features.stores.engine.PackedComputeEngine

All views of one ``materialize`` are one transaction of the online store: its readers see all of
them change together, or none. Views over the same source are read once, together, and written as
one row an entity. A batch of ``batch_rows`` is in memory at a time, if the offline store can give
its rows in batches.

Whatever this engine is not made for goes Feast's own way: other online stores, and views with
transformations, aggregations, filters, validation, no entity, or a copy for the offline store.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
from feast import FeatureView, StreamFeatureView
from feast.feature_view import DUMMY_ENTITY_ID
from feast.infra.common.materialization_job import MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.local.compute import LocalComputeEngine
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel
from pydantic import Field

from features.stores.keys import KeyCodec, check_version
from features.stores.online import PackedOnlineStore, View, Writer, pack_batch
from features.stores.times import NO_TIME, micros_of_column

_BATCH_ROWS = 20_000


class PackedComputeEngineConfig(FeastConfigBaseModel):  # type: ignore[misc] # Feast is untyped
    """Settings of the engine."""

    type: Literal["features.stores.engine.PackedComputeEngine"] = (
        "features.stores.engine.PackedComputeEngine"
    )
    """Names the engine, as Feast wants it."""

    batch_rows: int = Field(default=_BATCH_ROWS, gt=0)
    """How many rows are packed and written at a time."""

    backend: str | None = None
    """What Feast's own way computes with, where it is taken: ``pandas`` or ``polars``."""


class PackedComputeEngine(LocalComputeEngine):  # type: ignore[misc] # Feast is untyped
    """Feast's compute engine over packed online stores."""

    def __init__(self, batch_rows: int = _BATCH_ROWS, **named: Any) -> None:  # noqa: ANN401
        super().__init__(**named)
        self._batch_rows = batch_rows

    @property
    def supports_batch(self) -> bool:
        """All views of one ``materialize`` come in one call."""
        return True

    def materialize(
        self,
        registry: BaseRegistry,
        tasks: MaterializationTask | Sequence[MaterializationTask],
        **named: Any,  # noqa: ANN401
    ) -> list[LocalMaterializationJob]:
        """Bring the newest rows of some views online, all in one transaction.

        Returns
        -------
        list
            A job a task. If one of the views that are written together fails, all of them have
            failed, and none has changed.
        """
        listed = [tasks] if isinstance(tasks, MaterializationTask) else list(tasks)
        store = self.online_store
        packed = [isinstance(store, PackedOnlineStore) and _is_plain(t) for t in listed]
        together = [task for task, plain in zip(listed, packed, strict=True) if plain]
        error = self._written(registry, store, together) if together else None
        return [
            _job(task, error) if plain else self._materialize_one(registry, task)
            for task, plain in zip(listed, packed, strict=True)
        ]

    def _written(
        self,
        registry: BaseRegistry,
        store: PackedOnlineStore,
        tasks: Sequence[MaterializationTask],
    ) -> Exception | None:
        config = self.repo_config
        try:
            check_version(config.entity_key_serialization_version)
            views = {t.feature_view.name: store.view_of(config, t.feature_view) for t in tasks}
            with store.writing(config, list(views.values())) as writer:
                for pull in _pulls(registry, tasks, views):
                    for batch in batches(pull.job(self), self._batch_rows):
                        _write(writer, pull, batch)
        # What Feast's own engine does: the job carries the error, and Feast raises it.
        except Exception as error:  # noqa: BLE001
            return error
        return None


@dataclass(frozen=True)
class _Pull:
    """Views that are read together: of one source, one set of join keys and one span of time."""

    tasks: tuple[MaterializationTask, ...]
    views: tuple[View, ...]
    codec: KeyCodec

    def job(self, engine: PackedComputeEngine) -> RetrievalJob:
        """Ask the offline store for the newest rows."""
        first = self.tasks[0]
        source = first.feature_view.batch_source
        column = {new: old for old, new in (source.field_mapping or {}).items()}
        names = {field.name for view in self.views for field in view.schema.fields}
        return engine.offline_store.pull_latest_from_table_or_query(
            config=engine.repo_config,
            data_source=source,
            join_key_columns=[column.get(name, name) for name in self.codec.names],
            feature_name_columns=sorted(column.get(name, name) for name in names),
            timestamp_field=source.timestamp_field,
            created_timestamp_column=source.created_timestamp_column or None,
            start_date=first.start_time,
            end_date=first.end_time,
        )


def _pulls(
    registry: BaseRegistry,
    tasks: Sequence[MaterializationTask],
    views: dict[str, View],
) -> list[_Pull]:
    groups: dict[tuple[Any, ...], list[MaterializationTask]] = {}
    for task in tasks:
        source, codec = task.feature_view.batch_source, KeyCodec.of_view(task.feature_view)
        identity = (source.to_proto().SerializeToString(deterministic=True), codec)
        groups.setdefault((*identity, task.start_time, task.end_time), []).append(task)
    return [
        _Pull(
            tuple(members),
            tuple(views[task.feature_view.name] for task in members),
            KeyCodec.of_view(members[0].feature_view),
        )
        for members in groups.values()
    ]


def _write(writer: Writer, pull: _Pull, batch: pa.RecordBatch) -> None:
    source = pull.tasks[0].feature_view.batch_source
    mapping = source.field_mapping or {}
    batch = batch.rename_columns([mapping.get(name, name) for name in batch.schema.names])
    stamp = mapping.get(source.timestamp_field, source.timestamp_field)
    event = micros_of_column(batch.column(stamp))
    if len(event) and event.min() == NO_TIME:
        raise ValueError(f"column {stamp!r} is null in some rows; each row needs an event time")
    created = event * 0 + NO_TIME
    if source.created_timestamp_column:
        name = source.created_timestamp_column
        created = micros_of_column(batch.column(mapping.get(name, name)))
    keys = pull.codec.of_arrow({name: batch.column(name) for name in pull.codec.names})
    rows = {view.name: pack_batch(view, batch, event, created) for view in pull.views}
    writer.write(keys, rows)


def batches(job: RetrievalJob, rows: int) -> Iterator[pa.RecordBatch]:
    """Take a retrieval job's answer in batches, without holding all of it where that is possible.

    A job can offer ``to_arrow_batches(rows)``, as :mod:`features.stores.snapshots_offline`'s does;
    every other one gives a table, which is cut.
    """
    if hasattr(job, "to_arrow_batches"):
        yield from job.to_arrow_batches(rows)
    else:
        yield from job.to_arrow().to_batches(max_chunksize=rows)


def _is_plain(task: MaterializationTask) -> bool:
    """Whether a view's rows are what its source holds, no more and no less."""
    view = task.feature_view
    return (
        type(view) in (FeatureView, StreamFeatureView)
        and view.batch_source is not None
        and view.online
        and not view.offline
        and bool(view.entity_columns)
        and DUMMY_ENTITY_ID not in view.join_keys
        and not getattr(view, "source_views", None)
        and not getattr(view, "feature_transformation", None)
        and not getattr(view, "aggregations", None)
        and not getattr(view, "filter", None)
        and not getattr(view, "enable_validation", False)
        and task.only_latest
    )


def _job(task: MaterializationTask, error: Exception | None) -> LocalMaterializationJob:
    status = MaterializationJobStatus.ERROR if error else MaterializationJobStatus.SUCCEEDED
    name = f"{task.feature_view.name}-{task.start_time}-{task.end_time}"
    return LocalMaterializationJob(job_id=name, status=status, error=error)
