"""Where a request's customers are answered for, step by step: read, score, record, give."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features import catalogue
from features.errors import ConflictError, InputError, LifecycleError, ServerError
from features.ingest.contract import TABLES
from features.matrix import matrix_of_rows
from features.push import PushReport
from features.servers import outages
from features.settings import ServingSettings
from serving.decisions.history import history_of
from serving.decisions.recorder import Recorder
from serving.endpoint.clerk import Asked, Clerk, Part, as_key
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
from serving.sentences import Language
from training.stages import STAGES, Vocabulary

Float = NDArray[np.float64]

QUICK_ROWS = 4
"""Customers that are answered for without a thread."""
_NOTHING: Float = np.empty((0, len(catalogue.NAMES)))
_TABLES = frozenset(TABLES)
AWAY: tuple[type[Exception], ...] = (ServerError, *outages())
"""What says that events cannot be kept, or not be put online, just now."""
MOST_HISTORY = 50
"""Past answers that a customer's view shows."""

log = logging.getLogger("lifecycle.serving")


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
        self._clerk = Clerk(settings, metrics, recorder)

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
        answers = self._clerk.answers(answering, parts)
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
        for part, answers in zip(parts, self._clerk.answers(answering, parts), strict=True):
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
        (answers,) = self._clerk.answers(answering, [Part(body, asked, matrix, [key])])
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
        (answers,) = self._clerk.answers(answering, [Part(body, asked, matrix, [key])])
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
