"""Redis is killed and started again with its data; then it loses them."""

from __future__ import annotations

import asyncio
import time
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path

from benchmarks.faults.redis_server import OwnRedis, redis_server
from benchmarks.faults.server import until
from benchmarks.faults.shop import Shop
from benchmarks.faults.trial import Counts, Trial, alone, tried
from pipelines.features import compute_features

AWAY_SECONDS = 5.0


async def redis_restart(shop: Shop, folder: Path) -> list[Counts]:
    """Take the online store away from under the load."""
    found = []
    with redis_server(folder / "redis") as redis:
        if redis is not None:
            for name, fault in (("Redis restarts", _restarted), ("Redis is emptied", _emptied)):
                there = shop.copied(folder / fault.__name__, **redis.settings)
                log = folder / f"{fault.__name__}.log"
                found.append(await tried(name, there, partial(fault, redis), log))
    return found


async def _restarted(redis: OwnRedis, trial: Trial) -> None:
    trial.allowed = frozenset({"store_unreachable"})
    redis.kill()
    await asyncio.sleep(AWAY_SECONDS)
    trial.check(await trial.server.status() == 503, "it was ready without its store")
    trial.check((await trial.server.state())["problem"], "its state said nothing of the store")
    await asyncio.to_thread(redis.start)
    await _well_again(trial)


async def _emptied(redis: OwnRedis, trial: Trial) -> None:
    """Nobody may be called unknown; a run of `lifecycle features` brings everything back."""
    trial.allowed = frozenset({"store_unreachable"})
    await asyncio.to_thread(redis.empty)
    await asyncio.sleep(AWAY_SECONDS)
    with redirect_stdout(StringIO()):
        days = [trial.shop.last_day]
        await asyncio.to_thread(compute_features, trial.shop.context, days, True)
    await _well_again(trial)


async def _well_again(trial: Trial) -> None:
    trial.lifted = time.monotonic()
    await until(lambda: trial.answered_since(trial.lifted or 0.0), 30, "it answers again")

    async def ready() -> bool:
        return await trial.server.status() == 200

    await until(ready, 10, "it is ready again")


if __name__ == "__main__":
    alone("redis_restart", redis_restart)
