"""What a day does to everybody: season, promotion, prices, breaks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from features.errors import InputError
from pipelines.worlds.parameters import World


@dataclass(frozen=True)
class DayEffects:
    """One day's factors.

    Attributes
    ----------
    number
        Days since the world's start.
    buying, prices, leaving
        Factors on rates of buying, on amounts and on rates of leaving.
    demand
        What of the first is a break's.
    depth
        Of the promotion that is on; 0 without one.
    lost_channel
        The channel that is closed, and the factor on buying of those at home in it.
    """

    number: int
    day: date
    buying: float
    prices: float
    leaving: float
    demand: float
    depth: float
    mail: bool
    lost_channel: str | None
    channel_kept: float


def number_of(world: World, day: date) -> int:
    """Count the days since the world's start.

    Raises
    ------
    InputError
        The day lies before it.
    """
    if day < world.starts:
        raise InputError(
            f"{day} lies before this world's first day; choose {world.starts} or a later day"
        )
    return (day - world.starts).days


def day_effects(world: World, number: int) -> DayEffects:
    """Work out what a day does to everybody.

    >>> from pipelines.worlds.catalogue import load_world
    >>> day_effects(load_world("stable"), 0).buying
    1.15
    """
    day = world.starts + timedelta(days=number)
    seasons = world.seasons
    # The middle of a month has its factor; days between lie between.
    buying = _between_months(seasons.months, day) * seasons.weekdays[day.weekday()]
    if (11, 25) <= (day.month, day.day) <= (12, 20):
        buying *= seasons.christmas
    buying *= seasons.trend_per_year ** (number / 365)
    prices = leaving = demand = kept = 1.0
    lost = None
    for change in world.breaks:
        if day >= change.since:
            prices *= change.prices
            demand *= change.buying
            leaving *= change.leaving
            if change.channel_lost is not None:
                lost, kept = change.channel_lost, change.channel_kept
    first, last = world.promotions.days_of_month
    depth = world.promotions.depth if first <= day.day <= last else 0.0
    mail = day.weekday() == world.signs.mail_weekday
    return DayEffects(
        number, day, buying * demand, prices, leaving, demand, depth, mail, lost, kept
    )


def _between_months(months: tuple[float, ...], day: date) -> float:
    before = (day.month - 2) % 12 if day.day < 15 else day.month - 1
    share = ((day.day - 15) % 30) / 30
    return months[before] * (1 - share) + months[(before + 1) % 12] * share
