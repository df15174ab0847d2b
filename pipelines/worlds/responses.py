"""What actions do, by class and by the observable state in which a customer was treated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.errors import InputError
from pipelines.worlds.classes import Classes
from pipelines.worlds.draws import Floats, Ints
from pipelines.worlds.parameters import Response, World
from serving.playbook import LET_GO, Action, Playbook

CELLS = 8
"""Observable states: late, discounter and engaged, each 1 or 0, as the bits 1, 2 and 4."""
LATE, DISCOUNTER, ENGAGED = 1, 2, 4
NOTHING = 0
"""Place of doing nothing among a world's actions."""


@dataclass(frozen=True)
class Responses:
    """Arrays with a place for each action, doing nothing first.

    Attributes
    ----------
    buying
        Factor on rates of buying while the action works: action x cell x class.
    spend
        Factor on order values: action.
    annoys, redeems
        Chances to leave at once, and to use the incentive: action x class.
    resolves
        Added daily chance that an open complaint is resolved: action.
    contact_cost, incentive_share, incentive_amount
        What the playbook says that an action costs: action.
    marketing
        Whether it needs consent: action.
    """

    names: tuple[str, ...]
    buying: Floats
    spend: Floats
    annoys: Floats
    redeems: Floats
    resolves: Floats
    contact_cost: Floats
    incentive_share: Floats
    incentive_amount: Floats
    marketing: NDArray[np.bool_]

    def places(self, actions: list[str]) -> Ints:
        """Find the places of actions by name.

        Raises
        ------
        InputError
            This world does not know what one of them does.
        """
        known = {name: place for place, name in enumerate(self.names)}
        # Letting go is doing nothing.
        known[LET_GO] = NOTHING
        unknown = sorted(set(actions) - set(known))
        if unknown:
            raise InputError(
                f"this world does not know what {unknown[0]} does; it knows "
                f"{', '.join(self.names[1:])}, and none and let_go, which do nothing; take the "
                "rows of others out of the plan"
            )
        return np.array([known[action] for action in actions], dtype=np.int64)


def responses_of(world: World, classes: Classes, playbook: Playbook) -> Responses:
    """Lay out what the actions of a world do and, by the playbook, cost.

    Raises
    ------
    InputError
        An action of the world is not in the playbook.
    """
    priced = {action.key: action for action in playbook.actions}
    for name in (*world.effects.actions, *world.programme.audiences):
        if name not in priced:
            raise InputError(
                f"the world's action {name} is not in the playbook, which says what it costs; "
                "add it there or take it out of the world"
            )
    names = tuple(dict.fromkeys((*world.effects.actions, *world.programme.audiences)))
    told = [world.effects.actions.get(name, Response()) for name in names]
    costs = [priced[name] for name in names]

    def by_class(field: str) -> Floats:
        rows = [
            [getattr(response, field).get(kind, 0.0) for kind in classes.kinds] for response in told
        ]
        nothing = np.zeros((1, len(classes)))
        return np.vstack([nothing, np.array(rows).reshape(len(told), -1)[:, classes.kind]])

    return Responses(
        names=("none", *names),
        buying=_buying(world, classes, told, by_class("buying")),
        spend=np.array([1.0, *(1 + response.spend for response in told)]),
        annoys=by_class("annoys"),
        redeems=by_class("redeems"),
        resolves=np.array([0.0, *(response.resolves for response in told)]),
        contact_cost=np.array([0.0, *(action.contact_cost for action in costs)]),
        incentive_share=np.array([0.0, *(_incentive(action)[0] for action in costs)]),
        incentive_amount=np.array([0.0, *(_incentive(action)[1] for action in costs)]),
        marketing=np.array([False, *(action.purpose == "marketing" for action in costs)]),
    )


def _incentive(action: Action) -> tuple[float, float]:
    given = action.incentive
    return (0.0, 0.0) if given is None else (given.share_of_order or 0.0, given.amount or 0.0)


def _buying(world: World, classes: Classes, told: list[Response], by_class: Floats) -> Floats:
    hidden = world.effects.hidden
    # Where nobody has the trait, it is no matter.
    trait = np.where(classes.trait == 1, hidden.having, hidden.lacking) * (hidden.share > 0)
    cells = np.arange(CELLS)
    log = np.zeros((len(told) + 1, CELLS, len(classes)))
    for place, response in enumerate(told, start=1):
        when = response.when
        state = (
            when.late * ((cells & LATE) > 0)
            + when.discounter * ((cells & DISCOUNTER) > 0)
            + when.engaged * ((cells & ENGAGED) > 0)
        )
        log[place] = by_class[place] + trait + state[:, None]
    return np.exp(log)
