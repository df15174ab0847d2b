"""`lifecycle data`: a report on what was ingested, in words and figures."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

from features.ingest.report import IngestReport
from features.snapshots import tables_of
from features.workspace import replacing
from pipelines.context import Context
from pipelines.data_facts import DataFacts, data_facts
from pipelines.data_page import data_page


def report_data(context: Context, out: Path) -> tuple[DataFacts, list[IngestReport]]:
    """Write the data report.

    Raises
    ------
    WorkspaceError
        No orders have been ingested.
    """
    ledger = context.ledger()
    facts = data_facts(tables_of(ledger), context.settings)
    reports = ledger.reports()
    with mpl.rc_context({"svg.hashsalt": "lifecycle", "svg.fonttype": "none"}):
        page = data_page(facts, reports)
    with replacing(out) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return facts, reports
