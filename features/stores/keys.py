"""Feast's entity keys, as the bytes that Feast itself makes of them, many at once.

Version 3 of the serialisation: the number of join keys, their names in alphabetical order, then
their values in that order, each with its type and length.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from feast import FeatureView
from feast.infra.key_encoding_utils import deserialize_entity_key, serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.protos.feast.types.Value_pb2 import ValueType as ProtoType

from features.stores.packing import binaries, joined, slices

_VERSION = 3
_FEW = 32
_NUMBERS = {
    "INT64": ("<q", "<i8", 8),
    "INT32": ("<i", "<i4", 4),
    "UNIX_TIMESTAMP": ("<q", "<i8", 8),
}
_PROTO_FIELDS = {
    "INT64": "int64_val",
    "INT32": "int32_val",
    "UNIX_TIMESTAMP": "unix_timestamp_val",
    "STRING": "string_val",
    "BYTES": "bytes_val",
}


def check_version(version: int) -> None:
    """Refuse the key serialisations that Feast has withdrawn.

    >>> check_version(2)
    Traceback (most recent call last):
        ...
    ValueError: entity_key_serialization_version is 2; set it to 3 in feature_store.yaml
    """
    if version != _VERSION:
        raise ValueError(
            f"entity_key_serialization_version is {version}; set it to {_VERSION} in "
            "feature_store.yaml"
        )


@dataclass(frozen=True)
class KeyCodec:
    """Makes entity keys of one set of join keys.

    Attributes
    ----------
    types
        Each join key's name and the name of its ``feast.ValueType``, in alphabetical order.

    Examples
    --------
    >>> codec = KeyCodec.of({"customer_id": "INT64"})
    >>> codec.of_values({"customer_id": [7]}) == codec.of_arrow({"customer_id": pa.array([7])})
    True
    """

    types: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, types: Mapping[str, str]) -> KeyCodec:
        """Order the join keys.

        Raises
        ------
        ValueError
            A join key is of a type that Feast cannot make a key of.
        """
        for name, value_type in types.items():
            if value_type not in _PROTO_FIELDS:
                raise ValueError(
                    f"join key {name!r} is {value_type}; a key can be one of "
                    f"{', '.join(_PROTO_FIELDS)}"
                )
        return cls(tuple(sorted(types.items())))

    @classmethod
    def of_view(cls, view: FeatureView) -> KeyCodec:
        """Take the join keys of a Feast view."""
        return cls.of({c.name: c.dtype.to_value_type().name for c in view.entity_columns})

    @property
    def names(self) -> tuple[str, ...]:
        """The join keys' names in the order of their bytes."""
        return tuple(name for name, _ in self.types)

    @cached_property
    def _prefixes(self) -> tuple[bytes, ...]:
        """What stands before each value: the names before the first, then types and sizes."""
        names = struct.pack("<I", len(self.types))
        for name, _ in self.types:
            raw = name.encode()
            names += struct.pack("<II", ProtoType.STRING, len(raw)) + raw
        kinds = []
        for _, value_type in self.types:
            kind = struct.pack("<I", ProtoType.Enum.Value(value_type))
            if value_type in _NUMBERS:
                kind += struct.pack("<I", _NUMBERS[value_type][2])
            kinds.append(kind)
        return (names + kinds[0], *kinds[1:]) if kinds else (names,)

    def of_arrow(self, columns: Mapping[str, pa.Array]) -> list[bytes]:
        """Make the keys of a batch.

        Raises
        ------
        ValueError
            A key is null.
        """
        parts: list[pa.Array | pa.Scalar] = []
        for (name, value_type), prefix in zip(self.types, self._prefixes, strict=True):
            column = columns[name]
            if column.null_count:
                raise ValueError(
                    f"join key {name!r} is null in {column.null_count} rows; drop them"
                )
            parts.append(pa.scalar(prefix, pa.large_binary()))
            parts.extend(_numbers(column, value_type) or _texts(column))
        return list(joined(parts).to_pylist())

    def of_values(self, columns: Mapping[str, Sequence[Any]]) -> list[bytes]:
        """Make keys of Python values: integers, text or bytes.

        Raises
        ------
        ValueError
            A key is None, or a number does not fit its type.
        """
        parts = []
        for (name, value_type), prefix in zip(self.types, self._prefixes, strict=True):
            try:
                parts.append(_pieces(columns[name], value_type, prefix))
            except (struct.error, AttributeError, TypeError) as error:
                raise ValueError(
                    f"join key {name!r} wants {value_type} values and was given another: {error}"
                ) from None
        return parts[0] if len(parts) == 1 else [b"".join(row) for row in zip(*parts, strict=True)]

    def of_protos(self, columns: Mapping[str, Sequence[Value]]) -> list[bytes]:
        """Make keys of Feast's values.

        Raises
        ------
        ValueError
            A key is null or of another type.
        """
        taken = {}
        for name, value_type in self.types:
            attribute = _PROTO_FIELDS[value_type]
            if not all(value.WhichOneof("val") == attribute for value in columns[name]):
                raise ValueError(f"join key {name!r} wants {value_type} values, and one is not")
            taken[name] = [getattr(value, attribute) for value in columns[name]]
        return self.of_values(taken)


def key_of(entity: EntityKey) -> bytes:
    """Make the key of one of Feast's entities."""
    return bytes(serialize_entity_key(entity, entity_key_serialization_version=_VERSION))


def holds(key: bytes, join_keys: Mapping[str, Value]) -> bool:
    """Whether an entity's key holds the given join keys' values."""
    entity = deserialize_entity_key(key)
    values = dict(zip(entity.join_keys, entity.entity_values, strict=True))
    return all(values.get(name) == value for name, value in join_keys.items())


def _pieces(values: Sequence[Any], value_type: str, prefix: bytes) -> list[bytes]:
    if value_type in _NUMBERS and len(values) > _FEW:
        made = _many(values, value_type, prefix)
        if made is not None:
            return made
    if value_type in _NUMBERS:
        pack = struct.Struct(_NUMBERS[value_type][0]).pack
        return [prefix + pack(value) for value in values]
    raws = [value.encode() for value in values] if value_type == "STRING" else values
    return [prefix + len(raw).to_bytes(4, "little") + raw for raw in raws]


def _many(values: Sequence[Any], value_type: str, prefix: bytes) -> list[bytes] | None:
    """Make keys of whole numbers, or None if they are not all of the type."""
    numbers = np.asarray(values)
    kind = _NUMBERS[value_type][1]
    if numbers.dtype.kind != "i" or numbers.ndim != 1:
        return None
    if value_type == "INT32" and len(numbers) and np.abs(numbers).max() >= 2**31:
        return None
    rows = np.empty(len(numbers), np.dtype([("prefix", f"V{len(prefix)}"), ("value", kind)]))
    rows["prefix"] = np.frombuffer(prefix, f"V{len(prefix)}")
    rows["value"] = numbers
    return slices(rows)


def _numbers(column: pa.Array, value_type: str) -> list[pa.Array]:
    if value_type not in _NUMBERS:
        return []
    kind = _NUMBERS[value_type][1]
    numbers = column
    if value_type == "UNIX_TIMESTAMP" and pa.types.is_timestamp(column.type):
        numbers = column.cast(pa.timestamp("s", column.type.tz), safe=False)
    wanted = pa.int32() if value_type == "INT32" else pa.int64()
    values = numbers.cast(wanted).to_numpy(zero_copy_only=False)
    rows = np.empty(len(values), np.dtype([("value", kind)]))
    rows["value"] = values
    return [binaries(rows)]


def _texts(column: pa.Array) -> list[pa.Array]:
    if not pa.types.is_binary(column.type) and not pa.types.is_large_binary(column.type):
        column = column.cast(pa.large_string())
    raw = column.cast(pa.large_binary())
    offsets = np.frombuffer(raw.buffers()[1], np.int64, len(raw) + 1, raw.offset * 8)
    rows = np.empty(len(raw), np.dtype([("length", "<u4")]))
    rows["length"] = np.diff(offsets)
    return [binaries(rows), raw]
