"""The endpoint's own description, made from what it takes and gives."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from serving.endpoint.messages import (
    CustomersRequest,
    ErrorResponse,
    EventsRequest,
    EventsResponse,
    FeaturesRequest,
    ScoreResponse,
)

PATHS: dict[str, tuple[str, type[Struct], type[Struct]]] = {
    "/v1/customers/score": ("Score customers by their ids", CustomersRequest, ScoreResponse),
    "/v1/features/score": (
        "Score features given in the request", FeaturesRequest, ScoreResponse,
    ),
    "/v1/events": ("Take events as they happen", EventsRequest, EventsResponse),
}  # fmt: skip


def openapi(version: str) -> dict[str, Any]:
    """Describe every route as an OpenAPI 3.1 document."""
    shapes = [shape for _, *both in PATHS.values() for shape in both]
    (*described, error), components = msgspec.json.schema_components(
        [*shapes, ErrorResponse], ref_template="#/components/schemas/{name}"
    )
    # Every feature has its own type, and there are no others.
    components["FeatureRow"]["properties"]["features"]["additionalProperties"] = False
    bodies, answers = described[::2], described[1::2]
    failures = {
        "400": "The body is not what it should be",
        "401": "No valid API key",
        "404": "None of the customers is known",
        "409": "The idempotency key was used for other events",
        "413": "The body is too large",
        "503": "No model or no features yet",
    }
    paths = {
        path: {
            "post": {
                "summary": summary,
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": body}},
                },
                "responses": {
                    "200": {
                        "description": "Answers",
                        "content": {"application/json": {"schema": answer}},
                    },
                    **{
                        status: {
                            "description": text,
                            "content": {"application/json": {"schema": error}},
                        }
                        for status, text in failures.items()
                    },
                },
            }
        }
        for (path, (summary, *_)), body, answer in zip(PATHS.items(), bodies, answers, strict=True)
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
