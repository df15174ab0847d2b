"""Features mean what plain Python makes of the same history, on every engine and any way there."""

from __future__ import annotations

import itertools
import math
import random
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import narwhals as nw
import pyarrow as pa
import pytest
from features_in_plain_python import differences, expected_features
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
    random_shop,
    searching,
    seeds,
    shops,
    write,
)

from features import catalogue
from features.computing import Part, compute, compute_snapshot, open_tables, parts_of
from features.days import closing, day_of
from features.definitions.expressions import as_float, spread
from features.definitions.history import OrderHistory
from features.definitions.orders import NLOGN_PARTS
from features.definitions.rows import Rules, said_by
from features.engines import Engine, EngineName, engine
from features.history_files import HistoryFiles
from features.ingest.contract import TABLES, Table

ENGINES: tuple[EngineName, ...] = ("polars", "duckdb")
EACH = ["polars", pytest.param("duckdb", marks=pytest.mark.full)]
"""Engines for a law that holds on one, if the engines agree: which is tested by itself."""


def snapshot(
    shop: Mapping[Table, Sequence[Row]],
    folder: Path,
    name: EngineName = "polars",
    as_of: int = TODAY,
    rules: Rules = RULES,
    *,
    sort: bool = True,
) -> pa.Table:
    paths = write(shop, folder, sort=sort)
    with engine(name) as opened:
        return compute_snapshot(opened, paths, day_of(as_of), rules)


def assert_right(table: pa.Table, shop: Shop, today: int = TODAY, rules: Rules = RULES) -> None:
    expected = expected_features(shop, today, rules)
    assert not differences(table.to_pylist(), expected, catalogue.NAMES)


# What plain Python makes of it.


@searching(15)
@given(shop=shops)
def test_every_feature_is_what_plain_python_makes_of_the_history(shop: Shop, tmp_path: Path):
    assert_right(snapshot(shop, tmp_path), shop)


@searching(4)
@given(shop=shops)
def test_duckdb_agrees_with_plain_python_and_with_polars_to_the_bit(shop: Shop, tmp_path: Path):
    found = snapshot(shop, tmp_path, "duckdb")
    assert_right(found, shop)
    assert found.equals(snapshot(shop, tmp_path))


@pytest.mark.full
@searching(300)
@given(shop=shops, ago=st.sampled_from([0, 0, 1, 30, 365, 800]))
def test_every_feature_on_both_engines_at_length(shop: Shop, ago: int, tmp_path: Path):
    found = [snapshot(shop, tmp_path, name, TODAY - ago) for name in ENGINES]
    assert_right(found[0], shop, TODAY - ago)
    assert found[0].equals(found[1])


@pytest.mark.parametrize("name", ENGINES)
def test_a_busy_shop(name: EngineName, tmp_path: Path):
    """Thousands of rows of few customers: sums that floats would round, many ties."""
    shop = random_shop(5, 3000)
    assert_right(snapshot(shop, tmp_path, name), shop)


# Any way there.


def carried(
    opened: Engine, paths: Mapping[Table, Path], days: Sequence[int], part: Part | None = None
) -> list[tuple[pa.Table, OrderHistory | None]]:
    frames = open_tables(opened, paths, part or Part())
    steps = compute(opened, frames, [day_of(day) for day in days], RULES, part)
    return [(table, history) for _, table, history in steps]


some_days = st.lists(
    st.sampled_from([-500, -366, -365, -120, -41, -40, -30, -14, -2, -1, 0, 20, 300]),
    min_size=2,
    max_size=4,
    unique=True,
).map(lambda ago: [TODAY + days for days in sorted(ago)])


def assert_carrying_is_computing_anew(
    shop: Shop, days: Sequence[int], name: EngineName, folder: Path
) -> None:
    paths = write(shop, folder)
    with engine(name) as opened:
        for day, (table, _) in zip(days, carried(opened, paths, days), strict=True):
            anew = compute_snapshot(opened, paths, day_of(day), RULES)
            assert table.equals(anew), day_of(day)


orders_only = st.builds(
    random_shop,
    seeds,
    st.sampled_from((10, 60, 200)),
    tables=st.just(("orders",)),
    whole=st.booleans(),
)


@searching(5)
@given(shop=orders_only, days=some_days)
def test_going_on_from_a_former_day_is_computing_anew(shop: Shop, days: list[int], tmp_path: Path):
    assert_carrying_is_computing_anew(shop, days, "polars", tmp_path)


@searching(1)
@given(shop=orders_only, days=some_days)
def test_going_on_is_computing_anew_on_duckdb(shop: Shop, days: list[int], tmp_path: Path):
    assert_carrying_is_computing_anew(shop, days[:3], "duckdb", tmp_path)


@pytest.mark.full
@searching(100)
@given(shop=shops, days=some_days, name=st.sampled_from(ENGINES))
def test_going_on_is_computing_anew_at_length(
    shop: Shop, days: list[int], name: EngineName, tmp_path: Path
):
    assert_carrying_is_computing_anew(shop, days, name, tmp_path)


def test_going_on_day_by_day_is_computing_anew(tmp_path: Path):
    shop = random_shop(8, 150, tables=("orders",))
    days = [TODAY - 60, *range(TODAY - 45, TODAY - 41), TODAY]
    assert_carrying_is_computing_anew(shop, days, "polars", tmp_path)


@searching(2)
@given(shop=full_shops, days=some_days, sizes=st.lists(st.integers(1, 40), min_size=2, max_size=2))
def test_a_history_read_back_in_other_parts_goes_on_the_same(
    shop: Shop, days: list[int], sizes: list[int], tmp_path: Path
):
    paths = write(shop, tmp_path / "ledger")
    first, last = day_of(days[0]), day_of(days[-1])
    files = HistoryFiles(Path(tempfile.mkdtemp(dir=tmp_path)), lambda day: f"key of {day}")
    with engine("polars") as opened:
        with files.saving(first) as kept:
            for part in parts_of(paths["orders"], sizes[0]):
                ((_, history),) = carried(opened, paths, days[:1], part)
                assert history is not None
                kept.write(history)
        assert files.newest(last) == first
        tables = []
        for part in parts_of(paths["orders"], sizes[1]):
            later = [day_of(day) for day in days[1:]]
            frames = open_tables(opened, paths, part, [first, *later])
            history = files.read(first, part)
            *_, (_, table, _) = compute(opened, frames, later, RULES, part, history)
            tables.append(table)
        anew = compute_snapshot(opened, paths, last, RULES)
    assert pa.concat_tables(tables).combine_chunks().equals(anew)


@pytest.mark.parametrize("name", EACH)
def test_parts_of_any_size_are_one_part(name: EngineName, tmp_path: Path):
    shop = random_shop(11, 60)
    paths = write(shop, tmp_path)
    with engine(name) as opened:
        whole = compute_snapshot(opened, paths, AS_OF, RULES)
        for size in (4, 1000) if name == "polars" else (40,):
            parts = parts_of(paths["orders"], size)
            assert (len(parts) > 1) == (size < 1000)
            tables = [carried(opened, paths, [TODAY], part)[0][0] for part in parts]
            assert pa.concat_tables(tables).combine_chunks().equals(whole)


@pytest.mark.parametrize("name", EACH)
def test_rows_in_any_order_give_the_same_bits(name: EngineName, tmp_path: Path):
    shop = random_shop(12, 200)
    usual = snapshot(shop, tmp_path, name)
    for seed in range(2 if name == "polars" else 1):
        rng = random.Random(seed)
        shuffled: Shop = {table: rng.sample(rows, len(rows)) for table, rows in shop.items()}
        assert snapshot(shuffled, tmp_path, name, sort=False).equals(usual)


NAMED: dict[Any, str] = {key: f"k{n}" for n, key in enumerate(INTEGERS)}


@searching(2)
@given(seed=seeds)
@pytest.mark.parametrize("name", EACH)
def test_keys_of_text_give_what_integers_do(seed: int, name: EngineName, tmp_path: Path):
    shop = random_shop(seed, 40)
    named: Shop = {
        table: [
            row
            | {"customer_id": NAMED[row["customer_id"]]}
            | ({"referred_by": NAMED.get(row["referred_by"])} if table == "customers" else {})
            for row in rows
        ]
        for table, rows in shop.items()
    }
    integers = snapshot(shop, tmp_path / "integers", name)
    texts = snapshot(named, tmp_path / "texts", name)
    assert texts["customer_id"].to_pylist() == [
        NAMED[k] for k in integers["customer_id"].to_pylist()
    ]
    assert texts.drop(["customer_id"]).equals(integers.drop(["customer_id"]))


def test_only_days_count_and_which_of_two_versions_is_newer(tmp_path: Path):
    """Zones and daylight saving end at the ledger's days: other moments of it change no bit."""
    shop = random_shop(13, 100)
    hours = timedelta(hours=9, minutes=30)
    elsewhere: Shop = {
        table: [
            {n: v + hours if n.endswith("_at") or (n in ("at", "valid_from") and v) else v
             for n, v in row.items() if v is not None or not n.endswith("_at")}
            | {n: None for n, v in row.items() if v is None}
            for row in rows
        ]
        for table, rows in shop.items()
    }  # fmt: skip
    assert elsewhere["orders"][0]["ordered_at"] != shop["orders"][0]["ordered_at"]
    assert snapshot(elsewhere, tmp_path).equals(snapshot(shop, tmp_path))


@pytest.mark.parametrize(
    ("name", "tables", "customer"),
    [
        ("polars", TABLES, 7),
        ("polars", ("orders",), "A-7"),
        ("polars", ("customers", "contracts"), "A-7"),
        ("duckdb", TABLES, "A-7"),
        ("duckdb", ("orders",), 7),
    ],
)
def test_a_snapshot_has_the_catalogues_columns_and_types(
    name: EngineName, customer: int | str, tables: tuple[Table, ...], tmp_path: Path
):
    shop = {table: [known(table, 1, customer_id=customer)] for table in tables}
    for day, rows in ((TODAY, 1), (TODAY - 1000, 0)):
        table = snapshot(shop, tmp_path, name, day)
        assert table.num_rows == rows
        assert table.column_names == ["customer_id", *catalogue.NAMES, "event_timestamp"]
        types = {"count": pa.int64(), "measure": pa.float64(), "category": pa.string()}
        for feature in catalogue.FEATURES:
            assert table.schema.field(feature.name).type == types[feature.kind], feature.name
        key = pa.string() if isinstance(customer, str) else pa.int64()
        assert table.schema.field("customer_id").type == key
        assert table.schema.field("event_timestamp").type == pa.timestamp("us", tz="UTC")
        assert set(table["event_timestamp"].to_pylist()) <= {closing(day_of(day))}


# Histories whose answer a person can see.


EMPTY: dict[Table, Row] = {
    "orders": {
        "order_key": "A", "amount_e4": 100_000, "quantity": 1.0, "discount_e4": 25_000,
        "cost_e4": None, "category": "tea", "channel": "web", "is_product": True,
    },
    "interactions": {"kind": "visit", "value_e4": None, "topic": None, "cost_e4": None,
                     "channel": None},
    "treatments": {"action": "call", "arm": "treated", "propensity": None, "cost_e4": None,
                   "campaign": None, "decision_id": None},
    "contracts": {"contract_id": "c", "ends_at": None, "ends_day": None, "renewed_at": None,
                  "renewed_day": None, "cancelled_at": None, "cancelled_day": None,
                  "fee_e4": None, "plan": None},
    "customers": {"registered_at": None, "registered_day": None, "acquisition_channel": None,
                  "acquisition_cost_e4": None, "referred_by": None, "region": None,
                  "age_group": None, "marketing_consent": None, "attributes": None},
}  # fmt: skip
TIMES: dict[Table, str] = {
    "orders": "ordered_at", "interactions": "at", "treatments": "at", "contracts": "starts_at",
    "customers": "valid_from",
}  # fmt: skip


def known(table: Table, ago: int | None, **changes: Any) -> Row:
    """A row of something some days ago, or without a day, and known since."""
    day = None if ago is None else TODAY - ago
    at = None if day is None else moment(day)
    row = {"customer_id": 7, **EMPTY[table], TIMES[table]: at, "event_day": day, "known_day": day}
    if table != "customers":
        row["arrived_at"] = at
    return row | changes


def line(ago: int = 10, **changes: Any) -> Row:
    return known("orders", ago, **changes)


def happened(ago: int, kind: str, **changes: Any) -> Row:
    return known("interactions", ago, kind=kind, **changes)


def treated(ago: int, **changes: Any) -> Row:
    return known("treatments", ago, **changes)


def term(ago: int, **changes: Any) -> Row:
    return known("contracts", ago, **changes)


def customer(ago: int | None, **changes: Any) -> Row:
    return known("customers", ago, **changes)


def registering(ago: int) -> Row:
    return {"registered_at": moment(TODAY - ago), "registered_day": TODAY - ago}


SALE, REFUND = line(10), line(4, amount_e4=-100_000)


@pytest.mark.parametrize(
    ("shop", "says"),
    [
        pytest.param(
            {"orders": [SALE, REFUND]},
            {"purchases": 1, "spend_gross": 10.0, "spend_net": 0.0, "returns": 1,
             "recency_days": 10, "days_since_return": 4, "discount_share": 0.2},
            id="a return on a later day rewrites nothing of the sale",
        ),
        pytest.param(
            {"orders": [SALE, line(10, amount_e4=-100_000)]},
            {"purchases": 0, "spend_gross": 0.0, "recency_days": None, "returns": 1},
            id="an order cancelled on its own day was no purchase",
        ),
        pytest.param(
            {"orders": [REFUND]},
            {"purchases": 0, "known_days": 4, "tenure_days": None, "spend_net": -10.0,
             "returns_share": None, "categories": 0, "lines_per_purchase": None},
            id="a return without a sale makes a customer but no buyer",
        ),
        pytest.param(
            {"orders": [line(n, order_key=str(n)) for n in (0, 6, 7, 29, 30)]},
            {"purchases_7d": 2, "purchases_14d": 3, "purchases_30d": 4, "purchases_60d": 5,
             "purchases_change_30d": 3, "purchases_acceleration_30d": 2},
            id="a window of n days holds the day itself and the n - 1 before",
        ),
        pytest.param(
            {"orders": [line(category="POST", is_product=False), line(category="tea")]},
            {"categories": 1, "lines_per_purchase": 1.0, "spend_gross": 20.0,
             "quantity_per_purchase": 1.0, "category_favourite": "tea"},
            id="postage is money and no product",
        ),
        pytest.param(
            {"orders": [line(category=None, channel=None, quantity=None, discount_e4=None)]},
            {"categories": None, "categories_180d": None, "channels": None,
             "quantity_per_purchase": None, "discount_share": None, "category_favourite": None},
            id="what the data does not say is unknown and not zero",
        ),
        pytest.param(
            {"orders": [line(n, category=c) for n, c in ((9, "tea"), (8, "茶"), (7, "Tea"))]},
            {"category_favourite": "Tea", "category_favourite_share": 1 / 3,
             "category_repeat_rate": 0.0},
            id="of two favourites the first by code point",
        ),
        pytest.param(
            {"orders": [line(10), line(10, category="cup", order_key="B")]},
            {"purchases": 2, "purchase_days": 1, "monetary_value": None, "gap_mean_days": None,
             "order_value_first": 20.0, "category_entropy": 0.693147},
            id="two orders of a day are one purchase day",
        ),
        pytest.param(
            {"orders": [line(365 - n, order_key=str(n)) for n in (-89, 0, 1, 30, 31, 90, 91)]},
            {"purchases_90d_last_year": 2, "purchases_next_30d_last_year": 2,
             "purchases_next_90d_last_year": 4},
            id="a year ago is 365 days ago, and its next day is the first of what followed",
        ),
        pytest.param(
            {"orders": [line(364)]},
            {"purchases_90d_last_year": None, "purchases_next_30d_last_year": None},
            id="who was not there a year ago did not buy nothing then",
        ),
        pytest.param(
            {"orders": [line(amount_e4=10**15, order_key=str(n)) for n in range(12)]},
            {"spend_net": 1.2e12, "order_value_mean": 1e11, "order_value_log_std": 0.0,
             "order_value_geometric_mean": 1e11, "spend_change_30d": 1.2e12},
            id="sums of money beyond the floats' whole numbers",
        ),
        pytest.param(
            {"interactions": [happened(3, "impression")]},
            {"visit_90d": 0, "visit_seconds_90d": 0.0, "survey_mean": None,
             "email_click_rate_365d": None, "complaint_open": 0, "known_days": 3,
             "purchases": None},
            id="no visit took no time",
        ),
        pytest.param(
            {"interactions": [happened(3, "visit"), happened(2, "usage")]},
            {"visit_90d": 1, "visit_seconds_90d": None, "usage_units_90d": None,
             "usage_units_change_30d": None},
            id="visits of which no time is known did not take none",
        ),
        pytest.param(
            {"interactions": [happened(3, "visit"), happened(2, "visit", value_e4=300_000)]},
            {"visit_90d": 2, "visit_seconds_90d": 30.0},
            id="what is known of the visits' time is summed",
        ),
        pytest.param(
            {"orders": [line()], "interactions": [happened(5, "visit", customer_id=8)],
             "treatments": [treated(5, customer_id=8)], "contracts": [term(5, customer_id=8)]},
            {"interactions": 0, "visit_seconds_90d": 0.0, "days_since_interaction": None,
             "treatments": 0, "treatment_cost_365d": 0.0, "treatment_response_rate": None,
             "contracts": 0, "contract_fee_active": 0.0, "contract_plan": None},
            id="who is not in a table did nothing of what it counts",
        ),
        pytest.param(
            {"interactions": [
                happened(9, "survey", value_e4=50_000), happened(2, "survey", value_e4=10_000),
                happened(2, "survey", value_e4=30_000), happened(1, "survey"),
            ]},
            {"survey_mean": 3.0, "survey_last": 2.0, "survey_change": -1.0},
            id="the last surveys are those of the last day with a score",
        ),
        pytest.param(
            {"interactions": [
                happened(9, "complaint", topic="late"), happened(4, "complaint"),
                happened(3, "complaint_resolved"),
            ]},
            {"complaints": 2, "complaint_open": 1, "complaint_topic": "late",
             "days_since_complaint": 4},
            id="a complaint is open while fewer were resolved",
        ),
        pytest.param(
            {"treatments": [treated(20), treated(3, arm="control", action="gift", cost_e4=5)],
             "orders": [line(6), line(20)]},
            {"treatments": 1, "treatments_withheld": 1, "treatment_last": "call",
             "days_since_treatment": 20, "treatment_cost_365d": None,
             "treatment_response_rate": 1.0},
            id="the control arm is what was withheld, and counts as that alone",
        ),
        pytest.param(
            {"treatments": [treated(13), treated(14), treated(30)], "orders": [line(13), line(30)]},
            {"treatment_response_rate": 0.5},
            id="an answer comes after the day, and only two weeks tell that there is none",
        ),
        pytest.param(
            {"contracts": [
                term(40, fee_e4=90_000, ends_day=TODAY + 5, plan="small"),
                term(40, fee_e4=120_000, ends_day=TODAY, plan="large",
                     arrived_at=moment(TODAY - 8), known_day=TODAY - 8),
                term(40, contract_id="other", cancelled_day=TODAY, fee_e4=1, plan="a"),
            ]},
            {"contracts": 2, "contracts_active": 1, "contract_fee_active": 12.0,
             "contract_days_left": 0, "contract_cancellations": 1, "contract_plan": "a",
             "days_since_cancellation": 0},
            id="a term's newest version counts, to its last day",
        ),
        pytest.param(
            {"contracts": [term(40, ends_day=TODAY - 1, cancelled_day=TODAY + 3,
                                renewed_day=TODAY + 1)]},
            {"contracts_active": 0, "contract_cancellations": 0, "contract_renewals": 0,
             "contract_fee_active": 0.0, "days_since_cancellation": None},
            id="what will be done with a term is not known yet",
        ),
        pytest.param(
            {"customers": [
                customer(50, region="north", acquisition_channel="ad"),
                customer(9, region="south", referred_by=5, **registering(60)),
                customer(-3, region="west"),
            ]},
            {"region": "south", "acquisition_channel": None, "registered_days": 60,
             "known_days": 60, "was_referred": 1, "registered_to_first_purchase_days": None},
            id="the newest row that is true by then speaks",
        ),
        pytest.param(
            {"customers": [customer(None, region="north", acquisition_channel="ad",
                                    acquisition_cost_e4=50_000)],
             "orders": [line()]},
            {"region": "north", "acquisition_channel": None, "acquisition_cost": 5.0,
             "registered_days": None, "was_referred": None, "referred_customers": 0},
            id="of a row without a day only what is static is known",
        ),
        pytest.param(
            {"customers": [
                customer(2, customer_id=8, referred_by=7),
                customer(1, customer_id=8, referred_by=7),
                customer(3, customer_id=9, referred_by=7, **registering(5)),
                customer(None, customer_id=10, referred_by=7),
                customer(-1, customer_id=11, referred_by=7),
            ], "orders": [line()]},
            {"referred_customers": 2, "days_since_referral": 2, "was_referred": None},
            id="a referral counts from the day on which a row says it",
        ),
        pytest.param(
            {"customers": [customer(9, age_group="30-39", region="north")]},
            {"age_group": None, "region": "north"},
            id="what is sensitive is no feature",
        ),
    ],
)  # fmt: skip
def test_a_known_history(shop: Shop, says: Row, tmp_path: Path):
    table = snapshot(shop, tmp_path)
    rows = {row["customer_id"]: row for row in table.to_pylist()}
    assert {n: rows[7][n] for n in says} == {
        n: pytest.approx(v, rel=1e-6, abs=1e-6) if isinstance(v, float) else v
        for n, v in says.items()
    }
    assert_right(table, shop)


@pytest.mark.parametrize(
    ("sensitive", "hidden"),
    [
        ("registered_at", {"registered_days", "registered_to_first_purchase_days"}),
        ("referred_by", set(said_by("referred_by"))),
        ("acquisition_cost", {"acquisition_cost"}),
        ("region", {"region"}),
    ],
)
def test_a_sensitive_column_says_nothing(sensitive: str, hidden: set[str], tmp_path: Path):
    shop: Shop = {
        "customers": [
            customer(9, region="north", acquisition_cost_e4=5, referred_by=8, **registering(9)),
            customer(9, customer_id=8, referred_by=7),
        ],
        "orders": [line()],
    }
    open_rows = snapshot(shop, tmp_path, rules=Rules()).to_pylist()
    closed_rows = snapshot(shop, tmp_path, rules=Rules(sensitive=(sensitive,))).to_pylist()
    for opened, closed in zip(open_rows, closed_rows, strict=True):
        gone = {name for name in opened if opened[name] != closed[name]}
        assert gone <= hidden
        assert all(closed[name] is None for name in hidden)
    assert all(any(row[name] is not None for row in open_rows) for name in hidden)


# Numbers.


def test_logarithms_round_the_same_whatever_the_last_bit_of_the_engines():
    """For up to a thousand lines of a label, n ln n lies clear of the border between two parts."""
    for n in range(2, 1001):
        with localcontext() as context:
            context.prec = 40
            exact = Decimal(n) * Decimal(n).ln() * Decimal(NLOGN_PARTS)
            border = abs(exact - exact.to_integral(ROUND_HALF_UP))
        assert abs(border - Decimal("0.5")) > 4 * math.ulp(float(exact)), n


@pytest.mark.parametrize(
    "numbers",
    [[0], [5, 5, 5], [0, 1], [35_000] * 9 + [35_001], list(range(1000)), [1] * 999 + [40_000]],
)
@pytest.mark.parametrize("times", [1, 10**6])
def test_a_spread_is_exact_for_very_many(numbers: list[int], times: int):
    sums = pa.table({
        "squares": [sum(n * n for n in numbers) * times],
        "total": [sum(numbers) * times],
        "count": [len(numbers) * times],
    })  # fmt: skip
    frame = nw.from_native(sums, eager_only=True)
    found = frame.select(spread(nw.col("squares"), nw.col("total"), nw.col("count")).alias("it"))
    exact = math.sqrt(statistics.pvariance(map(Fraction, numbers)))
    assert found["it"][0] == pytest.approx(exact, rel=1e-15, abs=0)


def test_a_whole_number_of_any_size_becomes_the_nearest_float():
    rng = random.Random(1)
    borders = [2**n + d for n, d in itertools.product(range(62), (-1, 0, 1))]
    numbers = [
        *borders,
        *(-n for n in borders),
        *(rng.randrange(-(2**62), 2**62) for _ in range(99)),
    ]
    frame = nw.from_native(pa.table({"n": [*numbers, None]}), eager_only=True)
    assert frame.select(as_float(nw.col("n")).alias("n"))["n"].to_list() == [
        *map(float, numbers), None,
    ]  # fmt: skip
