"""A customer's facts as arrays: checked, named in errors by column and row, times in weeks."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray: TypeAlias = NDArray[np.float64]

DAYS_PER_WEEK = 7.0

_CELLS = 40


class Groups(NamedTuple):
    """Histories in ascending order of x, times in weeks, and how many customers have each."""

    x: FloatArray
    t_x: FloatArray
    T: FloatArray
    customers: FloatArray


def histories(
    frequency: ArrayLike, recency_days: ArrayLike, age_days: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Check a customer's three facts and give x, t_x, T, the last two in weeks."""
    x = whole("frequency", frequency)
    t_x = column("recency_days", recency_days)
    T = column("age_days", age_days)
    same_length(frequency=x, recency_days=t_x, age_days=T)
    if (t_x > T).any():
        row = int(np.argmax(t_x > T))
        msg = f"recency_days exceeds age_days at row {row}: {t_x[row]} > {T[row]}"
        raise ValueError(msg)
    return x, t_x / DAYS_PER_WEEK, T / DAYS_PER_WEEK


def ages(frequency: ArrayLike, age_days: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Check two of the facts and give x and T, the latter in weeks."""
    x, T = whole("frequency", frequency), column("age_days", age_days)
    same_length(frequency=x, age_days=T)
    return x, T / DAYS_PER_WEEK


def spends(frequency: ArrayLike, monetary_value: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Check purchases and their mean spend, which may be NaN."""
    x = whole("frequency", frequency)
    z = np.atleast_1d(np.asarray(monetary_value, dtype=np.float64))
    same_length(frequency=x, monetary_value=z)
    if np.isinf(z).any():
        msg = f"monetary_value is infinite at row {int(np.argmax(np.isinf(z)))}"
        raise ValueError(msg)
    return x, z


def grouped(x: FloatArray, t_x: FloatArray, T: FloatArray) -> Groups:
    """Count customers of one history together, in ascending order of x, t_x and T."""
    (x, t_x, T), _, customers = distinct(x, t_x, T)
    return Groups(x, t_x, T, customers)


def thinned(groups: Groups) -> Groups:
    """Count customers of one x and nearly the same times together, at the means of their times.

    The cells are narrow where times are short, so that a likelihood changes by the square of what
    is small against any time scale in the data.
    """
    x, t_x, T, customers = groups
    longest = max(float(T.max(initial=0.0)), 1.0)
    (of, _, _), cell, _ = distinct(
        x, *(np.floor(_CELLS * np.sqrt(times / longest)) for times in (t_x, T))
    )
    merged = np.bincount(cell, customers).astype(np.float64)
    of_t_x, of_T = (np.bincount(cell, customers * times) / merged for times in (t_x, T))
    return Groups(of, of_t_x, of_T, merged)


def horizon(name: str, days: ArrayLike, customers: int) -> FloatArray:
    """Check a horizon, one for all or one per customer, and give it in weeks for each."""
    given = column(name, days)
    if given.size not in {1, customers}:
        msg = f"{name} has {given.size} values for {customers} customers: give one, or one each"
        raise ValueError(msg)
    return np.broadcast_to(given / DAYS_PER_WEEK, customers)


def whole(name: str, values: ArrayLike) -> FloatArray:
    """Give counts as floats, refusing what is no whole number."""
    counts = column(name, values)
    if (counts % 1 != 0).any():
        row = int(np.argmax(counts % 1 != 0))
        msg = f"{name} must count purchases, but is {counts[row]} at row {row}"
        raise ValueError(msg)
    return counts


def column(name: str, values: ArrayLike) -> FloatArray:
    """Give the values as floats, refusing what is not finite or below zero, by name and row."""
    given = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if given.ndim != 1:
        msg = f"{name} must be one value per customer, not of shape {given.shape}"
        raise ValueError(msg)
    bad = ~(np.isfinite(given) & (given >= 0))
    if bad.any():
        row = int(np.argmax(bad))
        msg = f"{name} must be finite and not negative, but is {given[row]} at row {row}"
        raise ValueError(msg)
    return given


def same_length(**columns: FloatArray) -> None:
    """Refuse columns of different length, naming each."""
    lengths = {name: values.shape for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        described = ", ".join(f"{name} {shape[0]}" for name, shape in lengths.items())
        msg = f"columns differ in length: {described}"
        raise ValueError(msg)


def distinct(*columns: FloatArray) -> tuple[list[FloatArray], NDArray[np.intp], FloatArray]:
    """Distinct rows in ascending order, the place of each input row among them, their counts."""
    order = np.lexsort(columns[::-1])
    ascending = [values[order] for values in columns]
    opens = np.ones(order.size, dtype=bool)
    opens[1:] = np.any([values[1:] != values[:-1] for values in ascending], axis=0)
    inverse = np.empty(order.size, dtype=np.intp)
    inverse[order] = np.cumsum(opens) - 1
    count = np.diff(np.append(np.flatnonzero(opens), order.size)).astype(np.float64)
    return [values[opens] for values in ascending], inverse, count
