"""The gate: a fresher model answers unless it is worse, and whoever overrides it leaves a trace."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shop
from conftest import run, succeed
from contests import contest
from scipy.special import expit, logit

from features.settings import GateSettings, Settings
from features.workspace import Workspace
from pipelines.context import Context
from pipelines.promote import answers_of
from training.answers import BASELINES, PRODUCT, Answers
from training.contest import Contest
from training.contest_files import judged_file, read_contests, read_note, write_contests
from training.gate import Comparison, Said, compare

DAYS = [contest(800, seed=11, place=place) for place in range(3)]


def altered(said: Answers, odds: float = 0.0, spend: float = 1.0) -> Answers:
    churn = expit(logit(said.churn_probability) + odds)
    return replace(said, churn_probability=churn, expected_spend=spend * said.expected_spend)


def judge(answers: Any, **gate: float) -> Comparison:
    """Compare a challenger, made out of the champion's answers, with the champion."""
    rng = np.random.default_rng(1)
    challengers = []
    for day in DAYS:
        made = answers(day.answers[PRODUCT], rng)
        challengers.append(replace(day, answers={**day.answers, PRODUCT: made}))
    champion = {d.day: Said(d.customer_ids, d.answers[PRODUCT]) for d in DAYS}
    found = compare(challengers, champion, GateSettings(**gate), replicates=60)
    assert found is not None
    return found


def noisy(said: Answers, rng: np.random.Generator) -> Answers:
    return altered(said, rng.normal(0, 1.0, len(said.expected_spend)))


def reversed_value(said: Answers, _: Any) -> Answers:
    """Say little of the best: the total stays what it was."""
    order = np.argsort(said.expected_spend)
    swapped = said.expected_spend.copy()
    swapped[order[-80:]], swapped[order[:80]] = swapped[order[:80]], swapped[order[-80:]]
    return replace(said, expected_spend=swapped)


@pytest.mark.parametrize(
    ("answers", "refused_for"),
    [
        pytest.param(lambda said, _: said, (), id="a tie: the fresher answers"),
        pytest.param(lambda said, _: altered(said, 0.05, 1.02), (), id="a little noise"),
        pytest.param(noisy, ("primary skill", "calibration error"), id="worse probabilities"),
        pytest.param(
            lambda said, _: altered(said, 0.0, 1.8), ("total (log error)",), id="totals too high"
        ),
        pytest.param(reversed_value, ("value capture",), id="the best are missed"),
    ],
)
def test_a_loss_beyond_its_margin_refuses_and_is_named(answers: Any, refused_for: tuple[str, ...]):
    found = judge(answers)
    assert set(refused_for) <= {loss.measure for loss in found.excessive}
    assert bool(found.excessive) == bool(refused_for)
    assert (found.days, found.customers) == (tuple(d.day for d in DAYS), 2400)


def test_margins_decide():
    assert judge(noisy).excessive
    wide = {"primary_margin": 0.5, "calibration_margin": 0.5, "total_margin": 3.0}
    assert not judge(noisy, **wide, value_capture_margin=0.9).excessive


def test_a_better_challenger_is_never_refused():
    champion = {d.day: Said(d.customer_ids, noisy(d.answers[PRODUCT], np.random.default_rng(2)))
                for d in DAYS}  # fmt: skip
    found = compare(DAYS, champion, GateSettings(), replicates=60)
    assert found is not None
    assert not found.excessive
    assert found.primary.upper < 0, "it gains"


def test_only_customers_that_both_answered_are_compared_row_by_row():
    """Whoever is missing on one side is left out; the order of rows does not matter."""
    rng = np.random.default_rng(3)
    rows = rng.permutation(800)[:500]
    champion = {d.day: Said(d.customer_ids[rows], d.answers[PRODUCT].take(rows)) for d in DAYS[:2]}
    found = compare(DAYS, champion, GateSettings(), replicates=20)
    assert found is not None
    assert (len(found.days), found.customers) == (2, 1000)
    assert found.primary.value == 0
    assert compare(DAYS, {}, GateSettings()) is None


def test_judged_days_come_back_from_their_file_as_they_were(tmp_path: Path):
    path = tmp_path / "1.parquet"
    texts = replace(DAYS[1], customer_ids=np.array([f"c{i}" for i in range(800)], dtype=object))
    for days in (DAYS, [texts]):
        write_contests(path, days, {"run_id": "r"})
        assert read_note(path) == {"run_id": "r"}
        for one, two in zip(days, read_contests(path), strict=True):
            for name in ("day", "horizon_days", "learned_days", "total"):
                assert getattr(one, name) == getattr(two, name)
            for name in ("customer_ids", "churned", "net_spend", "active", "stage"):
                assert getattr(one, name).tolist() == getattr(two, name).tolist(), name
            for method in (PRODUCT, *BASELINES):
                for name, values in vars(one.answers[method]).items():
                    assert np.array_equal(values, getattr(two.answers[method], name)), name
    assert read_note(tmp_path / "2.parquet") is None


# The verb.

EARLY, LATE = "2024-04-01", "2024-06-30"


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A champion of an early day, and a version of a late one that is not promoted yet."""
    root = tmp_path_factory.mktemp("gate") / "w"
    root.mkdir()
    (root / "lifecycle.yaml").write_text(
        "training: {trials: 0, max_snapshots: 8, threads: 1}\nchurn: {horizon_days: 45}\n"
    )
    file = shop.write(root.parent, customers=200)
    succeed(root, "ingest", "--orders", file, *shop.map_options())
    succeed(root, "train", "--as-of", EARLY)
    assert succeed(root, "promote")["compared"] is None
    succeed(root, "train", "--as-of", LATE)
    return root


@pytest.fixture
def workspace(two_versions: Path, tmp_path: Path) -> Path:
    shutil.copytree(two_versions, tmp_path / "w")
    return tmp_path / "w"


def registry_of(root: Path) -> Any:
    return Context(Workspace(root), Settings()).registry()


def worsen(root: Path, version: int) -> None:
    """Make what a version said of its judged days much worse than it was."""
    path = judged_file(Workspace(root), version)
    note = read_note(path)
    assert note is not None

    def wrong(day: Contest) -> Contest:
        said = altered(day.answers[PRODUCT], 2.0, 0.2)
        return replace(day, answers={**day.answers, PRODUCT: said})

    write_contests(path, [wrong(day) for day in read_contests(path)], note)


def test_the_champion_answers_later_days_as_it_is_registered(workspace: Path):
    """2024-05-16 is judged by the fresher version, and lies after all that the champion learned."""
    said = succeed(workspace, "promote")
    assert (said["champion"], said["former"]) == (2, 1)
    assert "2024-05-16" in said["compared"]["days"]
    assert all(day >= EARLY for day in said["compared"]["days"])
    assert set(said["compared"]["losses"]) == {
        "primary skill", "calibration error", "total (log error)", "value capture",
    }  # fmt: skip
    tags = registry_of(workspace).champion().tags
    assert "no worse than the champion (version 1)" in tags["why"]


def test_a_version_of_a_week_later_is_compared_by_what_both_said_of_the_same_days(workspace: Path):
    """The champion learned from these days too: those of the grid were judged by both."""
    succeed(workspace, "train", "--as-of", "2024-06-23")
    succeed(workspace, "promote")
    succeed(workspace, "train", "--as-of", LATE)
    context = Context(Workspace(workspace), Settings())
    judged = [read_contests(judged_file(context.workspace, version)) for version in (3, 4)]
    shared = sorted({c.day.isoformat() for c in judged[0]} & {c.day.isoformat() for c in judged[1]})
    assert shared
    assert len(shared) >= len(judged[1]) - 2, "the newest, and one that was too near to it before"
    said = succeed(workspace, "promote")
    assert (said["champion"], said["compared"]["days"]) == (4, shared)


def test_a_version_of_the_same_day_is_compared_by_what_both_said_before_it(workspace: Path):
    """The champion learned from these days' labels: its rolling-origin answers stand for it."""
    context = Context(Workspace(workspace), Settings())
    version = context.registry().newest()
    assert version is not None
    contests = read_contests(judged_file(context.workspace, version.version))
    said, left_out = answers_of(context, context.registry(), version, contests)
    assert [*said] == [c.day for c in contests]
    assert left_out == ""
    found = compare(contests, said, GateSettings(), replicates=20)
    assert found is not None
    assert (found.primary.value, found.customers) == (0, sum(len(c.churned) for c in contests))
    judged_file(context.workspace, version.version).unlink()
    said, left_out = answers_of(context, context.registry(), version, contests)
    assert said == {}
    assert "what version 2 said of days before 2024-06-30 is not in this workspace" in left_out


def test_a_worse_version_is_refused_in_numbers_and_forcing_it_is_recorded(workspace: Path):
    worsen(workspace, 2)
    result = run(workspace, "promote")
    assert result.exit_code == 1
    assert "version 2 loses to the champion (version 1) on" in result.stderr
    assert "primary skill +" in result.stderr
    assert "against a margin of 0.01" in result.stderr
    registry = registry_of(workspace)
    assert registry.champion().version == 1
    tags = registry.version(2).tags
    assert tags["decision"] == "refused"
    assert tags["why"] in result.stderr
    said = succeed(workspace, "promote", "--force", "--reason", "the shop moved")
    assert said["forced"]
    assert registry.version(1).tags["decision"] == "replaced"
    assert registry.version(1).tags["why"].startswith("version 2 took its place: forced: ")
    tags = registry.champion().tags
    assert tags["decision"] == "champion"
    assert tags["forced_reason"] == "the shop moved"
    assert tags["why"].startswith("forced: version 2 loses")


def test_a_comparison_that_cannot_be_made_is_left_out_and_said(workspace: Path):
    judged_file(Workspace(workspace), 2).unlink()
    said = succeed(workspace, "promote")
    assert said["compared"] is None
    assert "what version 2 said of its judged days is not in this workspace" in said["why"]


def test_a_reason_without_force_is_refused(workspace: Path):
    result = run(workspace, "promote", "--reason", "why not")
    assert result.exit_code == 1
    assert "add --force" in result.stderr


def test_no_customer_stands_in_mlflow(workspace: Path):
    files = [path for path in (workspace / "mlflow").rglob("*") if path.suffix == ".parquet"]
    assert files == []
    assert sorted(p.name for p in (workspace / "judged").iterdir()) == ["1.parquet", "2.parquet"]
