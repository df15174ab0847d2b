"""`lifecycle watch`: whether data and predictions are what they were, and who is told.

A run looks at the week that ends on a day. What it finds is kept in the workspace, a file a day,
and in MLflow; alarms go to the webhook, once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from features.days import day_number
from features.errors import InputError
from features.ingest.ledger import Ledger
from features.workspace import read_json, write_json
from pipelines.context import Context, Stopwatch
from pipelines.report.predictions import Predictions
from pipelines.watching.answers import answer_checks
from pipelines.watching.checks import Alert, Check, alerts_of, error_of
from pipelines.watching.data import data_checks
from pipelines.watching.exports import export_checks
from pipelines.watching.leaving import leaving_checks
from pipelines.watching.month import month_factors
from pipelines.watching.returning import returning_checks
from pipelines.watching.said import plain
from pipelines.watching.standing import Bought
from pipelines.watching.tracking import log_watch
from pipelines.watching.webhook import post
from pipelines.watching.weeks import WEEK, first_day_of, read_weeks

ALARM_EXIT = 3
"""What the command ends with where there is an alarm; an error ends with 1."""

Found = tuple[list[Check], list[str], Predictions | None]


@dataclass(frozen=True)
class WatchReport:
    """What a day's watch saw.

    Attributes
    ----------
    alerts
        Alarms, then notices, each the least likely first.
    checks
        Everything that was looked at.
    notes
        What could not be looked at, and why.
    matured
        What the newest scores whose horizon ended within a month had said, and what was seen, by
        stage and tenth.
    error
        The chance of a false alarm that a check of weight 1 was allowed.
    posted
        Whether the webhook has these alarms; None where none is set, or nothing was to be posted.
    trouble
        Why the webhook has not.
    run_id
        The run of MLflow that keeps it.
    """

    as_of: str
    alerts: tuple[Alert, ...]
    checks: tuple[Check, ...]
    notes: tuple[str, ...]
    matured: Predictions | None
    error: float
    posted: bool | None
    trouble: str | None
    run_id: str
    seconds: float

    @property
    def alarms(self) -> tuple[Alert, ...]:
        """Those of the alerts that are alarms."""
        return tuple(alert for alert in self.alerts if alert.severity == "alarm")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "as_of": self.as_of,
            "alarms": len(self.alarms),
            "alerts": [alert.to_dict() for alert in self.alerts],
            "checks": [check.to_dict() for check in self.checks],
            "notes": list(self.notes),
            "said_against_seen": plain(self.matured),
            "error": self.error,
            "posted": self.posted,
            "trouble": self.trouble,
            "run_id": self.run_id,
            "seconds": self.seconds,
        }


def watch(context: Context, as_of: date | None = None) -> WatchReport:
    """Look at the week that ends on a day, keep what is seen and post alarms.

    Parameters
    ----------
    as_of
        Default: the last day that the data cover. A later day is allowed, unlike elsewhere: that
        nothing came since is what the watch is for.

    Raises
    ------
    InputError
        The day lies before the data, or in the future.
    WorkspaceError
        Nothing has been ingested.
    """
    stopwatch = Stopwatch()
    context.workspace.require()
    with context.workspace.locked():
        ledger = context.folded_ledger()
        day = as_of or context.observed_until(ledger)
        _check_day(ledger, day)
        checks, notes, matured = _look(context, ledger, day)
        said = plain(matured)
        alerts = alerts_of(checks, context.settings.monitoring)
        digest = _digest(checks, alerts)
        file = context.workspace.watched / f"{day.isoformat()}.json"
        run_id = log_watch(context, day.isoformat(), digest, tuple(checks), alerts, said)
        former = (read_json(file) or {}).get("posted_keys", [])
        posted, trouble = _post(context, day, alerts, former)
        kept = {
            "as_of": day.isoformat(),
            "digest": digest,
            "alerts": [alert.to_dict() for alert in alerts],
            "checks": [check.to_dict() for check in checks],
            "notes": notes,
            "said_against_seen": said,
            "posted_keys": sorted(_keys(alerts)) if posted else former,
        }
        write_json(file, kept)
    error = error_of(context.settings.monitoring, checks)
    return WatchReport(
        day.isoformat(), alerts, tuple(checks), tuple(notes), matured, error, posted, trouble,
        run_id, stopwatch.seconds(),
    )  # fmt: skip


def log_lines(report: WatchReport) -> Iterator[str]:
    """Give a line of JSON for each alert, and for a webhook that failed."""
    for alert in report.alerts:
        yield json.dumps({"event": "watch", "as_of": report.as_of, **alert.to_dict()})
    if report.trouble is not None:
        told = {"event": "watch", "as_of": report.as_of, "severity": "notice"}
        yield json.dumps({**told, "key": "webhook", "sentence": report.trouble})


def _check_day(ledger: Ledger, day: date) -> None:
    if day < ledger.first_day:
        raise InputError(
            f"as-of day {day} lies before the data, which begin on {ledger.first_day}; choose a "
            "later day"
        )
    if day > datetime.now(UTC).date() and day > ledger.last_day:
        raise InputError(f"as-of day {day} is not over yet; choose today or an earlier day")


def _look(context: Context, ledger: Ledger, day: date) -> Found:
    """Look at data, and where there is a champion at features, scores and what became of them."""
    most = context.settings.monitoring.history_weeks
    number = day_number(day)
    checks: list[Check] = []
    notes: list[str] = []
    month = None
    for table in ledger.tables:
        path = ledger.path(table)
        first = None if path is None else first_day_of(path, number)
        if path is None or first is None:
            continue
        weeks = read_weeks(path, table, number, first, most)
        if table == "orders" and len(weeks.rows):
            month = month_factors(weeks.days, number)
        found, said = data_checks(weeks, number)
        checks += found
        notes += said
    if day >= ledger.last_day - timedelta(days=WEEK):
        # Of a past day nobody knows which files there were.
        checks += export_checks(ledger.manifest()["exports"])
    bought = Bought.read(ledger.orders_path, number)
    checks += returning_checks(bought, number, most, month)
    checks += leaving_checks(bought, number, most)
    answers, missing, matured = answer_checks(context, ledger, day)
    return [*checks, *answers], [*notes, *missing], matured


def _digest(checks: list[Check], alerts: tuple[Alert, ...]) -> str:
    told = [[check.to_dict() for check in checks], [alert.to_dict() for alert in alerts]]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _keys(alerts: tuple[Alert, ...]) -> set[str]:
    return {alert.key for alert in alerts if alert.severity == "alarm"}


def _post(
    context: Context, day: date, alerts: tuple[Alert, ...], former: list[str]
) -> tuple[bool | None, str | None]:
    """Post alarms, unless the webhook has them of this day; gives whether it does, and why not."""
    settings = context.settings.monitoring
    alarms = [alert for alert in alerts if alert.severity == "alarm"]
    if settings.webhook is None or not alarms:
        return None, None
    if _keys(alerts) <= set(former):
        return True, None
    name = context.settings.data.name
    lines = "\n".join(alert.sentence for alert in alarms)
    body = {
        "source": "lifecycle watch",
        "data": name,
        "as_of": day.isoformat(),
        "text": f"{name}, week to {day}: {len(alarms)} alarm(s)\n{lines}",
        "alerts": [alert.to_dict() for alert in alerts],
    }
    trouble = post(settings.webhook, body, settings.webhook_seconds)
    if trouble is not None:
        return False, f"the webhook of monitoring.webhook did not get the alarms: {trouble}"
    return True, None
