"""Pareto/NBD: dropout can come at any moment.

References
----------
.. [1] Schmittlein, Morrison & Colombo (1987), Counting Your Customers: Who Are They and What Will
       They Do Next?, Management Science 33(1), 1-24.
.. [2] Fader & Hardie (2005), A Note on Deriving the Pareto/NBD Model and Related Expressions,
       http://www.brucehardie.com/notes/009/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma, exprel, gammaln

from training.btyd.columns import DAYS_PER_WEEK, FloatArray, Groups, column
from training.btyd.fitting import WIDEST, Bounds, LogLikelihood, dot
from training.btyd.purchases import PurchaseModel
from training.btyd.silence import log_silence, silence


@dataclass(frozen=True)
class ParetoNBD(PurchaseModel):
    """Pareto/NBD: purchases at a customer's own rate until a dropout at any time [1]_.

    The parameters are on a *weekly* clock, as published; every method takes **days**. A penalty
    draws them to r .5, alpha 10 weeks, s 1, beta 30 weeks.

    Parameters
    ----------
    r, alpha
        The purchase rate per week is Gamma(shape r, rate alpha) over customers.
    s, beta
        The dropout rate per week is Gamma(shape s, rate beta) over customers.

    Examples
    --------
    The published parameters of CDNOW, and its first customer over the next 39 weeks:

    >>> model = ParetoNBD(r=0.553, alpha=10.578, s=0.606, beta=11.669)
    >>> model.expected_purchases([2], [213], [272], horizon_days=273).round(3)
    array([1.455])

    A silence is alarming in who bought often, and one who never came back may be gone too:

    >>> model.probability_alive([0, 2, 6], [0, 20, 20], [200, 200, 200]).round(2)
    array([0.37, 0.17, 0.01])
    """

    r: float
    alpha: float
    s: float
    beta: float

    BOUNDS: ClassVar[Bounds] = (WIDEST,) * 4
    CENTRE: ClassVar[FloatArray] = np.log([0.5, 10.0, 1.0, 30.0])

    def simulate(
        self, age_days: ArrayLike, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], FloatArray]:
        """Draw one customer per age, as `PurchaseModel.simulate` says."""
        age = column("age_days", age_days)
        rate = rng.gamma(self.r, 1.0 / self.alpha, age.size)
        dropout = rng.gamma(self.s, 1.0 / self.beta, age.size)
        with np.errstate(divide="ignore"):
            life = rng.standard_exponential(age.size) / dropout * DAYS_PER_WEEK
        lived = np.minimum(life, age)
        frequency = rng.poisson(rate * lived / DAYS_PER_WEEK)
        # Given their number, purchase times are uniform, and the last of n is Beta(n, 1).
        share = rng.beta(np.maximum(frequency, 1), 1.0)
        return frequency, np.where(frequency > 0, share * lived, 0.0)

    @classmethod
    def _starts(cls, rate: float) -> Sequence[FloatArray]:
        # The data's own rate with ordinary dropout, with little, and with dropout either soon or
        # never.
        return [
            np.log([0.5, 0.5 / rate, 0.5, 10.0]),
            np.log([1.0, 1.0 / rate, 1.0, 300.0]),
            np.log([0.5, 0.5 / rate, 0.05, 0.5]),
        ]

    @classmethod
    def _log_likelihood(cls, groups: Groups) -> LogLikelihood:
        """As `PurchaseModel`: [2]_, eq. 17 as x purchases by t_x, alive then, and silent to T."""
        x, t_x, T, customers = groups
        # What depends on x alone is evaluated once per x; x ascends, so its runs are its groups.
        first = np.flatnonzero(np.diff(x, prepend=-1.0))
        k, n = x[first], np.add.reduceat(customers, first) if x.size else customers
        everyone = customers.sum()

        def evaluate(theta: FloatArray) -> tuple[float, FloatArray]:
            r, alpha, s, beta = np.exp(theta)
            value, gradient = log_silence(theta, x, t_x, T - t_x, customers)
            log_alpha, log_beta = np.log(alpha + t_x), np.log(beta + t_x)
            bought = gammaln(r + k) - gammaln(r) + r * theta[1]
            value += dot(n, bought) - dot(customers, (r + x) * log_alpha)
            value += s * (everyone * theta[3] - dot(customers, log_beta))
            gradient += [
                r * (dot(n, digamma(r + k) - digamma(r) + theta[1]) - dot(customers, log_alpha)),
                everyone * r - alpha * dot(customers, (r + x) / (alpha + t_x)),
                s * (everyone * theta[3] - dot(customers, log_beta)),
                s * dot(customers, t_x / (beta + t_x)),
            ]
            return value, gradient

        return evaluate

    @property
    def _theta(self) -> FloatArray:
        theta: FloatArray = np.log([self.r, self.alpha, self.s, self.beta])
        return theta

    def _alive(self, x: FloatArray, t_x: FloatArray, T: FloatArray) -> FloatArray:
        alive, dead = silence(self._theta, x, t_x, T - t_x)
        return alive / (alive + dead)

    def _silent_if_alive(self, x: FloatArray, T: FloatArray, h: FloatArray) -> FloatArray:
        alive, dead = silence(self._theta, x, T, h)
        return np.minimum(alive + dead, 1.0)

    def _expected_if_alive(self, x: FloatArray, T: FloatArray, h: FloatArray) -> FloatArray:
        """Mean rate times mean time left within the horizon, which are independent given alive.

        The rate is Gamma(r + x, alpha + T), the dropout rate Gamma(s, beta + T) ([2]_, eq. 41).
        """
        grown = np.log1p(h / (self.beta + T))
        left = (self.beta + T) * grown * exprel((1.0 - self.s) * grown)
        expected: FloatArray = (self.r + x) / (self.alpha + T) * left
        return expected
