"""Identifiers and labels: text that must not be changed by being read as a number."""

from __future__ import annotations

from typing import Literal

import polars as pl

IdType = Literal["integer", "text"]

ABSENT = ("", "nan", "null", "none", "<na>", "#n/a")
"""Texts, in any letter case, that exports write where there is no value."""

_INTEGER = r"^(0|-?[1-9][0-9]*)$"


def read_labels(column: pl.Series) -> pl.Series:
    """Read a column as stripped text, null where there is none; whole floats lose their point.

    >>> read_labels(pl.Series([" a ", "", "None", "00123"])).to_list()
    ['a', None, None, '00123']
    >>> read_labels(pl.Series([85048.0, 2.5, float("nan")])).to_list()
    ['85048', '2.5', None]
    """
    if column.dtype.is_nested():
        return pl.Series(column.name, [None] * len(column), dtype=pl.String)
    text = _float_text(column) if column.dtype.is_float() else as_text(column)
    text = text.str.strip_chars()
    return text.set(text.str.to_lowercase().is_in(ABSENT), None)


def read_ids(column: pl.Series) -> pl.Series:
    """Read a column as labels in which a whole-number float is an integer, also as text.

    >>> read_ids(pl.Series(["17850.0", " 17850", "00123", "nan", "A-1"])).to_list()
    ['17850', '17850', '00123', None, 'A-1']
    """
    return read_labels(column).str.replace(r"^(0|-?[1-9][0-9]*)\.0*$", "$1")


def as_integers(ids: pl.Series) -> pl.Series | None:
    """Give the ids as Int64, or None where one is not the plain text of such a number.

    >>> as_integers(pl.Series(["17850", "-3"])).to_list()
    [17850, -3]
    >>> as_integers(pl.Series(["17850", "00123"])) is None
    True
    """
    if not ids.str.contains(_INTEGER).all():
        return None
    numbers = ids.cast(pl.Int64, strict=False)
    return None if numbers.null_count() > ids.null_count() else numbers


def as_text(column: pl.Series) -> pl.Series:
    """Write any column as text; bytes that are no UTF-8 become hex digits.

    >>> as_text(pl.Series([b"A-1"])).to_list(), as_text(pl.Series([b"A-1", bytes([255])])).to_list()
    (['A-1'], ['412d31', 'ff'])
    """
    if column.dtype.is_nested():
        return pl.Series(column.name, [str(value) for value in column], dtype=pl.String)
    if isinstance(column.dtype, pl.Duration):
        return column.dt.to_string("iso")
    try:
        return column.cast(pl.String)
    except pl.exceptions.PolarsError:
        return column.bin.encode("hex")


def _float_text(column: pl.Series) -> pl.Series:
    value = pl.col("v")
    finite = value.is_finite() & (value.abs() < 1e38)
    whole = pl.when(finite & (value == value.round())).then(value)
    # No infinity is anybody's id.
    text = pl.when(finite).then(value.cast(pl.String))
    return (
        column.alias("v")
        .to_frame()
        .select(pl.coalesce(whole.cast(pl.Int128, strict=False).cast(pl.String), text))
        .to_series()
        .alias(column.name)
    )
