"""The chances of one day, the same for who is simulated, for the truth and for what can be known.

Within a day: a spell of interest begins or ends; there is an order or not; who ordered has left
with the chance of quitting, who did not with that of dropping out; then an open complaint is
resolved or a new one arises.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.worlds.calendar import DayEffects
from pipelines.worlds.classes import YEAR, Classes
from pipelines.worlds.draws import Floats, Ints
from pipelines.worlds.parameters import World


@dataclass(frozen=True)
class Chances:
    """Chances of a day, each of the shape that classes and factors broadcast to.

    Attributes
    ----------
    begins, ends
        Of a spell of interest, for those outside and within one.
    buys
        Of an order, outside a spell and within one; whoever falls into one is within.
    leaves
        Unseen, for those who did not order, without and with an open complaint.
    """

    begins: Floats
    ends: float
    buys: tuple[Floats, Floats]
    leaves: tuple[Floats, Floats]


def customer_chances(
    world: World, classes: Classes, which: Ints | slice, day: DayEffects, factor: Floats | float
) -> Chances:
    """Give a customer's chances.

    Parameters
    ----------
    which
        Their classes.
    factor
        On their buying: by a treatment, by a channel that was closed.
    """
    factor = day.buying * np.asarray(factor)
    if day.depth > 0:
        factor = factor * classes.promotion_pull[which]
    within = -np.expm1(-world.interest.buys_per_day * factor)
    leaving = classes.dropout[which] * day.leaving
    sold = world.subscription is None
    begins = -np.expm1(-classes.onset[which] * factor)
    return Chances(
        begins=begins,
        ends=world.interest.ends_per_day,
        buys=(
            -np.expm1(-classes.impulse[which] * factor),
            within if sold else np.zeros_like(within),
        ),
        leaves=(-np.expm1(-leaving), -np.expm1(-leaving * world.complaints.dropout_factor)),
    )


def prospect_chances(world: World, day: DayEffects, factor: Floats | float) -> Chances:
    """Give the chances of who has not bought yet, which are of no class."""
    factor = day.buying * np.asarray(factor, dtype=np.float64)
    leaves = np.asarray(-np.expm1(-world.prospects.lost_per_year / YEAR * day.leaving))
    return Chances(
        begins=-np.expm1(-world.prospects.spells_per_year / YEAR * factor),
        ends=world.interest.ends_per_day,
        buys=(
            -np.expm1(-world.prospects.impulses_per_year / YEAR * factor),
            -np.expm1(-world.interest.buys_per_day * factor),
        ),
        leaves=(leaves, leaves),
    )


def renewal_chance(
    world: World,
    classes: Classes,
    which: Ints | slice,
    day: DayEffects,
    factor: Floats | float,
    in_use: Floats | float,
    complaining: Floats | float,
) -> Floats:
    """Give the chance that a term is renewed on the day on which that is decided."""
    terms = world.subscription
    if terms is None:
        raise ValueError("this world has no contracts")
    # Seasons are no reason to cancel; breaks are.
    breaks = np.log(day.demand / day.leaving)
    log_odds = (
        classes.renewal_log_odds[which]
        + np.log(factor)
        + breaks
        + terms.unused * (1 - np.asarray(in_use))
        + terms.complaining * np.asarray(complaining)
    )
    renewed: Floats = 1 / (1 + np.exp(-log_odds))
    return renewed


def quit_chance(classes: Classes, which: Ints | slice, day: DayEffects) -> Floats:
    """Give the chance to leave after an order."""
    left: Floats = 1 - (1 - classes.quits[which]) ** day.leaving
    return left


def complaint_chance(world: World) -> float:
    """Give the daily chance of a complaint of who is still there and has none open."""
    return float(-np.expm1(-world.complaints.per_year / YEAR))
