"""The data contract: five tables, what a file of each may say, and what is stored of it.

Everything that ingest does follows from this one declaration: how a column is read, what is asked
of it, what the clean table looks like and how it is checked before it is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

Table = Literal["orders", "customers", "interactions", "treatments", "contracts"]
"""A table of the contract; only `orders` is needed, every other adds what it knows."""

TABLES: Final[tuple[Table, ...]] = get_args(Table)

KINDS: Final = (
    "impression", "ad_click", "visit", "product_view", "compare", "cart", "checkout", "payment",
    "trial", "inquiry", "email_open", "email_click", "support_ticket", "complaint",
    "complaint_resolved", "survey", "review", "share", "referral", "usage", "event",
)  # fmt: skip
"""Kinds of interaction; what a file calls otherwise is an `event`."""

ARMS: Final = ("treated", "control")
"""What a treatment's customer was assigned to; a control row names the action withheld."""

LIMIT_E4: Final = 10**11 * 10**4
"""Largest believable amount, in ten-thousandths."""

END_DAY: Final = 47_847
"""2101-01-01 in days since 1970-01-01, the first day that is no longer believed."""

Value = Literal["id", "code", "label", "moment", "money", "number", "share", "kind", "arm", "yes"]
"""How a file's column is read.

`id`: a customer, Int64 where every one is an integer; `code`: another identifier; `label`: text;
`moment`: a time; `money`: exact, also for other numbers that are summed; `number`: a float;
`share`: above 0, at most 1; `kind` and `arm`: one of those above; `yes`: yes or no.
"""

Stored = Literal["id", "text", "moment", "day", "e4", "number", "flag"]
"""What a clean column holds.

`id`: Int64 or String, one for the workspace; `text`: String; `moment`: Datetime in UTC, in
microseconds; `day`: Int32, days since 1970-01-01 in UTC; `e4`: Int64, ten-thousandths; `number`:
Float64; `flag`: Boolean.
"""


@dataclass(frozen=True)
class Column:
    """A column that a file may have."""

    name: str
    value: Value
    meaning: str
    unit: str | None = None
    required: bool = False


@dataclass(frozen=True)
class CleanColumn:
    """A column of a clean table."""

    name: str
    stored: Stored
    nullable: bool = True
    source: str | None = None
    """The contract's column that it is read from; None where it is derived."""
    meaning: str = ""
    """Said where it is more than its source's."""
    among: tuple[str, ...] = ()
    """The only values, where they are few."""
    within: tuple[float, float] | None = None
    """Least and greatest value."""


@dataclass(frozen=True)
class TableContract:
    """One table: what a file may have, what is stored, and what makes two rows the same."""

    row: str
    """One row is ..."""
    rows: str
    """What its rows are called in a report."""
    time: str
    """The clean column that says when a row's fact happened."""
    columns: tuple[Column, ...]
    clean: tuple[CleanColumn, ...]
    key: tuple[str, ...] = ()
    """Clean columns of which a later row replaces an earlier one; where there are none, rows are
    the same if all their columns are, but for the time of arrival."""

    def column(self, name: str) -> Column | None:
        """The column of a file that has this name."""
        return next((column for column in self.columns if column.name == name), None)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns that a file may have."""
        return tuple(column.name for column in self.columns)

    @property
    def clean_names(self) -> tuple[str, ...]:
        """Names of the clean columns, in their order."""
        return tuple(column.name for column in self.clean)

    @property
    def identity(self) -> tuple[str, ...]:
        """What makes rows of two exports the same fact; when we learned of it does not."""
        return tuple(name for name in self.clean_names if name not in ARRIVAL)

    @property
    def sorted_by(self) -> tuple[str, ...]:
        """Customer, time, then every column, so that bytes depend on content alone."""
        first = ("customer_id", self.time, *(("order_key",) if self.time == "ordered_at" else ()))
        return (*first, *(name for name in self.clean_names if name not in first))


ARRIVAL: Final = ("arrived_at", "known_day")
"""Clean columns that say when a fact became known, and are no part of it."""

_MONEY = (-float(LIMIT_E4), float(LIMIT_E4))
_DAYS = (0.0, float(END_DAY - 1))
_CURRENCY = "the workspace's currency"
_ARRIVED = Column("arrived_at", "moment", "when the row became known; absent: when it happened")


def _id(meaning: str) -> Column:
    return Column("customer_id", "id", meaning, required=True)


def _given(name: str, stored: Stored, source: str | None = None) -> CleanColumn:
    return CleanColumn(name, stored, source=source or name)


def _e4(name: str) -> CleanColumn:
    return CleanColumn(f"{name}_e4", "e4", source=name, within=_MONEY)


def _day(name: str, meaning: str, *, nullable: bool = False) -> CleanColumn:
    return CleanColumn(name, "day", nullable, meaning=meaning, within=_DAYS)


_CUSTOMER = CleanColumn("customer_id", "id", nullable=False, source="customer_id")
_ARRIVED_CLEAN = CleanColumn("arrived_at", "moment", nullable=False, source="arrived_at")
_EVENT_DAY = _day("event_day", "day on which it happened")
_KNOWN_DAY = _day(
    "known_day", "day from which it may be used: it happened or arrived, whichever is later"
)


def _at(name: str) -> CleanColumn:
    return CleanColumn(name, "moment", nullable=False, source=name)


_ORDERS = TableContract(
    row="a purchase line, or a return (negative amount)",
    rows="lines",
    time="ordered_at",
    columns=(
        _id("who bought"),
        Column("ordered_at", "moment", "when", required=True),
        Column("amount", "money", "what the customer paid for the line, after discount", _CURRENCY),
        Column("order_id", "code", "lines with one order_id are one order"),
        Column("quantity", "number", "how many", "pieces"),
        Column("unit_price", "money", "price of one piece", _CURRENCY),
        Column("discount", "money", "informative, never subtracted again", _CURRENCY),
        Column("cost", "money", "cost of the goods", _CURRENCY),
        Column("category", "label", "what was bought"),
        Column("channel", "label", "where it was bought"),
        _ARRIVED,
    ),
    clean=(
        _CUSTOMER,
        _at("ordered_at"),
        _ARRIVED_CLEAN,
        CleanColumn(
            "order_key", "text", False, "order_id", "the order's id, or where it has none the time"
        ),
        _EVENT_DAY,
        _KNOWN_DAY,
        CleanColumn("amount_e4", "e4", nullable=False, source="amount", within=_MONEY),
        _given("quantity", "number"),
        _e4("discount"),
        _e4("cost"),
        _given("category", "text"),
        _given("channel", "text"),
        CleanColumn("is_product", "flag", False, meaning="no postage, fee or the like"),
    ),
)

_CUSTOMERS = TableContract(
    row="a person or an account, as it was from a day on",
    rows="customers' rows",
    time="valid_from",
    columns=(
        _id("who"),
        Column("registered_at", "moment", "when the account was opened"),
        Column("valid_from", "moment", "from when on the row is true; absent: it is today's"),
        Column("acquisition_channel", "label", "how the customer came"),
        Column("acquisition_cost", "money", "what that cost us", _CURRENCY),
        Column("referred_by", "id", "the customer who referred this one"),
        Column("region", "label", "where the customer lives"),
        Column("age_group", "label", "such as 30-39"),
        Column("marketing_consent", "yes", "whether marketing is allowed; never a feature"),
    ),
    clean=(
        _CUSTOMER,
        _given("registered_at", "moment"),
        _given("valid_from", "moment"),
        _day("event_day", "day of valid_from, else of registered_at, else null", nullable=True),
        _day("known_day", "the same as event_day; null: undated", nullable=True),
        _day("registered_day", "day of registered_at", nullable=True),
        _given("acquisition_channel", "text"),
        _e4("acquisition_cost"),
        _given("referred_by", "id"),
        _given("region", "text"),
        _given("age_group", "text"),
        _given("marketing_consent", "flag"),
        CleanColumn("attributes", "text", meaning="the file's other columns: JSON, sorted keys"),
    ),
    key=("customer_id", "valid_from"),
)

_INTERACTIONS = TableContract(
    row="anything else that a customer did or said",
    rows="interactions",
    time="at",
    columns=(
        _id("who"),
        Column("at", "moment", "when", required=True),
        Column("kind", "kind", "what: one of the contract's kinds", required=True),
        Column("value", "money", "a survey's score, a visit's seconds, units used", "the kind's"),
        Column("topic", "label", "what it was about"),
        Column("cost", "money", "what it cost us", _CURRENCY),
        Column("channel", "label", "where"),
        _ARRIVED,
    ),
    clean=(
        _CUSTOMER,
        _at("at"),
        _ARRIVED_CLEAN,
        _EVENT_DAY,
        _KNOWN_DAY,
        CleanColumn("kind", "text", nullable=False, source="kind", among=KINDS),
        _e4("value"),
        _given("topic", "text"),
        _e4("cost"),
        _given("channel", "text"),
    ),
)

_TREATMENTS = TableContract(
    row="what we assigned to a customer",
    rows="treatments",
    time="at",
    columns=(
        _id("who"),
        Column("at", "moment", "when it was assigned", required=True),
        Column("action", "label", "what was assigned, or withheld in the control", required=True),
        Column("arm", "arm", "treated or control: the assignment, not the receipt", required=True),
        Column("propensity", "share", "the chance that this arm had", "probability"),
        Column("cost", "money", "what it cost us", _CURRENCY),
        Column("campaign", "label", "the campaign"),
        Column("decision_id", "code", "the decision that it carried out"),
        _ARRIVED,
    ),
    clean=(
        _CUSTOMER,
        _at("at"),
        _ARRIVED_CLEAN,
        _EVENT_DAY,
        _KNOWN_DAY,
        CleanColumn("action", "text", nullable=False, source="action"),
        CleanColumn("arm", "text", nullable=False, source="arm", among=ARMS),
        CleanColumn("propensity", "number", source="propensity", within=(0.0, 1.0)),
        _e4("cost"),
        _given("campaign", "text"),
        _given("decision_id", "text"),
    ),
)

_CONTRACTS = TableContract(
    row="a subscription term",
    rows="terms",
    time="starts_at",
    columns=(
        _id("who"),
        Column("contract_id", "code", "the subscription; its terms share it", required=True),
        Column("starts_at", "moment", "when the term starts", required=True),
        Column("ends_at", "moment", "when the term ends, as agreed by arrived_at; absent: open"),
        Column("renewed_at", "moment", "when it was renewed"),
        Column("cancelled_at", "moment", "when it was cancelled"),
        Column("fee", "money", "what the term costs the customer", _CURRENCY),
        Column("plan", "label", "what was subscribed"),
        _ARRIVED,
    ),
    clean=(
        _CUSTOMER,
        CleanColumn("contract_id", "text", nullable=False, source="contract_id"),
        _at("starts_at"),
        _given("ends_at", "moment"),
        _given("renewed_at", "moment"),
        _given("cancelled_at", "moment"),
        _ARRIVED_CLEAN,
        _day("event_day", "day on which the term starts"),
        _KNOWN_DAY,
        _day("ends_day", "day of ends_at", nullable=True),
        _day("renewed_day", "day of renewed_at", nullable=True),
        _day("cancelled_day", "day of cancelled_at", nullable=True),
        _e4("fee"),
        _given("plan", "text"),
    ),
    key=("customer_id", "contract_id", "starts_at", "arrived_at"),
)

CONTRACT: Final[dict[Table, TableContract]] = {
    "orders": _ORDERS,
    "customers": _CUSTOMERS,
    "interactions": _INTERACTIONS,
    "treatments": _TREATMENTS,
    "contracts": _CONTRACTS,
}
"""The five tables."""
