"""The tracking server goes away and comes back: under an endpoint, and before one starts."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from io import StringIO
from pathlib import Path

import httpx

from benchmarks.faults.server import free_port, until
from benchmarks.faults.shop import Shop
from benchmarks.faults.trial import Counts, Trial, alone, tried
from features.settings import Settings
from training.registry import open_registry, tracking_uri

AWAY_SECONDS = 4.0
START_SECONDS = 300.0


@dataclass
class Tracking:
    """A real `mlflow server` over a workspace's runs, to be killed and started again."""

    store: str
    port: int
    log: Path
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> dict[str, str]:
        """The setting that names it, as a variable."""
        return {"LIFECYCLE_STORES__TRACKING_URI": f"http://127.0.0.1:{self.port}"}

    def start(self) -> None:
        """Start it, and wait until it answers."""
        words = [
            "-m",
            "mlflow",
            "server",
            "--backend-store-uri",
            self.store,
            "--workers",
            "1",
            *self.options,
        ]
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with self.log.open("a") as output:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    *words,
                    *self.options,
                    "--host",
                    "127.0.0.1",
                    "--port",
                    str(self.port),
                ],
                env={**os.environ, **quiet},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{self.port}/health").raise_for_status()
                return
            except httpx.HTTPError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise
                time.sleep(0.2)

    def end(self) -> None:
        """Kill it, and its workers with it: they are a group of their own."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextmanager
def tracking(shop: Shop, folder: Path) -> Iterator[Tracking]:
    """Run a tracking server over a copy until the block ends."""
    # A workspace that was moved finds its artifacts again when it is opened.
    local = open_registry(shop.workspace, Settings())
    store = tracking_uri(shop.workspace, Settings())
    server = Tracking(store, free_port(), folder / "mlflow.log")
    # On a server, which others may use too, a workspace's model bears the workspace's name.
    served = open_registry(shop.workspace, Settings.load(environment=server.settings))
    local._client.rename_registered_model(local.model, served.model)
    server.start()
    try:
        yield server
    finally:
        server.end()


async def mlflow_away(shop: Shop, folder: Path) -> list[Counts]:
    """Take the registry away under load, then before a start."""
    there = shop.copied(folder / "w")
    with tracking(there, folder) as server:
        there = replace(there, environment=server.settings)
        found = [await tried("MLflow is away", there, partial(_away, server), folder / "log")]
    there = shop.copied(folder / "start")
    with tracking(there, folder) as server:
        server.end()
        there = replace(there, environment=server.settings)
        begin, log = partial(_back, server), folder / "start.log"
        found.append(await tried("a start without MLflow", there, begin, log, ready=False))
    return found


async def _away(server: Tracking, trial: Trial) -> None:
    registry = open_registry(trial.shop.workspace, trial.shop.settings)
    champion, newest = registry.require_champion(), registry.newest()
    await asyncio.to_thread(server.end)
    await asyncio.sleep(AWAY_SECONDS)
    trial.check(
        "stores.tracking_uri" in (await trial.server.state())["problem"],
        "its state did not name the server that is away",
    )
    # Days come online all the same, and pushes with them; the first is deleted by the second.
    await asyncio.to_thread(_twice_online, trial.shop)
    await asyncio.sleep(AWAY_SECONDS)
    await asyncio.to_thread(server.start)
    await asyncio.to_thread(registry.promote, newest, "it is newer", {}, True, "trial")
    moved = time.monotonic()

    def swapped() -> bool:
        recent = [one for one in trial.load.seen[-40:] if one.status == 200 and one.at > moved]
        said = {one.body["versions"]["model"] for one in recent}
        return len(recent) > 20 and said == {newest.version}

    await until(swapped, 60, "a model that was promoted after it came back answers")
    trial.recovery = max(
        one.at - moved
        for one in trial.load.seen
        if one.status == 200 and one.body["versions"]["model"] == champion.version
    )

    async def well() -> bool:
        return not (await trial.server.state())["problem"]

    await until(well, 20, "its state says that all is well")


def _twice_online(shop: Shop) -> None:
    context = shop.context
    ledger = context.ledger()
    with redirect_stdout(StringIO()):
        for number in range(2):
            context.store(ledger).materialise(shop.last_day, f"again {number}")
            time.sleep(2)


async def _back(server: Tracking, trial: Trial) -> None:
    trial.allowed = frozenset({"not_ready"})
    asked = [one.status for one in trial.load.seen]
    trial.check(asked and set(asked) == {503}, f"asked before it was ready it said {set(asked)}")
    await asyncio.to_thread(server.start)
    trial.lifted = time.monotonic()

    async def ready() -> bool:
        return await trial.server.status() == 200

    await until(ready, 60, "it becomes ready when the server is back")
    await asyncio.sleep(3)


if __name__ == "__main__":
    alone("mlflow_away", mlflow_away)
