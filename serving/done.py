"""What customers were treated with of late, read out of their facts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from features import catalogue
from features.listed import actions_of, name_code

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

_COLUMNS = slice(
    catalogue.NAMES.index(catalogue.ACTIONS_LISTED[0]),
    catalogue.NAMES.index(catalogue.ACTIONS_LISTED[-1]) + 1,
)


class Done:
    """Finds the actions of a menu in the lists of what was done.

    Parameters
    ----------
    keys
        The menu's actions in their order.

    Examples
    --------
    >>> from features.listed import action_code
    >>> matrix = np.full((2, len(catalogue.NAMES)), np.nan)
    >>> for place, entry in enumerate(("coupon:3", "call:3", "letter:90"), 1):
    ...     column = catalogue.NAMES.index(f"treatment_recent_{place}")
    ...     matrix[1, column] = action_code(entry)
    >>> done, days = Done(["letter", "coupon"]).read(matrix)
    >>> done.tolist(), days.tolist()
    ([[-1, -1, -1], [1, -1, 0]], [[inf, inf, inf], [3.0, 3.0, 90.0]])
    """

    def __init__(self, keys: Sequence[str]) -> None:
        codes = np.array([name_code(key) for key in keys])
        self._places = np.argsort(codes)
        self._codes = codes[self._places]

    def read(self, matrix: Floats) -> tuple[Places, Floats]:
        """Read what was done, and how many days ago, as :class:`serving.actions.Standing` has it.

        Parameters
        ----------
        matrix
            Features in the catalogue's order, shape (n, features).
        """
        listed = matrix[:, _COLUMNS]
        there = np.isfinite(listed)
        # Most have had few different ones: the columns that are empty for all say nothing.
        used = max(int(np.flatnonzero(there.any(axis=0)).max(initial=0)) + 1, 1)
        names, days = actions_of(listed[:, :used])
        at = np.searchsorted(self._codes, names).clip(max=max(len(self._codes) - 1, 0))
        done = np.where(self._codes[at] == names, self._places[at], -1)
        return done, np.where(there[:, :used], days, np.inf)
