"""BG/NBD and MBG/NBD: dropout comes after a purchase.

References
----------
.. [1] Fader, Hardie & Lee (2005), "Counting Your Customers" the Easy Way: An Alternative to the
       Pareto/NBD Model, Marketing Science 24(2), 275-284.
.. [2] Fader, Hardie & Lee (2008), Computing P(alive) Using the BG/NBD Model,
       http://www.brucehardie.com/notes/021/
.. [3] Fader, Hardie & Lee (2005), Implementing the BG/NBD Model for Customer Base Analysis in
       Excel, http://www.brucehardie.com/notes/004/
.. [4] Batislam, Denizel & Filiztekin (2007), Empirical Validation and Comparison of Models for
       Customer Base Analysis, International Journal of Research in Marketing 24(3), 201-209.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaln, digamma, expit, gammaln

from training.btyd.columns import DAYS_PER_WEEK, FloatArray, Groups, column, distinct
from training.btyd.fitting import WIDEST, Bounds, LogLikelihood, dot
from training.btyd.purchases import PurchaseModel
from training.btyd.quadrature import beta_quadrature

_BLOCK_CELLS = 1 << 20


@dataclass(frozen=True)
class BetaGeometric(PurchaseModel):
    """BG/NBD: purchases at a customer's own rate until a dropout that follows a purchase [1]_.

    The parameters are on a *weekly* clock, as published; every method takes **days**. A penalty
    draws them to r .5, alpha 10 weeks, a 1, b 3.

    Parameters
    ----------
    r, alpha
        The purchase rate per week is Gamma(shape r, rate alpha) over customers.
    a, b
        The chance of dropping out after each repeat purchase is Beta(a, b) over customers.

    Examples
    --------
    The published parameters of CDNOW, and its first customer over the next 39 weeks:

    >>> model = BetaGeometric(r=0.243, alpha=4.414, a=0.793, b=2.426)
    >>> model.expected_purchases([2], [213], [272], horizon_days=273).round(3)
    array([1.226])

    A customer who never came back cannot have dropped out yet, as dropout follows a repeat
    purchase; the same two purchases are reassuring when recent and alarming when old:

    >>> model.probability_alive([0, 2, 2], [0, 200, 20], [200, 200, 200]).round(2)
    array([1.  , 0.81, 0.13])
    >>> model.probability_of_no_purchase([0, 6], [0, 250], [272, 272], 91).round(2)
    array([0.94, 0.31])
    >>> model.expected_purchases([0, 2, 2], [0, 200, 20], [200, 200, 200], 91).round(3)
    array([0.091, 0.658, 0.103])

    Growth is exactly one at its base, and less than proportional beyond it, since customers drop
    out:

    >>> model.horizon_growth([5], [200], [91, 364], base_days=91).round(2)
    array([[1.  , 3.19]])

    Customers who all bought once say that purchases are rare and nothing about dropout; what the
    data leave open stays near the penalty's centre:

    >>> round(BetaGeometric.fit([0, 0, 0], [0, 0, 0], [70, 80, 90], penalty=1.0).b, 3)
    3.0
    >>> BetaGeometric.fit([1], [9], [8])
    Traceback (most recent call last):
        ...
    ValueError: recency_days exceeds age_days at row 0: 9.0 > 8.0
    """

    r: float
    alpha: float
    a: float
    b: float

    BOUNDS: ClassVar[Bounds] = (WIDEST,) * 4
    CENTRE: ClassVar[FloatArray] = np.log([0.5, 10.0, 1.0, 3.0])
    _FIRST_MAY_BE_LAST: ClassVar[bool] = False

    def simulate(
        self, age_days: ArrayLike, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], FloatArray]:
        """Draw one customer per age, as `PurchaseModel.simulate` says.

        Examples
        --------
        >>> model = BetaGeometric(r=0.243, alpha=4.414, a=0.793, b=2.426)
        >>> model.simulate([0.0, 0.0], np.random.default_rng(1))
        (array([0, 0]), array([0., 0.]))
        """
        age = column("age_days", age_days)
        rate = rng.gamma(self.r, 1.0 / self.alpha, age.size)
        dropout = rng.beta(self.a, self.b, age.size)
        wanted = rng.poisson(rate * age / DAYS_PER_WEEK)
        # The purchase that ends it: geometric, by inversion, as a dropout near 0 overflows an
        # integer. Counted from the first purchase of all where that one may already be it.
        with np.errstate(divide="ignore"):
            last = np.floor(rng.standard_exponential(age.size) / -np.log1p(-dropout))
        last += not self._FIRST_MAY_BE_LAST
        frequency = np.minimum(wanted, last).astype(np.int64)
        # Given their number, purchase times are uniform, and the k-th of n is Beta(k, n - k + 1).
        kept = np.maximum(frequency, 1)
        share = rng.beta(kept, np.maximum(wanted, 1) - kept + 1)
        return frequency, np.where(frequency > 0, share * age, 0.0)

    @classmethod
    def _starts(cls, rate: float) -> Sequence[FloatArray]:
        # The centre wins where the data say nothing. Beside it the data's own rate with ordinary
        # dropout, with little, and with dropout either at once or never.
        return [
            np.log([0.5, 0.5 / rate, 1.0, 3.0]),
            np.log([1.0, 1.0 / rate, 0.1, 2.0]),
            np.log([0.5, 0.5 / rate, 0.02, 0.02]),
        ]

    @classmethod
    def _log_likelihood(cls, groups: Groups) -> LogLikelihood:
        """Give the total log-likelihood and gradient as a function of log (r, alpha, a, b).

        [1]_, eq. 6, split as in [3]_: A1 + A2 + log(exp(A3) + exp(A4)), the A4 only where there
        was a chance to drop out.
        """
        x, t_x, T, customers = groups
        # What depends on x alone is evaluated once per x; x ascends, so its runs are its groups.
        first = np.flatnonzero(np.diff(x, prepend=-1.0))
        k, n = x[first], np.add.reduceat(customers, first) if x.size else customers
        chances, chance = cls._chances(k), cls._chances(x)
        later = np.maximum(chance, 1) - 1
        chanced = chance > 0

        def evaluate(theta: FloatArray) -> tuple[float, FloatArray]:
            r, alpha, a, b = np.exp(theta)
            log_T, log_t_x = np.log(alpha + T), np.log(alpha + t_x)
            A3 = -(r + x) * log_T
            A4 = np.where(chanced, np.log(a) - np.log(b + later) - (r + x) * log_t_x, -np.inf)
            dead = expit(A4 - A3)
            A1 = gammaln(r + k) - gammaln(r) + r * np.log(alpha)
            A2 = betaln(a, b + chances) - betaln(a, b)
            value = dot(n, A1 + A2) + dot(customers, np.logaddexp(A3, A4))
            lost = dot(n, digamma(a + b) - digamma(a + b + chances))
            kept = dot(n, digamma(b + chances) - digamma(b))
            gradient = np.array(
                [
                    dot(n, digamma(r + k) - digamma(r) + np.log(alpha))
                    - dot(customers, (1 - dead) * log_T + dead * log_t_x),
                    n.sum() * r / alpha
                    - dot(customers, (r + x) * ((1 - dead) / (alpha + T) + dead / (alpha + t_x))),
                    lost + dot(customers, dead) / a,
                    lost + kept - dot(customers, dead / (b + later)),
                ]
            )
            return value, gradient * np.exp(theta)

        return evaluate

    @classmethod
    def _chances(cls, x: FloatArray) -> FloatArray:
        """How often a customer alive after x repeat purchases could have dropped out."""
        return x + cls._FIRST_MAY_BE_LAST

    def _alive(self, x: FloatArray, t_x: FloatArray, T: FloatArray) -> FloatArray:
        """[2]_: the first of the likelihood's two terms over their sum."""
        chances = self._chances(x)
        log_odds_dead = (
            np.log(self.a)
            - np.log(self.b + np.maximum(chances, 1) - 1)
            + (self.r + x) * (np.log(self.alpha + T) - np.log(self.alpha + t_x))
        )
        alive: FloatArray = expit(-log_odds_dead)
        return np.where(chances > 0, alive, 1.0)

    def _silent_if_alive(self, x: FloatArray, T: FloatArray, h: FloatArray) -> FloatArray:
        """A live customer drops out only after a purchase, so the first wait is exponential.

        Its rate is Gamma(r + x, alpha + T) given the history.
        """
        silent: FloatArray = np.exp(-(self.r + x) * np.log1p(h / (self.alpha + T)))
        return silent

    def _expected_if_alive(self, x: FloatArray, T: FloatArray, h: FloatArray) -> FloatArray:
        """Average (1 - exp(-rate * p * h)) / p over the rate and the dropout p of a live customer.

        Given x and T these are Gamma(r + x, alpha + T) and Beta(a, b + chances). Over the rate it
        comes to (1 - (1 + p u) ** -(r + x)) / p with u = h / (alpha + T); over p it is summed with
        positive weights that depend on x alone, hence positive and monotone like its terms
        ([1]_, eq. 10).
        """
        (x, u), inverse, _ = distinct(x, h / (self.alpha + T))
        expected = np.empty_like(x)
        for group in np.split(np.arange(x.size), np.flatnonzero(np.diff(x)) + 1):
            if not group.size:
                continue
            shape = self.r + x[group[0]]
            p, weight = beta_quadrature(self.a, self.b + float(self._chances(x[group[0]])))
            for block in np.array_split(group, 1 + group.size * p.size // _BLOCK_CELLS):
                term = np.multiply.outer(u[block], p)
                np.log1p(term, out=term)
                term *= -shape
                np.expm1(term, out=term)
                expected[block] = 0.0 - np.einsum("ij,j->i", term, weight / p)
        return expected[inverse]


@dataclass(frozen=True)
class ModifiedBetaGeometric(BetaGeometric):
    """MBG/NBD: as BG/NBD, but the first purchase too may be the last [4]_.

    Parameters, clock and penalty are those of :class:`BetaGeometric`; the chance of dropping out is
    drawn after every purchase, the first included.

    Examples
    --------
    So one who never came back may be gone, and surely is after long enough:

    >>> model = ModifiedBetaGeometric(r=0.525, alpha=6.183, a=0.891, b=1.614)
    >>> model.probability_alive([0, 0, 2], [0, 0, 200], [20, 2000, 200]).round(2)
    array([0.6 , 0.19, 0.8 ])
    """

    _FIRST_MAY_BE_LAST: ClassVar[bool] = True
