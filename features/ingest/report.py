"""What an ingest did, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from features.ingest.quarantine import REASONS

_NOTABLE = {
    "returns": "returns (negative amounts)",
    "zero_amount": "amounts of zero",
    "non_product": "non-products such as postage (money, but no category)",
    "duplicate_lines": "repeats of another line (kept: bought twice)",
    "after_observed_until": "later than data.observed_until",
    "times_without_zone": "times without a zone (taken for UTC)",
    "unreadable_arrivals": "unreadable arrivals (taken as known when ordered)",
    "unreadable_quantity": "unreadable quantities (left empty)",
    "unreadable_discount": "unreadable discounts (left empty)",
    "unreadable_cost": "unreadable costs (left empty)",
}


@dataclass(frozen=True)
class IngestReport:
    """The outcome of one ingest; ``rows_in == kept + merged + quarantined`` always."""

    source: str
    """Name of the file."""
    changed: bool
    """Whether anything in the workspace changed."""
    replaced: bool
    """Whether this reading took the place of a former one of the same file."""
    counts: Mapping[str, int]
    """rows_in; kept: lines that this export added to the ledger; merged: lines that were there
    already; quarantined; rows per reason; and what is notable among the readable lines."""
    mapping: Mapping[str, str]
    """The file's column for each contract column that was read."""
    date_reading: str
    """How the dates were read."""
    totals: Mapping[str, Any]
    """The whole ledger now: lines, customers, orders, first_day, last_day, customer_id_type."""

    def sentences(self) -> list[str]:
        """Say in plain English what happened to every line."""
        counts, totals = self.counts, self.totals
        said = []
        if not self.changed:
            said.append(f"{self.source} was ingested before with this mapping: nothing changed.")
        if self.replaced:
            said.append(f"The former reading of {self.source} was replaced.")
        said.append(
            f"{counts['rows_in']:,} lines read from {self.source}: {counts['kept']:,} kept, "
            f"{counts['merged']:,} already there, {counts['quarantined']:,} quarantined"
            f"{self._reasons()}."
        )
        if self.date_reading != "typed":
            said.append(f"Dates were read as {self.date_reading}.")
        notable = [
            f"{what}: {counts[name]:,}" for name, what in _NOTABLE.items() if counts.get(name)
        ]
        if notable:
            said.append(f"Among the readable lines, {'; '.join(notable)}.")
        said.append(
            f"The ledger holds {totals['lines']:,} lines in {totals['orders']:,} orders of "
            f"{totals['customers']:,} customers, from {totals['first_day']} to "
            f"{totals['last_day']}; customer ids are {totals['customer_id_type']}."
        )
        return said

    def _reasons(self) -> str:
        given = [f"{self.counts[name]:,} {name}" for name in REASONS if self.counts.get(name)]
        return f" ({', '.join(given).replace('_', ' ')})" if given else ""

    def to_dict(self) -> dict[str, Any]:
        """Give the report as plain values for JSON."""
        return asdict(self)
