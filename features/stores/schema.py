"""What a packed row holds: the features of one view, their types, and where each stands."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from feast import FeatureView

FORMAT = 1
"""Version of the row format, the first byte of every row."""

HEAD_BYTES = 8
"""The format's version and the schema's digest, which begin every row."""

ORDER_BYTES = 16
"""The two times after the head; rows of one entity and view are as old as these bytes sort."""

Kind = str
"""One letter for how a value is stored.

======  =======================================  ==============================
letter  Feast type                               stored as
======  =======================================  ==============================
d       Float64                                  8 bytes
q       Int64                                    8 bytes
t       UnixTimestamp                            8 bytes, whole seconds
i       Int32                                    4 bytes
f       Float32                                  4 bytes
?       Bool                                     1 byte
s       String                                   UTF-8
b       Bytes, PdfBytes, ImageBytes              as they are
p       any other (lists, sets, maps, JSON ...)  Feast's ``Value``, serialised
======  =======================================  ==============================
"""

_KINDS: dict[str, Kind] = {
    "DOUBLE": "d",
    "INT64": "q",
    "UNIX_TIMESTAMP": "t",
    "INT32": "i",
    "FLOAT": "f",
    "BOOL": "?",
    "STRING": "s",
    "BYTES": "b",
    "PDF_BYTES": "b",
    "IMAGE_BYTES": "b",
}
FIXED: dict[Kind, str] = {"d": "<f8", "q": "<i8", "t": "<i8", "i": "<i4", "f": "<f4", "?": "u1"}
VARIABLE: tuple[Kind, ...] = ("s", "b", "p")
_ORDER = "dqtif?sbp"


@dataclass(frozen=True)
class RowField:
    """One feature of a view.

    Attributes
    ----------
    name
        The feature's name.
    value_type
        Name of its ``feast.ValueType``.

    Examples
    --------
    >>> RowField("orders", "INT64").kind, RowField("visits", "INT64_LIST").kind
    ('q', 'p')
    """

    name: str
    value_type: str

    @property
    def kind(self) -> Kind:
        """How the value is stored."""
        return _KINDS.get(self.value_type, "p")


@dataclass(frozen=True)
class Place:
    """Where a feature stands in a row: its kind's block, the column there, its validity bit."""

    field: RowField
    block: Kind
    column: int
    bit: int


@dataclass(frozen=True)
class RowSchema:
    """The features of one view in the order of their bytes.

    The digest depends on names and types alone: two views with the same features share it, and the
    order in which a view lists its features does not matter.

    Examples
    --------
    >>> a = RowSchema.of([("spend", "DOUBLE"), ("orders", "INT64")])
    >>> b = RowSchema.of([("orders", "INT64"), ("spend", "DOUBLE")])
    >>> a == b, a.head == b.head, a.fixed_bytes
    (True, True, 41)
    >>> a.head == RowSchema.of([("orders", "INT32"), ("spend", "DOUBLE")]).head
    False
    >>> RowSchema.from_json(a.to_json()) == a
    True
    """

    fields: tuple[RowField, ...]

    @classmethod
    def of(cls, named_types: Iterable[tuple[str, str]]) -> RowSchema:
        """Order some features, given as pairs of a name and a ``feast.ValueType``'s name."""
        return _ordered(tuple(sorted(named_types)))

    @classmethod
    def of_view(cls, view: FeatureView) -> RowSchema:
        """Take the features of a Feast view."""
        return cls.of((field.name, field.dtype.to_value_type().name) for field in view.features)

    @classmethod
    def from_json(cls, text: str) -> RowSchema:
        """Read what :meth:`to_json` wrote."""
        return cls.of((name, value_type) for name, value_type in json.loads(text))

    def to_json(self) -> str:
        """Write the names and types, to be kept beside the rows."""
        return json.dumps(sorted((field.name, field.value_type) for field in self.fields))

    @cached_property
    def head(self) -> bytes:
        """The bytes that begin every row of this schema."""
        digest = hashlib.sha256(self.to_json().encode()).digest()
        return bytes([FORMAT]) + digest[: HEAD_BYTES - 1]

    @cached_property
    def head_number(self) -> int:
        """The same bytes as the number that ``layout`` reads them as."""
        return int.from_bytes(self.head, "little")

    @cached_property
    def variable(self) -> tuple[RowField, ...]:
        """The features whose values differ in length, in the order of their bytes."""
        return tuple(field for field in self.fields if field.kind in VARIABLE)

    @cached_property
    def places(self) -> dict[str, Place]:
        """Where each feature stands, by its name."""
        counts: dict[Kind, int] = {}
        places = {}
        for bit, field in enumerate(self.fields):
            block = "ends" if field.kind in VARIABLE else field.kind
            column = counts.get(block, 0)
            counts[block] = column + 1
            places[field.name] = Place(field, block, column, bit)
        return places

    def place(self, field: RowField) -> Place | None:
        """Find a feature, or None if rows of this schema lack it or have it with another type."""
        place = self.places.get(field.name)
        return place if place is not None and place.field == field else None

    @cached_property
    def layout(self) -> np.dtype[np.void]:
        """The fixed part of a row; the variable values follow it, each ending at its ``ends``."""
        counts = {kind: sum(field.kind == kind for field in self.fields) for kind in FIXED}
        blocks: list[tuple[str, str, tuple[int, ...]]] = [
            ("head", "<u8", ()),
            ("event", ">u8", ()),
            ("created", ">u8", ()),
        ]
        blocks += [(kind, FIXED[kind], (counts[kind],)) for kind in "dqtif"]
        blocks += [
            ("ends", "<u4", (len(self.variable),)),
            ("?", FIXED["?"], (counts["?"],)),
            ("valid", "u1", (-(-len(self.fields) // 8),)),
        ]
        return np.dtype(blocks)

    @cached_property
    def fixed_bytes(self) -> int:
        """Length of the fixed part."""
        return self.layout.itemsize


@lru_cache(maxsize=1024)
def _ordered(named_types: tuple[tuple[str, str], ...]) -> RowSchema:
    fields = [RowField(name, value_type) for name, value_type in named_types]
    return RowSchema(tuple(sorted(fields, key=lambda f: (_ORDER.index(f.kind), f.name))))
