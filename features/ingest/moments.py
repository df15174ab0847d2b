"""Times as people export them, read into moments in UTC."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from features.errors import InputError
from features.ingest.codes import read_labels

UTC_MOMENT = pl.Datetime("us", "UTC")

FIRST_SECOND = 0
"""1970-01-01, the first moment that is believed."""
END_SECOND = 4_133_980_800
"""2101-01-01, the first moment that is no longer believed."""

_UNITS_A_SECOND = {"ms": 10**3, "us": 10**6, "ns": 10**9}
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]

_ZONE = r"(Z|z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)"
_TIME = (
    r"(?:(?:T|,?\s+)([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
    rf"(?:\s*([AaPp])\.?[Mm]\.?)?\s*{_ZONE}?)?$"
)
_COMPACT_TIME = (
    r"(?:[T\s]?([0-9]{2}):?([0-9]{2})(?::?([0-9]{2})(?:[.,]([0-9]{1,9}))?)?()"
    rf"\s*{_ZONE}?)?$"
)
_CLOCK = ["hour", "minute", "second", "fraction", "half", "zone"]


@dataclass(frozen=True)
class _Shape:
    """Texts that have the same parts in the same places, and the orders they may be read in."""

    pattern: str
    readings: dict[str, tuple[str, str, str]]


_SHAPES = (
    _Shape(
        r"^([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})" + _TIME,
        {"year-month-day": ("year", "month", "day")},
    ),
    _Shape(
        r"^([0-9]{1,2})[-/.]([0-9]{1,2})[-/.]([0-9]{4}|[0-9]{2})" + _TIME,
        {"day/month/year": ("day", "month", "year"), "month/day/year": ("month", "day", "year")},
    ),
    _Shape(
        r"^([0-9]{4})([0-9]{2})([0-9]{2})" + _COMPACT_TIME,
        {"YYYYMMDD": ("year", "month", "day")},
    ),
    _Shape(
        r"^([0-9]{1,2})[-/.\s]+([A-Za-z]{3,9})[-/.,\s]+([0-9]{4}|[0-9]{2})" + _TIME,
        {"day month-name year": ("day", "month", "year")},
    ),
    _Shape(
        r"^([A-Za-z]{3,9})[-/.\s]+([0-9]{1,2})(?:,\s*|[-/.\s]+)([0-9]{4})" + _TIME,
        {"month-name day year": ("month", "day", "year")},
    ),
)


@dataclass(frozen=True)
class Moments:
    """A column of times."""

    at: pl.Series
    """Datetime('us', 'UTC'); null where unreadable or outside the years 1970 to 2100."""
    out_of_range: pl.Series
    """Whether a time was readable, but outside the years 1970 to 2100."""
    zoned: pl.Series
    """Whether the time said its zone; without one it is taken for UTC."""
    reading: str
    """How the texts were read, for people: "day/month/year", a format, or "typed"."""


def read_moments(
    column: pl.Series, date_format: str | None = None, prefer: str | None = None
) -> Moments:
    """Read a column of dates, times, YYYYMMDD integers or texts into moments.

    Texts are read in the one order of day, month and year that reads the most of them.

    >>> read_moments(pl.Series("at", ["1/12/2010 8:26", "13/12/2010 08:26:30"])).at.to_list()[0]
    datetime.datetime(2010, 12, 1, 8, 26, tzinfo=zoneinfo.ZoneInfo(key='UTC'))
    >>> str(read_moments(pl.Series("at", ["2010-12-01T08:26:00+02:00"])).at[0])
    '2010-12-01 06:26:00+00:00'

    >>> read_moments(pl.Series("at", ["1/12/2010", "2/12/2010"]))
    Traceback (most recent call last):
    ...
    features.errors.InputError: '1/12/2010' in column at may be day/month/year or month/day/year; \
set data.date_format to %d/%m/%Y or %m/%d/%Y (with %H:%M where there are times)

    Parameters
    ----------
    column
        Texts, dates, times, or integers.
    date_format
        The strptime format of texts, used alone.
    prefer
        The reading to take where day-first and month-first read equally well.

    Raises
    ------
    InputError
        The column cannot hold times, no row has one, or day and month cannot be told apart.
    """
    kind = column.dtype
    if isinstance(kind, pl.Datetime):
        return _typed(column, _UNITS_A_SECOND[kind.time_unit], zoned=kind.time_zone is not None)
    if kind == pl.Date:
        return _typed(column.cast(pl.Datetime("ms")), 10**3, zoned=False)
    if kind.is_nested() or kind.is_temporal() or kind in (pl.Boolean, pl.Binary):
        raise InputError(f"column {column.name} holds {kind}, not dates; map another column")
    return _from_texts(read_labels(column).alias(column.name), date_format, prefer)


def _typed(column: pl.Series, units_a_second: int, *, zoned: bool) -> Moments:
    ticks = column.to_physical().cast(pl.Int64)
    within = (ticks >= FIRST_SECOND * units_a_second) & (ticks < END_SECOND * units_a_second)
    # The range comes first: microseconds of the year 200,000 would overflow.
    believed = ticks.set(~within, None)
    micros = (
        believed * (10**6 // units_a_second)
        if units_a_second <= 10**6
        else believed // (units_a_second // 10**6)
    )
    return Moments(
        at=micros.cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        out_of_range=(~within).fill_null(False),
        zoned=pl.Series([zoned], dtype=pl.Boolean).new_from_index(0, len(column)),
        reading="typed",
    )


def _from_texts(texts: pl.Series, date_format: str | None, prefer: str | None) -> Moments:
    counted = texts.alias("text").drop_nulls().value_counts(name="rows")
    if date_format:
        read, reading = _by_format(counted["text"], date_format), date_format
    else:
        read, reading = _by_best_reading(counted, texts.name, prefer)
    if read["at"].null_count() == len(read):
        sample = counted["text"].sort()[0] if len(counted) else ""
        raise InputError(_nothing_read(texts.name, sample, date_format))
    joined = texts.alias("text").to_frame().join(read, on="text", how="left", maintain_order="left")
    seconds = joined["at"].dt.epoch("s")
    within = (seconds >= FIRST_SECOND) & (seconds < END_SECOND)
    return Moments(
        at=joined["at"].set(~within, None),
        out_of_range=(~within).fill_null(False),
        zoned=joined["zoned"].fill_null(False),
        reading=reading,
    )


def _nothing_read(name: str, sample: str, date_format: str | None) -> str:
    if not sample:
        return f"column {name} has no dates at all; map another column"
    if date_format:
        return (
            f"data.date_format {date_format!r} reads no date in column {name}, such as {sample!r}; "
            "correct the format or leave it out"
        )
    return (
        f"no date in column {name} is readable, such as {sample!r}; map another column, "
        "or set data.date_format (for example %d.%m.%Y %H:%M)"
    )


def _by_format(texts: pl.Series, date_format: str) -> pl.DataFrame:
    # In Python %f is a fraction of any length; Polars takes it for a count of nanoseconds.
    chrono = date_format.replace(".%f", "%.f").replace("%f", "%6f")
    zoned = any(mark in chrono for mark in ("%z", "%:z", "%#z", "%+", "%s"))
    text = pl.col("text")
    try:
        parsed = text.str.to_datetime(chrono, time_unit="us", strict=False)
        moment = parsed.cast(UTC_MOMENT) if zoned else parsed.dt.replace_time_zone("UTC")
        return texts.to_frame().select(
            text,
            at=moment.cast(UTC_MOMENT),
            zoned=pl.lit(zoned),
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        raise InputError(
            f"data.date_format {date_format!r} is no date format; write one like %d.%m.%Y %H:%M:%S"
        ) from None


def _by_best_reading(
    counted: pl.DataFrame, name: str, prefer: str | None
) -> tuple[pl.DataFrame, str]:
    readings = dict(_readings(counted))
    if not readings:
        nothing = counted.select("text", at=pl.lit(None, UTC_MOMENT), zoned=pl.lit(False))
        return nothing, "unread"
    rows = {reading: int(read["rows"].sum()) for reading, read in readings.items()}
    most = max(rows.values())
    best = [reading for reading, read in rows.items() if read == most]
    chosen = prefer if prefer in best else best[0]
    if {"day/month/year", "month/day/year"} <= set(best) and chosen != prefer:
        first, second = (readings[reading] for reading in ("day/month/year", "month/day/year"))
        differ = first.join(second, on="text").filter(pl.col("at") != pl.col("at_right"))
        if len(differ):
            raise InputError(
                f"{differ['text'].sort()[0]!r} in column {name} may be day/month/year or "
                "month/day/year; set data.date_format to %d/%m/%Y or %m/%d/%Y "
                "(with %H:%M where there are times)"
            )
    return readings[chosen].drop("rows"), chosen


def _readings(counted: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """Give each reading with the rows that it reads; a text has one shape at most."""
    left = counted
    for shape in _SHAPES:
        if not len(left):
            return
        matches = pl.col("text").str.contains(shape.pattern)
        matching, left = left.filter(matches), left.filter(~matches)
        if not len(matching):
            continue
        parts = matching.with_columns(
            pl.col("text").str.extract_groups(shape.pattern).alias("part")
        )
        for reading, order in shape.readings.items():
            read = _composed(parts, order).filter(pl.col("at").is_not_null())
            if len(read):
                yield reading, read


def _composed(parts: pl.DataFrame, order: tuple[str, str, str]) -> pl.DataFrame:
    """Put the parts of a date together in one plain notation and let Polars check it."""
    part = {
        name: pl.col("part").struct.field(str(place))
        for place, name in enumerate([*order, *_CLOCK], start=1)
    }
    year, month = part["year"], part["month"]
    # Two digits are a year of 1969 to 2068, as in POSIX.
    century = pl.when(year < "69").then(pl.lit("20")).otherwise(pl.lit("19"))
    named = month.str.slice(0, 3).str.to_lowercase()
    zone = part["zone"].str.replace(r"^([+-][0-9]{2}):?$", "${1}00").str.replace(":", "")
    text = pl.concat_str(
        pl.when(year.str.len_bytes() == 2).then(century + year).otherwise(year),
        pl.lit("-"),
        named.replace_strict(_MONTHS, [str(n) for n in range(1, 13)], default=month),
        pl.lit("-"),
        part["day"],
        pl.lit(" "),
        _hour(part["hour"], part["half"]).fill_null("0"),
        pl.lit(":"),
        part["minute"].fill_null("0"),
        pl.lit(":"),
        part["second"].fill_null("0"),
        pl.lit("."),
        part["fraction"].fill_null("0"),
        pl.when(zone.str.contains("^[+-]")).then(zone).otherwise(pl.lit("+0000")),
    )
    moment = text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f%z", time_unit="us", strict=False)
    return parts.select("text", "rows", at=moment.cast(UTC_MOMENT), zoned=zone.is_not_null())


def _hour(hour: pl.Expr, half: pl.Expr) -> pl.Expr:
    """Turn an hour of the half day into one of the day; 0 and 13 o'clock have no half."""
    number = hour.cast(pl.Int32)
    after_noon = (half.str.to_lowercase() == "p").cast(pl.Int32) * 12
    on_clock = pl.when(number.is_between(1, 12)).then((number % 12 + after_noon).cast(pl.String))
    return pl.when(half.fill_null("") == "").then(hour).otherwise(on_clock.fill_null("99"))
