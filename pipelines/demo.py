"""`lifecycle demo`: the whole way with CDNOW, from raw orders to advice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from features.errors import WorkspaceError
from features.ingest.ledger import Ledger
from features.ingest.reading import file_digest
from features.ingest.report import IngestReport
from features.settings import SETTINGS_FILE
from features.workspace import Workspace
from pipelines.cdnow import LAST_DAY, MAPPING, cdnow_file, read_cdnow
from pipelines.context import Context, Stopwatch
from pipelines.ingest import ingest_table
from pipelines.promote import PromoteReport, promote
from pipelines.score import ScoreReport, score
from pipelines.train import TrainReport, train_scorer

SETTINGS = f"""\
# Settings of the demo's workspace; `lifecycle settings` shows all that there are.
data:
  name: CDNOW
  currency: USD
  observed_until: {LAST_DAY}
churn:
  # A quarter, as in the figures published for these orders.
  horizon_days: 91
serving:
  # CDNOW does not say who consented to marketing: plan only, and each action says so.
  consent_unknown: plan
"""


@dataclass(frozen=True)
class DemoReport:
    """What each step found."""

    ingested: list[str]
    trained: TrainReport
    promoted: PromoteReport
    scored: ScoreReport
    example_customer: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "ingested": self.ingested,
            "trained": self.trained.to_dict(),
            "promoted": self.promoted.to_dict(),
            "scored": self.scored.to_dict(),
            "example_customer": self.example_customer,
            "seconds": self.seconds,
        }


EXAMPLE_CUSTOMER = 111
"""A customer with a long history, for the line that shows how to ask the endpoint."""


def prepare_workspace(workspace: Workspace) -> None:
    """Make a new workspace with the demo's settings, or check that it is the demo's own.

    Raises
    ------
    WorkspaceError
        The workspace holds other orders, or cannot be one.
    """
    if not workspace.exists():
        with workspace.locked():
            workspace.create()
            path = workspace.root / SETTINGS_FILE
            if not path.exists():
                path.write_text(SETTINGS, encoding="utf-8")
        return
    workspace.require()
    try:
        sources = {export["source"] for export in Ledger(workspace).manifest()["exports"]}
    except WorkspaceError:
        sources = set()
    others = sources - {cdnow_file().name}
    if others:
        raise WorkspaceError(
            f"workspace {workspace.root} holds orders of {sorted(others)[0]}; the demo needs one "
            "of its own: lifecycle demo --workspace DIR"
        )


def ingest_cdnow(context: Context, every: int = 1) -> IngestReport:
    """Ingest CDNOW into a workspace, of all customers or of every tenth, say.

    Every tenth is how most papers on these orders draw their sample.

    Raises
    ------
    InputError
        The package with the data is not installed.
    """
    file = cdnow_file()
    orders, digest = read_cdnow(file), file_digest(file)
    if every > 1:
        orders = orders.filter(pl.col("customer_id") % every == 0)
        digest = f"{digest}, every {every}"
    return ingest_table(context, file, orders, digest, MAPPING)


def demo(context: Context) -> DemoReport:
    """Ingest, learn, promote, score.

    Raises
    ------
    InputError
        The package with the data is not installed.
    """
    watch = Stopwatch()
    context.say("reading CDNOW", 0, 1)
    ingested = ingest_cdnow(context)
    context.say("reading CDNOW", 1, 1)
    trained = train_scorer(context, date.fromisoformat(LAST_DAY))
    promoted = promote(context)
    scored = score(context, date.fromisoformat(LAST_DAY), None)
    return DemoReport(
        ingested.sentences(), trained, promoted, scored, EXAMPLE_CUSTOMER, watch.seconds()
    )
