"""Pushed events become part of the ledger: an export of their own, merged as any other.

A file that brings the same events later adds nothing, as long as it says the same of them: lines
are the same if all their columns are, but for the time of arrival.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl

from features.days import day_of
from features.ingest.ledger import Ledger
from features.ingest.manifest import DataFolder
from features.ingest.merging import typed_ids
from features.push_log import PushLog
from features.settings import DataSettings

SOURCE = "pushed events"
# No digest of a file begins like this.
_PUSHED = "push"


def folded_until(manifest: dict[str, Any]) -> int:
    """The last pushed event that a ledger holds, 0 where it holds none.

    >>> folded_until({"exports": [{"digest": "00ff"}, {"digest": "push0000001a"}]})
    26
    """
    digests = [entry["digest"] for entry in manifest["exports"]]
    return max((int(d[len(_PUSHED) :], 16) for d in digests if d.startswith(_PUSHED)), default=0)


def fold(ledger: Ledger, log: PushLog, settings: DataSettings) -> int:
    """Merge what was pushed since the last time into the ledger; the caller holds the workspace.

    Returns
    -------
    int
        The last event that the ledger holds now.
    """
    manifest = ledger.manifest()
    after, until = folded_until(manifest), log.last()
    if until <= after:
        return after
    id_type = ledger.customer_id_type
    tables = {
        table: typed_ids(table, rows, id_type) for table, rows in log.unfolded(after, until).items()
    }
    ledger.add_clean(tables, SOURCE, f"{_PUSHED}{until:08x}", settings)
    return until


def covered_until(ledger: Ledger) -> date:
    """The last order's day in the files: one pushed order says nothing of the other customers."""
    entries = ledger.manifest()["exports"]
    files = [e for e in entries if e["table"] == "orders" and not e["digest"].startswith(_PUSHED)]
    if not files or len(files) == len([e for e in entries if e["table"] == "orders"]):
        return ledger.last_day
    folder = DataFolder(ledger.workspace.data)
    paths = [folder.export(entry["key"]) for entry in files]
    last = pl.scan_parquet(paths).select(pl.col("event_day").max()).collect().item()
    return ledger.last_day if last is None else day_of(last)
