"""The best plan of few customers, proved: a mixed-integer programme by HiGHS."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from serving.plan.offers import NOBODY, Limits, Offers, Places

MOST_PAIRS = 2_000
"""Pairs of a customer and an action above which nothing is proved."""
_NODES = 500
"""Of the search, so that it ends at the same place on every machine."""


def best_plan(offers: Offers, limits: Limits) -> tuple[Places, float] | None:
    """Find the best plan.

    Returns
    -------
    int8 array of shape (n,), float
        The plan, and what no plan exceeds (equal to its worth where it was proved); None where the
        programme was given up.

    Examples
    --------
    Prices alone would leave the first out, who does not fit with another:

    >>> offers = Offers(np.array([[6.0, 5.0, 4.0]]), np.array([[3.0, 2.0, 2.0]]))
    >>> best_plan(offers, Limits(4.0, np.array([np.inf])))
    (array([-1,  0,  0], dtype=int8), 9.0)
    """
    actions, customers = np.nonzero(np.isfinite(offers.value) & (offers.value > 0))
    plan = np.full(offers.customers, NOBODY, dtype=np.int8)
    if not len(actions):
        return plan, 0.0
    value, cost = offers.value[actions, customers], offers.cost[actions, customers]
    pairs = np.arange(len(actions))
    rows = [csr_array((np.ones(len(pairs)), (customers, pairs)), (offers.customers, len(pairs)))]
    most = [np.ones(offers.customers)]
    limited = np.flatnonzero(np.isfinite(limits.capacity))
    if len(limited):
        rows.append(csr_array((actions[None, :] == limited[:, None]).astype(float)))
        most.append(np.floor(limits.capacity[limited]))
    if np.isfinite(limits.budget):
        unit = max(limits.budget, float(cost.max()), 1e-12)
        rows.append(csr_array(cost[None, :] / unit))
        most.append(np.array([limits.budget / unit]))
    constraints = [
        LinearConstraint(row, -np.inf, limit) for row, limit in zip(rows, most, strict=True)
    ]
    with _hushed():
        found = milp(
            -value,
            integrality=np.ones(len(pairs)),
            bounds=Bounds(0, 1),
            constraints=constraints,
            options={"node_limit": _NODES, "mip_rel_gap": 0.0},
        )
    if found.x is None:
        return None
    taken = found.x > 0.5
    plan[customers[taken]] = actions[taken]
    return plan, -float(found.mip_dual_bound if found.status else found.fun)


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep what HiGHS prints off standard output, where results stand.

    It has a line of its own debugging, below Python's streams, when it tries a solution anew.
    """
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        ctypes.CDLL(None).fflush(None)
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
