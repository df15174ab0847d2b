"""The champion's alias moves between two models, once a second."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from benchmarks.faults.server import until
from benchmarks.faults.shop import Shop
from benchmarks.faults.trial import Counts, Trial, alone, tried
from training.registry import open_registry

SWAPS = 12


async def swap(shop: Shop, folder: Path) -> list[Counts]:
    """Swap the models under load."""
    return [await tried("models swap", shop.copied(folder / "w"), _swapping, folder / "log")]


async def _swapping(trial: Trial) -> None:
    registry = open_registry(trial.shop.workspace, trial.shop.settings)
    newest = registry.newest()
    versions = [registry.require_champion(), newest]
    for number in range(SWAPS):
        turn = versions[(number + 1) % 2]
        await asyncio.to_thread(registry.promote, turn, "its turn", {}, True, "trial")
        moved = time.monotonic()
        await asyncio.sleep(1.0)
    last = versions[SWAPS % 2].version

    def settled() -> bool:
        recent = [one for one in trial.load.seen[-40:] if one.status == 200 and one.at > moved]
        return len(recent) > 20 and all(one.body["versions"]["model"] == last for one in recent)

    await until(settled, 20, "the last model that was promoted answers alone")
    others = [
        one.at - moved
        for one in trial.load.seen
        if one.status == 200 and one.at > moved and one.body["versions"]["model"] != last
    ]
    trial.recovery = max([0.0, *others])
    said = {one.body["versions"]["model"] for one in trial.load.seen if one.status == 200}
    trial.check(said == {one.version for one in versions}, f"only versions {said} answered")


if __name__ == "__main__":
    alone("swap", swap)
