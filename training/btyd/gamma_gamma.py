"""Gamma-Gamma: how much a purchase day is worth.

References
----------
.. [1] Fader & Hardie (2013), The Gamma-Gamma Model of Monetary Value,
       http://www.brucehardie.com/notes/025/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaln, digamma

from training.btyd.columns import FloatArray, distinct, spends
from training.btyd.fitting import WIDEST, LogLikelihood, dot, maximise
from training.btyd.parameters import Parameters

# Log-parameters (p, q, gamma in units of the typical spend); the centre has a mean of one unit.
_BOUNDS = (WIDEST,) * 3
_CENTRE = np.log([4.0, 4.0, 0.75])

# The population mean p * gamma / (q - 1) exists for q > 1 only; q - 1 is never taken below this.
_LEAST_Q_EXCESS = 0.05


@dataclass(frozen=True)
class GammaGamma(Parameters):
    """Gamma-Gamma: what a purchase day is worth, shrunk to the population by evidence [1]_.

    Parameters
    ----------
    p
        Shape of one customer's spend per purchase day.
    q, gamma
        Shape and rate, over customers, of the rate of that spend. gamma is in money.

    Examples
    --------
    >>> model = GammaGamma(p=6.25, q=3.74, gamma=15.44)

    Nobody's repeat spend seen, the population's mean p * gamma / (q - 1); much seen, mostly
    their own mean:

    >>> model.expected_value([0, 1, 100], [float("nan"), 100.0, 100.0]).round(2)
    array([35.22, 80.26, 99.72])
    """

    p: float
    q: float
    gamma: float

    @classmethod
    def fit(cls, frequency: ArrayLike, monetary_value: ArrayLike, *, penalty: float = 0.0) -> Self:
        """Maximise the likelihood over bounded log-parameters; never diverges.

        Learns from customers with frequency > 0 and monetary_value > 0 only; the others
        (one-timers, missing, refunded to nothing) pass unused.

        Parameters
        ----------
        frequency, monetary_value
            One value per customer, as the module defines them.
        penalty
            Weight of a Gaussian prior on the log-parameters for the data set as a whole, as in
            `BetaGeometric.fit`. It is relative to the typical spend, so a change of currency
            rescales gamma and nothing else. Above 0 it also keeps q above 1, where the population
            mean exists.

        Raises
        ------
        ValueError
            If columns differ in length, a frequency is negative, not finite or no whole number, a
            spend is infinite, penalty is negative, or no customer is usable.

        Examples
        --------
        >>> GammaGamma.fit([0, 2], [float("nan"), 0.0])
        Traceback (most recent call last):
            ...
        ValueError: no customer has frequency > 0 and monetary_value > 0: Gamma-Gamma needs at ...
        """
        x, z = spends(frequency, monetary_value)
        usable = (x > 0) & (z > 0)
        x, z = x[usable], z[usable]
        if not x.size:
            msg = (
                "no customer has frequency > 0 and monetary_value > 0: "
                "Gamma-Gamma needs at least one repeat buyer"
            )
            raise ValueError(msg)
        unit = float(np.exp(np.log(z).mean()))
        bounds = list(_BOUNDS)
        if penalty > 0:
            bounds[1] = (float(np.log1p(_LEAST_Q_EXCESS)), bounds[1][1])
        starts = [_CENTRE, np.log([1.0, 2.0, 1.0]), np.log([20.0, 10.0, 0.5])]
        log_likelihood = _log_likelihood(x, z / unit)
        best = maximise(
            log_likelihood,
            starts=starts,
            bounds=bounds,
            centre=_CENTRE,
            penalty=penalty,
            customers=x.size,
        )
        p, q, gamma = (float(value) for value in np.exp(best))
        return cls(p, q, gamma * unit)

    def expected_value(self, frequency: ArrayLike, monetary_value: ArrayLike) -> FloatArray:
        """Mean spend to expect of a purchase day, given the mean of those seen ([1]_, eq. 5).

        An average of the customer's own mean, weighted p * x, and the population's, weighted
        q - 1. Always finite: where q is below 1.05, so that the population mean does not exist or
        is absurd, 1.05 stands in for q. A negative own mean (returns) counts as 0.

        Parameters
        ----------
        frequency
            Repeat purchases of each customer; 0 gives the population mean.
        monetary_value
            Their mean spend; NaN (not known) gives the population mean too.
        """
        x, z = spends(frequency, monetary_value)
        x = np.where(np.isnan(z), 0.0, x)
        spent = np.where(x > 0, x * np.maximum(np.nan_to_num(z), 0.0), 0.0)
        excess = max(self.q - 1.0, _LEAST_Q_EXCESS)
        result: FloatArray = self.p * (self.gamma + spent) / (self.p * x + excess)
        return result


def _log_likelihood(x: FloatArray, z: FloatArray) -> LogLikelihood:
    """Give Gamma-Gamma's total log-likelihood and gradient as a function of log (p, q, gamma).

    [1]_, eq. 1a.
    """
    (k,), _, n = distinct(x)
    spent = x * z
    log_spent, log_z = np.log(spent), float(np.log(z).sum())

    def evaluate(theta: FloatArray) -> tuple[float, FloatArray]:
        p, q, gamma = np.exp(theta)
        log_total = np.log(gamma + spent)
        own = dot(x, log_spent - log_total)
        prior = float((np.log(gamma) - log_total).sum())
        value = q * prior + p * own - log_z - dot(n, betaln(p * k, q))
        both = digamma(p * k + q)
        gradient = np.array(
            [
                dot(n * k, both - digamma(p * k)) + own,
                dot(n, both - digamma(q)) + prior,
                x.size * q / gamma - ((p * x + q) / (gamma + spent)).sum(),
            ]
        )
        return value, gradient * np.exp(theta)

    return evaluate
