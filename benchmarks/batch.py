"""`lifecycle score` from Feast's offline store to a Parquet file, beside LightGBM's bare predict.

Generated: 1,000,000 customers (--customers) with the catalogue's features, and a bundle of two
models of 500 trees of 63 leaves. "bare" is `Booster.predict` of both on matrices that stand ready,
in the batches and on the threads (--threads) of the product; the others are the product's own
streaming, reading and writing included, without reasons and with fast ones. Each run is in a
process of its own that has imported what the verb imports; rounds are interleaved and medians
printed, by the clock and by processor time, which a busy machine changes less.

With --folder the generated shop is kept and used again.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from feast_shop import apart, interleaved, median, peak_mib
from scored_shop import DAY, bundle, write_snapshot

from features.catalogue import SERVICES
from features.matrix import matrix_of
from features.settings import Settings
from features.snapshots import snapshot_folder
from features.store import FeatureStore
from features.workspace import Workspace
from pipelines.console import settle_process
from pipelines.context import Context
from pipelines.score import write_day
from serving.batch import CHUNK
from serving.playbook import load_playbook
from serving.score_files import read_scores
from serving.scorer import Scorer
from training.bundle import MANIFEST, ScorerBundle
from training.dataset import tree_matrix
from training.stage_rules import load_stage_rules

WAYS = ("bare", "none", "fast")
WANTED, WANTED_MIB = 0.95, 600


@dataclass(frozen=True)
class Run:
    """One way once: seconds by the clock and of processors, and the most memory."""

    clock: float
    processor: float
    mib: float


def run(way: str, folder: Path, threads: int) -> Run:
    """Score the shop one way."""
    import mlflow  # noqa: F401, PLC0415 - the verb has it in memory too

    context = Context(
        Workspace(folder), Settings.load(overrides={"training": {"threads": threads}})
    )
    snapshots = snapshot_folder(context.workspace, "integer")
    store = FeatureStore(context.workspace, snapshots, "integer", context.settings)
    store.apply()
    scorer = Scorer(
        ScorerBundle.load(folder / "bundle"),
        1,
        load_playbook(),
        load_stage_rules(),
        context.settings.serving,
    )
    file = snapshots / f"{DAY}.parquet"
    customers = pa.concat_arrays([b.column(0) for b in read_scores(file, ["customer_id"])])
    if way == "bare":
        clock, processor = bare(store, scorer, customers, threads)
        return Run(clock, processor, peak_mib())
    started = time.perf_counter(), time.process_time()
    write_day(
        context, store, scorer, customers, DAY, folder / f"{way}.parquet", "key",
        "none" if way == "none" else "fast", ("en", "stages"),
    )  # fmt: skip
    ended = time.perf_counter(), time.process_time()
    return Run(ended[0] - started[0], ended[1] - started[1], peak_mib())


def bare(
    store: FeatureStore, scorer: Scorer, customers: pa.Array, threads: int
) -> tuple[float, float]:
    """Time the two predicts alone."""
    clock = processor = 0.0
    for rows in store.historical_batches(customers, DAY, CHUNK):
        matrix = tree_matrix(matrix_of(pa.Table.from_batches([rows]), scorer.bundle.vocabulary))
        started = time.perf_counter(), time.process_time()
        for booster in (scorer.bundle.trees.churn, scorer.bundle.trees.spend):
            if booster is not None:
                booster.predict(matrix, raw_score=True, num_threads=threads)
        clock += time.perf_counter() - started[0]
        processor += time.process_time() - started[1]
    return clock, processor


def generate(folder: Path, customers: int) -> None:
    """Make the shop, or what of it is missing."""
    if not (folder / "bundle" / MANIFEST).exists():
        bundle(folder / "bundle")
    snapshots = snapshot_folder(Workspace(folder), "integer")
    snapshots.mkdir(parents=True, exist_ok=True)
    file = snapshots / f"{DAY}.parquet"
    if (
        not file.exists()
        or sum(b.num_rows for b in read_scores(file, ["customer_id"])) != customers
    ):
        write_snapshot(file, customers)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        apart(generate, folder, asked.customers)
        ways = {way: lambda way=way: apart(run, way, folder, asked.threads) for way in asked.ways}
        results = interleaved(ways, asked.rounds)
    print(f"{asked.customers:,} customers, {asked.threads} threads, {SERVICES['scorer']}")
    clocks, processors = (
        {way: median([getattr(one, which) for one in runs]) for way, runs in results.items()}
        for which in ("clock", "processor")
    )
    for way, runs in results.items():
        rate, mib = asked.customers / clocks[way], max(one.mib for one in runs)
        line = f"{way:5}{rate:>10,.0f} customers/s{processors[way]:>8.1f} s of processors"
        line += f"{mib:>7,.0f} MiB"
        if way != "bare" and "bare" in results:
            line += f"; {clocks['bare'] / clocks[way]:.3f} of bare by the clock"
            line += f", {processors['bare'] / processors[way]:.3f} by processor time"
        print(line)
    print(f"wanted: none at least {WANTED} of bare, at most {WANTED_MIB} MiB")


if __name__ == "__main__":
    settle_process()
    main()
