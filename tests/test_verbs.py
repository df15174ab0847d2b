"""The verbs, as a person types them: the main job, and a clear sentence for whatever goes wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import polars as pl
import pytest
import shop
from conftest import run, succeed

from pipelines.cli import main
from training.bundle import NUMBERS


def snapshot_of(folder: Path) -> dict[str, bytes]:
    """Every file of a workspace but the lock."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def test_the_scores_have_a_row_for_every_known_customer(trained: dict[str, Any], export: Path):
    scores = pl.read_parquet(trained["out"])
    known = pl.read_parquet(export)["client"].n_unique()
    assert scores.height == known == scores["customer_id"].n_unique()
    assert scores["customer_id"].dtype == pl.Int64
    for column in (
        "as_of", *NUMBERS,
        "lifecycle_stage", "reasons", "action", "action_value", "model_version",
    ):  # fmt: skip
        assert scores[column].null_count() == 0, column
    assert scores["churn_probability"].is_between(0, 1).all()
    assert (scores["spend_lower"] <= scores["spend_upper"]).all()
    assert scores["expected_spend"].is_finite().all()
    assert scores["lifecycle_stage"].n_unique() >= 4


def test_the_model_beats_chance_and_says_how_it_was_judged(trained: dict[str, Any]):
    evaluation = trained["train"]["evaluation"]
    ours = evaluation["metrics"]["lifecycle"]
    assert evaluation["day"] == "2024-05-01"
    assert ours["auc"] > 0.6
    assert 0.8 < ours["coverage_90"] <= 1
    assert set(evaluation["metrics"]) == {
        "lifecycle", "bg_nbd_gamma_gamma", "recency_and_past_spend",
    }  # fmt: skip


def test_a_day_before_the_labels_end_is_flagged_in_sample(trained: dict[str, Any], tmp_path: Path):
    out = tmp_path / "early.parquet"
    # On a copy: the stages of an earlier day count for the next.
    own = shutil.copytree(trained["workspace"], tmp_path / "w")
    said = succeed(own, "score", "--as-of", "2024-03-01", "--out", out)
    scores = pl.read_parquet(out)
    assert scores["flags"].list.contains("in_sample").all()
    assert said["online_as_of"] == shop.LAST_DAY, "an older day must not replace a newer one online"


def test_csv_holds_what_parquet_holds(trained: dict[str, Any], tmp_path: Path):
    out = tmp_path / "scores.csv"
    succeed(trained["workspace"], "score", "--out", out)
    csv, parquet = pl.read_csv(out, infer_schema_length=None), pl.read_parquet(trained["out"])
    assert csv["customer_id"].to_list() == parquet["customer_id"].to_list()
    assert csv["churn_probability"].to_list() == pytest.approx(
        parquet["churn_probability"].to_list(), rel=1e-12
    )
    assert csv["reasons"][0].split("; raises")[0] in "; ".join(parquet["reasons"][0])


def test_scoring_again_changes_nothing_but_the_clock(trained: dict[str, Any], tmp_path: Path):
    out = tmp_path / "again.parquet"
    succeed(trained["workspace"], "score", "--as-of", shop.LAST_DAY, "--out", out)
    assert pl.read_parquet(out).equals(pl.read_parquet(trained["out"]))


def test_two_workspaces_live_side_by_side(ingested: Path, trained: dict[str, Any]):
    result = run(ingested, "score")
    assert result.exit_code == 1
    assert "no model has been promoted yet" in result.stderr
    assert "lifecycle train" in result.stderr


def test_an_older_model_is_refused_without_force(trained: dict[str, Any], tmp_path: Path):
    workspace = tmp_path / "w"
    shutil.copytree(trained["workspace"], workspace)
    succeed(workspace, "train", "--as-of", "2024-05-15", "--horizon-days", 60, "--trials", 0)
    result = run(workspace, "promote")
    assert result.exit_code == 1
    assert "the champion stays" in result.stderr
    said = succeed(workspace, "promote", "--force")
    assert (said["champion"], said["former"], said["forced"]) == (2, 1, True)


BAD_FILES = {
    "no file": (None, "does not exist"),
    "empty": ("", "empty"),
    "header alone": ("customer_id,ordered_at,amount\n", "no rows"),
    "wrong columns": ("a,b,c\n1,2024-01-01,5\n", "customer_id"),
    "unreadable dates": ("customer_id,ordered_at,amount\n1,soon,5\n2,later,6\n", "soon|date"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_refused_and_leaves_no_trace(case: str, tmp_path: Path):
    content, expected = BAD_FILES[case]
    file = tmp_path / "orders.csv"
    if content is not None:
        file.write_text(content)
    result = run(tmp_path / "w", "ingest", "--orders", file)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1, "one sentence, no trace"
    assert any(word in result.stderr for word in expected.split("|"))
    assert not (tmp_path / "w").exists() or not snapshot_of(tmp_path / "w")


def one_customer(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("client") == 5)


def no_repeats(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sort("when").unique("client", keep="first")


@pytest.mark.parametrize(
    ("change", "words", "expected"),
    [
        (None, ("train", "--as-of", "2030-01-01"), "lies outside the data"),
        (None, ("train", "--as-of", "2020-01-01"), "lies outside the data"),
        (None, ("score", "--as-of", "2020-01-01"), "lies outside the data"),
        (None, ("train", "--horizon-days", "900"), "shorten --horizon-days"),
        (one_customer, ("train", "--horizon-days", "60"), "customers had bought by"),
        (no_repeats, ("train", "--horizon-days", "60"), "repeat purchases"),
        (None, ("train", "--horizon-days", "2"), "churn.horizon_days = 2"),
        (None, ("score", "--out", "scores.xlsx"), "must end in .parquet or .csv"),
        (None, ("promote",), "no model to promote"),
        (None, ("serve",), "no model has been promoted"),
        (None, ("ingest", "--orders", "x.csv", "--map", "amount"), "--map amount is not"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_changes_nothing(
    change: Callable[[pl.DataFrame], pl.DataFrame] | None,
    words: tuple[str, ...],
    expected: str,
    export: Path,
    tmp_path: Path,
):
    workspace = tmp_path / "w"
    file = tmp_path / "orders.parquet"
    frame = pl.read_parquet(export)
    (change(frame) if change else frame).write_parquet(file)
    succeed(workspace, "ingest", "--orders", file, *shop.map_options())
    before = snapshot_of(workspace / "data")
    result = run(workspace, *words)
    assert result.exit_code == 1, result.output
    *_, last = result.stderr.splitlines()
    assert last.startswith("error: ")
    assert expected in last
    assert "Traceback" not in result.output
    assert snapshot_of(workspace / "data") == before


def test_a_workspace_of_another_version_is_refused(ingested: Path, tmp_path: Path):
    workspace = tmp_path / "w"
    workspace.mkdir()
    (workspace / "workspace.json").write_text('{"format": 99}')
    for words in (("score",), ("ingest", "--orders", "x.csv"), ("demo",)):
        result = run(workspace, *words)
        assert result.exit_code == 1
        assert "layout 99" in result.stderr or "does not exist" in result.stderr
    assert snapshot_of(workspace) == {"workspace.json": b'{"format": 99}'}


def test_a_folder_that_is_no_workspace_is_left_alone(export: Path, tmp_path: Path):
    (tmp_path / "holiday.txt").write_text("photos")
    result = run(tmp_path, "ingest", "--orders", export, *shop.map_options())
    assert result.exit_code == 1
    assert "is no workspace (it holds holiday.txt)" in result.stderr


def test_the_demo_refuses_a_workspace_with_other_orders(ingested: Path):
    result = run(ingested, "demo")
    assert result.exit_code == 1
    assert "the demo needs one of its own" in result.stderr


def verbs(group: click.Group, before: str = "") -> dict[str, click.Command]:
    """Every verb by its words, those of a group in its place."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        words = f"{before}{name}"
        found |= (
            verbs(command, f"{words} ") if isinstance(command, click.Group) else {words: command}
        )
    return found


VERBS = verbs(main)


@pytest.mark.parametrize("name", sorted(VERBS))
def test_every_verb_explains_itself_with_an_example(name: str):
    command = VERBS[name]
    assert command.help is not None
    assert f"lifecycle {name}" in command.help
    if isinstance(command, click.Group):
        return  # Its own verbs have the options.
    options = {option for p in command.params for option in p.opts}
    assert {"--json", "--workspace", "--quiet", "--settings"} <= options
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name not in {"port", "workers"}:
            assert parameter.help, f"{name} --{parameter.name} has no help"


@pytest.mark.parametrize("name", sorted(VERBS))
def test_every_verb_stands_in_the_readme(name: str):
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    assert f"lifecycle {name}" in readme


def test_a_correction_of_the_past_reaches_a_newer_day_online(
    trained: dict[str, Any], export: Path, tmp_path: Path
):
    workspace = tmp_path / "w"
    shutil.copytree(trained["workspace"], workspace)
    key = json.loads((workspace / "feast" / "online.json").read_text())["key"]
    late = (
        pl.read_parquet(export)
        .head(1)
        .with_columns(
            when=pl.datetime(2024, 3, 1), seen=pl.datetime(2024, 3, 1), invoice=pl.lit("late")
        )
    )
    file = tmp_path / "late.parquet"
    late.write_parquet(file)
    succeed(workspace, "ingest", "--orders", file, *shop.map_options())
    succeed(workspace, "score", "--as-of", "2024-05-01", "--out", tmp_path / "s.parquet")
    online = json.loads((workspace / "feast" / "online.json").read_text())
    assert online["as_of"] == shop.LAST_DAY
    assert online["key"] != key


def test_a_registry_out_of_reach_is_one_sentence(
    trained: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LIFECYCLE_STORES__TRACKING_URI", "bogus://nowhere")
    result = run(trained["workspace"], "promote")
    assert result.exit_code == 1
    assert "the MLflow registry cannot be used" in result.stderr


def test_a_model_that_was_never_wholly_registered_is_not_promoted(
    trained: dict[str, Any], tmp_path: Path
):
    from mlflow import MlflowClient

    workspace = tmp_path / "w"
    shutil.copytree(trained["workspace"], workspace)
    succeed(workspace, "train", "--horizon-days", 60, "--trials", 0)
    client = MlflowClient(f"sqlite:///{workspace}/mlflow/mlflow.db")
    client.delete_model_version_tag("lifecycle-scorer", "2", "manifest_sha256")
    assert succeed(workspace, "promote")["champion"] == 1
