"""Where a request's customers are answered for, step by step: read, score, record, give."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features import catalogue
from features.errors import ConflictError, InputError, LifecycleError, ServerError
from features.ingest.contract import TABLES
from features.matrix import matrix_of_rows, recoded
from features.push import PushReport
from features.servers import outages
from features.settings import ServingSettings
from serving.decisions import decision_ids
from serving.decisions.history import history_of
from serving.decisions.journal import Decided
from serving.decisions.recorder import Recorder
from serving.endpoint.limits import Deadline
from serving.endpoint.live import Answering, Live
from serving.endpoint.messages import (
    MOST_EXACT,
    MOST_ROWS,
    Answer,
    CustomerId,
    CustomersRequest,
    CustomerView,
    EventsRequest,
    FeaturesRequest,
    FeatureState,
    ForesightRequest,
    NextStage,
    PastAnswer,
    ScoreResponse,
    Versions,
)
from serving.endpoint.metrics import Metrics
from serving.endpoint.refusals import Refusal
from serving.endpoint.rows import checked_row
from serving.next_stages import next_stages_file, read_next_stages, told_next
from serving.reasons import Reasons
from serving.scorer import Scorer
from serving.sentences import Language
from training.stages import STAGES, Vocabulary

Float = NDArray[np.float64]
Codes = NDArray[np.int8]
Scored = CustomersRequest | FeaturesRequest | ForesightRequest

STEP = {"fast": 250, "none": 1000, "exact": 10}
"""Customers scored between two looks at the clock."""
QUICK_ROWS = 4
"""Customers that are answered for without a thread."""
_INT64 = 2**63
_AS_OF = catalogue.NAMES.index("as_of_day")
_NOTHING: Float = np.empty((0, len(catalogue.NAMES)))
_MOST_WAITING = 64
_TABLES = frozenset(TABLES)
AWAY: tuple[type[Exception], ...] = (ServerError, *outages())
"""What says that events cannot be kept, or not be put online, just now."""
MOST_HISTORY = 50
"""Past answers that a customer's view shows."""

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


class Desk:
    """Answers requests with what is live; threads share it.

    Parameters
    ----------
    recorder
        Keeps decisions; None keeps none.
    scores
        Folder of the batches' scores.
    """

    def __init__(
        self,
        live: Live,
        settings: ServingSettings,
        metrics: Metrics,
        recorder: Recorder | None,
        scores: Path,
    ) -> None:
        self._live = live
        self._scores = scores
        self._settings = settings
        self._local = live.is_local
        self._metrics = metrics
        self._recorder = recorder
        self._beside: queue.Queue[tuple[Scorer, Float, Codes, Decided]] = queue.Queue(_MOST_WAITING)
        threading.Thread(target=self._try_shadows, name="lifecycle-shadow", daemon=True).start()

    def customers(self, body: CustomersRequest, asked: Asked) -> ScoreResponse:
        """Answer for customers by their ids.

        Raises
        ------
        Refusal
            None of them is known, or nothing can answer.
        """
        check_exact(body, len(body.customer_ids))
        return _given(self.customers_together([(body, asked)])[0])

    def customers_together(
        self, asking: Sequence[tuple[CustomersRequest, Asked]]
    ) -> list[ScoreResponse | Refusal]:
        """Answer several requests for customers by their ids, each as it would be alone.

        Raises
        ------
        Refusal
            Nothing can answer.
        """
        answering = self.answering()
        keys = [[as_key(one, answering.integer_keys) for one in b.customer_ids] for b, _ in asking]
        # What one request asks for twice is answered once.
        wanted = [list(dict.fromkeys(key for key in one if key is not None)) for one in keys]
        unique = list(dict.fromkeys(key for one in wanted for key in one))
        matrix, known = self._read(answering, unique) if unique else (_NOTHING, [])
        place = {key: row for row, key in enumerate(unique) if known[row]}
        parts = []
        for (body, asked), one in zip(asking, wanted, strict=True):
            found = [key for key in one if key in place]
            parts.append(Part(body, asked, matrix[[place[key] for key in found]], found))
        answers = self._answers(answering, parts)
        return [
            self._of_customers(
                answering,
                asked,
                body.customer_ids,
                own,
                dict(zip(part.customers, said, strict=True)),
            )
            for (body, asked), part, own, said in zip(asking, parts, keys, answers, strict=True)
        ]

    def _of_customers(
        self,
        answering: Answering,
        asked: Asked,
        asked_for: Sequence[CustomerId],
        keys: Sequence[CustomerId | None],
        found: Mapping[CustomerId | None, Answer],
    ) -> ScoreResponse | Refusal:
        """Put what was found in the order in which it was asked for."""
        unknown = [
            one for one, key in zip(asked_for, keys, strict=True) if key is None or key not in found
        ]
        results = [found[key] for key in keys if key is not None and key in found]
        self._metrics.answered(results, len(unknown))
        if not found:
            return _unknown(unknown, answering)
        return self._response(answering, asked, results, unknown)

    def features(self, body: FeaturesRequest, asked: Asked) -> ScoreResponse:
        """Answer for rows that stand in the request.

        Raises
        ------
        Refusal
            A row cannot be one, or nothing can answer.
        """
        check_exact(body, len(body.rows))
        return _given(self.features_together([(body, asked)])[0])

    def features_together(
        self, asking: Sequence[tuple[FeaturesRequest, Asked]]
    ) -> list[ScoreResponse | Refusal]:
        """Answer several requests with rows in them, each as it would be alone.

        Raises
        ------
        Refusal
            A row cannot be one, or nothing can answer.
        """
        answering = self.answering()
        vocabulary = answering.scorer.bundle.vocabulary
        parts = []
        for body, asked in asking:
            rows = [checked_row(place, row) for place, row in enumerate(body.rows)]
            customers = [row.customer_id for row in body.rows]
            parts.append(Part(body, asked, matrix_of_rows(rows, vocabulary), customers))
        responses: list[ScoreResponse | Refusal] = []
        for part, answers in zip(parts, self._answers(answering, parts), strict=True):
            self._metrics.answered(answers, 0)
            responses.append(self._response(answering, part.asked, answers, []))
        return responses

    def foresight(self, body: ForesightRequest, asked: Asked) -> ScoreResponse:
        """Answer for a customer as after some events, which are not kept.

        Raises
        ------
        Refusal
            An event cannot be one, or nothing can answer.
        """
        answering = self.answering()
        key = as_key(body.customer_id, answering.integer_keys)
        if key is None:
            raise _unknown([body.customer_id], answering)
        if not any(body.events.values()) or any(
            len(rows) > MOST_ROWS for rows in body.events.values()
        ):
            raise Refusal(400, "bad_events", f"each table has 1 to {MOST_ROWS} events")
        try:
            matrix = self._live.foresee(
                answering, key, {str(table): rows for table, rows in body.events.items()}
            )
        except InputError as error:
            raise Refusal(400, "bad_events", str(error)) from None
        except AWAY as error:
            raise _cannot_keep(error) from None
        except LifecycleError as error:
            raise Refusal(503, "not_ready", str(error), 5.0) from None
        if matrix is None:
            raise _unknown([body.customer_id], answering)
        (answers,) = self._answers(answering, [Part(body, asked, matrix, [key])])
        self._metrics.answered(answers, 0)
        return self._response(answering, asked, answers, [])

    def view(
        self,
        customer: str,
        language: Language | None,
        vocabulary: Vocabulary | None,
        asked: Asked,
    ) -> CustomerView:
        """Show all that is known and said of a customer.

        Raises
        ------
        Refusal
            Nothing is known, or nothing can answer.
        """
        answering = self.answering()
        key = as_key(customer, answering.integer_keys)
        matrix, known = self._read(answering, [key]) if key is not None else (None, [False])
        if key is None or matrix is None or not known[0]:
            self._metrics.answered([], 1)
            raise _unknown([customer], answering)
        archive = self._recorder.archive if self._recorder is not None else None
        past = history_of(key, archive, self._scores, MOST_HISTORY)
        body = CustomersRequest([key], "exact", language, vocabulary)
        (answers,) = self._answers(answering, [Part(body, asked, matrix, [key])])
        self._metrics.answered(answers, 0)
        return CustomerView(
            asked.request_id,
            Versions(**answering.scorer.versions()),
            self.state(answering),
            answers[0],
            answering.scorer.bundle.vocabulary.in_words(matrix[0]),
            [
                PastAnswer(
                    at=one.at.isoformat(timespec="seconds"),
                    by=one.by,
                    as_of=one.as_of,
                    decision_id=one.decision_id,
                    model_version=one.model_version,
                    **one.said,
                )
                for one in past
            ],
            self._next_stages(answers[0]),
        )

    def _next_stages(self, answer: Answer) -> list[NextStage]:
        """Tell where customers like this one go, as it was last counted."""
        kept = read_next_stages(next_stages_file(self._scores))
        if kept is None:
            return []
        found, _ = kept
        stage = STAGES.index(answer.lifecycle_stage)
        third = found.third(stage, answer.churn_probability)
        return [NextStage(**row) for row in told_next(found, stage, third)]

    def events(self, body: EventsRequest) -> PushReport:
        """Take events.

        Raises
        ------
        Refusal
            They cannot be taken.
        """
        try:
            return self._live.push(body.table, body.rows, body.idempotency_key)
        except ConflictError as error:
            raise Refusal(409, "idempotency_conflict", str(error)) from None
        except InputError as error:
            raise Refusal(400, "bad_events", str(error)) from None
        except AWAY as error:
            raise _cannot_keep(error) from None
        except LifecycleError as error:
            raise Refusal(503, "not_ready", str(error), 5.0) from None

    def is_quick(self, rows: int, reasons: Reasons) -> bool:
        """Whether an answer takes no longer than a few milliseconds, and waits for nobody.

        Such work is done where the request is read: handed to a thread, both would wait for
        Python's one lock twice as long as the work takes.
        """
        return rows <= QUICK_ROWS and reasons != "exact" and self._local

    @property
    def problem(self) -> str:
        """Why what is newer does not answer; empty where nothing is wrong."""
        return self._live.problem

    def answering(self) -> Answering:
        """What answers now.

        Raises
        ------
        Refusal
            Nothing can.
        """
        answering = self._live.answering
        if answering is None:
            raise Refusal(503, "not_ready", f"nothing can be scored yet: {self._live.problem}", 5.0)
        return answering

    def state(self, answering: Answering) -> FeatureState:
        """Say of when the features online are."""
        age = (datetime.now(UTC).date() - answering.as_of).days
        self._metrics.answering(answering.scorer.model_version, age)
        tables = answering.scorer.bundle.data_available
        return FeatureState(
            answering.as_of.isoformat(),
            age,
            age > self._settings.stale_days,
            sorted(tables & _TABLES),
            sorted(_TABLES - tables),
        )

    def _read(self, answering: Answering, keys: list[CustomerId]) -> tuple[Float, list[bool]]:
        try:
            return self._live.read(answering, keys)
        except LifecycleError:
            raise Refusal(
                503, "store_unreachable", "the online features cannot be read just now", 1.0
            ) from None

    def _answers(self, answering: Answering, parts: Sequence[Part]) -> list[list[Answer]]:
        """Score the rows of some requests, those at once that want the same, and keep each."""
        scorer = answering.scorer
        alike: dict[tuple[Reasons, Language, Vocabulary], list[int]] = {}
        for place, part in enumerate(parts):
            alike.setdefault((part.body.reasons, *self._words(part.body)), []).append(place)
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

    def _words(self, body: Scored) -> tuple[Language, Vocabulary]:
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
        language, vocabulary = self._words(part.body)
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
        if answering.shadow is not None:
            try:
                self._beside.put_nowait(
                    (
                        answering.shadow,
                        recoded(
                            part.matrix,
                            scorer.bundle.vocabulary,
                            answering.shadow.bundle.vocabulary,
                        ),
                        before,
                        decided,
                    )
                )
            except queue.Full:
                self._metrics.shadow_dropped()

    def _try_shadows(self) -> None:
        while True:
            shadow, matrix, before, decided = self._beside.get()
            try:
                self._score_beside(shadow, matrix, before, decided)
            except Exception as error:  # noqa: BLE001
                # Whatever a model on trial does, those who are answered must not notice.
                log.warning("the shadow failed: %s: %s", type(error).__name__, error)
                self._metrics.shadow_dropped()

    def _score_beside(self, shadow: Scorer, matrix: Float, before: Codes, decided: Decided) -> None:
        if self._recorder is None:
            return
        ids = decision_ids(shadow.deciders, decided.customers, matrix, before)
        answers = shadow.answers(shadow.score(matrix, reasons="none", before=before))
        whole: list[Any] = [
            {"customer_id": customer, "decision_id": name, **answer}
            for customer, name, answer in zip(decided.customers, ids, answers, strict=True)
        ]
        self._recorder.append(
            Decided(
                request_id=decided.request_id,
                at=decided.at,
                route=decided.route,
                caller=decided.caller,
                model_version=shadow.model_version,
                playbook=shadow.playbook_version,
                stage_rules=shadow.stage_rules_version,
                consent_unknown=shadow.consent_unknown,
                language="en",
                reasons="none",
                shadow=True,
                decision_ids=ids,
                customers=decided.customers,
                features=matrix.tobytes(),
                answers=whole,
            )
        )

    def _response(
        self,
        answering: Answering,
        asked: Asked,
        results: list[Answer],
        unknown: list[CustomerId],
    ) -> ScoreResponse:
        versions = Versions(**answering.scorer.versions())
        return ScoreResponse(asked.request_id, versions, self.state(answering), results, unknown)


def _given(answer: ScoreResponse | Refusal) -> ScoreResponse:
    if isinstance(answer, Refusal):
        raise answer
    return answer


def _cannot_keep(error: Exception) -> Refusal:
    """Refuse events while the log or the online store is away, or the disk is full."""
    log.warning("events cannot be taken: %s: %s", type(error).__name__, error)
    return Refusal(
        503,
        "store_unreachable",
        "the events cannot be taken just now; send them again under the same idempotency key",
        1.0,
    )


def _unknown(customers: Sequence[CustomerId], answering: Answering) -> Refusal:
    return Refusal(
        404,
        "unknown_customer",
        f"no customer {', '.join(map(str, customers[:5]))} is known on {answering.as_of}",
    )


def check_exact(body: CustomersRequest | FeaturesRequest, rows: int) -> None:
    """Refuse exact reasons for more customers than there is time for.

    Raises
    ------
    Refusal
        There are too many.
    """
    if body.reasons == "exact" and rows > MOST_EXACT:
        raise Refusal(
            400,
            "too_many_exact",
            f'"reasons": "exact" is for at most {MOST_EXACT} customers a request, not {rows}; '
            'ask for fewer, or for "fast"',
        )


def as_key(customer: CustomerId, integer_keys: bool) -> CustomerId | None:
    """Read an id as the workspace names customers; None where it cannot be one."""
    if not integer_keys:
        return str(customer)
    try:
        number = int(customer)
    except ValueError:
        return None
    return number if -_INT64 <= number < _INT64 and str(number) == str(customer).strip() else None
