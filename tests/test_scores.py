"""A day's scores: streamed as if at once, the same wherever they are sent, each customer once."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
import shop
from conftest import run, succeed
from servers import database as database  # noqa: PLC0414 - a fixture

from features.matrix import matrix_of
from features.scores import COLUMNS, LOOKED_UP, SERVICE, scores_path
from features.settings import Settings
from features.snapshots import known_customers
from features.workspace import Workspace
from pipelines import score as score_job
from pipelines.context import Context
from serving.batch import score_table
from serving.scorer import Scorer
from training.bundle import NUMBERS

DAY = date.fromisoformat(shop.LAST_DAY)


@pytest.fixture
def own(trained: dict[str, Any], tmp_path: Path) -> Path:
    """A workspace with a champion and scores, to be changed."""
    return shutil.copytree(trained["workspace"], tmp_path / "w")


def context_of(workspace: Path) -> Context:
    return Context(Workspace(workspace), Settings())


def record(workspace: Path, day: date = DAY) -> Path:
    return scores_path(Workspace(workspace), "integer", day)


def test_batches_are_what_all_rows_at_once_are(own: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(score_job, "CHUNK", 250)
    record(own).unlink()
    told: list[int] = []
    context = Context(Workspace(own), Settings(), lambda what, done, of: told.append(done))
    report = score_job.score(context, DAY)
    assert report.computed
    assert {0, 250, 500, 750, report.customers} <= set(told)
    ledger = context.ledger()
    customers = known_customers(context.workspace, ledger, DAY)
    rows = context.store(ledger).historical(customers, DAY, pushed=False)
    scorer = Scorer.champion(context.registry(), context.settings.serving)
    whole = score_table(scorer, rows).drop(["scored_at"])
    assert pq.ParquetFile(record(own)).num_row_groups == 4
    assert pq.read_table(record(own)).drop(["scored_at"]).equals(whole)
    # And what the endpoint would say of each.
    answers = scorer.answers(scorer.score(matrix_of(rows, scorer.bundle.vocabulary)))
    # The ranking below the best action is for who asks for one customer.
    for name in set(answers[0]) - {"actions"}:
        said = [str(value) if name == "as_of" else value for value in whole[name].to_pylist()]
        assert said == [answer[name] for answer in answers], name


def test_the_list_of_scores_has_every_number(trained: dict[str, Any]):
    names = [column.name for column in COLUMNS]
    assert [name for name in names if name in NUMBERS] == list(NUMBERS)
    assert pq.read_schema(trained["out"]).names == ["customer_id", *names]


def test_bands_are_of_the_company(trained: dict[str, Any]):
    scores = pl.read_parquet(trained["out"])
    loyal = scores.filter(pl.col("lifecycle_stage") == "loyal")
    assert set(loyal["risk_band"]) == {"low"}
    assert set(loyal["value_band"]) == {"high"}
    for band in ("risk_band", "value_band"):
        assert set(scores[band]) == {"low", "mid", "high"}


def test_what_is_scored_is_not_scored_again_for_another_place(own: Path, tmp_path: Path):
    before = record(own).read_bytes()
    out = tmp_path / "scores.csv"
    assert not succeed(own, "score", "--out", out)["computed"]
    assert record(own).read_bytes() == before
    assert (
        pl.read_csv(out, infer_schema_length=None)["decision_id"].to_list()
        == pl.read_parquet(record(own))["decision_id"].to_list()
    )
    assert succeed(own, "score", "--reasons", "none")["computed"]


@pytest.mark.parametrize("name", ["scores.csv", "scores.parquet"])
def test_a_full_disk_leaves_the_former_file(own: Path, tmp_path: Path, name: str):
    out = tmp_path / name
    out.write_text("former")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OSError, match=r"(?i)too large"):
            score_job.deliver_file(record(own), out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [(p.name, p.read_text()) for p in tmp_path.glob("*sco*")] == [(name, "former")]


def test_a_place_that_cannot_be_written_is_one_sentence(own: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    result = run(own, "score", "--out", tmp_path / "file" / "scores.csv")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("error: ")


def looked_up(workspace: Path, customers: list[int]) -> dict[str, list[Any]]:
    """Ask Feast as anybody would who has the workspace's repository alone."""
    import feast

    store = feast.FeatureStore(repo_path=str(workspace / "feast"))
    return store.get_online_features(
        features=store.get_feature_service(SERVICE),
        entity_rows=[{"customer_id": customer} for customer in customers],
    ).to_dict()


def test_scores_are_looked_up_where_features_are(own: Path):
    scores = pl.read_parquet(record(own))
    answer = looked_up(own, [*scores["customer_id"].to_list(), -5])
    assert set(answer) == {"customer_id", *(column.name for column in LOOKED_UP)}
    for column in LOOKED_UP:
        assert answer[column.name] == [*scores[column.name].to_list(), None], column.name


def test_a_new_writing_of_the_store_has_no_scores_of_another_day(own: Path):
    context = context_of(own)
    store = context.store(context.ledger())
    earlier = date(2024, 5, 31)
    context.snapshots(context.ledger(), [earlier])
    store.materialise(earlier, "another")
    assert looked_up(own, [1, 2])["churn_probability"] == [None, None]
    assert store.online_reader().rows([1])["purchases"] != [None]
    succeed(own, "score", "--as-of", earlier)
    assert looked_up(own, [1])["decision_id"] == [
        pl.read_parquet(record(own, earlier)).filter(customer_id=1)["decision_id"].item()
    ]


def test_other_models_scores_take_the_place_of_the_former_ones(own: Path):
    before = looked_up(own, [1, 2])
    (own / "lifecycle.yaml").write_text("serving: {consent_unknown: plan}")
    succeed(own, "score")
    after = looked_up(own, [1, 2])
    assert after["churn_probability"] == before["churn_probability"]
    assert not set(after["decision_id"]) & set(before["decision_id"])


KILLED = """
import os, signal, sys
from pathlib import Path
import psycopg
from serving.postgres import deliver_rows

scores, database, project = sys.argv[1:]
written = 0
write = psycopg.Copy.write

def dying(self, data):
    global written
    written += 1
    write(self, data)
    if written == 4:
        os.kill(os.getpid(), signal.SIGKILL)

psycopg.Copy.write = dying
deliver_rows(Path(scores), database, "lifecycle_scores", project, print)
"""


def rows_in(database: str, query: str) -> list[tuple[Any, ...]]:
    import psycopg

    with psycopg.connect(database) as connection:
        return connection.execute(query).fetchall()


def test_a_killed_run_goes_on_and_writes_each_customer_once(
    own: Path, database: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(score_job, "CHUNK", 100)
    succeed(own, "score", "--reasons", "none")
    project = (own / "feast" / "project").read_text()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, record(own), database, project],
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert rows_in(database, "SELECT count(*) FROM lifecycle_scores") == [(300,)]
    said = succeed(own, "score", "--out", database, "--reasons", "none")
    scores = pl.read_parquet(record(own))
    assert said["delivered"] == {"written": scores.height - 300, "before": 300, "removed": 0}
    names = ", ".join(scores.columns)
    order = "ORDER BY customer_id"
    stored = rows_in(database, f"SELECT {names} FROM lifecycle_scores {order}")
    assert stored == scores.rows()
    # Each row was written by one transaction, and none of them since.
    hidden = rows_in(database, f"SELECT xmin::text FROM lifecycle_scores {order}")
    again = succeed(own, "score", "--out", database, "--reasons", "none")
    assert again["delivered"] == {"written": 0, "before": scores.height, "removed": 0}
    assert rows_in(database, f"SELECT xmin::text FROM lifecycle_scores {order}") == hidden
    # Reasons are lists with quotes and commas; who is gone from the day is removed.
    insert = "INSERT INTO lifecycle_scores (project, run_key, customer_id, as_of) "
    for name in (project, "other"):
        rows_in(database, f"{insert} VALUES ('{name}', 'x', -7, '{DAY}') RETURNING 1")
    told = succeed(own, "score", "--out", database)
    assert told["delivered"] == {"written": scores.height, "before": 0, "removed": 1}
    reasons = rows_in(
        database, f"SELECT reasons FROM lifecycle_scores WHERE project = '{project}' {order}"
    )
    assert [row[0] for row in reasons] == pl.read_parquet(record(own))["reasons"].to_list()
    assert rows_in(database, "SELECT customer_id FROM lifecycle_scores WHERE project = 'other'")


@pytest.mark.parametrize(
    ("out", "table", "expected"),
    [
        ("postgresql://me:hush@127.0.0.1:1/db", "lifecycle_scores", "cannot be used"),
        ("DATABASE", "pg_class; drop", "is no plain name"),
        ("DATABASE", "lifecycle_score_runs", "has no column"),
    ],
)
def test_a_database_that_will_not_do_is_one_sentence(
    own: Path, database: str, out: str, table: str, expected: str
):
    result = run(own, "score", "--out", out.replace("DATABASE", database), "--table", table)
    assert result.exit_code == 1
    assert expected in result.stderr
    assert "hush" not in result.output
