"""What was known of a company by the end of a day, in the few tables that a report is made of.

Every row had happened and arrived by then: a report of a past day says what it would have said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import polars as pl

from features.days import day_number
from features.definitions.expressions import UNIT_E4
from features.ingest.contract import Table
from features.ingest.ledger import Ledger
from pipelines.report.periods import Period, placed

PASSIVE = ("impression", "email_open", "event", "complaint_resolved")
"""Kinds of interaction that nobody did on purpose; all others are engagement."""


@dataclass(frozen=True)
class Known:
    """The tables of a workspace as they were known by the end of a day.

    Attributes
    ----------
    orders
        A row an order: ``customer_id``, ``order_key``, ``event_day`` (days since 1970), ``net``
        and ``margin`` (currency), ``channel``, ``discounted`` (null where no line records a
        discount), ``purchase`` (whether the amount is positive).
    lines
        Order lines with a category: ``customer_id``, ``event_day``, ``category``; of purchases.
    interactions, treatments, contracts, customers
        Their clean rows, None where the table was never ingested.
    margin
        What is left of a sale whose cost of goods is not recorded, as a share.
    """

    as_of: date
    first_day: date
    margin: float
    orders: pl.DataFrame
    lines: pl.LazyFrame
    customers: pl.DataFrame | None
    interactions: pl.LazyFrame | None
    treatments: pl.DataFrame | None
    contracts: pl.DataFrame | None

    @classmethod
    def read(cls, ledger: Ledger, as_of: date, margin: float) -> Known:
        """Read what a ledger's tables say by the end of a day."""
        until = day_number(as_of)

        def rows(table: Table) -> pl.LazyFrame | None:
            path = ledger.path(table)
            if path is None:
                return None
            undated = pl.col("known_day").is_null()
            return pl.scan_parquet(path).filter(undated | (pl.col("known_day") <= until))

        lines = pl.scan_parquet(ledger.orders_path).filter(pl.col("known_day") <= until)
        customers, treatments, contracts = (
            found.collect() if (found := rows(table)) is not None else None
            for table in ("customers", "treatments", "contracts")
        )
        return cls(
            as_of,
            ledger.first_day_known_by(as_of),
            margin,
            _orders(lines, margin),
            lines.filter(
                pl.col("category").is_not_null(), pl.col("is_product"), pl.col("amount_e4") > 0
            ).select("customer_id", "event_day", "category"),
            None if customers is None else _newest(customers),
            rows("interactions"),
            treatments,
            contracts,
        )

    @cached_property
    def purchases(self) -> pl.DataFrame:
        """Orders with a positive amount, with ``first_day`` of their customer."""
        return self.orders.filter("purchase").with_columns(
            first_day=pl.col("event_day").min().over("customer_id")
        )

    @cached_property
    def purchase_days(self) -> pl.DataFrame:
        """Days on which a customer bought, in their order.

        ``customer_id``, ``event_day``, ``former_day`` (null on the first), ``next_day`` (null on
        the last), ``net`` of the day's purchases. Orders of one day are one occasion.
        """
        return (
            self.purchases.group_by("customer_id", "event_day")
            .agg(pl.col("net").sum())
            .sort("customer_id", "event_day")
            .with_columns(
                former_day=pl.col("event_day").shift(1).over("customer_id"),
                next_day=pl.col("event_day").shift(-1).over("customer_id"),
            )
        )

    @cached_property
    def firsts(self) -> pl.DataFrame:
        """A row a buyer: ``customer_id``, ``first_day``, ``first_net``, ``second_day``."""
        return self.purchase_days.filter(pl.col("former_day").is_null()).select(
            "customer_id", first_day="event_day", first_net="net", second_day="next_day"
        )

    @cached_property
    def people(self) -> pl.DataFrame:
        """A row for everybody known: ``customer_id``, ``known_since`` (day), ``first_day``.

        Who never bought is known since they registered or did something.
        """
        seen = [self.orders.select("customer_id", since="event_day")]
        if self.customers is not None:
            seen.append(self.customers.select("customer_id", since="registered_day"))
        if self.interactions is not None:
            seen.append(
                self.interactions.group_by("customer_id")
                .agg(since=pl.col("event_day").min())
                .collect()
            )
        return (
            pl.concat(seen)
            .group_by("customer_id")
            .agg(known_since=pl.col("since").min())
            .join(self.firsts.select("customer_id", "first_day"), on="customer_id", how="left")
        )

    def within(self, rows: pl.DataFrame, periods: Sequence[Period]) -> pl.DataFrame:
        """Keep rows whose ``event_day`` is in a period, and say in which: ``period``."""
        return rows.lazy().join(placed(periods), on="event_day", how="inner").collect()

    def happened(self, kinds: Sequence[str]) -> pl.DataFrame | None:
        """Read interactions of some kinds; None where the table or all of the kinds is missing."""
        if self.interactions is None:
            return None
        rows = self.interactions.filter(pl.col("kind").is_in(list(kinds))).collect()
        return rows if rows.height else None


def _orders(lines: pl.LazyFrame, margin: float) -> pl.DataFrame:
    amount, cost = pl.col("amount_e4"), pl.col("cost_e4")
    # Goods that come back bring their cost back, whatever sign the export gives it.
    goods = pl.when(amount < 0).then(-cost.abs()).otherwise(cost)
    left = pl.when(cost.is_null()).then(amount * margin).otherwise(amount - goods)
    return (
        lines.with_columns(_left=left)
        .group_by("customer_id", "order_key", "event_day")
        .agg(
            net_e4=amount.sum(),
            margin=pl.col("_left").sum() / UNIT_E4,
            channel=pl.col("channel").drop_nulls().first(),
            discounted=(pl.col("discount_e4") > 0).any(),
            noted=pl.col("discount_e4").is_not_null().any(),
        )
        .select(
            "customer_id",
            "order_key",
            "event_day",
            "margin",
            "channel",
            net=pl.col("net_e4") / UNIT_E4,
            discounted=pl.when("noted").then("discounted"),
            purchase=pl.col("net_e4") > 0,
        )
        .collect()
    )


def _newest(rows: pl.DataFrame) -> pl.DataFrame:
    """Keep the newest word on each customer, and the earliest registration."""
    return (
        rows.sort("valid_from", nulls_last=False)
        .group_by("customer_id")
        .agg(
            pl.col("registered_day").min(),
            pl.col("acquisition_channel").drop_nulls().last(),
            cost=pl.col("acquisition_cost_e4").drop_nulls().last() / UNIT_E4,
            referred_by=pl.col("referred_by").drop_nulls().last(),
        )
    )
