"""What online and offline say of customers, in words that show every bit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import pyarrow as pa

from features import catalogue
from features.store import FeatureStore

Told = dict[int | str, dict[str, str]]


def told(value: Any) -> str:
    """Write a value with its type and all its bits."""
    return f"float {value.hex()}" if isinstance(value, float) else repr(value)


def online(store: FeatureStore, customers: Sequence[int | str]) -> Told:
    """Read rows through Feast."""
    answer = store.online_reader().rows(list(customers))
    return {
        customer: {name: told(answer[name][place]) for name in catalogue.NAMES}
        for place, customer in enumerate(customers)
    }


def rows_of(table: pa.Table) -> Told:
    """The same of a table."""
    return {
        row["customer_id"]: {name: told(row[name]) for name in catalogue.NAMES}
        for row in table.to_pylist()
    }


def offline(store: FeatureStore, days: dict[int | str, date], **how: bool) -> Told:
    """Retrieve each customer's row as of its day."""
    kind = pa.int64() if store.key_type == "integer" else pa.string()
    return rows_of(store.historical(pa.array(list(days), kind), list(days.values()), **how))
