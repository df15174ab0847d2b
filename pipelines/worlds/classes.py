"""Latent classes: kind, level and trait of a customer, as arrays to look up in.

That they are finitely many makes the truth exact: what is true of a class is computed once, and
what could be known of a customer is a weight on each class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.worlds.draws import Floats, Ints
from pipelines.worlds.parameters import World

YEAR = 365.0


@dataclass(frozen=True)
class Classes:
    """Arrays with a place for each class; rates are a day's.

    Attributes
    ----------
    kind, level, trait
        Which they are of; a trait is 0 or 1.
    share_by_source
        Of those who come by an acquisition channel, one row each.
    impulse, onset
        Rates of buying outside a spell of interest and of falling into one.
    dropout, quits
        Rate of leaving unseen, and chance of it after an order.
    """

    kinds: tuple[str, ...]
    kind: Ints
    level: Ints
    trait: Ints
    share_by_source: Floats
    impulse: Floats
    onset: Floats
    dropout: Floats
    quits: Floats
    uses_discount: Floats
    promotion_pull: Floats
    browses: Floats
    renewal_log_odds: Floats
    log_value: Floats
    value_spread: Floats

    def __len__(self) -> int:
        return len(self.kind)


def classes_of(world: World) -> Classes:
    """Lay out the classes of a world."""
    kinds = tuple(world.kinds)
    traits = {0.0: [0], 1.0: [1]}.get(world.effects.hidden.share, [0, 1])
    kind, level, trait = (
        axis.ravel()
        for axis in np.meshgrid(
            np.arange(len(kinds)), np.arange(len(world.levels)), np.array(traits), indexing="ij"
        )
    )

    def of_kind(name: str) -> Floats:
        each = np.array([getattr(k, name) for k in world.kinds.values()], dtype=np.float64)
        values: Floats = each[kind]
        return values

    hidden = world.effects.hidden.share
    within = np.array([step.share for step in world.levels])[level] * np.where(
        trait == 1, hidden, 1 - hidden
    )
    by_source = np.array(
        [
            [k.share * source.tilt.get(name, 1.0) for name, k in world.kinds.items()]
            for source in world.people.sources.values()
        ]
    )
    by_source /= by_source.sum(axis=1, keepdims=True)
    rate = of_kind("purchases_per_year") / YEAR
    rate = rate * np.array([step.rate for step in world.levels])[level]
    renews = np.clip(of_kind("renews"), 1e-6, 1 - 1e-6)
    return Classes(
        kinds=kinds,
        kind=kind.astype(np.int64),
        level=level.astype(np.int64),
        trait=trait.astype(np.int64),
        share_by_source=by_source[:, kind] * within,
        **_rates(world, rate),
        dropout=of_kind("dropout_per_year") / YEAR,
        quits=of_kind("quits_after_order"),
        uses_discount=of_kind("uses_discount"),
        promotion_pull=of_kind("promotion_pull"),
        browses=of_kind("browses"),
        renewal_log_odds=np.log(renews / (1 - renews)),
        log_value=np.log(of_kind("order_value")),
        value_spread=of_kind("order_spread"),
    )


def _rates(world: World, rate: Floats) -> dict[str, Floats]:
    if world.subscription is not None:
        # Spells are spells of use, and only terms are bought.
        return {"impulse": np.zeros_like(rate), "onset": rate}
    interest = world.interest
    buys = -np.expm1(-interest.buys_per_day)
    ends = interest.ends_per_day * (1 - buys)
    return {
        "impulse": interest.impulse_share * rate,
        "onset": (1 - interest.impulse_share) * rate * (buys + ends) / buys,
    }
