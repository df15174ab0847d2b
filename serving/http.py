"""The endpoint's routes under ``/v1``: strict bodies in, one error envelope out."""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec
import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from features import __version__, catalogue
from features.days import day_number, parse_day
from features.errors import ConflictError, InputError, LifecycleError
from features.matrix import matrix_of_rows
from serving.live import Answering, Live
from serving.messages import (
    GIVEN,
    MOST_EXACT,
    Answer,
    CustomerId,
    CustomersRequest,
    ErrorResponse,
    EventsRequest,
    EventsResponse,
    FeatureRow,
    FeaturesRequest,
    Problem,
    ScoreResponse,
    Versions,
    openapi,
)

MOST_BYTES = 2 * 1024 * 1024
REQUEST_ID = "x-request-id"
_MOST_ID_LENGTH = 64
_GIVEN = frozenset(GIVEN)
_CATEGORIES = frozenset(catalogue.CATEGORIES)
_INT64 = 2**63
_LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})

log = logging.getLogger("lifecycle.serving")
Body = TypeVar("Body")


class Refusal(Exception):
    """An answer that is an error: status, code and a sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def application(live: Live, api_key_sha256: tuple[str, ...]) -> Starlette:
    """Build the routes over what answers now.

    Parameters
    ----------
    api_key_sha256
        Digests of the accepted keys; without any, every caller is let in.
    """

    def guarded(
        handler: Callable[[Request, str], Awaitable[Response]],
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            request_id = _request_id(request)
            try:
                _check_key(request, api_key_sha256)
                response = await handler(request, request_id)
            except Refusal as refusal:
                response = _refused(refusal.status, refusal.code, refusal.message, request_id)
            except ClientDisconnect:
                response = _refused(400, "disconnected", "the body ended early", request_id)
            except Exception:
                # The last resort of a server: the caller gets the envelope, the log the trace.
                log.exception("request %s failed", request_id)
                response = _refused(
                    500, "internal", "something went wrong here; it has been logged", request_id
                )
            response.headers[REQUEST_ID] = request_id
            return response

        return endpoint

    async def customers(request: Request, request_id: str) -> Response:
        body = await _read(request, CustomersRequest)
        return _json(await run_in_threadpool(_score_customers, live, body, request_id))

    async def features(request: Request, request_id: str) -> Response:
        body = await _read(request, FeaturesRequest)
        return _json(await run_in_threadpool(_score_features, live, body, request_id))

    async def events(request: Request, request_id: str) -> Response:
        body = await _read(request, EventsRequest)
        return _json(await run_in_threadpool(_take_events, live, body, request_id))

    async def describe(request: Request) -> Response:
        return _json(openapi(__version__))

    async def other(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        code, message = {
            404: ("not_found", "there is nothing here; see /v1/openapi.json"),
            405: ("method_not_allowed", "this route takes POST with a JSON body"),
        }.get(status, ("error", "the request cannot be answered"))
        return _refused(status, code, message, _request_id(request))

    return Starlette(
        routes=[
            Route("/customers/score", guarded(customers), methods=["POST"]),
            Route("/features/score", guarded(features), methods=["POST"]),
            Route("/events", guarded(events), methods=["POST"]),
            Route("/openapi.json", describe),
        ],
        exception_handlers={HTTPException: other},
    )


def _score_customers(live: Live, body: CustomersRequest, request_id: str) -> ScoreResponse:
    _check_exact(body, len(body.customer_ids))
    answering = _answering(live)
    keys = [_as_key(customer, answering.integer_keys) for customer in body.customer_ids]
    possible = [key for key in keys if key is not None]
    found: dict[CustomerId, Answer] = {}
    if possible:
        unique = list(dict.fromkeys(possible))
        matrix, known = live.read(answering, unique)
        rows = np.flatnonzero(known)
        scored = _answers(answering, body, matrix[rows], [unique[row] for row in rows])
        found = {unique[row]: answer for row, answer in zip(rows, scored, strict=True)}
    unknown = [
        asked
        for asked, key in zip(body.customer_ids, keys, strict=True)
        if key is None or key not in found
    ]
    if not found:
        raise Refusal(
            404,
            "unknown_customer",
            f"no customer {', '.join(map(str, unknown[:5]))} is known on "
            f"{answering.reader.state.as_of}",
        )
    results = [found[key] for key in keys if key is not None and key in found]
    return ScoreResponse(request_id, _versions(answering), results, unknown)


def _take_events(live: Live, body: EventsRequest, request_id: str) -> EventsResponse:
    try:
        report = live.push(body.table, body.rows, body.idempotency_key)
    except ConflictError as error:
        raise Refusal(409, "idempotency_conflict", str(error)) from None
    except InputError as error:
        raise Refusal(400, "bad_events", str(error)) from None
    except LifecycleError as error:
        raise Refusal(503, "not_ready", str(error)) from None
    return msgspec.convert(
        {"request_id": request_id, **report.to_dict()}, EventsResponse, strict=False
    )


def _score_features(live: Live, body: FeaturesRequest, request_id: str) -> ScoreResponse:
    _check_exact(body, len(body.rows))
    answering = _answering(live)
    rows = [_row(place, row) for place, row in enumerate(body.rows)]
    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in catalogue.NAMES}
    matrix = matrix_of_rows(columns, answering.scorer.bundle.vocabulary)
    answers = _answers(answering, body, matrix, [row.customer_id for row in body.rows])
    return ScoreResponse(request_id, _versions(answering), answers, [])


def _row(place: int, row: FeatureRow) -> dict[str, float | str | None]:
    """Take one row's features with its day, or say what is wrong with them."""
    unknown = sorted(set(row.features) - _GIVEN)
    if unknown:
        raise Refusal(400, "unknown_feature", f"rows[{place}]: there is no feature {unknown[0]!r}")
    missing = sorted(_GIVEN - set(row.features))
    if missing:
        raise Refusal(
            400,
            "missing_feature",
            f"rows[{place}] lacks {', '.join(missing)}; give null where a value is unknown",
        )
    try:
        day = day_number(parse_day(row.as_of))
    except InputError as error:
        raise Refusal(400, "bad_day", f"rows[{place}].as_of: {error}") from None
    for name, value in row.features.items():
        _check_type(f"rows[{place}].features.{name}", name, value)
    _check_sense(place, row.features)
    return {**row.features, "as_of_day": float(day)}


def _check_type(where: str, name: str, value: float | str | None) -> None:
    """Categories are text and all others numbers; either may be null."""
    if value is None:
        return
    if isinstance(value, str):
        if name not in _CATEGORIES:
            raise Refusal(400, "bad_feature", f"{where} must be a number or null, not a text")
    elif name in _CATEGORIES:
        raise Refusal(400, "bad_feature", f"{where} must be a text or null, not the number {value}")
    elif not math.isfinite(value):
        raise Refusal(400, "not_finite", f"{where} is not a number")


def _check_sense(place: int, features: Mapping[str, Any]) -> None:
    """Refuse what cannot be true of anyone, as the models would answer it nonetheless."""
    if features["purchases"] is None or features["purchases"] < 0:
        raise Refusal(
            400, "bad_feature", f"rows[{place}].features.purchases must be 0 or more, not null"
        )
    if not features["purchases"]:
        return
    for name in _OF_BUYERS:
        value = features[name]
        if value is None or value < (1 if name == "purchase_days" else 0):
            raise Refusal(
                400,
                "bad_feature",
                f"rows[{place}].features.{name} = {value} cannot be true of a customer who "
                "has bought",
            )
    if features["recency_days"] > features["tenure_days"]:
        raise Refusal(
            400,
            "bad_feature",
            f"rows[{place}]: recency_days is greater than tenure_days: the last purchase "
            "cannot lie before the first",
        )


_OF_BUYERS = ("purchase_days", "recency_days", "tenure_days")


def _check_exact(body: CustomersRequest | FeaturesRequest, rows: int) -> None:
    if body.reasons == "exact" and rows > MOST_EXACT:
        raise Refusal(
            400,
            "too_many_exact",
            f'"reasons": "exact" is for at most {MOST_EXACT} customers a request, not {rows}; '
            'ask for fewer, or for "fast"',
        )


def _answers(
    answering: Answering,
    body: CustomersRequest | FeaturesRequest,
    matrix: np.ndarray[Any, np.dtype[np.float64]],
    customers: list[Any],
) -> list[Answer]:
    scorer = answering.scorer
    scores = scorer.score(np.ascontiguousarray(matrix), reasons=body.reasons, language=body.lang)
    scored = scorer.answers(scores)
    return [
        Answer(customer_id=customer, **answer)
        for customer, answer in zip(customers, scored, strict=True)
    ]


def _versions(answering: Answering) -> Versions:
    return Versions(**answering.scorer.versions())


def _answering(live: Live) -> Answering:
    answering = live.answering
    if answering is None:
        raise Refusal(503, "not_ready", f"nothing can be scored yet: {live.problem}")
    return answering


def _as_key(customer: CustomerId, integer_keys: bool) -> CustomerId | None:
    """Read an id as the workspace names customers; None where it cannot be one."""
    if not integer_keys:
        return str(customer)
    try:
        number = int(customer)
    except ValueError:
        return None
    return number if -_INT64 <= number < _INT64 and str(number) == str(customer).strip() else None


async def _read(request: Request, kind: type[Body]) -> Body:
    """Read a body of limited size, counting what comes rather than what is announced."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise Refusal(
                413, "too_large", f"the body is larger than {MOST_BYTES} bytes; send fewer rows"
            )
        parts.append(part)
    try:
        return msgspec.json.decode(b"".join(parts), type=kind)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal(400, "bad_request", f"the body cannot be read: {error}") from None


def _check_key(request: Request, digests: tuple[str, ...]) -> None:
    if not digests:
        # However the server was started: without a key nobody but this machine is answered.
        if request.client is None or request.client.host not in _LOOPBACK:
            raise Refusal(
                403, "no_key_configured", "no API key is configured, so only loopback is answered"
            )
        return
    header = request.headers.get("authorization", "")
    key = header[7:] if header.lower().startswith("bearer ") else ""
    given = hashlib.sha256((key or request.headers.get("x-api-key", "")).encode()).hexdigest()
    # Every digest is compared, so that the time taken does not tell which one was close.
    matches = [hmac.compare_digest(given, digest) for digest in digests]
    if not any(matches):
        raise Refusal(
            401, "unauthorised", "give a valid API key: `Authorization: Bearer KEY` or `X-API-Key`"
        )


def _request_id(request: Request) -> str:
    given = request.headers.get(REQUEST_ID, "")
    usable = given.isascii() and given.isprintable() and 0 < len(given) <= _MOST_ID_LENGTH
    return given if usable else uuid.uuid4().hex


def _json(body: object) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")


def _refused(status: int, code: str, message: str, request_id: str) -> Response:
    body = ErrorResponse(Problem(code, message, request_id))
    response = Response(msgspec.json.encode(body), status, media_type="application/json")
    response.headers[REQUEST_ID] = request_id
    return response
