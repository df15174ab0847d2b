"""What a customer looked like on a day: right on every engine, and blind to what came later."""

from __future__ import annotations

import itertools
import math
import random
import shutil
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import narwhals as nw
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import features.definitions.orders
from features import catalogue
from features.audit import LeakError
from features.days import closing, day_number, day_of
from features.ingest.ledger import Ledger
from features.ingest.lines import LINE_SCHEMA
from features.settings import Settings
from features.snapshots import (
    Engine,
    compute_snapshot,
    ensure_snapshots,
    snapshot_key,
    snapshot_path,
    stored_key,
)
from features.workspace import Workspace
from pipelines.context import Context
from pipelines.ingest import ingest_table
from pipelines.train import train_scorer

ENGINES: tuple[Engine, ...] = get_args(Engine)
AS_OF = date(2024, 5, 31)
TODAY = day_number(AS_OF)

Line = dict[str, Any]
Row = dict[str, Any]


# What every feature means, in plain Python: slow, without an engine, without floats until the end.


def expected_features(lines: Iterable[Line], today: int) -> dict[Any, Row]:
    """Compute every feature of every customer known by the end of a day, one line at a time."""
    by_customer: dict[Any, list[Line]] = defaultdict(list)
    for line in lines:
        if line["event_day"] <= today and line["known_day"] <= today:
            by_customer[line["customer_id"]].append(line)
    return {customer: features_of(known, today) for customer, known in by_customer.items()}


def features_of(known: Sequence[Line], today: int) -> Row:
    orders: dict[tuple[str, int], int] = defaultdict(int)
    for line in known:
        orders[line["order_key"], line["event_day"]] += line["amount_e4"]
    purchases = [(day, total) for (_, day), total in sorted(orders.items()) if total > 0]
    spend_on: dict[int, int] = defaultdict(int)
    for day, total in purchases:
        spend_on[day] += total
    return {
        **history(known, purchases, spend_on, today),
        **windows(known, purchases, today),
        **rhythm(sorted(spend_on), today),
        **mix(known, purchases, today),
    }


def history(
    known: Sequence[Line], purchases: list[tuple[int, int]], spend_on: dict[int, int], today: int
) -> Row:
    totals = [total for _, total in purchases]
    days = sorted(spend_on)
    return {
        "as_of_day": today,
        "purchases": len(purchases),
        "purchase_days": len(days),
        "recency_days": today - days[-1] if days else None,
        "tenure_days": today - days[0] if days else None,
        "known_days": today - min(line["event_day"] for line in known),
        "spend_net": money(sum(line["amount_e4"] for line in known)),
        "spend_gross": money(sum(totals)),
        "monetary_value": over(sum(spend_on[d] for d in days[1:]), len(days) - 1, 10_000),
        "order_value_mean": over(sum(totals), len(totals), 10_000),
        "order_value_median": money(statistics.median(map(Fraction, totals))) if totals else None,
        "order_value_max": money(max(totals)) if totals else None,
        "order_value_first": money(spend_on[days[0]]) if days else None,
        "order_value_last": money(spend_on[days[-1]]) if days else None,
    }


def windows(known: Sequence[Line], purchases: list[tuple[int, int]], today: int) -> Row:
    def bought(newest: int, oldest: int) -> int:
        return sum(1 for day, _ in purchases if newest <= today - day < oldest)

    def spent(newest: int, oldest: int) -> int:
        return sum(
            line["amount_e4"] for line in known if newest <= today - line["event_day"] < oldest
        )

    row: Row = {}
    for n in (7, 14, 30, 60, 90, 180, 365):
        row |= {f"purchases_{n}d": bought(0, n), f"spend_{n}d": money(spent(0, n))}
    for n in (30, 90):
        row |= {
            f"purchases_change_{n}d": bought(0, n) - bought(n, 2 * n),
            f"spend_change_{n}d": money(spent(0, n) - spent(n, 2 * n)),
        }
    return row


def rhythm(days: list[int], today: int) -> Row:
    gaps = [later - earlier for earlier, later in itertools.pairwise(days)]
    mean = statistics.mean(map(Fraction, gaps)) if gaps else None
    return {
        "gap_mean_days": mean,
        "gap_std_days": math.sqrt(statistics.pvariance(map(Fraction, gaps))) if gaps else None,
        "gap_max_days": max(gaps, default=None),
        "gap_first_days": gaps[0] if gaps else None,
        "gap_last_days": gaps[-1] if gaps else None,
        "lateness": (today - days[-1]) / mean if mean is not None else None,
        "purchase_rate": Fraction(len(days), today - days[0] + 1) if days else None,
    }


def mix(known: Sequence[Line], purchases: list[tuple[int, int]], today: int) -> Row:
    returned = [line for line in known if line["amount_e4"] < 0]
    bought = [line for line in known if line["amount_e4"] > 0]
    products = [line for line in bought if line["is_product"]]
    quantities = [Fraction(str(v)) for v in given_values(products, "quantity")]
    discounts = given_values([line for line in known if line["amount_e4"] >= 0], "discount_e4")
    recent = [line for line in products if today - line["event_day"] < 180]
    gross, back = sum(total for _, total in purchases), -sum(r["amount_e4"] for r in returned)
    categories = bool(given_values(known, "category"))
    return {
        "returns": len(returned),
        "returns_value": money(back),
        "returns_share": over(back, gross),
        "days_since_return": today - max(r["event_day"] for r in returned) if returned else None,
        "lines_per_purchase": over(len(products), len(purchases)),
        "quantity_per_purchase": over(sum(quantities), len(purchases)) if quantities else None,
        "discount_share": over(sum(discounts), gross + sum(discounts)) if discounts else None,
        "categories": len(set(given_values(products, "category"))) if categories else None,
        "categories_180d": len(set(given_values(recent, "category"))) if categories else None,
        "channels": len(set(given_values(bought, "channel")))
        if given_values(known, "channel")
        else None,
    }


def given_values(lines: Iterable[Line], column: str) -> list[Any]:
    return [line[column] for line in lines if line[column] is not None]


def money(e4: int | Fraction) -> Fraction:
    return Fraction(e4) / 10_000


def over(a: int | Fraction, b: int | Fraction, unit: int = 1) -> Fraction | None:
    return Fraction(a) / b / unit if b > 0 else None


# Random histories.


def any_line(customers: Sequence[int | str]) -> st.SearchStrategy[Line]:
    days = st.one_of(st.integers(TODAY - 400, TODAY + 30), st.sampled_from([TODAY - 29, TODAY]))
    cents = st.integers(-3_000, 9_000).map(lambda cents: cents * 100)
    return st.fixed_dictionaries(
        {
            "customer_id": st.sampled_from(customers),
            "order_key": st.sampled_from(["A", "B", "C", "@2024"]),
            "event_day": days,
            "delay": st.sampled_from([0, 0, 0, 1, 40]),
            "amount_e4": st.one_of(st.sampled_from([0, -150_000, 150_000, 1]), cents),
            "quantity": st.none() | st.sampled_from([1.0, 3.0, 0.1, 0.2, 0.7, 2.125]),
            "discount_e4": st.none() | st.integers(0, 50_000),
            "category": st.none() | st.sampled_from(["tea", "cup", "pot"]),
            "channel": st.none() | st.sampled_from(["web", "shop"]),
            "is_product": st.booleans(),
        }
    ).map(lambda line: {"known_day": line["event_day"] + line.pop("delay"), **line})


INTEGERS: Sequence[int | str] = [7, 12, 2**40, -3]
TEXTS: Sequence[int | str] = ["A-7", "00123", "ü", "a"]
histories = st.sampled_from([INTEGERS, TEXTS]).flatmap(
    lambda customers: st.lists(any_line(customers), min_size=1, max_size=40)
)
later_lines = st.lists(any_line(INTEGERS), max_size=12).map(
    lambda lines: [line for line in lines if line["known_day"] > TODAY]
)


def searching(examples: int) -> settings:
    """Search the same examples each time; a failing one is shown as it was found, not shrunk."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )


def frame_of(lines: Sequence[Line]) -> pl.DataFrame:
    """Write lines as the ledger stores them; the columns that no feature reads are left out."""
    schema = {name: kind for name, kind in LINE_SCHEMA.items() if lines and name in lines[0]}
    if lines and isinstance(lines[0]["customer_id"], int):
        schema["customer_id"] = pl.Int64
    return pl.DataFrame([{name: line[name] for name in schema} for line in lines], schema=schema)


def snapshot(lines: Sequence[Line], folder: Path, engine: Engine, day: date = AS_OF) -> pa.Table:
    path = folder / "orders.parquet"
    frame_of(lines).write_parquet(path)
    return compute_snapshot(path, day, engine)


def assert_equals(table: pa.Table, expected: dict[Any, Row]) -> None:
    assert table["customer_id"].to_pylist() == sorted(expected)
    for row in table.to_pylist():
        want = expected[row["customer_id"]]
        for feature in catalogue.FEATURES:
            said, seen = row[feature.name], want[feature.name]
            where = f"{feature.name} of {row['customer_id']}: {said}, not {seen}"
            if feature.kind == "count" or seen is None:
                assert said == seen, where
            else:
                assert said == pytest.approx(float(seen), rel=1e-9, abs=0), where


@searching(20)
@given(lines=histories)
def test_every_feature_is_what_plain_python_makes_of_the_lines(lines: list[Line], tmp_path: Path):
    expected = expected_features(lines, TODAY)
    assert all(set(row) == set(catalogue.NAMES) for row in expected.values())
    assert_engines_give(lines, expected, tmp_path)


def assert_engines_give(lines: list[Line], expected: dict[Any, Row], folder: Path) -> None:
    polars, duckdb = (snapshot(lines, folder, engine) for engine in ENGINES)
    assert_equals(polars, expected)
    assert_equals(duckdb, expected)
    assert polars.cast(duckdb.schema).equals(duckdb), "the engines agree to the bit"


def busy_history(seed: int) -> list[Line]:
    """Three thousand lines of fifty customers, with sums that floats would round."""
    rng = random.Random(seed)
    lines = []
    for _ in range(3000):
        day = TODAY - rng.randrange(-30, 500)
        lines.append(
            {
                "customer_id": rng.randrange(50),
                "order_key": str(rng.randrange(20)),
                "event_day": day,
                "known_day": day + rng.choice([0, 0, 0, 1, 40]),
                "amount_e4": rng.choice([0, 1, rng.randrange(-300_000, 900_000)]),
                "quantity": rng.choice([None, 0.1, 0.2, 0.7, 3.0, 2.125]),
                "discount_e4": rng.choice([None, 0, rng.randrange(50_000)]),
                "category": rng.choice([None, "tea", "cup", "pot"]),
                "channel": rng.choice([None, "web", "shop"]),
                "is_product": rng.random() < 0.7,
            }
        )
    return lines


def test_every_feature_of_a_busy_shop_is_what_plain_python_makes_of_it(tmp_path: Path):
    lines = busy_history(seed=5)
    assert_engines_give(lines, expected_features(lines, TODAY), tmp_path)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_order_of_lines_changes_no_bit(engine: Engine, tmp_path: Path):
    lines = busy_history(seed=6)
    usual = snapshot(lines, tmp_path, engine)
    for seed in range(4):
        shuffled = random.Random(seed).sample(lines, len(lines))
        assert snapshot(shuffled, tmp_path, engine).equals(usual)


@searching(12)
@given(lines=st.lists(any_line(INTEGERS), min_size=1, max_size=40), later=later_lines)
def test_what_happens_or_arrives_later_changes_no_bit(
    lines: list[Line], later: list[Line], tmp_path: Path
):
    # A line dated ahead (an advance order) is not known to have happened, however early it came.
    ahead = [line | {"event_day": TODAY + 3, "known_day": TODAY - 3} for line in later[:2]]
    for engine in ENGINES:
        before = snapshot(lines, tmp_path, engine)
        assert snapshot([*lines, *later, *ahead], tmp_path, engine).equals(before)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_later_half_of_a_busy_shop_changes_no_bit(engine: Engine, tmp_path: Path):
    lines = busy_history(seed=7)
    day = day_of(TODAY - 200)
    known = [line for line in lines if line["known_day"] <= day_number(day)]
    assert 0.3 < len(known) / len(lines) < 0.7
    assert snapshot(lines, tmp_path, engine, day).equals(snapshot(known, tmp_path, engine, day))


EMPTY_DAY = day_of(TODAY - 1000)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("customer", [7, "A-7"])
@pytest.mark.parametrize("day", [AS_OF, EMPTY_DAY])
def test_a_snapshot_has_the_catalogues_columns_and_types(
    engine: Engine, customer: int | str, day: date, tmp_path: Path
):
    table = snapshot([one_line(customer_id=customer)], tmp_path, engine, day)
    assert table.num_rows == (1 if day == AS_OF else 0)
    assert table.column_names == ["customer_id", *catalogue.NAMES, "event_timestamp"]
    for feature in catalogue.FEATURES:
        kind = pa.int64() if feature.kind == "count" else pa.float64()
        assert table.schema.field(feature.name).type == kind, feature.name
    assert table.schema.field("event_timestamp").type == pa.timestamp("us", tz="UTC")
    assert set(table["event_timestamp"].to_pylist()) <= {closing(day)}


def one_line(**changes: Any) -> Line:
    line: Line = {
        "customer_id": 7, "order_key": "A", "event_day": TODAY - 10, "known_day": TODAY - 10,
        "amount_e4": 100_000, "quantity": 1.0, "discount_e4": 25_000, "category": "tea",
        "channel": "web", "is_product": True,
    }  # fmt: skip
    return line | changes


SALE = one_line()
REFUND = one_line(order_key="A", event_day=TODAY - 4, known_day=TODAY - 4, amount_e4=-100_000)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("lines", "known"),
    [
        pytest.param(
            [SALE, REFUND],
            {"purchases": 1, "spend_gross": 10.0, "spend_net": 0.0, "returns": 1,
             "recency_days": 10, "days_since_return": 4, "discount_share": 0.2},
            id="a return on a later day rewrites nothing of the sale",
        ),
        pytest.param(
            [SALE, REFUND | {"event_day": TODAY - 10}],
            {"purchases": 0, "spend_gross": 0.0, "recency_days": None, "returns": 1},
            id="an order cancelled on its own day was no purchase",
        ),
        pytest.param(
            [REFUND],
            {"purchases": 0, "known_days": 4, "tenure_days": None, "spend_net": -10.0,
             "returns_share": None, "categories": 0, "lines_per_purchase": None},
            id="a return without a sale makes a customer but no buyer",
        ),
        pytest.param(
            [one_line(event_day=TODAY - n, known_day=TODAY - n, order_key=str(n))
             for n in (0, 6, 7, 29, 30)],
            {"purchases_7d": 2, "purchases_14d": 3, "purchases_30d": 4, "purchases_60d": 5,
             "purchases_change_30d": 3},
            id="a window of n days holds the day itself and the n - 1 before",
        ),
        pytest.param(
            [one_line(category="POST", is_product=False), one_line(category="tea")],
            {"categories": 1, "lines_per_purchase": 1.0, "spend_gross": 20.0,
             "quantity_per_purchase": 1.0},
            id="postage is money and no product",
        ),
        pytest.param(
            [one_line(category=None, channel=None, quantity=None, discount_e4=None)],
            {"categories": None, "categories_180d": None, "channels": None,
             "quantity_per_purchase": None, "discount_share": None},
            id="what the data does not say is unknown and not zero",
        ),
    ],
)  # fmt: skip
def test_a_known_history(engine: Engine, lines: list[Line], known: Row, tmp_path: Path):
    (row,) = snapshot(lines, tmp_path, engine).to_pylist()
    assert {name: row[name] for name in known} == known


# The list of features.


def test_every_feature_is_named_once_and_documented():
    assert len(set(catalogue.NAMES)) == len(catalogue.NAMES)
    for feature in catalogue.FEATURES:
        assert feature.kind in {"count", "measure"}
        assert feature.unit.strip(), feature.name
        assert len(feature.meaning.split()) >= 2, feature.name
        assert feature.name.isidentifier()
        assert feature.name == feature.name.lower()


def test_the_views_share_the_features_out_among_them():
    shared_out = [feature for view in catalogue.VIEWS for feature in catalogue.in_view(view)]
    assert shared_out == list(catalogue.FEATURES)
    assert all(catalogue.in_view(view) for view in catalogue.VIEWS)
    assert all(meaning.strip() for meaning in catalogue.VIEWS.values())


@pytest.mark.parametrize("key_type", get_args(catalogue.KeyType))
def test_feasts_views_and_services_are_the_catalogue(key_type: catalogue.KeyType, tmp_path: Path):
    from feast.types import Float64, Int64, String

    from features.views import definitions

    objects = definitions(tmp_path, key_type)
    kinds = {"count": Int64, "measure": Float64}
    for name in catalogue.VIEWS:
        view = objects[name]
        assert view.join_keys == [catalogue.JOIN_KEY]
        assert [c.dtype for c in view.entity_columns] == [
            Int64 if key_type == "integer" else String
        ]
        assert [(f.name, f.dtype, f.description) for f in view.features] == [
            (f.name, kinds[f.kind], f"{f.meaning} ({f.unit})") for f in catalogue.in_view(name)
        ]
    for service in catalogue.SERVICES.values():
        projections = objects[service].feature_view_projections
        assert {f.name for p in projections for f in p.features} == set(catalogue.NAMES)
        assert service.endswith(f"_v{catalogue.VERSION}")


# Snapshots as files.


def orders_frame(days: Iterable[int], late_by: int = 0) -> pl.DataFrame:
    """One order of one customer a day, as an export."""
    moments = [date(2024, 1, 1) + timedelta(days=n) for n in days]
    return pl.DataFrame(
        {
            "customer_id": [n % 5 for n in range(len(moments))],
            "ordered_at": moments,
            "amount": [10.5 + n for n in range(len(moments))],
            "arrived_at": [moment + timedelta(days=late_by) for moment in moments],
        }
    )


def add(context: Context, frame: pl.DataFrame, name: str) -> Ledger:
    ingest_table(context, Path(name), frame, digest=name * 8, mapping={})
    return context.ledger()


@pytest.fixture
def context(tmp_path: Path) -> Context:
    context = Context(Workspace(tmp_path / "w"), Settings())
    add(context, orders_frame(range(0, 100, 3)), "first")
    return context


MARCH, APRIL = date(2024, 3, 1), date(2024, 4, 1)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_snapshot_built_again_is_the_same_file_to_the_byte(context: Context, engine: Engine):
    ledger = context.ledger()
    path = snapshot_path(context.workspace, ledger, APRIL)

    def build() -> bytes:
        assert ensure_snapshots(context.workspace, ledger, [APRIL], engine) == [APRIL]
        return path.read_bytes()

    first = build()
    path.unlink()
    assert build() == first


def test_a_snapshot_is_computed_once(context: Context):
    ledger = context.ledger()
    assert context.snapshots(ledger, [MARCH, APRIL]) == [MARCH, APRIL]
    assert context.snapshots(ledger, [MARCH, APRIL]) == []


@pytest.mark.parametrize(
    ("days", "late_by", "again"),
    [
        pytest.param([99, 120], 0, [], id="newer orders"),
        pytest.param([10], 200, [], id="an old order that arrives after every snapshot"),
        pytest.param([70], 0, [APRIL], id="a correction between the days"),
        pytest.param([10], 0, [MARCH, APRIL], id="a correction before both days"),
        pytest.param([10], 70, [APRIL], id="an old order that arrived between the days"),
    ],
)
def test_only_a_day_that_could_have_seen_a_new_fact_is_computed_again(
    context: Context, days: list[int], late_by: int, again: list[date]
):
    context.snapshots(context.ledger(), [MARCH, APRIL])
    ledger = add(context, orders_frame(days, late_by), "second")
    assert context.snapshots(ledger, [MARCH, APRIL]) == again
    for day in (MARCH, APRIL):
        built = pq.read_table(snapshot_path(context.workspace, ledger, day))
        assert built.equals(compute_snapshot(ledger.orders_path, day, "polars"))


def test_another_engine_is_another_snapshot(context: Context):
    ledger = context.ledger()
    assert ensure_snapshots(context.workspace, ledger, [APRIL], "polars") == [APRIL]
    assert ensure_snapshots(context.workspace, ledger, [APRIL], "duckdb") == [APRIL]
    assert ensure_snapshots(context.workspace, ledger, [APRIL], "duckdb") == []


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", None])
def test_a_snapshot_that_cannot_be_read_is_computed_anew(context: Context, content: bytes | None):
    ledger = context.ledger()
    path = snapshot_path(context.workspace, ledger, APRIL)
    path.parent.mkdir(parents=True)
    if content is None:
        pq.write_table(pa.table({"somebody": ["else's"]}), path)
    else:
        path.write_bytes(content)
    assert context.snapshots(ledger, [APRIL]) == [APRIL]
    assert stored_key(path) == snapshot_key(ledger, APRIL, "polars")


# Leaks.

JUNE, JUDGED = date(2024, 6, 30), date(2024, 5, 1)
Definition = Callable[[nw.LazyFrame[Any], int], nw.LazyFrame[Any]]


def quick(root: Path) -> Context:
    """A training that stops, if it does, before it has learned anything."""
    values = {"training": {"trials": 0, "max_snapshots": 2}, "churn": {"horizon_days": 60}}
    return Context(Workspace(root), Settings.load(overrides=values))


def sees_everything(lines: nw.LazyFrame[Any], as_of_day: int) -> nw.LazyFrame[Any]:
    return lines


def forgets_arrivals(lines: nw.LazyFrame[Any], as_of_day: int) -> nw.LazyFrame[Any]:
    return lines.filter(nw.col("event_day") <= as_of_day)


def sees_the_next_day(lines: nw.LazyFrame[Any], as_of_day: int) -> nw.LazyFrame[Any]:
    return lines.filter(nw.col("known_day") <= as_of_day + 1)


@pytest.mark.parametrize("leak", [sees_everything, forgets_arrivals, sees_the_next_day])
def test_a_definition_that_looks_ahead_stops_the_training(
    leak: Definition, ingested: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root = shutil.copytree(ingested, tmp_path / "w")
    monkeypatch.setattr(features.definitions.orders, "known_by", leak)
    named = r"feature \w+ of customer \d+ on 2024-05-01 is .* it looks into the future"
    with pytest.raises(LeakError, match=named):
        train_scorer(quick(root), JUNE)


def one_value_changed(table: pa.Table, column: str) -> pa.Table:
    """Add one to the last customer's value and keep everything else, the key included."""
    *values, last = table[column].to_pylist()
    place, field = table.column_names.index(column), table.schema.field(column)
    return table.set_column(place, field, pa.array([*values, last + 1], field.type))


def last_row_lost(table: pa.Table, _: str) -> pa.Table:
    return table.slice(0, table.num_rows - 1)


@pytest.mark.parametrize(
    ("tamper", "column", "message"),
    [
        (one_value_changed, "purchases_30d", "feature purchases_30d of customer 900 on 2024-05-01"),
        (one_value_changed, "spend_net", "feature spend_net of customer 900 on 2024-05-01"),
        (one_value_changed, "customer_id", "customer_id of customer 901 on 2024-05-01"),
        (last_row_lost, "", "hold 899 customers, 900 were known"),
    ],
)
def test_a_snapshot_that_was_tampered_with_stops_the_training(
    tamper: Callable[[pa.Table, str], pa.Table],
    column: str,
    message: str,
    ingested: Path,
    tmp_path: Path,
):
    context = quick(shutil.copytree(ingested, tmp_path / "w"))
    ledger = context.ledger()
    context.snapshots(ledger, [JUDGED])
    path = snapshot_path(context.workspace, ledger, JUDGED)
    key = stored_key(path)
    pq.write_table(tamper(pq.read_table(path), column), path)
    assert stored_key(path) == key, "the key alone does not give it away"
    with pytest.raises(LeakError, match=message):
        train_scorer(context, JUNE)
