"""A steady load of questions and pushes, and all that was answered."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import httpx

from benchmarks.faults.shop import Shop

SCORES_PER_SECOND = 60.0
PUSH_EVERY = 1.5
"""Seconds between two orders of one customer."""
AGAIN_SECONDS = 0.4
"""After which a push that was not acknowledged is sent again, under the same key."""


@dataclass(frozen=True)
class Seen:
    """One question and what came of it.

    Attributes
    ----------
    status
        0 where the connection failed.
    code
        Of an error in the one envelope; empty otherwise.
    not_before
        Day of the newest order of the customer that was acknowledged before the question was sent.
    """

    at: float
    customer: int
    status: int
    code: str
    not_before: date | None
    body: dict[str, Any] = field(repr=False, default_factory=dict)


@dataclass
class Load:
    """Questions and pushes to one server, until they are stopped.

    Attributes
    ----------
    push_every
        Seconds between two orders of one customer.
    acknowledged
        Key and customer of each push that was answered with 200.
    refused
        Pushes that were not, by code; each was sent again.
    """

    shop: Shop
    address: str
    push_every: float = PUSH_EVERY
    seen: list[Seen] = field(default_factory=list)
    acknowledged: dict[str, int] = field(default_factory=dict)
    refused: list[Seen] = field(default_factory=list)
    newest: dict[int, date] = field(default_factory=dict)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        """Begin to ask and to push."""
        self.client = httpx.AsyncClient(
            base_url=self.address,
            timeout=20,
            # Less than the server's five seconds: it closes none that is about to be used.
            limits=httpx.Limits(max_connections=64, keepalive_expiry=2),
        )
        self._tasks = [asyncio.create_task(self._ask_steadily())]
        self._tasks += [
            asyncio.create_task(self._push_steadily(place, customer))
            for place, customer in enumerate(self.shop.pushed)
        ]

    async def stop(self) -> None:
        """End the load, then ask once more for everyone who was pushed to."""
        self._stop.set()
        await asyncio.gather(*self._tasks)
        for customer in self.shop.customers:
            await self.ask(customer)
        await self.client.aclose()

    async def ask(self, customer: int) -> Seen:
        """Ask for one customer, and keep what came."""
        seen = await self._sent(customer, "/v1/customers/score", {"customer_ids": [customer]})
        self.seen.append(seen)
        return seen

    async def _ask_steadily(self) -> None:
        began, asked = time.monotonic(), 0
        waiting: set[asyncio.Task[Seen]] = set()
        while not self._stop.is_set():
            customers = self.shop.customers
            waiting.add(asyncio.create_task(self.ask(customers[asked % len(customers)])))
            asked += 1
            waiting = {task for task in waiting if not task.done()}
            due = began + asked / SCORES_PER_SECOND
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await asyncio.gather(*waiting)

    async def _push_steadily(self, place: int, customer: int) -> None:
        """Push an order a day, each until it is acknowledged, as a till does."""
        await asyncio.sleep(place * self.push_every / len(self.shop.pushed))
        day = self.shop.last_day
        while not self._stop.is_set():
            day += timedelta(days=1)
            key = f"{customer}/{day}"
            order = {"customer_id": customer, "ordered_at": f"{day}T10:00:00Z", "amount": 14.5}
            body = {"table": "orders", "rows": [order], "idempotency_key": key}
            while (seen := await self._sent(customer, "/v1/events", body)).status != 200:
                self.refused.append(seen)
                if self._stop.is_set():
                    return
                await asyncio.sleep(AGAIN_SECONDS)
            self.acknowledged[key] = customer
            self.newest[customer] = day
            await self.ask(customer)
            await asyncio.sleep(self.push_every)

    async def _sent(self, customer: int, route: str, body: dict[str, Any]) -> Seen:
        at, not_before = time.monotonic(), self.newest.get(customer)
        try:
            answer = await self.client.post(route, json=body)
        except httpx.TransportError as error:
            return Seen(at, customer, 0, type(error).__name__, not_before)
        return Seen(at, customer, answer.status_code, _code(answer), not_before, _read(answer))


def _read(answer: httpx.Response) -> dict[str, Any]:
    try:
        return dict(answer.json())
    except ValueError:
        return {"text": answer.text[:300]}


def _code(answer: httpx.Response) -> str:
    """The code of a refusal that is whole: a sentence, the request's id, and when to come back."""
    if answer.status_code == 200:
        return ""
    error = _read(answer).get("error")
    if not isinstance(error, dict) or set(error) != {"code", "message", "request_id"}:
        return "no envelope"
    if answer.status_code == 503 and "retry-after" not in answer.headers:
        return "no retry-after"
    if not error["message"] or error["request_id"] != answer.headers.get("x-request-id"):
        return "no envelope"
    return str(error["code"])
