"""A direct read for the scorer: packed rows into a matrix, with no protobuf on the way.

What :class:`RowReader` gives is exactly what ``get_online_features`` would: the same rows, the same
values, to the last bit. What a question means (which views, which features) is settled once, when
the reader is made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from feast import FeatureService, FeatureStore, RepoConfig
from numpy.typing import NDArray

from features.stores.keys import KeyCodec
from features.stores.one_by_one import RowPlan
from features.stores.online import PackedOnlineStore, View, in_order
from features.stores.packing import Part, Unpacked
from features.stores.schema import FIXED, HEAD_BYTES, RowField, RowSchema
from features.stores.times import NO_TIME, Micros
from features.stores.values import to_python

FEW = 16
"""Rows up to which one after the other is quicker: one takes a fifth, sixteen three quarters."""


@dataclass(frozen=True)
class Rows:
    """What was read of some entities.

    Attributes
    ----------
    matrix
        Float64, a row an entity, a column each of the reader's ``numbers``. Whole numbers, truth
        values (0 or 1) and times (seconds since 1970) are there as floats; null or missing is NaN.
    objects
        The other features, by name: text as ``str``, lists and others as Feast gives them, None
        where null or missing.
    found
        Whether each entity has a row in any of the views.
    found_by_view
        The same for each view, a column a view in the order of the reader's ``views``.
    event_micros
        Event times, microseconds since 1970, by view; zero where there is no row.
    """

    matrix: NDArray[np.float64]
    objects: dict[str, NDArray[np.object_]]
    found: NDArray[np.bool_]
    found_by_view: NDArray[np.bool_]
    event_micros: Micros


@dataclass(frozen=True)
class _Wanted:
    """A view, and which of its features stand in which columns."""

    view: View
    numbers: tuple[tuple[RowField, int], ...]
    others: tuple[tuple[RowField, str], ...]


@dataclass(frozen=True)
class _Step:
    """One block of a row, and which of its columns go where in a matrix."""

    block: str
    taken: NDArray[np.intp]
    columns: NDArray[np.intp]
    bits: NDArray[np.intp]

    @cached_property
    def run(self) -> slice | None:
        """The columns, where they follow one another: much quicker to fill."""
        first, number = int(self.columns[0]), len(self.columns)
        if np.array_equal(self.columns, np.arange(first, first + number)):
            return slice(first, first + number)
        return None


class RowReader:
    """Reads some features of entities again and again; threads can share it.

    Parameters
    ----------
    store
        The online store.
    config
        The repository's configuration.
    wanted
        Each feature's view, its name there and its name in the answer. All views have the same
        join keys.
    codec
        Makes keys of the join keys' values.

    Attributes
    ----------
    numbers
        Names of the matrix's columns.
    others
        Names of the features that are no numbers.
    views
        Names of the views.
    """

    def __init__(
        self,
        store: PackedOnlineStore,
        config: RepoConfig,
        wanted: Sequence[tuple[View, str, str]],
        codec: KeyCodec,
    ) -> None:
        self._store = store
        self._config = config
        self._codec = codec
        fields = [(view, view.schema.places[name].field, as_name) for view, name, as_name in wanted]
        # In the order of the rows' own bytes, so that whole blocks are copied.
        ordered = sorted(
            fields, key=lambda one: (one[0].name, one[0].schema.places[one[1].name].bit)
        )
        self.numbers = tuple(name for _, field, name in ordered if field.kind in FIXED)
        self.others = tuple(name for _, field, name in fields if field.kind not in FIXED)
        column = {name: place for place, name in enumerate(self.numbers)}
        self._wanted = tuple(
            _Wanted(
                view,
                tuple((f, column[n]) for v, f, n in fields if v == view and n in column),
                tuple((f, n) for v, f, n in fields if v == view and n not in column),
            )
            for view in dict.fromkeys(view for view, _, _ in fields)
        )
        self._plans: dict[tuple[str, bytes], tuple[_Step, ...]] = {}
        self._one_by_one: dict[tuple[str, bytes], RowPlan] = {}
        self._only_texts = all(field.kind in FIXED or field.kind == "s" for _, field, _ in fields)
        self.views = tuple(wanted.view.name for wanted in self._wanted)

    def read(self, keys: Sequence[int | str] | Mapping[str, Sequence[Any]]) -> Rows:
        """Read some entities, in the order in which they are asked for.

        Parameters
        ----------
        keys
            Values of the join key; or of each, by name, if there are several.

        Raises
        ------
        ValueError
            A key is null or of another type than the join key.
        """
        columns = keys if isinstance(keys, Mapping) else {self._codec.names[0]: keys}
        asked = self._codec.of_values(columns)
        unique, order = in_order(asked)
        views = [wanted.view for wanted in self._wanted]
        if len(unique) <= FEW and self._only_texts:
            rows = self._few(self._store.fetch(self._config, views, unique), len(unique))
        else:
            rows = self._rows(self._store.lookup(self._config, views, unique), len(unique))
        return rows if order is None else _spread(rows, order)

    def _plan(self, wanted: _Wanted, schema: RowSchema) -> tuple[_Step, ...]:
        known = self._plans.get((wanted.view.name, schema.head))
        if known is None:
            known = _steps(schema, wanted.numbers)
            self._plans[wanted.view.name, schema.head] = known
        return known

    def _few(self, read: Sequence[Sequence[bytes | None]], number: int) -> Rows:
        """Read rows one by one, as :meth:`_rows` reads them."""
        matrix = [[math.nan] * len(self.numbers) for _ in range(number)]
        texts: list[list[str | None]] = [[None] * len(self.others) for _ in range(number)]
        by_view = np.zeros((number, len(read)), bool)
        event = np.zeros((number, len(read)), np.int64)
        for view, (wanted, blobs) in enumerate(zip(self._wanted, read, strict=True)):
            for row, blob in enumerate(blobs):
                plan = None if blob is None else self._row_plan(wanted, blob[:HEAD_BYTES])
                if blob is not None and plan is not None:
                    by_view[row, view] = True
                    event[row, view] = plan.read(blob, matrix[row], texts[row])
        objects = np.array(texts, object).reshape(number, len(self.others))
        return Rows(
            np.array(matrix, np.float64).reshape(number, len(self.numbers)),
            {name: objects[:, place] for place, name in enumerate(self.others)},
            np.asarray(by_view.any(axis=1)),
            by_view,
            event,
        )

    def _row_plan(self, wanted: _Wanted, head: bytes) -> RowPlan | None:
        """Plan for a row by the bytes that begin it; None where nobody knows its schema."""
        known = self._one_by_one.get((wanted.view.name, head))
        if known is None:
            views = [one.view for one in self._wanted]
            schema = self._store.schema_among(self._config, views, head)
            if schema is None:
                return None
            texts = [(field, self.others.index(name)) for field, name in wanted.others]
            known = RowPlan(schema, wanted.numbers, texts)
            self._one_by_one[wanted.view.name, head] = known
        return known

    def _rows(self, read: Sequence[Unpacked], number: int) -> Rows:
        matrix = np.full((number, len(self.numbers)), np.nan)
        objects = {}
        for wanted, unpacked in zip(self._wanted, read, strict=True):
            for part in unpacked.parts:
                _fill(matrix, part, self._plan(wanted, part.schema))
            for field, name in wanted.others:
                objects[name] = _objects(field, unpacked)
        by_view = np.empty((number, len(read)), bool)
        event = np.empty((number, len(read)), np.int64)
        for place, unpacked in enumerate(read):
            by_view[:, place], event[:, place] = unpacked.found, unpacked.event
        return Rows(matrix, objects, np.asarray(by_view.any(axis=1)), by_view, event)


def _objects(field: RowField, read: Unpacked) -> NDArray[np.object_]:
    if field.kind == "s" and read.whole:
        place = read.parts[0].place(field)
        if place is not None:
            return read.parts[0].texts(place)
    values = np.empty(read.number, object)
    # Value by value: NumPy would make columns of lists.
    for row, value in enumerate(to_python(field, read.values(field))):
        values[row] = value
    return values


def open_reader(store: FeatureStore, features: FeatureService | Sequence[str]) -> RowReader:
    """Make a reader of what a Feast repository with a packed online store holds.

    Parameters
    ----------
    store
        A ``feast.FeatureStore``.
    features
        A feature service, or references such as ``"orders:recency_days"``. On-demand views are
        left out: they are computed, not stored.

    Raises
    ------
    TypeError
        The repository's online store is not a packed one.
    ValueError
        The views' join keys differ, or two features have one name.
    """
    from feast.infra.passthrough_provider import PassthroughProvider  # noqa: PLC0415

    online = PassthroughProvider(store.config).online_store
    if not isinstance(online, PackedOnlineStore):
        raise TypeError(
            f"the online store is {type(online).__name__}; a direct read needs one of "
            "features.stores, named in feature_store.yaml"
        )
    wanted, codecs = [], set()
    for table, names in _chosen(store, features):
        view = online.view_of(store.config, table)
        codecs.add(KeyCodec.of_view(table))
        wanted += [(view, name, name) for name in names]
    named = [name for _, _, name in wanted]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise ValueError(f"two views have a feature named {twice[0]!r}; ask for one of them")
    if len(codecs) != 1:
        raise ValueError(
            f"the views have {len(codecs)} sets of join keys; make a reader for each of them"
        )
    return RowReader(online, store.config, wanted, codecs.pop())


def _chosen(
    store: FeatureStore, features: FeatureService | Sequence[str]
) -> list[tuple[Any, list[str]]]:
    """List views and the names of the features that are wanted of each."""
    stored = {view.name: view for view in store.list_feature_views()}
    stored |= {view.name: view for view in store.list_stream_feature_views()}
    chosen: dict[str, list[str]] = {}
    if isinstance(features, Sequence):
        for reference in features:
            view, _, name = reference.partition(":")
            if view not in stored or name not in {f.name for f in stored[view].features}:
                raise ValueError(f"there is no feature {reference!r}; name it as view:feature")
            chosen.setdefault(view, []).append(name)
    else:
        for projection in features.feature_view_projections:
            if projection.name in stored:
                chosen[projection.name] = [feature.name for feature in projection.features]
    return [(stored[view], names) for view, names in chosen.items()]


def _steps(schema: RowSchema, numbers: Sequence[tuple[RowField, int]]) -> tuple[_Step, ...]:
    """Plan how rows of a schema fill a matrix."""
    blocks: dict[str, list[tuple[int, int, int]]] = {}
    for field, column in numbers:
        place = schema.place(field)
        if place is not None:
            blocks.setdefault(place.block, []).append((place.column, column, place.bit))
    return tuple(
        _Step(block, *(np.array(column, np.intp) for column in zip(*sorted(places), strict=True)))
        for block, places in blocks.items()
    )


def _fill(matrix: NDArray[np.float64], part: Part, steps: Sequence[_Step]) -> None:
    """Put the numbers of one view's rows into their columns, a block at a time."""
    whole = len(part.places) == len(matrix)
    for step in steps:
        stored = part.rows[step.block]
        if len(step.taken) < stored.shape[1]:
            stored = stored[:, step.taken]
        # A null's place among floats is NaN already.
        nulls = None if step.block in "df" else _nulls(part, step, stored)
        if nulls is not None:
            stored = stored.astype(np.float64)
            stored[nulls] = np.nan
        # What is stored becomes float on its way into the matrix, without a copy in between.
        if whole and step.run is not None:
            matrix[:, step.run] = stored
        elif whole:
            matrix[:, step.columns] = stored
        else:
            matrix[np.ix_(part.places, step.columns)] = stored


def _nulls(part: Part, step: _Step, stored: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Find which values of a block are null, or give None if none is."""
    nulls = None if part.complete else ~part.valid[:, step.bits]
    if step.block == "t":
        unset = stored == NO_TIME
        nulls = unset if nulls is None else nulls | unset
    return nulls if nulls is not None and nulls.any() else None


def _spread(rows: Rows, order: NDArray[np.intp]) -> Rows:
    return Rows(
        rows.matrix[order],
        {name: values[order] for name, values in rows.objects.items()},
        rows.found[order],
        rows.found_by_view[order],
        rows.event_micros[order],
    )
