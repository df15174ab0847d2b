"""What every model of repeat purchases answers: fit, who is alive, who stays silent, how many.

All models of the family tell one story: a customer buys at a constant own rate until dropping out
unseen, and rates and dropout differ over customers. They differ in how dropout comes about.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.btyd.columns import (
    DAYS_PER_WEEK,
    FloatArray,
    Groups,
    ages,
    column,
    grouped,
    histories,
    horizon,
    thinned,
)
from training.btyd.fitting import Bounds, LogLikelihood, dot, maximise
from training.btyd.parameters import Parameters

_FEW = 2000


class Foreseen(NamedTuple):
    """What a model says of customers' next days, a row a customer.

    Attributes
    ----------
    alive
        Chance that the customer has not dropped out yet, shape (n,).
    silent
        Chance of no purchase within each window, shape (n, windows).
    purchases
        Mean number of purchases within each window of a customer who is alive.
    """

    alive: FloatArray
    silent: FloatArray
    purchases: FloatArray


class PurchaseModel(Parameters, ABC):
    """Repeat purchases until a dropout; parameters on a weekly clock, methods take **days**."""

    BOUNDS: ClassVar[Bounds]
    """Where each log-parameter may go."""
    CENTRE: ClassVar[FloatArray]
    """The log-parameters that a penalty draws to."""

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
            One value per customer, as the package defines them.
        penalty
            Weight of a Gaussian prior on the log-parameters for the data set as a whole: `penalty`
            times half the squared distance from `CENTRE` is taken off the log-likelihood. 0 is
            plain maximum likelihood; 1 is a prior of one standard deviation per e-fold, which a
            thousand customers outweigh wherever they say anything.

        Raises
        ------
        ValueError
            If a column is empty, negative, not finite or of another length, if a frequency is not
            a whole number, if a recency exceeds its age, or if penalty is negative.
        """
        x, t_x, T = histories(frequency, recency_days, age_days)
        if not x.size:
            msg = f"frequency is empty: {cls.__name__} needs at least one customer"
            raise ValueError(msg)
        everyone = grouped(x, t_x, T)
        purchases, weeks = (dot(everyone.customers, facts) for facts in (everyone.x, everyone.T))
        rate = max(purchases / max(weeks, 1.0), 1e-4)
        starts: Sequence[FloatArray] = [cls.CENTRE, *cls._starts(rate)]
        # The hill is found on few rows, and its top on all of them.
        stages = [everyone] if everyone.x.size < _FEW else [thinned(everyone), everyone]
        for groups in stages:
            best = maximise(
                cls._log_likelihood(groups),
                starts=starts,
                bounds=cls.BOUNDS,
                centre=cls.CENTRE,
                penalty=penalty,
                customers=x.size,
            )
            starts = [best]
        return cls(*(float(value) for value in np.exp(best)))

    def log_likelihood(
        self, frequency: ArrayLike, recency_days: ArrayLike, age_days: ArrayLike
    ) -> float:
        """Total log-likelihood of the customers, on the weekly clock."""
        theta = np.log(list(self.to_dict().values()))
        everyone = grouped(*histories(frequency, recency_days, age_days))
        return self._log_likelihood(everyone)(theta)[0]

    def probability_alive(
        self, frequency: ArrayLike, recency_days: ArrayLike, age_days: ArrayLike
    ) -> FloatArray:
        """Chance that the customer has not dropped out by age_days."""
        return self._alive(*histories(frequency, recency_days, age_days))

    def probability_of_no_purchase(
        self,
        frequency: ArrayLike,
        recency_days: ArrayLike,
        age_days: ArrayLike,
        horizon_days: ArrayLike,
    ) -> FloatArray:
        """Chance of no purchase in the horizon_days that follow age_days: churn, as labelled.

        Equal to the likelihood of the same history at age_days + horizon_days over that at
        age_days; computed as dead, or alive and silent, which loses no digit where it is small.

        Parameters
        ----------
        frequency, recency_days, age_days
            One value per customer, as the package defines them.
        horizon_days
            One number for all, or one per customer; >= 0.
        """
        x, t_x, T = histories(frequency, recency_days, age_days)
        h = horizon("horizon_days", horizon_days, x.size)
        alive = self._alive(x, t_x, T)
        return (1.0 - alive) + alive * self._silent_if_alive(x, T, h)

    def expected_purchases(
        self,
        frequency: ArrayLike,
        recency_days: ArrayLike,
        age_days: ArrayLike,
        horizon_days: ArrayLike,
    ) -> FloatArray:
        """Expect this many purchases in the horizon_days that follow age_days.

        Finite, never negative, and non-decreasing in horizon_days, for every parameter value (the
        papers' closed forms divide by zero at a or s = 1, and take a 2F1 that overflows).

        Parameters
        ----------
        frequency, recency_days, age_days
            One value per customer, as the package defines them.
        horizon_days
            One number for all, or one per customer; >= 0.
        """
        x, t_x, T = histories(frequency, recency_days, age_days)
        h = horizon("horizon_days", horizon_days, x.size)
        return self._alive(x, t_x, T) * self._expected_if_alive(x, T, h)

    def horizon_growth(
        self,
        frequency: ArrayLike,
        age_days: ArrayLike,
        horizons_days: ArrayLike,
        base_days: float,
    ) -> FloatArray:
        """Compare expected purchases in some horizons with those in base_days, given alive.

        What carries a prediction from the horizon it was learned at to others. Recency drops out,
        as it only tells whether the customer is alive.

        Parameters
        ----------
        frequency, age_days
            One value per customer, as the package defines them.
        horizons_days
            The horizons, >= 0.
        base_days
            The one that they are compared with, > 0.

        Returns
        -------
        array
            A row per customer, a column per horizon; exactly one at the base.
        """
        x, T = ages(frequency, age_days)
        if not base_days > 0:
            msg = "base_days must be above 0: growth is relative to it"
            raise ValueError(msg)
        given = column("horizons_days", horizons_days)
        weeks = np.append(given, base_days) / DAYS_PER_WEEK
        expected = _by_window(self._expected_if_alive, x, T, weeks)
        growth = expected[:, :-1] / expected[:, -1:]
        return np.where(given == base_days, 1.0, growth)

    def silence(
        self,
        frequency: ArrayLike,
        recency_days: ArrayLike,
        age_days: ArrayLike,
        horizons_days: ArrayLike,
    ) -> FloatArray:
        """Chance of no purchase in each of some horizons that follow age_days.

        As `probability_of_no_purchase`, with a column per horizon.
        """
        return self.foresee(frequency, recency_days, age_days, horizons_days, ()).silent

    def foresee(
        self,
        frequency: ArrayLike,
        recency_days: ArrayLike,
        age_days: ArrayLike,
        silences_days: ArrayLike,
        purchases_days: ArrayLike,
    ) -> Foreseen:
        """Say at once who is alive, stays silent and buys how often.

        Most of what a few customers cost is not their own: one call costs a third of three.

        Parameters
        ----------
        frequency, recency_days, age_days
            One value per customer, as the package defines them.
        silences_days, purchases_days
            Windows that follow age_days, >= 0: those of silences, and those of purchases.
        """
        x, t_x, T = histories(frequency, recency_days, age_days)
        silences, purchases = (
            column(name, days) / DAYS_PER_WEEK
            for name, days in (("silences_days", silences_days), ("purchases_days", purchases_days))
        )
        alive = self._alive(x, t_x, T)
        silent = _by_window(self._silent_if_alive, x, T, silences)
        return Foreseen(
            alive,
            (1.0 - alive[:, None]) + alive[:, None] * silent,
            _by_window(self._expected_if_alive, x, T, purchases),
        )

    @abstractmethod
    def simulate(
        self, age_days: ArrayLike, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], FloatArray]:
        """Draw one customer per age from the model's own story, in continuous time.

        Parameters
        ----------
        age_days
            How long each is observed after the first purchase.
        rng
            The source of chance.

        Returns
        -------
        tuple
            frequency (int64) and recency_days (float64, not rounded to days), one per age.
        """

    @classmethod
    @abstractmethod
    def _starts(cls, rate: float) -> Sequence[FloatArray]:
        """Log-parameters to climb from, beside the centre; rate is repeat purchases per week."""

    @classmethod
    @abstractmethod
    def _log_likelihood(cls, groups: Groups) -> LogLikelihood:
        """Give the total log-likelihood and gradient as a function of the log-parameters."""

    @abstractmethod
    def _alive(self, x: FloatArray, t_x: FloatArray, T: FloatArray) -> FloatArray: ...

    @abstractmethod
    def _silent_if_alive(self, x: FloatArray, T: FloatArray, h: FloatArray) -> FloatArray:
        """Chance of no purchase in (T, T + h] of a customer who is alive at T."""

    @abstractmethod
    def _expected_if_alive(self, x: FloatArray, T: FloatArray, h: FloatArray) -> FloatArray:
        """Mean number of purchases in (T, T + h] of a customer who is alive at T."""


def _by_window(
    ask: Callable[[FloatArray, FloatArray, FloatArray], FloatArray],
    x: FloatArray,
    T: FloatArray,
    weeks: FloatArray,
) -> FloatArray:
    """Ask of every customer and window at once, a row a customer."""
    asked = ask(np.repeat(x, weeks.size), np.repeat(T, weeks.size), np.tile(weeks, x.size))
    return asked.reshape(x.size, weeks.size)
