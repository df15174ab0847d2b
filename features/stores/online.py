"""What the packed online stores have in common: Feast's contract over rows of packed bytes.

Rules, the same for SQLite and Redis:

- A newer event time wins over an older one, whatever the order of writing. At the same event time
  the newer created time wins (a correction); if both are the same, the later write does. A row
  without a created time is older than one with.
- A row is written whole. A feature that a write does not name becomes null.
- What is held is what is answered: like Feast's own stores, these do not look at a view's time to
  live when they are read, and give a future-dated row once it is written. Each answer carries its
  event time.
- Rows of an entity in all views stand together and are found in one lookup.
- A row keeps the features that its view had when it was written. One that was added since is
  missing until the next write; one that was removed is not read any more.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from feast import FeatureService, FeatureView, RepoConfig, utils
from feast.infra.online_stores.helpers import compute_versioned_name
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.registry.base_registry import BaseRegistry
from feast.online_response import OnlineResponse
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.value_type import ValueType
from numpy.typing import NDArray

from features.stores.answers import PackedOnlineResponse, ViewAnswer
from features.stores.keys import KeyCodec, check_version, key_of
from features.stores.packing import Unpacked, pack, unpack
from features.stores.schema import RowField, RowSchema
from features.stores.times import Micros, micros_of, moment_of
from features.stores.values import columns_of_arrow, columns_of_protos, to_protos

EntityRows = list[dict[str, Any]] | Mapping[str, Any]
Written = tuple[EntityKey, dict[str, Value], datetime, datetime | None]
Read = tuple[datetime | None, dict[str, Value] | None]


@dataclass(frozen=True)
class View:
    """A feature view as a packed store knows it.

    Attributes
    ----------
    name
        Its name, with the version if the registry keeps versions online.
    join_keys
        Names of the join keys in alphabetical order.
    schema
        Its features.
    """

    name: str
    join_keys: tuple[str, ...]
    schema: RowSchema


class Writer(Protocol):
    """Takes packed rows; a store gives one for as long as a transaction lasts."""

    def write(self, keys: Sequence[bytes], rows: Mapping[str, Sequence[bytes]]) -> None:
        """Write the rows of some entities, by view; each as :func:`pack` made it."""


class PackedOnlineStore(OnlineStore):  # type: ignore[misc] # Feast is untyped
    """Feast's contract; a subclass moves bytes.

    Beside Feast's own methods there are :meth:`writing`, through which a compute engine writes
    packed rows, :meth:`lookup`, which reads them, and :meth:`delete_entity`.
    """

    @abstractmethod
    def writing(self, config: RepoConfig, views: Sequence[View]) -> AbstractContextManager[Writer]:
        """Open a transaction over views that have the same join keys or not.

        What is written in the block is seen by readers when it ends, all at once. If the block
        fails, or the process dies in it, readers go on seeing what was there before.
        """

    @abstractmethod
    def write_rows(
        self,
        config: RepoConfig,
        view: View,
        keys: Sequence[bytes],
        rows: Sequence[bytes],
    ) -> None:
        """Write some rows of one view, as they come: the path of a push."""

    @abstractmethod
    def fetch(
        self,
        config: RepoConfig,
        views: Sequence[View],
        keys: Sequence[bytes],
    ) -> list[list[bytes | None]]:
        """Read the packed rows of some entities: a list a view, an item a key.

        The views have the same join keys.
        """

    @abstractmethod
    def schema_of(self, config: RepoConfig, head: bytes) -> RowSchema | None:
        """Find the schema of a row by its first bytes."""

    @abstractmethod
    def delete_entity(self, config: RepoConfig, join_keys: Mapping[str, Value]) -> int:
        """Forget an entity in all views, also in those that have further join keys.

        Parameters
        ----------
        join_keys
            Values by the names of join keys.

        Returns
        -------
        int
            How many entities had rows and were deleted.
        """

    @abstractmethod
    def disconnect(self) -> None:
        """Close every connection; the next call opens new ones."""

    # Feast's contract.

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: Sequence[Written],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write rows that Feast has made of protobufs."""
        check_version(config.entity_key_serialization_version)
        if not data:
            return
        names = tuple(sorted(data[0][0].join_keys))
        view = View(self.view_name(config, table), names, RowSchema.of_view(table))
        columns = columns_of_protos(view.schema, [row[1] for row in data])
        event = np.array([micros_of(row[2]) for row in data], np.int64)
        created = np.array([micros_of(row[3]) for row in data], np.int64)
        blobs = pack(view.schema, columns, event, created)
        self.write_rows(config, view, [key_of(row[0]) for row in data], blobs)
        if progress is not None:
            progress(len(data))

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: Sequence[EntityKey],
        requested_features: Sequence[str] | None = None,
    ) -> list[Read]:
        """Read one view; an entity without a row gives ``(None, None)``."""
        if not entity_keys:
            return []
        check_version(config.entity_key_serialization_version)
        names = tuple(sorted(entity_keys[0].join_keys))
        view = View(self.view_name(config, table), names, RowSchema.of_view(table))
        read = self.lookup(config, [view], [key_of(key) for key in entity_keys])[0]
        return _rows_of(read, _fields(view.schema, requested_features))

    def get_online_features(
        self,
        config: RepoConfig,
        features: FeatureService | Sequence[str],
        entity_rows: EntityRows,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        include_feature_view_version_metadata: bool = False,
    ) -> OnlineResponse:
        """Answer a question, without a protobuf a value where none is needed.

        On-demand views, precomputed vectors, versions and requests for their metadata go Feast's
        own way, over :meth:`online_read`.
        """
        check_version(config.entity_key_serialization_version)
        if isinstance(entity_rows, list):
            entity_rows = _columnar(entity_rows)
        plain = not (
            include_feature_view_version_metadata or getattr(features, "precompute_online", False)
        )
        if plain:
            # The one private function that is called here: what a question means is Feast's affair.
            keys, groups, entities, on_demand, _, _, answer = (
                utils._prepare_entities_to_read_from_online_store(
                    registry=registry,
                    project=project,
                    features=features,
                    entity_values=entity_rows,
                    full_feature_names=full_feature_names,
                    native_entity_values=True,
                )
            )
            versioned = any(getattr(t.projection, "version_tag", None) for t, _ in groups)
            if not on_demand and not versioned:
                tables = [
                    (table, wanted, _join_key_values(table, entities, keys))
                    for table, wanted in groups
                ]
                views = self._answers(config, tables, full_feature_names)
                return PackedOnlineResponse(answer, views, _feature_types(groups))
        return super().get_online_features(
            config,
            features,
            entity_rows,
            registry,
            project,
            full_feature_names,
            include_feature_view_version_metadata,
        )

    def _read_features_per_fv(
        self,
        config: RepoConfig,
        grouped_refs: Sequence[tuple[Any, list[str]]],
        join_key_values: Mapping[str, Sequence[Value]],
        entity_name_to_join_key_map: Mapping[str, str],
        online_features_response: Any,  # noqa: ANN401
        full_feature_names: bool,
        include_feature_view_version_metadata: bool,
    ) -> None:
        """Read all views in one lookup where Feast would read one after another.

        The hook that Feast's Redis store overrides too. Were it to go, answers with on-demand
        views would be as right as now and slower.
        """
        if include_feature_view_version_metadata:
            super()._read_features_per_fv(
                config,
                grouped_refs,
                join_key_values,
                entity_name_to_join_key_map,
                online_features_response,
                full_feature_names,
                include_feature_view_version_metadata,
            )
            return
        tables = [
            (table, wanted, _join_key_values(table, entity_name_to_join_key_map, join_key_values))
            for table, wanted in grouped_refs
        ]
        for view in self._answers(config, tables, full_feature_names):
            online_features_response.metadata.feature_names.val.extend(view.names)
            online_features_response.results.extend(view.vectors())

    def _answers(
        self,
        config: RepoConfig,
        tables: Sequence[tuple[Any, list[str], Mapping[str, Sequence[Value]]]],
        full_feature_names: bool,
    ) -> list[ViewAnswer]:
        """Look up every view, those with the same keys together."""
        asked = [_Asked.of(self.view_name(config, table), table, keys) for table, _, keys in tables]
        read: dict[int, tuple[Unpacked, NDArray[np.intp] | None]] = {}
        for group in _same_keys(asked):
            unique, order = in_order(asked[group[0]].keys)
            views = [asked[place].view for place in group]
            for place, found in zip(group, self.lookup(config, views, unique), strict=True):
                read[place] = found, order
        answers = []
        for place, (table, wanted, _) in enumerate(tables):
            prefix = f"{table.projection.name_to_use()}__" if full_feature_names else ""
            fields = _fields(asked[place].view.schema, wanted)
            names = [prefix + name for name in wanted]
            answers.append(ViewAnswer(names, fields, *read[place]))
        return answers

    def lookup(
        self,
        config: RepoConfig,
        views: Sequence[View],
        keys: Sequence[bytes],
    ) -> list[Unpacked]:
        """Read views that have the same join keys, all in one lookup an entity."""

        def schemas(head: bytes) -> RowSchema | None:
            return self.schema_among(config, views, head)

        return [unpack(blobs, schemas) for blobs in self.fetch(config, views, keys)]

    def schema_among(
        self, config: RepoConfig, views: Sequence[View], head: bytes
    ) -> RowSchema | None:
        """Find the schema of a row by its first bytes: one of the views', or an earlier one."""
        for view in views:
            if view.schema.head == head:
                return view.schema
        return self.schema_of(config, head)

    def view_name(self, config: RepoConfig, table: FeatureView) -> str:
        """Name a view as it is stored."""
        versions = config.registry.enable_online_feature_view_versioning
        return str(compute_versioned_name(table, versions))

    def view_of(self, config: RepoConfig, table: FeatureView) -> View:
        """Describe a Feast view."""
        names = KeyCodec.of_view(table).names
        return View(self.view_name(config, table), names, RowSchema.of_view(table))

    # Feast's asynchronous methods: the same work on another thread.

    async def online_write_batch_async(self, *args: Any, **named: Any) -> None:  # noqa: ANN401
        """Write rows on another thread."""
        await asyncio.to_thread(self.online_write_batch, *args, **named)

    async def online_read_async(self, *args: Any, **named: Any) -> list[Read]:  # noqa: ANN401
        """Read one view on another thread."""
        return await asyncio.to_thread(self.online_read, *args, **named)

    async def get_online_features_async(self, *args: Any, **named: Any) -> OnlineResponse:  # noqa: ANN401
        """Answer a question on another thread."""
        return await asyncio.to_thread(self.get_online_features, *args, **named)

    async def close(self) -> None:
        """Close every connection."""
        self.disconnect()


@dataclass(frozen=True)
class _Asked:
    """A view that is asked for, and the keys of the entities."""

    view: View
    keys: list[bytes]

    @classmethod
    def of(cls, name: str, table: FeatureView, values: Mapping[str, Sequence[Value]]) -> _Asked:
        codec = KeyCodec.of({key: _type_of_key(table, key, values[key]) for key in values})
        return cls(View(name, codec.names, RowSchema.of_view(table)), codec.of_protos(values))


def pack_batch(view: View, batch: pa.RecordBatch, event: Micros, created: Micros) -> list[bytes]:
    """Pack one view's rows of an Arrow batch."""
    return pack(view.schema, columns_of_arrow(view.schema, batch), event, created)


def _columnar(entity_rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    names = entity_rows[0].keys() if entity_rows else ()
    if any(row.keys() != names for row in entity_rows):
        raise ValueError("All entity_rows must have the same keys.")
    return {name: [row[name] for row in entity_rows] for name in names}


def _join_key_values(
    table: FeatureView,
    join_key_of: Mapping[str, str],
    values: Mapping[str, Sequence[Value]],
) -> dict[str, Sequence[Value]]:
    """Give a view its own join keys, by its own names for them."""
    aliases = table.projection.join_key_map
    own = [column.name for column in table.entity_columns] or [
        join_key_of[entity] for entity in table.entities
    ]
    missing = [aliases.get(name, name) for name in own if aliases.get(name, name) not in values]
    if missing:
        raise KeyError(
            f"Missing join key values for keys: {missing}. Provided join_key_values: {list(values)}"
        )
    return {name: values[aliases.get(name, name)] for name in own}


def _feature_types(groups: Sequence[tuple[Any, list[str]]]) -> dict[str, ValueType]:
    types = {}
    for table, wanted in groups:
        for field in table.features:
            if field.name in wanted:
                value_type = field.dtype.to_value_type()
                types[field.name] = value_type
                types[f"{table.projection.name_to_use()}__{field.name}"] = value_type
    return types


def _type_of_key(table: FeatureView, name: str, values: Sequence[Value]) -> str:
    for column in table.entity_columns:
        if column.name == name:
            return str(column.dtype.to_value_type().name)
    field = values[0].WhichOneof("val") if values else "string_val"
    return (field or "string_val").removesuffix("_val").upper()


def _same_keys(asked: Sequence[_Asked]) -> list[list[int]]:
    groups: list[list[int]] = []
    for place, one in enumerate(asked):
        for group in groups:
            other = asked[group[0]]
            if other.view.join_keys == one.view.join_keys and other.keys == one.keys:
                group.append(place)
                break
        else:
            groups.append([place])
    return groups


def in_order(keys: list[bytes]) -> tuple[list[bytes], NDArray[np.intp] | None]:
    """Take each key once, and tell which of those stands where; None if all differ.

    >>> in_order([b"b", b"a", b"b"])
    ([b'b', b'a'], array([0, 1, 0]))
    """
    if len(set(keys)) == len(keys):
        return keys, None
    places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    return list(places), np.array([places[key] for key in keys], np.intp)


def _fields(schema: RowSchema, wanted: Sequence[str] | None) -> list[RowField]:
    if wanted is None:
        return list(schema.fields)
    places = schema.places
    return [places[n].field if n in places else RowField(n, "UNKNOWN") for n in wanted]


def _rows_of(read: Unpacked, fields: Sequence[RowField]) -> list[Read]:
    moments = [moment_of(micros) for micros in read.event.tolist()]
    columns = [
        (field.name, to_protos(field, read.values(field)), read.holds(field).tolist())
        for field in fields
    ]
    return [
        (moments[row], {name: values[row] for name, values, holds in columns if holds[row]})
        if found
        else (None, None)
        for row, found in enumerate(read.found.tolist())
    ]
