"""The endpoint against its own description: whatever fits it is answered as it says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.applications import Starlette

from features.settings import Settings
from features.workspace import Workspace
from serving.endpoint.messages import ErrorResponse
from serving.endpoint.openapi import EXAMPLES, ROUTES
from serving.endpoint.opening import Endpoint
from serving.endpoint.routes import site


class _Loopback:
    """Lets requests come from this machine, as those of a server's neighbours do."""

    def __init__(self, inner: Starlette) -> None:
        self._inner = inner

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._inner({**scope, "client": ("127.0.0.1", 1)}, receive, send)


@pytest.fixture(scope="module")
def api(trained: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    root: Path = tmp_path_factory.mktemp("openapi") / "w"
    shutil.copytree(trained["workspace"], root)
    endpoint = Endpoint.of(Workspace(root), Settings())
    endpoint.live.refresh()
    # As it is served: a path that no route takes, as one with a line break, gets the envelope too.
    app = site(_Loopback(endpoint.application))
    yield schemathesis.openapi.from_asgi("/v1/openapi.json", app)
    endpoint.stop()


# What is true of a customer, or can be an event, is more than a schema can say.
SAYS_LESS = {"/v1/features/score", "/v1/events/score", "/v1/events"}


@pytest.mark.parametrize(("path", "method"), [(p, r.method) for p, r in ROUTES.items()])
def test_whatever_fits_the_description_is_answered_as_it_says(api: Any, path: str, method: str):
    @given(case=api[path][method].as_strategy())
    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Any) -> None:
        left_out = [positive_data_acceptance] if path in SAYS_LESS else []
        case.call_and_validate(excluded_checks=left_out)

    ask()


def test_the_examples_are_what_the_routes_take_and_give():
    examples = json.loads(EXAMPLES.read_text(encoding="utf-8"))
    assert set(examples) == set(ROUTES)
    for path, route in ROUTES.items():
        if route.takes is not None:
            msgspec.convert(examples[path]["request"], route.takes)
        answer = msgspec.convert(examples[path]["answer"], route.gives)
        assert msgspec.to_builtins(answer) == examples[path]["answer"], path


def test_an_error_of_any_route_is_the_one_envelope():
    names = {field.name for field in msgspec.structs.fields(ErrorResponse)}
    assert names == {"error"}
