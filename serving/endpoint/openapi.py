"""The endpoint's own description, made from what it takes and gives."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from features.ingest.contract import TABLES
from serving.endpoint.messages import (
    CustomersRequest,
    CustomerView,
    ErrorResponse,
    EventsRequest,
    EventsResponse,
    FeaturesRequest,
    ForesightRequest,
    ScoreResponse,
    StateResponse,
)
from serving.sentences import LANGUAGES
from training.stages import VOCABULARIES

EXAMPLES = Path(__file__).with_name("examples.json")
"""Requests and answers of the demo, by path: what the document shows."""

_FAILURES = {
    "400": "The request is not what it should be",
    "401": "No valid API key",
    "403": "The key is not for this",
    "404": "None of the customers is known",
    "405": "The route takes another method",
    "408": "The body did not arrive in time",
    "409": "The idempotency key was used for other events",
    "413": "The body is too large",
    "429": "Too many requests; Retry-After says when to come back",
    "503": "Not just now; Retry-After says when to come back",
}
_LANG = {
    "name": "lang",
    "in": "query",
    "description": "of the reasons and of the stage's words; default: serving.language",
    "schema": {"enum": list(LANGUAGES)},
}
_VOCABULARY = {
    "name": "vocabulary",
    "in": "query",
    "description": "whose words stage_label is in; default: serving.vocabulary",
    "schema": {"enum": list(VOCABULARIES)},
}
_CUSTOMER = {
    "name": "customer_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
}


@dataclass(frozen=True)
class Described:
    """A route: what it is for, what it takes and gives, and whose keys open it."""

    method: str
    summary: str
    takes: type[Struct] | None
    gives: type[Struct]
    scope: str
    parameters: tuple[dict[str, Any], ...] = ()


ROUTES: dict[str, Described] = {
    "/v1/customers/score": Described(
        "post", "Score customers by their ids", CustomersRequest, ScoreResponse, "score"
    ),
    "/v1/customers/{customer_id}": Described(
        "get",
        "Show all that is known and said of a customer",
        None,
        CustomerView,
        "score",
        (_CUSTOMER, _LANG, _VOCABULARY),
    ),
    "/v1/features/score": Described(
        "post", "Score features given in the request", FeaturesRequest, ScoreResponse, "score"
    ),
    "/v1/events/score": Described(
        "post",
        "Score a customer as after some events, which are not kept",
        ForesightRequest,
        ScoreResponse,
        "score",
    ),
    "/v1/events": Described(
        "post", "Take events as they happen", EventsRequest, EventsResponse, "push"
    ),
    "/v1/state": Described("get", "Say what answers now", None, StateResponse, "admin"),
}


def openapi(version: str) -> dict[str, Any]:
    """Describe every route as an OpenAPI 3.1 document."""
    shapes: list[type[Struct]] = [
        shape
        for route in ROUTES.values()
        for shape in (route.takes, route.gives)
        if shape is not None
    ]
    found, components = msgspec.json.schema_components(
        [*shapes, ErrorResponse], ref_template="#/components/schemas/{name}"
    )
    schema: dict[type[Struct], Any] = dict(zip([*shapes, ErrorResponse], found, strict=True))
    # Every feature has its own type, and there are no others.
    row = components["FeatureRow"]["properties"]
    row["features"]["additionalProperties"] = False
    row["as_of"]["format"] = "date"
    components["ForesightRequest"]["properties"]["events"]["propertyNames"] = {"enum": [*TABLES]}
    examples = json.loads(EXAMPLES.read_text(encoding="utf-8"))
    paths = {
        path: {route.method: _operation(route, schema, examples.get(path, {}))}
        for path, route in ROUTES.items()
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Lifecycle", "version": version},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}, {}],
    }


def _operation(
    route: Described, schema: dict[type[Struct], Any], example: dict[str, Any]
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": route.summary,
        "description": f"Needs a key for `{route.scope}`.",
        "parameters": list(route.parameters),
        "responses": {
            "200": _content("Answers", schema[route.gives], example.get("answer")),
            **{
                status: _content(text, schema[ErrorResponse], None)
                for status, text in _FAILURES.items()
            },
        },
    }
    if route.takes is not None:
        body = _content("", schema[route.takes], example.get("request"))
        described["requestBody"] = {"required": True, "content": body["content"]}
    return described


def _content(text: str, schema: Any, example: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    shown = {} if example is None else {"example": example}
    return {"description": text, "content": {"application/json": {"schema": schema, **shown}}}


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Lifecycle: the endpoint</title>
<link rel="stylesheet" href="/static_content/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="/static_content/swagger-ui-bundle.js"></script>
<script>
SwaggerUIBundle({url: "openapi.json", dom_id: "#page", deepLinking: true});
</script>
</body>
</html>
"""
"""The document as a page, drawn by what BentoML ships: nothing comes from elsewhere."""
