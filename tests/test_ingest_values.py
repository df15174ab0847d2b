"""How cells are read: ids, times and money, and no row is lost on the way."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingesting import PLAIN, QUICK, TEXTS, check_accounts, clean_lines, moment, write

from features.errors import InputError
from features.ingest.amounts import read_numbers
from features.ingest.cleaning import clean
from features.ingest.lines import LINE_SCHEMA
from features.ingest.moments import read_moments
from features.ingest.reading import read_raw
from features.settings import DataSettings


@pytest.mark.parametrize(
    ("ids", "expected", "id_type"),
    [
        (["17850", "2"], [17850, 2], "integer"),
        (["17850.0", " 17850 "], [17850, 17850], "integer"),
        ([17850.0, float("nan"), 3.0], [17850, 3], "integer"),
        (["00123", "17850.0"], ["00123", "17850"], "text"),
        (["123", "00123"], ["123", "00123"], "text"),
        (["A-1", "2"], ["A-1", "2"], "text"),
        ([1.5, 2.0], ["1.5", "2"], "text"),
        (["9223372036854775807"], [9223372036854775807], "integer"),
        (["9223372036854775808", "1"], ["9223372036854775808", "1"], "text"),
        (["", "nan", "null", "None", "NaN", "x"], ["x"], "text"),
        (["-7", "0"], [-7, 0], "integer"),
        (["-0", "+1"], ["-0", "+1"], "text"),
        ([float("inf"), 1.0], [1], "integer"),
        ([1e19, 1.0], ["10000000000000000000", "1"], "text"),
        (["客户一", "é"], ["客户一", "é"], "text"),
    ],
)
def test_ids_keep_what_they_say(ids: list[Any], expected: list[Any], id_type: str) -> None:
    cleaned = clean_lines({"customer_id": ids})
    assert cleaned.rows["customer_id"].to_list() == expected
    assert cleaned.customer_id_type == id_type
    assert cleaned.rows.schema["customer_id"] == (pl.Int64 if id_type == "integer" else pl.String)


def test_an_id_that_is_not_kept_does_not_decide_the_type() -> None:
    cleaned = clean_lines({"customer_id": ["1", "A"], "amount": ["1", "free"]})
    assert cleaned.customer_id_type == "integer"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["2010-12-01"], moment(2010, 12, 1)),
        (["2010-12-01 08:26"], moment(2010, 12, 1, 8, 26)),
        (["2010-12-01 08:26:30.123456"], moment(2010, 12, 1, 8, 26, 30, 123456)),
        (["2010-12-01T08:26:30Z"], moment(2010, 12, 1, 8, 26, 30)),
        (["2010-12-01T08:26:30+02:00"], moment(2010, 12, 1, 6, 26, 30)),
        (["2010-12-01 08:26-0130"], moment(2010, 12, 1, 9, 56)),
        (["2010/12/1"], moment(2010, 12, 1)),
        (["20101201"], moment(2010, 12, 1)),
        (["20101201T082630"], moment(2010, 12, 1, 8, 26, 30)),
        ([20101201], moment(2010, 12, 1)),
        ([20101201.0], moment(2010, 12, 1)),
        (["12/1/2010 8:26", "12/13/2010 8:26"], moment(2010, 12, 1, 8, 26)),
        (["1/12/2010 8:26", "13/12/2010"], moment(2010, 12, 1, 8, 26)),
        (["01.12.2010", "31.12.2010"], moment(2010, 12, 1)),
        (["12/1/10 8:26 PM", "12/13/10 8:26 AM"], moment(2010, 12, 1, 20, 26)),
        (["12/12/2010"], moment(2010, 12, 12)),
        (["1-Dec-2010"], moment(2010, 12, 1)),
        (["Dec 1, 2010 12:05 am"], moment(2010, 12, 1, 0, 5)),
        ([datetime(2010, 12, 1, 8)], moment(2010, 12, 1, 8)),
        ([datetime(2010, 12, 1, 8, tzinfo=UTC)], moment(2010, 12, 1, 8)),
        ([date(2010, 12, 1)], moment(2010, 12, 1)),
    ],
)
def test_times_are_read(written: list[Any], expected: datetime) -> None:
    assert read_moments(pl.Series("at", written)).at[0] == expected


def test_the_hour_that_a_zone_has_twice_is_two_hours_and_a_zones_midnight_is_no_days_end() -> None:
    moments = [moment(2010, 10, 31, 0, 30), moment(2010, 10, 31, 1, 30), moment(2010, 3, 31, 22)]
    berlin = pl.Series("at", moments, pl.Datetime("us", "UTC")).dt.convert_time_zone(
        "Europe/Berlin"
    )
    assert berlin.dt.hour().to_list() == [2, 2, 0]
    assert read_moments(berlin).at.to_list() == moments
    written = ["2010-10-31T02:30:00+02:00", "2010-10-31T02:30:00+01:00", "2010-04-01T00:00+02:00"]
    assert read_moments(pl.Series("at", written)).at.to_list() == moments


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_typed_times_of_any_unit_are_read(unit: Any) -> None:
    written = pl.Series("at", [datetime(2010, 12, 1, 8)]).cast(pl.Datetime(unit, "Europe/Berlin"))
    assert read_moments(written).at[0] == moment(2010, 12, 1, 8)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("2010-02-30", "unreadable_date"),
        ("2010-12-01 25:00", "unreadable_date"),
        ("12/12/2010", "unreadable_date"),
        ("", "unreadable_date"),
        ("1969-12-31", "date_out_of_range"),
        ("2101-01-01", "date_out_of_range"),
        ("0001-01-01", "date_out_of_range"),
        ("9999-12-31 23:59:59", "date_out_of_range"),
    ],
)
def test_a_row_without_a_believable_date_is_quarantined(written: str, reason: str) -> None:
    cleaned = clean_lines({"ordered_at": ["2010-01-01", written]})
    assert cleaned.quarantine["reason"].to_list() == [reason]
    assert cleaned.quarantine["ordered_at"].to_list() == [written]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_absurd_typed_times_do_not_overflow(unit: Any) -> None:
    times = pl.Series("at", [2**63 - 1, -(2**63), 0], dtype=pl.Int64).cast(pl.Datetime(unit))
    read = read_moments(times)
    assert read.at.null_count() == read.out_of_range.sum() == 2


def test_the_years_1970_to_2100_are_believed() -> None:
    edges = [
        datetime(1969, 12, 31),
        datetime(1970, 1, 1),
        datetime(2100, 12, 31),
        datetime(2101, 1, 1),
    ]
    for written in (edges, [str(edge) for edge in edges], [edge.date() for edge in edges]):
        read = read_moments(pl.Series("at", written))
        assert read.out_of_range.to_list() == [True, False, False, True]


def test_a_date_format_is_used_alone() -> None:
    times = ["01/02/2010", "2010-02-01"]
    cleaned = clean_lines({"ordered_at": times}, date_format="%d/%m/%Y")
    assert cleaned.rows["ordered_at"].to_list() == [moment(2010, 2, 1)]
    assert cleaned.date_reading == "%d/%m/%Y"
    fraction = clean_lines({"ordered_at": ["1.2.10 1:02:03.5"]}, date_format="%d.%m.%y %H:%M:%S.%f")
    assert fraction.rows["ordered_at"].to_list() == [moment(2010, 2, 1, 1, 2, 3, 500000)]
    with pytest.raises(InputError, match=r"'%d.%m.%y' reads no date.*'01/02/2010'"):
        clean_lines({"ordered_at": times}, date_format="%d.%m.%y")
    with pytest.raises(InputError, match=r"data.date_format '%H' is no date format"):
        clean_lines({"ordered_at": times}, date_format="%H")


def test_arrivals_follow_the_reading_of_the_orders() -> None:
    cleaned = clean_lines(
        {"ordered_at": ["13/01/2010", "01/02/2010"], "arrived_at": ["", "03/02/2010"]}
    )
    assert cleaned.rows["arrived_at"].to_list() == [moment(2010, 1, 13), moment(2010, 2, 3)]
    assert (cleaned.rows["known_day"] - cleaned.rows["event_day"]).to_list() == [0, 2]


def test_nothing_is_known_before_it_happened() -> None:
    cleaned = clean_lines({"ordered_at": ["2010-01-05"], "arrived_at": ["2010-01-01"]})
    assert cleaned.rows.select(pl.col("known_day") - pl.col("event_day")).item() == 0


def test_an_unreadable_arrival_is_counted_and_taken_for_the_order() -> None:
    cleaned = clean_lines({"arrived_at": ["2010-01-03", "soon"]})
    assert cleaned.counts["unreadable_arrived_at"] == 1
    assert cleaned.rows["arrived_at"].to_list() == [moment(2010, 1, 3), moment(2010, 1, 1)]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["12.50", "-3", "+4", ".5", "5.", "1e2"], [125000, -30000, 40000, 5000, 50000, 1000000]),
        (["1,234.50", "12.50"], [12345000, 125000]),
        (["1,234,567", "1"], [12345670000, 10000]),
        (["12,50", "1.234,50", "7"], [125000, 12345000, 70000]),
        (["12,50", "1,234"], [125000, 12340]),
        (["1,234", "999"], [12340000, 9990000]),
        (["1,234", "2345"], [None, 23450000]),
        (["£5.00", "£ 1,000.00"], [50000, 10000000]),
        (["5,00 €", "1.000,00 €"], [50000, 10000000]),
        (["EUR 5.00", "5 EUR"], [50000, 50000]),
        (["(5.00)", "5.00-", "−5"], [-50000, -50000, -50000]),
        (["1 234,50", "1\u00a0234,50", "0,10"], [12345000, 12345000, 1000]),
        (["1'234.50", "1"], [12345000, 10000]),
        (["0.00005", "-0.00005", "0.00004"], [1, -1, 0]),
        ([0.1 + 0.2, 1.005, 2.675], [3000, 10050, 26750]),
        (
            ["5", "NaN", "inf", "-inf", "", "free", "1.2.3", "0x10", "1_000", "٣"],
            [50000] + [None] * 9,
        ),
        (["1 2", "1-2", "--1", "()", "-", ".", ",", "1e", "1,23,4"], [None] * 9),
        ([None, 5], [None, 50000]),
        ([Decimal("12.34"), Decimal("0.01")], [123400, 100]),
    ],
)
def test_amounts_are_read_exactly(written: list[Any], expected: list[int | None]) -> None:
    assert read_numbers(pl.Series("amount", written)).to_e4().to_list() == expected


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("NaN", "unreadable_amount"),
        ("inf", "unreadable_amount"),
        ("", "unreadable_amount"),
        ("1e11", None),
        ("100000000000.0001", "absurd_amount"),
        ("-1e12", "absurd_amount"),
        ("1e300", "absurd_amount"),
        ("9" * 40, "absurd_amount"),
    ],
)
def test_an_unusable_amount_is_quarantined(written: str, reason: str | None) -> None:
    cleaned = clean_lines({"amount": ["1", written]})
    assert cleaned.quarantine["reason"].to_list() == ([reason] if reason else [])


DECIMALS = st.decimals(-(10**6), 10**6, allow_nan=False, allow_infinity=False, places=5)


def to_e4(exact: Decimal) -> int:
    ten = exact.quantize(Decimal("1e-10"), ROUND_HALF_EVEN)
    return int(ten.scaleb(4).quantize(Decimal(1), ROUND_HALF_UP))


@QUICK
@given(st.lists(DECIMALS, min_size=1, max_size=20))
def test_an_amount_is_rounded_half_away_from_zero(numbers: list[Decimal]) -> None:
    texts = pl.Series("amount", [f"{number:f}" for number in numbers])
    assert read_numbers(texts).to_e4().to_list() == [to_e4(number) for number in numbers]


@QUICK
@given(st.lists(st.tuples(DECIMALS, DECIMALS), min_size=1, max_size=20), st.booleans())
def test_quantity_times_price_is_exact(
    factors: list[tuple[Decimal, Decimal]], as_floats: bool
) -> None:
    factors = [*factors, (Decimal(3), Decimal("0.85"))]
    kind = float if as_floats else lambda number: f"{number:f}"
    cleaned = clean_lines(
        {
            "quantity": [kind(quantity) for quantity, _ in factors],
            "unit_price": [kind(price) for _, price in factors],
        }
    )
    products = [to_e4(quantity * price) for quantity, price in factors]
    believable = [e4 for e4 in products if abs(e4) <= 10**15]
    assert cleaned.rows["amount_e4"].to_list() == believable
    assert cleaned.counts["absurd_amount"] == len(products) - len(believable)


def test_a_product_beyond_128_bits_does_not_come_round_to_nothing() -> None:
    # Its square in units of 1e-20 is 2**128.
    factor = "1844674407.3709551616"
    cleaned = clean_lines({"quantity": [factor, "1"], "unit_price": [factor, "1"]})
    assert cleaned.quarantine["reason"].to_list() == ["absurd_amount"]


def test_a_mapped_amount_wins_over_quantity_and_price() -> None:
    columns = {"quantity": ["3"], "unit_price": ["0.85"], "paid": ["2"], "amount": ["9"]}
    amounts = {
        "paid": {"amount": "paid", "quantity": "quantity", "unit_price": "unit_price"},
        "product": {"quantity": "quantity", "unit_price": "unit_price"},
        "named": {},
    }
    read = {
        name: clean_lines(columns, mapping).rows["amount_e4"].to_list()
        for name, mapping in amounts.items()
    }
    assert read == {"paid": [20000], "product": [25500], "named": [90000]}


def test_optional_columns_are_read_where_they_are() -> None:
    cleaned = clean_lines(
        {
            "order_id": ["7.0", ""],
            "quantity": ["2", "some"],
            "discount": ["0.10", "x"],
            "cost": ["", "1e30"],
            "category": [" post ", "None"],
            "channel": ["web", ""],
        }
    )
    picked = cleaned.rows.select(
        "order_key", "quantity", "discount_e4", "cost_e4", "category", "channel", "is_product"
    )
    assert picked.rows() == [
        ("7", 2.0, 1000, None, "post", "web", False),
        ("@2010-01-01T00:00:00.000000", None, None, None, None, None, True),
    ]
    assert cleaned.counts["unreadable_quantity"] == 1
    assert cleaned.counts["unreadable_discount"] == 1
    assert cleaned.counts["unreadable_cost"] == 1
    assert list(cleaned.rows.columns) == list(LINE_SCHEMA)


DIRTY = {
    "customer_id": ["1", "00123", "17850.0", "", "nan", "A", None, " 5 ", "99999999999999999999"],
    "ordered_at": ["2010-01-01", "2010-02-30", "13/01/2010", "20100102", "2010-01-01T08:00Z", ""],
    "amount": ["5", "-5", "0", "1,234.50", "12,50", "free", "1e12", "NaN", "$3", None, "9" * 50],
    "quantity": ["1", "", "x", "-2", "1e400"],
    "unit_price": ["0.85", "1e300", "free", "-1"],
    "discount": ["0.5", "inf"],
    "category": ["POST", "post", "85048", ""],
    "arrived_at": ["2010-01-03", "", "later"],
    "row": ["mine"],
    "reason": ["mine"],
}
TYPED = [
    *[pl.Series([1, None, -3], dtype=kind) for kind in (pl.Int8, pl.Int64, pl.Int128)],
    *[pl.Series([1.5, float("nan"), None], dtype=kind) for kind in (pl.Float32, pl.Float64)],
    pl.Series([2**64 - 1, 0, 20100101], dtype=pl.UInt64),
    pl.Series([True, None, False]),
    pl.Series([b"\xff", b"1", None]),
    pl.Series([[1], [], None]),
    pl.Series([{"a": 1}, {"a": None}, None]),
    pl.Series([date(2010, 1, 1), date(9999, 1, 1), None]),
    pl.Series([datetime(2010, 1, 1), datetime(1, 1, 1), None]),
    pl.Series([timedelta(1), None, timedelta(2)]),
    pl.Series([datetime(2010, 1, 1).time(), None, None]),
    pl.Series(["1", "2010-01-01", "x"], dtype=pl.Categorical),
    pl.Series([None, None, None], dtype=pl.Null),
    pl.Series([Decimal("1.5"), None, Decimal("-2")]),
]


@st.composite
def dirty_frames(draw: st.DrawFn) -> pl.DataFrame:
    height = draw(st.integers(1, 12))
    required = ["customer_id", "ordered_at", "amount"]
    optional = draw(st.sets(st.sampled_from([name for name in DIRTY if name not in required])))
    columns = {}
    for name in [*required, *sorted(optional)]:
        cell = st.sampled_from(DIRTY[name]) | TEXTS
        columns[name] = pl.Series(
            draw(st.lists(cell, min_size=height, max_size=height)), dtype=pl.String
        )
    return pl.DataFrame(columns)


@settings(max_examples=150, deadline=None)
@given(dirty_frames())
def test_every_dirty_row_is_kept_or_quarantined(raw: pl.DataFrame) -> None:
    try:
        cleaned = clean("orders", raw, {}, DataSettings())
    except InputError as refusal:
        assert str(refusal)
        return
    check_accounts("orders", raw, cleaned)


@pytest.mark.parametrize(
    "column", ["customer_id", "ordered_at", "amount", "category", "arrived_at"]
)
@pytest.mark.parametrize("typed", TYPED, ids=lambda series: str(series.dtype))
def test_columns_of_any_type_are_read_or_refused(column: str, typed: pl.Series) -> None:
    raw = pl.DataFrame(
        {"customer_id": [1, 2, 3], "ordered_at": [date(2010, 1, 1)] * 3, "amount": 1}
    )
    raw = raw.with_columns(typed.alias(column), typed.alias("untouched"))
    try:
        cleaned = clean("orders", raw, {}, DataSettings())
    except InputError:
        return
    check_accounts("orders", raw, cleaned)


def test_a_row_longer_than_the_header_is_quarantined(tmp_path: Path) -> None:
    file = write(tmp_path, PLAIN + "3,2010-01-03,1,000.00\n4,2010-01-04,1\n")
    cleaned = clean("orders", read_raw(file), {}, DataSettings())
    assert cleaned.quarantine.select("row", "reason").rows() == [(3, "too_many_fields")]
    assert cleaned.rows.height == 3


def test_what_is_notable_is_counted() -> None:
    cleaned = clean_lines(
        {
            "amount": ["5", "5", "-5", "0", "1"],
            "category": ["a", "a", "a", "a", "POST"],
            "ordered_at": ["2010-01-01"] * 4 + ["2010-02-01T00:00Z"],
        },
        observed_until=date(2010, 1, 31),
    )
    notable = {
        "returns": 1,
        "zero_amount": 1,
        "non_product": 1,
        "duplicate_lines": 1,
        "after_observed_until": 1,
        "times_without_zone": 4,
    }
    assert {name: cleaned.counts[name] for name in notable} == notable
