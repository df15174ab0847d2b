"""Requests that wait are answered at once.

Most of an answer for one customer is the cost of calling NumPy and LightGBM, which is hardly more
for several rows. What comes while others are being answered therefore shares the next call, and
under load an answer costs a fraction of one that comes alone. Whoever comes soon after a call waits
a moment for more: a worker that called for each would have no time left as soon as requests came
as fast as it calls, and then all would wait for long. Who comes to an idle worker never waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from serving.endpoint.refusals import Refusal

Asking = TypeVar("Asking")
Given = TypeVar("Given")

MOST_TOGETHER = 16
"""Requests of one call: those who come later are not kept waiting for long."""
SHARE_OF_TIME = 1 / 4
"""Share of a worker's time that calls for few take: the rest is for reading and sending."""
LONGEST_HOLD = 0.012
"""Seconds after the beginning of a call for which the next is held back at most."""
ENOUGH = 3
"""So many requests, or as many as the last call had, are not held back for more."""


class Together(Generic[Asking, Given]):
    """Gathers what waits, for one event loop.

    Parameters
    ----------
    answer
        Answers several requests, each as it would be alone; a refusal of one stands in its place.
    """

    def __init__(self, answer: Callable[[Sequence[Asking]], Sequence[Given | Refusal]]) -> None:
        self._answer = answer
        self._waiting: list[tuple[Asking, asyncio.Future[Given]]] = []
        self._next: asyncio.Handle | None = None
        self._not_before = 0.0
        self._enough = ENOUGH

    async def ask(self, asking: Asking) -> Given:
        """Answer a request, together with the others that wait.

        Raises
        ------
        Refusal
            It is refused.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Given] = loop.create_future()
        self._waiting.append((asking, future))
        self._plan(loop)
        return await future

    def _plan(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the next call begin: now if enough wait, else when its time has come."""
        if self._next is not None and len(self._waiting) != self._enough:
            return
        if self._next is not None:
            self._next.cancel()
        held = self._not_before - loop.time()
        if held > 0 and len(self._waiting) < self._enough:
            self._next = loop.call_later(held, self._go)
        else:
            # After all that has arrived by now is read.
            self._next = loop.call_soon(self._go)

    def _go(self) -> None:
        loop = asyncio.get_running_loop()
        began, self._next = loop.time(), None
        now, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
        # Whoever has hung up is not waited for.
        now = [(asking, future) for asking, future in now if not future.done()]
        answers = self._answered([asking for asking, _ in now])
        for (_, future), answer in zip(now, answers, strict=True):
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        self._not_before = began + min(LONGEST_HOLD, (loop.time() - began) / SHARE_OF_TIME)
        self._enough = max(ENOUGH, len(now))
        if self._waiting:
            self._plan(loop)

    def _answered(self, asked: Sequence[Asking]) -> list[Given | Exception]:
        """Answer at once, or each alone where something goes wrong with one of them."""
        try:
            return [*self._answer(asked)]
        except Exception as error:  # noqa: BLE001
            if len(asked) == 1:
                return [error]
            return [answer for one in asked for answer in self._answered([one])]
