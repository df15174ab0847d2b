"""More rows than memory holds: the same trees from files, and whole customers in a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pytest
from conftest import run
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logit
from small_study import MACHINE, day

import pipelines.train
from features.settings import Settings
from features.workspace import Workspace
from pipelines.context import Context
from pipelines.train import Retrieved
from training.dataset import TREE_CATEGORIES, TREE_FEATURES, LabelledDay, tree_matrix
from training.sampling import sample_customers
from training.training_set import TrainingSet
from training.trees import BINNING, DEFAULTS, Rows, correction, fit, grow

PARAMETERS = {**DEFAULTS["churn"], "min_child_samples": 20, "rounds": 30}


def from_files(days: Sequence[LabelledDay], folder: Path) -> list[LabelledDay]:
    kept = TrainingSet({}, folder)
    return [replace(one, matrix=kept.keep(one.as_of, one.matrix)) for one in days]


def at_once(days: Sequence[LabelledDay]) -> lgb.Dataset:
    """All rows as one matrix, binned by LightGBM itself."""
    return lgb.Dataset(
        tree_matrix(np.concatenate([one.matrix for one in days])),
        label=np.concatenate([one.churned for one in days]),
        init_score=np.concatenate([logit(one.prior_churn) + one.levels[0].value for one in days]),
        feature_name=list(TREE_FEATURES),
        categorical_feature=list(TREE_CATEGORIES),
        params={**BINNING, "verbosity": -1},
    ).construct()


@pytest.mark.parametrize("sampled", [200_000, 500])
def test_days_in_files_give_the_trees_of_all_rows_in_memory_at_once(
    sampled: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Bit for bit, also where LightGBM finds its bins from a sample of the rows."""
    monkeypatch.setitem(BINNING, "bin_construct_sample_cnt", sampled)
    days = [day(number) for number in range(3)]
    expected = grow("churn", at_once(days), PARAMETERS, MACHINE).model_to_string()
    for held in (days, from_files(days, tmp_path)):
        rows = Rows("churn", held)
        assert fit("churn", rows, PARAMETERS, MACHINE).model_to_string() == expected


def test_buyers_alone_and_predictions_are_the_same_from_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    days = [day(number) for number in range(3)]
    filed = from_files(days, tmp_path)
    one, two = (fit("spend", Rows("spend", held), PARAMETERS, MACHINE) for held in (days, filed))
    assert one.model_to_string() == two.model_to_string()
    whole = correction(one, days[0].matrix)
    monkeypatch.setattr("training.trees.PREDICTED_ROWS", 100)
    assert correction(two, filed[0].matrix).tobytes() == whole.tobytes()


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers() | st.text(max_size=8), unique_by=str, max_size=60), st.data())
def test_a_customer_is_in_a_sample_by_the_id_alone(ids: list[Any], data: st.DataObject):
    texts = [str(one) for one in ids]
    some = data.draw(st.lists(st.sampled_from(texts), unique=True)) if texts else []
    asked = {date(2024, 1, 1): pa.array(some, pa.string()), date(2024, 2, 1): pa.array(texts)}
    rows = len(some) + len(texts)
    assert sample_customers(asked, rows) == sample_customers(asked, None) == asked
    fewer: set[str] = set()
    for most in (rows // 4 + 1, rows // 2 + 1):
        earlier, later = (set(kept.to_pylist()) for kept in sample_customers(asked, most).values())
        assert earlier == later & set(some)
        assert fewer <= later, "a larger sample keeps the people of a smaller one"
        fewer = later


def test_an_id_is_drawn_alike_as_number_and_as_text_and_by_the_share_asked_for():
    numbers = {date(2024, 1, 1): pa.array(range(20_000))}
    texts = {date(2024, 1, 1): pa.array([str(n) for n in range(20_000)])}
    (one,), (two,) = (sample_customers(asked, 6_000).values() for asked in (numbers, texts))
    assert [str(n) for n in one.to_pylist()] == two.to_pylist()
    assert abs(len(one) - 6_000) < 4 * np.sqrt(20_000 * 0.3 * 0.7)


def test_a_training_through_files_learns_from_the_same_rows(
    trained: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    """Retrieved a day at a time, or all days at once; and of a sample only those drawn."""
    last = date.fromisoformat(trained["train"]["as_of"])

    def retrieved(**training: int) -> Retrieved:
        given = {
            "churn": {"horizon_days": trained["train"]["horizon_days"]},
            "training": {"step_days": 20, "max_snapshots": 3, **training},
        }
        context = Context(Workspace(trained["workspace"]), Settings.load(overrides=given))
        return pipelines.train.retrieve(
            context, context.ledger(), last, given["churn"]["horizon_days"]
        )

    whole = retrieved()
    days = list(whole.calendar.matured)
    monkeypatch.setattr(pipelines.train, "ROWS_IN_MEMORY", 1)
    monkeypatch.setattr(pipelines.train, "ROWS_AT_ONCE", 1)
    filed = retrieved()
    assert whole.training_set.folder is None
    assert filed.training_set.folder == Workspace(trained["workspace"]).scratch
    assert list(whole.training_set.days) == list(filed.training_set.days) == days
    for one in days:
        assert whole.training_set.day(one).equals(filed.training_set.day(one))
    few = retrieved(max_rows=1000)
    assert 700 < few.training_set.rows < 1300 < whole.training_set.rows
    drawn, today = (set(r.today["customer_id"].to_pylist()) for r in (few, whole))
    assert drawn < today


def test_a_training_leaves_no_scratch_files(ingested: Path):
    scratch = Workspace(ingested).scratch
    scratch.mkdir()
    (scratch / "2024-01-01.npy").write_bytes(b"of a training that was killed")
    run(ingested, "train", "--as-of", "1990-01-01")
    assert not scratch.exists()
