"""Twelve monthly snapshots of all order features: carried forward, against a query a day.

Generated: 100,000 customers and 2,000,000 order lines over 38 months (--customers 1000000
--lines 20000000 for the large shop); 8% of the lines arrive a day late or later. Compared in one
run, each in a process of its own, Parquet written by all:

- product: `ensure_snapshots`' way, each month carried from the one before;
- query a day: the same definition, computed from all lines for every day;
- hand-written: Polars' streaming engine, written for these features alone, a query a day.

Also: a 37th month added to a store of 36, against the mean month of building the 36 and against the
last of them, when the shop is as large (--grow), and the engines against each other (--engines).
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from importlib import import_module
from pathlib import Path

import hand_written
import numpy as np
import polars as pl

from features.computing import Part, compute, open_tables, parts_of
from features.days import day_number
from features.definitions.rows import Rules
from features.engines import EngineName, engine
from features.history_files import HistoryFiles
from features.snapshot_files import writing

FIRST = date(2021, 1, 1)
DAYS = 1141
MONTH = 30


def generate(customers: int, lines: int, path: Path) -> None:
    """Write lines as the ledger has them: sorted by customer and day."""
    rng = np.random.default_rng(1)
    weight = rng.gamma(1.5, 1.0, customers)
    customer = rng.choice(customers, lines, p=weight / weight.sum())
    day = day_number(FIRST) + rng.integers(0, DAYS, lines)
    late = np.where(rng.random(lines) < 0.08, rng.integers(1, 10, lines), 0)
    frame = pl.DataFrame(
        {
            "customer_id": customer,
            "order_key": pl.Series(day).cast(pl.String),
            "event_day": day.astype(np.int32),
            "known_day": (day + late).astype(np.int32),
            "amount_e4": np.where(rng.random(lines) < 0.03, -1, 1)
            * rng.integers(10_000, 2_000_000, lines),
            "quantity": rng.integers(1, 9, lines).astype(np.float64),
            "discount_e4": rng.integers(0, 10_000, lines),
            "category": pl.Series(rng.integers(0, 40, lines)).cast(pl.String),
            "channel": pl.Series(rng.integers(0, 3, lines)).cast(pl.String),
            "is_product": np.ones(lines, dtype=bool),
        }
    )
    frame.sort("customer_id", "event_day").write_parquet(path)


def month_ends(number: int) -> list[date]:
    last = FIRST + timedelta(days=DAYS - 1)
    return [last - timedelta(days=MONTH * back) for back in reversed(range(number))]


def carried(orders: Path, days: list[date], folder: Path, name: EngineName = "polars") -> float:
    """Compute as `ensure_snapshots` does, and tell the processor's seconds of the last day."""
    last = 0.0
    histories = HistoryFiles(folder / "history", lambda day: "key")
    start = histories.newest(days[0])
    with engine(name) as opened, histories.saving(days[-1]) as kept:
        contexts = {day: writing(folder / f"{day}.parquet", "key") for day in days}
        writers = {day: context.__enter__() for day, context in contexts.items()}
        for part in parts_of(orders) if opened.in_parts else [Part()]:
            before = histories.read(start, part) if start else None
            frames = open_tables(opened, {"orders": orders}, part, [start, *days] if start else ())
            began = time.process_time()
            for day, table, history in compute(opened, frames, days, Rules(), part, before):
                writers[day].write(table)
                if day == days[-1]:
                    last += time.process_time() - began
                    if history is not None:
                        kept.write(history)
                began = time.process_time()
        for context in contexts.values():
            context.__exit__(None, None, None)
    return last


def query_a_day(orders: Path, days: list[date], folder: Path) -> None:
    for day in days:
        with engine("polars") as opened, writing(folder / f"{day}.parquet", "key") as writer:
            for part in parts_of(orders):
                frames = open_tables(opened, {"orders": orders}, part)
                for _, table, _ in compute(opened, frames, [day], Rules(), part):
                    writer.write(table)


def by_hand(orders: Path, days: list[date], folder: Path) -> None:
    for day in days:
        hand_written.snapshot(orders, day_number(day), folder / f"{day}.parquet")


Way = Callable[[Path, list[date], Path], float | None]


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock and of the processor, Python's start left out, and peak GiB.

    Attributes
    ----------
    last_cpu
        The processor's seconds for the last day, where the way tells them.
    """

    seconds: float
    cpu: float
    gibibytes: float
    last_cpu: float | None

    def __str__(self) -> str:
        return f"{self.seconds:7.1f} s, {self.cpu:7.1f} s of CPU, peak {self.gibibytes:.2f} GiB"


def measured(way: Way, orders: Path, days: list[date], folder: Path) -> Cost:
    """What a way costs in a process of its own."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_timed, args=(way, orders, days, folder, send))
    process.start()
    send.close()
    cost: Cost = receive.recv()
    process.join()
    return cost


def _timed(way: Way, orders: Path, days: list[date], folder: Path, send: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # PyArrow imports it at its first conversion: a second of Python's start, which is not counted.
    import_module("pandas")
    start, before = time.perf_counter(), _cpu()
    last = way(orders, days, folder)
    seconds = time.perf_counter() - start
    cpu = _cpu() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    send.send(Cost(seconds, cpu, peak, last))  # type: ignore[attr-defined]


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def compare(orders: Path, folder: Path, rounds: int) -> None:
    days = month_ends(12)
    ways: dict[str, Way] = {
        "product": carried,
        "query a day": query_a_day,
        "hand-written": by_hand,
    }
    taken: dict[str, list[Cost]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, way in ways.items():
            target = folder / f"{name.replace(' ', '_')}-{number}"
            taken[name].append(measured(way, orders, days, target))
            print(f"  {name:<13} {taken[name][-1]}", flush=True)
    seconds = {name: statistics.median(c.seconds for c in costs) for name, costs in taken.items()}
    cpu = {name: statistics.median(c.cpu for c in costs) for name, costs in taken.items()}
    for name in list(ways)[1:]:
        print(
            f"product / {name}: {seconds['product'] / seconds[name]:.2f} by the clock, "
            f"{cpu['product'] / cpu[name]:.2f} by the processor"
        )
    hand_written.check_equal(
        folder / "product-0" / f"{days[-1]}.parquet",
        folder / "hand-written-0" / f"{days[-1]}.parquet",
    )


def grow(orders: Path, folder: Path) -> None:
    *store, last = month_ends(37)
    built = measured(carried, orders, store, folder)
    added = measured(carried, orders, [last], folder)
    print(f"{len(store)} months: {built}\none more:  {added}")
    clock = added.seconds / built.seconds * len(store)
    cpu = added.cpu / built.cpu * len(store)
    print(f"one more / the mean month: {clock:.2f} by the clock, {cpu:.2f} by the processor")
    if built.last_cpu is not None:
        print(
            f"one more / the last of the {len(store)}: {added.cpu / built.last_cpu:.2f} by the "
            "processor, with reading and writing what orders added up to"
        )


def engines(orders: Path, folder: Path) -> None:
    for name in ("polars", "duckdb"):
        start = time.perf_counter()
        (folder / name).mkdir()
        carried(orders, month_ends(12), folder / name, name)
        print(f"{name:<7} {time.perf_counter() - start:7.1f} s")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--customers", type=int, default=100_000)
    arguments.add_argument("--lines", type=int, default=2_000_000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--grow", action="store_true")
    arguments.add_argument("--engines", action="store_true")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        orders = folder / "orders.parquet"
        # In a process of its own: Linux counts what a parent had at its peak as its child's.
        aside = multiprocessing.get_context("spawn").Process(
            target=generate, args=(given.customers, given.lines, orders)
        )
        aside.start()
        aside.join()
        print(f"{given.customers:,} customers, {given.lines:,} lines")
        if given.grow:
            grow(orders, folder / "grown")
        elif given.engines:
            engines(orders, folder)
        else:
            compare(orders, folder, given.rounds)


if __name__ == "__main__":
    main()
