"""A new day comes online while it is answered: in the embedded store, and in Redis."""

from __future__ import annotations

import asyncio
from contextlib import redirect_stdout
from datetime import date, timedelta
from io import StringIO
from pathlib import Path

from benchmarks.faults.redis_server import redis_server
from benchmarks.faults.server import until
from benchmarks.faults.shop import DAYS_BACK, Shop
from benchmarks.faults.trial import Counts, Trial, alone, tried
from features.settings import Settings, settings_file
from pipelines.context import Context
from pipelines.features import compute_features


async def materialise(shop: Shop, folder: Path) -> list[Counts]:
    """Put three days online, one after the other."""
    first = shop.last_day - timedelta(days=DAYS_BACK)
    early = {"LIFECYCLE_DATA__OBSERVED_UNTIL": str(first)}
    embedded = _begun(shop.copied(folder / "w", **early), first)
    found = [await tried("features materialise", embedded, _days, folder / "log")]
    with redis_server(folder / "redis") as redis:
        if redis is not None:
            there = _begun(shop.copied(folder / "r", **early, **redis.settings), first)
            found.append(await tried("the same in Redis", there, _days, folder / "redis.log"))
    return found


def _begun(shop: Shop, day: date) -> Shop:
    """Put an early day online, whatever is."""
    context = shop.context
    ledger = context.ledger()
    context.snapshots(ledger, [day])
    store = context.store(ledger)
    store.apply()
    with redirect_stdout(StringIO()):
        store.materialise(day, context.snapshot_key(ledger, day))
    return shop


async def _days(trial: Trial) -> None:
    context = _of_all_days(trial.shop)
    last = trial.shop.last_day
    days = [last - timedelta(days=back) for back in range(DAYS_BACK - 1, -1, -1)]
    for day in days:
        with redirect_stdout(StringIO()):  # Feast tells of every view.
            await asyncio.to_thread(compute_features, context, [day], True)
        await asyncio.sleep(1.5)

    def settled() -> bool:
        recent = [one for one in trial.load.seen[-40:] if one.status == 200]
        return len(recent) > 20 and all(
            one.body["features"]["as_of"] == str(last) for one in recent
        )

    await until(settled, 20, "the last day answers alone")
    said = {one.body["features"]["as_of"] for one in trial.load.seen if one.status == 200}
    wanted = {str(day) for day in [days[0] - timedelta(days=1), *days]}
    trial.check(said == wanted, f"days {sorted(said)} were answered for, not {sorted(wanted)}")


def _of_all_days(shop: Shop) -> Context:
    kept = {k: v for k, v in shop.environment.items() if "OBSERVED_UNTIL" not in k}
    return Context(shop.workspace, Settings.load(settings_file(shop.root), kept))


if __name__ == "__main__":
    alone("materialise", materialise)
