"""A load over raw connections, in a process of its own that imports nothing heavy."""

from __future__ import annotations

import asyncio
import time
from multiprocessing.connection import Connection
from typing import Any

KEY = "benchmark"
CONNECTIONS = 8


def ask_for_a_while(
    address: str,
    route: str,
    bodies: list[bytes],
    seconds: float,
    rate: float | None,
    send: Connection,
) -> None:
    """Ask for a while: each connection in turn, or at a steady rate whatever the answers take."""
    send.send(asyncio.run(_asked(address, route, bodies, seconds, rate)))


async def _asked(
    address: str, route: str, bodies: list[bytes], seconds: float, rate: float | None
) -> tuple[list[float], int, float]:
    host, _, port = address.removeprefix("http://").partition(":")
    requests = [
        f"POST {route} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
        for body in bodies
    ]
    taken: list[float] = []
    failed = asked = 0
    free: asyncio.Queue[Any] = asyncio.Queue()
    for _ in range(CONNECTIONS if rate is None else 8 * CONNECTIONS):
        free.put_nowait(await asyncio.open_connection(host, int(port)))

    async def ask(place: int, due: float) -> None:
        nonlocal failed
        reader, writer = await free.get()
        try:
            writer.write(requests[place % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            failed += b" 200 " not in head[:16]
            closes = b"connection: close" in head.lower()
        except (asyncio.IncompleteReadError, ConnectionError):
            failed, closes = failed + 1, True
        taken.append(time.perf_counter() - due)
        if closes:
            writer.close()
            reader, writer = await asyncio.open_connection(host, int(port))
        free.put_nowait((reader, writer))

    began = time.perf_counter()
    if rate is None:

        async def turn(first: int) -> None:
            place = first
            while time.perf_counter() - began < seconds:
                await ask(place, time.perf_counter())
                place += CONNECTIONS

        await asyncio.gather(*(turn(first) for first in range(CONNECTIONS)))
    else:
        tasks = set()
        while (due := began + asked / rate) < began + seconds:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            # Waiting for a connection counts: from when it should have been asked.
            task = asyncio.ensure_future(ask(asked, due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            asked += 1
        await asyncio.gather(*tasks)
    return taken, failed, time.perf_counter() - began
