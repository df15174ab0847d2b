"""Buy-till-you-die baselines: BG/NBD for how often, Gamma-Gamma for how much.

Both models need three facts and a mean per customer and no feature at all, which makes them the
baseline that every learned model has to beat, and a prior for customers with little history.

The columns, here and in the literature (x, t_x, T, z-bar):

frequency
    Repeat purchases: distinct days with a purchase, the first not counted. Whole number, >= 0.
recency_days
    Days from the first to the last purchase day (0 when frequency is 0).
age_days
    Days from the first purchase day to the end of observation, >= recency_days.
monetary_value
    Mean spend of a *repeat* purchase day (the first day's spend not counted); NaN if there is none.

References
----------
.. [1] Fader, Hardie & Lee (2005), "Counting Your Customers" the Easy Way: An Alternative to the
       Pareto/NBD Model, Marketing Science 24(2), 275-284.
.. [2] Fader & Hardie (2013), The Gamma-Gamma Model of Monetary Value,
       http://www.brucehardie.com/notes/025/
.. [3] Fader, Hardie & Lee (2008), Computing P(alive) Using the BG/NBD Model,
       http://www.brucehardie.com/notes/021/
.. [4] Fader, Hardie & Lee (2005), Implementing the BG/NBD Model for Customer Base Analysis in
       Excel, http://www.brucehardie.com/notes/004/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import betaln, digamma, expit, gammaln

FloatArray: TypeAlias = NDArray[np.float64]
LogLikelihood: TypeAlias = Callable[[FloatArray], tuple[float, FloatArray]]
"""Log-parameters in; the total log-likelihood and its gradient out."""

DAYS_PER_WEEK = 7.0

# Log-parameters (r, alpha in weeks, a, b): where the search may go and where the prior sits. At the
# bounds the model already is its own limit (one rate for all, one dropout probability for all).
_BG_BOUNDS = ((-8.0, 8.0),) * 4
_BG_CENTRE = np.log([0.5, 10.0, 1.0, 3.0])

# Log-parameters (p, q, gamma in units of the typical spend); the centre has a mean of one unit.
_GG_BOUNDS = ((-8.0, 8.0),) * 3
_GG_CENTRE = np.log([4.0, 4.0, 0.75])

# The population mean p * gamma / (q - 1) exists for q > 1 only; q - 1 is never taken below this.
_LEAST_Q_EXCESS = 0.05

# The dropout quadrature: its step and ends in log-odds. Chosen against 60-digit references over
# r, a, b in [e-8, e8], frequency to 8,000, horizons to 3e6 times alpha + T: worst error 4e-10.
_LOG_ODDS_STEP = 0.4
_LOG_ODDS_ENDS = (-50.0, 37.0)
_BLOCK_CELLS = 1 << 20


class _Parameters:
    """Positive, finite parameters of a frozen dataclass, to and from a JSON-ready dict."""

    def __post_init__(self) -> None:
        for name, value in self.to_dict().items():
            if not (np.isfinite(value) and value > 0):
                msg = f"{type(self).__name__}.{name} must be a positive number, not {value!r}"
                raise ValueError(msg)

    def to_dict(self) -> dict[str, float]:
        """Give the parameters by name, as plain floats."""
        return {name: float(value) for name, value in asdict(self).items()}  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, parameters: Mapping[str, float]) -> Self:
        """Restore what `to_dict` gave; a missing or unknown name is a ValueError."""
        expected = [field.name for field in fields(cls)]  # type: ignore[arg-type]
        if set(parameters) != set(expected):
            msg = f"{cls.__name__} takes exactly {expected}, not {sorted(parameters)}"
            raise ValueError(msg)
        return cls(**{name: float(parameters[name]) for name in expected})


@dataclass(frozen=True)
class BetaGeometric(_Parameters):
    """BG/NBD: purchases at a customer's own rate until a dropout that follows a purchase [1]_.

    The parameters are on a *weekly* clock, as published; every method takes **days**.

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
    """

    r: float
    alpha: float
    a: float
    b: float

    @classmethod
    def fit(
        cls,
        frequency: ArrayLike,
        recency_days: ArrayLike,
        age_days: ArrayLike,
        *,
        penalty: float = 0.0,
    ) -> Self:
        """Maximise the likelihood over bounded log-parameters; never diverges.

        Parameters
        ----------
        frequency, recency_days, age_days
            One value per customer, as the module defines them.
        penalty
            Weight of a Gaussian prior on the log-parameters for the data set as a whole: `penalty`
            times half the squared distance from (r .5, alpha 10 weeks, a 1, b 3) is taken off the
            log-likelihood. 0 is plain maximum likelihood; 1 is a prior of one standard deviation
            per e-fold, which a thousand customers outweigh wherever they say anything.

        Raises
        ------
        ValueError
            If a column is empty, negative, not finite or of another length, if a frequency is not
            a whole number, if a recency exceeds its age, or if penalty is negative.

        Examples
        --------
        Customers who all bought once say that purchases are rare and nothing about dropout; what
        the data leave open stays near the prior's centre:

        >>> round(BetaGeometric.fit([0, 0, 0], [0, 0, 0], [70, 80, 90], penalty=1.0).b, 3)
        3.0
        >>> BetaGeometric.fit([1], [9], [8])
        Traceback (most recent call last):
            ...
        ValueError: recency_days exceeds age_days at row 0: 9.0 > 8.0
        """
        x, t_x, T = _histories(frequency, recency_days, age_days)
        if not x.size:
            msg = "frequency is empty: BG/NBD needs at least one customer"
            raise ValueError(msg)
        # The prior's centre first, which wins where the data say nothing; then the data's own rate
        # with ordinary dropout, little dropout, and dropout either at once or never.
        rate = max(float(x.sum() / max(T.sum(), 1.0)), 1e-4)
        starts = [
            _BG_CENTRE,
            np.log([0.5, 0.5 / rate, 1.0, 3.0]),
            np.log([1.0, 1.0 / rate, 0.1, 2.0]),
            np.log([0.5, 0.5 / rate, 0.02, 0.02]),
        ]
        log_likelihood = _bg_log_likelihood(x, t_x, T)
        best = _maximise(
            log_likelihood,
            starts=starts,
            bounds=_BG_BOUNDS,
            centre=_BG_CENTRE,
            penalty=penalty,
            customers=x.size,
        )
        r, alpha, a, b = (float(value) for value in np.exp(best))
        return cls(r, alpha, a, b)

    def log_likelihood(
        self, frequency: ArrayLike, recency_days: ArrayLike, age_days: ArrayLike
    ) -> float:
        """Total log-likelihood of the customers, on the weekly clock ([1]_, eq. 6)."""
        theta = np.log([self.r, self.alpha, self.a, self.b])
        return _bg_log_likelihood(*_histories(frequency, recency_days, age_days))(theta)[0]

    def probability_alive(
        self, frequency: ArrayLike, recency_days: ArrayLike, age_days: ArrayLike
    ) -> FloatArray:
        """Chance that the customer has not dropped out by age_days; 1 for frequency 0.

        [3]_: the first of the likelihood's two terms over their sum.
        """
        return self._alive(*_histories(frequency, recency_days, age_days))

    def probability_of_no_purchase(
        self,
        frequency: ArrayLike,
        recency_days: ArrayLike,
        age_days: ArrayLike,
        horizon_days: ArrayLike,
    ) -> FloatArray:
        """Chance of no purchase in the horizon_days that follow age_days: churn, as labelled.

        A live customer drops out only after a purchase, so the first wait is exponential at a
        rate that is Gamma(r + x, alpha + T) given the history:
        1 - P(alive) (1 - ((alpha + T) / (alpha + T + h)) ** (r + x)).

        Parameters
        ----------
        frequency, recency_days, age_days
            One value per customer, as the module defines them.
        horizon_days
            One number for all, or one per customer; >= 0.

        Examples
        --------
        >>> model = BetaGeometric(r=0.243, alpha=4.414, a=0.793, b=2.426)
        >>> model.probability_of_no_purchase([0, 6], [0, 250], [272, 272], 91).round(2)
        array([0.94, 0.31])
        """
        x, t_x, T = _histories(frequency, recency_days, age_days)
        h = _horizon("horizon_days", horizon_days, x.size)
        silent_if_alive = np.exp(-(self.r + x) * np.log1p(h / (self.alpha + T)))
        alive = self._alive(x, t_x, T)
        result: FloatArray = (1.0 - alive) + alive * silent_if_alive
        return result

    def expected_purchases(
        self,
        frequency: ArrayLike,
        recency_days: ArrayLike,
        age_days: ArrayLike,
        horizon_days: ArrayLike,
    ) -> FloatArray:
        """Expect this many purchases in the horizon_days that follow age_days ([1]_, eq. 10).

        Finite, never negative, and non-decreasing in horizon_days, for every parameter value (the
        paper's closed form divides by a - 1 and takes a 2F1 that overflows).

        Parameters
        ----------
        frequency, recency_days, age_days
            One value per customer, as the module defines them.
        horizon_days
            One number for all, or one per customer; >= 0.

        Examples
        --------
        >>> model = BetaGeometric(r=0.243, alpha=4.414, a=0.793, b=2.426)
        >>> model.expected_purchases([0, 2, 2], [0, 200, 20], [200, 200, 200], 91).round(3)
        array([0.091, 0.658, 0.103])
        """
        x, t_x, T = _histories(frequency, recency_days, age_days)
        h = _horizon("horizon_days", horizon_days, x.size)
        return self._alive(x, t_x, T) * self._expected_if_alive(x, T, h)

    def horizon_growth(
        self,
        frequency: ArrayLike,
        age_days: ArrayLike,
        horizon_days: ArrayLike,
        base_days: ArrayLike,
    ) -> FloatArray:
        """Compare expected purchases in horizon_days with those in base_days, given alive.

        What carries a prediction from the horizon it was learned at to another one. Recency drops
        out, as it only tells whether the customer is alive.

        Parameters
        ----------
        frequency, age_days
            One value per customer, as the module defines them.
        horizon_days, base_days
            One number for all, or one per customer; base_days > 0.

        Examples
        --------
        Exactly one at the base, and less than proportional beyond it, since customers drop out:

        >>> model = BetaGeometric(r=0.243, alpha=4.414, a=0.793, b=2.426)
        >>> model.horizon_growth([0, 5], [200, 200], [91, 364], base_days=91).round(2)
        array([1.  , 3.19])
        """
        x, T = _whole("frequency", frequency), _column("age_days", age_days) / DAYS_PER_WEEK
        _same_length(frequency=x, age_days=T)
        h = _horizon("horizon_days", horizon_days, x.size)
        base = _horizon("base_days", base_days, x.size)
        if not (base > 0).all():
            msg = "base_days must be above 0: growth is relative to it"
            raise ValueError(msg)
        growth = self._expected_if_alive(x, T, h) / self._expected_if_alive(x, T, base)
        return np.where(h == base, 1.0, growth)

    def _alive(self, x: FloatArray, t_x: FloatArray, T: FloatArray) -> FloatArray:
        log_odds_dead = (
            np.log(self.a)
            - np.log(self.b + np.maximum(x, 1) - 1)
            + (self.r + x) * (np.log(self.alpha + T) - np.log(self.alpha + t_x))
        )
        alive: FloatArray = expit(-log_odds_dead)
        return np.where(x > 0, alive, 1.0)

    def _expected_if_alive(self, x: FloatArray, T: FloatArray, h: FloatArray) -> FloatArray:
        """Average (1 - exp(-rate * p * h)) / p over the rate and the dropout p of a live customer.

        Given x and T these are Gamma(r + x, alpha + T) and Beta(a, b + x). Over the rate it comes
        to (1 - (1 + p u) ** -(r + x)) / p with u = h / (alpha + T); over p it is summed with
        positive weights that depend on x alone, hence positive and monotone like its terms.
        """
        (x, u), inverse, _ = _distinct(x, h / (self.alpha + T))
        expected = np.empty_like(x)
        for group in np.split(np.arange(x.size), np.flatnonzero(np.diff(x)) + 1):
            if not group.size:
                continue
            shape = self.r + x[group[0]]
            p, weight = _beta_quadrature(self.a, self.b + x[group[0]])
            for block in np.array_split(group, 1 + group.size * p.size // _BLOCK_CELLS):
                term = np.multiply.outer(u[block], p)
                np.log1p(term, out=term)
                term *= -shape
                np.expm1(term, out=term)
                expected[block] = 0.0 - np.einsum("ij,j->i", term, weight / p)
        return expected[inverse]


@dataclass(frozen=True)
class GammaGamma(_Parameters):
    """Gamma-Gamma: what a purchase day is worth, shrunk to the population by evidence [2]_.

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
        x, z = _spends(frequency, monetary_value)
        usable = (x > 0) & (z > 0)
        x, z = x[usable], z[usable]
        if not x.size:
            msg = (
                "no customer has frequency > 0 and monetary_value > 0: "
                "Gamma-Gamma needs at least one repeat buyer"
            )
            raise ValueError(msg)
        unit = float(np.exp(np.log(z).mean()))
        bounds = list(_GG_BOUNDS)
        if penalty > 0:
            bounds[1] = (float(np.log1p(_LEAST_Q_EXCESS)), bounds[1][1])
        starts = [_GG_CENTRE, np.log([1.0, 2.0, 1.0]), np.log([20.0, 10.0, 0.5])]
        log_likelihood = _gg_log_likelihood(x, z / unit)
        best = _maximise(
            log_likelihood,
            starts=starts,
            bounds=bounds,
            centre=_GG_CENTRE,
            penalty=penalty,
            customers=x.size,
        )
        p, q, gamma = (float(value) for value in np.exp(best))
        return cls(p, q, gamma * unit)

    def expected_value(self, frequency: ArrayLike, monetary_value: ArrayLike) -> FloatArray:
        """Mean spend to expect of a purchase day, given the mean of those seen ([2]_, eq. 5).

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
        x, z = _spends(frequency, monetary_value)
        x = np.where(np.isnan(z), 0.0, x)
        spent = np.where(x > 0, x * np.maximum(np.nan_to_num(z), 0.0), 0.0)
        excess = max(self.q - 1.0, _LEAST_Q_EXCESS)
        result: FloatArray = self.p * (self.gamma + spent) / (self.p * x + excess)
        return result


def simulate(
    model: BetaGeometric, age_days: ArrayLike, rng: np.random.Generator
) -> tuple[NDArray[np.int64], FloatArray]:
    """Draw one customer per age from the model's own story, in continuous time.

    Parameters
    ----------
    model
        Whose customers to draw.
    age_days
        How long each is observed after the first purchase.
    rng
        The source of chance.

    Returns
    -------
    tuple
        frequency (int64) and recency_days (float64, not rounded to days), one per age.

    Examples
    --------
    >>> model = BetaGeometric(r=0.243, alpha=4.414, a=0.793, b=2.426)
    >>> frequency, recency_days = simulate(model, [0.0, 0.0], np.random.default_rng(1))
    >>> frequency, recency_days
    (array([0, 0]), array([0., 0.]))
    """
    age = _column("age_days", age_days)
    rate = rng.gamma(model.r, 1.0 / model.alpha, age.size)
    dropout = rng.beta(model.a, model.b, age.size)
    wanted = rng.poisson(rate * age / DAYS_PER_WEEK)
    # The purchase that ends it: geometric, by inversion, as a dropout near 0 overflows an integer.
    with np.errstate(divide="ignore"):
        last = 1.0 + np.floor(rng.standard_exponential(age.size) / -np.log1p(-dropout))
    frequency = np.minimum(wanted, last).astype(np.int64)
    # Given their number, purchase times are uniform, and the k-th of n is Beta(k, n - k + 1).
    share = rng.beta(np.maximum(frequency, 1), np.maximum(wanted, 1) - np.maximum(frequency, 1) + 1)
    return frequency, np.where(frequency > 0, share * age, 0.0)


def _bg_log_likelihood(x: FloatArray, t_x: FloatArray, T: FloatArray) -> LogLikelihood:
    """Give BG/NBD's total log-likelihood and gradient as a function of log (r, alpha, a, b).

    [1]_, eq. 6, split as in [4]_: A1 + A2 + log(exp(A3) + exp(A4)), the A4 only for x > 0.
    """
    (x, t_x, T), _, customers = _distinct(x, t_x, T)
    # What depends on x alone is evaluated once per x; x ascends, so its runs are its groups.
    first = np.flatnonzero(np.diff(x, prepend=-1.0))
    k, n = x[first], np.add.reduceat(customers, first) if x.size else customers
    later = np.maximum(x, 1) - 1
    repeat = x > 0

    def evaluate(theta: FloatArray) -> tuple[float, FloatArray]:
        r, alpha, a, b = np.exp(theta)
        log_T, log_t_x = np.log(alpha + T), np.log(alpha + t_x)
        A3 = -(r + x) * log_T
        A4 = np.where(repeat, np.log(a) - np.log(b + later) - (r + x) * log_t_x, -np.inf)
        dead = expit(A4 - A3)
        A1 = gammaln(r + k) - gammaln(r) + r * np.log(alpha)
        A2 = betaln(a, b + k) - betaln(a, b)
        value = _dot(n, A1 + A2) + _dot(customers, np.logaddexp(A3, A4))
        lost = _dot(n, digamma(a + b) - digamma(a + b + k))
        gradient = np.array(
            [
                _dot(n, digamma(r + k) - digamma(r) + np.log(alpha))
                - _dot(customers, (1 - dead) * log_T + dead * log_t_x),
                n.sum() * r / alpha
                - _dot(customers, (r + x) * ((1 - dead) / (alpha + T) + dead / (alpha + t_x))),
                lost + _dot(customers, dead) / a,
                lost + _dot(n, digamma(b + k) - digamma(b)) - _dot(customers, dead / (b + later)),
            ]
        )
        return value, gradient * np.exp(theta)

    return evaluate


def _gg_log_likelihood(x: FloatArray, z: FloatArray) -> LogLikelihood:
    """Give Gamma-Gamma's total log-likelihood and gradient as a function of log (p, q, gamma).

    [2]_, eq. 1a.
    """
    (k,), _, n = _distinct(x)
    spent = x * z
    log_spent, log_z = np.log(spent), float(np.log(z).sum())

    def evaluate(theta: FloatArray) -> tuple[float, FloatArray]:
        p, q, gamma = np.exp(theta)
        log_total = np.log(gamma + spent)
        own = _dot(x, log_spent - log_total)
        prior = float((np.log(gamma) - log_total).sum())
        value = q * prior + p * own - log_z - _dot(n, betaln(p * k, q))
        both = digamma(p * k + q)
        gradient = np.array(
            [
                _dot(n * k, both - digamma(p * k)) + own,
                _dot(n, both - digamma(q)) + prior,
                x.size * q / gamma - ((p * x + q) / (gamma + spent)).sum(),
            ]
        )
        return value, gradient * np.exp(theta)

    return evaluate


def _dot(left: FloatArray, right: FloatArray) -> float:
    """Give the inner product without BLAS.

    The same to the last bit however many threads there are; and on a busy machine BLAS threads
    that wait for each other made a fit twenty times slower.
    """
    return float((left * right).sum())


def _maximise(
    log_likelihood: LogLikelihood,
    *,
    starts: Sequence[FloatArray],
    bounds: Sequence[tuple[float, float]],
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
            (penalty * _dot(away, away) / 2 - value) / customers,
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
            options={"maxiter": 1000, "ftol": 1e-14, "gtol": 1e-8},
        )
        for start in starts
    ]
    best: FloatArray = min(ends, key=lambda end: float(end.fun)).x
    return best


def _beta_quadrature(a: float, b: float) -> tuple[FloatArray, FloatArray]:
    """Nodes p and weights (positive, sum 1) of E[f(p)] for p ~ Beta(a, b) and smooth f.

    The trapezoidal rule on log-odds, where the density is p ** a * (1 - p) ** b: exponentially
    accurate, however small, large or lopsided a and b are. Beyond the ends the density is a pure
    exponential and f constant, so each end node carries the geometric sum of all beyond it.

    Examples
    --------
    >>> p, weight = _beta_quadrature(0.5, 1.5)
    >>> round(float(weight @ p), 12), round(float(weight @ p**2), 12)
    (0.25, 0.125)
    """
    width = np.sqrt(1 / a + 1 / b)
    mode = np.log(a / b)
    lowest, highest = _LOG_ODDS_ENDS
    lower = min(max(mode - 12 * width - 45 / a, lowest), highest - 1)
    upper = max(min(mode + 12 * width + 45 / b, highest), lower + 1)
    count = 1 + int(np.ceil((upper - lower) / (_LOG_ODDS_STEP * min(1.0, width))))
    log_odds, step = np.linspace(lower, upper, count, retstep=True)
    log_p = -np.logaddexp(0, -log_odds)
    log_weight = a * log_p - b * np.logaddexp(0, log_odds)
    log_weight[0] -= np.log(-np.expm1(-a * step))
    log_weight[-1] -= np.log(-np.expm1(-b * step))
    weight = np.exp(log_weight - log_weight.max())
    return np.exp(log_p), weight / weight.sum()


def _distinct(*columns: FloatArray) -> tuple[list[FloatArray], NDArray[np.intp], FloatArray]:
    """Distinct rows in ascending order, the place of each input row among them, their counts."""
    order = np.lexsort(columns[::-1])
    ascending = [column[order] for column in columns]
    opens = np.ones(order.size, dtype=bool)
    opens[1:] = np.any([column[1:] != column[:-1] for column in ascending], axis=0)
    inverse = np.empty(order.size, dtype=np.intp)
    inverse[order] = np.cumsum(opens) - 1
    count = np.diff(np.append(np.flatnonzero(opens), order.size)).astype(np.float64)
    return [column[opens] for column in ascending], inverse, count


def _histories(
    frequency: ArrayLike, recency_days: ArrayLike, age_days: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Check a customer's three facts and give x, t_x, T, the last two in weeks."""
    x = _whole("frequency", frequency)
    t_x = _column("recency_days", recency_days)
    T = _column("age_days", age_days)
    _same_length(frequency=x, recency_days=t_x, age_days=T)
    if (t_x > T).any():
        row = int(np.argmax(t_x > T))
        msg = f"recency_days exceeds age_days at row {row}: {t_x[row]} > {T[row]}"
        raise ValueError(msg)
    return x, t_x / DAYS_PER_WEEK, T / DAYS_PER_WEEK


def _spends(frequency: ArrayLike, monetary_value: ArrayLike) -> tuple[FloatArray, FloatArray]:
    x = _whole("frequency", frequency)
    z = np.atleast_1d(np.asarray(monetary_value, dtype=np.float64))
    _same_length(frequency=x, monetary_value=z)
    if np.isinf(z).any():
        msg = f"monetary_value is infinite at row {int(np.argmax(np.isinf(z)))}"
        raise ValueError(msg)
    return x, z


def _horizon(name: str, days: ArrayLike, customers: int) -> FloatArray:
    """Check a horizon, one for all or one per customer, and give it in weeks for each."""
    column = _column(name, days)
    if column.size not in {1, customers}:
        msg = f"{name} has {column.size} values for {customers} customers: give one, or one each"
        raise ValueError(msg)
    return np.broadcast_to(column / DAYS_PER_WEEK, customers)


def _whole(name: str, values: ArrayLike) -> FloatArray:
    column = _column(name, values)
    if (column % 1 != 0).any():
        row = int(np.argmax(column % 1 != 0))
        msg = f"{name} must count purchases, but is {column[row]} at row {row}"
        raise ValueError(msg)
    return column


def _column(name: str, values: ArrayLike) -> FloatArray:
    """Give the values as floats, refusing what is not finite or below zero, by name and row."""
    column = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if column.ndim != 1:
        msg = f"{name} must be one value per customer, not of shape {column.shape}"
        raise ValueError(msg)
    bad = ~(np.isfinite(column) & (column >= 0))
    if bad.any():
        row = int(np.argmax(bad))
        msg = f"{name} must be finite and not negative, but is {column[row]} at row {row}"
        raise ValueError(msg)
    return column


def _same_length(**columns: FloatArray) -> None:
    lengths = {name: column.shape for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        described = ", ".join(f"{name} {shape[0]}" for name, shape in lengths.items())
        msg = f"columns differ in length: {described}"
        raise ValueError(msg)
