"""`lifecycle score`: one row for every customer known on a day."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from features.errors import InputError
from features.snapshots import known_customers
from features.workspace import replacing
from pipelines.context import Context, Stopwatch
from pipelines.features import put_online
from serving.batch import score_table
from serving.reasons import Reasons
from serving.scorer import Scorer
from serving.sentences import Language
from training.stages import STAGES


@dataclass(frozen=True)
class ScoreReport:
    """What was scored, and a summary by stage."""

    as_of: str
    customers: int
    file: str
    model_version: int
    online_as_of: str | None
    stages: list[dict[str, Any]]
    currency: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def score(
    context: Context,
    as_of: date | None,
    out: Path | None,
    reasons: Reasons = "fast",
    language: Language = "en",
) -> ScoreReport:
    """Score every customer known by the end of a day.

    The day's features are computed if they are missing, and put online unless a newer day is.
    Exact reasons take a hundred times as long as fast ones where trees are large.

    Raises
    ------
    InputError
        The day lies outside the data, or ``out`` is neither Parquet nor CSV.
    WorkspaceError
        Nothing is ingested or promoted.
    """
    watch = Stopwatch()
    if out is not None and out.suffix not in {".parquet", ".csv"}:
        raise InputError(f"--out {out} must end in .parquet or .csv")
    context.workspace.require()
    with context.workspace.locked():
        ledger = context.folded_ledger()
        day = as_of or context.observed_until(ledger)
        context.check_day(ledger, day)
        path = out or context.workspace.scores / f"{day.isoformat()}.parquet"
        scorer = Scorer.champion(context.registry(), context.settings.serving)
        context.snapshots(ledger, [day])
        store = context.store(ledger)
        store.apply()
        put_online(context, ledger, store, day)
        customers = known_customers(context.workspace, ledger, day)
        context.say("scoring", 0, 1)
        rows = store.historical(customers, day, pushed=False)
        table = score_table(scorer, rows, context.settings.training.threads, reasons, language)
        write_table(table, path)
        context.say("scoring", 1, 1)
    state = store.state
    return ScoreReport(
        day.isoformat(),
        table.num_rows,
        str(path),
        scorer.model_version,
        state.as_of.isoformat() if state else None,
        by_stage(table),
        scorer.bundle.currency,
        watch.seconds(),
    )


def write_table(table: pa.Table, path: Path) -> None:
    """Write Parquet or CSV in one step; in CSV lists become text joined by semicolons."""
    with replacing(path) as temporary:
        if path.suffix == ".parquet":
            pq.write_table(table, temporary, compression="zstd")
            return
        for place, field in enumerate(table.schema):
            if pa.types.is_list(field.type):
                joined = pc.binary_join(table.column(place).combine_chunks(), "; ")
                table = table.set_column(place, field.name, joined)
        pcsv.write_csv(table, temporary)


def by_stage(table: pa.Table) -> list[dict[str, Any]]:
    """Summarise a scoring: a row a stage, in the order of a customer's life."""
    rows = []
    for stage in STAGES:
        part = table.filter(pc.equal(table["lifecycle_stage"], stage))
        if not part.num_rows:
            continue
        actions = pc.value_counts(part["action"]).to_pylist()
        rows.append(
            {
                "stage": stage,
                "customers": part.num_rows,
                "churn_probability": pc.mean(part["churn_probability"]).as_py(),
                "expected_spend": pc.sum(part["expected_spend"]).as_py(),
                "clv_12m": pc.mean(part["clv_12m"]).as_py(),
                "action_value": pc.sum(part["action_value"]).as_py(),
                "actions": {
                    a["values"]: a["counts"] for a in sorted(actions, key=lambda a: -a["counts"])
                },
            }
        )
    return rows
