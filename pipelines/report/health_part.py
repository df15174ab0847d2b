"""Health of data and predictions: what the newest watch told."""

from __future__ import annotations

from pipelines.report.blocks import paragraphs
from pipelines.report.contents import Contents
from pipelines.report.tables import Cell, Table, html_table
from pipelines.report.words import Words
from pipelines.watching.kept import KeptAlert


def health(words: Words, contents: Contents) -> str:
    """Say what was looked at, what was told, and how often there were alarms."""
    found = contents.health
    if found is None:
        return ""
    alarms = sum(alert.severity == "alarm" for alert in found.alerts)
    said = words.tell(
        "health.lead",
        day=words.day(found.day),
        checks=words.count(found.checks),
        alarms=words.count(alarms),
        notices=words.count(len(found.alerts) - alarms),
        runs=words.count(found.runs),
        alarmed=words.count(found.alarmed),
    )
    if not found.alerts:
        return paragraphs(said)
    head = [str(words["health"][name]) for name in ("what", "severity", "seen", "expected")]
    rows = [_row(words, alert) for alert in found.alerts]
    return paragraphs(said) + html_table(
        Table("health", head, rows), str(words["sections"]["health"])
    )


def _row(words: Words, alert: KeptAlert) -> list[Cell]:
    severity = str(words["health"][alert.severity])
    return [
        (name_of(words, alert.key), alert.key),
        (severity, severity),
        (words.number(alert.value), alert.value),
        (words.number(alert.expected), alert.expected),
    ]


def name_of(words: Words, key: str) -> str:
    """Name a figure that was checked; what has no name of its own, as a channel, stays as it is.

    >>> name_of(Words("en", "EUR"), "data/orders/channel/app")
    'Data · orders · channel · app'
    """
    parts = words["health"]["parts"]
    return " · ".join(str(parts.get(part, part)) for part in key.split("/"))
