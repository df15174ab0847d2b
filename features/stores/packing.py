"""One row of one view as one run of bytes: written from Arrow, read into NumPy, many at once.

A row is, in this order:

========================  ==============================================================
bytes                     what
========================  ==============================================================
1                         version of the format
7                         digest of the features' names and types
8                         event time, microseconds, big-endian with the sign turned over
8                         created time likewise; the smallest number where there is none
8 each                    Float64, then Int64, then UnixTimestamp
4 each                    Int32, then Float32
4 each                    where each variable value ends, counted from the first one
1 each                    Bool
1 for 8 features          which values are not null, the first feature in the lowest bit
variable                  String, then Bytes, then all others
========================  ==============================================================

Values are little-endian and keep their bits: a NaN its payload, a zero its sign. A null is told by
its bit alone, so NaN is not null.

The digest makes sure that a row is never read by another schema than it was written by. The
schemas are kept beside the rows; a feature that the row's schema lacks, or has with another type,
is missing from that row, and a row of an unknown schema is no row.

The bytes of the two times sort as the times do. A store can thus compare two rows' ages without
knowing anything else of the format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.stores.schema import (
    FIXED,
    HEAD_BYTES,
    VARIABLE,
    Place,
    RowField,
    RowSchema,
)
from features.stores.times import Micros, from_sortable, sortable

Schemas = Callable[[bytes], RowSchema | None]
"""Finds the schema of a row by the bytes that begin it."""

ARROW_TYPES: dict[str, pa.DataType] = {
    "d": pa.float64(),
    "q": pa.int64(),
    "t": pa.int64(),
    "i": pa.int32(),
    "f": pa.float32(),
    "?": pa.bool_(),
    **dict.fromkeys(VARIABLE, pa.large_binary()),
}
"""Which Arrow type :func:`pack` takes for each kind."""

# A null's place in a block of floats: what a matrix wants to have there.
_FILLERS = {kind: float("nan") if kind in "df" else 0 for kind in FIXED} | {"?": False}
_LARGEST = 2**32 - 1
_FEW = 16
"""Rows up to whom Python is quicker than Arrow."""


def damaged(what: str) -> ValueError:
    """Say what is wrong with a stored row."""
    return ValueError(f"a stored row has {what}; the online store is damaged, materialise it again")


def pack(
    schema: RowSchema, columns: Mapping[str, pa.Array], event: Micros, created: Micros
) -> list[bytes]:
    """Pack the rows of one view.

    Parameters
    ----------
    schema
        The view's features.
    columns
        Each feature's values, of the type that ``ARROW_TYPES`` names for its kind.
    event, created
        Microseconds since 1970; ``NO_TIME`` where there is no created time.

    Raises
    ------
    ValueError
        A row's variable values are longer than 4 GiB together.

    Examples
    --------
    >>> schema = RowSchema.of([("spend", "DOUBLE"), ("region", "STRING")])
    >>> columns = {
    ...     "spend": pa.array([-0.0, None]),
    ...     "region": pa.array([b"north", b""], pa.large_binary()),
    ... }
    >>> times = np.array([7, 8])
    >>> rows = unpack(pack(schema, columns, times, times), {schema.head: schema}.get)
    >>> rows.values(schema.fields[0]), rows.values(schema.fields[1])
    ([-0.0, None], ['north', ''])
    """
    rows = np.zeros(len(event), schema.layout)
    rows["head"] = schema.head_number
    rows["event"], rows["created"] = sortable(event), sortable(created)
    for field in schema.fields:
        if field.kind in FIXED:
            column = columns[field.name]
            place = schema.places[field.name]
            filled = column.fill_null(_FILLERS[field.kind]) if column.null_count else column
            rows[place.block][:, place.column] = filled.to_numpy(zero_copy_only=False)
    rows["valid"] = _validity(schema, columns, len(rows))
    if schema.variable:
        return _with_variable(rows, [columns[field.name] for field in schema.variable])
    return slices(rows)


def _validity(schema: RowSchema, columns: Mapping[str, pa.Array], number: int) -> NDArray[np.uint8]:
    valid = np.ones((number, len(schema.fields)), bool)
    for bit, field in enumerate(schema.fields):
        if columns[field.name].null_count:
            valid[:, bit] = columns[field.name].is_valid().to_numpy(zero_copy_only=False)
    return np.packbits(valid, axis=1, bitorder="little")


def _with_variable(rows: NDArray[np.void], variable: Sequence[pa.Array]) -> list[bytes]:
    lengths = np.column_stack([_lengths(column) for column in variable])
    ends = np.cumsum(lengths, axis=1)
    if len(ends) and ends[:, -1].max() > _LARGEST:
        place = int(ends[:, -1].argmax())
        raise ValueError(
            f"row {place} has {ends[place, -1]} bytes of text and lists, more than {_LARGEST}; "
            "keep such values outside the feature store"
        )
    rows["ends"] = ends
    return list(joined([binaries(rows), *variable]).to_pylist())


def _lengths(column: pa.Array) -> NDArray[np.int64]:
    lengths = pc.binary_length(column).fill_null(0)
    return np.asarray(lengths.to_numpy(zero_copy_only=False), np.int64)


def joined(columns: Sequence[pa.Array | pa.Scalar]) -> pa.Array:
    """Join large binaries row by row, null as nothing."""
    nothing = pa.scalar(b"", pa.large_binary())
    return pc.binary_join_element_wise(
        *columns, nothing, null_handling="replace", null_replacement=b""
    )


def binaries(rows: NDArray[np.void]) -> pa.Array:
    """View an array of structures as Arrow binaries."""
    width = rows.dtype.itemsize
    buffer = pa.py_buffer(np.ascontiguousarray(rows))
    fixed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(rows), [None, buffer])
    return fixed.cast(pa.large_binary())


def slices(rows: NDArray[np.void]) -> list[bytes]:
    """Cut an array of structures into the bytes of each."""
    cut: list[bytes] = rows.view(f"V{rows.dtype.itemsize}").tolist()
    return cut


@dataclass(frozen=True)
class Part:
    """Rows of one schema among those that were read.

    Attributes
    ----------
    places
        Which of the asked rows these are.
    rows
        The fixed parts.
    blobs
        The whole rows, as bytes.
    """

    schema: RowSchema
    places: NDArray[np.intp]
    rows: NDArray[np.void]
    blobs: Sequence[bytes]

    @cached_property
    def valid(self) -> NDArray[np.bool_]:
        """Which values are not null, a column a feature in the schema's order."""
        number = len(self.schema.fields)
        bits = np.unpackbits(self.rows["valid"], axis=1, count=number, bitorder="little")
        return bits.view(np.bool_)

    @cached_property
    def complete(self) -> bool:
        """Whether no value at all is null."""
        return bool(self.valid.all())

    def place(self, field: RowField) -> Place | None:
        """Find a feature, or None if these rows lack it or have it with another type."""
        return self.schema.place(field)

    def texts(self, place: Place) -> NDArray[np.object_]:
        """Take a text feature's values."""
        texts = self._all_texts[:, place.column].copy()
        if not self.complete:
            texts[~self.valid[:, place.bit]] = None
        return texts

    @cached_property
    def _all_texts(self) -> NDArray[np.object_]:
        """Decode the text of all rows in one go; text is what comes first among the variable."""
        number = sum(field.kind == "s" for field in self.schema.variable)
        if len(self.blobs) <= _FEW:
            return self._few_texts(number)
        ends = self.rows["ends"][:, :number].astype(np.int64)
        fixed = self.schema.fixed_bytes
        if number == len(self.schema.variable):
            raw = b"".join([blob[fixed:] for blob in self.blobs])
        else:
            stops = (ends[:, -1] + fixed).tolist()
            raw = b"".join([blob[fixed:stop] for blob, stop in zip(self.blobs, stops, strict=True)])
        # Within a row and from row to row, each value begins where the one before it ended.
        before = np.cumsum(ends[:, -1]) - ends[:, -1]
        offsets = np.concatenate([np.zeros(1, np.int64), (before[:, None] + ends).ravel()])
        if offsets[-1] != len(raw):
            raise damaged("text of another length than it says")
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(raw)]
        texts = pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, buffers)
        return np.asarray(texts.to_numpy(zero_copy_only=False)).reshape(ends.shape)

    def _few_texts(self, number: int) -> NDArray[np.object_]:
        """Decode them one by one: quicker than Arrow while they are few."""
        fixed = self.schema.fixed_bytes
        texts = np.empty((len(self.blobs), number), object)
        for row, (blob, ends) in enumerate(
            zip(self.blobs, self.rows["ends"][:, :number].tolist(), strict=True)
        ):
            begin = fixed
            for column, end in enumerate(ends):
                texts[row, column] = blob[begin : fixed + end].decode()
                begin = fixed + end
            if begin > len(blob) or (number == len(self.schema.variable) and begin < len(blob)):
                raise damaged("text of another length than it says")
        return texts

    def values(self, place: Place) -> list[Any]:
        """Take one feature's values as Python objects; lists and others as their bytes."""
        kind = place.field.kind
        if kind == "s":
            texts: list[str | None] = self.texts(place).tolist()
            return texts
        if kind in VARIABLE:
            found = self._variable(place.column)
        elif kind == "?":
            found = (self.rows["?"][:, place.column] != 0).tolist()
        else:
            found = self.rows[kind][:, place.column].tolist()
        if not self.complete:
            for null in np.flatnonzero(~self.valid[:, place.bit]):
                found[null] = None
        return found

    def _variable(self, column: int) -> list[Any]:
        fixed = self.schema.fixed_bytes
        ends = (self.rows["ends"][:, column] + np.int64(fixed)).tolist()
        if not column:
            return [blob[fixed:end] for blob, end in zip(self.blobs, ends, strict=True)]
        starts = (self.rows["ends"][:, column - 1] + np.int64(fixed)).tolist()
        return [blob[start:end] for blob, start, end in zip(self.blobs, starts, ends, strict=True)]


@dataclass(frozen=True)
class Unpacked:
    """What was read of one view for some entities.

    Attributes
    ----------
    number
        How many entities were asked for.
    parts
        The rows that were found, by schema.
    """

    number: int
    parts: tuple[Part, ...]

    @cached_property
    def found(self) -> NDArray[np.bool_]:
        """Which entities have a row."""
        if self.whole:
            return np.ones(self.number, bool)
        found = np.zeros(self.number, bool)
        for part in self.parts:
            found[part.places] = True
        return found

    @cached_property
    def whole(self) -> bool:
        """Whether every entity has a row, all of one schema: nearly always."""
        return len(self.parts) == 1 and len(self.parts[0].places) == self.number

    @cached_property
    def event(self) -> Micros:
        """Event times in microseconds; zero where there is no row."""
        return self._times("event")

    @cached_property
    def created(self) -> Micros:
        """Created times in microseconds; zero where there is no row."""
        return self._times("created")

    def _times(self, block: str) -> Micros:
        if self.whole:
            return from_sortable(self.parts[0].rows[block])
        times = np.zeros(self.number, np.int64)
        for part in self.parts:
            times[part.places] = from_sortable(part.rows[block])
        return times

    def values(self, field: RowField) -> list[Any]:
        """Take one feature's values, None where there is no row, no such feature or a null."""
        if self.whole:
            place = self.parts[0].place(field)
            return [None] * self.number if place is None else self.parts[0].values(place)
        values: list[Any] = [None] * self.number
        for part in self.parts:
            place = part.place(field)
            if place is not None:
                for row, value in zip(part.places.tolist(), part.values(place), strict=True):
                    values[row] = value
        return values

    def holds(self, field: RowField) -> NDArray[np.bool_]:
        """Which entities have a row that was written with this feature, null or not."""
        holds = np.zeros(self.number, bool)
        for part in self.parts:
            if part.place(field) is not None:
                holds[part.places] = True
        return holds


def unpack(blobs: Sequence[bytes | None], schemas: Schemas) -> Unpacked:
    """Read the rows of one view.

    Parameters
    ----------
    blobs
        What :func:`pack` made, None where an entity has no row.
    schemas
        Finds a schema by the bytes that begin a row.

    Raises
    ------
    ValueError
        A row is shorter than its schema says.

    Examples
    --------
    A row of a schema that nobody knows is no row:

    >>> schema = RowSchema.of([("orders", "INT64")])
    >>> times = np.array([0])
    >>> [blob] = pack(schema, {"orders": pa.array([2**62])}, times, times)
    >>> unpack([None, blob], {schema.head: schema}.get).values(schema.fields[0])
    [None, 4611686018427387904]
    >>> unpack([blob], {}.get).found
    array([False])
    """
    try:
        # Nearly always every row is there, and looking for None would cost as much as reading.
        whole = cast(Sequence[bytes], blobs)
        return Unpacked(len(blobs), _parts(whole, np.arange(len(blobs)), schemas))
    except TypeError:
        places = np.array([at for at, blob in enumerate(blobs) if blob is not None], np.intp)
        present = [blob for blob in blobs if blob is not None]
        return Unpacked(len(blobs), _parts(present, places, schemas))


def _parts(blobs: Sequence[bytes], places: NDArray[np.intp], schemas: Schemas) -> tuple[Part, ...]:
    """Sort rows by their schemas; nearly always there is but one.

    Raises
    ------
    TypeError
        A row is None.
    """
    if not blobs:
        return ()
    schema = schemas(blobs[0][:HEAD_BYTES])
    if schema is not None:
        part = _part(schema, blobs, places)
        if part is not None and (part.rows["head"] == schema.head_number).all():
            return (part,)
    by_head: dict[bytes, list[int]] = {}
    for at, blob in enumerate(blobs):
        by_head.setdefault(blob[:HEAD_BYTES], []).append(at)
    parts = []
    for head, members in by_head.items():
        schema = schemas(head)
        if schema is not None:
            part = _part(schema, [blobs[at] for at in members], places[members])
            if part is None:
                raise damaged(f"not the {schema.fixed_bytes} bytes of its schema")
            parts.append(part)
    return tuple(parts)


def _part(schema: RowSchema, blobs: Sequence[bytes], places: NDArray[np.intp]) -> Part | None:
    """Read rows as if they were of a schema, or give None if they have not its length."""
    width = schema.fixed_bytes
    if schema.variable:
        if min(map(len, blobs)) < width:
            return None
        # Cuts each row to its fixed part as it copies it: no bytes object a row in between.
        return Part(schema, places, np.array(blobs, f"S{width}").view(schema.layout), blobs)
    raw = b"".join(blobs)
    if len(raw) != width * len(blobs):
        return None
    return Part(schema, places, np.frombuffer(raw, schema.layout), blobs)
