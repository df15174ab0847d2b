"""What the server measures of itself, for Prometheus; `/metrics` gives it.

Nothing of a customer is a label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial

from serving.endpoint.messages import Answer

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """The counters of one worker; those of all workers are added up."""

    def __init__(self) -> None:
        # BentoML names the folder of all workers when it has started one, and not before.
        from prometheus_client import CollectorRegistry, Gauge, Histogram  # noqa: PLC0415
        from prometheus_client import Counter as Count  # noqa: PLC0415

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
