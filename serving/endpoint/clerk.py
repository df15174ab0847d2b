"""Where rows become answers that are kept: what is asked alike is scored at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features import catalogue
from features.errors import LifecycleError
from features.settings import ServingSettings
from serving.decisions import decision_ids
from serving.decisions.journal import Decided
from serving.decisions.recorder import Recorder
from serving.endpoint.beside import Beside
from serving.endpoint.limits import Deadline
from serving.endpoint.live import Answering
from serving.endpoint.messages import (
    Answer,
    CustomerId,
    CustomersRequest,
    FeaturesRequest,
    ForesightRequest,
)
from serving.endpoint.metrics import Metrics
from serving.endpoint.refusals import Refusal
from serving.reasons import Reasons
from serving.sentences import Language
from training.stages import Vocabulary

Float = NDArray[np.float64]
Codes = NDArray[np.int8]
Scored = CustomersRequest | FeaturesRequest | ForesightRequest

STEP = {"fast": 250, "none": 1000, "exact": 10}
"""Customers scored between two looks at the clock."""
_INT64 = 2**63
_AS_OF = catalogue.NAMES.index("as_of_day")

log = logging.getLogger("lifecycle.serving")


@dataclass(frozen=True)
class Asked:
    """What is the same for every customer of a request."""

    request_id: str
    route: str
    caller: str
    deadline: Deadline


@dataclass(frozen=True)
class Part:
    """The rows of one request, shape (n, features), and whose they are."""

    body: Scored
    asked: Asked
    matrix: Float
    customers: Sequence[CustomerId | None]


class Clerk:
    """Answers for rows, and keeps what was answered.

    Parameters
    ----------
    recorder
        Keeps decisions; None keeps none.
    """

    def __init__(
        self, settings: ServingSettings, metrics: Metrics, recorder: Recorder | None
    ) -> None:
        self._settings = settings
        self._recorder = recorder
        self._beside = Beside(recorder, metrics)

    def answers(self, answering: Answering, parts: Sequence[Part]) -> list[list[Answer]]:
        """Score the rows of some requests, those at once that want the same, and keep each."""
        scorer = answering.scorer
        alike: dict[tuple[Reasons, Language, Vocabulary], list[int]] = {}
        for place, part in enumerate(parts):
            alike.setdefault((part.body.reasons, *self.words(part.body)), []).append(place)
        answers: list[list[Answer]] = [[] for _ in parts]
        for (reasons, language, vocabulary), places in alike.items():
            matrix = np.concatenate([parts[place].matrix for place in places])
            customers = [one for place in places for one in parts[place].customers]
            before = self._before(answering, [parts[place] for place in places], customers, matrix)
            ids = decision_ids(scorer.deciders, customers, matrix, before)
            said: list[Answer] = []
            for start in range(0, len(matrix), STEP[reasons]):
                for place in places:
                    parts[place].asked.deadline.check()
                step = slice(start, start + STEP[reasons])
                rows = np.ascontiguousarray(matrix[step])
                scores = scorer.score(rows, reasons=reasons, language=language, before=before[step])
                said += [
                    Answer(customer_id=customers[at], decision_id=ids[at], **answer)
                    for at, answer in enumerate(scorer.answers(scores, vocabulary), start=start)
                ]
            start = 0
            for place in places:
                own = slice(start, start := start + len(parts[place].matrix))
                answers[place] = said[own]
                if said[own]:
                    self._record(answering, parts[place], ids[own], said[own], before[own])
        return answers

    def words(self, body: Scored) -> tuple[Language, Vocabulary]:
        """In which language and vocabulary a request wants its answers."""
        return (
            body.lang or self._settings.language,
            body.vocabulary or self._settings.vocabulary,
        )

    def _before(
        self,
        answering: Answering,
        parts: Sequence[Part],
        customers: Sequence[CustomerId | None],
        matrix: Float,
    ) -> Codes:
        """Look up the stage that each customer had in scores before the day of their row."""

        def check() -> None:
            for part in parts:
                part.asked.deadline.check()

        keys = [None if one is None else as_key(one, answering.integer_keys) for one in customers]
        try:
            return answering.former.of(keys, matrix[:, _AS_OF], check)
        except LifecycleError as error:
            raise Refusal(503, "not_ready", str(error), 5.0) from None

    def _record(
        self,
        answering: Answering,
        part: Part,
        ids: list[str],
        answers: Sequence[Answer],
        before: Codes,
    ) -> None:
        """Keep what was decided before it is given: an answer that cannot be kept is none."""
        if self._recorder is None:
            return
        scorer = answering.scorer
        language, vocabulary = self.words(part.body)
        decided = Decided(
            request_id=part.asked.request_id,
            at=time.time_ns() // 1000,
            route=part.asked.route,
            caller=part.asked.caller,
            model_version=scorer.model_version,
            playbook=scorer.playbook_version,
            stage_rules=scorer.stage_rules_version,
            vocabulary=vocabulary,
            consent_unknown=scorer.consent_unknown,
            language=language,
            reasons=part.body.reasons,
            shadow=False,
            decision_ids=ids,
            customers=list(part.customers),
            features=part.matrix.tobytes(),
            answers=list(answers),
        )
        try:
            self._recorder.append(decided)
        except OSError as error:
            log.error("decisions cannot be kept: %s", error)
            raise Refusal(
                503,
                "cannot_record",
                "the answer cannot be kept just now, so it is not given",
                5.0,
            ) from None
        self._beside.offer(answering, part.matrix, before, decided)


def as_key(customer: CustomerId, integer_keys: bool) -> CustomerId | None:
    """Read an id as the workspace names customers; None where it cannot be one."""
    if not integer_keys:
        return str(customer)
    try:
        number = int(customer)
    except ValueError:
        return None
    return number if -_INT64 <= number < _INT64 and str(number) == str(customer).strip() else None
