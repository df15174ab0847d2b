"""What the endpoint is asked and what it answers: strict, and the source of its OpenAPI page."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

MOST_ROWS = 1000

CustomerId = int | str


class CustomersRequest(Struct, forbid_unknown_fields=True):
    """Customers to score from the online feature store."""

    customer_ids: Annotated[
        list[CustomerId],
        Meta(
            min_length=1,
            max_length=MOST_ROWS,
            description=f"1 to {MOST_ROWS} customer ids",
            examples=[[1, 2]],
        ),
    ]


class FeatureRow(Struct, forbid_unknown_fields=True):
    """One customer's features at the end of a day."""

    as_of: Annotated[
        str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", description="the features' day, YYYY-MM-DD")
    ]
    features: Annotated[
        dict[str, float | None],
        Meta(description="every feature of the catalogue by name; null where it is unknown"),
    ]
    customer_id: CustomerId | None = None


class FeaturesRequest(Struct, forbid_unknown_fields=True):
    """Feature rows to score as they are."""

    rows: Annotated[list[FeatureRow], Meta(min_length=1, max_length=MOST_ROWS)]


class Answer(Struct):
    """What is said of one customer; money in the workspace's currency."""

    customer_id: CustomerId | None
    as_of: str
    churn_probability: float
    expected_spend: float
    spend_lower: float
    spend_upper: float
    clv_12m: float
    lifecycle_stage: str
    stage_rule: str
    reasons: list[str]
    action: str
    action_value: float
    action_value_low: float
    action_value_high: float
    action_effect: str
    action_note: str
    flags: list[str]


class Versions(Struct):
    """What answered."""

    model: int
    model_kind: str
    trained_as_of: str
    horizon_days: int
    feature_service: str
    playbook: str
    currency: str


class ScoreResponse(Struct):
    """Answers in the order of the request, without the customers that are not known."""

    request_id: str
    versions: Versions
    results: list[Answer]
    unknown_customers: list[CustomerId]


class Problem(Struct):
    """Why there is no answer."""

    code: str
    message: str
    request_id: str


class ErrorResponse(Struct):
    """The one envelope of every error."""

    error: Problem


PATHS: dict[str, tuple[str, type[Struct]]] = {
    "/v1/customers/score": ("Score customers by their ids", CustomersRequest),
    "/v1/features/score": ("Score features given in the request", FeaturesRequest),
}


def openapi(version: str) -> dict[str, Any]:
    """Describe both routes as an OpenAPI 3.1 document."""
    requests = [request for _, request in PATHS.values()]
    (*bodies, answer, error), components = msgspec.json.schema_components(
        [*requests, ScoreResponse, ErrorResponse], ref_template="#/components/schemas/{name}"
    )
    failures = {
        "400": "The body is not what it should be",
        "401": "No valid API key",
        "404": "None of the customers is known",
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
        for (path, (summary, _)), body in zip(PATHS.items(), bodies, strict=True)
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
