"""Entries of lists as numbers: which category or action, and how many days ago.

A category that a model learns from has the model's own codes. What a customer bought or was treated
with decides which action may be done, whatever a model has learned: an action that was thought of
yesterday counts as any other. So the number of an entry is made of its text alone: a digest of 40
bits of the name, and 13 bits of the days; both are whole in a float. That two of a company's
hundreds of names share a digest has a chance of one in ten million.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Float = NDArray[np.float64]

DAYS = 2.0**13
"""More than the days of an entry, which are told up to 22 years."""
_NAME_BYTES = 5
_KEPT = 1 << 16


@lru_cache(_KEPT)
def name_code(name: str) -> float:
    """Number a name, from 0 to 2^40.

    >>> name_code("coupon") == name_code("coupon"), name_code("coupon") == name_code("Coupon")
    (True, False)
    """
    return float(
        int.from_bytes(
            blake2b(name.encode(errors="surrogatepass"), digest_size=_NAME_BYTES).digest()
        )
    )


@lru_cache(_KEPT)
def action_code(entry: str) -> float:
    """Number an action with the days since it was done, which stand behind the last colon.

    >>> name, days = action_of(action_code("coupon:12"))
    >>> name == name_code("coupon"), days
    (True, 12)

    Of what names no days they are none:

    >>> action_of(action_code("coupon")) == (name_code("coupon"), 0)
    True
    """
    name, _, days = entry.rpartition(":")
    if name and days.isascii() and days.isdigit():
        return name_code(name) * DAYS + min(float(days), DAYS - 1)
    return name_code(entry) * DAYS


def code_all(entries: pa.Array, code: Callable[[str], float]) -> Float:
    """Number many entries by one of the above, null as NaN.

    >>> code_all(pa.array([None], pa.string()), name_code)
    array([nan])
    >>> code_all(pa.array(["tea", None, "tea"]), len)
    array([ 3., nan,  3.])
    """
    if entries.null_count == len(entries):
        return np.full(len(entries), np.nan)
    told = pc.dictionary_encode(entries)
    # The last is that of null, which is no place in the dictionary.
    codes = np.array([*map(code, told.dictionary.to_pylist()), np.nan])
    found: Float = codes[np.asarray(pc.fill_null(told.indices, len(codes) - 1))]
    return found


def action_of(code: float) -> tuple[float, int]:
    """Take an action's number apart: the number of its name, and the days."""
    name, days = divmod(code, DAYS)
    return name, int(days)


def actions_of(codes: Float) -> tuple[Float, Float]:
    """Take numbers of actions apart: those of the names, and the days; NaN where there is none.

    >>> names, days = actions_of(np.array([action_code("coupon:12"), np.nan]))
    >>> days
    array([12., nan])
    """
    names = np.floor(codes / DAYS)
    return names, codes - names * DAYS
