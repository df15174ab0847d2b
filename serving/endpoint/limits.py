"""How much is taken on at once, by whom, and for how long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from serving.endpoint.refusals import Refusal

Clock = Callable[[], float]


class Throttle:
    """A token bucket for each caller: a second's worth may come at once.

    Parameters
    ----------
    per_second
        Requests of one caller; None lets all pass.
    clock
        Seconds that never go back.
    """

    def __init__(self, per_second: float | None, clock: Clock = time.monotonic) -> None:
        self._rate = per_second
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def admit(self, caller: str) -> None:
        """Take a token.

        Raises
        ------
        Refusal
            There is none; it says when there will be.

        Examples
        --------
        >>> throttle = Throttle(2.0, clock=lambda: 0.0)
        >>> throttle.admit("crm"), throttle.admit("crm"), throttle.admit("shop")
        (None, None, None)
        >>> throttle.admit("crm")
        Traceback (most recent call last):
            ...
        serving.endpoint.refusals.Refusal: more than 2 requests a second; come back in 0.50 s
        """
        if self._rate is None:
            return
        now = self._clock()
        most = max(1.0, self._rate)
        tokens, since = self._buckets.get(caller, (most, now))
        tokens = min(most, tokens + (now - since) * self._rate)
        if tokens < 1:
            self._buckets[caller] = (tokens, now)
            wait = (1 - tokens) / self._rate
            raise Refusal(
                429,
                "too_many_requests",
                f"more than {self._rate:g} requests a second; come back in {wait:.2f} s",
                wait,
            )
        self._buckets[caller] = (tokens - 1, now)


class Slots:
    """Requests that are worked on at once; more are turned away rather than kept waiting.

    One event loop uses it, so counting needs no lock.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.taken = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a slot for a block.

        Raises
        ------
        Refusal
            All are taken.

        Examples
        --------
        >>> slots = Slots(1)
        >>> with slots.one():
        ...     with slots.one():
        ...         pass
        Traceback (most recent call last):
            ...
        serving.endpoint.refusals.Refusal: 1 requests are being answered already; come back soon
        """
        if self.taken >= self._most:
            raise Refusal(
                503,
                "busy",
                f"{self._most} requests are being answered already; come back soon",
                1.0,
            )
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


class Deadline:
    """When a request has to be answered; whoever works on it looks at it between steps."""

    def __init__(self, seconds: float, clock: Clock = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left, not below zero."""
        return max(0.0, self._end - self._clock())

    def check(self) -> None:
        """Stop the work if its time is over.

        Raises
        ------
        Refusal
            It is.
        """
        if not self.left:
            raise Refusal(
                503,
                "timed_out",
                f"this took longer than {self._seconds:g} s and was stopped; ask for fewer "
                "customers at once",
                1.0,
            )
