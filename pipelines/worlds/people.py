"""Who there is: when each came and by what, and what of each never changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.worlds.classes import Classes
from pipelines.worlds.draws import Floats, Ints, choices, normals, uniforms
from pipelines.worlds.parameters import World

BLOCK = 1024
"""People are drawn so many at a time, so that no one's numbers depend on how many follow."""


@dataclass(frozen=True)
class People:
    """Arrays with a place for each person, who is numbered from 0 in the order of registering.

    Attributes
    ----------
    registered
        Days since the world's start.
    latent
        Place of their class, which no table shows.
    log_value
        Logarithm of a usual order's value before noise, likewise.
    source, channel, region, age_group, favourite
        Places in the world's lists.
    consent
        To marketing: 1, 0, or -1 for unknown.
    at_once
        Whether the first order comes with the registration.
    """

    registered: Ints
    latent: Ints
    log_value: Floats
    source: Ints
    source_cost: Floats
    channel: Ints
    region: Ints
    age_group: Ints
    favourite: Ints
    plan: Ints
    consent: Ints
    at_once: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.registered)


def registered_by(world: World, customers: int, day: int) -> int:
    """Count who has registered by the end of a day.

    >>> from pipelines.worlds.catalogue import load_world
    >>> shop = load_world("shop")
    >>> [registered_by(shop, 1000, day) for day in (0, 59, 730, 1095)]
    [3, 219, 1000, 1424]
    """
    people = world.people
    founding = people.founding_share * min(1.0, (day + 1) / people.founding_days)
    later = (1 - people.founding_share) * (day + 1) / people.intake_days
    # The millionth keeps a sum that is a whole number from falling short of it.
    return int(customers * (founding + later) + 1e-6)


def draw_people(world: World, classes: Classes, seed: int, customers: int, day: int) -> People:
    """Draw everybody who registers by a day, and a few more."""
    counts = np.array([registered_by(world, customers, d) for d in range(day + 1)])
    size = -(-max(int(counts[-1]), 1) // BLOCK) * BLOCK
    ids = np.arange(size)
    registered = np.searchsorted(counts, ids, side="right")
    who = world.people

    def place(name: str, shares: list[float]) -> Ints:
        return choices(np.array(shares), uniforms(seed, name, 0, ids))

    source = place("source", [s.share for s in who.sources.values()])
    latent = choices(classes.share_by_source[source], uniforms(seed, "class", 0, ids))
    cost = np.array([s.cost for s in who.sources.values()])[source]
    categories = len(world.orders.categories)
    plans = world.subscription.plans if world.subscription else {}
    consent = place("consent", [who.consents, who.refuses, 1 - who.consents - who.refuses])
    return People(
        registered=registered,
        latent=latent,
        log_value=classes.log_value[latent]
        + classes.value_spread[latent] * normals(seed, "value", 0, ids),
        source=source,
        source_cost=np.round(cost * np.exp(0.4 * normals(seed, "cost", 0, ids) - 0.08), 2),
        channel=place("channel", list(world.orders.channels.values())),
        region=place("region", list(who.regions.values())),
        age_group=place("age", list(who.age_groups.values())),
        favourite=place("favourite", [1 / categories] * categories),
        plan=place("plan", [p.share for p in plans.values()] or [1.0]),
        consent=np.array([1, 0, -1])[consent],
        at_once=uniforms(seed, "at once", 0, ids) < world.prospects.order_at_once,
    )
