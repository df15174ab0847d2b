"""What was said on a day against what then happened, on real orders, beside BG/NBD + Gamma-Gamma.

For each case the verbs run as on that day (train, promote, score); afterwards the scores meet the
outcomes of the window that followed. CDNOW comes with the demo's package; Online Retail II is used
where ../shared/data holds it. Customers who never bought are left out, as they are no churners.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from features.ingest.ledger import Ledger
from features.ingest.reading import file_digest
from features.matrix import Vocabulary, matrix_of
from features.settings import Settings
from features.snapshots import snapshot_path
from features.workspace import Workspace
from pipelines.cdnow import MAPPING, cdnow_file, read_cdnow
from pipelines.context import Context
from pipelines.ingest import TableFile, ingest, ingest_table
from training.labels import labels
from training.metrics import churn_metrics, interval_metrics, spend_metrics
from training.prior import Prior, column

ONLINE_RETAIL = (
    Path(__file__).parent.parent.parent / "shared" / "data" / "online_retail_ii_2009_2011.parquet"
)
ONLINE_RETAIL_MAP = {
    "customer_id": "Customer ID",
    "ordered_at": "InvoiceDate",
    "quantity": "Quantity",
    "unit_price": "Price",
    "order_id": "Invoice",
    "category": "StockCode",
}
CASES = {
    "CDNOW": [
        ("1997-09-30", 30),
        ("1997-12-31", 30),
        ("1997-09-30", 91),
        ("1997-12-31", 91),
        ("1998-03-31", 91),
    ],
    "Online Retail II": [("2010-06-09", 30), ("2010-09-09", 91), ("2010-12-09", 91)],
}
COLUMNS = (
    "log_loss", "auc", "calibration_error", "churn_said", "churn_seen", "spend_gini",
    "spend_total_ratio", "spend_deviance",
)  # fmt: skip


def lifecycle(workspace: Path, *words: str) -> dict[str, object]:
    command = [sys.executable, "-m", "pipelines.cli", "-w", str(workspace), *words, "--json", "-"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"{' '.join(words)}: {ran.stderr}")
    found: dict[str, object] = json.loads(ran.stdout)
    return found


def prepare(name: str, workspace: Workspace) -> None:
    context = Context(workspace, Settings())
    if name == "CDNOW":
        file = cdnow_file()
        ingest_table(context, file, read_cdnow(file), file_digest(file), MAPPING)
    else:
        ingest(context, [TableFile("orders", ONLINE_RETAIL)], ONLINE_RETAIL_MAP)


def judge(name: str, workspace: Workspace, day: date, horizon: int) -> None:
    words = ["--as-of", day.isoformat()]
    trained = lifecycle(workspace.root, "train", *words, "--horizon-days", str(horizon))
    lifecycle(workspace.root, "promote", "--force")
    out = workspace.root / "backtest.parquet"
    lifecycle(workspace.root, "score", *words, "--out", str(out))
    ledger = Ledger(workspace)
    seen = labels(ledger.orders_path, day, horizon, ledger.last_day)
    scores = (
        pl.read_parquet(out)
        .filter(~pl.col("flags").list.contains("prospect"))
        .join(seen, on="customer_id", how="left", maintain_order="left")
        .with_columns(
            pl.col("purchased").fill_null(value=False), pl.col("net_spend").fill_null(0.0)
        )
    )
    churned, spent = ~scores["purchased"].to_numpy(), scores["net_spend"].to_numpy()
    ours = {
        **churn_metrics(scores["churn_probability"].to_numpy(), churned),
        **spend_metrics(scores["expected_spend"].to_numpy(), spent),
    }
    interval = interval_metrics(
        scores["spend_lower"].to_numpy(), scores["spend_upper"].to_numpy(), spent, 0.9
    )
    # The prior reads no category, so none needs a code.
    matrix = matrix_of(pq.read_table(snapshot_path(workspace, ledger, day)), Vocabulary())
    matrix = matrix[column(matrix, "purchases") > 0]
    prior = Prior.fit(matrix)
    chance = prior.churn_probability(matrix, horizon)
    theirs = {
        **churn_metrics(chance, churned),
        **spend_metrics((1 - chance) * prior.spend_if_purchase(matrix, horizon), spent),
    }
    print(f"\n{name}, {day} + {horizon} days, {len(spent):,} customers, {trained['kind']}")
    print(f"  {'':<10}" + "".join(f"{c:>18}" for c in COLUMNS))
    for label, values in (("lifecycle", ours), ("BG/NBD+GG", theirs)):
        print(f"  {label:<10}" + "".join(f"{values[c]:>18.4f}" for c in COLUMNS))
    print(f"  coverage of the 90% interval {interval['coverage_90']:.3f}", flush=True)


def main() -> None:
    for name, cases in CASES.items():
        if name != "CDNOW" and not ONLINE_RETAIL.exists():
            print(f"\n{name} is not here: left out")
            continue
        with tempfile.TemporaryDirectory() as folder:
            workspace = Workspace(Path(folder) / "workspace")
            prepare(name, workspace)
            for day, horizon in cases:
                judge(name, workspace, date.fromisoformat(day), horizon)


if __name__ == "__main__":
    main()
