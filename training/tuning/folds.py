"""Folds: rows to learn from and later rows to judge by, binned once and shared by files."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from training.dataset import LabelledDay
from training.trees import BINNING, Rows, Task

Float = NDArray[np.float64]
_PARTS = ("learn", "judge")


@dataclass(frozen=True)
class Binned:
    """Rows as LightGBM holds them, and the prior's answer where boosting starts, shape (n,)."""

    dataset: Any
    offset: Float


@dataclass(frozen=True)
class Fold:
    """Rows to learn from and later rows to judge by."""

    learn: Binned
    judge: Binned

    def save(self, folder: Path) -> str:
        """Write the binned rows where other processes find them, and name the content.

        The name is of every bin and label, and of the prior's mean to six digits: its fit may
        differ in the last ones between two kinds of processor.
        """
        _hush()
        folder.mkdir()
        content = hashlib.sha256()
        for part in _PARTS:
            binned: Binned = getattr(self, part)
            file = folder / f"{part}.bin"
            binned.dataset.save_binary(file)
            # LightGBM leaves the offset out of its file.
            np.save(folder / f"{part}.npy", binned.offset)
            content.update(file.read_bytes())
            content.update(f"{binned.offset.mean():.6g}".encode())
        return content.hexdigest()

    @classmethod
    def load(cls, folder: Path) -> Fold:
        """Undo :meth:`save`."""
        learn = _load(folder, "learn", None)
        return cls(learn, _load(folder, "judge", learn.dataset))


def _hush() -> None:
    """Keep LightGBM from writing what it saves to standard output, where an answer may go.

    A dataset that was made of slices has forgotten the verbosity that it was given.
    """
    logger = logging.getLogger("lightgbm")
    logger.setLevel(logging.ERROR)
    lgb.register_logger(logger)


def _load(folder: Path, part: str, reference: object) -> Binned:
    offset = np.load(folder / f"{part}.npy")
    dataset = lgb.Dataset(
        folder / f"{part}.bin",
        init_score=offset,
        reference=reference,
        params={**BINNING, "verbosity": -1},
    )
    return Binned(dataset, offset)


def folds(task: Task, pairs: Sequence[tuple[list[LabelledDay], LabelledDay]]) -> list[Fold]:
    """Bin each fold's rows once for all trials."""
    made = []
    for earlier, later in pairs:
        learn = Rows(task, earlier)
        judge = Rows(task, [later], reference=learn)
        made.append(Fold(Binned(learn.dataset, learn.offset), Binned(judge.dataset, judge.offset)))
    return made
