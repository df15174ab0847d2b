"""What an ingest did, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from features.forgotten import RULE
from features.ingest.contract import CONTRACT, Table
from features.ingest.quarantine import REASONS

_NOTABLE: Final = {
    "returns": "returns and cancellations (negative amounts, counted on their own day)",
    "zero_amount": "amounts of zero (kept, but no purchase)",
    "non_product": "non-products such as postage (money, but no category)",
    "duplicate_lines": "repeats of another line (kept: it happened twice)",
    "after_observed_until": "later than data.observed_until",
    "times_without_zone": "times without a zone (taken for UTC)",
    "self_referral": "referred by themselves (left empty)",
    "unreadable_arrived_at": "unreadable arrivals (taken as known when it happened)",
    "unbelievable_arrived_at": "arrivals outside 1970 to 2100 (taken as known when it happened)",
    "unbelievable_ends_at": "ends outside 1970 to 2100 (taken as open)",
}
_FAMILIES: Final = {
    "unreadable_": "unreadable {} (left empty)",
    "unbelievable_": "{} outside 1970 to 2100 (left empty)",
    "ambiguous_": "{} that may be thousands or a fraction (left empty: set data.decimal_mark)",
}
_HINTED: Final = ("undated", "unknown_kind", RULE)


@dataclass(frozen=True)
class IngestReport:
    """The outcome of one ingest; ``rows_in == kept + merged + quarantined + forgotten`` always."""

    table: Table
    source: str
    """Name of the file."""
    changed: bool
    """Whether anything in the workspace changed."""
    replaced: bool
    """Whether this reading took the place of a former one of the same file."""
    counts: Mapping[str, int]
    """rows_in; kept: rows that this export added to the table; merged: rows that were there
    already, or that replaced one which was; quarantined; forgotten, where there are any: rows of
    persons who were erased; rows per reason; and what is notable among the readable rows."""
    examples: Mapping[str, str]
    """For what is counted, the commonest text of the file that shows it."""
    money_e4: Mapping[str, int]
    """Of orders, in ten-thousandths: the sums kept and quarantined, and the least, middle and
    most of the kept amounts."""
    mapping: Mapping[str, str]
    """The file's column for each contract column that was read."""
    date_reading: str
    """How the dates were read."""
    totals: Mapping[str, Any]
    """The whole table now: lines (or rows), customers, first_day, last_day, customer_id_type."""
    quarantine: str
    """Where in the workspace the rows that were set aside are."""

    def sentences(self) -> list[str]:
        """Say in plain English what happened to every row."""
        return [
            *self._outcome(),
            *self._reading(),
            *self._notable(),
            *self._hints(),
            self._whole(),
        ]

    def _outcome(self) -> list[str]:
        counts, rows = self.counts, CONTRACT[self.table].rows
        said = []
        if not self.changed:
            said.append(f"{self.source} was ingested before with this mapping: nothing changed.")
        if self.replaced:
            said.append(f"The former reading of {self.source} was replaced.")
        there = "already there, or in place of one that was" if self._keyed else "already there"
        said.append(
            f"{counts['rows_in']:,} {rows} read from {self.source}: {counts['kept']:,} kept, "
            f"{counts['merged']:,} {there}, {counts['quarantined']:,} quarantined"
            f"{self._reasons()}."
        )
        if gone := counts.get(RULE):
            said.append(f"Of persons who were erased, and not taken: {gone:,} {rows}.")
        if counts["quarantined"]:
            said.append(f"Quarantined rows are in {self.quarantine} of the workspace.")
        return said

    @property
    def _keyed(self) -> bool:
        return bool(CONTRACT[self.table].key)

    def _reasons(self) -> str:
        given = [
            f"{self.counts[name]:,} {name.replace('_', ' ')}{self._example(name)}"
            for name in REASONS
            if self.counts.get(name)
        ]
        return f" ({', '.join(given)})" if given else ""

    def _example(self, name: str) -> str:
        return f" such as {self.examples[name]!r}" if name in self.examples else ""

    def _reading(self) -> list[str]:
        if self.date_reading in ("typed", "none"):
            return []
        return [f"Dates were read as {self.date_reading}."]

    def _notable(self) -> list[str]:
        notable = [
            f"{_phrase(name)}: {count:,}{self._example(name)}"
            for name, count in self.counts.items()
            if count and name not in _HINTED and _phrase(name)
        ]
        return [f"Among the readable rows, {'; '.join(notable)}."] if notable else []

    def _hints(self) -> list[str]:
        said = []
        if undated := self.counts.get("undated"):
            said.append(
                f"{undated:,} {CONTRACT[self.table].rows} are undated, so what they say is today's "
                "and stays out of training; map customers.valid_from or customers.registered_at, "
                "or name the columns that never change in data.static_attributes."
            )
        if unknown := self.counts.get("unknown_kind"):
            kind = self.examples["unknown_kind"]
            said.append(
                f"{unknown:,} interactions are of a kind that the contract does not know, mostly "
                f"{kind!r}, and are kept as event; say what they are in data.kinds."
            )
        money = self.money_e4
        if self.counts["quarantined"] and money:
            said.append(
                f"The quarantined rows come to {_money(money['quarantined'])} net, the readable "
                f"ones to {_money(money['kept'])}."
            )
        if money:
            said.append(
                f"The readable lines run from {_money(money['least'])} to {_money(money['most'])}; "
                f"the one in the middle is {_money(money['middle'])}."
            )
        if lone := self.totals.get("returns_without_sale"):
            said.append(
                f"Returns in the ledger without an earlier sale of their category to that "
                f"customer: {lone:,}; they count all the same, as the sale may lie before the "
                "first export."
            )
        return said

    def _whole(self) -> str:
        totals = self.totals
        orders = self.table == "orders"
        rows = f"{totals['lines' if orders else 'rows']:,} {CONTRACT[self.table].rows}"
        inside = f" in {totals['orders']:,} orders" if orders else ""
        span = (
            f", from {totals['first_day']} to {totals['last_day']}" if totals["first_day"] else ""
        )
        return (
            f"The ledger holds {rows}{inside} of {totals['customers']:,} customers{span}; "
            f"customer ids are {totals['customer_id_type']}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Give the report as plain values for JSON."""
        return asdict(self)


def _phrase(name: str) -> str:
    """Say what a count counts; nothing where another sentence does."""
    if name in _NOTABLE:
        return _NOTABLE[name]
    for prefix, phrase in _FAMILIES.items():
        # The reasons of quarantine have their own sentence.
        if name.startswith(prefix) and name not in REASONS:
            return phrase.format(name.removeprefix(prefix))
    return ""


def _money(e4: int) -> str:
    """Write ten-thousandths as units and hundredths.

    >>> _money(-12_345_678)
    '-1,234.57'
    """
    hundredths = (abs(e4) + 50) // 100
    return f"{'-' if e4 < 0 else ''}{hundredths // 100:,}.{hundredths % 100:02}"
