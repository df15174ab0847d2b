"""Days as the product counts them: whole UTC days since 1970-01-01."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from features.errors import InputError

_EPOCH = date(1970, 1, 1)


def day_number(day: date) -> int:
    """Count the days since 1970-01-01.

    >>> day_number(date(1970, 1, 2))
    1
    """
    return (day - _EPOCH).days


def day_of(number: int) -> date:
    """Turn a day number back into a date.

    >>> day_of(day_number(date(1998, 6, 30)))
    datetime.date(1998, 6, 30)
    """
    return _EPOCH + timedelta(days=int(number))


def closing(day: date) -> datetime:
    """Give the last microsecond of a day, the moment that stamps its features.

    >>> closing(date(1998, 6, 30)).isoformat()
    '1998-06-30T23:59:59.999999+00:00'
    """
    return datetime(day.year, day.month, day.day, 23, 59, 59, 999_999, tzinfo=UTC)


def parse_day(text: str) -> date:
    """Read a day as YYYY-MM-DD.

    Raises
    ------
    InputError
        The text is no such day.
    """
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise InputError(
            f"{text!r} is not a day; write it as YYYY-MM-DD, e.g. 1998-06-30"
        ) from None


def day_in_name(file: Path) -> date | None:
    """The day that a file is named by; None where it is named otherwise.

    >>> day_in_name(Path("scores/1998-06-30.parquet")), day_in_name(Path("notes.json"))
    (datetime.date(1998, 6, 30), None)
    """
    try:
        return date.fromisoformat(file.stem)
    except ValueError:
        return None
