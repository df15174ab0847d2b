"""The analyst's MLflow: what ranks runs is fair, what is not fair carries its day, no one is named.

One small shop is trained twice: a champion, and a version of two months later.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
import pytest
import shop
from conftest import look_at, succeed
from PIL import Image

from features import catalogue
from features.ingest.ledger import Ledger
from features.settings import Settings
from features.workspace import Workspace
from pipelines.context import Context
from training.answers import BASELINES, PRODUCT
from training.contest_files import judged_file
from training.plots.album import QUESTIONS
from training.registry import MODEL, open_registry
from training.tracking.drift import index
from training.tracking.experiment import COLUMNS, address, open_experiment
from training.tracking.note import COLUMNS as NOTED
from training.tracking.population import Population
from training.tracking.trials import log_trials
from training.tuning.search import Trial

EARLY, LATE = "2024-04-01", "2024-06-30"
CUSTOMERS = 250


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A champion and its challenger, of customers whose names cannot be taken for numbers."""
    folder = tmp_path_factory.mktemp("tracked")
    root = folder / "w"
    root.mkdir()
    (root / "lifecycle.yaml").write_text(
        "training: {trials: 2, max_snapshots: 6, threads: 1}\nchurn: {horizon_days: 45}\n"
    )
    named = pl.format("kunde-{}", pl.col("client").cast(pl.String).str.zfill(4))
    orders = shop.orders(customers=CUSTOMERS).with_columns(named.alias("client"))
    orders.write_parquet(folder / "orders.parquet")
    succeed(root, "ingest", "--orders", folder / "orders.parquet", *shop.map_options())
    first = succeed(root, "train", "--as-of", EARLY)
    succeed(root, "promote")
    return {"root": root, "first": first, "second": succeed(root, "train", "--as-of", LATE)}


@pytest.fixture(scope="module")
def client(tracked: dict[str, Any]) -> Any:
    import mlflow

    uri = Context(Workspace(tracked["root"]), Settings()).registry().uri
    look_at(uri)
    return mlflow.MlflowClient(uri, uri)


@pytest.fixture(scope="module")
def runs(client: Any, tracked: dict[str, Any]) -> tuple[Any, Any]:
    return client.get_run(tracked["first"]["run_id"]), client.get_run(tracked["second"]["run_id"])


@pytest.fixture(scope="module")
def artifacts(client: Any, runs: tuple[Any, Any]) -> tuple[Path, Path]:
    import mlflow

    look_at(client.tracking_uri)
    first, second = (
        Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id)) for run in runs
    )
    return first, second


# Numbers.


def test_what_ranks_is_skill_against_the_best_baseline_on_the_same_days(
    runs: tuple[Any, Any], tracked: dict[str, Any]
):
    ranking = [c.removeprefix("metrics.").strip("`") for c in COLUMNS if c.startswith("metrics.")]
    assert ranking
    assert all(name.startswith("skill/") for name in ranking)
    for run, said in zip(runs, ("first", "second"), strict=True):
        skills = tracked[said]["evaluation"]["pooled"]["skills"]
        for name, found in (
            ("primary", "primary"),
            ("log_loss", "log_loss_skill"),
            ("spend_deviance", "spend_deviance_skill"),
        ):
            for side in ("", "_lower", "_upper"):
                assert run.data.metrics[f"skill/{name}{side}"] == pytest.approx(
                    skills[f"{found}{side}"], rel=1e-5
                )
        pooled = tracked[said]["evaluation"]["pooled"]["metrics"]
        best = min(pooled[method]["log_loss"] for method in BASELINES)
        assert run.data.metrics["skill/log_loss"] == pytest.approx(
            1 - pooled[PRODUCT]["log_loss"] / best, rel=1e-4
        )


def test_every_metric_stands_in_a_section_and_they_are_few(runs: tuple[Any, Any]):
    sections = {"skill", "newest_day", "pooled", "tuning", "drift"}
    names = [*runs[1].data.metrics]
    assert {name.partition("/")[0] for name in names} == sections
    assert len(names) < 40


def test_raw_figures_carry_the_day_that_they_are_of(
    client: Any, runs: tuple[Any, Any], tracked: dict[str, Any]
):
    days = tracked["second"]["evaluation"]["days"]
    history = client.get_metric_history(runs[1].info.run_id, "newest_day/auc")
    assert [m.step for m in history] == [int(day["day"].replace("-", "")) for day in days]
    for metric, day in zip(history, days, strict=True):
        moment = datetime.fromtimestamp(metric.timestamp / 1000, UTC)
        assert moment.date().isoformat() == day["day"]
        assert metric.value == pytest.approx(day["metrics"][PRODUCT]["auc"], rel=1e-5)
    assert runs[1].data.tags["evaluation_day"] == days[-1]["day"]
    assert runs[1].data.params["judged_days"] == ", ".join(day["day"] for day in days)


def test_the_skills_are_the_registered_models_as_well(client: Any, runs: tuple[Any, Any]):
    """MLflow's table of models shows the metrics of a model, which are not those of its run."""
    models = [client.get_logged_model(o.model_id) for o in runs[1].outputs.model_outputs]
    (scorer,) = (model for model in models if model.name == "scorer")
    kept = {metric.key: metric.value for metric in scorer.metrics}
    assert kept["skill/primary"] == runs[1].data.metrics["skill/primary"]


def test_trials_are_steps_of_one_run_in_one_call(client: Any, runs: tuple[Any, Any]):
    run_id = runs[1].info.run_id
    assert [m.step for m in client.get_metric_history(run_id, "tuning/churn_loss")] == [0, 1]
    trials = [
        Trial(number, "complete", 0.5 + number, {"num_leaves": 3, "rounds": 9})
        for number in range(400)
    ]
    with patch.object(type(client), "log_batch") as batch:
        log_trials(client, run_id, "churn", [*trials, Trial(400, "pruned", None, {})])
    batch.assert_called_once()
    assert len(batch.call_args.kwargs["metrics"]) == 400


# Words.


def test_runs_are_found_by_their_tags(client: Any, runs: tuple[Any, Any], tracked: dict[str, Any]):
    grade = tracked["second"]["evaluation"]["grade"]["letter"]
    found = client.search_runs(
        [runs[1].info.experiment_id],
        f"tags.grade = '{grade}' and tags.as_of = '{LATE}' and tags.kind = "
        f"'{tracked['second']['kind']}' and tags.horizon_days = '45'",
    )
    assert [run.info.run_id for run in found] == [runs[1].info.run_id]


def test_a_run_says_what_it_is_worth_and_on_which_days(
    client: Any, runs: tuple[Any, Any], tracked: dict[str, Any]
):
    evaluation = tracked["second"]["evaluation"]
    note = runs[1].data.tags["mlflow.note.content"]
    assert len(note) < 8000, "MLflow cuts longer ones"
    skill = evaluation["pooled"]["skills"]
    told = "{primary:+.3f} ({primary_lower:+.3f} to {primary_upper:+.3f})".format(**skill)
    assert f"Primary skill: {told}" in note
    assert f"Grade {evaluation['grade']['letter']}: {evaluation['grade']['why']}" in note
    for day in evaluation["days"]:
        assert day["day"] in note
    for method in (PRODUCT, *BASELINES):
        for measure, (_, how) in NOTED.items():
            assert f"{evaluation['pooled']['metrics'][method][measure]:{how}}" in note
    assert evaluation["more_data"][1:] in note
    described = client.get_model_version(MODEL, "2")
    assert described.description == note
    assert "champion" in client.get_registered_model(MODEL).description


def test_the_experiment_says_how_to_read_it_and_links_to_a_table_of_skills(
    client: Any, runs: tuple[Any, Any], tracked: dict[str, Any]
):
    experiment = client.get_experiment(runs[1].info.experiment_id)
    assert experiment.name == "orders churn and spend in 45 days"
    assert runs[0].info.experiment_id == runs[1].info.experiment_id
    first, *_ = experiment.tags["mlflow.note.content"].splitlines()
    assert address(experiment.experiment_id) in first
    state = json.loads(experiment.tags["mlflow.sharedViewState.skills"])
    assert state["orderByKey"] == "metrics.`skill/primary`"
    known = {
        "metrics": set(runs[1].data.metrics),
        "tags": set(runs[1].data.tags),
    }
    for column in state["selectedColumns"]:
        section, _, name = column.partition(".")
        assert name.strip("`") in known[section], column


def test_a_description_that_an_analyst_wrote_stays(client: Any, tracked: dict[str, Any]):
    workspace, settings = Workspace(tracked["root"]), Settings()
    key, _ = open_experiment(client, open_registry(workspace, settings), workspace, settings, 30)
    client.set_experiment_tag(key, "mlflow.note.content", "Ours.")
    again, _ = open_experiment(client, open_registry(workspace, settings), workspace, settings, 30)
    assert again == key
    assert client.get_experiment(key).tags["mlflow.note.content"] == "Ours."


# Pictures.


def test_every_question_has_a_picture_and_the_note_names_it(
    runs: tuple[Any, Any], artifacts: tuple[Path, Path], tracked: dict[str, Any]
):
    first, second = ({p.stem for p in (folder / "plots").iterdir()} for folder in artifacts)
    assert tracked["second"]["kind"] == "lightgbm"
    assert second == set(QUESTIONS)
    without = {"13_what_moved_since_the_champion"}
    if tracked["first"]["kind"] == "btyd":
        without |= {"08_what_moves_spend"}
    assert first == set(QUESTIONS) - without, "there was no champion"
    for run, names in zip(runs, (first, second), strict=True):
        note = run.data.tags["mlflow.note.content"]
        assert {name for name in QUESTIONS if f"`{name}.png`" in note} == names


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_picture_is_of_something(artifacts: tuple[Path, Path], name: str):
    with Image.open(artifacts[1] / "plots" / f"{name}.png") as image:
        assert image.format == "PNG"
        assert image.width >= 900
        assert image.height >= 500
        shades = np.asarray(image.convert("L"))
    # The upper left is the title; axes alone would leave the middle of each panel blank.
    assert (shades < 250).mean() > 0.02
    assert (shades[: len(shades) // 5] < 100).any()
    middle = shades[len(shades) // 4 : -len(shades) // 8, shades.shape[1] // 4 :]
    assert len(np.unique(middle)) > 3


# Lineage.


def test_lineage_lists_every_feature_with_its_view_table_and_version(artifacts: tuple[Path, Path]):
    rows = pl.read_csv(artifacts[1] / "features.csv").to_dicts()
    assert [row["feature"] for row in rows] == list(catalogue.NAMES)
    for row, feature in zip(rows, catalogue.FEATURES, strict=True):
        assert (row["view"], row["table"]) == (feature.view, feature.table)
        assert row["version"] == catalogue.VERSION
        assert row["meaning"] == feature.meaning
    known = {row["feature"]: row["known_of"] for row in rows}
    assert (known["purchases"], known["survey_mean"]) == (1.0, 0.0), "there are orders alone"
    assert sum(row["churn_gain"] for row in rows) == pytest.approx(1, abs=0.01)
    assert not [row for row in rows if row["churn_gain"] and not row["learned_from"]]


def test_the_data_that_was_learned_from_is_an_input_of_the_run(
    runs: tuple[Any, Any], tracked: dict[str, Any]
):
    fingerprint = Ledger(Workspace(tracked["root"])).fingerprint(
        datetime.fromisoformat(LATE).date()
    )
    inputs = {i.tags[0].value: i.dataset for i in runs[1].inputs.dataset_inputs}
    assert set(inputs) == {"training", "evaluation"}
    learned = inputs["training"]
    assert (learned.name, learned.digest) == ("orders", fingerprint[:36])
    source, schema = json.loads(learned.source), json.loads(learned.schema)
    assert source["feature_service"] == catalogue.SERVICES["scorer"]
    assert source["tables_with_data"] == ["category", "orders"]
    assert [c["name"] for c in schema["mlflow_colspec"]] == list(catalogue.NAMES)
    judged = json.loads(inputs["evaluation"].profile)["snapshot_days"]
    assert judged == [day["day"] for day in tracked["second"]["evaluation"]["days"]]


# Drift.


def test_what_moved_since_the_champion_is_told_in_words_and_numbers(
    runs: tuple[Any, Any], artifacts: tuple[Path, Path]
):
    assert "There is no champion to compare with" in runs[0].data.tags["mlflow.note.content"]
    note = runs[1].data.tags["mlflow.note.content"]
    assert f"Against version 1, the champion, of {EARLY}" in note
    assert "says" in note.partition("mean churn probability")[2].partition("\n")[0]
    then, now = (
        Population.from_dict(json.loads((folder / "drift" / "population.json").read_text()))
        for folder in artifacts
    )
    assert then.as_of.isoformat() == EARLY
    assert (then.customers, now.customers) == (CUSTOMERS, CUSTOMERS)
    before, after = (one.features["tenure_days"].middle for one in (then, now))
    assert before is not None
    assert after == before + 90, "nobody is new: everyone is 90 days older"
    assert f"`tenure_days` {runs[1].data.metrics['drift/largest_psi']:.2f}" in note or (
        "`known_days`" in note
    )


def test_customers_who_did_not_change_have_not_moved(artifacts: tuple[Path, Path]):
    found = Population.from_dict(json.loads((artifacts[0] / "drift/population.json").read_text()))
    for spread in found.features.values():
        assert sum(spread.shares) == pytest.approx(1, abs=1e-4)
        assert index(spread.shares, spread.shares) == 0


# Privacy.


def stored(root: Path) -> Iterator[Path]:
    return (path for path in (root / "mlflow").rglob("*") if path.is_file())


def test_no_customer_is_named_in_mlflow(tracked: dict[str, Any]):
    """Neither in the database nor in any file: they are in the workspace, beside it."""
    judged = pl.read_parquet(judged_file(Workspace(tracked["root"]), 2))
    assert judged["customer_id"].str.starts_with("kunde-").all()
    found = [path for path in stored(tracked["root"]) if b"kunde-" in path.read_bytes()]
    assert found == []
