"""What the endpoint is measured against: a floor that only predicts, and FastAPI for all of it."""

from __future__ import annotations

import hashlib
import hmac
import os
import time
import uuid
from pathlib import Path
from typing import Any

import fastapi
import numpy as np
import orjson
import pydantic
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from features import catalogue
from features.days import day_number, parse_day
from features.matrix import matrix_of_rows
from features.settings import Settings
from features.workspace import Workspace
from serving.decisions import decision_ids
from serving.decisions.journal import Decided
from serving.decisions.recorder import Recorder
from serving.scorer import Scorer
from training.registry import open_registry

_workspace = Workspace(Path(os.environ["LIFECYCLE_WORKSPACE"]))
_settings = Settings.load(environment=os.environ)
_scorer = Scorer.champion(open_registry(_workspace, _settings), _settings.serving)
_vocabulary = _scorer.bundle.vocabulary
_LABELS = {
    name: {label: float(code) for code, label in enumerate(labels)}
    for name, labels in _vocabulary.labels.items()
}


async def _floor(request: Request) -> Response:
    row = orjson.loads(await request.body())["rows"][0]
    features = row["features"]
    values = np.empty((1, len(catalogue.NAMES)))
    for place, name in enumerate(catalogue.NAMES):
        value = features.get(name)
        if isinstance(value, str):
            value = _LABELS.get(name, {}).get(value)
        values[0, place] = np.nan if value is None else value
    said = _scorer.bundle.predict(values)
    numbers = {name: float(column[0]) for name, column in said.numbers().items()}
    return Response(orjson.dumps(numbers), media_type="application/json")


async def _ready(request: Request) -> Response:
    return Response("ready")


floor = Starlette(routes=[Route("/score", _floor, methods=["POST"]), Route("/ready", _ready)])


class Row(pydantic.BaseModel):
    """A row as a FastAPI programmer would declare it."""

    model_config = pydantic.ConfigDict(extra="forbid")
    as_of: str
    features: dict[str, float | str | None]
    customer_id: int | str | None = None


class Body(pydantic.BaseModel):
    """A request."""

    model_config = pydantic.ConfigDict(extra="forbid")
    rows: list[Row]
    reasons: str = "fast"
    lang: str = "en"


class Answer(pydantic.BaseModel):
    """An answer, declared as what it is made of."""

    model_config = pydantic.ConfigDict(extra="allow")
    customer_id: int | str | None
    decision_id: str
    as_of: str
    churn_probability: float
    expected_spend: float
    lifecycle_stage: str
    reasons: list[str]
    action: str


class Answers(pydantic.BaseModel):
    """A response."""

    request_id: str
    versions: dict[str, Any]
    results: list[Answer]


fastapi_app = fastapi.FastAPI()
_recorder = Recorder(_workspace.decisions / "peer", 1)
_digests = [key.sha256 for key in _settings.serving.api_keys.values()]


@fastapi_app.get("/ready")
def ready() -> str:
    """Say that it is."""
    return "ready"


@fastapi_app.post("/score")
def score(body: Body, request: fastapi.Request) -> Answers:
    """Answer in full."""
    key = request.headers.get("authorization", "")[7:]
    given = hashlib.sha256(key.encode()).hexdigest()
    if not any(hmac.compare_digest(given, digest) for digest in _digests):
        raise fastapi.HTTPException(401, "unauthorised")
    rows = [{**row.features, "as_of_day": day_number(parse_day(row.as_of))} for row in body.rows]
    matrix = matrix_of_rows(rows, _vocabulary)
    customers = [row.customer_id for row in body.rows]
    ids = decision_ids(_scorer.deciders, customers, matrix)
    scored = _scorer.answers(_scorer.score(matrix))
    answers = [
        {"customer_id": customer, "decision_id": name, **answer}
        for customer, name, answer in zip(customers, ids, scored, strict=True)
    ]
    request_id = uuid.uuid4().hex
    _recorder.append(
        Decided(
            request_id=request_id,
            at=time.time_ns() // 1000,
            route="/score",
            caller="benchmark",
            model_version=_scorer.model_version,
            playbook=_scorer.playbook_version,
            stage_rules=_scorer.stage_rules_version,
            consent_unknown=_scorer.consent_unknown,
            language=body.lang,
            reasons=body.reasons,
            shadow=False,
            decision_ids=ids,
            customers=list(customers),
            features=matrix.tobytes(),
            answers=list(answers),
        )
    )
    return Answers(
        request_id=request_id,
        versions=_scorer.versions(),
        results=[Answer(**answer) for answer in answers],
    )
