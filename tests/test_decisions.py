"""The record of decisions: nothing is lost, and every answer comes again."""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import shop
from conftest import run, succeed

from features.settings import Settings
from features.workspace import Workspace
from serving.decisions import archive as archive_module
from serving.decisions import merging
from serving.decisions.archive import Archive
from serving.decisions.journal import SUFFIX, Decided, Journal, read_journal
from serving.decisions.recorder import Recorder
from serving.endpoint.opening import Endpoint
from serving.playbook import SHIPPED as PLAYBOOK
from serving.playbook import load_playbook
from training.registry import MODEL, SHADOW, open_registry
from training.stage_rules import SHIPPED

WIDTH = 3


def decided(*customers: Any, request_id: str = "r", at: datetime | None = None) -> Decided:
    moment = at or datetime.now(UTC)
    return Decided(
        request_id=request_id,
        at=int(moment.timestamp() * 1e6),
        route="/customers/score",
        caller="crm",
        model_version=1,
        playbook="p",
        stage_rules="s",
        consent_unknown="refuse",
        language="en",
        reasons="fast",
        shadow=False,
        decision_ids=[f"{request_id}-{customer!r}" for customer in customers],
        customers=list(customers),
        features=np.arange(WIDTH * len(customers), dtype=np.float64).tobytes(),
        answers=[{"churn_probability": 0.1 + 0.2, "as_of": "2024-01-01"} for _ in customers],
    )


def test_what_was_appended_is_read_from_journal_and_parquet_alike(tmp_path: Path):
    recorder = Recorder(tmp_path, keep_days=10)
    recorder.append(decided(7, "7", None))
    in_journal = recorder.archive.find("r-7")
    recorder.rotate()
    in_parquet = recorder.archive.find("r-7")
    assert in_journal == in_parquet
    assert in_parquet is not None
    assert in_parquet.answer["churn_probability"] == 0.1 + 0.2
    assert [d.customer_id for d in recorder.archive.of_customer(7, 9)] == [7]
    assert [d.customer_id for d in recorder.archive.of_customer("7", 9)] == ["7"]
    recorder.stop()


@pytest.mark.parametrize("cut", [1, 9, 60])
def test_a_frame_cut_off_by_a_death_is_left_out_and_the_rest_kept(tmp_path: Path, cut: int):
    journal = Journal(tmp_path)
    journal.append(decided(1, request_id="whole"))
    journal.append(decided(2, request_id="torn"))
    journal.close()
    journal.path.write_bytes(journal.path.read_bytes()[:-cut])
    assert [one.request_id for one in read_journal(journal.path)] == ["whole"]


def test_what_comes_too_late_is_refused_and_goes_into_no_other_file(tmp_path: Path):
    recorder = Recorder(tmp_path / "record", keep_days=10)
    recorder.append(decided(1))
    recorder.stop()
    with (tmp_path / "another").open("wb") as other:
        with pytest.raises(OSError, match="closed"):
            recorder.append(decided(2))
        assert other.tell() == 0
    assert (tmp_path / "another").stat().st_size == 0


def test_a_dead_processes_journal_is_taken_and_a_living_ones_is_not(tmp_path: Path):
    dead, living = Journal(tmp_path), Journal(tmp_path)
    dead.append(decided(1, request_id="dead"))
    living.append(decided(2, request_id="living"))
    dead.close()
    archive = Archive(tmp_path)
    archive.tidy(datetime.now(UTC).date(), keep_days=10)
    assert not dead.path.exists()
    assert living.path.exists()
    assert archive.find("dead-1") is not None
    assert archive.find("living-2") is not None
    living.close()


def test_a_day_that_is_over_becomes_one_file_and_an_old_one_goes(tmp_path: Path):
    archive = Archive(tmp_path)
    now = datetime(2024, 6, 30, 12, tzinfo=UTC)
    for back in (0, 1, 40):
        for part in range(3):
            journal = Journal(tmp_path)
            moment = now - timedelta(days=back)
            journal.append(decided(part, request_id=f"d{back}", at=moment))
            journal.close()
            archive.take(journal.path)
    archive.tidy(date(2024, 6, 30), keep_days=30)
    archive.tidy(date(2024, 6, 30), keep_days=30)
    files = {path.name: len(list(path.iterdir())) for path in tmp_path.iterdir() if path.is_dir()}
    assert files == {"2024-06-30": 3, "2024-06-29": 1}
    assert all(archive.find(f"d1-{part}") for part in range(3))
    assert archive.find("d40-0") is None


def test_a_long_day_becomes_one_sorted_file_a_stretch_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(merging, "STRETCH_ROWS", 20)
    monkeypatch.setattr(archive_module, "GROUP_ROWS", 7)
    archive = Archive(tmp_path)
    noon = datetime(2024, 6, 29, 12, tzinfo=UTC)
    ids = [int(one) for one in np.random.default_rng(1).integers(0, 60, 150)]
    for part in range(3):
        journal = Journal(tmp_path)
        for place in range(50 * part, 50 * part + 50):
            at = noon + timedelta(seconds=place)
            journal.append(decided(ids[place], request_id=f"r{place}", at=at))
        journal.close()
        frames = journal.path.read_bytes()
        archive.take(journal.path)
        if part == 1:
            # Somebody died after the file was written; a day later its journal is found again.
            archive.tidy(date(2024, 6, 30), keep_days=30)
            journal.path.write_bytes(frames)
    archive.tidy(date(2024, 6, 30), keep_days=30)
    (file,) = tmp_path.glob("*/*")
    rows = pl.read_parquet(file)
    assert pq.read_metadata(file).num_row_groups >= 5, "written a stretch at a time"
    assert sorted(rows["request_id"]) == sorted(f"r{place}" for place in range(150))
    assert rows.equals(rows.sort("customer_id", "at", "decision_id"))


@pytest.fixture(scope="module")
def answered(trained: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A copy of the shop that has answered, with the champion's twin in its shadow."""
    root = tmp_path_factory.mktemp("answered") / "w"
    shutil.copytree(trained["workspace"], root)
    workspace = Workspace(root)
    registry = open_registry(workspace, Settings())
    endpoint = Endpoint.of(workspace, Settings())
    endpoint.live.refresh()
    assert registry.require_champion().version == 1
    yield endpoint, workspace
    endpoint.stop()


def post(endpoint: Endpoint, route: str, body: dict[str, Any] | None) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(endpoint.application, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await (client.get(route) if body is None else client.post(route, json=body))

    return asyncio.run(send())


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"reasons": "exact"},
        {"reasons": "none"},
        {"lang": "zh"},
        {"lang": "zh", "vocabulary": "relationship"},
    ],
    ids=str,
)
def test_every_answer_comes_again_to_the_last_digit(answered: Any, asked: dict[str, str]):
    endpoint, workspace = answered
    said = post(endpoint, "/customers/score", {"customer_ids": [3, 4], **asked}).json()
    for answer in said["results"]:
        again = succeed(workspace.root, "replay", answer["decision_id"])
        assert again["equal"], again["differences"]
        assert again["answer"]["churn_probability"] == answer["churn_probability"]
    first = said["results"][0]
    if not asked:
        assert again["request_id"] == said["request_id"]
        assert first["reasons"]


def test_an_answer_is_replayed_with_the_playbook_of_its_day(answered: Any, tmp_path: Path):
    endpoint, workspace = answered
    (answer,) = post(endpoint, "/customers/score", {"customer_ids": [9]}).json()["results"]
    (workspace.root / "lifecycle.yaml").write_text("serving: {consent_unknown: plan}")
    again = succeed(workspace.root, "replay", answer["decision_id"])
    (workspace.root / "lifecycle.yaml").unlink()
    assert again["equal"]
    unknown = run(workspace.root, "replay", "0" * 32)
    assert unknown.exit_code == 1
    assert "no decision '000" in unknown.stderr


def test_an_edited_playbook_answers_while_it_runs_and_a_broken_one_does_not(
    answered: Any, tmp_path: Path
):
    _, workspace = answered
    file = tmp_path / "mine.yaml"
    text = PLAYBOOK.read_text(encoding="utf-8")
    file.write_text(text, encoding="utf-8")
    endpoint = Endpoint.of(workspace, Settings(serving={"playbook": file}))
    endpoint.live.refresh()

    def ask() -> tuple[str, dict[str, Any]]:
        said = post(endpoint, "/customers/score", {"customer_ids": [3]}).json()
        return said["versions"]["playbook"], said["results"][0]

    first, before = ask()
    assert first == load_playbook().version
    # A broken edit leaves the old one answering, and is told.
    file.write_text(text.replace("purpose: service ", "purpose: sermon ", 1), encoding="utf-8")
    endpoint.live.refresh()
    assert ask()[0] == first
    assert "line" in endpoint.live.problem
    assert "purpose = 'sermon'" in endpoint.live.problem
    endpoint.live.refresh()
    assert "purpose = 'sermon'" in endpoint.live.problem, "it stays told"
    # A good one answers from the next poll on, with the same model, and is replayed with its own.
    scorer = endpoint.live.answering.scorer
    dear = re.sub(r"contact_cost: (?!0\.00)", "contact_cost: 99", text)
    file.write_text(dear, encoding="utf-8")
    endpoint.live.refresh()
    second, after = ask()
    assert second != first
    assert after["action"] in ("none", "let_go")
    assert endpoint.live.problem == ""
    assert endpoint.live.answering.scorer.bundle is scorer.bundle
    for answer in (before, after):
        again = succeed(workspace.root, "replay", answer["decision_id"])
        assert again["equal"], again["differences"]
    # A comment more is no other playbook; a file that is gone leaves what it said.
    now = endpoint.live.answering
    file.write_text(file.read_text(encoding="utf-8") + "# mine", encoding="utf-8")
    endpoint.live.refresh()
    assert endpoint.live.answering is now
    file.unlink()
    endpoint.live.refresh()
    assert ask()[0] == second
    assert "does not exist" in endpoint.live.problem


def test_the_stage_before_holds_batch_endpoint_and_replay_alike(
    trained: dict[str, Any], tmp_path: Path
):
    root = tmp_path / "w"
    shutil.copytree(trained["workspace"], root)
    rules = SHIPPED.read_text(encoding="utf-8").replace("0.4 *", "2 *").replace("0.8 *", "0.1 *")
    (root / "rules.yaml").write_text(rules, encoding="utf-8")
    (root / "lifecycle.yaml").write_text("serving: {stage_rules: rules.yaml}")
    week = (date.fromisoformat(shop.LAST_DAY) - timedelta(days=7)).isoformat()
    succeed(root, "score", "--as-of", week, "--reasons", "none")
    # What was scored without an earlier day does not stand any more; now it does.
    words = ("--lang", "zh", "--vocabulary", "journey")
    told = [
        succeed(root, "score", "--as-of", shop.LAST_DAY, "--reasons", "none", *words)
        for _ in range(2)
    ]
    assert [one["computed"] for one in told] == [True, False]
    folder = Path(told[0]["file"]).parent
    former, scores = (
        pl.read_parquet(folder / f"{day}.parquet").sort("customer_id")
        for day in (week, shop.LAST_DAY)
    )
    before = former.select("customer_id", before="lifecycle_stage")
    joined = scores.join(before, on="customer_id", how="left")
    assert joined["stage_before"].equals(joined["before"], null_equal=True)
    held = scores.filter(pl.col("stage_rule").str.starts_with("此前"))
    assert held.height > 0
    assert (held["lifecycle_stage"] == held["stage_before"]).all()

    settings = Settings.load(root / "lifecycle.yaml")
    endpoint = Endpoint.of(Workspace(root), settings)
    endpoint.live.refresh()
    ids = [*held["customer_id"][:3], *scores["customer_id"][:30]]
    said = post(
        endpoint, "/customers/score", {"customer_ids": ids, "lang": "zh", "vocabulary": "journey"}
    ).json()
    endpoint.stop()
    rows = {row["customer_id"]: row for row in scores.iter_rows(named=True)}
    for answer in said["results"]:
        row = rows[answer["customer_id"]]
        for name in ("decision_id", "lifecycle_stage", "stage_label", "stage_before", "stage_rule"):
            assert answer[name] == row[name]
    # The rules of that day are kept: the setting may be another by now.
    (root / "lifecycle.yaml").unlink()
    again = [succeed(root, "replay", said["results"][0]["decision_id"])]
    for folder_of_day in (root / "decisions").glob("2*"):
        shutil.rmtree(folder_of_day)
    again.append(succeed(root, "replay", held["decision_id"][0]))
    assert [one["by"] for one in again] == ["endpoint", "batch"]
    assert all(one["equal"] for one in again), again


def test_a_shadow_is_scored_beside_and_never_answered(answered: Any):
    import time

    endpoint, workspace = answered
    succeed(workspace.root, "train", "--horizon-days", 60, "--trials", 0)
    registry = open_registry(workspace, Settings())
    registry._client.set_registered_model_alias(MODEL, SHADOW, "2")
    endpoint.live.refresh()
    assert endpoint.live.answering.shadow.model_version == 2
    said = post(endpoint, "/customers/score", {"customer_ids": [11]}).json()
    assert said["versions"]["model"] == 1
    archive, until = endpoint.recorder.archive, time.monotonic() + 10
    while not (beside := [d for d in archive._open() if d.shadow]):
        assert time.monotonic() < until, "the shadow never answered"
        time.sleep(0.05)
    assert {d.model_version for d in beside} == {2}
    assert beside[-1].request_id == said["request_id"]
    assert all(not d.shadow for d in archive.of_customer(11, 9))
    assert endpoint.live.answering.as_of.isoformat() == shop.LAST_DAY


def test_an_answer_that_cannot_be_kept_is_not_given(answered: Any, monkeypatch: pytest.MonkeyPatch):
    endpoint, _ = answered

    def full(_: Decided) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(endpoint.recorder, "append", full)
    refused = post(endpoint, "/customers/score", {"customer_ids": [1]})
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "cannot_record"
    assert refused.headers["retry-after"] == "5"


def limited(workspace: Workspace, **serving: Any) -> Endpoint:
    endpoint = Endpoint.of(workspace, Settings.load(overrides={"serving": serving}))
    endpoint.live.refresh()
    return endpoint


def test_a_key_is_for_its_scopes(answered: Any):
    _, workspace = answered
    keys = {
        name: {"sha256": hashlib.sha256(name.encode()).hexdigest(), "scopes": [name]}
        for name in ("score", "push", "admin")
    }
    endpoint = limited(workspace, api_keys=keys)

    def status(key: str, method: str, route: str, body: Any) -> int:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(endpoint.application)
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
                headers = {"authorization": f"Bearer {key}"}
                return await client.request(method, route, json=body, headers=headers)

        return asyncio.run(send()).status_code

    score = ("POST", "/customers/score", {"customer_ids": [1]})
    push = ("POST", "/events", {"table": "orders", "rows": []})
    state = ("GET", "/state", None)
    assert [status("score", *one) for one in (score, push, state)] == [200, 403, 403]
    assert [status("push", *one) for one in (score, push, state)] == [403, 400, 403]
    assert [status("admin", *one) for one in (score, push, state)] == [200, 400, 200]
    assert status("else", *score) == 401
    endpoint.stop()


def test_more_than_the_limit_is_turned_away_with_a_time_to_come_back(answered: Any):
    _, workspace = answered
    endpoint = limited(workspace, requests_per_second=2.0)
    body = {"customer_ids": [1]}
    statuses = [post(endpoint, "/customers/score", body) for _ in range(4)]
    assert [answer.status_code for answer in statuses][:2] == [200, 200]
    last = statuses[-1]
    assert last.status_code == 429
    assert int(last.headers["retry-after"]) >= 1
    endpoint.stop()


def test_work_is_stopped_when_its_time_is_over(answered: Any, monkeypatch: pytest.MonkeyPatch):
    from serving.endpoint import clerk

    _, workspace = answered
    endpoint = limited(workspace, timeout_seconds=0.1)
    monkeypatch.setitem(clerk.STEP, "exact", 1)
    scorer = endpoint.live.answering.scorer
    original, calls = scorer.score, []

    def slow(*given: Any, **more: Any) -> Any:
        import time

        calls.append(1)
        time.sleep(0.06)
        return original(*given, **more)

    monkeypatch.setattr(scorer, "score", slow)
    body = {"customer_ids": list(range(1, 60)), "reasons": "exact"}
    answer = post(endpoint, "/customers/score", body)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "timed_out"
    assert len(calls) < 5, "the work went on after its time"
    endpoint.stop()


def test_a_key_is_made_whose_digest_the_settings_hold(tmp_path: Path):
    made = succeed(tmp_path, "key", "crm", "--scope", "push")
    assert made["sha256"] == hashlib.sha256(made["key"].encode()).hexdigest()
    assert made["scopes"] == ["push"]


def test_a_score_of_a_batch_comes_again_too(answered: Any, tmp_path: Path):
    import polars as pl

    endpoint, workspace = answered
    (file,) = workspace.scores.glob(f"v*_ids/{shop.LAST_DAY}.parquet")
    row = pl.read_parquet(file).row(40, named=True)
    # What an endpoint said is found first, and others may have asked for this customer.
    unasked = Workspace(tmp_path / "w")
    shutil.copytree(workspace.root, unasked.root)
    for said in (*unasked.decisions.glob("20*"), *unasked.decisions.glob(f"*{SUFFIX}")):
        shutil.rmtree(said) if said.is_dir() else said.unlink()
    again = succeed(unasked.root, "replay", row["decision_id"])
    assert again["by"] == "batch"
    assert again["equal"], again["differences"]
    asked = {"customer_ids": [row["customer_id"]]}
    (online,) = post(endpoint, "/customers/score", asked).json()["results"]
    assert online["decision_id"] == row["decision_id"], "batch and endpoint name a decision alike"
