"""Chance, by address: a draw depends on the seed, its name, the day and the customer alone.

So a customer's fate is the same whoever else exists, however long is simulated and whatever is
done to others: both potential outcomes of a treatment come from common random numbers (Owen 2013,
"Monte Carlo theory, methods and examples", 8.6). The mixing is SplitMix64 (Steele, Lea and Flood
2014, "Fast splittable pseudorandom number generators").
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_ONE = np.uint64(1)
_SHIFTS = [np.uint64(bits) for bits in (30, 27, 31, 11)]


def uniforms(seed: int, name: str, day: int, ids: Ints) -> Floats:
    """Draw a number in (0, 1) for each id.

    >>> all_of_them = uniforms(7, "buys", 3, np.arange(5))
    >>> bool((uniforms(7, "buys", 3, np.array([4, 1])) == all_of_them[[4, 1]]).all())
    True
    """
    if not len(ids):
        return np.zeros(0)
    word = hashlib.blake2b(f"{seed}/{name}/{day}".encode(), digest_size=8).digest()
    x = ids.astype(np.uint64)
    x += _ONE
    x *= _GOLDEN
    x += np.uint64(int.from_bytes(word, "little"))
    x ^= x >> _SHIFTS[0]
    x *= _FIRST
    x ^= x >> _SHIFTS[1]
    x *= _SECOND
    x ^= x >> _SHIFTS[2]
    x >>= _SHIFTS[3]
    drawn = x.astype(np.float64)
    drawn += 0.5
    drawn *= 2.0**-53
    return drawn


def normals(seed: int, name: str, day: int, ids: Ints) -> Floats:
    """Draw from the standard normal distribution for each id."""
    drawn: Floats = ndtri(uniforms(seed, name, day, ids))
    return drawn


def choices(shares: Floats, drawn: Floats) -> NDArray[np.intp]:
    """Turn uniforms into places of a list of shares; one list for all, or a row for each.

    >>> choices(np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.79, 0.81])).tolist()
    [0, 1, 2]
    """
    bounds = np.cumsum(shares, axis=-1)[..., :-1]
    if shares.ndim == 1:
        return np.searchsorted(bounds, drawn, side="right")
    places: NDArray[np.intp] = (drawn[:, None] >= bounds).sum(axis=1)
    return places
