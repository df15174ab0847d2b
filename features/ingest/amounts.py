"""Numbers as people export them, read exactly: no price passes through a binary float."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from features.errors import InputError
from features.ingest.codes import as_text
from features.ingest.contract import LIMIT_E4

# Ten decimals are more than any price has, and few enough to take away the noise of binary
# floats (0.30000000000000004).
_DECIMALS = 10
_LARGEST_READ = 1e15

_POINT = r"^-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$"
_COMMA = r"^-?([0-9]+,[0-9]*|,?[0-9]+)$"
_POINT_WITH_GROUPS = r"^-?[1-9][0-9]{0,2}(,[0-9]{3})+(\.[0-9]*)?$"
_COMMA_WITH_GROUPS = r"^-?[1-9][0-9]{0,2}(\.[0-9]{3})+(,[0-9]*)?$"
_SPACED_GROUPS = r"^-?[1-9][0-9]{0,2}([\s'’][0-9]{3})+([.,][0-9]*)?$"
# Three digits behind one mark: a thousand, or a fraction of three places.
_EITHER = r"^-?[1-9][0-9]{0,2}[.,][0-9]{3}$"
_CODES = "EUR|USD|GBP|CHF|JPY|CNY|RMB|SEK|NOK|DKK|PLN|CAD|AUD"
_CURRENCY_CODE = rf"^(?:{_CODES})|(?:{_CODES})$"
# Below this share of clear texts in one notation, a text that fits both is not guessed at.
_CLEAR_MAJORITY = 0.95


@dataclass(frozen=True)
class Numbers:
    """A column of numbers: exact where they are of believable size, and rough for all."""

    exact: pl.Series
    """Decimal(38, 10); null where unreadable or beyond 1e15."""
    rough: pl.Series
    """Float64, finite; null where unreadable."""
    ambiguous: pl.Series
    """Whether the text may be thousands or a fraction, and nothing showed which; it is null."""

    def to_e4(self) -> pl.Series:
        """Ten-thousandths as Int64, rounded half away from zero; null beyond the limit.

        >>> read_numbers(pl.Series("amount", ["0.00005", "-0.00005", "1e30"])).to_e4().to_list()
        [1, -1, None]
        """
        return _rounded(self.exact.to_physical(), _DECIMALS - 4)

    def times_e4(self, other: Numbers) -> pl.Series:
        """Product of two columns in ten-thousandths; null beyond the limit.

        >>> three = read_numbers(pl.Series("quantity", [3, 2]))
        >>> three.times_e4(read_numbers(pl.Series("unit_price", [0.85, 1e14]))).to_list()
        [25500, None]
        """
        # The rough product decides first, so that the exact one cannot leave 128 bits.
        small = (self.rough * other.rough).abs() <= 2 * LIMIT_E4 / 10**4
        factors = pl.DataFrame({"a": self.exact.to_physical(), "b": other.exact.to_physical()})
        product = factors.select(pl.when(small).then(pl.col("a")) * pl.col("b")).to_series()
        return _rounded(product, 2 * _DECIMALS - 4)


def read_numbers(column: pl.Series, decimal_mark: str | None = None) -> Numbers:
    """Read numbers, or texts of numbers, into exact decimals; null where a text is none.

    >>> texts = pl.Series("amount", ["12.50", "£1,234.50", "(3)", "n/a", "NaN", ""])
    >>> read_numbers(texts).rough.to_list()
    [12.5, 1234.5, -3.0, None, None, None]

    A comma is the decimal sign where the column shows it to be, and a text that could be either
    then goes with its column; where nothing shows it, such a text is not guessed at.

    >>> read_numbers(pl.Series("amount", ["12,50", "1.234,5", "1,234"])).rough.to_list()
    [12.5, 1234.5, 1.234]
    >>> read_numbers(pl.Series("amount", ["1,234", "2,345"])).rough.to_list()
    [None, None]

    A point is the decimal sign of whatever was not typed by hand, but three digits behind each of
    them could as well be thousands.

    >>> read_numbers(pl.Series("amount", ["1.500", "2.300"])).rough.to_list()
    [None, None]
    >>> read_numbers(pl.Series("amount", ["1.500", "0.85"])).rough.to_list()
    [1.5, 0.85]
    >>> read_numbers(pl.Series("amount", ["1.500", "2.300"]), decimal_mark=",").rough.to_list()
    [1500.0, 2300.0]

    Parameters
    ----------
    column
        Numbers of any type, or texts.
    decimal_mark
        The decimal sign of texts, where it is known.

    Raises
    ------
    InputError
        The column carries the signs of more than one currency.
    """
    ambiguous = pl.repeat(False, len(column), dtype=pl.Boolean, eager=True)
    if column.dtype.is_numeric():
        # The shortest text of a float is the number that was meant: 0.85, not 0.84999999999999998.
        plain = column.cast(pl.String)
    elif column.dtype.is_nested() or column.dtype.is_temporal() or column.dtype == pl.Boolean:
        plain = pl.Series(column.name, [None] * len(column), dtype=pl.String)
    else:
        tidied = _tidied(as_text(column))
        plain = _in_point_notation(tidied, decimal_mark)
        ambiguous = (plain.is_null() & tidied.str.contains(_EITHER)).fill_null(value=False)
    # A pattern first: casts would also take "inf" and "nan".
    plain = plain.set(~plain.str.contains(_POINT), None)
    rough = plain.cast(pl.Float64, strict=False)
    rough = rough.set(rough.is_infinite(), None)
    exact = plain.set(rough.is_null() | (rough.abs() > _LARGEST_READ), None)
    return Numbers(exact.cast(pl.Decimal(38, _DECIMALS), strict=False), rough, ambiguous)


def _rounded(mantissa: pl.Series, places: int) -> pl.Series:
    unit = pl.lit(10**places, dtype=pl.Int128)
    size = (pl.col("m").abs() + unit // 2) // unit
    within = pl.when(size <= LIMIT_E4).then(size * pl.col("m").sign())
    return mantissa.alias("m").to_frame().select(within.cast(pl.Int64)).to_series()


def _tidied(texts: pl.Series) -> pl.Series:
    """Take off what surrounds the digits: blanks, one currency, brackets or a sign behind."""
    if texts.str.contains(_POINT).all():
        return texts
    signs = texts.str.extract(r"(\p{Sc})").drop_nulls().unique().sort()
    if len(signs) > 1:
        raise InputError(
            f"column {texts.name} mixes currencies ({' '.join(signs)}); "
            "a workspace has one, so convert the amounts or ingest one currency only"
        )
    bare = (
        pl.col("t")
        .str.strip_chars()
        .str.replace_all("[−–]", "-")
        .str.replace_all(r"\s*\p{Sc}\s*", "")
        .str.replace_all(_CURRENCY_CODE, "")
        .str.strip_chars()
        .str.replace(r"^\((.+)\)$", "-$1")
        .str.replace(r"^([^-].*?)\s*-$", "-$1")
        .str.replace(r"^\+", "")
    )
    ungrouped = (
        pl.when(pl.col("t").str.contains(_SPACED_GROUPS))
        .then(pl.col("t").str.replace_all(r"[\s'’]", ""))
        .otherwise(pl.col("t"))
    )
    return texts.alias("t").to_frame().select(bare).select(ungrouped).to_series()


def _in_point_notation(texts: pl.Series, decimal_mark: str | None) -> pl.Series:
    if decimal_mark is None and _points_are_decimal(texts):
        return texts
    point = texts.str.contains(_POINT) | texts.str.contains(_POINT_WITH_GROUPS)
    comma = texts.str.contains(_COMMA) | texts.str.contains(_COMMA_WITH_GROUPS)
    if decimal_mark is not None:
        return _unmarked(texts, point if decimal_mark == "." else comma, decimal_mark)
    clear_point, clear_comma = int((point & ~comma).sum()), int((comma & ~point).sum())
    with_mark = texts.str.contains("[.,]")
    by_comma = clear_comma > clear_point
    clear = max(clear_point, clear_comma)
    if clear == 0:
        guessed = _commas_group(texts)
    else:
        guessed = clear >= _CLEAR_MAJORITY * (clear_point + clear_comma)
    fits = (comma if by_comma else point) & ~(point & comma & with_mark & (not guessed))
    return _unmarked(texts, fits, "," if by_comma else ".")


def _points_are_decimal(texts: pl.Series) -> bool:
    """Whether there are but points, one a number, and one of them shows what it is for."""
    if texts.str.contains(",", literal=True).any() or texts.str.contains(r"\..*\.").any():
        return False
    marked = texts.str.contains(".", literal=True)
    showing = marked & texts.str.contains(_POINT) & ~texts.str.contains(_EITHER)
    return bool(showing.any()) or not bool(marked.any())


def _unmarked(texts: pl.Series, fits: pl.Series, mark: str) -> pl.Series:
    """Take the groups' marks away and write the decimal sign as a point; null what fits not."""
    plain = texts.str.replace_all("," if mark == "." else ".", "", literal=True)
    return plain.str.replace(mark, ".", literal=True).set(~fits, None)


def _commas_group(texts: pl.Series) -> bool:
    """Whether commas, the only marks, must group thousands: small numbers go without one.

    Points alone are never taken for that: whole floats are written without one, too.
    """
    if texts.str.contains(".", literal=True).any():
        return False
    return bool(texts.str.contains(r"^-?[0-9]{1,3}$").any()) and not bool(
        texts.str.contains(r"^-?[0-9]{4,}$").any()
    )
