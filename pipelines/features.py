"""`lifecycle features`: compute snapshots, register the views, put a day online."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from features.ingest.ledger import Ledger
from features.snapshots import known_customers
from features.store import FeatureStore
from pipelines.context import Context


@dataclass(frozen=True)
class FeaturesReport:
    """What was computed and what is online."""

    days: int
    computed: int
    customers: int
    online_as_of: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def compute_features(context: Context, days: list[date], online: bool) -> FeaturesReport:
    """Compute the snapshots of some days and, if asked, put the newest of them online."""
    context.workspace.require()
    with context.workspace.locked():
        ledger = context.folded_ledger()
        for day in days:
            context.check_day(ledger, day)
        computed = context.snapshots(ledger, days)
        store = context.store(ledger)
        store.apply()
        if online:
            put_online(context, ledger, store, days[-1])
        customers = known_customers(context.workspace, ledger, days[-1])
    state = store.state
    return FeaturesReport(
        len(days), len(computed), len(customers), state.as_of.isoformat() if state else None
    )


def put_online(context: Context, ledger: Ledger, store: FeatureStore, as_of: date) -> None:
    """Materialise a day unless a newer day, or this very snapshot, is online.

    A newer day that is online is materialised anew if orders known by then have changed since.
    """
    state = store.state
    if state is not None and state.as_of > as_of:
        as_of = state.as_of
        context.snapshots(ledger, [as_of])
    key = context.snapshot_key(ledger, as_of)
    customers = known_customers(context.workspace, ledger, as_of)
    ends = [customers[place].as_py() for place in (0, -1) if len(customers)]
    if state is not None and state.key == key and store.holds(ends):
        return
    context.say("online features", 0, 1)
    store.materialise(as_of, key)
    context.say("online features", 1, 1)
