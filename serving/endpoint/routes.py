"""The endpoint's routes under ``/v1``: strict bodies in, one error envelope out."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TextIO, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

from features import __version__
from features.settings import Scope, ServingSettings
from serving.endpoint.clerk import Asked
from serving.endpoint.desk import Desk
from serving.endpoint.keys import Caller, Keys
from serving.endpoint.limits import Deadline, Slots, Throttle
from serving.endpoint.messages import (
    CustomersRequest,
    EventsRequest,
    EventsResponse,
    FeaturesRequest,
    ForesightRequest,
    StateResponse,
    Versions,
)
from serving.endpoint.metrics import Metrics
from serving.endpoint.openapi import PAGE, openapi
from serving.endpoint.refusals import REQUEST_ID, Refusal
from serving.endpoint.together import Together
from serving.sentences import LANGUAGES
from training.stages import VOCABULARIES

MOST_BYTES = 2 * 1024 * 1024
_MOST_ID_LENGTH = 64

log = logging.getLogger("lifecycle.serving")
access = logging.getLogger("lifecycle.access")
Body = TypeVar("Body")
Word = TypeVar("Word", bound=str)
Handler = Callable[[Request, Asked], Awaitable[object]]


class Door:
    """What every request passes: its key, its limits, its clock, its log line.

    Nothing of a customer, not even an id, goes into the log.
    """

    def __init__(self, settings: ServingSettings, metrics: Metrics) -> None:
        self._keys = Keys(settings.api_keys)
        self._throttle = Throttle(settings.requests_per_second)
        self._slots = Slots(settings.concurrent_requests)
        self._seconds = settings.timeout_seconds
        self._logged = settings.access_log
        self._metrics = metrics

    def guarded(self, handler: Handler, scope: Scope) -> Callable[[Request], Awaitable[Response]]:
        """Let a handler answer those who may ask; what it gives becomes JSON."""

        async def endpoint(request: Request) -> Response:
            began = time.perf_counter()
            request_id = request_id_of(request)
            caller, code = None, ""
            try:
                caller = self._keys.caller(request)
                caller.check(scope)
                self._throttle.admit(caller.name)
                with self._slots.one():
                    asked = Asked(request_id, _route(request), caller.name, Deadline(self._seconds))
                    response = _json(await handler(request, asked))
            except Refusal as refusal:
                code = refusal.code
                response = refusal.response(request_id)
            except ClientDisconnect:
                code = "disconnected"
                response = Refusal(400, code, "the body ended early").response(request_id)
            except Exception:
                # The last resort of a server: the caller gets the envelope, the log the trace.
                log.exception("request %s failed", request_id)
                code = "internal"
                response = Refusal(
                    500, code, "something went wrong here; it has been logged"
                ).response(request_id)
            response.headers[REQUEST_ID] = request_id
            self._note(request, request_id, caller, response.status_code, code, began)
            return response

        return endpoint

    def _note(
        self,
        request: Request,
        request_id: str,
        caller: Caller | None,
        status: int,
        code: str,
        began: float,
    ) -> None:
        seconds = time.perf_counter() - began
        route = _route(request)
        self._metrics.took(route, status, seconds)
        if code:
            self._metrics.refused(code)
        if self._logged:
            line = {
                "at": datetime.now(UTC),
                "request_id": request_id,
                "route": route,
                "caller": caller.name if caller else None,
                "status": status,
                "ms": round(1000 * seconds, 3),
            }
            if code:
                line["code"] = code
            access.info(msgspec.json.encode(line).decode())


def application(desk: Desk, settings: ServingSettings, metrics: Metrics) -> Starlette:
    """Build the routes over what answers now.

    Parameters
    ----------
    settings
        Who may ask, and how much is taken on.
    """
    door = Door(settings, metrics)
    by_id, by_row = Together(desk.customers_together), Together(desk.features_together)

    async def customers(request: Request, asked: Asked) -> object:
        body = await _read(request, CustomersRequest, asked)
        if desk.is_quick(len(body.customer_ids), body.reasons):
            return await by_id.ask((body, asked))
        return await run_in_threadpool(desk.customers, body, asked)

    async def features(request: Request, asked: Asked) -> object:
        body = await _read(request, FeaturesRequest, asked)
        if desk.is_quick(len(body.rows), body.reasons):
            return await by_row.ask((body, asked))
        return await run_in_threadpool(desk.features, body, asked)

    async def foresight(request: Request, asked: Asked) -> object:
        body = await _read(request, ForesightRequest, asked)
        return await run_in_threadpool(desk.foresight, body, asked)

    async def view(request: Request, asked: Asked) -> object:
        language = _one_of(request, "lang", LANGUAGES)
        vocabulary = _one_of(request, "vocabulary", VOCABULARIES)
        customer = request.path_params["customer_id"]
        return await run_in_threadpool(desk.view, customer, language, vocabulary, asked)

    async def events(request: Request, asked: Asked) -> object:
        body = await _read(request, EventsRequest, asked)
        report = await run_in_threadpool(desk.events, body)
        return msgspec.convert(
            {"request_id": asked.request_id, **report.to_dict()}, EventsResponse, strict=False
        )

    async def state(request: Request, asked: Asked) -> object:
        answering = desk.answering()
        shadow = answering.shadow
        return StateResponse(
            asked.request_id,
            Versions(**answering.scorer.versions()),
            desk.state(answering),
            shadow.model_version if shadow else None,
            desk.problem,
        )

    async def describe(request: Request) -> Response:
        return _json(openapi(__version__))

    async def page(request: Request) -> Response:
        return HTMLResponse(PAGE)

    return Starlette(
        routes=[
            Route("/customers/score", door.guarded(customers, "score"), methods=["POST"]),
            Route("/features/score", door.guarded(features, "score"), methods=["POST"]),
            Route("/events/score", door.guarded(foresight, "score"), methods=["POST"]),
            Route("/customers/{customer_id}", door.guarded(view, "score"), methods=["GET"]),
            Route("/events", door.guarded(events, "push"), methods=["POST"]),
            Route("/state", door.guarded(state, "admin"), methods=["GET"]),
            Route("/openapi.json", describe, methods=["GET"]),
            Route("/docs", page, methods=["GET"]),
        ],
        exception_handlers={HTTPException: _elsewhere},
    )


def site(versioned: Starlette) -> Starlette:
    """Put the routes under ``/v1``; whatever else is asked for gets the same envelope."""

    async def home(request: Request) -> Response:
        return RedirectResponse("/v1/docs")

    whole = Starlette(
        routes=[Mount("/v1", versioned), Route("/", home, methods=["GET"])],
        exception_handlers={HTTPException: _elsewhere},
    )
    whole.router.redirect_slashes = False
    return whole


async def _elsewhere(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    code, message = {
        404: ("not_found", "there is nothing here; see /v1/docs"),
        405: ("method_not_allowed", "this route takes another method; see /v1/docs"),
    }.get(status, ("error", "the request cannot be answered"))
    response = Refusal(status, code, message).response(request_id_of(request))
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response


def log_to(stream: TextIO = sys.stderr) -> None:
    """Write access lines to a stream, as they are."""
    access.handlers = [logging.StreamHandler(stream)]
    access.propagate = False
    access.setLevel(logging.INFO)


def request_id_of(request: Request) -> str:
    """Take the caller's name of a request over, or give it one."""
    given = request.headers.get(REQUEST_ID, "")
    usable = given.isascii() and given.isprintable() and 0 < len(given) <= _MOST_ID_LENGTH
    return given if usable else uuid.uuid4().hex


def _route(request: Request) -> str:
    """Name a route as it is declared: a path may hold a customer's id."""
    route = request.scope.get("route")
    return str(getattr(route, "path", "")) or "unknown"


async def _read(request: Request, kind: type[Body], asked: Asked) -> Body:
    """Read a body of limited size in limited time, counting what comes, not what is announced."""
    parts, size = [], 0
    try:
        async with asyncio.timeout(asked.deadline.left):
            async for part in request.stream():
                size += len(part)
                if size > MOST_BYTES:
                    raise Refusal(
                        413,
                        "too_large",
                        f"the body is larger than {MOST_BYTES} bytes; send fewer rows",
                    )
                parts.append(part)
    except TimeoutError:
        raise Refusal(408, "slow_body", "the body did not arrive in time; send it again") from None
    try:
        return msgspec.json.decode(b"".join(parts), type=kind)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal(400, "bad_request", f"the body cannot be read: {error}") from None


def _one_of(request: Request, name: str, known: tuple[Word, ...]) -> Word | None:
    """Read a word of the query; None where it is not there."""
    given = request.query_params.get(name)
    if given is None:
        return None
    for word in known:
        if given == word:
            return word
    raise Refusal(400, "bad_request", f"{name} is one of {', '.join(known)}")


def _json(body: object) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")
