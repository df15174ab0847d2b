"""The endpoint over a real HTTP server: the batch's numbers, clear errors, keys, live models."""

from __future__ import annotations

import gc
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pyarrow.parquet as pq
import pytest
import shop
from conftest import run, succeed
from servers import free_port

from features import catalogue
from features.ingest.ledger import Ledger
from features.snapshots import snapshot_folder
from features.workspace import Workspace
from serving.endpoint.messages import MOST_EXACT
from training.bundle import NUMBERS

REPOSITORY = Path(__file__).parent.parent
START_SECONDS = 300
"""A bound for a machine with much else to do."""
KEY = "correct horse battery staple"


@contextmanager
def serving(command: list[str], environment: dict[str, str], log: Path) -> Iterator[httpx.Client]:
    """Run a server until the block ends; give a client once it is ready."""
    port = free_port()
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            await_status(client, process, "/readyz", 200, log)
            yield client
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def await_status(
    client: httpx.Client, process: subprocess.Popen[bytes], path: str, status: int, log: Path
) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            if client.get(path).status_code == status:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"{path} did not answer {status}: {log.read_text()[-3000:]}")


def lifecycle(workspace: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "pipelines.cli", "--workspace", str(workspace), *words]


@pytest.fixture(scope="module")
def served(trained: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop's workspace, to be served from."""
    return shutil.copytree(trained["workspace"], tmp_path_factory.mktemp("served") / "w")


@pytest.fixture(scope="module")
def live(served: Path) -> Iterator[Any]:
    with serving(lifecycle(served, "serve"), {}, served.with_name("log")) as client:
        yield client


def ask(client: httpx.Client, *customers: object, **more: Any) -> httpx.Response:
    return client.post("/v1/customers/score", json={"customer_ids": list(customers)}, **more)


def test_the_endpoint_gives_the_batch_numbers_for_every_customer(
    live: httpx.Client, trained: dict[str, Any]
):
    batch = pl.read_parquet(trained["out"]).sort("customer_id")
    ids = batch["customer_id"].to_list()
    answers = [
        row
        for start in range(0, len(ids), 400)
        for row in ask(live, *ids[start : start + 400]).json()["results"]
    ]
    assert [row["customer_id"] for row in answers] == ids
    for column in (
        *NUMBERS,
        "lifecycle_stage", "stage_rule", "reasons", "reasons_method", "action", "action_value",
        "action_value_low",
        "action_value_high", "action_effect", "action_measured_share", "action_note", "flags",
    ):  # fmt: skip
        assert [row[column] for row in answers] == batch[column].to_list(), column
    assert {row["as_of"] for row in answers} == {shop.LAST_DAY}


def test_features_in_the_request_give_the_same_answer(live: httpx.Client, trained: dict[str, Any]):
    workspace = Workspace(trained["workspace"])
    folder = snapshot_folder(workspace, Ledger(workspace).customer_id_type)
    rows = pq.read_table(folder / f"{shop.LAST_DAY}.parquet").to_pylist()[:50]
    body = {
        "rows": [
            {
                "customer_id": row["customer_id"],
                "as_of": shop.LAST_DAY,
                "features": {n: row[n] for n in catalogue.NAMES if n != "as_of_day"},
            }
            for row in rows
        ]
    }
    given = live.post("/v1/features/score", json=body).json()
    stored = ask(live, *[row["customer_id"] for row in rows]).json()
    assert given["results"] == stored["results"]
    assert given["versions"] == stored["versions"]


def test_every_answer_says_what_answered(live: httpx.Client, trained: dict[str, Any]):
    versions = ask(live, 1).json()["versions"]
    assert versions["model"] == trained["promote"]["champion"]
    assert versions["horizon_days"] == 60
    assert versions["feature_service"] == catalogue.SERVICES["scorer"]


def test_unknown_customers_are_named_and_the_others_answered(live: httpx.Client):
    answer = ask(live, 1, 999_999, "2", "someone", 1, "01").json()
    assert [row["customer_id"] for row in answer["results"]] == [1, 2, 1]
    assert answer["unknown_customers"] == [999_999, "someone", "01"]


FULL: dict[str, Any] = {
    name: None if name in catalogue.CATEGORIES else 1
    for name in catalogue.NAMES
    if name != "as_of_day"
}
BAD_BODIES = [
    ("customers", b"", 400, "bad_request"),
    ("customers", b"{", 400, "bad_request"),
    ("customers", b"[]", 400, "bad_request"),
    ("customers", b'{"customer_ids": []}', 400, "bad_request"),
    ("customers", b'{"customer_ids": [1.5]}', 400, "bad_request"),
    ("customers", b'{"customer_ids": [null]}', 400, "bad_request"),
    ("customers", b'{"customer_ids": [true]}', 400, "bad_request"),
    ("customers", b'{"customer_ids": [1], "more": 1}', 400, "bad_request"),
    ("customers", b'{"customer_ids": [1], "reasons": "all"}', 400, "bad_request"),
    ("customers", b'{"customer_ids": [1], "lang": "fr"}', 400, "bad_request"),
    (
        "customers",
        {"customer_ids": list(range(MOST_EXACT + 1)), "reasons": "exact"},
        400,
        "too_many_exact",
    ),
    (
        "features",
        {
            "rows": [{"as_of": "2024-01-01", "features": FULL}] * (MOST_EXACT + 1),
            "reasons": "exact",
        },
        400,
        "too_many_exact",
    ),
    ("customers", b'{"customer_ids": [999999]}', 404, "unknown_customer"),
    ("customers", b'{"customer_ids": [99999999999999999999999]}', 404, "unknown_customer"),
    ("customers", b'{"customer_ids": ["\\u0000"]}', 404, "unknown_customer"),
    ("customers", b'{"customer_ids": [' + b"1," * 1000 + b"1]}", 400, "bad_request"),
    ("customers", b'{"customer_ids": [' + b" " * 3_000_000 + b"1]}", 413, "too_large"),
    ("customers", b"\xff\xfe", 400, "bad_request"),
    ("features", b'{"rows": [{"as_of": "2024-01-01", "features": {}}]}', 400, "missing_feature"),
    ("features", {"rows": [{"as_of": "2024-02-31", "features": FULL}]}, 400, "bad_day"),
    ("features", {"rows": [{"as_of": "yesterday", "features": FULL}]}, 400, "bad_request"),
    (
        "features",
        {"rows": [{"as_of": "2024-01-01", "features": {**FULL, "iq": 1}}]},
        400,
        "unknown_feature",
    ),
    (
        "features",
        {"rows": [{"as_of": "2024-01-01", "features": {**FULL, "purchases": None}}]},
        400,
        "bad_feature",
    ),
    (
        "features",
        {"rows": [{"as_of": "2024-01-01", "features": {**FULL, "recency_days": -4}}]},
        400,
        "bad_feature",
    ),
    (
        "features",
        {"rows": [{"as_of": "2024-01-01", "features": {**FULL, "recency_days": 9}}]},
        400,
        "bad_feature",
    ),
    (
        "features",
        {"rows": [{"as_of": "2024-01-01", "features": {**FULL, "marketing_consent": 0.5}}]},
        400,
        "bad_feature",
    ),
    (
        "features",
        b'{"rows": [{"as_of": "2024-01-01", "features": {"a": NaN}}]}',
        400,
        "bad_request",
    ),
]


UNBOUGHT = dict.fromkeys(FULL) | {"purchases": 0, "known_days": 40}


@pytest.mark.parametrize(
    ("known", "stage"),
    [
        ({}, "prospect_aware"),
        ({"intent_90d": 0, "visit_90d": 9, "interactions_30d": 9}, "prospect_aware"),
        ({"intent_90d": 2, "cart_90d": 2}, "prospect_considering"),
    ],
)
def test_a_prospect_is_answered_flagged_and_staged_by_engagement(
    live: httpx.Client, known: dict[str, Any], stage: str
):
    row = {"as_of": "2024-02-29", "features": {**UNBOUGHT, **known}}
    answer = live.post("/v1/features/score", json={"rows": [row]}).json()["results"][0]
    assert answer["lifecycle_stage"] == stage
    assert "prospect" in answer["flags"]
    assert answer["as_of"] == "2024-02-29"
    assert 0.5 < answer["churn_probability"] < 1
    assert "no purchase yet" in answer["reasons"][0]


def test_a_category_that_no_model_has_seen_is_answered(live: httpx.Client):
    rows = [
        {"as_of": "2024-02-29", "features": {**FULL, "category_favourite": said}}
        for said in ("P01", "never sold before", None)
    ]
    answers = live.post("/v1/features/score", json={"rows": rows}).json()["results"]
    assert len(answers) == 3


@pytest.mark.parametrize(
    ("feature", "value", "message"),
    [
        ("region", 3, r"rows[1].features.region must be a text or null, not the number 3.0"),
        ("recency_days", "9", "rows[1].features.recency_days must be a number or null, not a text"),
    ],
)
def test_a_feature_of_the_wrong_type_is_named_with_what_it_should_be(
    live: httpx.Client, feature: str, value: Any, message: str
):
    rows = [
        {"as_of": "2024-02-29", "features": features}
        for features in (FULL, {**FULL, feature: value})
    ]
    answer = live.post("/v1/features/score", json={"rows": rows})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "bad_feature"
    assert answer.json()["error"]["message"] == message


@pytest.mark.parametrize(("route", "body", "status", "code"), BAD_BODIES)
def test_a_bad_body_gets_the_one_envelope(
    live: httpx.Client, route: str, body: Any, status: int, code: str
):
    given = {"content": body} if isinstance(body, bytes) else {"json": body}
    answer = live.post(f"/v1/{route}/score", **given)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code
    assert error["message"]
    assert error["request_id"] == answer.headers["x-request-id"]


def test_a_number_too_large_for_a_float_is_refused(live: httpx.Client):
    import json

    text = json.dumps({"rows": [{"as_of": "2024-01-01", "features": FULL}]})
    answer = live.post(
        "/v1/features/score", content=text.replace('"spend_net": 1', '"spend_net": 1e400')
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] in {"bad_request", "not_finite"}


def test_a_chunked_body_is_counted_too(live: httpx.Client):
    chunks = (b" " * 100_000 for _ in range(40))
    answer = live.post("/v1/customers/score", content=chunks)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/features/score", 405),
        ("POST", "/v1/nothing", 404),
        ("GET", "/v1/x", 404),
        ("GET", "/v1", 404),
        ("GET", "/docs.json", 404),
        ("DELETE", "/", 405),
    ],
)
def test_a_wrong_route_gets_the_same_envelope(
    live: httpx.Client, method: str, path: str, status: int
):
    answer = live.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_a_request_id_is_taken_over_and_a_wild_one_is_not(live: httpx.Client):
    assert ask(live, 1, headers={"x-request-id": "crm-17"}).json()["request_id"] == "crm-17"
    assert len(ask(live, 1, headers={"x-request-id": "x" * 500}).json()["request_id"]) == 32


def test_the_openapi_document_describes_both_routes(live: httpx.Client):
    document = live.get("/v1/openapi.json").json()
    assert set(document["paths"]) >= {"/v1/customers/score", "/v1/features/score"}
    schemas = document["components"]["schemas"]
    assert "Answer" in schemas
    for name in ("CustomersRequest", "FeaturesRequest"):
        # None asks for what the settings say.
        choices: dict[str, tuple[list[str], str | None]] = {
            "reasons": (["exact", "fast", "none"], "fast"),
            "lang": (["en", "zh"], None),
        }
        for field, expected in choices.items():
            asked = schemas[name]["properties"][field]
            one = next(part for part in asked.get("anyOf", [asked]) if "enum" in part)
            assert (sorted(one["enum"]), asked["default"]) == expected
    features = schemas["FeatureRow"]["properties"]["features"]
    assert features["additionalProperties"] is False
    assert set(features["required"]) == set(features["properties"]) == set(FULL)
    texts = {n for n, says in features["properties"].items() if says["type"] == ["string", "null"]}
    assert texts == set(catalogue.CATEGORIES)


def files_under(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def test_workers_of_a_copied_workspace_serve_and_a_promoted_model_answers_within_seconds(
    trained: dict[str, Any], tmp_path: Path
):
    workspace, log = tmp_path / "w", tmp_path / "log"
    shutil.copytree(trained["workspace"], workspace)
    with serving(lifecycle(workspace, "serve", "--workers", "2"), {}, log) as client:

        def models() -> set[int]:
            """Which models answer, each over a connection of its own to whichever worker."""
            url = client.base_url.join("/v1/customers/score")
            answers = [httpx.post(url, json={"customer_ids": [1]}) for _ in range(20)]
            assert {answer.status_code for answer in answers} == {200}
            return {answer.json()["versions"]["model"] for answer in answers}

        assert models() == {1}
        # What tests before this one have left open of it, SQLite's own files, goes first.
        gc.collect()
        before = files_under(trained["workspace"])
        succeed(workspace, "train", "--horizon-days", 60, "--trials", 0)
        succeed(workspace, "promote", "--force")
        assert files_under(trained["workspace"]) == before, "the original was written to"
        until = time.monotonic() + 15
        while models() != {2}:
            assert time.monotonic() < until, "the new model never came"
            time.sleep(0.1)
        assert log.read_text().count("initialized") == 2


def test_with_keys_only_their_holders_are_answered(served: Path, tmp_path: Path):
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    environment = {"LIFECYCLE_SERVING__API_KEYS__CRM__SHA256": digest}
    command = lifecycle(served, "serve")
    with serving(command, environment, tmp_path / "log") as client:
        assert ask(client, 1).status_code == 401
        assert ask(client, 1).json()["error"]["code"] == "unauthorised"
        assert ask(client, 1, headers={"authorization": "Bearer wrong"}).status_code == 401
        assert ask(client, 1, headers={"authorization": f"Bearer {KEY}"}).status_code == 200
        assert ask(client, 1, headers={"x-api-key": KEY}).status_code == 200
    assert KEY not in (tmp_path / "log").read_text()


def test_without_a_key_it_listens_on_loopback_only(trained: dict[str, Any]):
    result = run(trained["workspace"], "serve", "--host", "0.0.0.0")
    assert result.exit_code == 1
    assert "without an API key the endpoint listens on loopback only" in result.stderr


def test_a_built_bento_starts_and_answers(served: Path, tmp_path: Path):
    home = {"BENTOML_HOME": str(tmp_path / "bentos"), "BENTOML_DO_NOT_TRACK": "True"}
    bentoml = str(Path(sys.executable).with_name("bentoml"))
    built = subprocess.run(
        [bentoml, "build", "--output", "tag", str(REPOSITORY)],
        env={**os.environ, **home},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    tag = built.stdout.strip().splitlines()[-1].removeprefix("__tag__:")
    environment = {**home, "LIFECYCLE_WORKSPACE": str(served)}
    with serving(
        [bentoml, "serve", tag, "--host", "127.0.0.1"], environment, tmp_path / "log"
    ) as client:
        assert ask(client, 1).json()["results"][0]["customer_id"] == 1


def test_the_servers_metrics_tell_of_answers_and_refusals(live: httpx.Client):
    ask(live, 1)
    ask(live, 999_999)
    told = live.get("/metrics").text
    for name in (
        'lifecycle_request_seconds_count{route="/customers/score",status="200"}',
        'lifecycle_refused_requests_total{code="unknown_customer"}',
        "lifecycle_scores_total{stage=",
        "lifecycle_unknown_customers_total",
        "lifecycle_model_version",
        "lifecycle_feature_age_days",
    ):
        assert name in told, name


def test_the_view_of_a_customer_has_facts_answer_and_history(live: httpx.Client):
    asked = ask(live, 5).json()["results"][0]
    view = live.get("/v1/customers/5").json()
    told = {k: v for k, v in view["answer"].items() if not k.startswith("reasons")}
    assert told == {k: v for k, v in asked.items() if not k.startswith("reasons")}
    assert view["answer"]["reasons_method"] == "exact"
    assert set(view["facts"]) == set(catalogue.NAMES)
    by = {one["by"] for one in view["history"]}
    assert "endpoint" in by
    assert view["history"][0]["decision_id"] == asked["decision_id"]
    assert view["features"]["as_of"] == shop.LAST_DAY
    assert view["features"]["stale"] is True, "the shop's days are long over"
    chinese = live.get("/v1/customers/5", params={"lang": "zh"}).json()["answer"]["reasons"]
    assert chinese != view["answer"]["reasons"]
    assert live.get("/v1/customers/999999").status_code == 404
    assert live.get("/v1/customers/5", params={"lang": "fr"}).status_code == 400


def test_events_in_the_request_are_answered_for_and_not_kept(live: httpx.Client):
    before = ask(live, 5).json()["results"][0]
    order = {"ordered_at": f"{shop.LAST_DAY}T12:00:00Z", "amount": 500.0}
    body = {"customer_id": 5, "events": {"orders": [order]}}
    foreseen = live.post("/v1/events/score", json=body).json()["results"][0]
    assert foreseen["churn_probability"] < before["churn_probability"]
    assert foreseen["decision_id"] != before["decision_id"]
    again = ask(live, 5).json()["results"][0]
    assert again == before, "nothing of it was kept"
    pushed_elsewhere = {**body, "events": {"orders": [{**order, "customer_id": 6}]}}
    for bad, code in (
        (pushed_elsewhere, "bad_events"),
        ({**body, "events": {"orders": [{"ordered_at": "soon", "amount": 1}]}}, "bad_events"),
        ({**body, "events": {"orders": []}}, "bad_events"),
        ({**body, "events": {}}, "bad_request"),
        ({**body, "events": {"parcels": [order]}}, "bad_request"),
    ):
        answer = live.post("/v1/events/score", json=bad)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


def test_the_same_decision_has_the_same_id_by_whatever_route(live: httpx.Client):
    first, second = (ask(live, 7).json()["results"][0]["decision_id"] for _ in range(2))
    assert first == second
    assert len(first) == 32
    assert ask(live, 8).json()["results"][0]["decision_id"] != first
