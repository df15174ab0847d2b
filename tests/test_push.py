"""Events as they arrive: kept for good, answered for at once, and the same as a file's."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import shop
from telling import offline, online, rows_of, told

from features.errors import ConflictError, InputError, WorkspaceError
from features.ingest.contract import Table
from features.push import Pusher, PushReport
from features.settings import Settings
from features.snapshots import known_customers, snapshot_path
from features.store import FeatureStore
from features.workspace import Workspace
from pipelines.cli import main
from pipelines.context import Context
from pipelines.features import compute_features
from pipelines.ingest import ingest_table

APRIL, MAY_2 = date(2023, 4, 30), date(2023, 5, 2)
TODAY = date(2023, 6, 1)
MAPPING = dict(pair.split("=") for pair in shop.MAP)

Rows = list[dict[str, Any]]


def open_shop(folder: Path, stores: dict[str, Any] | None = None, customers: int = 60) -> Context:
    """A small shop with the end of April online."""
    orders = shop.orders(customers=customers, seed=4).filter(pl.col("when").dt.date() <= APRIL)
    settings = Settings.load(overrides={"stores": stores or {}})
    context = Context(Workspace(folder / "w"), settings)
    ingest_table(context, Path("orders.parquet"), orders, "0" * 64, MAPPING)
    compute_features(context, [APRIL], online=True)
    return context


def order(customer: int, day: int, amount: float = 12.5, **more: Any) -> dict[str, Any]:
    return {
        "customer_id": customer,
        "ordered_at": f"2023-05-{day:02}T10:00:00Z",
        "amount": amount,
        "order_id": f"{customer}/{day}",
        "category": "P01",
        **more,
    }


def pushed(context: Context, table: str, rows: Rows, key: str | None = None) -> PushReport:
    return Pusher(context.workspace, context.settings).push(table, rows, TODAY, key)


def opened(context: Context) -> FeatureStore:
    return context.store(context.ledger())


def file_of(context: Context, rows: Rows, name: str, table: Table = "orders") -> None:
    """Ingest the very events from a file."""
    raw = pl.DataFrame(rows)
    ingest_table(context, Path(f"{name}.parquet"), raw, name.ljust(64, "a"), {}, table)


def closed(context: Context, day: date) -> dict[str, Any]:
    """Close a day: compute its snapshot for everyone, put it online, and read it as a file."""
    settings = context.settings.model_copy(
        update={"data": context.settings.data.model_copy(update={"observed_until": day})}
    )
    compute_features(Context(context.workspace, settings), [day], online=True)
    path = snapshot_path(context.workspace, context.ledger(), day)
    return rows_of(pq.read_table(path))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    open_shop(folder)
    return folder


@pytest.fixture
def context(template: Path, tmp_path: Path) -> Iterator[Context]:
    """The shop anew for each test."""
    import shutil

    shutil.copytree(template / "w", tmp_path / "w")
    yield Context(Workspace(tmp_path / "w"), Settings())


def test_a_pushed_order_is_online_offline_and_in_the_ledger_the_same(context: Context):
    before = online(opened(context), [5, 6])

    report = pushed(context, "orders", [order(5, 1), order(5, 2, -3.0), order(999, 2)])

    assert (report.accepted, report.rejected, report.repeated) == (3, [], False)
    assert [(one.customer_id, one.as_of) for one in report.customers] == [
        (5, "2023-05-02"),
        (999, "2023-05-02"),
    ]
    store = opened(context)
    now = online(store, [5, 999, 6])
    assert now[5] != before[5]
    assert now[6] == before[6], "nobody else changed"
    assert now[999]["purchases"] == "1", "a push makes a customer known"
    assert now[5] | now[999] != now[5]
    days = {5: MAY_2, 999: MAY_2}
    assert offline(store, days) == {key: now[key] for key in days}
    assert offline(store, {5: APRIL})[5] == before[5], "the day before knows nothing of it"
    snapshot = closed(context, MAY_2)
    assert {key: snapshot[key] for key in days} == {key: now[key] for key in days}
    assert online(opened(context), [5, 999]) == {key: now[key] for key in days}


def test_an_event_of_the_past_changes_the_row_of_the_closed_day(context: Context):
    before = online(opened(context), [5])
    report = pushed(context, "orders", [order(5, 1) | {"ordered_at": "2023-04-02T09:00:00Z"}])
    assert report.customers[0].as_of == APRIL.isoformat()
    store = opened(context)
    now = online(store, [5])
    assert now[5] != before[5]
    assert now == offline(store, {5: APRIL})
    compute_features(context, [APRIL], online=True)
    assert online(opened(context), [5]) == now


def test_the_same_push_twice_changes_nothing(context: Context):
    first = pushed(context, "orders", [order(5, 1)], "till-7/42")
    after = online(opened(context), [5])
    again = pushed(context, "orders", [order(5, 1)], "till-7/42")
    assert again.repeated
    assert (again.accepted, again.customers) == (first.accepted, first.customers)
    assert online(opened(context), [5]) == after
    with pytest.raises(ConflictError, match="key 'till-7/42' was used for other events"):
        pushed(context, "orders", [order(5, 2)], "till-7/42")
    # Without a key the content is its own.
    assert not pushed(context, "orders", [order(6, 1)]).repeated
    assert pushed(context, "orders", [order(6, 1)]).repeated


def test_an_event_that_truly_happened_twice_counts_twice_also_when_a_file_brings_it(
    context: Context,
):
    pushed(context, "orders", [order(999, 1, 10.0)], "one")
    with context.workspace.locked():
        context.folded_ledger()
    pushed(context, "orders", [order(999, 1, 10.0)], "two")
    now = online(opened(context), [999])[999]
    assert now["spend_net"] == told(20.0)
    file_of(context, [order(999, 1, 10.0), order(999, 1, 10.0), order(999, 2, 5.0)], "later")
    assert closed(context, MAY_2)[999]["spend_net"] == told(25.0)
    assert online(opened(context), [999])[999]["spend_net"] == told(25.0)


def test_what_cannot_be_a_fact_is_rejected_with_its_reason_and_the_rest_is_taken(context: Context):
    rows = [
        order(5, 1),
        order(5, 2) | {"amount": "many"},
        order(5, 2) | {"customer_id": None},
        order(5, 2) | {"customer_id": "A-7"},
        order(5, 2) | {"ordered_at": "2031-01-01T00:00:00Z"},
        order(5, 2) | {"ordered_at": "soon"},
    ]
    report = pushed(context, "orders", rows)
    assert report.accepted == 1
    assert [(one.row, one.reason) for one in report.rejected] == [
        (2, "unreadable_amount"),
        (3, "no_customer"),
        (4, "not_an_integer_id"),
        (5, "in_the_future"),
        (6, "unreadable_date"),
    ]
    assert all(one.remedy for one in report.rejected)
    none = pushed(context, "orders", rows[1:3])
    assert (none.accepted, len(none.rejected), none.customers) == (0, 2, [])


@pytest.mark.parametrize(
    ("table", "rows", "message"),
    [
        ("sales", [{"a": 1}], "there is no table 'sales'; it is one of orders, customers"),
        ("orders", [], "a push has 1 to 1000 rows, not 0"),
        ("orders", [{"customer_id": 1}] * 1001, "a push has 1 to 1000 rows, not 1001"),
        ("orders", [{"customer_id": [1]}], "row 1: customer_id is list; a cell is a text"),
        ("orders", [{"customer_id": 1, "amount": 1}], "ordered_at"),
    ],
)
def test_a_push_that_is_none_is_refused(context: Context, table: str, rows: Rows, message: str):
    with pytest.raises(InputError, match=message):
        pushed(context, table, rows)


def test_nothing_can_be_pushed_before_anything_is_ingested(tmp_path: Path):
    with pytest.raises(WorkspaceError, match="no orders yet; run `lifecycle ingest"):
        pushed(Context(Workspace(tmp_path / "w"), Settings()), "orders", [order(1, 1)])


def test_any_table_can_be_pushed_and_a_referral_changes_two_customers(context: Context):
    file_of(context, [{"customer_id": 5, "registered_at": "2023-01-01"}], "people", "customers")
    compute_features(context, [APRIL], online=True)
    at = "2023-05-01T08:00:00Z"
    for table, row in {
        "interactions": {"customer_id": 7, "at": at, "kind": "complaint", "topic": "late"},
        "treatments": {"customer_id": 7, "at": at, "action": "call", "arm": "treated"},
        "contracts": {"customer_id": 7, "contract_id": "c", "starts_at": at, "plan": "gold"},
    }.items():
        assert pushed(context, table, [row]).accepted == 1
    report = pushed(
        context,
        "customers",
        [
            {"customer_id": 8, "registered_at": at, "valid_from": at}
            | {"referred_by": 5, "region": "N"}
        ],
    )
    assert {one.customer_id for one in report.customers} == {5, 8}
    store = opened(context)
    now = online(store, [5, 7, 8])
    assert now[5]["referred_customers"] == "1"
    assert now[7]["complaint_topic"] == "'late'"
    assert now[7]["contract_plan"] == "'gold'"
    assert now[7]["treatment_last"] == "'call'"
    assert now[8]["region"] == "'N'"
    days = dict.fromkeys(now, date(2023, 5, 1))
    assert offline(store, days) == now
    snapshot = closed(context, date(2023, 5, 1))
    # In the ledger a table is there for everyone, so that its absence becomes a zero.
    for customer, row in now.items():
        differs = {name for name in row if row[name] != snapshot[customer][name]}
        assert all(row[name] == "None" for name in differs), differs
    assert snapshot[7] == now[7] | {
        name: value for name, value in snapshot[7].items() if now[7][name] == "None"
    }


def test_a_push_in_the_middle_of_a_materialisation_is_neither_lost_nor_overwritten(
    context: Context, monkeypatch: pytest.MonkeyPatch
):
    """One push comes while the new rows are being written, one waits for the pointer to move."""
    import feast

    materialise = feast.FeatureStore.materialize
    waiting: list[threading.Thread] = []

    def interrupted(store: Any, *args: Any, **named: Any) -> None:
        materialise(store, *args, **named)
        pushed(context, "orders", [order(5, 2)])
        waiting.append(threading.Thread(target=pushed, args=(context, "orders", [order(6, 2)])))

    with monkeypatch.context() as patch:
        patch.setattr(feast.FeatureStore, "materialize", interrupted)
        carried = FeatureStore.materialise

        def starting(store: FeatureStore, *args: Any) -> Any:
            lock = store.pushed.log.locked

            def locked() -> Any:
                held = lock()
                if waiting and not waiting[0].is_alive():
                    waiting[0].start()
                return held

            patch.setattr(store.pushed.log, "locked", locked)
            return carried(store, *args)

        patch.setattr(FeatureStore, "materialise", starting)
        opened(context).materialise(APRIL, "anew")
    waiting[0].join(60)
    store = opened(context)
    assert store.state is not None
    assert store.state.key == "anew"
    now = online(store, [5, 6])
    assert now == offline(store, {5: MAY_2, 6: MAY_2})
    assert now[5]["as_of_day"] == now[6]["as_of_day"] == str((MAY_2 - date(1970, 1, 1)).days)


def test_a_push_that_died_before_it_was_online_is_finished_by_the_next(
    context: Context, monkeypatch: pytest.MonkeyPatch
):
    def dead(*_: Any) -> None:
        raise OSError(5, "the machine went down")

    with monkeypatch.context() as patch:
        patch.setattr(FeatureStore, "push", dead)
        with pytest.raises(OSError, match="went down"):
            pushed(context, "orders", [order(5, 1)], "mine")
    store = opened(context)
    assert online(store, [5]) != offline(store, {5: date(2023, 5, 1)})
    pushed(context, "orders", [order(6, 1)])
    assert online(store, [5]) == offline(store, {5: date(2023, 5, 1)})
    report = pushed(context, "orders", [order(5, 1)], "mine")
    assert report.repeated
    assert online(store, [5])[5]["purchases_7d"] == "1"


def test_a_day_that_only_a_push_has_seen_is_not_covered_by_the_data(context: Context):
    pushed(context, "orders", [order(5, 20)])
    with context.workspace.locked():
        ledger = context.folded_ledger()
    assert ledger.last_day == date(2023, 5, 20)
    assert context.observed_until(ledger) == APRIL


def test_a_push_after_a_newer_file_rests_on_it(context: Context):
    """An ingest renews the pushed rows that are online, as `historical` does."""
    pushed(context, "orders", [order(5, 2)])
    before = online(opened(context), [5])
    file_of(context, [order(5, 1, 7.0)], "file")
    store = opened(context)
    assert online(store, [5]) != before
    assert online(store, [5]) == offline(store, {5: MAY_2})


def some_event(rng: np.random.Generator, at: str) -> tuple[str, dict[str, Any]]:
    def one_of(*texts: str) -> str:
        return str(rng.choice(texts))

    return [
        (
            "orders",
            {"ordered_at": at, "amount": round(float(rng.normal(20, 30)), 2)}
            | {"category": one_of("P01", "P02"), "channel": one_of("web", "shop")},
        ),
        (
            "interactions",
            {"at": at, "kind": one_of("visit", "survey", "complaint"), "topic": "late"}
            | {"value": float(rng.integers(1, 9)), "channel": "mail"},
        ),
        (
            "treatments",
            {"at": at, "action": one_of("call", "mail"), "arm": "treated", "cost": 0.35},
        ),
    ][int(rng.integers(3))]


@pytest.mark.parametrize("seed", [1, 2])
def test_random_histories_agree_online_offline_and_in_the_ledger(context: Context, seed: int):
    """On every feature, to the last bit, after pushes of any table in any order."""
    rng = np.random.default_rng(seed)
    start = datetime(2023, 4, 20, tzinfo=UTC)
    # Each table is there from the beginning, so that pushes bring facts and not tables.
    at = "2023-04-01T00:00:00Z"
    file_of(context, [{"customer_id": 1, "at": at, "kind": "visit"}], "i", "interactions")
    given = {"customer_id": 1, "at": at, "action": "a", "arm": "control"}
    file_of(context, [given], "t", "treatments")
    compute_features(context, [APRIL], online=True)
    pusher = Pusher(context.workspace, context.settings)
    touched: dict[int | str, date] = {}
    for number in range(8):
        customer = int(rng.choice([2, 3, 5, 777]))
        moment = start + timedelta(hours=float(rng.uniform(0, 24 * 14)))
        seen = moment + timedelta(hours=float(rng.choice([0, 0, 30])))
        base = {"customer_id": customer, "arrived_at": seen.isoformat()}
        table, row = some_event(rng, moment.isoformat())
        report = pusher.push(table, [base | row], TODAY, f"{number}")
        touched |= {
            one.customer_id: date.fromisoformat(one.as_of) for one in report.customers if one.as_of
        }
    store = opened(context)
    now = online(store, list(touched))
    assert now == offline(store, touched)
    last = max(touched.values())
    snapshot = closed(context, last)
    for customer, day in touched.items():
        if day == last:
            assert snapshot[customer] == now[customer]


def test_the_command_line_takes_json_lines(context: Context, tmp_path: Path):
    from click.testing import CliRunner

    lines = "\n".join(json.dumps(order(5, day)) for day in (1, 2)) + "\n\n"
    words = ["push", "-w", str(context.workspace.root), "--json", "-", "--orders", "-"]
    for repeated in (False, True):
        run = CliRunner().invoke(main, words, input=lines)
        assert run.exit_code == 0, run.output
        (said,) = json.loads(run.stdout)["pushes"]
        assert (said["accepted"], said["repeated"]) == (2, repeated)
        assert said["customers"] == [{"customer_id": 5, "as_of": "2023-05-02"}]
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"customer_id": 5}\n[1]\n')
    run = CliRunner().invoke(main, [*words[:3], "--orders", str(bad)])
    assert run.exit_code == 1
    assert "bad.jsonl, line 2 is no JSON object" in run.output


def test_the_endpoint_takes_events_and_answers_anew_within_a_second(
    trained: dict[str, Any], tmp_path: Path
):
    import asyncio
    import hashlib
    import shutil
    import time

    import httpx

    from serving.endpoint.opening import Endpoint

    shutil.copytree(trained["workspace"], tmp_path / "w")
    known = hashlib.sha256(b"key").hexdigest()
    keys = {"till": {"sha256": known, "scopes": ["score", "push"]}}
    settings = Settings.load(overrides={"serving": {"api_keys": keys}})
    endpoint = Endpoint.of(Workspace(tmp_path / "w"), settings)
    endpoint.live.refresh()
    app = endpoint.application

    def post(route: str, body: dict[str, Any], key: str = "key") -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.post(route, json=body, headers={"X-API-Key": key})

        return asyncio.run(send())

    events = {
        "table": "orders",
        "rows": [
            {"customer_id": 7_000_001, "ordered_at": "2024-07-02T10:00:00Z", "amount": 30},
            {"customer_id": 7_000_001, "ordered_at": "soon", "amount": 30},
        ],
        "idempotency_key": "till-1/1",
    }
    assert post("/events", events, "another").status_code == 401
    ask = {"customer_ids": [7_000_001]}
    assert post("/customers/score", ask).status_code == 404

    # The first push opens the store; what counts is one among many.
    assert post("/events", events | {"idempotency_key": "0"}).is_success
    before = time.monotonic()
    said = post("/events", events).json()
    answer = post("/customers/score", ask).json()
    seconds = time.monotonic() - before

    assert (said["accepted"], said["repeated"]) == (1, False)
    assert [one["reason"] for one in said["rejected"]] == ["unreadable_date"]
    assert said["customers"] == [{"customer_id": 7_000_001, "as_of": "2024-07-02"}]
    assert answer["results"][0]["as_of"] == "2024-07-02"
    assert seconds < 3, "a second on an idle machine"
    assert post("/events", events).json()["repeated"]
    for wrong, status, code in (
        (events | {"rows": events["rows"][:1]}, 409, "idempotency_conflict"),
        ({"table": "orders", "rows": []}, 400, "bad_request"),
        ({"table": "sales", "rows": [{"a": 1}]}, 400, "bad_request"),
        ({"table": "orders", "rows": [{"customer_id": 1}]}, 400, "bad_events"),
    ):
        refused = post("/events", wrong)
        assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)


def test_a_referral_sent_again_with_another_name_takes_it_from_the_first(context: Context):
    def referral(by: int) -> Rows:
        return [{"customer_id": 7001, "valid_from": "2023-05-02T08:00:00Z", "referred_by": by}]

    pushed(context, "customers", referral(9))
    report = pushed(context, "customers", referral(10))
    assert {touched.customer_id for touched in report.customers} == {7001, 9, 10}
    store = opened(context)
    assert online(store, [9, 10]) == offline(store, {9: MAY_2, 10: MAY_2})


def test_an_order_of_who_was_referred_is_income_of_who_brought_them(context: Context):
    """Online, offline and in the ledger, in whatever part; and it is nobody's own."""
    row = {"valid_from": "2023-04-01T08:00:00Z", "acquisition_cost": 4.0}
    file_of(
        context,
        [row | {"customer_id": n, "referred_by": 9} for n in (9001, 9002)],
        "p",
        "customers",
    )
    compute_features(context, [APRIL], online=True)
    pushed(context, "orders", [order(9, 1)])
    sold = order(9002, 1, 30.0) | {"cost": 12.0}
    report = pushed(context, "orders", [sold, order(9001, 2, 5.0), order(7, 1, 9.0)])
    assert {touched.customer_id for touched in report.customers} == {7, 9, 9001, 9002}
    store = opened(context)
    now = online(store, [9, 9002])
    assert now == offline(store, {9: MAY_2, 9002: date(2023, 5, 1)})
    assert now[9]["referred_margin_recorded"] == f"float {(18.0).hex()}"
    assert now[9]["referred_spend_without_cost"] == f"float {(5.0).hex()}"
    assert now[9002]["margin_recorded"] == f"float {(18.0).hex()}"
    assert closed(context, MAY_2)[9] == now[9]


def test_a_push_after_the_names_became_texts_waits_for_the_next_materialisation(context: Context):
    text = [{"customer_id": "C1", "ordered_at": "2023-04-20T10:00:00Z", "amount": 5.0}]
    file_of(context, text, "text")
    for customer in ("C1", "7"):
        report = pushed(context, "orders", [order(customer, 2)])  # type: ignore[arg-type]
        assert [(one.customer_id, one.as_of) for one in report.customers] == [(customer, None)]
    assert closed(context, MAY_2)["C1"]["purchases"] == "2"


def test_what_an_emptied_store_had_is_put_online_again(context: Context):
    for path in context.workspace.feast.glob("online-*.db*"):
        path.unlink()
    compute_features(context, [APRIL], online=True)
    customer = known_customers(context.workspace, context.ledger(), APRIL)[0].as_py()
    assert opened(context).holds([customer])
