"""Erasing a person: nothing is left of them anywhere, nobody else notices, and it stays so."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import canary
import httpx
import polars as pl
import pyarrow.parquet as pq
import pytest
import shop
from canary import CANARY
from conftest import run, succeed
from ingesting import check_sums

from features.ingest.ledger import Ledger
from features.persons import Persons
from features.settings import Settings
from features.workspace import Workspace
from pipelines.context import Context
from pipelines.forget import Wish, forget
from pipelines.privacy.inventory import PARTS, unlisted
from pipelines.privacy.receipt import Note
from serving.endpoint.messages import GIVEN
from serving.endpoint.opening import Endpoint
from training.registry import open_registry

CUSTOMERS = 120
LAST = shop.LAST_DAY
EARLIER = "2024-05-31"
MAPPING = Path(__file__).parent.parent / "serving" / "exports" / "zoho_crm.yaml"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return canary.write(tmp_path_factory.mktemp("files"), CUSTOMERS)


@pytest.fixture(scope="module")
def lived(
    trained: dict[str, Any], files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A workspace that has been through the whole main job, one person everywhere in it.

    The models are those of the shop that was trained: what a bundle says is of no customer.
    """
    root = tmp_path_factory.mktemp("lived") / "w"
    root.mkdir()
    (root / "lifecycle.yaml").write_text(canary.SETTINGS)
    succeed(root, "ingest", *(w for table, path in files.items() for w in (f"--{table}", path)))
    shutil.copytree(trained["workspace"] / "mlflow", root / "mlflow")
    judged = pq.read_table(trained["workspace"] / "judged" / "1.parquet")
    named = pl.DataFrame(pl.from_arrow(judged)).with_columns(canary.named("customer_id"))
    (root / "judged").mkdir()
    pq.write_table(
        named.to_arrow().replace_schema_metadata(judged.schema.metadata), root / "judged/1.parquet"
    )
    out = root.parent
    succeed(root, "score", "--as-of", EARLIER, "--reasons", "none")
    succeed(root, "score", "--out", out / "scores.csv")
    succeed(root, "recommend", "--campaign", "spring", "--out", out / "plan.csv")
    succeed(root, "segments")
    succeed(
        root, "export", "--changed-since", EARLIER, "--mapping", MAPPING, "--out", out / "crm.csv"
    )
    events = [
        canary.event(CANARY, "2024-07-01", order_id="late"),
        canary.event("c0003", "2024-07-01", order_id="other"),
    ]
    pushed = canary.write_events(out / "events.jsonl", events)
    succeed(root, "push", "--orders", pushed, "--idempotency-key", f"till-{CANARY}")
    succeed(root, "report", "--customer", CANARY, "--out", root / "customer.html")
    endpoint = Endpoint.of(Workspace(root), Settings.load(root / "lifecycle.yaml"))
    endpoint.live.refresh()
    score = {"customer_ids": [CANARY, "c0003"]}
    assert len(ask(endpoint, score).json()["results"]) == 2
    endpoint.stop()
    return root


@pytest.fixture
def own(lived: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(lived, tmp_path / "w"))


def ask(endpoint: Endpoint, body: dict[str, Any], route: str = "customers/score") -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(endpoint.application, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.post(f"/{route}", json=body)

    return asyncio.run(send())


def erase(root: Path, *ids: str) -> dict[str, Any]:
    return succeed(root, "forget", *ids, "--why", f"{CANARY} asked for it", "--by", "anna")


def left_in(root: Path) -> list[str]:
    return list(canary.places_of(CANARY, root))


def context_of(root: Path, say: Any = lambda what, done, of: None) -> Context:
    return Context(Workspace(root), Settings.load(root / "lifecycle.yaml"), say)


def test_nothing_is_left_of_a_person_in_any_byte_and_the_receipt_names_nobody(own: Path):
    parts = {place.split("/")[0] for place in left_in(own)}
    assert parts >= {
        "customer.html", "data", "decisions", "feast", "features", "judged", "plans", "scores",
        "segments", "mlflow",
    }, "the person must have been everywhere for this to say anything"  # fmt: skip
    assert unlisted(Workspace(own)) == [], "a new part of the workspace is not in the inventory"
    said = erase(own, CANARY)["receipt"]
    assert left_in(own) == []
    assert CANARY not in json.dumps(said)
    assert said["why"] == "(erased) asked for it"
    for place in (
        "data, orders", "data, customers", "data, interactions", "data, treatments",
        "data, contracts", "data, exports as cleaned", "data, quarantine", "pushed events",
        "features, snapshots", "features, history", "online store", "decisions",
        "exports/zoho_crm.db", "scores", "segments", "plans", "judged",
        "customer.html, removed", "texts that named them",
    ):  # fmt: skip
        assert said["places"][place] > 0, place
    beyond = " ".join(one["place"] for one in said["beyond"])
    assert all(name in beyond for name in ("scores.csv", "plan.csv", "crm.csv", "backups"))
    (learned,) = said["models"]
    assert (learned["version"], learned["alias"], learned["sure"]) == (1, "champion", True)
    version = open_registry(Workspace(own), Settings()).version(1)
    assert version.tags[f"forgotten.{said['request']}"].startswith("1 person erased on")
    assert (own / "privacy" / "secret").stat().st_mode & 0o777 == 0o600
    again = erase(own, CANARY)
    assert (again["receipt"], again["already"]) == (None, 1)
    assert succeed(own, "forget", "--show", said["request"]) == said


def test_every_path_of_a_workspace_is_in_the_inventory():
    workspace = Workspace(Path("w"))
    properties = [n for n, value in vars(Workspace).items() if isinstance(value, property)]
    paths = [getattr(workspace, name) for name in properties]
    named = {path.relative_to("w").parts[0] for path in paths}
    listed = {part.name for part in PARTS}
    assert {name for name in named if not name.startswith(".")} <= listed


def test_everybody_elses_features_are_what_they_would_be_without_the_person(own: Path):
    before = {path.name: path for path in (own / "features").glob("snapshots_*/*.parquet")}
    unlinked = pl.read_parquet(before[f"{LAST}.parquet"]).filter(
        ~pl.col("customer_id").is_in([CANARY, canary.BROUGHT, canary.BROUGHT_BY])
    )
    linked = brought(own)
    erase(own, CANARY)
    context = context_of(own)
    days = [date.fromisoformat(path.stem) for path in before.values()]
    kept = {day: pl.read_parquet(before[f"{day}.parquet"]) for day in days}
    assert context.snapshots(context.ledger(), days) == [], "the snapshots that stood still stand"
    shutil.rmtree(own / "features")
    context.snapshots(context.ledger(), days)
    for day, rows in kept.items():
        assert rows.equals(pl.read_parquet(before[f"{day}.parquet"])), day
    others = kept[date.fromisoformat(LAST)].filter(~pl.col("customer_id").is_in(linked))
    assert others.equals(unlinked.filter(~pl.col("customer_id").is_in(linked)))
    check_sums(Ledger(Workspace(own)))


def brought(root: Path) -> list[str]:
    rows = pl.read_parquet(Ledger(Workspace(root)).path("customers"))
    pairs = rows.filter((pl.col("customer_id") == CANARY) | (pl.col("referred_by") == CANARY))
    return [*pairs["customer_id"], *pairs["referred_by"].drop_nulls()]


def test_what_follows_works_and_computes_nothing_anew(own: Path):
    erase(own, CANARY)
    context = context_of(own)
    state = context.store(context.ledger()).state
    said = succeed(own, "score")
    assert said["customers"] == CUSTOMERS + 60 - 1
    assert context.store(context.ledger()).state == state, "nothing was put online again"
    succeed(own, "recommend", "--campaign", "summer")
    succeed(own, "segments")
    assert left_in(own) == []


def test_neither_an_old_file_nor_an_event_brings_a_person_back(
    own: Path, files: dict[str, Path], tmp_path: Path
):
    erase(own, CANARY)
    before = Ledger(Workspace(own)).manifest()["tables"]
    same = run(own, "ingest", "--orders", files["orders"])
    assert "was ingested before with this mapping: nothing changed" in same.output
    other = tmp_path / "other.csv"
    rows = pl.read_parquet(files["orders"])
    rows.filter(pl.col("customer_id").is_in([CANARY, "c0003"])).write_csv(other)
    who = tmp_path / "who.csv"
    pl.read_parquet(files["customers"]).write_csv(who)
    result = run(own, "ingest", "--orders", other, "--customers", who)
    assert result.exit_code == 0, result.stderr
    theirs = rows.filter(pl.col("customer_id") == CANARY).height
    assert f"Of persons who were erased, and not taken: {theirs} lines." in result.output
    assert left_in(own) == []
    assert Ledger(Workspace(own)).manifest()["tables"]["orders"] == before["orders"]
    check_sums(Ledger(Workspace(own)))
    event = canary.write_events(tmp_path / "e.jsonl", [canary.event(CANARY, "2024-07-02")])
    (said,) = succeed(own, "push", "--orders", event)["pushes"]
    assert (said["accepted"], said["rejected"][0]["reason"]) == (0, "forgotten")
    assert "lifecycle forget --lift" in said["rejected"][0]["remedy"]
    assert left_in(own) == []


@pytest.mark.full
def test_a_person_may_become_a_customer_again_with_what_happens_from_then_on(
    own: Path, tmp_path: Path
):
    erase(own, CANARY)
    refused = run(own, "forget", "c0003", "--lift", "--why", "x")
    assert "c0003 was not erased" in refused.stderr
    lifted = succeed(own, "forget", CANARY, "--lift", "--why", "agreed", "--since", "2024-07-02")
    assert lifted["since"] == "2024-07-02"
    days = ("2024-07-01", "2024-07-02")
    events = [canary.event(CANARY, day, order_id=day) for day in days]
    file = canary.write_events(tmp_path / "e.jsonl", events)
    (said,) = succeed(own, "push", "--orders", file)["pushes"]
    assert (said["accepted"], [one["row"] for one in said["rejected"]]) == (1, [1])
    assert erase(own, CANARY)["receipt"]["places"]["pushed events"] == 1
    assert left_in(own) == []


def test_error_and_treatment_of_sensitive_groups_are_told_and_a_few_are_not(own: Path):
    said = succeed(own, "segments")["sensitive"]
    judged = pl.read_parquet(own / "judged" / "1.parquet")
    newest = judged.filter(pl.col("day") == judged["day"].max())
    who = pl.read_parquet(Ledger(Workspace(own)).path("customers"))
    gender = (
        who.filter(pl.col("known_day") <= (judged["day"].max() - date(1970, 1, 1)).days)
        .sort("valid_from")
        .group_by("customer_id")
        .agg(pl.col("attributes").last().str.json_path_match("$.gender").alias("gender"))
    )
    groups = {one["value"]: one for one in said}
    assert set(groups) >= {"f", "m", "x"}
    for value, group in groups.items():
        theirs = newest.join(gender, on="customer_id").filter(pl.col("gender") == value)
        if value not in ("f", "m", "x"):
            continue
        assert group["judged"] == theirs.height
        if theirs.height < 30:
            assert group["churn_said"] is None
        else:
            assert group["churn_seen"] == pytest.approx(theirs["churned"].mean())
    assert all(0 <= one["offered"] <= one["advised"] for one in said if one["customers"] >= 30)


class Killed(BaseException):
    """What ends a run in the middle."""


STEPS = [n if n == 5 else pytest.param(n, marks=pytest.mark.full) for n in range(1, 12)]


@pytest.mark.parametrize("step", STEPS)
def test_a_run_that_dies_after_any_step_is_finished_by_the_next(own: Path, step: int):
    def dying(what: str, done: int, of: int) -> None:
        if (what, done) == ("erasing", step):
            raise Killed

    with pytest.raises(Killed):
        forget(context_of(own, dying), Wish((CANARY,), why="asked"))
    assert (own / "privacy" / "unfinished.json").stat().st_mode & 0o777 == 0o600
    assert run(own, "score", "--reasons", "none").exit_code == 0, "the others are served meanwhile"
    (said,) = succeed(own, "forget")["resumed"]
    assert said["finished"] and left_in(own) == []
    assert Note(Workspace(own)).read() is None
    check_sums(Ledger(Workspace(own)))


@pytest.fixture
def running(own: Path) -> Iterator[Endpoint]:
    endpoint = Endpoint.of(Workspace(own), Settings.load(own / "lifecycle.yaml"))
    endpoint.start(access_log=False)
    yield endpoint
    endpoint.stop()


def test_a_running_endpoint_knows_the_person_no_more_when_the_command_ends(
    own: Path, running: Endpoint
):
    both = {"customer_ids": [CANARY, "c0004"]}
    before = ask(running, both).json()
    assert len(before["results"]) == 2

    def dying(what: str, done: int, of: int) -> None:
        if what == "erasing":
            raise Killed

    with pytest.raises(Killed):
        forget(context_of(own, dying), Wish((CANARY,), why="asked"))
    assert ask(running, both).json()["unknown_customers"] == [CANARY], "from the first step on"
    assert run(own, "forget").exit_code == 0
    after = ask(running, both).json()
    assert after["unknown_customers"] == [CANARY]
    assert after["results"] == [one for one in before["results"] if one["customer_id"] == "c0004"]
    assert ask(running, {"customer_ids": [CANARY]}).status_code == 404
    foresight = {"customer_id": CANARY, "events": {"orders": [canary.event(CANARY, "2024-07-01")]}}
    assert ask(running, foresight, "events/score").status_code == 404
    # A caller may send the row of whom it wants; it is answered, and not kept.
    (snapshot,) = (own / "features").glob(f"snapshots_*/{LAST}.parquet")
    known = pl.read_parquet(snapshot).row(3, named=True)
    row = {"as_of": LAST, "features": {name: known[name] for name in GIVEN}}
    asked = {"rows": [row | {"customer_id": CANARY}, row | {"customer_id": "x"}]}
    assert ask(running, asked, "features/score").is_success
    assert left_in(own) == []


def test_who_cannot_be_forgotten_is_told_in_a_sentence(own: Path, ingested: Path, tmp_path: Path):
    empty = tmp_path / "empty.txt"
    empty.write_text("customer_id\n\n")
    why = ("--why", "asked")
    for root, words, expected in (
        (own, ("nobody-1", *why), "nobody named nobody-1 is known here"),
        (own, (CANARY,), "--why is missing"),
        (own, why, "nobody is named"),
        (own, ("--file", empty, *why), "names nobody"),
        (own, ("--file", tmp_path / "none.txt", *why), "does not exist"),
        (own, ("none", *why), "'none' is no id of a customer"),
        (own, ("--show", "x"), "there is no receipt 'x'"),
        (ingested, ("anna", *why), "named by integers, and 'anna' is none"),
        (tmp_path / "nowhere", ("7", *why), "is not a workspace yet"),
    ):
        result = run(root, "forget", *words)
        assert result.exit_code == 1
        assert expected in result.stderr
        assert not (root / "privacy").exists()
    everybody = tmp_path / "all.csv"
    orders = pl.read_parquet(Ledger(Workspace(own)).path("orders"))
    orders.select("customer_id", "event_day").write_csv(everybody)
    result = run(own, "forget", "--file", everybody, *why)
    assert "nobody's orders would be left" in result.stderr
    barred = succeed(own, "forget", "nobody-1", "--bar-unknown", *why)["receipt"]
    assert len(barred["hashes"]) == 1


@pytest.mark.full
def test_many_at_once_and_the_unknown_among_them_are_counted(own: Path, tmp_path: Path):
    listed = tmp_path / "ids.csv"
    listed.write_text(f"customer_id,asked\n{CANARY},may\nc0003,may\nnobody-1,june\n")
    said = succeed(own, "forget", "--file", listed, "--why", "requests of May")["receipt"]
    assert (len(said["hashes"]), said["unknown"]) == (2, 1)
    assert left_in(own) == []
    assert not list(canary.places_of("c0003", own))


def test_a_name_in_a_text_is_told_from_others_that_hold_it():
    persons = Persons(("a-77", "user-1234", "é-20001"))
    assert persons.unnamed("user-1234 user-1234, user-12345; xuser-1234") == (
        "(erased) (erased), user-12345; xuser-1234"
    )
    assert persons.unnamed("a-77") == "a-77", "too short to be told from a word"
    assert persons.unnamed(json.dumps("é-20001")) == '"(erased)"'
