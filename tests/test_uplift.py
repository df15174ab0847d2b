"""Effects of actions, measured: on made-up arms of known effect, and on a published experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import SHARED, run
from numpy.typing import NDArray
from scipy.special import expit

from training.trees import Machine
from training.uplift.balance import balance
from training.uplift.experiment import Experiment
from training.uplift.measured import Measured, measure

MACHINE = Machine(seed=7, threads=1)
ROWS = 8_000
FEATURES = ("kind", "loudness", "noise")


def made_up(
    effect: float, moved: float = 1.0, pull: float = 0.0, stated: bool = True, seed: int = 1
) -> Experiment:
    """A trial in which a share of the customers is moved by an effect, told by their kind.

    Parameters
    ----------
    pull
        How much more likely the loud, who buy more, are to be treated.
    stated
        Whether that chance is written down; else a half is.
    """
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(ROWS, len(FEATURES)))
    kind, loud = matrix[:, 0], matrix[:, 1]
    chance = expit(pull * loud)
    treated = rng.random(ROWS) < chance
    is_moved = kind > np.quantile(kind, 1 - moved)
    base = expit(0.8 * loud - 0.5)
    bought = rng.random(ROWS) < base + treated * is_moved * effect * (1 - base)
    spend = np.where(bought, rng.gamma(4.0, 10.0, ROWS), 0.0)
    return Experiment(
        "act",
        np.arange(ROWS),
        matrix,
        treated,
        chance if stated else np.full(ROWS, 0.5),
        bought,
        spend,
        FEATURES,
        (),
    )


def covers(found: Measured, truth: float) -> bool:
    return found.effect.lower - 0.01 < truth < found.effect.upper + 0.01


def test_an_action_that_moves_some_is_measured_and_they_are_found():
    trial = made_up(effect=0.4, moved=0.5)
    base = expit(0.8 * trial.matrix[:, 1] - 0.5)
    found = measure(trial, MACHINE)
    assert covers(found, float(0.5 * 0.4 * (1 - base).mean()))
    assert found.effect.lower > 0.05
    assert found.differs
    assert 0.5 < found.slope.value < 1.5
    seen = [fifth.seen.value for fifth in found.fifths]
    assert seen[-1] - seen[0] > 0.1
    assert found.curve.gain[50] > found.curve.gain[-1] / 2, "the first half gains more than half"
    assert abs(found.spend.value) < 3 * found.spend.error, "buyers spend what they did"


def test_an_action_that_does_nothing_is_said_to_do_nothing():
    found = measure(made_up(effect=0.0), MACHINE)
    assert covers(found, 0.0)
    assert found.effect.lower < 0 < found.effect.upper
    assert not found.differs
    assert found.level.lower < 0 < found.level.upper


def test_stated_chances_that_differ_are_set_right():
    trial = made_up(effect=0.0, pull=1.5)
    arms = trial.purchased[trial.treated].mean() - trial.purchased[~trial.treated].mean()
    assert arms > 0.1, "the treated would have bought anyway"
    assert covers(measure(trial, MACHINE), 0.0)
    assert balance(trial, MACHINE).is_random


def test_a_control_arm_that_was_not_random_is_found_and_named():
    checked = balance(made_up(effect=0.0, pull=1.5, stated=False), MACHINE)
    assert not checked.is_random
    assert checked.by[0] == "loudness"
    assert balance(made_up(effect=0.4), MACHINE).is_random


@pytest.fixture(scope="module")
def mails() -> pl.DataFrame:
    path = SHARED / "hillstrom_email_2008_half.parquet"
    if not path.exists():
        pytest.skip("Hillstrom's e-mail experiment is not in this checkout's ../shared/data")
    return pl.read_parquet(path)


@pytest.mark.parametrize(
    ("mail", "published", "differs"),
    [("Womens E-Mail", 0.045, True), ("Mens E-Mail", 0.077, False)],
)
def test_the_womens_mail_has_targeting_value_and_the_mens_has_not(
    mails: pl.DataFrame, mail: str, published: float, differs: bool
):
    rows = mails.filter(pl.col("segment").is_in([mail, "No E-Mail"]))
    numbers = ["recency", "history", "mens", "womens", "newbie"]
    labels = ["history_segment", "zip_code", "channel"]
    columns: list[NDArray[Any]] = [rows[name].cast(pl.Float64).to_numpy() for name in numbers]
    columns += [rows[name].rank("dense").cast(pl.Float64).to_numpy() for name in labels]
    trial = Experiment(
        mail,
        np.arange(rows.height),
        np.column_stack(columns),
        (rows["segment"] == mail).to_numpy(),
        np.full(rows.height, 0.5),
        (rows["visit"] == 1).to_numpy(),
        rows["spend"].to_numpy(),
        tuple(numbers + labels),
        tuple(range(len(numbers), len(numbers + labels))),
    )
    assert balance(trial, MACHINE).is_random
    found = measure(trial, MACHINE)
    assert found.effect.value == pytest.approx(published, abs=0.004)
    assert found.differs is differs
    if differs:
        assert found.curve.qini.z > 3


def test_without_treatments_the_verb_says_what_to_do(ingested: Path):
    refused = run(ingested, "effects")
    assert refused.exit_code == 1
    assert "lifecycle ingest --treatments FILE" in refused.output
