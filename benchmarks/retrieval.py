"""Point-in-time retrieval of 40 features at six days: the product's store against plain DuckDB.

Generated: 100,000 customers (--customers 1000000 for the large shop) at six month ends, 600,000
rows asked for. Days are aligned (each time is a day's end) or not (five hours later). Compared in
one run, each in a process of its own: an equality join and an ASOF join that DuckDB makes of the
same files with nothing around them, the product's offline store through
`get_historical_features`, and with --stock Feast's own DuckDB store. Rounds are interleaved; the
first run of a process pays for imports and is not counted.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from feast_shop import VIEWS, apart, interleaved, median, online_store, open_store, peak_mib
from feast_shop import write_snapshot as write

from features.days import closing

DAYS = [date(2023, month, 28) for month in (1, 3, 5, 7, 9, 11)]
FEATURES = [feature for features in VIEWS.values() for feature in features]
OWN = "features.stores.snapshots_offline.SnapshotOfflineStore"
LATER = timedelta(hours=5)


def entities(customers: int, later: timedelta) -> pd.DataFrame:
    stamps = pd.Series([closing(day) + later for day in DAYS]).astype("datetime64[us, UTC]")
    return pd.DataFrame(
        {
            "customer_id": np.tile(np.arange(customers), len(DAYS)),
            "event_timestamp": stamps.repeat(customers).reset_index(drop=True),
        }
    )


def plain(join: str, snapshots: Path, asked: pd.DataFrame) -> Callable[[], int]:
    database = duckdb.connect()
    database.execute("SET enable_progress_bar = false")
    database.register("asked", asked)
    on = "a.customer_id = s.customer_id AND a.event_timestamp {} s.event_timestamp"
    kinds = {
        "equality": f"LEFT JOIN snapshots s ON {on.format('=')}",
        "asof": f"ASOF LEFT JOIN snapshots s ON {on.format('>=')}",
    }
    database.execute(f"CREATE VIEW snapshots AS FROM read_parquet('{snapshots}/*.parquet')")
    query = f"SELECT a.*, {', '.join('s.' + n for n in FEATURES)} FROM asked a {kinds[join]}"
    # Not execute(): Arrow from its result takes a copy more, which would flatter the product.
    return lambda: database.sql(query).to_arrow_table().num_rows


def through_feast(offline: str, snapshots: Path, asked: pd.DataFrame) -> Callable[[], int]:
    here = Path(tempfile.mkdtemp(dir=snapshots.parent))
    store = open_store(here, snapshots, online_store("stock sqlite", here), offline)
    service = store.get_feature_service("scorer")
    return lambda: (
        store.get_historical_features(entity_df=asked.copy(), features=service).to_arrow().num_rows
    )


WAYS: dict[str, tuple[Callable[..., Any], str, timedelta]] = {
    "DuckDB equality join": (plain, "equality", timedelta()),
    "own, aligned": (through_feast, OWN, timedelta()),
    "DuckDB ASOF join": (plain, "asof", LATER),
    "own, not aligned": (through_feast, OWN, LATER),
    "Feast's own, aligned": (through_feast, "duckdb", timedelta()),
}


def run(name: str, snapshots: Path, customers: int, repeats: int) -> tuple[float, float]:
    """Seconds at best, and MiB at the most."""
    make, what, later = WAYS[name]
    asked = entities(customers, later)
    small = make(what, snapshots, asked.iloc[:10].reset_index(drop=True))
    small()
    work = make(what, snapshots, asked)
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        rows = work()
        seconds.append(time.perf_counter() - started)
        if rows != len(asked):
            raise SystemExit(f"{name} gave {rows} rows for {len(asked)}")
    return min(seconds), peak_mib()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stock", action="store_true", help="also Feast's own store; it is slow")
    asked = parser.parse_args()
    names = [name for name in WAYS if asked.stock or not name.startswith("Feast")]
    with tempfile.TemporaryDirectory() as folder:
        snapshots = Path(folder) / "snapshots"
        for day in DAYS:
            write(snapshots, asked.customers, day)
        repeats = 2 if asked.customers < 500_000 else 1
        ways = {
            name: lambda name=name: apart(run, name, snapshots, asked.customers, repeats)
            for name in names
        }
        results = interleaved(ways, asked.rounds)
    times = {}
    for name, runs in results.items():
        times[name] = median([seconds for seconds, _ in runs])
        print(f"{name:22} {times[name]:7.2f} s {max(mib for _, mib in runs) / 1024:6.2f} GiB")
    for own, floor, most in (
        ("own, aligned", "DuckDB equality join", 1.5),
        ("own, not aligned", "DuckDB ASOF join", 3),
    ):
        print(f"{own}: {times[own] / times[floor]:.2f} times the {floor} (wanted: {most} at most)")


if __name__ == "__main__":
    main()
