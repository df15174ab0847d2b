"""A real `lifecycle serve`, its log and its workers."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.faults.shop import Shop, command, environment

START_SECONDS = 300.0
_WORKER = b"_bentoml_impl.worker.service"
_BEGUN = "Service lifecycle initialized"
"""What BentoML logs of each worker that has started."""


@dataclass
class Server:
    """A server that runs."""

    process: subprocess.Popen[bytes]
    address: str
    log: Path
    started: int

    def workers(self) -> list[int]:
        """The ids of the processes that answer."""
        pids = sorted(int(path.name) for path in Path("/proc").glob("[0-9]*"))
        return [pid for pid in pids if _is_worker(pid, self.process.pid)]

    def kill(self, pid: int) -> None:
        """Kill a worker of this server, without a warning."""
        os.kill(pid, signal.SIGKILL)

    async def status(self, path: str = "/readyz") -> int:
        """Ask over a connection of its own; 0 where nobody answers."""
        async with httpx.AsyncClient(base_url=self.address, timeout=5) as client:
            try:
                return (await client.get(path)).status_code
            except httpx.TransportError:
                return 0

    async def state(self) -> dict[str, Any]:
        """What it says of itself."""
        async with httpx.AsyncClient(base_url=self.address, timeout=20) as client:
            return dict((await client.get("/v1/state")).json())

    async def until_ready(self, status: int = 200) -> float:
        """Wait until it can score, or says that it cannot yet; the seconds that it took."""
        began = time.monotonic()

        async def ready() -> bool:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended: {self.log.read_text()[-3000:]}")
            begun = self.log.read_text().count(_BEGUN) >= self.started
            return begun and await self.status() == status

        await until(ready, START_SECONDS, "the server is ready")
        return time.monotonic() - began


async def until(found: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until something is so.

    Raises
    ------
    TimeoutError
        It never was.
    """
    end = time.monotonic() + seconds
    while True:
        answer = found()
        if await answer if asyncio.iscoroutine(answer) else answer:
            return
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        await asyncio.sleep(0.1)


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@asynccontextmanager
async def serving(shop: Shop, log: Path, workers: int = 2) -> AsyncIterator[Server]:
    """Run the endpoint until the block ends; whoever needs it ready waits."""
    port = free_port()
    words = ["serve", "--quiet", "--port", str(port), "--workers", str(workers)]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command(shop.root), *words], env=environment(shop), stdout=output, stderr=output
        )
    try:
        yield Server(process, f"http://127.0.0.1:{port}", log, workers)
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started here, gently if it lets itself be."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _is_worker(pid: int, server: int) -> bool:
    try:
        parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
        return int(parent) == server and _WORKER in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
