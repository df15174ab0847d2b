"""Rows read one after the other: quicker than NumPy while they are few.

A view's rows cost NumPy a dozen calls whether there is one row or a thousand, and a customer has as
many views. What is read of a row is the same, to the last bit, as :mod:`features.stores.reader`
reads of many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from struct import Struct

from features.stores.packing import damaged
from features.stores.schema import FIXED, HEAD_BYTES, ORDER_BYTES, Kind, RowField, RowSchema
from features.stores.times import NO_TIME

_LETTERS: dict[Kind, str] = {"d": "d", "q": "q", "t": "q", "i": "i", "f": "f"}
_EVENT = Struct(f">{HEAD_BYTES}xQ")
_SIGN = 1 << 63
Asked = Sequence[tuple[RowField, int]]


class RowPlan:
    """What is wanted of a row of one schema, and where it goes.

    Parameters
    ----------
    numbers, texts
        Wanted features and the column of each among the numbers, and among the texts. What the
        schema lacks, or has with another type, is left as it was.
    """

    def __init__(self, schema: RowSchema, numbers: Asked, texts: Asked) -> None:
        counts = {kind: sum(field.kind == kind for field in schema.fields) for kind in FIXED}
        self._number_of_ends = len(schema.variable)
        blocks = "".join(f"{counts[kind]}{letter}" for kind, letter in _LETTERS.items())
        self._fixed = Struct(
            f"<{HEAD_BYTES + ORDER_BYTES}x{blocks}{self._number_of_ends}I{counts['?']}B"
            f"{-(-len(schema.fields) // 8)}s"
        )
        if self._fixed.size != schema.fixed_bytes:
            raise AssertionError("a row's fixed part has another length than its layout")
        first, place = {}, 0
        for block, count in [*((k, counts[k]) for k in _LETTERS), ("ends", self._number_of_ends)]:
            first[block], place = place, place + count
        first["?"], self._ends = place, slice(first["ends"], place)
        known = [(found, column) for f, column in numbers if (found := schema.place(f))]
        self._runs = _runs(sorted((first[p.block] + p.column, column) for p, column in known))
        # A null's place among floats is NaN already.
        self._nullable = [(1 << p.bit, column) for p, column in known if p.block not in "df"]
        self._times = [column for p, column in known if p.block == "t"]
        self._texts = [
            (p.column, 1 << p.bit, column) for f, column in texts if (p := schema.place(f))
        ]
        self._only_texts = all(field.kind == "s" for field in schema.variable)

    def read(self, blob: bytes, row: list[float], texts: list[str | None]) -> int:
        """Put a row's values in their places.

        Returns
        -------
        int
            The event time, microseconds since 1970.

        Raises
        ------
        ValueError
            The row is not as long as it says.
        """
        size = self._fixed.size
        if len(blob) < size or (not self._number_of_ends and len(blob) > size):
            raise damaged(f"not the {size} bytes of its schema")
        values = self._fixed.unpack_from(blob)
        for columns, places in self._runs:
            row[columns] = values[places]
        missing = ~int.from_bytes(values[-1], "little")
        for bit, column in self._nullable:
            if missing & bit:
                row[column] = math.nan
        for column in self._times:
            if row[column] == NO_TIME:
                row[column] = math.nan
        if self._number_of_ends:
            begins = (0, *values[self._ends])
            length = len(blob) - size
            if begins[-1] > length or (self._only_texts and begins[-1] < length):
                raise damaged("text of another length than it says")
            for place, bit, column in self._texts:
                if not missing & bit:
                    begin, end = size + begins[place], size + begins[place + 1]
                    texts[column] = blob[begin:end].decode()
        (event,) = _EVENT.unpack_from(blob)
        return int(event) - _SIGN


def _runs(pairs: Sequence[tuple[int, int]]) -> list[tuple[slice, slice]]:
    """Join what follows one another on both sides: columns of the answer, places in the row."""
    runs: list[tuple[int, int, int]] = []
    for place, column in pairs:
        if runs and (place, column) == (runs[-1][0] + runs[-1][2], runs[-1][1] + runs[-1][2]):
            runs[-1] = (*runs[-1][:2], runs[-1][2] + 1)
        else:
            runs.append((place, column, 1))
    return [(slice(c, c + count), slice(p, p + count)) for p, c, count in runs]
