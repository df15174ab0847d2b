"""A Redis of our own, to be killed and started again."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from benchmarks.faults.server import free_port, stop

START_SECONDS = 20.0


@dataclass
class OwnRedis:
    """A server that keeps what it was told in a folder, and can be started again there."""

    program: str
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> dict[str, str]:
        """The settings that name it, as variables."""
        return {
            "LIFECYCLE_STORES__ONLINE": "redis",
            "LIFECYCLE_STORES__REDIS_URL": f"redis://127.0.0.1:{self.port}/0",
        }

    def start(self) -> None:
        """Start it on what it has, and wait until it answers."""
        words = ["--port", str(self.port), "--dir", str(self.folder), "--save", ""]
        words += ["--appendonly", "yes", "--appendfsync", "always", "--bind", "127.0.0.1"]
        self.process = subprocess.Popen([self.program, *words], stdout=subprocess.DEVNULL)
        until = time.monotonic() + START_SECONDS
        with redis.Redis(port=self.port) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.RedisError:
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.05)

    def kill(self) -> None:
        """Kill it, by its id, without a warning."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def empty(self) -> None:
        """Lose all that it has, as one that keeps nothing on disk does."""
        with redis.Redis(port=self.port) as client:
            client.flushall()


@contextmanager
def redis_server(folder: Path) -> Iterator[OwnRedis | None]:
    """Run one until the block ends; None where the program is not installed."""
    program = shutil.which("redis-server")
    if program is None:
        print("redis-server is not installed: what needs one is left out")
        yield None
        return
    folder.mkdir()
    server = OwnRedis(program, folder, free_port())
    server.start()
    try:
        yield server
    finally:
        if server.process is not None:
            stop(server.process)
