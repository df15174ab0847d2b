"""Bounded, optionally penalised maximum likelihood over log-parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from scipy.optimize import minimize

from training.btyd.columns import FloatArray

LogLikelihood: TypeAlias = Callable[[FloatArray], tuple[float, FloatArray]]
"""Log-parameters in; the total log-likelihood and its gradient out."""

Bounds: TypeAlias = Sequence[tuple[float, float]]

WIDEST = (-8.0, 8.0)
"""Where a log-parameter may go. At the bounds a model already is its own limit (one rate for all,
one dropout probability for all)."""


def maximise(
    log_likelihood: LogLikelihood,
    *,
    starts: Sequence[FloatArray],
    bounds: Bounds,
    centre: FloatArray,
    penalty: float,
    customers: int,
) -> FloatArray:
    """Climb the penalised likelihood inside the bounds from every start; give the best end."""
    if not (np.isfinite(penalty) and penalty >= 0):
        msg = f"penalty must be a number >= 0, not {penalty!r}"
        raise ValueError(msg)

    def loss(theta: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = log_likelihood(theta)
        away = theta - centre
        # Per customer, so that the stopping rule means the same for ten and for a million.
        return (
            (penalty * dot(away, away) / 2 - value) / customers,
            (penalty * away - gradient) / customers,
        )

    lower, upper = np.transpose(bounds)
    ends: list[Any] = [
        minimize(
            loss,
            np.clip(start, lower, upper),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": 300, "ftol": 1e-14, "gtol": 1e-8},
        )
        for start in starts
    ]
    best: FloatArray = min(ends, key=lambda end: float(end.fun)).x
    return best


def dot(left: FloatArray, right: FloatArray) -> float:
    """Give the inner product without BLAS.

    The same to the last bit however many threads there are; and on a busy machine BLAS threads
    that wait for each other made a fit twenty times slower.
    """
    return float((left * right).sum())
