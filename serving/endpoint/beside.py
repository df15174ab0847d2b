"""The model on trial: scored beside the one that answers, kept, and never answered with."""

from __future__ import annotations

import logging
import queue
import threading
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from features.matrix import recoded
from serving.decisions import decision_ids
from serving.decisions.journal import Decided
from serving.decisions.recorder import Recorder
from serving.endpoint.live import Answering
from serving.endpoint.metrics import Metrics
from serving.scorer import Scorer

Float = NDArray[np.float64]
Codes = NDArray[np.int8]

_MOST_WAITING = 64

log = logging.getLogger("lifecycle.serving")


class Beside:
    """Scores what was answered with the shadow, in a thread of its own."""

    def __init__(self, recorder: Recorder | None, metrics: Metrics) -> None:
        self._recorder = recorder
        self._metrics = metrics
        self._waiting: queue.Queue[tuple[Scorer, Float, Codes, Decided]] = queue.Queue(
            _MOST_WAITING
        )
        threading.Thread(target=self._try, name="lifecycle-shadow", daemon=True).start()

    def offer(self, answering: Answering, matrix: Float, before: Codes, decided: Decided) -> None:
        """Score rows that were answered for with the shadow too, if there is one and time."""
        shadow = answering.shadow
        if shadow is None:
            return
        coded = recoded(matrix, answering.scorer.bundle.vocabulary, shadow.bundle.vocabulary)
        try:
            self._waiting.put_nowait((shadow, coded, before, decided))
        except queue.Full:
            self._metrics.shadow_dropped()

    def _try(self) -> None:
        while True:
            shadow, matrix, before, decided = self._waiting.get()
            try:
                self._score(shadow, matrix, before, decided)
            except Exception as error:  # noqa: BLE001
                # Whatever a model on trial does, those who are answered must not notice.
                log.warning("the shadow failed: %s: %s", type(error).__name__, error)
                self._metrics.shadow_dropped()

    def _score(self, shadow: Scorer, matrix: Float, before: Codes, decided: Decided) -> None:
        if self._recorder is None:
            return
        ids = decision_ids(shadow.deciders, decided.customers, matrix, before)
        answers = shadow.answers(shadow.score(matrix, reasons="none", before=before))
        whole: list[Any] = [
            {"customer_id": customer, "decision_id": name, **answer}
            for customer, name, answer in zip(decided.customers, ids, answers, strict=True)
        ]
        self._recorder.append(
            replace(
                decided,
                model_version=shadow.model_version,
                playbook=shadow.playbook_version,
                stage_rules=shadow.stage_rules_version,
                vocabulary="stages",
                consent_unknown=shadow.consent_unknown,
                language="en",
                reasons="none",
                shadow=True,
                decision_ids=ids,
                features=matrix.tobytes(),
                answers=whole,
            )
        )
