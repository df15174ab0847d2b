"""The BentoML service: probes, metrics and workers around :mod:`serving.endpoint.routes`.

Where it finds its state comes from the environment, as in a container: ``LIFECYCLE_WORKSPACE``,
``LIFECYCLE_SETTINGS`` and the settings' own variables, and ``LIFECYCLE_WORKERS`` says how many
processes answer. `lifecycle serve` sets them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import bentoml
from starlette.types import ASGIApp, Receive, Scope, Send

from features.settings import Settings, settings_file
from features.workspace import Workspace
from serving.endpoint.opening import Endpoint
from serving.endpoint.routes import site
from serving.endpoint.sharing import Shared

WORKERS = int(os.environ.get("LIFECYCLE_WORKERS", "1"))
SWITCH_SECONDS = 0.0005
"""How long a thread keeps Python's one lock from another that wants it, a tenth of the usual. The
loop lets it go at every send and every longer step in NumPy, and while the registry was polled
beside it waited five milliseconds to get it back, again and again: one answer in a hundred took
twice to three times as long."""


class Routes:
    """The application of this worker, made when its service starts."""

    inner: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if self.inner is None:
            raise RuntimeError("the service has not started")
        await self.inner(scope, receive, send)


routes = Routes()


@bentoml.service(
    name="lifecycle",
    # Of a service that is a class, BentoML asks this alone, and not its own --api-workers.
    workers=WORKERS,
    logging={"access": {"enabled": False}},
    # The tracing middleware runs on every request even with no exporter, at half the throughput.
    tracing={"excluded_urls": ".*"},
    traffic={"timeout": 30},
)
@bentoml.asgi_app(routes, path="/")
class Lifecycle:
    """Scores customers under ``/v1``; ``/readyz`` answers when it can.

    Mounted at the root, so that no page of BentoML's own stands in its place: that one loads
    scripts of others.
    """

    def __init__(self) -> None:
        sys.setswitchinterval(SWITCH_SECONDS)
        workspace = Workspace(Path(os.environ.get("LIFECYCLE_WORKSPACE", "workspace")))
        settings = Settings.load(settings_file(workspace.root), os.environ)
        self.endpoint = Endpoint.of(workspace, settings)
        self.endpoint.start(settings.serving.access_log)
        whole = site(self.endpoint.application)
        routes.inner = Shared(whole) if WORKERS > 1 else whole

    async def __is_ready__(self) -> bool:
        """Whether there is a model and a day's features to answer with."""
        return self.endpoint.live.is_ready

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def stop(self) -> None:
        """Stop following the registry, and put away what was decided."""
        self.endpoint.stop()
