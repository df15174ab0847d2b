"""Online Retail II as it was exported, read as a person would."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from ingesting import check_sums, ingest

from features.ingest.ledger import IngestReport, Ledger
from features.workspace import Workspace

ONLINE_RETAIL = (
    Path(__file__).parents[1] / "../shared/data/online_retail_ii_2009_2011.parquet"
).resolve()
ONLINE_RETAIL_MAPPING = {
    "customer_id": "Customer ID",
    "ordered_at": "InvoiceDate",
    "quantity": "Quantity",
    "unit_price": "Price",
    "order_id": "Invoice",
    "category": "StockCode",
}


@pytest.fixture(scope="module")
def retail(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ledger, IngestReport]:
    if not ONLINE_RETAIL.is_file():
        pytest.skip(f"{ONLINE_RETAIL.name} is not beside the repository")
    workspace = Workspace(tmp_path_factory.mktemp("retail"))
    report = ingest(workspace, ONLINE_RETAIL, ONLINE_RETAIL_MAPPING)
    return Ledger(workspace), report


def test_online_retail_gives_the_published_counts(retail: tuple[Ledger, IngestReport]) -> None:
    ledger, report = retail
    expected = {
        "rows_in": 619_888,
        "kept": 480_912,
        "merged": 0,
        "quarantined": 138_976,
        "no_customer": 138_976,
    }
    assert {name: report.counts[name] for name in expected} == expected
    assert report.totals["customers"] == 4_667
    assert (ledger.first_day, ledger.last_day) == (date(2009, 12, 1), date(2011, 3, 10))
    cancelled = pl.read_parquet(ledger.orders_path)["order_key"].str.starts_with("C").sum()
    set_aside = pl.read_parquet(next((ledger.workspace.data / "quarantine").iterdir()))
    assert cancelled + set_aside["Invoice"].str.starts_with("C").sum() == 12_019
    check_sums(ledger)


def test_online_retail_money_equals_an_independent_sum(
    retail: tuple[Ledger, IngestReport],
) -> None:
    ledger, report = retail
    raw = pd.read_parquet(ONLINE_RETAIL).dropna(subset=["Customer ID"])
    # Prices have at most three decimals, so thousandths are exact integers.
    thousandths = (raw["Price"] * 1000).round().astype("int64")
    raw["e4"] = raw["Quantity"] * thousandths * 10
    by_customer = raw.groupby("Customer ID")["e4"].sum()
    lines = pl.read_parquet(ledger.orders_path)
    ours = lines.group_by("customer_id").agg(pl.sum("amount_e4")).sort("customer_id")
    assert ours["customer_id"].to_list() == [int(customer) for customer in by_customer.index]
    assert ours["amount_e4"].to_list() == by_customer.to_list()
    assert report.counts["returns"] == int((raw["e4"] < 0).sum())
    orders = raw[["Customer ID", "Invoice"]].drop_duplicates()
    assert report.totals["orders"] == len(orders)


def test_online_retail_is_told_of_as_a_person_would(
    retail: tuple[Ledger, IngestReport],
) -> None:
    _, report = retail
    told = " ".join(report.sentences())
    for said in (
        "480,912 kept, 0 already there, 138,976 quarantined (138,976 no customer).",
        "returns and cancellations (negative amounts, counted on their own day): 11,580",
        "amounts of zero (kept, but no purchase): 37",
        "non-products such as postage (money, but no category): 2,118 such as 'POST, M, C2, D,",
        "repeats of another line (kept: it happened twice): 7,478",
        "The quarantined rows come to 1,484,880.51 net, the readable ones to 9,695,865.54.",
        "The readable lines run from -77,183.60 to 77,183.60",
        "without an earlier sale of their category to that customer: 1,426",
        "480,912 lines in 27,378 orders of 4,667 customers, from 2009-12-01 to 2011-03-10",
    ):
        assert said in told
