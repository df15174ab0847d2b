"""What the tables show of one day, for whoever reasons about what they do not."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pipelines.worlds.calendar import DayEffects
from pipelines.worlds.company import Assignments
from pipelines.worlds.draws import Floats, Ints
from pipelines.worlds.state import Flags


def nobody() -> Ints:
    """An empty list of people."""
    return np.zeros(0, dtype=np.int64)


@dataclass
class Seen:
    """A day's facts: who did what.

    Attributes
    ----------
    given
        Who was drawn or planned to be treated this morning, if anyone was.
    treated, working, cell
        Who was treated this morning; of all who were known then, the action that works today and
        the observable state that it met.
    was_customer, was_complaining
        Of all who were known then.
    buyers, discounted, able, redeemed
        Who ordered or renewed; who of them used a promotion; who could have redeemed an incentive,
        and who did.
    priced, log_values
        Who ordered at a price of their own choice, and the logarithm of the order's value, freed
        of what is known to have moved it.
    deciding
        Contract world: who renewed or cancelled.
    visitors, shows
        Who visited without ordering, and for each kind who of these showed it.
    mailed, opened, clicked
        Who was sent the newsletter, and what they did.
    complained
        Whose complaint arose.
    """

    day: DayEffects
    given: Assignments | None
    treated: Ints
    working: Ints
    cell: Ints
    was_customer: Flags
    was_complaining: Flags
    buyers: Ints = field(default_factory=nobody)
    discounted: Ints = field(default_factory=nobody)
    able: Ints = field(default_factory=nobody)
    redeemed: Ints = field(default_factory=nobody)
    priced: Ints = field(default_factory=nobody)
    log_values: Floats = field(default_factory=lambda: np.zeros(0))
    deciding: Ints = field(default_factory=nobody)
    visitors: Ints = field(default_factory=nobody)
    shows: dict[str, Flags] = field(default_factory=dict)
    mailed: Ints = field(default_factory=nobody)
    opened: Ints = field(default_factory=nobody)
    clicked: Ints = field(default_factory=nobody)
    complained: Ints = field(default_factory=nobody)
