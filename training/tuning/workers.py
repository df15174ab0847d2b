"""Processes that run the trials of one study, over folds that they share by files."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context, parent_process
from pathlib import Path

from features.errors import LifecycleError
from training.trees import Machine, Task
from training.tuning.folds import Fold
from training.tuning.studies import Studies
from training.tuning.trials import Trials

_FOR_LIFE = ExitStack()
"""What a worker has opened, until its process ends."""


@dataclass(frozen=True)
class Order:
    """All that a process needs to know to take part in a study.

    Attributes
    ----------
    folder
        Of the folds, a folder each, named 0, 1, 2.
    trials
        How many the study is to have.
    """

    task: Task
    folder: Path
    machine: Machine
    studies: Studies
    study: str
    trials: int


def side_by_side(order: Order, left: Sequence[int]) -> Iterator[int]:
    """Run trials in as many processes as are ordered; yields each number as it is done.

    Parameters
    ----------
    left
        Trials that a process which is gone has begun: they are run first.

    Raises
    ------
    LifecycleError
        A process was killed, as one is that uses too much memory.
    """
    # Spawned, not forked: LightGBM's threads do not survive a fork.
    pool = ProcessPoolExecutor(order.studies.workers, get_context("spawn"), _leave_with_parent)
    begun = list(left)
    try:
        running = {_submit(pool, order, begun) for _ in range(order.studies.workers)}
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for one in ended:
                number = one.result()
                if number is not None:
                    running.add(_submit(pool, order, begun))
                    yield number
    except BrokenProcessPool:
        raise LifecycleError(
            f"a process that ran trials of {order.study} was killed, maybe for want of memory; "
            "run the command again, which goes on from here, with fewer training.workers"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, order: Order, begun: list[int]) -> Future[int | None]:
    return pool.submit(_run, order, begun.pop(0) if begun else None)


def _run(order: Order, begun: int | None) -> int | None:
    with order.studies.answering():
        trials = _opened(order)
        if begun is None:
            return trials.run_next()
        trials.run(begun)
        return begun


@cache
def _opened(order: Order) -> Trials:
    """Open the study and load the folds once for a process."""
    places = sorted(order.folder.iterdir(), key=lambda place: int(place.name))
    made = [Fold.load(place) for place in places]
    study = _FOR_LIFE.enter_context(order.studies.opened(order.study))
    return Trials(order.task, study, made, order.machine, order.trials)


def _leave_with_parent() -> None:
    """End with the process that started this one: a killed one cannot say so."""
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
