"""A company's day in ten minutes, on the stores of a production: nothing wrong, lost or growing.

A company of CDNOW's 23,570 customers with its online store in Redis, pushed events, Feast's
registry and the tracking server's runs in PostgreSQL, is asked 60 times a second and told of orders
by several tills. A worker is killed. Then, round after round, another model is promoted, a day is
closed and comes online, a backup is taken and restored elsewhere, the first model comes back,
everyone is scored, the record of decisions becomes Parquet, Redis dies and starts again. At the end
every answer is compared, to the last digit, with what the scorer of the version that it names says
of the row that it names, every acknowledged push is looked for in the log, every answer in the
record, and the workers' memory in the last round is set beside that in the second, before which
everything has been done once. Counted is what is a worker's own (anonymous pages): those of
libraries and files are shared, and the kernel drops them.

    python -m benchmarks.soak --postgres postgresql://postgres@127.0.0.1:5432

Without PostgreSQL, or without redis-server, what would be there is in the workspace, and is said.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from statistics import mean

import psycopg

from benchmarks.faults.load import Load
from benchmarks.faults.mlflow_away import Tracking
from benchmarks.faults.redis_server import OwnRedis, redis_server
from benchmarks.faults.server import Server, free_port, serving, until
from benchmarks.faults.shop import CUSTOMERS, Shop, buyers, command, environment, lifecycle
from benchmarks.faults.trial import Trial, judged, show
from features.workspace import Workspace
from pipelines.console import settle_process
from pipelines.demo import ingest_cdnow, prepare_workspace
from serving.decisions.recorder import ask_to_rotate
from training.registry import Registry, ScorerVersion, open_registry

MINUTES = 10.0
PUSH_EVERY = 6.0
AWAY_SECONDS = 4.0
PAUSE_SECONDS = 4.0
MOST_GROWTH = 0.05
"""Of a worker's memory, from the second round to the last."""
ROUNDS = 3
"""With fewer nothing is said of growth."""


@dataclass
class Memory:
    """The workers' own megabytes, second by second; a worker that was killed starts anew."""

    server: Server
    began: float = field(default_factory=time.monotonic)
    seen: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    rounds: list[float] = field(default_factory=list)

    async def watch(self) -> None:
        """Look until it is cancelled."""
        while True:
            for pid in self.server.workers():
                now = time.monotonic() - self.began
                self.seen.setdefault(pid, []).append((now, _megabytes(pid)))
            await asyncio.sleep(1.0)

    def begin_round(self) -> None:
        """Note that a round begins, or that the last has ended."""
        self.rounds.append(time.monotonic() - self.began)

    def growth(self) -> list[tuple[float, float]]:
        """Of each worker that lived through both: its mean in the second round and in the last."""
        if len(self.rounds) <= ROUNDS:
            return []
        found = []
        for points in self._to_the_end():
            parts = [
                [mb for at, mb in points if self.rounds[first] <= at < self.rounds[first + 1]]
                for first in (1, len(self.rounds) - 2)
            ]
            if all(parts):
                found.append((mean(parts[0]), mean(parts[1])))
        return found

    def by_minute(self) -> list[str]:
        """Write the means of the minutes of each worker that lived to the end."""
        lines = []
        for points in self._to_the_end():
            minutes: dict[int, list[float]] = {}
            for at, mb in points:
                minutes.setdefault(int(at / 60), []).append(mb)
            means = " ".join(f"{mean(of_minute):.0f}" for of_minute in minutes.values())
            lines.append(f"{means} (at most {max(mb for _, mb in points):.0f})")
        return lines

    def _to_the_end(self) -> list[list[tuple[float, float]]]:
        end = time.monotonic() - self.began
        alive = [[(at, mb) for at, mb in points if mb] for points in self.seen.values()]
        return [points for points in alive if points and points[-1][0] > end - 10]


def _megabytes(pid: int) -> float:
    try:
        said = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    own = next((line for line in said.splitlines() if line.startswith("Anonymous:")), "x 0")
    return int(own.split()[1]) * 1024 / 1e6


@dataclass
class Day:
    """What was done to a company while it was asked."""

    trial: Trial
    memory: Memory
    redis: OwnRedis | None
    folder: Path
    delivered_to: str | None
    rounds: int = 0
    swaps: int = 0
    closed: int = 0
    scored: int = 0
    backups: int = 0
    restarts: int = 0

    async def live(self, seconds: float, rounds: int) -> None:
        """Go round until the time is over, at least so often; a round that was begun is ended."""
        end = time.monotonic() + seconds
        registry = open_registry(self.trial.shop.workspace, self.trial.shop.settings)
        first, second = registry.require_champion(), registry.newest()
        if second is None:
            raise RuntimeError("there is no second model to swap with")
        await self._kill_a_worker()
        while time.monotonic() < end or self.rounds < rounds:
            self.rounds += 1
            self.memory.begin_round()
            for step in (
                lambda: self._promote(registry, second),
                self._close_a_day,
                self._back_up,
                lambda: self._promote(registry, first),
                self._score,
                self._rotate,
                self._restart_redis,
            ):
                await step()
                await asyncio.sleep(PAUSE_SECONDS)
        self.memory.begin_round()

    async def _promote(self, registry: Registry, version: ScorerVersion) -> None:
        await asyncio.to_thread(registry.promote, version, "its turn", {}, True, "soak")
        self.swaps += 1

    async def _close_a_day(self) -> None:
        """What was pushed until now becomes the ledger's, and a later day comes online."""
        self.closed += 1
        day = str(self.trial.shop.last_day + timedelta(days=self.closed))
        await self._run(
            self.trial.shop, "features", "--as-of", day, LIFECYCLE_DATA__OBSERVED_UNTIL=day
        )

    async def _score(self) -> None:
        """The first model answers now: a day's scores are what they were, and so are stages."""
        out = [] if self.delivered_to is None else ["--out", self.delivered_to]
        day = str(self.trial.shop.last_day)
        await self._run(self.trial.shop, "score", "--as-of", day, *out)
        self.scored += 1

    async def _rotate(self) -> None:
        """What was decided becomes Parquet, as it does every five minutes of a day."""
        ask_to_rotate(self.trial.shop.workspace.decisions)

    async def _back_up(self) -> None:
        """The copy scores, by the same models, out of stores of its own."""
        shop, file = self.trial.shop, self.folder / "backup.tar.zst"
        kept = {k: v for k, v in shop.environment.items() if "TRACKING" in k}
        copy = Shop(self.folder / "restored", shop.customers, kept)
        await self._run(shop, "backup", str(file))
        await self._run(copy, "restore", str(file))
        await self._run(copy, "score", "--as-of", str(shop.last_day))
        file.unlink()
        shutil.rmtree(copy.root)
        self.backups += 1

    async def _restart_redis(self) -> None:
        if self.redis is not None:
            self.redis.kill()
            await asyncio.sleep(AWAY_SECONDS)
            await asyncio.to_thread(self.redis.start)
            back = time.monotonic()
            await until(lambda: self.trial.answered_since(back), 30, "it answers again")
            self.restarts += 1

    async def _kill_a_worker(self) -> None:
        before = self.trial.server.workers()
        self.trial.server.kill(before[0])
        await until(
            lambda: len(self.trial.server.workers()) == len(before), 300, "a worker takes its place"
        )

    async def _run(self, shop: Shop, *words: str, **more: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *command(shop.root),
            *words,
            env=environment(shop) | more,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        self.trial.check(not process.returncode, f"{words[0]} failed: {said.decode()[-500:]}")


async def soak(
    shop: Shop,
    folder: Path,
    minutes: float,
    rounds: int,
    redis: OwnRedis | None,
    delivered_to: str | None,
) -> list[str]:
    """Let a company live a day; gives the promises that did not hold."""
    async with serving(shop, folder / "log") as server:
        await server.until_ready()
        trial = Trial(shop, server, Load(shop, server.address, push_every=PUSH_EVERY))
        trial.allowed, trial.may_cut = frozenset({"store_unreachable"}), True
        memory = Memory(server)
        watching = asyncio.create_task(memory.watch())
        trial.load.start()
        day = Day(trial, memory, redis, folder, delivered_to)
        try:
            await day.live(60 * minutes, rounds)
        except TimeoutError as error:
            trial.broken.append(str(error))
        await trial.load.stop()
        watching.cancel()
        growth, by_minute = memory.growth(), memory.by_minute()
        for former, last in growth:
            trial.check(
                last < (1 + MOST_GROWTH) * former,
                f"a worker grew from {former:.0f} to {last:.0f} MB",
            )
        trial.check(by_minute, "no worker lived to the end")
        # Everything is put away before the record is counted.
        counts = await asyncio.to_thread(judged, "a day", trial)
    show(counts)
    print(
        f"{day.rounds} rounds: {day.swaps} promotions, {day.closed} days closed, {day.scored} "
        f"scorings of everyone, {day.backups} backups restored, {day.restarts} restarts of Redis, "
        "a worker killed; memory of the workers in the second and the last round: "
        + (", ".join(f"{former:.0f} and {last:.0f} MB" for former, last in growth) or "too few")
        + "; minute by minute: "
        + "; ".join(by_minute),
        flush=True,
    )
    return counts.broken


def company(root: Path, settings: dict[str, str], every: int = 1) -> Shop:
    """Take CDNOW in, train two models, let the elder answer, and score everyone."""
    prepare_workspace(Workspace(root))
    shop = Shop(root, [], settings)
    ingest_cdnow(shop.context, every)
    last = shop.last_day
    for day in (last - timedelta(days=31), last):
        lifecycle(shop, "train", "--as-of", str(day), "--trials", "0")
        if day != last:
            lifecycle(shop, "promote", "--force", "--reason", "the first")
    lifecycle(shop, "score", "--as-of", str(last))
    return Shop(root, buyers(root)[:CUSTOMERS], settings)


@contextmanager
def databases(server: str | None) -> Iterator[tuple[str, str] | None]:
    """Make two databases until the block ends: the product's and MLflow's."""
    if server is None:
        print("no PostgreSQL: registry, pushed events and runs are in the workspace")
        yield None
        return
    names = [f"lifecycle_soak_{free_port()}_{kind}" for kind in ("product", "mlflow")]
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        for name in names:
            connection.execute(f"CREATE DATABASE {name}")
        try:
            yield f"{server}/{names[0]}", f"{server}/{names[1]}"
        finally:
            for name in names:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="at least so many")
    parser.add_argument("--every", type=int, default=1, help="take every so-manieth customer alone")
    parser.add_argument("--postgres", help="a server where databases can be made")
    given = parser.parse_args()
    settle_process()
    # Whoever ends this ends the servers that it started with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="lifecycle-soak-")))
        redis = held.enter_context(redis_server(folder / "redis"))
        places = held.enter_context(databases(given.postgres))
        settings = {} if redis is None else redis.settings
        if places is not None:
            runs = Tracking(
                places[1],
                free_port(),
                folder / "mlflow.log",
                ("--artifacts-destination", str(folder / "artifacts")),
            )
            runs.start()
            held.callback(runs.end)
            settings |= {
                "LIFECYCLE_STORES__REGISTRY": places[0],
                "LIFECYCLE_STORES__PUSH_LOG": places[0],
                **runs.settings,
            }
        began = time.monotonic()
        shop = company(folder / "w", settings, given.every)
        print(f"a company of two models after {time.monotonic() - began:.0f} s", flush=True)
        delivered_to = None if places is None else places[0]
        broken = asyncio.run(soak(shop, folder, given.minutes, given.rounds, redis, delivered_to))
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
