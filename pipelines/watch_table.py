"""What a person at a terminal reads of a watch."""

from __future__ import annotations

from pipelines.console import Terminal
from pipelines.watch import WatchReport


def show(terminal: Terminal, report: WatchReport) -> None:
    """Print what is told, and how much was looked at."""
    for alert in report.alerts:
        terminal.note(f"{alert.severity.upper():<7} {alert.sentence}\n        {alert.key}")
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
