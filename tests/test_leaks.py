"""Nothing that happened or arrived after a day is in its features, and who lets it in is caught."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import narwhals as nw
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_shops import (
    AS_OF,
    INTEGERS,
    RULES,
    TODAY,
    Row,
    Shop,
    full_shops,
    moment,
    of_one_key,
    random_shop,
    searching,
    seeds,
    shops,
    write,
)

import features.computing
import features.definitions.customers
from features.audit import LeakError, check_no_leak
from features.computing import compute_snapshot
from features.definitions import contracts, customers, history, interactions, treatments
from features.definitions.expressions import Frame, known_by
from features.engines import EngineName, engine
from features.ingest.contract import TABLES, Table
from features.settings import Settings
from features.workspace import Workspace
from pipelines.context import Context
from pipelines.train import train_scorer

Filter = Callable[[Frame, int], Frame]

MODULES: dict[Table, Any] = {
    "orders": history,
    "interactions": interactions,
    "treatments": treatments,
    "contracts": contracts,
    "customers": customers,
}


def snapshot(shop: Shop, folder: Path, name: EngineName = "polars") -> pa.Table:
    paths = write(shop, folder)
    with engine(name) as opened:
        return compute_snapshot(opened, paths, AS_OF, RULES)


def judged(shop: Shop, folder: Path, name: EngineName = "polars") -> None:
    """Compute the features of a day from all that there is, and look for leaks."""
    retrieved = snapshot(shop, folder, name)
    check_no_leak(
        {table: folder / f"{table}.parquet" for table in shop}, retrieved, AS_OF, name, RULES
    )


# Planted leaks.


def sees_everything(rows: Frame, as_of_day: int) -> Frame:
    return rows


def forgets_arrivals(rows: Frame, as_of_day: int) -> Frame:
    return rows.filter(nw.col("event_day") <= as_of_day)


def sees_the_next_day(rows: Frame, as_of_day: int) -> Frame:
    return rows.filter(nw.col("known_day") <= as_of_day + 1)


def of_somebody_known(rows: list[Row]) -> list[Row]:
    """Give every customer a row of long ago, so that a leak changes features and no customers."""
    first = [row for row in rows if row["known_day"] is not None and row["known_day"] < TODAY]
    return [
        *({**first[0], "customer_id": key, "referred_by": None} for key in INTEGERS),
        *rows,
    ]


def leaky_shop(table: Table, seed: int = 4) -> Shop:
    """A shop in which much of a table happens or arrives on the days after."""
    shop = random_shop(seed, 200)
    shop[table] = of_one_key(table, of_somebody_known(shop[table]))
    # At least a row that happened before and arrived on the day after, and one that happened then.
    late = [row for row in shop[table] if row["event_day"] is not None and row["event_day"] < TODAY]
    if table == "customers":
        late = [row for row in late if row["valid_from"] is not None]
    tomorrow = {"known_day": TODAY + 1, "arrived_at": moment(TODAY + 1)}
    own = {"event_day": TODAY + 1, "known_day": TODAY + 1, "valid_from": moment(TODAY + 1, 7)}
    news = own if table == "customers" else tomorrow
    shop[table] = of_one_key(table, [*shop[table], *(row | news for row in late[:20])])
    return shop


NAMED = r"feature {} of customer -?\d+ on 2024-05-31 is .*, but .* without what came later"


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("leak", [sees_everything, forgets_arrivals, sees_the_next_day])
def test_a_planted_leak_is_caught(
    table: Table, leak: Filter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if table == "customers" and leak is forgets_arrivals:
        pytest.skip("a row about a customer has no arrival of its own")
    shop: Shop = {table: leaky_shop(table)[table]}
    name = "spoken_by" if table == "customers" else "known_by"
    monkeypatch.setattr(MODULES[table], name, leak)
    with pytest.raises(LeakError, match=NAMED.format(r"\w+")):
        judged(shop, tmp_path)


def test_a_leak_into_the_responses_to_treatments_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Orders have a second way into the features, which must be as blind as the first."""

    def sees_orders_to_come(rows: Frame, as_of_day: int) -> Frame:
        is_orders = "amount_e4" in rows.collect_schema().names()
        return forgets_arrivals(rows, as_of_day) if is_orders else known_by(rows, as_of_day)

    shop = leaky_shop("orders", seed=2)
    monkeypatch.setattr(treatments, "known_by", sees_orders_to_come)
    with pytest.raises(LeakError, match=NAMED.format("treatment_response_rate")):
        judged(shop, tmp_path)


def test_a_cancellation_that_is_yet_to_come_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def knows_the_end(rows: Frame, as_of_day: int) -> Frame:
        return contracts.contract_facts(known_by(rows, as_of_day), as_of_day + 60)

    shop = random_shop(4, 150)
    monkeypatch.setattr(features.computing, "contract_facts", knows_the_end)
    with pytest.raises(LeakError, match=NAMED.format(r"contract\w*")):
        judged(shop, tmp_path)


def test_what_is_true_of_a_customer_today_is_caught_in_the_past(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Taking every attribute for static is a leak that no day gives away."""

    def takes_todays(name: str, static: object) -> nw.Expr:
        return nw.coalesce(f"{name}_dated", f"{name}_static").alias(name)

    shop = random_shop(4, 150)
    undated = dict.fromkeys(("valid_from", "registered_at", "registered_day", "event_day"))
    row = shop["customers"][0] | undated | {"known_day": None, "acquisition_channel": "ad"}
    shop["customers"] = [row | {"customer_id": key} for key in INTEGERS]
    monkeypatch.setattr(features.definitions.customers, "_attribute", takes_todays)
    with pytest.raises(LeakError, match=NAMED.format("acquisition_channel")):
        judged(shop, tmp_path)


def test_a_customer_who_was_not_known_yet_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shop = random_shop(4, 100, tables=("orders",))
    shop["orders"].append(
        shop["orders"][0] | {"customer_id": 99, "event_day": TODAY + 9, "known_day": TODAY + 9}
    )
    monkeypatch.setattr(history, "known_by", sees_everything)
    with pytest.raises(LeakError, match=r"features of 2024-05-31 hold 6 .* 5 .*customer 99 makes"):
        judged(shop, tmp_path)


@searching(4)
@given(shop=shops)
def test_honest_features_raise_no_alarm(shop: Shop, tmp_path: Path):
    judged(shop, tmp_path)


@pytest.mark.parametrize("table", TABLES)
def test_honest_features_of_what_a_leak_would_see_raise_no_alarm(table: Table, tmp_path: Path):
    judged({table: leaky_shop(table)[table]}, tmp_path)


def test_honest_features_raise_no_alarm_on_duckdb(tmp_path: Path):
    judged(random_shop(9, 100, tables=("orders", "customers")), tmp_path, "duckdb")


# Laws.


def with_news(shop: Shop, later: Shop) -> Shop:
    """Add what happened or arrived after the day, some of it announced long before."""
    both: Shop = {}
    for table, rows in shop.items():
        news = [row for row in later[table] if (row["known_day"] or 0) > TODAY]
        others = later[table][:3] if table != "customers" else []
        happens = {"event_day": TODAY + 3, "known_day": TODAY + 3}
        arrives = {"known_day": TODAY + 1, "arrived_at": moment(TODAY + 1, 5)}
        # An advance order is not known to have happened, however early the row came.
        news += [row | happens | {"known_day": TODAY - 3} for row in others]
        news += [row | arrives | {"event_day": TODAY - 3} for row in others]
        # Of two rows with one key the ledger keeps one, so news never replace.
        both[table] = of_one_key(table, [*news, *rows])
    return both


@searching(4)
@given(shop=full_shops, seed=seeds)
def test_what_happens_or_arrives_later_changes_no_bit(shop: Shop, seed: int, tmp_path: Path):
    keys = sorted({row["customer_id"] for rows in shop.values() for row in rows})
    later = random_shop(seed, 40, [*keys, *keys])
    before = snapshot(shop, tmp_path)
    assert snapshot(with_news(shop, later), tmp_path).equals(before)


@pytest.mark.full
@searching(150)
@given(shop=shops, seed=seeds, name=st.sampled_from(["polars", "duckdb"]))
def test_what_happens_or_arrives_later_changes_no_bit_at_length(
    shop: Shop, seed: int, name: EngineName, tmp_path: Path
):
    keys = sorted({row["customer_id"] for rows in shop.values() for row in rows})
    before = snapshot(shop, tmp_path, name)
    later = with_news(shop, random_shop(seed, 60, [*keys, *keys]))
    assert snapshot(later, tmp_path, name).equals(before)


@pytest.mark.parametrize("table", TABLES)
def test_the_later_rows_of_a_busy_table_change_no_bit(table: Table, tmp_path: Path):
    shop = random_shop(21, 400)
    known = [r for r in shop[table] if r["known_day"] is None or r["known_day"] <= TODAY]
    assert len(known) < len(shop[table])
    cut: Shop = {**shop, table: known}
    assert snapshot(cut, tmp_path).equals(snapshot(shop, tmp_path))


# What a training is given.

JUNE = date(2024, 6, 30)


def test_a_definition_that_looks_ahead_stops_the_training(
    ingested: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root = shutil.copytree(ingested, tmp_path / "w")
    values = {"training": {"trials": 0, "max_snapshots": 2}, "churn": {"horizon_days": 60}}
    context = Context(Workspace(root), Settings.load(overrides=values))
    monkeypatch.setattr(history, "known_by", sees_the_next_day)
    named = r"feature \w+ of customer \d+ on 2024-0[56]-\d\d is .* it looks into the future"
    with pytest.raises(LeakError, match=named):
        train_scorer(context, JUNE)


def one_value_changed(table: pa.Table, column: str) -> pa.Table:
    """Add one to the last customer's value and keep everything else."""
    *values, last = table[column].to_pylist()
    place, field = table.column_names.index(column), table.schema.field(column)
    return table.set_column(place, field, pa.array([*values, last + 1], field.type))


def last_row_lost(table: pa.Table, _: str) -> pa.Table:
    return table.slice(0, table.num_rows - 1)


@pytest.mark.parametrize(
    ("tamper", "column", "message"),
    [
        (one_value_changed, "spend_net", "feature spend_net of customer 1099511627776 on"),
        (one_value_changed, "customer_id", "customer 1099511627776 makes a difference"),
        (last_row_lost, "", "hold 4 customers, 5 were known"),
    ],
)
def test_features_that_were_tampered_with_are_found_out(
    tamper: Callable[[pa.Table, str], pa.Table], column: str, message: str, tmp_path: Path
):
    shop = random_shop(5, 100)
    altered = tamper(snapshot(shop, tmp_path), column)
    paths: dict[Table, Path] = {table: tmp_path / f"{table}.parquet" for table in shop}
    with pytest.raises(LeakError, match=message):
        check_no_leak(paths, altered, AS_OF, "polars", RULES)
