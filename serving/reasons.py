"""Why a churn probability is what it is: up to three reasons that say different things.

Features that say nearly the same are one topic (``topics.yaml``). A topic weighs what its features
add to the churn log-odds together, and is told by the one of them that pulls most in that
direction. Topics are told by weight; but of those of comparable weight, at least
:data:`COMPARABLE` of the heaviest, the ones that a person can act on come first.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from features import catalogue
from serving.teller import Teller
from serving.topics import TOPICS

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Reasons = Literal["fast", "exact", "none"]
"""How reasons are found: fast and approximate, exact, or not at all."""

TOLD = 3
"""Reasons told for each customer."""
CHUNK = 1024
"""Rows that are weighed at a time, few enough for the processor's cache."""
SMALLEST = 0.02
"""A topic below this, in log-odds, is not worth a sentence."""
COMPARABLE = 0.5
"""Share of the heaviest topic's weight from which on another's is comparable to it."""


_PLACE = {name: place for place, name in enumerate(catalogue.NAMES)}
_COLUMNS = np.array([_PLACE[name] for topic in TOPICS for name in topic.features])
_TOPIC = np.repeat(np.arange(len(TOPICS)), [len(topic.features) for topic in TOPICS])
_STARTS = np.searchsorted(_TOPIC, np.arange(len(TOPICS)))
_ACT = np.array([topic.act for topic in TOPICS])


def explain(
    matrix: Float, contributions: Float, prospect: NDArray[np.bool_], teller: Teller
) -> list[list[str]]:
    """Tell the topics that move each customer's churn risk most.

    Parameters
    ----------
    matrix
        Features in the catalogue's order, shape (n, features).
    contributions
        What each adds to the churn log-odds, same shape.
    prospect
        Customers who never bought; theirs is the conversion of others.

    Returns
    -------
    list of list of str
        Up to three sentences a customer, each with the direction in which it moves the risk.
    """
    told: list[list[str]] = [[] for _ in range(len(matrix))]
    parts = [slice(start, start + CHUNK) for start in range(0, max(len(matrix), 1), CHUNK)]
    chosen = [choose(contributions[rows], teller.tellable(matrix[rows])) for rows in parts]
    leads, raises = (np.concatenate(found) for found in zip(*chosen, strict=True))
    leads[prospect] = -1
    given = np.nonzero(leads >= 0)
    sentences = _sentences(matrix, given[0], leads[given], teller)
    for row, up, sentence in zip(given[0].tolist(), raises[given].tolist(), sentences, strict=True):
        told[row].append(teller.directed(sentence, up))
    unbought = np.flatnonzero(prospect)
    for row, sentence in zip(
        unbought.tolist(), teller.tell_prospects(matrix, unbought), strict=True
    ):
        told[row].append(sentence)
    return told


def choose(contributions: Float, tellable: NDArray[np.bool_]) -> tuple[Int, NDArray[np.bool_]]:
    """Choose the feature that tells each reason, in the order in which they are told.

    Returns
    -------
    leads
        Places in the catalogue, -1 where there are fewer reasons, shape (n, TOLD).
    raises
        Whether the reason raises the risk, same shape.
    """
    ordered = contributions[:, _COLUMNS]
    weights = np.add.reduceat(ordered, _STARTS, axis=1)
    pull = np.where(tellable[:, _COLUMNS], ordered * np.sign(weights)[:, _TOPIC], 0.0)
    # A topic may weigh by what cannot be told of this customer; only what can is.
    can = (np.maximum.reduceat(pull, _STARTS, axis=1) > 0) & (np.abs(weights) >= SMALLEST)
    ranked = rank(np.where(can, np.abs(weights), 0.0))[:, :TOLD]
    chosen = np.where(np.take_along_axis(can, ranked, axis=1), ranked, -1)
    leads = np.full(chosen.shape, -1, dtype=np.int64)
    for place in range(chosen.shape[1]):
        topic = chosen[:, place]
        lead = np.where(topic[:, None] == _TOPIC, pull, 0.0).argmax(axis=1)
        leads[:, place] = np.where(topic >= 0, _COLUMNS[lead], -1)
    return leads, np.take_along_axis(weights, ranked, axis=1) > 0


def rank(weights: Float) -> Int:
    """Order topics by weight, the actionable among the comparable first, shape (n, topics).

    >>> heavy = np.zeros((1, len(TOPICS)))
    >>> places = {topic.name: place for place, topic in enumerate(TOPICS)}
    >>> heavy[0, places["history"]], heavy[0, places["complaints"]] = 1.0, 0.6
    >>> [TOPICS[place].name for place in rank(heavy)[0, :2]]
    ['complaints', 'history']
    >>> heavy[0, places["complaints"]] = 0.4
    >>> [TOPICS[place].name for place in rank(heavy)[0, :2]]
    ['history', 'complaints']
    """
    heaviest = weights.max(axis=1, keepdims=True)
    first = _ACT & (weights >= COMPARABLE * heaviest)
    order: Int = np.argsort(-(weights + np.where(first, heaviest, 0.0)), axis=1, kind="stable")
    return order


def _sentences(matrix: Float, rows: Int, leads: Int, teller: Teller) -> list[str]:
    """Tell one feature of each row, feature by feature, as that is faster than row by row."""
    sentences = [""] * len(rows)
    order = np.argsort(leads, kind="stable")
    ends = np.flatnonzero(np.diff(leads[order], append=-1)) + 1
    start = 0
    for end in ends.tolist():
        places = order[start:end]
        told = teller.tell(catalogue.NAMES[leads[places[0]]], matrix, rows[places])
        for place, sentence in zip(places.tolist(), told, strict=True):
            sentences[place] = sentence
        start = end
    return sentences
