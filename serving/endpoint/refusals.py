"""Answers that are errors: one envelope for all of them."""

from __future__ import annotations

import math

import msgspec
from starlette.responses import Response

from serving.endpoint.messages import ErrorResponse, Problem

REQUEST_ID = "x-request-id"


class Refusal(Exception):
    """An answer that is an error: status, code and a sentence.

    Parameters
    ----------
    retry_after
        Seconds after which the same request may be answered; None where it never is.
    """

    def __init__(
        self, status: int, code: str, message: str, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after

    def response(self, request_id: str) -> Response:
        """Put it into the envelope."""
        body = ErrorResponse(Problem(self.code, self.message, request_id))
        response = Response(msgspec.json.encode(body), self.status, media_type="application/json")
        response.headers[REQUEST_ID] = request_id
        if self.retry_after is not None:
            response.headers["retry-after"] = str(max(1, math.ceil(self.retry_after)))
        return response
