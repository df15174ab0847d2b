"""The disk of the workspace fills, and is given room again.

The copy stands on a file system in memory (tmpfs) of its own, just large enough, so that a full one
truly says ENOSPC; where none may be mounted, this fault is left out.
"""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.faults.server import until
from benchmarks.faults.shop import Shop
from benchmarks.faults.trial import Counts, Trial, alone, tried

ROOM = 32 * 1024 * 1024
"""Bytes left beside the workspace."""
FULL_SECONDS = 8.0
_BLOCK = 64 * 1024


async def disk_full(shop: Shop, folder: Path) -> list[Counts]:
    """Fill the disk under load."""
    with small_disk(folder / "disk", _size(shop.root) + ROOM) as disk:
        if disk is None:
            print("no file system may be mounted here: the full disk is left out")
            return []
        full = shop.copied(disk / "w")
        return [await tried("the disk fills", full, _filled, folder / "log")]


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[Path | None]:
    """Mount a file system in memory until the block ends; None where that is not permitted."""
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


async def _filled(trial: Trial) -> None:
    trial.allowed = frozenset({"cannot_record", "store_unreachable"})
    before, filler = trial.server.workers(), trial.shop.root / "filler"
    filled = time.monotonic()
    fill(filler)
    await asyncio.sleep(FULL_SECONDS / 2)
    fill(filler)
    await asyncio.sleep(FULL_SECONDS / 2)
    said = [one.code for one in trial.load.seen if one.at > filled]
    trial.check("cannot_record" in said, "every answer was given though none could be kept")
    filler.unlink()
    trial.lifted = time.monotonic()
    await until(lambda: trial.answered_since(trial.lifted or 0.0), 60, "it answers again")
    acknowledged = len(trial.load.acknowledged)
    await until(lambda: len(trial.load.acknowledged) > acknowledged, 60, "pushes are taken again")
    trial.check(trial.server.workers() == before, "a worker died of the full disk")


def fill(path: Path) -> None:
    """Append to a file until the disk has no room, to the last byte."""
    with path.open("ab", buffering=0) as file:
        size = _BLOCK
        while size:
            try:
                file.write(os.urandom(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                size //= 2


def _size(folder: Path) -> int:
    """Bytes of a folder as whole pages."""
    return sum(-(-path.stat().st_size // 4096) * 4096 + 4096 for path in folder.rglob("*"))


if __name__ == "__main__":
    alone("disk_full", disk_full)
