"""Studies: cut short, gone on with, shared by processes, never a trial lost or done twice."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import shop
import yaml
from conftest import run, succeed
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import TrialState
from servers import database as database  # noqa: PLC0414 - a fixture
from small_study import MACHINE, WANTED, day, tuned, two_folds

from features.errors import InputError, ServerError
from features.settings import Settings
from training.trees import DEFAULTS, grow
from training.tuning.folds import Fold, folds
from training.tuning.search import Tuned, tune
from training.tuning.space import FIRST_RANDOM, SPACE
from training.tuning.studies import Studies, StudyFile


@pytest.fixture(scope="module")
def whole() -> Tuned:
    """What a run without interruption finds, kept nowhere."""
    return tuned(Studies())


def records(folder: Path) -> list[dict[str, Any]]:
    """All that a study's file says so far."""
    return [
        json.loads(line)
        for file in folder.glob("*.jsonl")
        for line in file.read_bytes().splitlines(keepends=True)
        if line.endswith(b"\n")
    ]


def started(folder: Path) -> list[int]:
    """The trials of a file that were taken to be run."""
    return [
        record["trial_id"]
        for record in records(folder)
        if record["op_code"] == JournalOperation.SET_TRIAL_STATE_VALUES
        and record["state"] == TrialState.RUNNING
    ]


def ended(folder: Path) -> list[int]:
    """The trials of a file that were run to their end, as often as they were.

    Two that reach for one trial at once both write that they take it, and only the first does.
    """
    return [
        record["trial_id"]
        for record in records(folder)
        if record["op_code"] == JournalOperation.SET_TRIAL_STATE_VALUES
        and record["state"] in {TrialState.COMPLETE, TrialState.PRUNED}
    ]


def in_a_process(work: Callable[..., Any], *given: Any) -> multiprocessing.Process:
    process = multiprocessing.get_context("spawn").Process(target=work, args=given)
    process.start()
    return process


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def test_the_default_parameters_are_the_first_trial_and_the_least_loss_is_chosen(whole: Tuned):
    first = whole.trials[0].parameters
    assert first | {"rounds": 0} == DEFAULTS["churn"] | {"rounds": 0}
    best = min((t for t in whole.trials if t.state == "complete"), key=lambda t: t.value or 0)
    assert whole.parameters == best.parameters
    assert {t.state for t in whole.trials} == {"complete", "pruned"}


def test_a_killed_study_goes_on_to_the_same_result(whole: Tuned, tmp_path: Path):
    studies = Studies(tmp_path)
    process = in_a_process(tuned, studies)
    until(lambda: len(started(tmp_path)) > 3, "it began")
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    before = started(tmp_path)
    again = tuned(studies)
    assert again == whole
    assert 3 < len(before) < WANTED, "it was killed on the way"
    assert started(tmp_path) == list(range(WANTED)), "what was done is not done again"


@pytest.mark.parametrize("number", [2, FIRST_RANDOM + 1])
def test_a_study_cut_at_any_record_of_a_trial_goes_on_to_the_same_result(
    number: int, tmp_path: Path
):
    """Among the first trials every parameter is drawn alone; later all are drawn together."""
    wanted = number + 1
    whole = tuned(Studies(tmp_path / "whole"), wanted)
    (file,) = (tmp_path / "whole").glob("*.jsonl")
    lines = file.read_bytes().splitlines(keepends=True)
    first = next(i for i, at in enumerate(map(json.loads, lines)) if at.get("trial_id") == number)
    assert len(lines) - first > len(SPACE)
    for kept in range(first, len(lines)):
        cut = tmp_path / str(kept)
        cut.mkdir()
        (cut / file.name).write_bytes(b"".join(lines[:kept]))
        assert tuned(Studies(cut), wanted) == whole


def test_a_finished_study_is_reused_extended_and_cut(whole: Tuned, tmp_path: Path):
    studies = Studies(tmp_path)
    assert tuned(studies, 6).trials == whole.trials[:6]
    assert tuned(studies) == whole
    assert tuned(studies) == whole
    assert tuned(studies, 6) == tuned(Studies(), 6)
    assert started(tmp_path) == list(range(WANTED))


def test_other_data_another_seed_or_task_is_another_study(whole: Tuned):
    machine = replace(MACHINE, seed=4)
    others = [
        tune("churn", two_folds(), 1, machine),
        tune("churn", two_folds(601), 1, MACHINE),
        tune("churn", two_folds()[:1], 1, MACHINE),
    ]
    days = [day(number) for number in range(3)]
    others.append(tune("spend", folds("spend", [(days[:1], days[2])]), 1, MACHINE))
    assert len({whole.study, *(other.study for other in others)}) == 5


def test_folds_come_out_of_their_files_as_they_went_in(tmp_path: Path):
    (fold, _) = two_folds()
    fold.save(tmp_path / "fold")
    grown = [
        grow(
            "churn",
            one.learn.dataset,
            DEFAULTS["churn"] | {"min_child_samples": 5},
            MACHINE,
            valid_sets=[one.judge.dataset],
        )
        for one in (fold, Fold.load(tmp_path / "fold"))
    ]
    trees, losses = zip(*((b.dump_model()["tree_info"], b.best_score) for b in grown), strict=True)
    assert trees[0] == trees[1]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("tail", [b'{"op_code":4,"wor', b"\x00" * 5000])
def test_a_line_that_a_power_cut_left_is_cut_off(tail: bytes, tmp_path: Path):
    path = tmp_path / "study.jsonl"
    file = StudyFile(path)
    file.append_logs([{"one": 1}, {"two": 2}])
    with path.open("ab") as raw:
        raw.write(tail)
    StudyFile(path).append_logs([{"three": 3}])
    assert list(StudyFile(path).read_logs(0)) == [{"one": 1}, {"two": 2}, {"three": 3}]


def test_one_that_joins_over_a_server_loses_and_doubles_no_trial(database: str, whole: Tuned):
    studies = Studies(url=database.replace("postgresql:", "postgresql+psycopg:"))
    other = in_a_process(tuned, studies)
    reported: list[int] = []
    tuned(replace(studies, joining=True), progress=lambda done, _: reported.append(done))
    other.join(120)
    assert other.exitcode == 0
    with studies.opened(whole.study) as study:
        assert [t.number for t in study.trials] == list(range(WANTED))
        assert {t.state for t in study.trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
        first = study.trials[0]
    assert first.value == whole.trials[0].value, "a loss does not depend on who ran the trial"
    assert 0 < len(reported) < WANTED, "both ran some"
    assert [t.number for t in tuned(studies).trials] == list(range(WANTED))


def test_workers_lose_and_double_no_trial(tmp_path: Path, whole: Tuned):
    reported: list[int] = []
    found = tuned(Studies(tmp_path, workers=2), progress=lambda done, _: reported.append(done))
    assert [t.number for t in found.trials] == list(range(WANTED))
    assert {t.state for t in found.trials} <= {"complete", "pruned"}
    assert sorted(ended(tmp_path)) == list(range(WANTED))
    assert reported == sorted(reported)
    assert reported[-1] == WANTED
    assert found.trials[0] == whole.trials[0]
    assert tuned(Studies(tmp_path)) == found


@pytest.mark.full
def test_workers_leave_with_a_training_that_is_killed_and_their_trials_are_run_again(
    tmp_path: Path,
):
    studies = Studies(tmp_path, workers=2)
    process = in_a_process(tuned, studies, 1000)
    until(lambda: len(started(tmp_path)) > 6, "it began")
    workers = children(process.pid or 0)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert len(workers) >= 2
    until(lambda: not any(alive(pid) for pid in workers), "they left")
    wanted = max(started(tmp_path)) + 3
    found = tuned(replace(studies, workers=1), wanted)
    assert [t.number for t in found.trials] == list(range(wanted))
    assert {t.state for t in found.trials} <= {"complete", "pruned"}


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_joining_without_a_training_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("training.tuning.studies.JOIN_SECONDS", 0.1)
    with pytest.raises(
        InputError, match=r"no training has begun study churn-.* in training\.storage"
    ):
        tuned(Studies(tmp_path, joining=True))
    with pytest.raises(InputError, match=r"set training\.storage, or training\.workers to 1"):
        Studies(workers=2)


def test_a_storage_that_does_not_answer_is_named_without_its_password():
    url = "postgresql://me:s3cret@127.0.0.1:1/studies"
    settings = Settings.load(overrides={"training": {"storage": url}})
    assert "s3cret" not in repr(settings.model_dump(mode="json"))
    with pytest.raises(
        ServerError, match=r"training.storage = postgresql\+psycopg://me:\*\*\*@"
    ) as no:
        tuned(Studies(url=settings.training.storage))
    assert "s3cret" not in str(no.value)


def test_a_training_keeps_its_studies_in_the_workspace(trained: dict[str, Any]):
    kept = {file.name.partition("-")[0] for file in (trained["workspace"] / "tuning").iterdir()}
    assert kept == {"churn", "spend"}


def test_joining_needs_a_database(ingested: Path):
    refused = run(ingested, "train", "--join")
    assert refused.exit_code == 1
    assert "--join needs a database that both trainings can reach; set training" in refused.output


@pytest.mark.full
def test_the_verb_joins_a_training_of_another_workspace(
    ingested: Path, database: str, tmp_path: Path
):
    settings = {"training": {"storage": database, "trials": 6, "max_snapshots": 8}}
    here, there = tmp_path / "here", tmp_path / "there"
    for workspace in (here, there):
        shutil.copytree(ingested, workspace)
        (workspace / "lifecycle.yaml").write_text(yaml.safe_dump(settings))
    words = ["train", "--as-of", shop.LAST_DAY, "--horizon-days", "60"]
    command = [sys.executable, "-m", "pipelines.cli", "-w", str(here), *words, "--json", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        joined = succeed(there, *words, "--join")
        said = process.communicate()[0]
    assert json.loads(said)["model_version"] == 1, "nothing else is written where the answer goes"
    assert list(joined["studies"]) == ["churn", "spend"]
    for name in joined["studies"].values():
        studies = Studies(url=database.replace("postgresql:", "postgresql+psycopg:"))
        with studies.opened(name) as study:
            assert [t.state.is_finished() for t in study.trials] == [True] * 6
    assert not (there / "mlflow").exists()
