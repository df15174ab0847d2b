"""Values on their way in and out: from Arrow or Feast's protobufs, to either, or to Python.

What Arrow holds in the very type of the feature is taken as it is. Every other column goes through
Feast's own conversion, value by value: slower, and right by definition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import feast_value_type_to_python_type, python_values_to_proto_values
from feast.value_type import ValueType

from features.stores.packing import ARROW_TYPES
from features.stores.schema import Kind, RowField, RowSchema

_PROTO_FIELDS: dict[Kind, str] = {
    "d": "double_val",
    "q": "int64_val",
    "t": "unix_timestamp_val",
    "i": "int32_val",
    "f": "float_val",
    "?": "bool_val",
    "s": "string_val",
    "b": "bytes_val",
}
_NO_TIMESTAMP = -(2**63)
"""Feast's null among timestamps: a value in the protobuf, None in an answer."""

_MICROSECONDS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def columns_of_arrow(schema: RowSchema, batch: pa.RecordBatch) -> dict[str, pa.Array]:
    """Bring a batch's columns to the types that :func:`features.stores.packing.pack` takes.

    Raises
    ------
    ValueError
        The batch lacks a feature.

    Examples
    --------
    >>> schema = RowSchema.of([("orders", "INT64"), ("region", "STRING")])
    >>> batch = pa.record_batch({"orders": pa.array([1, None], pa.int16()), "region": ["a", "b"]})
    >>> columns_of_arrow(schema, batch)["orders"].type
    DataType(int64)
    """
    columns = {}
    for field in schema.fields:
        if field.name not in batch.schema.names:
            raise ValueError(
                f"the rows to be written have no column {field.name!r}; they have "
                f"{', '.join(batch.schema.names)}"
            )
        columns[field.name] = column_of_arrow(field, batch.column(field.name))
    return columns


def column_of_arrow(field: RowField, column: pa.Array) -> pa.Array:
    """Bring one column to the type of its kind.

    >>> column_of_arrow(RowField("seen", "UNIX_TIMESTAMP"), pa.array([-1], pa.timestamp("ms")))[0]
    <pyarrow.Int64Scalar: -1>
    >>> column_of_arrow(RowField("orders", "INT64"), pa.array([3.0, None])).to_pylist()
    [3, None]
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    taken = _as_it_is(field.kind, column)
    if taken is not None:
        return taken
    values = column.to_numpy(zero_copy_only=False)
    return column_of_protos(
        field, python_values_to_proto_values(values, ValueType[field.value_type])
    )


def _as_it_is(kind: Kind, column: pa.Array) -> pa.Array | None:
    wanted, given = ARROW_TYPES[kind], column.type
    if kind == "p":
        return None
    if given == wanted or pa.types.is_null(given):
        return column.cast(wanted)
    if kind == "t":
        return _seconds(column) if pa.types.is_timestamp(given) else None
    if kind == "s" and (pa.types.is_string(given) or pa.types.is_large_string(given)):
        return column.cast(pa.large_string()).cast(wanted)
    if kind == "b" and (pa.types.is_binary(given) or pa.types.is_fixed_size_binary(given)):
        return column.cast(wanted)
    narrower = pa.types.is_integer(given) and kind in "qi" and given != pa.uint64()
    return _narrowed(column, wanted) if narrower or (kind == "d" and _is_small(given)) else None


def _is_small(given: pa.DataType) -> bool:
    """Whether a double holds every number of the type."""
    is_float, is_whole = pa.types.is_float32(given), pa.types.is_integer(given)
    return bool(is_float or (is_whole and given.bit_width <= 32))


def _narrowed(column: pa.Array, wanted: pa.DataType) -> pa.Array | None:
    try:
        return column.cast(wanted)
    except pa.ArrowInvalid:  # Feast's conversion says which value does not fit.
        return None


def _seconds(column: pa.Array) -> pa.Array:
    """Whole seconds, cut towards the past as NumPy does for Feast."""
    scale = _MICROSECONDS[column.type.unit]
    numbers = column.cast(pa.int64())
    if scale == 1:
        return numbers
    floored = numbers.fill_null(0).to_numpy(zero_copy_only=False) // scale
    nulls = column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None
    return pa.array(floored, pa.int64(), mask=nulls)


def columns_of_protos(
    schema: RowSchema, rows: Sequence[Mapping[str, Value]]
) -> dict[str, pa.Array]:
    """Turn rows of Feast's values into columns; a feature that a row does not name is null."""
    nothing = Value()
    return {
        field.name: column_of_protos(field, [row.get(field.name, nothing) for row in rows])
        for field in schema.fields
    }


def column_of_protos(field: RowField, values: Sequence[Value]) -> pa.Array:
    """Turn Feast's values of one feature into a column.

    Raises
    ------
    TypeError
        A value is of another type than the feature.

    Examples
    --------
    >>> column_of_protos(RowField("spend", "DOUBLE"), [Value(double_val=2.5), Value()]).to_pylist()
    [2.5, None]
    >>> column_of_protos(RowField("spend", "DOUBLE"), [Value(int64_val=2)])
    Traceback (most recent call last):
        ...
    TypeError: feature 'spend' is DOUBLE, but a value has int64_val; write it as double_val
    """
    kinds = {value.WhichOneof("val") for value in values}
    if field.kind == "p":
        taken: list[Any] = [v.SerializeToString() if v.WhichOneof("val") else None for v in values]
        return pa.array(taken, ARROW_TYPES["p"])
    name = _PROTO_FIELDS[field.kind]
    others = {str(kind) for kind in kinds if kind not in (name, None)}
    if others:
        raise TypeError(
            f"feature {field.name!r} is {field.value_type}, but a value has {sorted(others)[0]}; "
            f"write it as {name}"
        )
    taken = [getattr(value, name) for value in values]
    if field.kind == "s":
        taken = [text.encode() for text in taken]
    nulls = None
    if None in kinds:
        nulls = np.array([value.WhichOneof("val") is None for value in values])
    column = pa.array(taken, ARROW_TYPES[field.kind])
    return column if nulls is None else pc.if_else(pa.array(nulls), None, column)


def to_protos(field: RowField, values: Sequence[Any]) -> list[Value]:
    """Turn what was read of one feature into Feast's values; None is Feast's null.

    >>> to_protos(RowField("orders", "INT64"), [3, None])
    [int64_val: 3
    , ]
    """
    if field.kind == "p":
        return [Value() if raw is None else Value.FromString(raw) for raw in values]
    name = _PROTO_FIELDS[field.kind]
    return [Value() if value is None else Value(**{name: value}) for value in values]


def to_python(field: RowField, values: list[Any]) -> list[Any]:
    """Turn what was read of one feature into what Feast's answers hold.

    >>> to_python(RowField("seen", "UNIX_TIMESTAMP"), [0, None])
    [datetime.datetime(1970, 1, 1, 0, 0, tzinfo=datetime.timezone.utc), None]
    """
    if field.kind == "t":
        return [
            None if at is None or at == _NO_TIMESTAMP else datetime.fromtimestamp(at, tz=UTC)
            for at in values
        ]
    if field.kind == "p":
        value_type = ValueType[field.value_type]
        return [
            None
            if raw is None
            else feast_value_type_to_python_type(Value.FromString(raw), value_type)
            for raw in values
        ]
    return values
