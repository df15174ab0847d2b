"""One fault under load, and what it cost."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.faults.load import Load
from benchmarks.faults.server import Server, serving
from benchmarks.faults.shop import Shop, demo_of, two_models
from benchmarks.faults.truth import Truth, asked_of, lost_pushes, unrecorded
from pipelines.console import settle_process

CALM_SECONDS = 3.0
MOST_SHOWN = 5


@dataclass
class Trial:
    """A server under load, to be disturbed.

    Attributes
    ----------
    allowed
        Codes of 503 that the fault may bring; any other is a broken promise.
    may_cut
        Whether connections may fail.
    recovery
        Seconds from the fault's end until all is well; set by who makes the fault, or taken from
        the last refusal after ``lifted``.
    broken
        Promises that did not hold, in words.
    """

    shop: Shop
    server: Server
    load: Load
    allowed: frozenset[str] = frozenset()
    may_cut: bool = False
    recovery: float | None = None
    lifted: float | None = None
    broken: list[str] = field(default_factory=list)

    def check(self, holds: object, promise: str) -> None:
        """Note a promise that does not hold."""
        if not holds:
            self.broken.append(promise)

    def answered_since(self, moment: float) -> bool:
        """Whether questions asked since then have been answered."""
        return any(one.status == 200 and one.at >= moment for one in self.load.seen)


@dataclass(frozen=True)
class Counts:
    """What one fault cost; the columns of the table."""

    fault: str
    requests: int
    answered: int
    refused: dict[str, int]
    cut: int
    wrong: int
    pushes: int
    pushes_refused: dict[str, int]
    lost: int
    unrecorded: int
    recovery: float
    broken: list[str]


Disturb = Callable[[Trial], Awaitable[None]]


async def tried(
    fault: str, shop: Shop, disturb: Disturb, log: Path, *, ready: bool = True
) -> Counts:
    """Start a server of two workers, ask it, disturb it, and judge what it answered.

    Parameters
    ----------
    ready
        Whether it is to be ready before it is asked; otherwise that it listens is enough.
    """
    async with serving(shop, log) as server:
        await server.until_ready(200 if ready else 503)
        load = Load(shop, server.address)
        trial = Trial(shop, server, load)
        load.start()
        await asyncio.sleep(CALM_SECONDS)
        try:
            await disturb(trial)
        except TimeoutError as error:
            trial.broken.append(str(error))
        await asyncio.sleep(CALM_SECONDS)
        await load.stop()
        counts = judged(fault, trial)
    show(counts)
    return counts


def judged(fault: str, trial: Trial) -> Counts:
    """Compare all that was seen with what should have been."""
    load, truth = trial.load, Truth(trial.shop)
    truth.learn(asked_of(one) for one in load.seen if one.status == 200)
    wrong = [
        problem for one in load.seen if one.status in {200, 404} and (problem := truth.wrong(one))
    ]
    others = [one for one in (*load.seen, *load.refused) if one.status not in {0, 200, 404}]
    for one in others:
        trial.check(
            one.status == 503 and one.code in trial.allowed,
            f"refused with {one.status} {one.code}: {one.body}",
        )
    cut = [one for one in (*load.seen, *load.refused) if one.status == 0]
    trial.check(not cut or trial.may_cut, f"{len(cut)} connections failed: {cut[:2]}")
    lost, missing = lost_pushes(trial.shop, load), unrecorded(trial.shop, load.seen)
    trial.check(not lost, f"{lost} acknowledged pushes are not in the log")
    trial.check(not missing, f"{missing} answers are not in the record")
    trial.check(load.acknowledged, "no push was taken")
    trial.broken += wrong
    return Counts(
        fault,
        len(load.seen),
        sum(one.status == 200 for one in load.seen),
        dict(Counter(one.code for one in load.seen if one.status not in {0, 200, 404})),
        sum(one.status == 0 for one in load.seen),
        len(wrong),
        len(load.acknowledged),
        dict(Counter(one.code for one in load.refused)),
        lost,
        missing,
        trial.recovery if trial.recovery is not None else _recovery(trial),
        trial.broken,
    )


def _recovery(trial: Trial) -> float:
    """Seconds from the fault's end to the last question that was not answered."""
    if trial.lifted is None:
        return 0.0
    late = [one.at - trial.lifted for one in trial.load.seen if one.status != 200]
    return max([0.0, *late])


def show(counts: Counts) -> None:
    """Print one fault's counts, and the promises that it broke."""
    refused = ", ".join(f"{number} {code}" for code, number in counts.refused.items()) or "none"
    again = ", ".join(f"{n} {code}" for code, n in counts.pushes_refused.items()) or "none"
    print(
        f"{counts.fault}: {counts.requests} requests, {counts.answered} answered, refused "
        f"{refused}, {counts.cut} cut, {counts.wrong} wrong, {counts.unrecorded} not in the "
        f"record; {counts.pushes} pushes acknowledged, {counts.lost} lost, refused {again}; "
        f"well again after {counts.recovery:.1f} s",
        flush=True,
    )
    kinds = Counter(problem.split(":")[0][:60] for problem in counts.broken)
    shown: set[str] = set()
    for problem in counts.broken:
        kind = problem.split(":")[0][:60]
        if kind not in shown and len(shown) < MOST_SHOWN:
            shown.add(kind)
            print(f"  BROKEN ({kinds[kind]} like it): {problem[:600]}", flush=True)


Fault = Callable[[Shop, Path], Awaitable[list[Counts]]]


def run(faults: dict[str, Fault], workspace: Path | None) -> list[Counts]:
    """Run some faults, each on a copy of its own; without a workspace the demo's is made."""
    settle_process()
    # Whoever ends this ends the servers that it started with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    found: list[Counts] = []
    with tempfile.TemporaryDirectory(prefix="lifecycle-faults-") as folder:
        shop = two_models(workspace or demo_of(Path(folder) / "demo"), Path(folder) / "shop")
        # What is first imported under the load would hold it up.
        shop.context.store(shop.context.ledger())
        for name, fault in faults.items():
            place = Path(folder) / name
            place.mkdir()
            began = time.monotonic()
            found += asyncio.run(fault(shop, place))  # type: ignore[arg-type]
            print(f"  {name} took {time.monotonic() - began:.0f} s", flush=True)
    return found


def alone(name: str, fault: Fault) -> None:
    """Run one fault from the command line."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--workspace", type=Path, help="copied; by default the demo's is made")
    given = parser.parse_args()
    sys.exit(any(one.broken for one in run({name: fault}, given.workspace)))
