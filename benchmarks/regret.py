"""What the product's choices earn of what the best policy would, on worlds whose truth is known.

A curve over the number of assignments whose outcome is known, for some worlds and seeds. The best
policy knows the world's parameters and every row of its tables, and nothing else: it treats by the
exact posterior mean of what each action brings each customer (`lifecycle simulate --known`). All
policies may do what the playbook allows for the customer, and earn what is true.

- assumed: the playbook, as if nothing had been measured
- risk, value: as many contacts as the product, to those most likely to leave, or worth most over
  twelve months, each with the action that the playbook promises most of; `with_ours`: with the
  action that the product values most, so that whom it chooses is compared alone
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from features.catalogue import JOIN_KEY
from features.matrix import matrix_of
from features.settings import Settings
from features.snapshots import known_customers
from features.workspace import Workspace
from pipelines.console import Terminal, settle_process
from pipelines.context import Context
from pipelines.ingest import TableFile, ingest
from pipelines.simulate import SETTINGS_FILE, TRUTH, Order, simulate
from pipelines.train import train_scorer
from pipelines.trials import ripe, trials
from pipelines.worlds.catalogue import load_world
from serving.playbook import Playbook, load_playbook
from serving.scorer import Scorer
from training.bundle import ScorerBundle
from training.stage_rules import load_stage_rules
from training.trees import Machine
from training.uplift.experiment import Experiment
from training.uplift.lifts import Lifts, measure_lifts

HORIZON = 90
TABLES = ("orders", "customers", "interactions", "treatments")
NOBODY = -1

Float = NDArray[np.float64]
Int = NDArray[np.int64]


@dataclass(frozen=True)
class Company:
    """A simulated company on its last day, with the truth of every action of its world.

    Attributes
    ----------
    true, known
        Net margin of each action for each customer: as it is, and as well as it can be known.
    """

    bundle: ScorerBundle
    playbook: Playbook
    settings: Settings
    matrix: Float
    experiments: list[Experiment]
    true: Float
    known: Float

    def scorer(self, lifts: Lifts) -> Scorer:
        """Answer by what was measured."""
        return Scorer(
            replace(self.bundle, lifts=lifts), 0, self.playbook, load_stage_rules(None),
            self.settings.serving,
        )  # fmt: skip


def company(
    world: str, customers: int, seed: int, max_rows: int, trials_: int, folder: Path
) -> Company:
    files = folder / "world"
    until = load_world(world).starts + timedelta(days=730)
    order = Order(world, customers, seed, files, until, horizon_days=HORIZON, known=True)
    terminal = Terminal(quiet=True)
    simulate(Context(Workspace(folder / "none"), Settings(), terminal.say), order)
    given = {
        "churn": {"horizon_days": HORIZON},
        "training": {"trials": trials_, "max_rows": max_rows, "effects": False, "threads": 1},
    }
    settings = Settings.load(files / SETTINGS_FILE, overrides=given)
    context = Context(Workspace(folder / "workspace"), settings, terminal.say)
    ingest(context, [TableFile(table, files / f"{table}.parquet") for table in TABLES], {})
    report = train_scorer(context, until)
    registry = context.registry()
    bundle = registry.load(registry.version(report.model_version))
    with context.workspace.locked():
        ledger = context.folded_ledger()
        assigned = ripe(context, ledger, until, HORIZON)
        experiments = trials(context, ledger, assigned, until, HORIZON)
        today = context.store(ledger).historical(
            known_customers(context.workspace, ledger, until), until, pushed=False
        )
    truth = pl.read_parquet(files / TRUTH / f"actions_{until}.parquet")
    tried = set(truth["action"].unique().to_list())
    whole = load_playbook()
    # Of the others a world does not know what they do.
    kept = tuple(action for action in whole.actions if action.key in tried)
    true, known = _truth(truth, today[JOIN_KEY], [action.key for action in kept])
    return Company(
        bundle, whole.model_copy(update={"actions": kept}), settings,
        matrix_of(today, bundle.vocabulary), experiments, true, known,
    )  # fmt: skip


def _truth(truth: pl.DataFrame, customers: pa.ChunkedArray, keys: list[str]) -> tuple[Float, Float]:
    order = pl.DataFrame({"customer_id": customers.to_numpy()})
    columns = [
        order.join(
            truth.filter(pl.col("action") == key), on="customer_id", how="left",
            maintain_order="left",
        )
        for key in keys
    ]  # fmt: skip
    return tuple(  # type: ignore[return-value]
        np.column_stack([rows[name].to_numpy() for rows in columns])
        for name in ("net_margin", "known_net_margin")
    )


def taken(value: Float, may: NDArray[np.bool_]) -> Int:
    """Give each customer the action worth most of those that may be done, or nobody's."""
    best = np.where(may, value, -np.inf)
    return np.where(may.any(axis=1), best.argmax(axis=1), NOBODY)


def first(rank: Float, action: Int, contacts: int) -> Int:
    """Treat so many of those who rank first."""
    order = np.argsort(np.where(action == NOBODY, np.inf, -rank), kind="stable")[:contacts]
    chosen = np.full(len(action), NOBODY)
    chosen[order] = action[order]
    return chosen


def judge(one: Company, lifts: Lifts) -> dict[str, Any]:
    scores = one.scorer(lifts).score(one.matrix, reasons="none")
    assumed = one.scorer(Lifts()).score(one.matrix, reasons="none").choices
    made, said = scores.choices, scores.predictions
    policy = taken(made.worth[1], made.candidate)
    promised = taken(assumed.worth[1], made.allowed)
    ours = taken(made.worth[1], made.allowed)
    contacts = int((policy != NOBODY).sum())
    policies = {
        "best": taken(one.known, made.allowed & (one.known > 0)),
        "lifecycle": policy,
        "assumed": taken(assumed.worth[1], assumed.candidate),
        "risk": first(said.churn_probability, promised, contacts),
        "value": first(said.clv_12m, promised, contacts),
        "risk_with_ours": first(said.churn_probability, ours, contacts),
        "value_with_ours": first(said.clv_12m, ours, contacts),
    }
    told: dict[str, Any] = {}
    for name, actions in policies.items():
        rows = np.flatnonzero(actions != NOBODY)
        told[name] = float(one.true[rows, actions[rows]].sum())
        told[f"{name}_treated"] = len(rows) / len(actions)
    return told


def part(experiments: Sequence[Experiment], share: float, seed: int) -> list[Experiment]:
    """Keep the assignments of a share of the customers."""
    everybody = np.unique(np.concatenate([one.customers for one in experiments]))
    kept = everybody[np.random.default_rng(seed).random(len(everybody)) < share]
    return [one.take(np.flatnonzero(np.isin(one.customers, kept))) for one in experiments]


def curve(one: Company, shares: Sequence[float], seed: int) -> list[dict[str, Any]]:
    rows = []
    for share in shares:
        some = part(one.experiments, share, seed)
        begun = time.process_time()
        lifts = measure_lifts(some, Machine(seed, threads=1))
        rows.append(
            {
                "assignments": sum(map(len, some)),
                "treated": int(sum(trial.treated.sum() for trial in some)),
                "measured": len(lifts.measured),
                "seconds": round(time.process_time() - begun, 1),
                **judge(one, lifts),
            }
        )
    return rows


HEAD = (
    "world", "seed", "treated obs.", "best", "lifecycle", "of best", "assumed", "risk", "value",
    "treated",
)  # fmt: skip


def cells(row: dict[str, Any]) -> list[str]:
    best = row["best"]

    def share(name: str) -> str:
        return f"{row[name] / best:.2f}" if best > 0 else f"{row[name]:,.0f}"

    return [
        row["world"], str(row["seed"]), f"{row['treated']:,}", f"{best:,.0f}",
        f"{row['lifecycle']:,.0f}", share("lifecycle"), share("assumed"), share("risk"),
        share("value"), f"{row['lifecycle_treated']:.1%}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", nargs="+", default=["shop", "null", "harmful"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[7, 8, 9])
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--shares", nargs="+", type=float, default=[0.03, 0.1, 0.3, 1.0])
    parser.add_argument("--max-rows", type=int, default=60_000, help="of the training")
    parser.add_argument("--trials", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    settle_process()
    terminal, rows = Terminal(quiet=True), []
    for world in given.worlds:
        for seed in given.seeds:
            with tempfile.TemporaryDirectory() as folder:
                one = company(
                    world, given.customers, seed, given.max_rows, given.trials, Path(folder)
                )
                for row in curve(one, given.shares, seed):
                    rows.append({"world": world, "seed": seed, **row})
                    print(json.dumps(rows[-1]), flush=True)
            if given.json is not None:
                given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    terminal.table(f"\n{given.customers:,} customers", HEAD, [cells(row) for row in rows])


if __name__ == "__main__":
    main()
