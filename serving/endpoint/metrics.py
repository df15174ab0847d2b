"""What the server measures of itself, for Prometheus; `/metrics` gives it.

Nothing of a customer is a label.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from serving.endpoint.messages import Answer

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_KIB = 1024
_ROOM = {
    "histogram": 512 * _KIB,
    "counter": 128 * _KIB,
    "gauge_all": 64 * _KIB,
    "gauge_liveall": 64 * _KIB,
    "gauge_livemax": 64 * _KIB,
    "gauge_livesum": 64 * _KIB,
}
"""Bytes of a worker's files of metrics, by kind: more than all routes and codes take."""

log = logging.getLogger("lifecycle.serving")


def reserve(folder: Path, process: int) -> None:
    """Give the files of a worker's metrics their room before the disk may be full.

    They are mapped into memory, with holes: the first count on a page for which a full disk has no
    room kills the process (SIGBUS).
    """
    for kind, room in _ROOM.items():
        path = folder / f"{kind}_{process}.db"
        file = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        try:
            # One that is there is mapped already, as long as it is.
            os.posix_fallocate(file, 0, os.fstat(file).st_size or room)
        finally:
            os.close(file)


class Metrics:
    """The counters of one worker; those of all workers are added up."""

    def __init__(self) -> None:
        # BentoML names the folder of all workers when it has started one, and not before.
        from prometheus_client import CollectorRegistry, Gauge, Histogram  # noqa: PLC0415
        from prometheus_client import Counter as Count  # noqa: PLC0415

        if folder := os.environ.get(_FOLDER):
            try:
                reserve(Path(folder), os.getpid())
            except OSError as error:
                log.warning("metrics have no room kept for them: %s", error)
        # Workers meet in that folder; within a process each endpoint counts for itself.
        own = CollectorRegistry()
        count = partial(Count, registry=own)
        gauge = partial(Gauge, registry=own, multiprocess_mode="livemax")
        self._seconds = Histogram(
            "lifecycle_request_seconds",
            "Seconds from a request's head to its answer",
            ["route", "status"],
            buckets=_SECONDS,
            registry=own,
        )
        self._scores = count("lifecycle_scores", "Customers answered for", ["stage"])
        self._flags = count(
            "lifecycle_flagged_scores",
            "Answers by flag: prospects and one order are cold starts",
            ["flag"],
        )
        self._unknown = count("lifecycle_unknown_customers", "Customers asked for and not known")
        self._refused = count("lifecycle_refused_requests", "Requests refused", ["code"])
        self._dropped = count("lifecycle_dropped_shadows", "Requests the shadow did not score")
        self._model = gauge("lifecycle_model_version", "Version that answers")
        self._age = gauge(
            "lifecycle_feature_age_days", "Days since the last closed day that is online"
        )

    def answered(self, answers: Sequence[Answer], unknown: int) -> None:
        """Count what was answered."""
        for stage, number in Counter(answer.lifecycle_stage for answer in answers).items():
            self._scores.labels(stage).inc(number)
        for flag, number in Counter(flag for a in answers for flag in a.flags).items():
            self._flags.labels(flag).inc(number)
        if unknown:
            self._unknown.inc(unknown)

    def refused(self, code: str) -> None:
        """Count a refusal."""
        self._refused.labels(code).inc()

    def shadow_dropped(self) -> None:
        """Count what the shadow had no time for."""
        self._dropped.inc()

    def took(self, route: str, status: int, seconds: float) -> None:
        """Observe how long a request took."""
        self._seconds.labels(route, str(status)).observe(seconds)

    def answering(self, model: int, age_days: int) -> None:
        """Say what answers now."""
        self._model.set(model)
        self._age.set(age_days)
