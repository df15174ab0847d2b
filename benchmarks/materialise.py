"""Materialisation through `store.materialize`: packed stores against Feast's own.

Generated: 100,000 customers (--customers 1000000 for the large shop) with 40 features in 3 views.
Feast's own stores are given fewer customers (--stock-customers 10000), for their time is the same
for each one; rates are compared. Every run is in a process of its own, after a materialisation of
nothing that pays for imports; rounds are interleaved and medians are printed.

"packed redis" stages what it writes, so that readers never see half of it; "new generation" writes
at once, where nobody reads yet. With --offline the source can be read by Feast's DuckDB store in
place of the product's.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from feast_shop import (
    DAY,
    apart,
    flush,
    interleaved,
    median,
    online_store,
    open_store,
    peak_mib,
    quietly,
    require_empty,
    write_snapshot,
)

from features.days import closing

KINDS = ["stock sqlite", "packed sqlite", "stock redis", "packed redis",
         "packed redis, new generation"]  # fmt: skip
OFFLINE = {
    "own": "features.stores.snapshots_offline.SnapshotOfflineStore",
    "duckdb": "duckdb",
}


def run(kind: str, snapshots: Path, offline: str) -> tuple[float, float]:
    """Seconds, and MiB at the most."""
    end = closing(DAY)
    with tempfile.TemporaryDirectory() as folder, quietly():
        here = Path(folder)
        store = open_store(here, snapshots, online_store(kind, here), OFFLINE[offline])
        store.materialize(end - timedelta(days=9), end - timedelta(days=8))
        started = time.perf_counter()
        store.materialize(end - timedelta(hours=1), end)
        seconds = time.perf_counter() - started
        if "redis" in kind:
            flush()
    return seconds, peak_mib()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--stock-customers", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--offline", choices=sorted(OFFLINE), default="own")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    asked = parser.parse_args()
    if any("redis" in kind for kind in asked.kinds):
        require_empty()
    with tempfile.TemporaryDirectory() as folder:
        sizes = {"stock": asked.stock_customers, "packed": asked.customers}
        for name, customers in sizes.items():
            write_snapshot(Path(folder) / name, customers)
        ways = {
            kind: lambda kind=kind: apart(
                run,
                kind,
                Path(folder) / kind.split()[0],
                asked.offline if kind.startswith("packed") else "duckdb",
            )
            for kind in asked.kinds
        }
        results = interleaved(ways, asked.rounds)
    rates = {}
    for kind, runs in results.items():
        customers = sizes[kind.split()[0]]
        rates[kind] = customers / median([seconds for seconds, _ in runs])
        memory = max(mib for _, mib in runs)
        print(
            f"{kind:30} {customers:>9,} customers {rates[kind]:>9,.0f} a second {memory:6,.0f} MiB"
        )
    for kind, rate in rates.items():
        stock = kind.replace("packed", "stock").split(",")[0]
        if kind.startswith("packed") and stock in rates:
            target = 10 if "sqlite" in kind else 8
            print(f"{kind}: {rate / rates[stock]:.1f} times Feast's own (wanted: {target})")


if __name__ == "__main__":
    main()
