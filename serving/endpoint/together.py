"""Requests that wait are answered at once.

Most of an answer for one customer is the cost of calling NumPy and LightGBM, which is hardly more
for several rows. What comes while others are being answered therefore shares the next call, and
under load an answer costs a fraction of one that comes alone. Nobody waits for a request that has
not come yet.
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
        if len(self._waiting) == 1:
            # After all that has arrived by now is read.
            loop.call_soon(self._go)
        return await future

    def _go(self) -> None:
        now, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._go)
        # Whoever has hung up is not waited for.
        now = [(asking, future) for asking, future in now if not future.done()]
        answers = self._answered([asking for asking, _ in now])
        for (_, future), answer in zip(now, answers, strict=True):
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def _answered(self, asked: Sequence[Asking]) -> list[Given | Exception]:
        """Answer at once, or each alone where something goes wrong with one of them."""
        try:
            return [*self._answer(asked)]
        except Exception as error:  # noqa: BLE001
            if len(asked) == 1:
                return [error]
            return [answer for one in asked for answer in self._answered([one])]
