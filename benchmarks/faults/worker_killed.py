"""One of two workers is killed; it must come back, and nothing that it said be lost."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.faults.server import START_SECONDS, until
from benchmarks.faults.shop import Shop
from benchmarks.faults.trial import Counts, Trial, alone, tried
from serving.decisions.journal import SUFFIX, is_abandoned

CUT_SECONDS = 1.0
"""How long after a worker's death a question may still be sent to it."""


async def worker_killed(shop: Shop, folder: Path) -> list[Counts]:
    """Kill a worker under load."""
    return [await tried("a worker is killed", shop.copied(folder / "w"), kill_one, folder / "log")]


async def kill_one(trial: Trial) -> None:
    """Kill a worker, and wait until another has taken its place and put its journal away."""
    trial.may_cut = True
    before = trial.server.workers()
    trial.check(len(before) == 2, f"{len(before)} workers answer, not 2")
    killed = time.monotonic()
    trial.server.kill(before[0])
    journals = trial.shop.workspace.decisions

    def back() -> bool:
        return len(trial.server.workers()) == len(before)

    def archived() -> bool:
        return not any(is_abandoned(journal) for journal in journals.glob(f"*{SUFFIX}"))

    await until(back, START_SECONDS, "another worker takes the place of the dead one")
    await until(archived, START_SECONDS, "the dead worker's journal is archived")
    trial.recovery = time.monotonic() - killed
    trial.check(before[1] in trial.server.workers(), "the other worker died too")
    late = [
        f"{one.code} at {one.at - killed:.2f} s"
        for one in (*trial.load.seen, *trial.load.refused)
        if one.status == 0 and one.at - killed > CUT_SECONDS
    ]
    trial.check(not late, f"{len(late)} connections failed long after: {late}")


if __name__ == "__main__":
    alone("worker_killed", worker_killed)
