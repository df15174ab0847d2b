"""Whom something may be done for, as scoring finds them, batch by batch.

What is kept of a customer are some 150 bytes, and 38 for each action that would pay; the features
of a batch are forgotten with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from serving.action_words import ActionWords
from serving.actions import NOTES
from serving.named_offers import NOTHING
from serving.plan.offers import NOBODY, Floats, Offers
from serving.plan.past import Cooling
from serving.scorer import Scores
from serving.worth import LEVELS

_LOW, _MID, _HIGH = (LEVELS.index(level) for level in ("low", "mid", "high"))
_Z90 = 1.644854


@dataclass(frozen=True)
class Facts:
    """What is known of customers, one row for each.

    Attributes
    ----------
    stage, risk, value : int8 arrays
        Codes as in :class:`serving.scorer.Scores`.
    churn_probability, expected_spend, clv_12m : float64 arrays
        As told in the scores.
    spend_deviation : float64 array
        Standard deviation of the net spend that will be seen, of its 90% interval.
    usual : int8 array
        The action worth most of those allowed, paying or not: what a rule without values would do;
        below zero where no value is known.
    usual_value, usual_cost : float64 arrays
        Of that.
    """

    stage: NDArray[np.int8]
    risk: NDArray[np.int8]
    value: NDArray[np.int8]
    churn_probability: Floats
    expected_spend: Floats
    clv_12m: Floats
    spend_deviation: Floats
    usual: NDArray[np.int8]
    usual_value: Floats
    usual_cost: Floats


@dataclass(frozen=True)
class Pairs:
    """Every customer and action that would pay, sorted by customer.

    Attributes
    ----------
    customer : int32 array
        Row of the people.
    action : int8 array
        Place in the playbook.
    value, cost, moved : float64 arrays
        Net value, expected cost, change of the chance of buying.
    low, high : float32 arrays
        The value at the ends of the effects.
    offer : int16 array
        What the action names (:class:`serving.named_offers.NamedOffers`), below zero for nothing.
    """

    customer: NDArray[np.int32]
    action: NDArray[np.int8]
    value: Floats
    cost: Floats
    moved: Floats
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    offer: NDArray[np.int16]

    def of(self, customers: NDArray[np.intp], actions: NDArray[np.int8]) -> NDArray[np.intp]:
        """Find the rows of some customers' actions; below zero where the action would not pay."""
        keys = self.customer.astype(np.int64) * 128 + self.action
        wanted = customers.astype(np.int64) * 128 + actions
        places = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
        found = keys[places] == wanted if len(keys) else np.zeros(len(wanted), dtype=bool)
        return np.where(found, places, -1)


@dataclass(frozen=True)
class People:
    """Everybody of a day.

    Attributes
    ----------
    customers, decisions
        Ids of whom something may be done for, and of the answers about them.
    words
        What is said of the actions.
    effects, measured_share
        Where the effect of each action comes from, and how much of it is measured.
    facts, pairs
        What is known of them, and what would pay.
    known
        How many customers were scored.
    left_out
        Customers by note (:data:`serving.actions.NOTES`) whom nothing may or should be done for.
    """

    keys: tuple[str, ...]
    words: ActionWords
    effects: tuple[str, ...]
    measured_share: tuple[float, ...]
    customers: pa.Array
    decisions: pa.Array
    facts: Facts
    pairs: Pairs
    known: int
    left_out: dict[str, int]

    def __len__(self) -> int:
        return len(self.customers)

    def offers(self) -> Offers:
        """Lay what would pay out by action and customer."""
        shape = (len(self.keys), len(self))
        value, cost = np.full(shape, -np.inf), np.zeros(shape)
        value[self.pairs.action, self.pairs.customer] = self.pairs.value
        cost[self.pairs.action, self.pairs.customer] = self.pairs.cost
        return Offers(value, cost)


class Gathering:
    """Collects people from batches of scores.

    Parameters
    ----------
    keys
        The playbook's actions in their order.
    words
        What is said of them.
    cooling
        What waits because it was done before.
    """

    def __init__(self, keys: tuple[str, ...], words: ActionWords, cooling: Cooling) -> None:
        self._keys = keys
        self._words = words
        self._effects = ("assumed",) * len(keys)
        self._shares = (0.0,) * len(keys)
        self._cooling = cooling
        self._known = 0
        self._count = 0
        self._notes = np.zeros(len(NOTES), np.int64)
        self._customers: list[pa.Array] = []
        self._decisions: list[pa.Array] = []
        self._facts: list[Facts] = []
        self._pairs: list[Pairs] = []

    def add(self, customers: pa.Array, decisions: pa.Array, scores: Scores) -> None:
        """Take up a batch: the next customers of the day."""
        chosen = scores.choices
        # Doing nothing is the first of the candidates; the same for all batches.
        self._effects, self._shares = (
            tuple(chosen.effects[1:]),
            tuple(chosen.measured_share[1:].tolist()),
        )
        waits = self._cooling.of(self._known, len(customers))
        allowed, paying = chosen.allowed & ~waits, chosen.candidate & ~waits
        rows = np.flatnonzero(allowed.any(axis=1))
        self._known += len(customers)
        self._note(scores, paying, chosen.candidate)
        self._customers.append(customers.take(pa.array(rows)))
        self._decisions.append(decisions.take(pa.array(rows)))
        self._facts.append(_facts(scores, allowed, rows))
        self._pairs.append(_pairs(scores, paying, rows, self._count))
        self._count += len(rows)

    def people(self) -> People:
        """Put everybody together."""
        return People(
            self._keys,
            self._words,
            self._effects,
            self._shares,
            _joined(self._customers),
            _joined(self._decisions),
            Facts(**_columns(self._facts)),
            Pairs(**_columns(self._pairs)),
            self._known,
            {note: int(count) for note, count in zip(NOTES, self._notes, strict=True) if count},
        )

    def _note(self, scores: Scores, paying: NDArray[np.bool_], before: NDArray[np.bool_]) -> None:
        note = scores.choices.note_index
        # What the newest treatment alone did not show: an earlier one still cools.
        stopped = before.any(axis=1) & ~paying.any(axis=1)
        note = np.where(stopped, np.int8(NOTES.index("none_cooling_down")), note)
        self._notes += np.bincount(note[~paying.any(axis=1)], minlength=len(NOTES))


def _facts(scores: Scores, allowed: NDArray[np.bool_], rows: NDArray[np.intp]) -> Facts:
    chosen, said = scores.choices, scores.predictions
    worth = np.where(allowed & ~np.isnan(chosen.worth[_MID]), chosen.worth[_MID], -np.inf)[rows]
    usual = worth.argmax(axis=1)
    place = np.arange(len(rows))
    valued = np.isfinite(worth[place, usual])
    width = said.spend_upper[rows] - said.spend_lower[rows]
    return Facts(
        scores.stage[rows],
        scores.risk[rows],
        scores.value[rows],
        said.churn_probability[rows],
        said.expected_spend[rows],
        said.clv_12m[rows],
        np.asarray(width / (2 * _Z90)),
        np.where(valued, usual, NOBODY).astype(np.int8),
        np.where(valued, worth[place, usual], 0.0),
        np.where(valued, chosen.cost[rows, usual], 0.0),
    )


def _pairs(scores: Scores, paying: NDArray[np.bool_], rows: NDArray[np.intp], before: int) -> Pairs:
    customer, action = np.nonzero(paying[rows])
    row, chosen = rows[customer], scores.choices
    ends = chosen.worth[:, row, action]
    return Pairs(
        (customer + before).astype(np.int32),
        action.astype(np.int8),
        ends[_MID],
        chosen.cost[row, action],
        chosen.moved[row, action],
        ends.min(axis=0).astype(np.float32),
        ends.max(axis=0).astype(np.float32),
        _offers(scores, row, action),
    )


def _offers(scores: Scores, rows: NDArray[np.intp], actions: NDArray[np.intp]) -> NDArray[np.int16]:
    codes = np.full(len(rows), NOTHING, np.int16)
    for place, offered in scores.offers.items():
        mine = actions == place
        codes[mine] = offered[rows[mine]]
    return codes


def _joined(parts: list[pa.Array]) -> pa.Array:
    return pa.concat_arrays(parts) if parts else pa.array([], pa.string())


def _columns(parts: Sequence[Facts] | Sequence[Pairs]) -> dict[str, Any]:
    names = parts[0].__dataclass_fields__ if parts else {}
    return {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
