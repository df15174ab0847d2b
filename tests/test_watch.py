"""The watch: silent while nothing has changed, and each real break told in the first week."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import shop as trained_shop
import watched_shop as made
from conftest import run, succeed
from hypothesis import given
from hypothesis import strategies as st

import mlflow
from features.settings import MonitoringSettings, Settings
from pipelines.context import Context
from pipelines.watch import ALARM_EXIT, WatchReport, watch
from pipelines.watching import webhook
from pipelines.watching.checks import Check, alerts_of, error_of

Tables = dict[str, pl.DataFrame]
LAST = datetime.fromisoformat(trained_shop.LAST_DAY)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.simulated(tmp_path_factory.mktemp("simulated"))


@pytest.fixture(scope="module")
def started(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.begun(shop, tmp_path_factory.mktemp("started") / "w")


@pytest.fixture
def after(shop: Path, started: Path, tmp_path: Path) -> Callable[[Tables], Path]:
    """Ingest a week more into a workspace of one's own."""
    return lambda tables: made.with_week(started, shop, tmp_path / "w", tables)


def seen(root: Path, day: date = made.WEEK_END, **monitoring: Any) -> WatchReport:
    settings = Settings(monitoring=MonitoringSettings(**monitoring))
    return watch(Context.open(root, settings.model_dump(include={"data"})), day)


def alarms(report: WatchReport) -> dict[str, str]:
    return {alert.key: alert.sentence for alert in report.alarms}


# --- nothing has changed ---


def test_a_week_like_others_is_silent_and_a_second_run_changes_nothing(
    shop: Path, after: Callable[[Tables], Path]
):
    root = after(made.week_of(shop))
    words = ("watch", "--as-of", made.WEEK_END)
    first = run(root, *words, "--json", root.parent / "first.json")
    assert first.exit_code == 0, first.output
    assert "nothing to tell" in first.stdout
    file = root / "watched" / f"{made.WEEK_END}.json"
    kept = file.read_bytes()
    assert run(root, *words).exit_code == 0
    assert file.read_bytes() == kept
    told = json.loads((root.parent / "first.json").read_text())
    assert len(told["checks"]) > 30
    client = mlflow.MlflowClient(f"sqlite:///{root}/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("orders health")
    (only,) = client.search_runs([experiment.experiment_id])
    assert only.data.metrics["alarms"] == 0
    assert only.data.metrics["data/orders/orders"] > 0


# --- each break, in the first week ---


def of_orders(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Callable[[Tables], Tables]:
    return lambda week: {**week, "orders": change(week["orders"])}


def half(rows: pl.DataFrame) -> pl.DataFrame:
    keep = np.random.default_rng(1).random(rows["order_id"].n_unique()) < 0.5
    orders = rows["order_id"].unique(maintain_order=True).filter(pl.Series(keep))
    return rows.filter(pl.col("order_id").is_in(orders.implode()))


# Few of the breaks in every run, all of them in the full one.
QUICK = ("prices doubled", "half of the rows", "an export that ended early")

BREAKS: dict[str, tuple[Callable[[Tables], Tables], str, str]] = {
    "prices doubled": (
        of_orders(lambda rows: rows.with_columns(pl.col("amount") * 2)),
        "data/orders/amount",
        r"What an order is worth, as a multiple of what its customer paid before: [12]\.\d",
    ),
    "a channel lost": (
        of_orders(lambda rows: rows.filter(pl.col("channel") != "app")),
        "data/orders/channel/app",
        "Lines of orders of channel app: 0 in the newest week",
    ),
    "half of the rows": (of_orders(half), "data/orders/orders", "Orders: "),
    "a column emptied": (
        of_orders(lambda rows: rows.with_columns(channel=pl.lit(None, pl.String))),
        "data/orders/empty/channel",
        "Lines of orders without channel: 100.0% in the newest week",
    ),
    "a column dropped": (
        of_orders(lambda rows: rows.drop("cost")),
        "data/orders/file/columns_vanished",
        "The newest file of orders, orders.parquet, lacks: cost.",
    ),
    "amounts that cannot be read": (
        of_orders(
            lambda rows: rows.with_columns(
                amount=pl.when(pl.int_range(pl.len()) % 4 > 0).then(pl.col("amount").cast(str))
            ).with_columns(pl.col("amount").fill_null("n/a"))
        ),
        "data/orders/file/quarantined",
        "The newest file of orders, orders.parquet: 25",
    ),
    "an export that ended early": (
        of_orders(lambda rows: rows.filter(pl.col("ordered_at").dt.date() < date(2025, 8, 1))),
        "data/orders/days",
        "No row of orders on 2025-08-01, 2025-08-02, 2025-08-03, where",
    ),
    "a file doubled": (
        of_orders(lambda rows: pl.concat([rows, rows])),
        "data/orders/repeats",
        "Lines that repeat another: 50.0% in the newest week",
    ),
    "a file of zeros": (
        of_orders(lambda rows: rows.with_columns(amount=pl.lit(0.0))),
        "data/orders/zero",
        "Lines of amount zero: 100.0% in the newest week",
    ),
}


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.full) for n in BREAKS]
)
def test_a_break_is_told_in_its_first_week(name: str, shop: Path, after: Callable[[Tables], Path]):
    change, key, sentence = BREAKS[name]
    found = alarms(seen(after(change(made.week_of(shop)))))
    assert key in found
    assert re.match(sentence, found[key])


def test_an_export_that_never_came_is_told_where_the_day_is_named(started: Path, tmp_path: Path):
    root = tmp_path / "w"
    shutil.copytree(started, root)
    found = run(root, "watch", "--as-of", made.WEEK_END)
    assert found.exit_code == ALARM_EXIT
    assert "No row of orders on 2025-07-28, 2025-07-29" in found.stdout
    lines = [json.loads(line) for line in found.stderr.splitlines() if line.startswith("{")]
    assert "data/orders/days" in {line["key"] for line in lines}
    # Without a day the week ends with the last order, so that nothing is missing.
    assert run(root, "watch").exit_code == 0


@pytest.mark.full
@pytest.mark.parametrize(("language", "alarm"), [("en", "worth of an order"), ("zh", "单笔金额")])
def test_the_report_has_the_health_of_data_and_predictions(
    language: str, alarm: str, shop: Path, after: Callable[[Tables], Path]
):
    root = after(BREAKS["prices doubled"][0](made.week_of(shop)))
    page = root.parent / "report.html"
    words = ("report", "--as-of", made.WEEK_END, "--lang", language, "--out", page)
    assert succeed(root, *words)["health"] is None
    assert 'id="health"' not in page.read_text("utf-8")
    seen(root)
    (first, *_) = succeed(root, *words)["health"]["alerts"]
    assert (first["severity"], first["key"]) == ("alarm", "data/orders/amount")
    assert alarm in page.read_text("utf-8").partition('id="health"')[2]


# --- what the champion said ---


def later(root: Path, kept: float) -> pl.DataFrame:
    """Orders of the horizon after the scores, as they foretold them, but for those who left."""
    scores = pl.read_parquet(next((root / "scores").rglob(f"{trained_shop.LAST_DAY}.parquet")))
    rng = np.random.default_rng(5)
    chance = 1 - scores["churn_probability"].to_numpy()
    buys = (rng.random(len(chance)) < chance) & (rng.random(len(chance)) < kept)
    spend = scores["expected_spend"].to_numpy() / np.maximum(chance, 0.05)
    # Who buys often buys soon: two of three first purchases lie in the first half.
    when = [LAST + timedelta(days=1 + 59 * float(u) ** 2) for u in rng.random(len(chance))]
    frame = pl.DataFrame(
        {
            "client": scores["customer_id"], "when": when, "units": 1, "price": spend.round(2),
            "invoice": [f"later-{place}" for place in range(len(chance))], "sku": "P01",
            "seen": when,
        }
    )  # fmt: skip
    return frame.filter(pl.Series(buys))


@pytest.mark.parametrize(("kept", "broken"), [(1.0, False), (0.5, True)])
def test_what_scores_said_is_set_beside_what_was_seen(
    kept: float, broken: bool, trained: dict[str, Any], tmp_path: Path
):
    root = tmp_path / "w"
    shutil.copytree(trained["workspace"], root)
    later(root, kept).write_csv(tmp_path / "later.csv")
    succeed(root, "ingest", "--orders", tmp_path / "later.csv", *trained_shop.map_options())
    at = LAST.date()
    early = seen(root, at + timedelta(days=28))
    matured = seen(root, at + timedelta(days=60))
    for report, key in ((early, "outcomes/early/buyers"), (matured, "outcomes/matured/buyers")):
        check = next(check for check in report.checks if check.key == key)
        assert 0.8 < check.value / check.expected / kept < 1.25
        assert (check.chance < 0.01) == broken
    assert ("outcomes/matured/buyers" in alarms(matured)) == broken
    assert matured.matured is not None
    assert (matured.matured.day, matured.matured.horizon_days) == (at, 60)
    assert len(matured.matured.tenths) == 10
    known = {check.key for check in matured.checks}
    assert {"outcomes/matured/coverage", "outcomes/matured/auc", "features/90d"} <= known


# --- who is told ---


class Receiver(ThreadingHTTPServer):
    """A webhook that keeps what it gets, and answers as it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[dict[str, Any]] = []
        self.answers: list[int] = []


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append({"path": self.path, **json.loads(body)})
        self.send_response(self.server.answers.pop(0) if self.server.answers else 200)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(webhook, "PAUSE_SECONDS", 0.01)
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_webhook_gets_alarms_once_and_its_address_is_shown_nowhere(
    receiver: Receiver, started: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root = tmp_path / "w"
    shutil.copytree(started, root)
    url = f"http://127.0.0.1:{receiver.server_port}/services/SECRET-PLACE"
    monkeypatch.setenv("LIFECYCLE_MONITORING__WEBHOOK", url)
    words = ("watch", "--as-of", made.WEEK_END)
    receiver.answers = [503, 500, 429]
    failed = run(root, *words)
    assert failed.exit_code == ALARM_EXIT
    assert "did not get the alarms: it answered 429, 3 times" in failed.stdout
    told = run(root, *words)
    assert len(receiver.got) == 4
    assert run(root, *words).exit_code == ALARM_EXIT
    assert len(receiver.got) == 4
    body = receiver.got[-1]
    assert (body["path"], body["as_of"]) == ("/services/SECRET-PLACE", str(made.WEEK_END))
    assert "No row of orders on" in body["text"]
    assert body["alerts"][0]["severity"] == "alarm"
    shown = run(root, "settings")
    for text in (failed.output, told.output, shown.output):
        assert "SECRET-PLACE" not in text
    for file in root.rglob("*"):
        assert not file.is_file() or b"SECRET-PLACE" not in file.read_bytes()


@pytest.mark.parametrize(
    ("answers", "said", "tries"),
    [([404], "it answered 404", 1), ([302], "it answered 302", 1), ([], None, 1)],
)
def test_a_webhook_that_refuses_is_not_asked_again_and_leads_nowhere_else(
    answers: list[int], said: str | None, tries: int, receiver: Receiver
):
    receiver.answers = answers
    url = f"http://127.0.0.1:{receiver.server_port}/x"
    assert webhook.post(url, {"text": "hello"}, 2.0) == said
    assert len(receiver.got) == tries


def test_a_webhook_that_is_away_fails_no_run(receiver: Receiver):
    assert webhook.post("http://127.0.0.1:1/SECRET", {}, 0.5) == (
        "it cannot be reached (ConnectionRefusedError), 3 times"
    )


# --- what cannot be ---


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--as-of", "2020-01-01"), "lies before the data, which begin on 2023-07-01"),
        (("--as-of", "2999-01-01"), "is not over yet"),
    ],
)
def test_a_day_that_cannot_be_watched_is_an_error_and_no_alarm(
    words: tuple[str, ...], said: str, started: Path
):
    refused = run(started, "watch", *words)
    assert refused.exit_code == 1
    assert said in refused.stderr


def test_a_webhook_that_is_no_address_is_refused_without_showing_it(
    started: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LIFECYCLE_MONITORING__WEBHOOK", "htps:/SECRET-PLACE")
    refused = run(started, "watch")
    assert refused.exit_code == 1
    assert "setting monitoring.webhook = ***: this is no address of a webhook" in refused.stderr
    assert "SECRET" not in refused.output


# --- how the rate is held ---


@given(
    chances=st.lists(st.floats(0, 1), min_size=1, max_size=80),
    allowed=st.floats(0.01, 10),
    runs=st.integers(1, 366),
)
def test_chances_of_all_alarms_of_a_year_add_up_to_what_is_allowed(
    chances: list[float], allowed: float, runs: int
):
    settings = MonitoringSettings(false_alarms_a_year=allowed, runs_a_year=runs)
    checks = [
        Check(f"data/{place}", "data", 1, 1, chance, True, True, "", weight=1.0 + 3 * (place % 2))
        for place, chance in enumerate(chances)
    ]
    error = error_of(settings, checks)
    assert error * sum(check.weight for check in checks) * runs <= allowed * (1 + 1e-9)
    told = {alert.key for alert in alerts_of(checks, settings) if alert.severity == "alarm"}
    assert told == {check.key for check in checks if check.chance <= error * check.weight}


def test_drift_of_features_alone_is_a_notice_and_what_does_not_matter_is_nothing():
    drift = Check("features/30d", "features", 2, 0.1, 1e-12, True, False, "moved")
    small = Check("data/orders/rows", "data", 101, 100, 1e-12, False, True, "a hundredth")
    found = alerts_of([drift, small], MonitoringSettings())
    assert [(alert.severity, alert.key) for alert in found] == [("notice", "features/30d")]
