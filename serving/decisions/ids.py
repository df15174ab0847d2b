"""What names a decision: the same facts of the same customer, answered by the same models."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from training.staging import NOT_BEFORE

Customer = int | str | None
_BYTES = [bytes([code]) for code in range(256)]


def decision_ids(
    deciders: str,
    customers: Sequence[Customer],
    matrix: NDArray[np.float64],
    before: NDArray[np.int8] | None = None,
) -> list[str]:
    """Name the answers to some customers.

    An id is a digest of everything that an answer follows from, so batch and endpoint give the same
    one, a repeated question gives it again, and a changed fact gives another. The language of an
    answer, and how its reasons were found, are no part of the decision.

    Parameters
    ----------
    deciders
        What answers: versions of the models and the playbook, and how consent is treated.
    customers
        Whose rows they are; None where a request does not say.
    matrix
        Float64, shape (n, features): the rows that are scored.
    before
        Each customer's stage in earlier scores; None where none is known of anybody.

    Returns
    -------
    list of str
        32 hexadecimal digits each.

    Examples
    --------
    >>> rows = np.array([[1.0, 2.0], [1.0, np.nan]])
    >>> first, second = decision_ids("model 1", [7, 7], rows)
    >>> [first] == decision_ids("model 1", [7], rows[:1]), first == second
    (True, False)

    A customer named 7 is not the one named "7":

    >>> decision_ids("model 1", ["7"], rows[:1]) == [first]
    False

    Nor is one who had been in a stage before:

    >>> decision_ids("model 1", [7], rows[:1], np.array([3], np.int8)) == [first]
    False
    """
    start = blake2b(deciders.encode(), digest_size=16)
    # What is one value to every model has one pattern of bits: zero of either sign, any NaN.
    rows = np.ascontiguousarray(matrix + 0.0)
    rows[np.isnan(rows)] = np.nan
    former = np.full(len(rows), NOT_BEFORE, np.int8) if before is None else before
    ids = []
    for customer, row, stage in zip(customers, rows, former.tobytes(), strict=True):
        digest = start.copy()
        digest.update(repr(customer).encode())
        digest.update(row)
        digest.update(_BYTES[stage])
        ids.append(digest.hexdigest())
    return ids
