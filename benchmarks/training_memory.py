"""Peak memory of learning from a generated training set of 1,000,000 customers on 12 days.

Every day's 143 features come as a table, as they do from the feature store, and go through the
product's own path: into files, labelled and with the day's prior fitted, binned by slices, boosted.
The table's numbers are drawn, so that nothing is to be learned from them; memory does not mind.

    python benchmarks/training_memory.py [CUSTOMERS [DAYS [TREES]]]
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from features import catalogue
from features.days import day_number
from features.matrix import Vocabulary
from training.dataset import label_days
from training.training_set import TrainingSet
from training.trees import DEFAULTS, Machine, Rows, fit

LIMIT_GIB = 8.0
HORIZON = 91


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def snapshot(customers: int, as_of: date, rng: np.random.Generator) -> pa.Table:
    """Draw one day: a few columns that the prior reads hang together, the others are noise."""
    bought = rng.geometric(0.4, customers)
    tenure = rng.integers(30, 700, customers).astype(np.float64)
    meaning = {
        "purchases": bought,
        "purchase_days": bought,
        "tenure_days": tenure,
        "recency_days": np.where(bought > 1, rng.random(customers) * tenure, tenure).round(),
        "monetary_value": rng.gamma(2.0, 20.0, customers).round(2),
        "order_value_first": rng.gamma(2.0, 20.0, customers).round(2),
        "spend_gross": (bought * rng.gamma(2.0, 20.0, customers)).round(2),
    }
    columns: dict[str, pa.Array] = {catalogue.JOIN_KEY: pa.array(np.arange(customers))}
    for feature in catalogue.FEATURES:
        if feature.name in catalogue.CATEGORIES:
            codes = pa.array(rng.integers(0, 8, customers).astype(np.int32))
            labels = pa.array([f"label {n}" for n in range(8)])
            columns[feature.name] = pa.DictionaryArray.from_arrays(codes, labels).cast(pa.string())
        else:
            values = meaning.get(feature.name, rng.gamma(1.0, 10.0, customers).round(1))
            columns[feature.name] = pa.array(np.asarray(values, dtype=np.float64))
    return pa.table(columns)


def ledger_rows(customers: int, days: list[date], rng: np.random.Generator) -> pl.DataFrame:
    """Draw what the customers buy in the windows, in the ledger's columns."""
    start, end = day_number(days[0]), day_number(days[-1]) + HORIZON
    lines = customers * 2
    day = rng.integers(start, end, lines)
    return pl.DataFrame(
        {
            "customer_id": rng.integers(0, customers, lines),
            "order_key": np.arange(lines).astype(str),
            "event_day": day,
            "known_day": day,
            "amount_e4": rng.integers(1, 2_000_000, lines),
        }
    )


def main(customers: int, many: int, trees: int) -> None:
    rng = np.random.default_rng(5)
    days = [date(2024, 1, 1) + timedelta(days=30 * n) for n in range(many)]
    start = time.monotonic()

    def say(what: str) -> None:
        print(
            f"{time.monotonic() - start:7.0f} s  {peak_gib():5.2f} GiB at most  {what}", flush=True
        )

    say("libraries")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ledger = folder / "orders.parquet"
        ledger_rows(customers, days, rng).write_parquet(ledger)
        held: dict[date, Path | pa.Table] = {}
        for as_of in days:
            held[as_of] = folder / f"{as_of}.parquet"
            pq.write_table(snapshot(customers, as_of, rng), held[as_of])
        say("training set drawn")
        training_set = TrainingSet(held, folder)
        names = [catalogue.JOIN_KEY, *catalogue.CATEGORIES]
        vocabulary = Vocabulary.fit(training_set.columns(names))
        say("categories coded")
        known_by = days[-1] + timedelta(days=HORIZON)
        labelled, _ = label_days(training_set, vocabulary, ledger, HORIZON, known_by)
        say("labelled, priors fitted")
        raw = sum(one.matrix.nbytes for one in labelled) / 2**30
        for task in ("churn", "spend"):
            rows = Rows(task, labelled)
            say(f"{task}: {len(rows.label):,} rows binned")
            booster = fit(task, rows, {**DEFAULTS[task], "rounds": trees}, Machine())
            say(f"{task}: {booster.num_trees()} trees")
            del rows
    peak = peak_gib()
    print(
        f"{customers:,} customers x {many} days x {len(catalogue.NAMES)} features: peak {peak:.2f} "
        f"GiB, {peak / raw:.2f} of the {raw:.2f} GiB of the matrices"
        f"{'' if peak < LIMIT_GIB else f'; MORE THAN {LIMIT_GIB:.0f} GiB'}"
    )


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(*(given + [1_000_000, 12, 20][len(given) :]))
