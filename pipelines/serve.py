"""`lifecycle serve`: start the endpoint."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from features.errors import InputError, ServerError, WorkspaceError
from pipelines.context import Context
from pipelines.features import compute_features
from serving.endpoint.live import ask_registry_once
from serving.scorer import Scorer

SERVICE = "serving.service:Lifecycle"
_METRICS_FOLDERS = ("PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_MULTIPROCESS_DIR")
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def prepare(context: Context, wait: bool = False) -> str:
    """Check that the champion can answer, and put the newest day online.

    Parameters
    ----------
    wait
        Whether nothing needs to be ingested or promoted yet, or another command may be writing.

    Returns
    -------
    str
        What is missing: a server that is away, or what is waited for; empty where nothing is. The
        endpoint starts all the same, is not ready, and becomes ready when it is there.

    Raises
    ------
    InputError
        The playbook cannot be read.
    WorkspaceError
        Nothing is ingested or promoted, and it is not to be waited for.
    """
    ask_registry_once()
    try:
        if wait and not context.workspace.exists():
            with context.workspace.locked():
                context.workspace.create()
        ledger = context.ledger()
        Scorer.champion(
            context.registry(),
            context.settings.serving,
            context.settings.data.sensitive_attributes,
        )
        compute_features(context, [context.observed_until(ledger)], online=True)
    except ServerError as error:
        return str(error)
    except WorkspaceError as error:
        if not wait:
            raise
        return str(error)
    return ""


def serve_command(
    context: Context, host: str, port: int, workers: int, settings_path: Path | None
) -> tuple[list[str], dict[str, str]]:
    """Build the BentoML command and its environment.

    Raises
    ------
    InputError
        No API key is configured and the host is not loopback.
    """
    if host not in LOOPBACK and not context.settings.serving.api_keys:
        raise InputError(
            f"without an API key the endpoint listens on loopback only, not on {host}; set "
            "serving.api_keys (`lifecycle key NAME` makes one), or leave out --host"
        )
    workspace = context.workspace.root.resolve()
    environment = {
        # Feast names a folder of this process's own, which is gone when the server runs.
        **{name: value for name, value in os.environ.items() if name not in _METRICS_FOLDERS},
        # There BentoML collects its workers' metrics, and a server that starts empties it: each
        # has its own.
        "BENTOML_HOME": os.environ.get("BENTOML_HOME", str(workspace / "serving" / str(port))),
        "LIFECYCLE_WORKSPACE": str(workspace),
        "LIFECYCLE_WORKERS": str(workers),
        "BENTOML_DO_NOT_TRACK": "True",
        "PYTHONWARNINGS": "ignore",
    }
    if settings_path is not None:
        environment["LIFECYCLE_SETTINGS"] = str(settings_path.resolve())
    root = Path(__file__).resolve().parent.parent
    command = [
        sys.executable, "-m", "bentoml", "serve", SERVICE, "--working-dir", str(root),
        "--host", host, "--port", str(port), "--api-workers", str(workers),
    ]  # fmt: skip
    return command, environment
