"""Whom another playbook moves, and what money: two plans of the same day side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from features.catalogue import JOIN_KEY
from serving.plan.offers import NOBODY, Limits
from serving.plan.people import People
from serving.plan.solve import Solution, solve
from serving.playbook import NONE


@dataclass(frozen=True)
class Side:
    """A plan by one playbook.

    Attributes
    ----------
    chosen
        ``customer_id``, ``action``, ``value``, ``cost``, a row for whoever gets an action.
    """

    people: People
    solution: Solution
    chosen: pl.DataFrame

    @classmethod
    def of(cls, people: People, limits: Limits) -> Side:
        """Plan, without a control group."""
        solution = solve(people.offers(), limits)
        rows = np.flatnonzero(solution.choice != NOBODY)
        actions = solution.choice[rows]
        pair = people.pairs.of(rows, actions)
        chosen = pl.DataFrame(
            {
                JOIN_KEY: pl.Series(people.customers.take(pa.array(rows))),
                "action": np.array(people.keys)[actions],
                "value": people.pairs.value[pair],
                "cost": people.pairs.cost[pair],
            }
        )
        return cls(people, solution, chosen)

    def valued(self, chosen: pl.DataFrame) -> tuple[float, int]:
        """Value actions by this side's beliefs; give it, and how many would not pay or not be done.

        Parameters
        ----------
        chosen
            Of the other side.
        """
        ids = chosen[JOIN_KEY].to_arrow().cast(self.people.customers.type)
        places = pc.index_in(ids, self.people.customers)
        known = np.asarray(pc.is_valid(places))
        rows = np.asarray(pc.fill_null(places, 0), dtype=np.intp)
        keys = {key: place for place, key in enumerate(self.people.keys)}
        actions = np.array([keys.get(key, NOBODY) for key in chosen["action"]], dtype=np.int8)
        pairs = self.people.pairs.of(rows, actions)
        still = known & (actions != NOBODY) & (pairs >= 0)
        return float(self.people.pairs.value[pairs[still]].sum()), int((~still).sum())


def moved(before: Side, after: Side) -> pl.DataFrame:
    """List the customers whose action is another, with its value and cost on either side.

    Returns
    -------
    polars.DataFrame
        ``customer_id``, and ``action``, ``value`` and ``cost`` each with ``_before`` and
        ``_after``; an action ``none`` is worth and costs nothing. Sorted by customer.
    """
    sides = [
        side.chosen.rename({name: f"{name}_{word}" for name in ("action", "value", "cost")})
        for side, word in ((before, "before"), (after, "after"))
    ]
    both = sides[0].join(sides[1], on=JOIN_KEY, how="full", coalesce=True)
    filled = both.with_columns(
        pl.col("action_before", "action_after").fill_null(NONE),
        pl.col("value_before", "value_after", "cost_before", "cost_after").fill_null(0.0),
    )
    return filled.filter(pl.col("action_before") != pl.col("action_after")).sort(JOIN_KEY)


def by_action(before: Side, after: Side) -> list[dict[str, Any]]:
    """Count customers, cost and value of every action on either side, in the new playbook's order.

    Actions that the new playbook has not come last.
    """
    order = [*after.people.keys, *(key for key in before.people.keys if key not in _set(after))]
    sums = [
        {
            row["action"]: row
            for row in side.chosen.group_by("action")
            .agg(pl.len().alias("customers"), pl.col("cost", "value").sum())
            .to_dicts()
        }
        for side in (before, after)
    ]
    nothing = {"customers": 0, "cost": 0.0, "value": 0.0}
    return [
        {
            "action": key,
            **{
                word: {name: side.get(key, nothing)[name] for name in nothing}
                for word, side in zip(("before", "after"), sums, strict=True)
            },
        }
        for key in order
        if any(key in side for side in sums)
    ]


def _set(side: Side) -> set[str]:
    return set(side.people.keys)
