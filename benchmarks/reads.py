"""Online reads of 40 features in 3 views: Feast's own stores, the packed ones, and a direct read.

Generated: 20,000 customers (--customers), of whom 1, 100 and 1,000 are read at once. Through
Feast's API the time includes `to_dict`; the feature service is resolved once. The direct read is
`RowReader.read`, into a matrix and the categories' text. The floor is what of it nobody can avoid:
one SELECT, or one script of HMGETs, with the keys at hand, `frombuffer` over what comes back, and
its blocks put into a matrix as they are.
Rounds are interleaved and medians are printed.
"""

from __future__ import annotations

import argparse
import gc
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import feast
import numpy as np
from feast_shop import (
    COUNTS,
    DAY,
    MEASURES,
    VIEWS,
    flush,
    interleaved,
    median,
    online_store,
    open_store,
    quietly,
    require_empty,
    write_snapshot,
)
from numpy.typing import NDArray

from features.days import closing
from features.stores.keys import KeyCodec
from features.stores.packed_sqlite import database_path
from features.stores.reader import open_reader

KINDS = ["stock sqlite", "packed sqlite", "stock redis", "packed redis"]
OFFLINE = "features.stores.snapshots_offline.SnapshotOfflineStore"


def timed(work: Callable[[], Any]) -> Callable[[], float]:
    """Give the milliseconds of one run, without the collector's."""

    def run() -> float:
        gc.collect()
        gc.disable()
        # Feast keeps the meaning of a question for one registry; other stores have just used it.
        work()
        started = time.perf_counter()
        work()
        passed = (time.perf_counter() - started) * 1e3
        gc.enable()
        return passed

    return run


def floor(store: feast.FeatureStore, ids: list[int]) -> Callable[[], Any]:
    """The least that a read of this layout takes: bytes in, fixed parts as arrays."""
    online = store._get_provider().online_store
    views = [online.view_of(store.config, store.get_feature_view(name)) for name in VIEWS]
    keys = KeyCodec.of({"customer_id": "INT64"}).of_values({"customer_id": ids})
    widths = [view.schema.fixed_bytes for view in views]
    layouts = [view.schema.layout for view in views]

    def arrays(columns: Iterable[Sequence[bytes]]) -> NDArray[np.float64]:
        matrix = np.empty((len(ids), len(COUNTS) + len(MEASURES)))
        start = 0
        for column, width, layout in zip(columns, widths, layouts, strict=True):
            rows = np.frombuffer(b"".join([blob[:width] for blob in column]), layout)
            for block in "qd":
                stop = start + rows[block].shape[1]
                matrix[:, start:stop] = rows[block]
                start = stop
        return matrix

    if not hasattr(online, "client"):
        opened = sqlite3.connect(database_path(store.config))
        opened.execute("PRAGMA cache_size = -65536")
        [(table,)] = opened.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB 'rows_*'"
        ).fetchall()
        query = f"SELECT * FROM {table} WHERE entity_key IN ({', '.join('?' * len(keys))})"

        def from_sqlite() -> None:
            _, *columns = zip(*opened.execute(query, keys).fetchall(), strict=True)
            arrays(columns)

        return from_sqlite
    client = online.client(store.config)
    script = """
        local answer = {}
        for v = 1, #ARGV do answer[v] = {} end
        for k = 1, #KEYS do
          local rows = redis.call('HMGET', KEYS[k], unpack(ARGV))
          for v = 1, #ARGV do answer[v][k] = rows[v] end
        end
        return answer
    """
    prefix = f"benchmark:benchmark:{store.config.online_store.generation}:e:".encode()
    named = [prefix + key for key in keys]
    return lambda: arrays(client.eval(script, len(named), *named, *VIEWS))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    asked = parser.parse_args()
    if any("redis" in kind for kind in asked.kinds):
        require_empty()
    rng = np.random.default_rng(5)
    end = closing(DAY)
    with tempfile.TemporaryDirectory() as folder:
        write_snapshot(Path(folder) / "snapshots", asked.customers)
        stores, services = {}, {}
        for kind in asked.kinds:
            here = Path(folder) / kind
            store = open_store(here, Path(folder) / "snapshots", online_store(kind, here), OFFLINE)
            with quietly():
                store.materialize(end - timedelta(hours=1), end)
            stores[kind], services[kind] = store, store.get_feature_service("scorer")
        readers = {
            kind: open_reader(store, services[kind])
            for kind, store in stores.items()
            if kind.startswith("packed")
        }
        gc.freeze()
        for number in (1, 100, 1_000):
            ids = rng.choice(asked.customers, number, replace=False).tolist()
            ways = {}
            for kind, store in stores.items():
                rows = [{"customer_id": customer} for customer in ids]
                ways[kind] = timed(
                    lambda store=store, kind=kind, rows=rows: store.get_online_features(
                        services[kind], rows
                    ).to_dict()
                )
            for kind, reader in readers.items():
                ways[f"{kind}, direct"] = timed(lambda reader=reader, ids=ids: reader.read(ids))
                ways[f"{kind}, floor"] = timed(floor(stores[kind], ids))
            rounds = asked.rounds * (20 if number == 1 else 1)
            times = {name: median(runs) for name, runs in interleaved(ways, rounds).items()}
            report(number, times)
    if any("redis" in kind for kind in asked.kinds):
        flush()


def report(number: int, times: dict[str, float]) -> None:
    """Print the times of one size, and what they are to one another."""
    for name, milliseconds in times.items():
        note = ""
        stock = name.replace("packed", "stock")
        if stock != name and stock in times:
            note = f"{times[stock] / milliseconds:6.1f} times as fast as Feast's own"
        if name.endswith("direct"):
            note = f"{milliseconds / times[name.replace('direct', 'floor')]:6.2f} times the floor"
        print(f"{number:>5} customers  {name:24} {milliseconds:9.3f} ms  {note}")


if __name__ == "__main__":
    main()
