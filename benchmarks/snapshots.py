"""Which engine computes a snapshot faster: the one definition on Polars and on DuckDB.

Generated: 100,000 customers and 2,000,000 order lines over two years (--customers, --lines for
others). The engines take turns; the ratio is of their medians in this run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from features.days import day_number
from features.snapshots import Engine, compute_snapshot

FIRST = date(2022, 1, 1)
DAYS = 730
ENGINES: tuple[Engine, ...] = ("polars", "duckdb")


def generate(customers: int, lines: int, path: Path) -> None:
    rng = np.random.default_rng(1)
    weight = rng.gamma(0.7, 1.0, customers)
    customer = rng.choice(customers, lines, p=weight / weight.sum())
    day = day_number(FIRST) + rng.integers(0, DAYS, lines)
    pl.DataFrame(
        {
            "customer_id": customer,
            "order_key": pl.Series(day).cast(pl.String),
            "event_day": day.astype(np.int32),
            "known_day": (day + rng.integers(0, 3, lines)).astype(np.int32),
            "amount_e4": np.where(rng.random(lines) < 0.03, -1, 1)
            * rng.integers(10_000, 2_000_000, lines),
            "quantity": rng.integers(1, 9, lines).astype(np.float64),
            "discount_e4": rng.integers(0, 10_000, lines),
            "category": pl.Series(rng.integers(0, 40, lines)).cast(pl.String),
            "channel": pl.Series(rng.integers(0, 3, lines)).cast(pl.String),
            "is_product": np.ones(lines, dtype=bool),
        }
    ).write_parquet(path)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--customers", type=int, default=100_000)
    arguments.add_argument("--lines", type=int, default=2_000_000)
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    seconds: dict[Engine, list[float]] = {engine: [] for engine in ENGINES}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "orders.parquet"
        generate(given.customers, given.lines, path)
        for number in range(given.rounds + 1):
            for engine in ENGINES:
                start = time.perf_counter()
                compute_snapshot(path, FIRST + timedelta(days=DAYS - 30 - number), engine)
                if number:
                    seconds[engine].append(time.perf_counter() - start)
    middle = {engine: statistics.median(times) for engine, times in seconds.items()}
    print(f"a snapshot of {given.customers:,} customers, {given.lines:,} lines, median seconds:")
    for engine, value in middle.items():
        print(f"  {engine:<7} {value:6.2f}")
    print(f"  polars / duckdb {middle['polars'] / middle['duckdb']:.2f}")


if __name__ == "__main__":
    main()
