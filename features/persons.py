"""Some persons by their ids: which rows are theirs, and where another's text names them.

>>> persons = Persons(("7", "anna-1990"))
>>> persons.theirs(pa.array([6, 7])).to_pylist(), persons.theirs(pa.array(["7", "8"])).to_pylist()
([False, True], [True, False])
>>> persons.unnamed("call anna-1990, not anna-19902"), persons.unnamed("7 days")
('call (erased), not anna-19902', '7 days')
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

ERASED = "(erased)"
"""What stands in the place of an id in a text that is another's."""
_INTEGER = re.compile(r"^(0|-?[1-9][0-9]*)$")
_INT64 = 2**63
_SHORTEST = 6
"""Characters from which on a text can be told for an id wherever it stands."""
_EDGE = "[^0-9A-Za-z]"


@dataclass(frozen=True)
class Persons:
    """Some persons.

    Attributes
    ----------
    names
        Their ids as text; an integer and its plain text are one customer.
    """

    names: tuple[str, ...]

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """The ids that are integers."""
        whole = (int(name) for name in self.names if _INTEGER.match(name))
        return tuple(number for number in whole if -_INT64 <= number < _INT64)

    def of(self, dtype: pl.DataType) -> list[int] | list[str]:
        """Give the ids as a column of a type holds them."""
        return list(self.numbers) if dtype.is_integer() else list(self.names)

    def among(self, column: str, dtype: pl.DataType) -> pl.Expr:
        """Whether a column of ids holds one of them; never null."""
        ids = pl.Series(self.of(dtype), dtype=dtype).implode()
        return pl.col(column).is_in(ids).fill_null(value=False)

    def theirs(self, ids: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
        """Whether each id is one of theirs; never null."""
        kind = ids.type
        if pa.types.is_dictionary(kind):
            ids, kind = ids.cast(kind.value_type), kind.value_type
        own = self.numbers if pa.types.is_integer(kind) else self.names
        return pc.is_in(ids, value_set=pa.array(own, kind))

    @cached_property
    def distinctive(self) -> tuple[str, ...]:
        """The ids that can be told in a text: no number, and no short or plain word."""
        return tuple(
            name
            for name in self.names
            if len(name) >= _SHORTEST and not _INTEGER.match(name) and re.search("[0-9@]", name)
        )

    @cached_property
    def pattern(self) -> str | None:
        """A regular expression (of Python and Rust) for a text that names one of them."""
        if not self.distinctive:
            return None
        # In JSON letters beyond ASCII, and quotes, are written otherwise.
        spelled = {*self.distinctive, *(json.dumps(name)[1:-1] for name in self.distinctive)}
        longest_first = sorted(spelled, key=lambda name: (-len(name), name))
        names = "|".join(re.escape(name) for name in longest_first)
        return f"(^|{_EDGE})(?:{names})($|{_EDGE})"

    @cached_property
    def _compiled(self) -> re.Pattern[str] | None:
        return re.compile(self.pattern) if self.pattern else None

    def named_in(self, text: str) -> bool:
        """Whether a text names one of them."""
        return self._compiled is not None and self._compiled.search(text) is not None

    def unnamed(self, text: str) -> str:
        """Take their names out of a text."""
        for _ in range(2):  # two that share the letter between them are found one after the other
            text = self._compiled.sub(rf"\1{ERASED}\2", text) if self._compiled else text
        return text

    def struck(self, text: str) -> str:
        """Take their names out of what somebody wrote about this very matter, short ones too."""
        for name in sorted(self.names, key=len, reverse=True):
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", ERASED, text)
        return text

    def unnamed_column(self, column: pl.Expr) -> pl.Expr:
        """Take their names out of a column of texts."""
        for _ in range(2 if self.pattern else 0):
            column = column.str.replace_all(str(self.pattern), f"${{1}}{ERASED}${{2}}")
        return column


def distinct(ids: Sequence[int | str]) -> Persons:
    """Take ids as they come, each once."""
    return Persons(tuple(dict.fromkeys(str(one).strip() for one in ids)))
