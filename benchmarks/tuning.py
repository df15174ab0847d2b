"""What 50 trials cost beside the LightGBM fits that they contain, and what logging them costs.

Two folds of generated rows: 30,000 and 60,000 to learn from, 20,000 to judge by, of 143 features.
Everything but `lgb.train` is overhead: binning the folds, naming and writing them, the study's
storage, sampler and pruner. 1.15 times the fits is the most that is wanted, and 1 ms a trial in
MLflow. The processor's seconds are compared, as a shared machine's clock says little.

    python benchmarks/tuning.py [TRIALS [ROWS]]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from unittest.mock import patch

import lightgbm as lgb
import numpy as np
from scipy.special import expit, logit

from features import catalogue
from training.btyd import BetaGeometric
from training.dataset import LabelledDay
from training.prior import Prior
from training.tracking.trials import log_trials
from training.trees import Machine
from training.tuning.folds import folds
from training.tuning.search import Trial, tune
from training.tuning.studies import Studies

MOST_TIMES, MOST_MS = 1.15, 1.0
MACHINE = Machine(threads=1)


@dataclass
class Clock:
    """Seconds on the clock and of the processor, summed over the stretches that it timed."""

    wall: float = 0.0
    cpu: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Time what is done within."""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall += time.perf_counter() - wall
            self.cpu += time.process_time() - cpu


def day(number: int, customers: int) -> LabelledDay:
    """Draw customers who leave by a rule of four features."""
    rng = np.random.default_rng(number)
    matrix = rng.gamma(1.0, 10.0, (customers, len(catalogue.NAMES))).round(1)
    matrix[rng.random(matrix.shape) < 0.2] = np.nan
    chance = rng.uniform(0.2, 0.8, customers)
    hint = np.nan_to_num(matrix[:, 10:14] - 10.0).sum(axis=1) / 20.0
    purchased = rng.random(customers) > expit(logit(chance) + hint)
    spend = np.where(purchased, rng.gamma(2.0, 20.0, customers), 0.0)
    prior = Prior("bg_nbd", BetaGeometric(0.5, 10.0, 1.0, 3.0), None, 20.0)
    return LabelledDay(
        date(2024, 1 + number, 1), np.arange(customers), matrix, prior, chance,
        np.full(customers, 40.0), purchased, spend,
    )  # fmt: skip


def tuned(trials: int, rows: int, folder: Path) -> tuple[Trial, ...]:
    fits, whole = Clock(), Clock()
    train = lgb.train

    def timed(*given: object, **named: object) -> lgb.Booster:
        with fits.running():
            return train(*given, **named)

    days = [day(number, rows) for number in range(2)]
    judged = [day(number, rows * 2 // 3) for number in (2, 3)]
    with patch.object(lgb, "train", timed), whole.running():
        made = folds("churn", [(days[:1], judged[0]), (days, judged[1])])
        found = tune("churn", made, trials, MACHINE, studies=Studies(folder))
    times, clock = whole.cpu / fits.cpu, whole.wall / fits.wall
    pruned = sum(trial.state == "pruned" for trial in found.trials)
    print(
        f"{trials} trials, {pruned} pruned: fits {fits.cpu:.1f} s, all {whole.cpu:.1f} s of the "
        f"processor: {times:.3f} times the fits (at most {MOST_TIMES}); {clock:.3f} on the clock"
        f"{'' if times <= MOST_TIMES else ' TOO MUCH'}"
    )
    return found.trials


def logged(trials: tuple[Trial, ...], folder: Path) -> None:
    import mlflow  # noqa: PLC0415 - takes seconds to import

    uri = f"sqlite:///{folder}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    mlflow.create_experiment("tuning", artifact_location=(folder / "artifacts").as_uri())
    mlflow.set_experiment("tuning")
    client = mlflow.MlflowClient(uri)
    with mlflow.start_run() as run:
        log_trials(client, run.info.run_id, "churn", trials)
        clock = Clock()
        with clock.running():
            log_trials(client, run.info.run_id, "churn", trials)
    cost = clock.cpu * 1000 / len(trials)
    print(
        f"in MLflow {cost:.2f} ms of the processor a trial ({clock.wall * 1000 / len(trials):.2f} "
        f"on the clock), at most {MOST_MS:.0f} is wanted{'' if cost <= MOST_MS else ' TOO MUCH'}"
    )


def main(trials: int, rows: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        logged(tuned(trials, rows, folder / "studies"), folder)


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(*(given + [50, 30_000][len(given) :]))
