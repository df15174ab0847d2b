"""Numbers as people say them, the same in every language."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache

MONTH_DAYS = 30.0
MINUTE_SECONDS = 60.0


@lru_cache(maxsize=65_536)
def number(value: float) -> str:
    """Round to what a person would say.

    >>> [number(v) for v in (71.0, 23.6, 2.875, 3.0, 0.254, 0.004, 0.0, -12345.6)]
    ['71', '24', '2.9', '3', '0.25', '<0.01', '0', '-12,346']
    """
    size = abs(value)
    if size >= 9.95:
        return f"{value:,.0f}"
    if size >= 0.995:
        return f"{value:.1f}".removesuffix(".0")
    if size >= 0.005:
        return f"{value:.2f}".rstrip("0").removesuffix(".")
    return "<0.01" if value > 0 else "0"


@lru_cache(maxsize=4_096)
def percent(value: float) -> str:
    """Spell a share.

    >>> percent(0.254), percent(0.001), percent(0.999), percent(1.0)
    ('25%', '<1%', '>99%', '100%')
    """
    if 0 < value < 0.005:
        return "<1%"
    if 0.995 <= value < 1:
        return ">99%"
    return f"{100 * value + 0.0:,.0f}%"


def monthly(value: float) -> str:
    """Spell a rate a day by what it makes in 30 days.

    >>> monthly(0.1)
    '3'
    """
    return number(MONTH_DAYS * value)


def minutes(value: float) -> str:
    """Spell seconds in minutes.

    >>> minutes(90.0)
    '1.5'
    """
    return number(value / MINUTE_SECONDS)


def factor(value: float) -> str:
    """Spell a natural logarithm by the factor that it stands for.

    >>> factor(0.0), factor(0.6931)
    ('1', '2')
    """
    return number(math.exp(min(value, 30.0)))


SPELLERS: Mapping[str, Callable[[float], str]] = {
    "": number,
    "percent": percent,
    "monthly": monthly,
    "minutes": minutes,
    "factor": factor,
}
"""How a sentence may ask for a number, by the name that it uses."""
