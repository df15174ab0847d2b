"""What a person at a terminal reads of a watch."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.console import Terminal
from pipelines.report.points import Point
from pipelines.report.predictions import Predictions, SaidSeen
from pipelines.watch import WatchReport


def show(terminal: Terminal, report: WatchReport) -> None:
    """Print what is told, and how much was looked at."""
    for alert in report.alerts:
        terminal.note(f"{alert.severity.upper():<7} {alert.sentence}\n        {alert.key}")
    if report.matured is not None:
        _said_and_seen(terminal, report.matured)
    for note in report.notes:
        terminal.note(f"not looked at: {note}")
    if report.trouble is not None:
        terminal.note(report.trouble)
    alarms = len(report.alarms)
    told = (
        f"{alarms} alarm(s), {len(report.alerts) - alarms} notice(s)"
        if report.alerts
        else "nothing to tell"
    )
    terminal.note(
        f"week to {report.as_of}: {told}, of {len(report.checks)} checks in {report.seconds} s"
    )


COLUMNS = ("", "customers", "churn said", "seen", "spend said", "seen", "in 90% interval")


def _said_and_seen(terminal: Terminal, found: Predictions) -> None:
    title = (
        f"\nSaid on {found.day} (version {found.model_version}) and seen in {found.horizon_days} "
        "days, 95% intervals"
    )
    rows = [_row("all", found.whole)]
    rows += [_row(one.name, one) for one in found.stages]
    rows += [_row(f"churn tenth {one.name}", one) for one in found.tenths]
    terminal.table(title, COLUMNS, rows)


def _row(name: str, one: SaidSeen) -> list[str]:
    return [
        name,
        f"{one.customers:,}",
        f"{one.churn_said:.1%}",
        _point(one.churn_seen, "{:.1%}"),
        f"{one.spend_said:,.2f}",
        _point(one.spend_seen, "{:,.2f}"),
        _point(one.covered, "{:.0%}"),
    ]


def _point(point: Point, spell: str) -> str:
    return " to ".join(_ends(point, spell)) if point.known else "-"


def _ends(point: Point, spell: str) -> Iterator[str]:
    for end in (point.low, point.high):
        if end is not None:
            yield spell.format(end)
