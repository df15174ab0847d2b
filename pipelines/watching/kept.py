"""What earlier watches told, for whoever reports on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from features.workspace import read_json
from pipelines.watching.checks import Severity

FRESH_DAYS = 31
"""An older watch says nothing of today."""
YEAR_DAYS = 364


@dataclass(frozen=True)
class KeptAlert:
    """An alert of a day: what was seen, and expected, of the figure that the key names."""

    severity: Severity
    key: str
    value: float
    expected: float


@dataclass(frozen=True)
class Health:
    """The newest watch, and how those of the year before it went.

    Attributes
    ----------
    checks
        How many figures were looked at.
    runs, alarmed
        Days watched within a year, and those of them with an alarm.
    """

    day: date
    checks: int
    alerts: tuple[KeptAlert, ...]
    runs: int
    alarmed: int


def read_health(folder: Path, as_of: date) -> Health | None:
    """Read the watches up to a day; None where none is fresh.

    Parameters
    ----------
    folder
        The workspace's, with a file a day.
    """
    days = sorted(date.fromisoformat(path.stem) for path in folder.glob("[!.]*.json"))
    days = [day for day in days if (as_of - day).days in range(YEAR_DAYS)]
    if not days or (as_of - days[-1]).days > FRESH_DAYS:
        return None
    told = [read_json(folder / f"{day.isoformat()}.json") for day in days]
    alerts = tuple(
        KeptAlert(
            alert["severity"],
            alert["key"],
            float(alert["figures"]["value"]),
            float(alert["figures"]["expected"]),
        )
        for alert in told[-1]["alerts"]
    )
    alarmed = sum(any(a["severity"] == "alarm" for a in one["alerts"]) for one in told)
    return Health(days[-1], len(told[-1]["checks"]), alerts, len(days), alarmed)
