"""What was said on a day against what then happened, on real orders, and the targets one by one.

`lifecycle backtest` on CDNOW, which comes with the demo's package, and on Online Retail II where
../shared/data holds it, on several days and horizons. With --keep a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import date
from pathlib import Path

from targets import Shop, targets

from features.ingest.reading import file_digest
from features.settings import Settings
from features.workspace import Workspace
from pipelines.backtest import backtest
from pipelines.cdnow import MAPPING, cdnow_file, read_cdnow
from pipelines.console import Terminal, settle_process
from pipelines.context import Context
from pipelines.evaluation_table import show
from pipelines.ingest import TableFile, ingest, ingest_table
from training.contest import Contest

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
    "CDNOW": {
        30: ("1997-07-31", "1997-09-30", "1997-12-31", "1998-03-31"),
        91: ("1997-09-30", "1997-12-31", "1998-03-31"),
    },
    "Online Retail II": {
        30: ("2010-06-09", "2010-09-09", "2010-12-09", "2011-02-08"),
        91: ("2010-06-09", "2010-09-09", "2010-12-09"),
    },
}


def context_of(workspace: Workspace, horizon: int, trials: int, terminal: Terminal) -> Context:
    given = {"churn": {"horizon_days": horizon}, "training": {"trials": trials}}
    return Context(workspace, Settings.load(overrides=given), terminal.say)


def prepare(name: str, context: Context) -> None:
    if name == "CDNOW":
        file = cdnow_file()
        ingest_table(context, file, read_cdnow(file), file_digest(file), MAPPING)
    else:
        ingest(context, [TableFile("orders", ONLINE_RETAIL)], ONLINE_RETAIL_MAP)


def replay(name: str, root: Path, trials: int, terminal: Terminal) -> list[Contest]:
    workspace = Workspace(root / name.replace(" ", "_"))
    contests: list[Contest] = []
    for horizon, days in CASES[name].items():
        context = context_of(workspace, horizon, trials, terminal)
        if not contests:
            prepare(name, context)
        with terminal.progress():
            found = backtest(context, [date.fromisoformat(day) for day in days])
        terminal.note(f"\n{name}, {horizon} days, in {found.seconds:.0f} s")
        show(terminal, found.evaluation.to_dict(), every_day=True)
        contests += found.contests
    return contests


def main() -> None:
    settle_process()
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--keep", type=Path, help="folder for the workspaces, to go on from")
    given.add_argument("--trials", type=int, default=Settings().training.trials)
    given.add_argument("--shop", choices=CASES, action="append", help="default: all")
    options = given.parse_args()
    terminal = Terminal(quiet=False)
    shops = []
    with tempfile.TemporaryDirectory() as folder:
        for place, name in enumerate(options.shop or CASES):
            if name != "CDNOW" and not ONLINE_RETAIL.exists():
                terminal.note(f"\n{name} is not here: left out")
                continue
            contests = replay(name, options.keep or Path(folder), options.trials, terminal)
            shops.append(Shop.of(name, contests, seed=place))
    terminal.note(f"\nTargets, over {sum(len(shop.contests) for shop in shops)} cases")
    for target in targets(shops):
        terminal.note(str(target))


if __name__ == "__main__":
    main()
