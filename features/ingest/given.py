"""What each row of a file says, read column by column, before any row is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final

import polars as pl

from features.errors import InputError
from features.ingest.amounts import Numbers, read_numbers
from features.ingest.codes import read_ids, read_labels
from features.ingest.contract import ARMS, CONTRACT, KINDS, LIMIT_E4, Table, Value
from features.ingest.moments import Moments, read_moments
from features.ingest.schemas import Dtype, clean_schema
from features.settings import DataSettings


@dataclass(frozen=True)
class Finding:
    """What is odd about some rows: a reason to set them aside, or a thing to know of."""

    name: str
    rows: pl.Series
    """Boolean, one a row."""
    column: str | None = None
    """Contract column that shows it."""


@dataclass(frozen=True)
class Given:
    """A file's columns as read: as many rows as the file has, in its order."""

    table: Table
    raw: pl.DataFrame
    columns: Mapping[str, str]
    """Contract column: the file's column that holds it."""
    values: dict[str, pl.Series] = field(default_factory=dict)
    """Clean column: its values, null where unreadable; ids are still text."""
    numbers: dict[str, Numbers] = field(default_factory=dict)
    moments: dict[str, Moments] = field(default_factory=dict)

    def cells(self, column: str) -> pl.Series:
        """The file's own cells of a contract column."""
        return self.raw[self.columns[column]]

    def read(self, column: str) -> bool:
        """Whether the file has a column and, where it holds times, any."""
        return column in self.columns and _clean_names(self.table)[column] in self.values

    def unreadable(self, column: str) -> pl.Series:
        """Where the file says something in a column that came to nothing."""
        clean = _clean_names(self.table)[column]
        return read_labels(self.cells(column)).is_not_null() & self.values[clean].is_null()

    def nothing(self) -> pl.Series:
        """False for every row."""
        return pl.repeat(False, self.raw.height, dtype=pl.Boolean, eager=True)

    def frame(self, **more: pl.Series) -> pl.DataFrame:
        """All clean columns of the table, null where the file has none."""
        values = {**self.values, **more}
        return pl.DataFrame(
            {
                name: values[name] if name in values else _nulls(kind, self.raw.height)
                for name, kind in clean_schema(self.table).items()
            }
        )


def read_given(
    table: Table, raw: pl.DataFrame, columns: Mapping[str, str], settings: DataSettings
) -> Given:
    """Read each contract column from the file's column that holds it.

    Raises
    ------
    InputError
        A column cannot be what it is mapped to at all.
    """
    given = Given(table, raw, columns)
    given.moments.update(_read_moments(given, settings))
    given.values.update({name: read.at for name, read in given.moments.items()})
    clean = _clean_names(table)
    for column in CONTRACT[table].columns:
        if column.name not in columns or column.value == "moment":
            continue
        cells = given.cells(column.name)
        if column.value in _TEXTS:
            given.values[clean[column.name]] = _TEXTS[column.value](cells)
            continue
        numbers = read_numbers(cells, settings.decimal_mark)
        given.numbers[column.name] = numbers
        # A unit price is but a factor of the amount.
        if column.name in clean:
            exact = column.value == "money"
            given.values[clean[column.name]] = numbers.to_e4() if exact else _floats(numbers)
    return given


@cache
def _clean_names(table: Table) -> dict[str, str]:
    """Name the clean column that holds each of the file's."""
    return {column.source: column.name for column in CONTRACT[table].clean if column.source}


def _read_moments(given: Given, settings: DataSettings) -> dict[str, Moments]:
    """Read the columns of times; the first one that has any says how ambiguous texts are meant."""
    read: dict[str, Moments] = {}
    for column in CONTRACT[given.table].columns:
        if column.value != "moment" or column.name not in given.columns:
            continue
        cells = given.cells(column.name).alias(given.columns[column.name])
        if not column.required and read_labels(cells).is_null().all():
            continue
        prefer = next(iter(read.values())).reading if read else None
        strict = given.table == "orders" and column.required
        read[column.name] = _moments(cells, settings.date_format, prefer, strict=strict)
    return read


def _moments(
    cells: pl.Series, date_format: str | None, prefer: str | None, *, strict: bool
) -> Moments:
    try:
        return read_moments(cells, date_format, prefer)
    except InputError:
        if strict or date_format is None:
            raise
        # The format is that of the orders; other times are often written by another system.
        return read_moments(cells, prefer=prefer)


def _floats(numbers: Numbers) -> pl.Series:
    # Adding zero makes one zero of the two that floats have.
    values = numbers.rough + 0.0
    return values.set(values.abs() > LIMIT_E4 / 10**4, None)


def plain_label(texts: pl.Series) -> pl.Series:
    """Give labels without letter case, blanks, dashes and the like, for comparison.

    >>> plain_label(pl.Series(["Email Open", "email-open", "EMAIL_OPEN"])).to_list()
    ['emailopen', 'emailopen', 'emailopen']
    """
    return texts.str.to_lowercase().str.replace_all(r"[\s_\-./]+", "")


def one_of(texts: pl.Series, names: Mapping[str, str]) -> pl.Series:
    """Translate labels, forgiving in how they are written; null where they are none of the names.

    >>> one_of(pl.Series([" Treated", "CONTROL", "maybe"]), {"treated": "treated"}).to_list()
    ['treated', None, None]
    """
    plain = plain_label(pl.Series(list(names), dtype=pl.String)).to_list()
    translation = dict(zip(plain, names.values(), strict=True))
    return plain_label(texts.str.strip_chars()).replace_strict(
        list(translation), list(translation.values()), default=None, return_dtype=pl.String
    )


_YES_NO: Final = dict.fromkeys(
    ("yes", "y", "true", "t", "1", "optin", "optedin", "granted", "subscribed"), "yes"
) | dict.fromkeys(
    ("no", "n", "false", "f", "0", "optout", "optedout", "denied", "unsubscribed"), "no"
)


def means_yes(cells: pl.Series) -> pl.Series:
    """Whether each text says yes; null where it says neither.

    >>> means_yes(pl.Series(["Yes", "0", "maybe", None])).to_list()
    [True, False, None, None]
    """
    return one_of(read_ids(cells), _YES_NO) == "yes"


_TEXTS: Final[dict[Value, Callable[[pl.Series], pl.Series]]] = {
    "id": read_ids,
    "code": read_ids,
    "label": read_labels,
    "kind": lambda cells: one_of(read_labels(cells), dict(zip(KINDS, KINDS, strict=True))),
    "arm": lambda cells: one_of(read_labels(cells), dict(zip(ARMS, ARMS, strict=True))),
    "yes": means_yes,
}


def _nulls(kind: Dtype, height: int) -> pl.Series:
    return pl.Series([None], dtype=kind).new_from_index(0, height)
