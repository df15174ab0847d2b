"""Connections shared out anew among workers.

Workers accept from one socket, and whoever wakes first may take all that wait: of 64 connections
one worker was seen to hold 50. A connection that is closed now and then, as HTTP lets a server do,
is opened again with the worker that has time to accept it.
"""

from __future__ import annotations

import random

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CLOSED_EVERY = 64
"""Answers, on average, after which a connection is closed: to open one takes a tenth of what an
answer does."""


class Shared:
    """Closes a connection after some of its answers."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and perhaps announce that the connection ends with its answer."""

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        closes = scope["type"] == "http" and random.random() * CLOSED_EVERY < 1
        await self._inner(scope, receive, closing if closes else send)
